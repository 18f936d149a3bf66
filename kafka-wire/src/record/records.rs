//! The records of a batch, read in place.

use std::iter::FusedIterator;

use nom::Offset;

use super::field::Fault;
use super::header::RECORD_COUNT_AT;
use super::message::Messages;
use super::parse::{self, RawRecord};
use super::{BatchHeader, Record, RecordError, RecordErrorCause, TimestampType, short};

/// The records of a batch in order, as many as its header says. Made by [`super::Batch::open`].
///
/// After an error the iteration is over. The end is an error too when bytes are left over.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    /// All of them, and where in the batch they start: where an error is follows from these.
    region: &'a [u8],
    region_at: usize,
    /// Where in the region the next one starts.
    at: usize,
    left: i32,
    base_offset: i64,
    /// One more than the last offset delta; 0 when that is negative.
    offset_deltas_end: u32,
    base_timestamp: i64,
    /// All bits; or none with log append time, when the base is the timestamp of every record.
    timestamp_delta_mask: i64,
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
        let (base_timestamp, timestamp_delta_mask) = match header.timestamp_type() {
            TimestampType::CreateTime => (header.base_timestamp, !0),
            TimestampType::LogAppendTime => (header.max_timestamp, 0),
        };
        Ok(Self {
            region: bytes,
            region_at: at,
            at: 0,
            left: header.record_count,
            base_offset: header.base_offset,
            offset_deltas_end: header.last_offset_delta.max(-1).wrapping_add(1).cast_unsigned(),
            base_timestamp,
            timestamp_delta_mask,
            messages: None,
        })
    }

    /// The records of a message of the old formats.
    pub(super) fn of_messages(messages: Messages<'a>) -> Self {
        let Messages { region, rest, is_decompressed, base_offset, append_time } = messages;
        Self {
            region,
            region_at: 0,
            at: region.len() - rest.len(),
            left: 0,
            base_offset,
            offset_deltas_end: 0,
            base_timestamp: append_time.unwrap_or(0),
            timestamp_delta_mask: if append_time.is_some() { 0 } else { !0 },
            messages: Some(is_decompressed),
        }
    }

    #[inline]
    fn place(&self, raw: RawRecord<'a>) -> Record<'a> {
        Record {
            offset: self.base_offset.wrapping_add(i64::from(raw.offset_delta)),
            timestamp: self.base_timestamp.wrapping_add(raw.timestamp_delta & self.timestamp_delta_mask),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        }
    }
}

/// What the loop over a batch leaves out.
///
/// Its methods get a copy and say how far they came: a reader that is handed out by reference, if only to a function that
/// is never called, lives in memory and not in registers, and then a record costs 1 ns more.
impl<'a> Records<'a> {
    /// A record that is not short, or what is wrong with it.
    #[cold]
    #[inline(never)]
    fn long_record(self) -> (usize, Result<Record<'a>, RecordError>) {
        let rest = self.rest();
        let fault = match parse::record(rest, self.offset_deltas_end) {
            Ok((after, raw)) => return (self.region.len() - after.len(), Ok(self.place(raw))),
            Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => fault,
            // The parsers work on complete input, and never ask for more.
            Err(nom::Err::Incomplete(_)) => Fault { input: rest, what: "record", cause: RecordErrorCause::Truncated },
        };
        (self.region.len(), Err(self.error(fault)))
    }

    /// What comes when no records are left: nothing, or the error that bytes are left, once; or the next message.
    #[cold]
    #[inline(never)]
    fn after_last(self) -> (usize, Option<Result<Record<'a>, RecordError>>) {
        let input = self.rest();
        if let Some(is_decompressed) = self.messages {
            let append_time = (self.timestamp_delta_mask == 0).then_some(self.base_timestamp);
            let Self { region, base_offset, .. } = self;
            let mut messages = Messages { region, rest: input, is_decompressed, base_offset, append_time };
            let next = messages.next();
            return (region.len() - messages.rest.len(), next);
        }
        let fault = Fault { input, what: "records", cause: RecordErrorCause::BytesLeft(input.len()) };
        (self.region.len(), (!input.is_empty()).then(|| Err(self.error(fault))))
    }

    fn rest(&self) -> &'a [u8] {
        self.region.get(self.at..).unwrap_or_default()
    }

    fn error(&self, fault: Fault<'_>) -> RecordError {
        let error = RecordError::new(self.region_at + self.region.offset(fault.input), fault.what, fault.cause);
        // Records that lie in the batch begin behind its header.
        if self.region_at == 0 { error.in_decompressed() } else { error }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let (at, next) = self.clone().after_last();
            self.at = at;
            return next;
        }
        self.left -= 1;
        match short::record(self.region, self.at) {
            Some((at, raw)) if raw.offset_delta.cast_unsigned() < self.offset_deltas_end => {
                self.at = at;
                Some(Ok(self.place(raw)))
            }
            _ => {
                let (at, record) = self.clone().long_record();
                self.at = at;
                if record.is_err() {
                    self.left = 0;
                }
                Some(record)
            }
        }
    }
}

impl FusedIterator for Records<'_> {}
