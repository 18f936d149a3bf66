//! Reading one frame.

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete as number;

use super::varint::unsigned_varint;
use super::{DecodeCause, DecodeError, Str, Uuid};

/// Reads the fields of a message from a frame that it owns.
///
/// Every length is checked against the bytes left before anything is allocated or sliced, every count against the
/// bytes left divided by the least size of an element, and all elements together against 100 MiB of memory, or four
/// times the frame if that is more. Strings, byte fields and records are slices of the frame:
/// no copy, one reference count each, and they keep the frame alive.
///
/// Each read names its field for the error. After an error the position is unspecified; drop the reader.
#[derive(Clone, Debug)]
pub struct Reader {
    frame: Bytes,
    at: usize,
    flexible: bool,
    /// Bytes of memory that elements of lists may still take.
    elements_left_bytes: usize,
}

/// What the elements of all lists of a message may take in memory, unless four times its frame is more.
///
/// An empty string is one byte on the wire and 32 in memory: without a limit a hostile frame would take 32 times its
/// size. Honest messages stay far below: a million partitions of metadata take 112 MB, and come in a frame of 42 MB.
const ELEMENTS_LIMIT_BYTES: usize = 100 << 20;

impl Reader {
    /// Starts at the first byte of `frame`, with classic lengths.
    #[must_use]
    pub const fn new(frame: Bytes) -> Self {
        let elements_left_bytes = match frame.len().saturating_mul(4) {
            fourfold if fourfold > ELEMENTS_LIMIT_BYTES => fourfold,
            _ => ELEMENTS_LIMIT_BYTES,
        };
        Self { frame, at: 0, flexible: false, elements_left_bytes }
    }

    /// Chooses compact lengths and tagged fields (`true`, KIP-482), or classic lengths and no tags.
    pub const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.frame.len().saturating_sub(self.at)
    }

    /// Offset of the next byte from the start of the frame.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// Checks that the message ends where the frame ends.
    ///
    /// # Errors
    /// `TrailingBytes` when bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.left() == 0 { Ok(()) } else { Err(self.error("message", DecodeCause::TrailingBytes)) }
    }

    /// An error at the next byte.
    #[must_use]
    pub const fn error(&self, what: &'static str, cause: DecodeCause) -> DecodeError {
        DecodeError { at: self.at, what, cause }
    }

    /// Runs one nom parser at the next byte and moves behind what it took.
    ///
    /// # Errors
    /// What the parser refused, at the byte where it began.
    pub fn parse<'a, T>(
        &'a mut self,
        what: &'static str,
        mut parser: impl Parser<&'a [u8], Output = T, Error = DecodeCause>,
    ) -> Result<T, DecodeError> {
        let Self { frame, at, .. } = self;
        let input: &'a [u8] = frame.get(*at..).unwrap_or_default();
        match parser.parse(input) {
            Ok((rest, value)) => {
                *at += input.len() - rest.len();
                Ok(value)
            }
            Err(nom::Err::Error(cause) | nom::Err::Failure(cause)) => Err(DecodeError { at: *at, what, cause }),
            Err(nom::Err::Incomplete(_)) => Err(DecodeError { at: *at, what, cause: DecodeCause::Truncated }),
        }
    }

    /// One byte: anything but 0 is true, as in Java.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        self.parse(what, number::u8).map(|byte| byte != 0)
    }

    /// A signed byte.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i8(&mut self, what: &'static str) -> Result<i8, DecodeError> {
        self.parse(what, number::i8)
    }

    /// A big-endian integer of 16 bits.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i16(&mut self, what: &'static str) -> Result<i16, DecodeError> {
        self.parse(what, number::be_i16)
    }

    /// A big-endian integer of 32 bits.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.parse(what, number::be_i32)
    }

    /// A big-endian integer of 64 bits.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.parse(what, number::be_i64)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn uuid(&mut self, what: &'static str) -> Result<Uuid, DecodeError> {
        self.parse(what, number::be_u128).map(|id| Uuid(id.to_be_bytes()))
    }

    /// The next `count` bytes, sharing the frame.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn take(&mut self, what: &'static str, count: usize) -> Result<Bytes, DecodeError> {
        let start = self.at;
        self.parse(what, take(count))?;
        Ok(self.frame.slice(start..self.at))
    }

    /// A string. Classic: two bytes of length; compact: a varint of length + 1.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`; `UnexpectedNull`.
    pub fn string(&mut self, what: &'static str) -> Result<Str, DecodeError> {
        let null = self.error(what, DecodeCause::UnexpectedNull);
        self.nullable_string(what)?.ok_or(null)
    }

    /// A string or null: length -1, or 0 in the compact form.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`.
    pub fn nullable_string(&mut self, what: &'static str) -> Result<Option<Str>, DecodeError> {
        let length = if self.flexible { self.compact_length(what)? } else { self.short_length(what)? };
        self.text(what, length)
    }

    /// A string or null whose length stays classic in flexible versions: the client id of a request header.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`.
    pub fn nullable_classic_string(&mut self, what: &'static str) -> Result<Option<Str>, DecodeError> {
        let length = self.short_length(what)?;
        self.text(what, length)
    }

    /// A byte field. Classic: four bytes of length; compact: a varint of length + 1.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`; `UnexpectedNull`.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let null = self.error(what, DecodeCause::UnexpectedNull);
        self.nullable_bytes(what)?.ok_or(null)
    }

    /// A byte field or null.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`.
    pub fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        self.length(what)?.map(|length| self.take(what, length)).transpose()
    }

    /// Record batches, unread.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`; `UnexpectedNull`.
    pub fn records(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        self.bytes(what)
    }

    /// Record batches, unread, or null.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`.
    pub fn nullable_records(&mut self, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        self.nullable_bytes(what)
    }

    /// Elements in order. `element_min` is the least size of one in bytes, and bounds the count by the bytes left.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `CountTooLarge`, `ElementsTooLarge`; `UnexpectedNull`; whatever `element` fails with.
    pub fn array<T>(
        &mut self,
        what: &'static str,
        element_min: usize,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let null = self.error(what, DecodeCause::UnexpectedNull);
        self.nullable_array(what, element_min, element)?.ok_or(null)
    }

    /// Elements in order, or null.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `CountTooLarge`, `ElementsTooLarge`; whatever `element` fails with.
    pub fn nullable_array<T>(
        &mut self,
        what: &'static str,
        element_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let start = self.at;
        let Some(count) = self.length(what)? else { return Ok(None) };
        if count > self.left() / element_min.max(1) {
            return Err(DecodeError { at: start, what, cause: DecodeCause::CountTooLarge });
        }
        let left_bytes = self.elements_left_bytes.checked_sub(count.saturating_mul(size_of::<T>()));
        self.elements_left_bytes =
            left_bytes.ok_or(DecodeError { at: start, what, cause: DecodeCause::ElementsTooLarge })?;
        // A hostile count reserves no more memory than the frame itself has; true elements grow the rest.
        let mut elements = Vec::with_capacity(count.min(self.left() / size_of::<T>().max(1)));
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// A struct or null: one signed byte says which, below 0 for null (KIP-893).
    ///
    /// # Errors
    /// `Truncated`; whatever `inner` fails with.
    pub fn nullable_struct<T>(
        &mut self,
        what: &'static str,
        inner: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8(what)? < 0 { Ok(None) } else { inner(self).map(Some) }
    }

    /// Tagged fields at the end of a struct; nothing unless flexible.
    ///
    /// `known` reads the value of a tag and returns `true`, or reads nothing and returns `false`: then it is skipped.
    ///
    /// # Errors
    /// `Truncated`, `TagSizeMismatch`; whatever `known` fails with.
    pub fn tags(
        &mut self,
        mut known: impl FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.parse("tagged fields", unsigned_varint)?;
        for _ in 0..count {
            let tag = self.parse("tag", unsigned_varint)?;
            let size = self.parse("tag size", unsigned_varint)? as usize;
            let start = self.at;
            if size > self.left() {
                return Err(self.error("tagged field", DecodeCause::Truncated));
            }
            if !known(self, tag)? {
                self.at += size;
            }
            if self.at - start != size {
                return Err(DecodeError { at: start, what: "tagged field", cause: DecodeCause::TagSizeMismatch });
            }
        }
        Ok(())
    }

    /// Skips the tagged fields of a struct that knows none; nothing unless flexible.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|_, _| Ok(false))
    }

    fn text(&mut self, what: &'static str, length: Option<usize>) -> Result<Option<Str>, DecodeError> {
        let Some(length) = length else { return Ok(None) };
        let start = self.at;
        let bytes = self.take(what, length)?;
        let text = Str::try_from(bytes);
        text.map(Some).map_err(|_| DecodeError { at: start, what, cause: DecodeCause::InvalidUtf8 })
    }

    fn length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        if self.flexible { self.compact_length(what) } else { self.long_length(what) }
    }

    fn compact_length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        Ok(self.parse(what, unsigned_varint)?.checked_sub(1).map(|length| length as usize))
    }

    fn short_length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let start = self.at;
        let length = self.i16(what)?;
        classic(i32::from(length)).map_err(|cause| DecodeError { at: start, what, cause })
    }

    fn long_length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let start = self.at;
        let length = self.i32(what)?;
        classic(length).map_err(|cause| DecodeError { at: start, what, cause })
    }
}

fn classic(length: i32) -> Result<Option<usize>, DecodeCause> {
    match length {
        -1 => Ok(None),
        _ => usize::try_from(length).map(Some).map_err(|_| DecodeCause::InvalidLength),
    }
}
