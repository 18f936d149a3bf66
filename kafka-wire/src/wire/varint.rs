//! Variable-length integers: seven bits per byte, lowest first; the top bit says that another byte follows.
//!
//! Compact lengths, counts and tags are plain unsigned varints; lengths and deltas inside a record are zig-zag,
//! small for numbers near zero whatever their sign; `record` writes those. Like Java's `ByteUtils`, the parsers accept
//! longer encodings of a number than necessary.

use bytes::BufMut;
use nom::{Err, IResult};

use super::DecodeCause;

/// Parses an unsigned varint of at most 5 bytes.
#[inline]
pub fn unsigned_varint(input: &[u8]) -> IResult<&[u8], u32, DecodeCause> {
    match input {
        [byte @ 0..=0x7f, rest @ ..] => Ok((rest, u32::from(*byte))),
        _ => long_unsigned(input),
    }
}

#[inline(never)]
fn long_unsigned(input: &[u8]) -> IResult<&[u8], u32, DecodeCause> {
    let (rest, number) = long(input, 5)?;
    // Java drops the surplus bits of the fifth byte; here a number that has them is refused as hostile or damaged.
    Ok((rest, u32::try_from(number).map_err(|_| Err::Error(DecodeCause::VarintTooLong))?))
}

/// Parses a zig-zag varint of 64 bits, at most 10 bytes.
pub fn varlong(input: &[u8]) -> IResult<&[u8], i64, DecodeCause> {
    long(input, 10).map(|(rest, number)| (rest, (number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
}

/// Parses an unsigned varint of 64 bits, at most 10 bytes.
pub fn unsigned_varlong(input: &[u8]) -> IResult<&[u8], u64, DecodeCause> {
    long(input, 10)
}

fn long(input: &[u8], bytes_max: usize) -> IResult<&[u8], u64, DecodeCause> {
    let mut number = 0u64;
    let mut rest = input;
    for index in 0..bytes_max {
        let Some((byte, after)) = rest.split_first() else { return Err(Err::Error(DecodeCause::Truncated)) };
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            break;
        }
        number |= bits << (7 * index);
        rest = after;
        if byte & 0x80 == 0 {
            return Ok((rest, number));
        }
    }
    Err(Err::Error(DecodeCause::VarintTooLong))
}

/// Appends an unsigned varint, 1 to 5 bytes.
pub fn put_unsigned_varint(out: &mut impl BufMut, mut number: u32) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

/// Appends an unsigned varint of 64 bits, 1 to 10 bytes.
pub fn put_unsigned_varlong(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

/// Appends a zig-zag varint of 64 bits, 1 to 10 bytes.
pub fn put_varlong(out: &mut impl BufMut, number: i64) {
    put_unsigned_varlong(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}
