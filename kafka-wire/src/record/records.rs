//! The records of a batch, read in place.

use std::iter::FusedIterator;

use super::cursor::Cursor;
use super::header::RECORD_COUNT_AT;
use super::{BatchHeader, RawHeaders, RecordError, RecordErrorCause, TimestampType};

/// One record, borrowed from its batch.
///
/// To keep a part of an uncompressed batch, take `batch.bytes().slice_ref(part)`: no copy, but the frame stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC; -1 when it has none. With log append time, that of the batch.
    pub timestamp: i64,
    /// `None` is Kafka's null, not the same as empty.
    pub key: Option<&'a [u8]>,
    /// `None` is Kafka's null: a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Its headers, taken apart when asked for.
    pub headers: RawHeaders<'a>,
}

/// The records of a batch in order, as many as its header says. Made by [`super::Batch::open`].
///
/// After an error the iteration is over. The end is an error too when bytes are left over.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: Cursor<'a>,
    left: i32,
    base_offset: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    /// With log append time, the timestamp of every record.
    append_time: Option<i64>,
}

/// Bytes of the smallest record: length, attributes, two deltas, two lengths and a header count, of one byte each.
const RECORD_BYTES_MIN: usize = 7;

impl<'a> Records<'a> {
    pub(super) fn new(header: &BatchHeader, bytes: &'a [u8], at: usize) -> Result<Self, RecordError> {
        let count_max = bytes.len() / RECORD_BYTES_MIN;
        if usize::try_from(header.record_count).is_ok_and(|count| count > count_max) {
            let cause = RecordErrorCause::OutOfRange(i64::from(header.record_count));
            return Err(RecordError::new(RECORD_COUNT_AT, "record count", cause));
        }
        let append_time = match header.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Ok(Self {
            rest: Cursor::new(bytes, at + bytes.len()),
            left: header.record_count,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            append_time,
        })
    }

    #[inline]
    fn record(&mut self) -> Result<Record<'a>, RecordError> {
        let length = self.rest.varint("record length")?;
        let mut body = self.rest.split(length, "record length")?;
        body.skip_byte("record attributes")?;
        let timestamp_delta = body.varlong("timestamp delta")?;
        let offset_delta = body.varint("offset delta")?;
        if offset_delta < 0 || offset_delta > self.last_offset_delta {
            return Err(body.error("offset delta", RecordErrorCause::OutOfRange(i64::from(offset_delta))));
        }
        Ok(Record {
            offset: self.base_offset.saturating_add(i64::from(offset_delta)),
            timestamp: self.append_time.unwrap_or(self.base_timestamp.wrapping_add(timestamp_delta)),
            key: body.nullable("key")?,
            value: body.nullable("value")?,
            headers: RawHeaders::read(&mut body)?,
        })
    }

    #[cold]
    fn finish(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        let left = self.rest.rest().len();
        if left == 0 {
            return None;
        }
        let error = self.rest.error("records", RecordErrorCause::BytesLeft(left));
        self.rest = Cursor::new(&[], 0);
        Some(Err(error))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return self.finish();
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
            self.rest = Cursor::new(&[], 0);
        }
        Some(record)
    }
}

impl FusedIterator for Records<'_> {}
