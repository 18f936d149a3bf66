//! Writing the varints of a record; the parsers that read them are in `wire`.
//!
//! Integers inside records are zig-zag: small for numbers near zero, whatever their sign.

/// The unsigned number whose varint stands for `number`; that of a 32-bit number has the bytes of its 32-bit varint.
#[inline]
pub(super) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// [`zigzag`] of a length.
#[inline]
pub(super) fn zigzag_length(length: usize) -> u64 {
    (length as u64) << 1
}

/// Bytes that the varint of `raw` takes, 1 to 10.
#[inline]
pub(super) fn varint_bytes(raw: u64) -> usize {
    let bits = 64 - (raw | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Appends the varint of `raw`.
#[inline]
pub(super) fn put_varint(buffer: &mut Vec<u8>, mut raw: u64) {
    while raw >= 0x80 {
        buffer.push(low_byte(raw) | 0x80);
        raw >>= 7;
    }
    buffer.push(low_byte(raw));
}

#[inline]
fn low_byte(raw: u64) -> u8 {
    let [low, ..] = raw.to_le_bytes();
    low
}
