//! Variable-length integers: seven bits a byte, lowest first, the top bit says that more follow.
//!
//! Compact lengths, counts and tags are plain unsigned varints; lengths and deltas inside a record are zig-zag.
//! Like Java's `ByteUtils`, the parsers take longer spellings of a number than needed, and write the shortest.

use bytes::BufMut;
use nom::{Err, IResult};

use super::DecodeCause;

/// Parses an unsigned varint of at most 5 bytes.
pub fn unsigned_varint(input: &[u8]) -> IResult<&[u8], u32, DecodeCause> {
    match input {
        [byte @ 0..=0x7f, rest @ ..] => Ok((rest, u32::from(*byte))),
        _ => {
            let (rest, number) = long(input, 5)?;
            // Java shifts the surplus bits of the fifth byte out; a number that needs them is hostile or torn.
            Ok((rest, u32::try_from(number).map_err(|_| Err::Error(DecodeCause::VarintTooLong))?))
        }
    }
}

/// Parses a zig-zag varint of 32 bits.
pub fn varint(input: &[u8]) -> IResult<&[u8], i32, DecodeCause> {
    unsigned_varint(input).map(|(rest, number)| (rest, (number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
}

/// Parses a zig-zag varint of 64 bits, at most 10 bytes.
pub fn varlong(input: &[u8]) -> IResult<&[u8], i64, DecodeCause> {
    long(input, 10).map(|(rest, number)| (rest, (number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
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

/// Appends an unsigned varint.
pub fn put_unsigned_varint(out: &mut impl BufMut, number: u32) {
    put_unsigned_varlong(out, u64::from(number));
}

/// Appends a zig-zag varint of 32 bits.
pub fn put_varint(out: &mut impl BufMut, number: i32) {
    put_unsigned_varint(out, ((number << 1) ^ (number >> 31)).cast_unsigned());
}

/// Appends a zig-zag varint of 64 bits.
pub fn put_varlong(out: &mut impl BufMut, number: i64) {
    put_unsigned_varlong(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn put_unsigned_varlong(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

/// Bytes that [`put_unsigned_varint`] writes, 1 to 5.
#[must_use]
pub const fn unsigned_varint_size(number: u32) -> usize {
    size((number | 1).ilog2())
}

/// Bytes that [`put_varint`] writes, 1 to 5.
#[must_use]
pub const fn varint_size(number: i32) -> usize {
    unsigned_varint_size(((number << 1) ^ (number >> 31)).cast_unsigned())
}

/// Bytes that [`put_varlong`] writes, 1 to 10.
#[must_use]
pub const fn varlong_size(number: i64) -> usize {
    size((((number << 1) ^ (number >> 63)).cast_unsigned() | 1).ilog2())
}

/// One byte for each seven bits, given the index of the highest.
const fn size(highest_bit: u32) -> usize {
    (highest_bit / 7) as usize + 1
}
