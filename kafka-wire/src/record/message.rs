//! Message sets: the formats v0 and v1, before record batches.
//!
//! ```text
//! { offset i64 | size i32 | crc u32 | magic i8 | attributes i8 | timestamp i64 (v1) | key | value } ...
//! ```
//! Key and value have a length of four bytes, negative for null. The CRC-32 (IEEE) covers the magic to the end of the
//! message. A compressed message is a wrapper: its value holds messages, which are not compressed themselves.
//! The wrapper's offset is that of the last message in it. The offsets of those messages are absolute in v0;
//! in v1 they are relative, counted from the first one, so that the last of them tells the distance (KIP-31).
//! The wrapper's timestamp is the greatest of theirs, or with log append time that of all of them (KIP-32).
//!
//! As in Java, bytes after the value of a message are ignored, and the last message of a wrapper may be cut off.
//!
//! Source: `LegacyRecord`, `AbstractLegacyRecordBatch`.

use nom::bytes::complete::take;
use nom::combinator::cond;
use nom::number::complete::{be_i32, be_i64, be_u32, i8 as be_i8, u8 as be_u8};
use nom::{IResult, Offset, Parser};

use super::field::{Fault, Parsed};
use super::header::{LENGTH_AT, LENGTH_END, LOG_APPEND_TIME_BIT, MAGIC_AT};
use super::{BatchHeader, RawHeaders, Record, RecordError, RecordErrorCause, TimestampType};
use crate::compression::{self, Compression, CompressionError, Container, Decompressed};
use crate::types::{LeaderEpoch, ProducerEpoch, ProducerId};

pub(super) const MAGIC_V0: i8 = 0;
pub(super) const MAGIC_V1: i8 = 1;
pub(super) const CODEC_BITS: u8 = 0x07;
/// Position of the checksum, and the start of the bytes that it covers.
pub(super) const MESSAGE_CRC_AT: usize = 12;
pub(super) const COVERED_AT: usize = MAGIC_AT;
/// Smallest legal size field, which counts checksum, magic, attributes and two lengths.
const SIZE_MIN: usize = 14;
/// Position of the attributes.
const MESSAGE_ATTRIBUTES_AT: usize = 17;

/// Bytes of the smallest message, offset and size included; `None` for formats that are not message sets.
pub(super) fn message_bytes_min(magic: i8) -> Option<usize> {
    match magic {
        MAGIC_V0 => Some(LENGTH_END + SIZE_MIN),
        MAGIC_V1 => Some(LENGTH_END + SIZE_MIN + size_of::<i64>()),
        _ => None,
    }
}

/// The checksum of a complete message.
pub(super) fn crc32(message: &[u8]) -> u32 {
    crc32fast::hash(message.get(COVERED_AT..).unwrap_or_default())
}

/// Position of the value in a complete message.
pub(super) fn value_at(bytes: &[u8]) -> usize {
    let value = message(bytes).ok().and_then(|(_, message)| message.value);
    value.map_or(bytes.len(), |value| bytes.offset(value))
}

/// The header of a message in the terms of a batch: a batch of one record, unless it is a wrapper.
pub(super) fn batch_header(bytes: &[u8]) -> Result<BatchHeader, RecordError> {
    let (_, message) = message(bytes).map_err(|error| place(bytes, false, error))?;
    let compression = message
        .compression()
        .map_err(|cause| RecordError::new(MESSAGE_ATTRIBUTES_AT, "attributes", RecordErrorCause::Compression(cause)))?;
    let time_bit = if message.is_log_append_time() { LOG_APPEND_TIME_BIT } else { 0 };
    Ok(BatchHeader {
        magic: message.magic,
        base_offset: message.offset,
        partition_leader_epoch: LeaderEpoch(-1),
        attributes: time_bit | i16::from(compression.code()),
        last_offset_delta: 0,
        base_timestamp: message.timestamp,
        max_timestamp: message.timestamp,
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: -1,
        record_count: 1,
    })
}

/// The records in the message `bytes`: the message itself, or those that it wraps.
pub(super) fn open<'a>(
    header: &BatchHeader,
    bytes: &'a [u8],
    buffer: &'a mut Decompressed,
) -> Result<Messages<'a>, RecordError> {
    let (rest, wrapper) = message(bytes).map_err(|error| place(bytes, false, error))?;
    if header.compression() == Compression::None {
        return Ok(Messages { region: bytes, rest: bytes, is_decompressed: false, base_offset: 0, append_time: None });
    }
    let Some(value) = wrapper.value else {
        // The length is the last field that was read.
        let length_at = bytes.offset(rest) - size_of::<i32>();
        return Err(RecordError::new(length_at, "value of a compressed message", RecordErrorCause::OutOfRange(-1)));
    };
    let container = if wrapper.magic == MAGIC_V0 { Container::MessageV0 } else { Container::Batch };
    let value_at = bytes.offset(value);
    let region = compression::decompress(header.compression(), container, value, buffer)
        .map_err(|cause| RecordError::new(value_at, "records", RecordErrorCause::Compression(cause)))?;
    let (last_offset, last_at) = last_offset(region)?;
    let base_offset = match wrapper.magic {
        MAGIC_V0 => 0,
        // Some versions of librdkafka produced wrappers with the offset 0.
        _ if wrapper.offset == 0 => 0,
        _ if wrapper.offset < last_offset => {
            let cause = RecordErrorCause::OutOfRange(last_offset);
            return Err(RecordError::new(last_at, "last inner offset", cause).in_decompressed());
        }
        _ => wrapper.offset.saturating_sub(last_offset),
    };
    let append_time = (header.timestamp_type() == TimestampType::LogAppendTime).then_some(wrapper.timestamp);
    Ok(Messages { region, rest: region, is_decompressed: true, base_offset, append_time })
}

/// The messages in a region of bytes, in order. After an error the iteration is over.
#[derive(Clone, Debug)]
pub(super) struct Messages<'a> {
    pub(super) region: &'a [u8],
    pub(super) rest: &'a [u8],
    /// Whether the region is the decompressed value of a wrapper.
    pub(super) is_decompressed: bool,
    /// The base of relative offsets.
    pub(super) base_offset: i64,
    /// The append time of the wrapper, which applies to every message of v1 in it.
    pub(super) append_time: Option<i64>,
}

impl<'a> Messages<'a> {
    pub(super) fn next(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        let rest = self.rest;
        let entry = match whole_message(rest) {
            Ok(entry) => entry?,
            Err(error) => return Some(Err(self.fail(error))),
        };
        self.rest = rest.get(entry.len()..).unwrap_or_default();
        match self.record(entry) {
            Ok(record) => Some(Ok(record)),
            Err(error) => Some(Err(self.fail(error))),
        }
    }

    fn record(&self, entry: &'a [u8]) -> Result<Record<'a>, nom::Err<Fault<'a>>> {
        let (_, message) = message(entry)?;
        if self.is_decompressed {
            message.check_inner(entry)?;
        }
        let append_time = self.append_time.filter(|_| message.magic == MAGIC_V1);
        Ok(Record {
            offset: self.base_offset.saturating_add(message.offset),
            timestamp: append_time.unwrap_or(message.timestamp),
            key: message.key,
            value: message.value,
            headers: RawHeaders::EMPTY,
        })
    }

    #[cold]
    fn fail(&mut self, error: nom::Err<Fault<'a>>) -> RecordError {
        self.rest = &[];
        place(self.region, self.is_decompressed, error)
    }
}

/// A message with its fields as they are encoded.
struct Message<'a> {
    offset: i64,
    crc: u32,
    magic: i8,
    attributes: u8,
    /// -1 in v0, which has no timestamps.
    timestamp: i64,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// No codec was added after these formats: zstd's number has no meaning in them.
    fn compression(&self) -> Result<Compression, CompressionError> {
        match Compression::from_code(self.attributes & CODEC_BITS)? {
            Compression::Zstd => Err(CompressionError::UnknownCodec { code: Compression::Zstd.code() }),
            compression => Ok(compression),
        }
    }

    fn is_log_append_time(&self) -> bool {
        self.magic == MAGIC_V1 && i16::from(self.attributes) & LOG_APPEND_TIME_BIT != 0
    }

    /// Checks that only messages inside a wrapper need; the checksum of other messages is checked with their batch.
    fn check_inner(&self, entry: &'a [u8]) -> Result<(), nom::Err<Fault<'a>>> {
        let (stored, computed) = (self.crc, crc32(entry));
        if stored != computed {
            return Err(fault(entry, MESSAGE_CRC_AT, "crc", RecordErrorCause::ChecksumMismatch { stored, computed }));
        }
        if self.attributes & CODEC_BITS != 0 {
            return Err(fault(entry, MESSAGE_ATTRIBUTES_AT, "attributes", RecordErrorCause::NestedCompression));
        }
        Ok(())
    }
}

/// The offset of the last message in a region, which has at least one, and the position of that message.
fn last_offset(region: &[u8]) -> Result<(i64, usize), RecordError> {
    let mut rest = region;
    let mut last = None;
    while let Some(entry) = whole_message(rest).map_err(|error| place(region, true, error))? {
        last = entry.first_chunk().map(|offset| (i64::from_be_bytes(*offset), region.offset(entry)));
        rest = rest.get(entry.len()..).unwrap_or_default();
    }
    last.ok_or(RecordError::new(0, "messages", RecordErrorCause::Truncated).in_decompressed())
}

/// The message at the start of `input`, if it is complete.
fn whole_message(input: &[u8]) -> Result<Option<&[u8]>, nom::Err<Fault<'_>>> {
    let Some(field) = input.get(LENGTH_AT..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
    let size = i32::from_be_bytes(*field);
    match usize::try_from(size) {
        Ok(bytes) if bytes >= SIZE_MIN => Ok(input.get(..LENGTH_END.saturating_add(bytes))),
        _ => Err(fault(input, LENGTH_AT, "message size", RecordErrorCause::OutOfRange(i64::from(size)))),
    }
}

/// The fields of a complete message.
fn message(entry: &[u8]) -> Parsed<'_, Message<'_>> {
    let fixed = (be_i64::<_, nom::error::Error<&[u8]>>, be_i32, be_u32, be_i8, be_u8).parse(entry);
    let (rest, (offset, _size, crc, magic, attributes)) = named("message", fixed)?;
    if message_bytes_min(magic).is_none() {
        return Err(fault(entry, MAGIC_AT, "magic", RecordErrorCause::UnsupportedMagic(magic)));
    }
    let (rest, timestamp) = named("timestamp", cond(magic == MAGIC_V1, be_i64).parse(rest))?;
    let (rest, key) = nullable("key", rest)?;
    let (rest, value) = nullable("value", rest)?;
    Ok((rest, Message { offset, crc, magic, attributes, timestamp: timestamp.unwrap_or(-1), key, value }))
}

fn nullable<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, Option<&'a [u8]>> {
    let (rest, length) = named(what, be_i32(input))?;
    match u32::try_from(length) {
        Ok(length) => named(what, take(length).map(Some).parse(rest)),
        Err(_) => Ok((rest, None)),
    }
}

/// The result of a parser that can only fail because the bytes end.
fn named<'a, T>(what: &'static str, parsed: IResult<&'a [u8], T>) -> Parsed<'a, T> {
    parsed.map_err(|error| error.map(|error| Fault { input: error.input, what, cause: RecordErrorCause::Truncated }))
}

#[cold]
fn fault<'a>(entry: &'a [u8], at: usize, what: &'static str, cause: RecordErrorCause) -> nom::Err<Fault<'a>> {
    nom::Err::Error(Fault { input: entry.get(at..).unwrap_or_default(), what, cause })
}

/// Converts a fault to an error with its position.
#[cold]
fn place<'a>(region: &'a [u8], is_decompressed: bool, error: nom::Err<Fault<'a>>) -> RecordError {
    let error = match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => {
            RecordError::new(region.offset(fault.input), fault.what, fault.cause)
        }
        // The parsers work on complete input, so they never ask for more.
        nom::Err::Incomplete(_) => RecordError::new(0, "message", RecordErrorCause::Truncated),
    };
    if is_decompressed { error.in_decompressed() } else { error }
}

#[cfg(test)]
#[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4"))]
mod tests;
