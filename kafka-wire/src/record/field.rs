//! nom parsers for the fields of a record, over the slice that holds all records of a batch. An error has the field
//! that is wrong, and the bytes from there on.

use nom::IResult;

use super::RecordErrorCause;
use crate::wire::{DecodeCause, varint as wire};

/// The remaining bytes and the value, or the error.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Fault<'a>>;

/// An error in a field, and the bytes from there on, whose start gives the position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault<'a> {
    pub(super) input: &'a [u8],
    pub(super) what: &'static str,
    pub(super) cause: RecordErrorCause,
}

/// The key of a header, never null, and its value.
#[inline]
pub(super) fn header(input: &[u8]) -> Parsed<'_, (&[u8], Option<&[u8]>)> {
    let (rest, key) = nullable("header key", input)?;
    let Some(key) = key else { return Err(fault(input, "header key", RecordErrorCause::NullHeaderKey)) };
    let (rest, value) = nullable("header value", rest)?;
    Ok((rest, (key, value)))
}

/// A length and that many bytes; every negative length means null, as Java reads it.
#[inline]
pub(super) fn nullable<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, Option<&'a [u8]>> {
    let (rest, raw) = raw_varint(what, input)?;
    if raw & 1 != 0 {
        return Ok((rest, None));
    }
    let (rest, bytes) = take(what, raw, rest)?;
    Ok((rest, Some(bytes)))
}

/// As many bytes as `raw` states, a zig-zag number.
#[inline]
pub(super) fn take<'a>(what: &'static str, raw: u32, input: &'a [u8]) -> Parsed<'a, &'a [u8]> {
    if raw & 1 != 0 {
        return Err(fault(input, what, RecordErrorCause::OutOfRange(i64::from(unzigzag(raw)))));
    }
    match input.split_at_checked((raw >> 1) as usize) {
        Some((head, rest)) => Ok((rest, head)),
        None => Err(fault(input, what, RecordErrorCause::Truncated)),
    }
}

#[inline]
pub(super) fn byte<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, u8> {
    match input.split_first() {
        Some((&byte, rest)) => Ok((rest, byte)),
        None => Err(fault(input, what, RecordErrorCause::Truncated)),
    }
}

#[inline]
pub(super) fn varint<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, i32> {
    raw_varint(what, input).map(|(rest, raw)| (rest, unzigzag(raw)))
}

/// A varint before its zig-zag decoding: the lowest bit is the sign.
#[inline]
pub(super) fn raw_varint<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, u32> {
    wire::unsigned_varint(input).map_err(|cause| named(input, what, cause))
}

pub(super) fn varlong<'a>(what: &'static str, input: &'a [u8]) -> Parsed<'a, i64> {
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
pub(super) fn fault<'a>(input: &'a [u8], what: &'static str, cause: RecordErrorCause) -> nom::Err<Fault<'a>> {
    nom::Err::Error(Fault { input, what, cause })
}
