//! Writing the varints of a record; `short` and `parse` read them.
//!
//! Integers inside records are zig-zag: small for numbers near zero, whatever their sign.

/// The zig-zag encoding of `number`. That of a 32-bit number makes the same bytes as its 32-bit varint.
#[inline]
pub(super) fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// [`zigzag`] of a length.
#[inline]
pub(super) fn zigzag_length(length: usize) -> u64 {
    (length as u64) << 1
}

/// Up to eight bytes of consecutive varints, made in registers and written in one step.
///
/// All eight bytes are written and the surplus is truncated. A step for each number would cost a check of the room and
/// a trip of the length through memory; with one for every byte, that is most of the cost of writing a small record.
#[derive(Clone, Copy)]
pub(super) struct Word {
    bits: u64,
    bytes: usize,
}

impl Word {
    /// Numbers below this take four bytes at most.
    pub(super) const END: u64 = 1 << 28;
    /// Most bytes that fit.
    pub(super) const BYTES_MAX: usize = 8;
    /// One byte of 0.
    pub(super) const ZERO: Self = Self { bits: 0, bytes: 1 };

    /// The varint of `raw`, which is below [`Word::END`].
    #[inline(always)]
    pub(super) fn of(raw: u64) -> Self {
        let raw = low_word(raw);
        let (bits, bytes) = if raw < 0x80 {
            (raw, 1)
        } else if raw < 0x4000 {
            (raw & 0x7f | 0x80 | (raw & 0x3f80) << 1, 2)
        } else if raw < 0x20_0000 {
            (raw & 0x7f | 0x8080 | (raw & 0x3f80) << 1 | (raw & 0x1f_c000) << 2, 3)
        } else {
            (raw & 0x7f | 0x80_8080 | (raw & 0x3f80) << 1 | (raw & 0x1f_c000) << 2 | (raw & 0xfe0_0000) << 3, 4)
        };
        Self { bits: u64::from(bits), bytes }
    }

    /// This followed by `next`, together at most [`Word::BYTES_MAX`] bytes.
    #[inline(always)]
    pub(super) fn then(self, next: Self) -> Self {
        Self { bits: self.bits | next.bits << ((8 * self.bytes) & 63), bytes: self.bytes + next.bytes }
    }

    /// Number of bytes.
    #[inline(always)]
    pub(super) fn bytes(self) -> usize {
        self.bytes
    }

    #[inline(always)]
    pub(super) fn put(self, buffer: &mut Vec<u8>) {
        let end = buffer.len() + self.bytes;
        buffer.extend_from_slice(&self.bits.to_le_bytes());
        buffer.truncate(end);
    }
}

/// Appends `bytes`; up to 16 as two halves that overlap, because a call of memcpy would cost more.
#[inline(always)]
pub(super) fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if bytes.len() <= 16 => {
            let end = buffer.len() + bytes.len();
            buffer.extend_from_slice(first);
            buffer.truncate(end - last.len());
            buffer.extend_from_slice(last);
        }
        _ if bytes.is_empty() => {}
        _ => buffer.extend_from_slice(bytes),
    }
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

#[inline]
fn low_word(raw: u64) -> u32 {
    let [first, second, third, fourth, ..] = raw.to_le_bytes();
    u32::from_le_bytes([first, second, third, fourth])
}
