//! nom parsers for a record and its parts, over the slice that holds all records of a batch. Records come here that
//! [`super::short`] passes over: those with a long part, and those with a fault, which is named here.

use nom::{IResult, Offset};

use super::{RawHeaders, RecordErrorCause};
use crate::wire::{DecodeCause, varint as wire};

/// What is left and the value, or what is wrong.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Fault<'a>>;

/// What is wrong with a field, and the bytes from there on: where it is follows from where they start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault<'a> {
    pub(super) input: &'a [u8],
    pub(super) what: &'static str,
    pub(super) cause: RecordErrorCause,
}

/// A record with its deltas as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: RawHeaders<'a>,
}

/// A record, whose parts must be exactly as long as its length says, and whose offset delta is below `offset_deltas_end`.
pub(super) fn record(input: &[u8], offset_deltas_end: u32) -> Parsed<'_, RawRecord<'_>> {
    let (rest, length) = raw_varint("record length", input)?;
    let (rest, body) = take("record length", length, rest)?;
    let (left, _attributes) = byte("record attributes", body)?;
    let (left, timestamp_delta) = varlong("timestamp delta", left)?;
    let offset_delta_at = left;
    let (left, offset_delta) = varint("offset delta", left)?;
    // As unsigned numbers, so that one comparison refuses the negative ones too.
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

/// The key, never null, and the value of a header.
#[inline]
pub(super) fn header(input: &[u8]) -> Parsed<'_, (&[u8], Option<&[u8]>)> {
    let (rest, key) = nullable("header key", input)?;
    let Some(key) = key else { return Err(fault(input, "header key", RecordErrorCause::NullHeaderKey)) };
    let (rest, value) = nullable("header value", rest)?;
    Ok((rest, (key, value)))
}

/// A count and that many headers, kept as they lie there.
///
/// A count above what the bytes hold ends at the first header that is not there: nothing is reserved for it.
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

/// A length and that many bytes; every negative length means null, as Java reads it.
#[inline]
fn nullable<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, Option<&'a [u8]>> {
    let (rest, raw) = raw_varint(what, input)?;
    if raw & 1 != 0 {
        return Ok((rest, None));
    }
    let (rest, bytes) = take(what, raw, rest)?;
    Ok((rest, Some(bytes)))
}

/// As many bytes as `raw` says, a zig-zag number.
#[inline]
fn take<'a>(what: &'static str, raw: u32, input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    if raw & 1 != 0 {
        return Err(fault(input, what, RecordErrorCause::OutOfRange(i64::from(unzigzag(raw)))));
    }
    match input.split_at_checked((raw >> 1) as usize) {
        Some((head, rest)) => Ok((rest, head)),
        None => Err(fault(input, what, RecordErrorCause::Truncated)),
    }
}

#[inline]
fn byte<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, u8> {
    match input.split_first() {
        Some((&byte, rest)) => Ok((rest, byte)),
        None => Err(fault(input, what, RecordErrorCause::Truncated)),
    }
}

#[inline]
fn varint<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, i32> {
    raw_varint(what, input).map(|(rest, raw)| (rest, unzigzag(raw)))
}

/// A varint before its zig-zag is undone: the lowest bit is the sign.
#[inline]
fn raw_varint<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, u32> {
    wire::unsigned_varint(input).map_err(|cause| named(input, what, cause))
}

fn varlong<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, i64> {
    wire::varlong(input).map_err(|cause| named(input, what, cause))
}

#[inline]
pub(super) fn unzigzag(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

#[cold]
fn named<'a>(input: &'a [u8], what: &'static str, cause: nom::Err<DecodeCause>) -> nom::Err<Fault<'a>> {
    let cause = match cause {
        nom::Err::Error(DecodeCause::VarintTooLong) => RecordErrorCause::VarintTooLong,
        _ => RecordErrorCause::Truncated,
    };
    nom::Err::Error(Fault { input, what, cause })
}

#[cold]
fn fault<'a>(input: &'a [u8], what: &'static str, cause: RecordErrorCause) -> nom::Err<Fault<'a>> {
    nom::Err::Error(Fault { input, what, cause })
}
