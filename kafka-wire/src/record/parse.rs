//! nom parsers for a record, over the slice that holds all records of a batch. They get the records that
//! [`super::short`] does not read: those with a long part, and those with an error, which is found here.

use nom::Offset;

use super::field::{Parsed, byte, fault, header, nullable, raw_varint, take, unzigzag, varint, varlong};
use super::{RawHeaders, RecordErrorCause};

/// A record with its deltas as they are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: RawHeaders<'a>,
}

/// A record, whose parts must be exactly as long as its length says, and whose offset delta is
/// below `offset_deltas_end`.
pub(super) fn record(input: &[u8], offset_deltas_end: u32) -> Parsed<'_, RawRecord<'_>> {
    let (rest, length) = raw_varint("record length", input)?;
    let (rest, body) = take("record length", length, rest)?;
    let (left, _attributes) = byte("record attributes", body)?;
    let (left, timestamp_delta) = varlong("timestamp delta", left)?;
    let offset_delta_at = left;
    let (left, offset_delta) = varint("offset delta", left)?;
    // The comparison is of unsigned numbers, so that it refuses negative ones too.
    if offset_delta.cast_unsigned() >= offset_deltas_end {
        let cause = RecordErrorCause::OutOfRange(i64::from(offset_delta));
        return Err(fault(offset_delta_at, "offset delta", cause));
    }
    let (left, key) = nullable("key", left)?;
    let (left, value) = nullable("value", left)?;
    let (left, headers) = headers(left)?;
    if !left.is_empty() {
        return Err(fault(left, "record", RecordErrorCause::BytesLeft(left.len())));
    }
    Ok((rest, RawRecord { timestamp_delta, offset_delta, key, value, headers }))
}

/// A count and that many headers, kept in their encoded form.
///
/// A count larger than the bytes can hold fails at the first missing header: no memory is reserved for it.
#[inline]
fn headers(input: &[u8]) -> Parsed<'_, RawHeaders<'_>> {
    let (start, raw) = raw_varint("header count", input)?;
    if raw == 0 {
        return Ok((start, RawHeaders::EMPTY));
    }
    let count = unzigzag(raw);
    if count < 0 {
        return Err(fault(input, "header count", RecordErrorCause::OutOfRange(i64::from(count))));
    }
    let mut rest = start;
    for _ in 0..count {
        rest = header(rest)?.0;
    }
    let bytes = start.get(..start.offset(rest)).unwrap_or_default();
    Ok((rest, RawHeaders::checked(count.cast_unsigned(), bytes)))
}
