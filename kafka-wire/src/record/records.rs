//! The records of a batch, read in place.

use std::iter::FusedIterator;

use nom::Offset;

use super::header::RECORD_COUNT_AT;
use super::message::Messages;
use super::parse::{self, Fault};
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
    /// All of them, and where in the batch they start: where an error is follows from these.
    region: &'a [u8],
    region_at: usize,
    rest: &'a [u8],
    left: i32,
    base_offset: i64,
    /// One more than the last offset delta; 0 when that is negative.
    offset_deltas_end: u32,
    base_timestamp: i64,
    /// With log append time, the timestamp of every record.
    append_time: Option<i64>,
    /// For messages of the old formats, whether their region was decompressed. `left` is 0 then, so that the loop over a
    /// batch has nothing to ask about them.
    messages: Option<bool>,
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
            region: bytes,
            region_at: at,
            rest: bytes,
            left: header.record_count,
            base_offset: header.base_offset,
            offset_deltas_end: header.last_offset_delta.max(-1).wrapping_add(1).cast_unsigned(),
            base_timestamp: header.base_timestamp,
            append_time,
            messages: None,
        })
    }

    /// The records of a message of the old formats.
    pub(super) fn of_messages(messages: Messages<'a>) -> Self {
        let Messages { region, rest, is_decompressed, base_offset, append_time } = messages;
        Self {
            region,
            region_at: 0,
            rest,
            left: 0,
            base_offset,
            offset_deltas_end: 0,
            base_timestamp: 0,
            append_time,
            messages: Some(is_decompressed),
        }
    }

    #[inline]
    fn record(&mut self) -> Result<Record<'a>, RecordError> {
        let (region, at) = (self.region, self.region_at);
        let (rest, raw) = match parse::record(self.rest) {
            Ok(parsed) => parsed,
            Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => return Err(error(region, at, fault)),
            // The parsers work on complete input, and never ask for more.
            Err(nom::Err::Incomplete(_)) => {
                let fault = Fault { input: self.rest, what: "record", cause: RecordErrorCause::Truncated };
                return Err(error(region, at, fault));
            }
        };
        // As unsigned numbers, so that one comparison refuses the negative ones too.
        if raw.offset_delta.cast_unsigned() >= self.offset_deltas_end {
            let cause = RecordErrorCause::OutOfRange(i64::from(raw.offset_delta));
            return Err(error(region, at, Fault { input: self.rest, what: "offset delta", cause }));
        }
        self.rest = rest;
        Ok(Record {
            offset: self.base_offset.wrapping_add(i64::from(raw.offset_delta)),
            timestamp: self.append_time.unwrap_or(self.base_timestamp.wrapping_add(raw.timestamp_delta)),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        })
    }
}

/// The error of a place in the `region` that holds all records, which starts at `region_at` in the batch.
///
/// This and [`bytes_left`] are no methods: a reader that is handed out by reference, if only to a function that is never
/// called, lives in memory and not in registers, and then a record costs 1 ns more.
#[cold]
fn error(region: &[u8], region_at: usize, fault: Fault<'_>) -> RecordError {
    let error = RecordError::new(region_at + region.offset(fault.input), fault.what, fault.cause);
    // Records that lie in the batch begin behind its header.
    if region_at == 0 { error.in_decompressed() } else { error }
}

/// The next message of the old formats, and what is behind it. By value: see [`error`].
#[cold]
#[inline(never)]
fn next_message(mut messages: Messages<'_>) -> (Option<Result<Record<'_>, RecordError>>, &[u8]) {
    let next = messages.next();
    (next, messages.rest)
}

/// Bytes are left after the last record.
#[cold]
fn bytes_left(region: &[u8], region_at: usize, input: &[u8]) -> RecordError {
    error(region, region_at, Fault { input, what: "records", cause: RecordErrorCause::BytesLeft(input.len()) })
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if let Some(is_decompressed) = self.messages {
                let Self { region, rest, base_offset, append_time, .. } = *self;
                let (next, rest) = next_message(Messages { region, rest, is_decompressed, base_offset, append_time });
                self.rest = rest;
                return next;
            }
            // After the last record: nothing, or the error that bytes are left, once.
            let left = std::mem::take(&mut self.rest);
            return if left.is_empty() { None } else { Some(Err(bytes_left(self.region, self.region_at, left))) };
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
            self.rest = &[];
        }
        Some(record)
    }
}

impl FusedIterator for Records<'_> {}
