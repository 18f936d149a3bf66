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
/// After an error the iteration is over. Bytes that are left over at the end are an error, too.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    /// All records, and their position in the batch, from which the position of an error follows.
    region: &'a [u8],
    region_at: usize,
    /// Position of the next record in the region.
    at: usize,
    left: i32,
    base_offset: i64,
    /// The last offset delta plus one; 0 if the delta is negative.
    offset_deltas_end: u32,
    base_timestamp: i64,
    /// A mask for timestamp deltas: all bits; or none with log append time, when the base is the timestamp of every
    /// record.
    timestamp_delta_mask: i64,
    /// For messages of the old formats, whether their region was decompressed. `left` is 0 then, so that the loop over
    /// a batch needs no branch for them.
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

    /// An iterator over the records in a message of the old formats.
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

    /// The records before `offset`. If an error comes before that one, it is among them with all that follows it.
    #[must_use]
    pub fn before(self, offset: i64) -> Self {
        let mut ahead = self.clone();
        let mut reached = (ahead.at, ahead.left);
        loop {
            match ahead.next() {
                Some(Ok(record)) if record.offset < offset => reached = (ahead.at, ahead.left),
                Some(Ok(_)) => break,
                Some(Err(_)) | None => return self,
            }
        }
        let (end, left) = (reached.0, self.left - reached.1);
        Self { region: self.region.get(..end).unwrap_or_default(), left, ..self }
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

/// The cases that the loop over a batch leaves out.
///
/// Its methods get a copy and return the new position: a reader that is passed by reference, even to a function that is
/// never called, lives in memory and not in registers, and then a record costs 1 ns more.
impl<'a> Records<'a> {
    /// Reads a record that is not short, or the error in it.
    #[cold]
    #[inline(never)]
    fn long_record(self) -> (usize, Result<Record<'a>, RecordError>) {
        let rest = self.rest();
        let fault = match parse::record(rest, self.offset_deltas_end) {
            Ok((after, raw)) => return (self.region.len() - after.len(), Ok(self.place(raw))),
            Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => fault,
            // The parsers work on complete input, so they never ask for more.
            Err(nom::Err::Incomplete(_)) => Fault { input: rest, what: "record", cause: RecordErrorCause::Truncated },
        };
        (self.region.len(), Err(self.error(fault)))
    }

    /// The result when no records are left: the end, or once the error that bytes are left; for messages, the next one.
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
        // Records that lie in the batch itself begin after its header.
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

/// A copy of the records that an iterator has not returned yet, to be read later and in parts.
#[derive(Clone, Debug)]
pub struct OwnedRecords {
    region: Box<[u8]>,
    /// The iterator over the records that are left, without their bytes.
    left: Records<'static>,
}

impl OwnedRecords {
    /// Copies the records that are left, with all bytes of their batch.
    #[must_use]
    pub fn new(records: &Records<'_>) -> Self {
        let Records {
            region,
            region_at,
            at,
            left,
            base_offset,
            offset_deltas_end,
            base_timestamp,
            timestamp_delta_mask,
            messages,
        } = records.clone();
        let left = Records {
            region: &[],
            region_at,
            at,
            left,
            base_offset,
            offset_deltas_end,
            base_timestamp,
            timestamp_delta_mask,
            messages,
        };
        Self { region: region.into(), left }
    }

    /// The records that are left.
    #[must_use]
    pub fn iter(&self) -> Records<'_> {
        let left: Records<'_> = self.left.clone();
        Records { region: &self.region, ..left }
    }

    /// Bytes that it holds, those of records that were taken included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.region.len()
    }

    /// Takes the first records, up to the first one for which `belongs` is false. If an error comes before that one, it
    /// is taken with all that follows it.
    pub fn take_while(&mut self, mut belongs: impl FnMut(&Record<'_>) -> bool) -> Records<'_> {
        let before = self.left.clone();
        let mut records = self.iter();
        let mut reached = (records.at, records.left);
        let is_split = loop {
            match records.next() {
                Some(Ok(record)) if belongs(&record) => reached = (records.at, records.left),
                Some(Ok(_)) => break true,
                Some(Err(_)) | None => break false,
            }
        };
        if !is_split {
            (self.left.at, self.left.left) = (self.region.len(), 0);
            return Records { region: &self.region, ..before };
        }
        (self.left.at, self.left.left) = reached;
        let (end, left) = (reached.0, before.left - reached.1);
        Records { region: self.region.get(..end).unwrap_or_default(), left, ..before }
    }
}
