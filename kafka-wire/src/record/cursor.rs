//! Varints and slices out of a region of records.
//!
//! Integers inside records are zig-zag varints, of at most 5 bytes for 32 bits and 10 for 64. As in Java, bits of the
//! last byte that do not fit are dropped.

use super::{RecordError, RecordErrorCause};

/// A place in a region of records, which knows how far it is from the region's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted as [`RecordError::at`] is.
    end: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8], end: usize) -> Self {
        Self { rest, end }
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[cold]
    pub(super) fn error(&self, what: &'static str, cause: RecordErrorCause) -> RecordError {
        RecordError::new(self.end - self.rest.len(), what, cause)
    }

    #[inline]
    pub(super) fn skip_byte(&mut self, what: &'static str) -> Result<(), RecordError> {
        let Some((_, rest)) = self.rest.split_first() else {
            return Err(self.error(what, RecordErrorCause::Truncated));
        };
        self.rest = rest;
        Ok(())
    }

    /// Takes `length` bytes off the front as a region of their own.
    #[inline]
    pub(super) fn split(&mut self, length: i32, what: &'static str) -> Result<Self, RecordError> {
        let Ok(size) = usize::try_from(length) else {
            return Err(self.error(what, RecordErrorCause::OutOfRange(i64::from(length))));
        };
        let Some((head, rest)) = self.rest.split_at_checked(size) else {
            return Err(self.error(what, RecordErrorCause::Truncated));
        };
        self.rest = rest;
        Ok(Self { rest: head, end: self.end - rest.len() })
    }

    /// A length and that many bytes; every negative length means null, as Java reads it.
    #[inline]
    pub(super) fn nullable(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, RecordError> {
        let length = self.varint(what)?;
        if length < 0 {
            return Ok(None);
        }
        Ok(Some(self.split(length, what)?.rest))
    }

    #[inline]
    pub(super) fn varint(&mut self, what: &'static str) -> Result<i32, RecordError> {
        let raw = self.unsigned(5, what)? & u64::from(u32::MAX);
        let raw = u32::try_from(raw).expect("masked to 32 bits");
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    #[inline]
    pub(super) fn varlong(&mut self, what: &'static str) -> Result<i64, RecordError> {
        let raw = self.unsigned(10, what)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    #[inline]
    fn unsigned(&mut self, size_max: u32, what: &'static str) -> Result<u64, RecordError> {
        match *self.rest {
            [first, ref rest @ ..] if first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
            }
            _ => self.unsigned_long(size_max, what),
        }
    }

    fn unsigned_long(&mut self, size_max: u32, what: &'static str) -> Result<u64, RecordError> {
        let mut number = 0;
        let mut rest = self.rest;
        for index in 0..size_max {
            let Some((&byte, after)) = rest.split_first() else {
                return Err(self.error(what, RecordErrorCause::Truncated));
            };
            rest = after;
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.rest = rest;
                return Ok(number);
            }
        }
        Err(self.error(what, RecordErrorCause::VarintTooLong))
    }
}

/// Bytes that a 64-bit zig-zag varint takes, 1 to 10; a 32-bit one takes the same for the same number.
#[inline]
pub(super) fn varlong_bytes(number: i64) -> usize {
    let bits = 64 - (zigzag(number) | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(10)
}

/// Appends the zig-zag varint of `number`; for a 32-bit number the bytes are those of its 32-bit varint.
#[inline]
pub(super) fn put_varlong(buffer: &mut Vec<u8>, number: i64) {
    let mut raw = zigzag(number);
    while raw >= 0x80 {
        let [.., low] = raw.to_be_bytes();
        buffer.push(low | 0x80);
        raw >>= 7;
    }
    let [.., low] = raw.to_be_bytes();
    buffer.push(low);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}
