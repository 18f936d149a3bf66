//! Reading one frame.

use bytes::Bytes;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete as number;

use super::element::{Decode, Items};
use super::unknown_tags::Keeper;
use super::varint::unsigned_varint;
use super::{DecodeCause, DecodeError, Str, UnknownTags, Uuid};

/// Reads the fields of a message from a frame.
///
/// Every length is checked against the bytes left before anything is allocated or sliced, every count against the
/// bytes left, and all elements together against [`ELEMENTS_PER_BYTE`] times the frame. What is read either shares the
/// frame's memory (`string`, `bytes`, `records`: no copy, one reference count each, and they keep the frame alive) or
/// borrows it (`str`, `slice`, `items`).
///
/// Each read names its field for the error. After an error the position is unspecified; drop the reader.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    flexible: bool,
    /// Bytes of memory that elements of lists may still take.
    elements_left_bytes: usize,
    keeper: Option<Box<Keeper>>,
}

/// Memory that the elements of all lists of a message may take, for each byte of its frame.
///
/// An empty string is one byte on the wire and 32 in memory, so without a limit a hostile frame would take 32 times
/// its size and more. Honest messages stay far below: a million partitions of metadata take 112 MB, and come in a
/// frame of 42 MB.
pub const ELEMENTS_PER_BYTE: usize = 16;

/// Memory that elements of lists may take in addition, however short the frame.
const ELEMENTS_FREE_BYTES: usize = 64 << 10;

/// The longest string in bytes, in classic and in compact form.
///
/// Source: `MessageDataGenerator` of Kafka, "field had invalid length" above 0x7fff, also where the length is a varint.
pub(super) const STRING_MAX_BYTES: usize = 0x7fff;

impl<'a> Reader<'a> {
    /// Starts at the first byte of `frame`, with classic lengths.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        let elements_left_bytes = frame.len().saturating_mul(ELEMENTS_PER_BYTE).saturating_add(ELEMENTS_FREE_BYTES);
        Self { frame, rest: frame, flexible: false, elements_left_bytes, keeper: None }
    }

    /// Starts in the middle of `frame`, of which `rest` is the end.
    pub(super) const fn behind(frame: &'a Bytes, rest: &'a [u8], flexible: bool) -> Self {
        Self { frame, rest, flexible, elements_left_bytes: 0, keeper: None }
    }

    /// Chooses compact lengths and tagged fields (`true`, KIP-482), or classic lengths and no tags.
    pub const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// From here on keeps tagged fields that the messages do not know, for [`Self::take_unknown_tags`].
    pub fn keep_unknown_tags(&mut self) {
        self.keeper = Some(Box::default());
    }

    /// The tagged fields kept since [`Self::keep_unknown_tags`]; none are kept from here on.
    pub fn take_unknown_tags(&mut self) -> UnknownTags {
        self.keeper.take().map(|keeper| keeper.finish()).unwrap_or_default()
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Offset of the next byte from the start of the frame.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.frame.len().saturating_sub(self.rest.len())
    }

    /// Everything that is not read yet, sharing the frame.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.frame.slice(self.at()..)
    }

    /// Checks that the message ends where the frame ends.
    ///
    /// # Errors
    /// `TrailingBytes` when bytes are left.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("message", DecodeCause::TrailingBytes)) }
    }

    /// An error at the next byte.
    #[must_use]
    pub const fn error(&self, what: &'static str, cause: DecodeCause) -> DecodeError {
        DecodeError { at: self.at(), what, cause }
    }

    /// Runs one nom parser at the next byte and moves behind what it took.
    ///
    /// # Errors
    /// What the parser refused, at the byte where it began.
    #[inline]
    pub fn parse<T>(
        &mut self,
        what: &'static str,
        mut parser: impl Parser<&'a [u8], Output = T, Error = DecodeCause>,
    ) -> Result<T, DecodeError> {
        match parser.parse(self.rest) {
            Ok((rest, value)) => {
                self.rest = rest;
                Ok(value)
            }
            Err(nom::Err::Error(cause) | nom::Err::Failure(cause)) => Err(self.error(what, cause)),
            Err(nom::Err::Incomplete(_)) => Err(self.error(what, DecodeCause::Truncated)),
        }
    }

    /// One byte: anything but 0 is true, as in Java.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        self.parse(what, number::u8).map(|byte| byte != 0)
    }

    /// A signed byte.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i8(&mut self, what: &'static str) -> Result<i8, DecodeError> {
        self.parse(what, number::i8)
    }

    /// A big-endian integer of 16 bits.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i16(&mut self, what: &'static str) -> Result<i16, DecodeError> {
        self.parse(what, number::be_i16)
    }

    /// A big-endian integer of 16 bits without a sign.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.parse(what, number::be_u16)
    }

    /// A big-endian integer of 32 bits.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.parse(what, number::be_i32)
    }

    /// A big-endian integer of 64 bits.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.parse(what, number::be_i64)
    }

    /// A big-endian number of 64 bits in IEEE 754.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn f64(&mut self, what: &'static str) -> Result<f64, DecodeError> {
        self.parse(what, number::be_f64)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn uuid(&mut self, what: &'static str) -> Result<Uuid, DecodeError> {
        self.parse(what, number::be_u128).map(|id| Uuid(id.to_be_bytes()))
    }

    /// The next `count` bytes, sharing the frame.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn take(&mut self, what: &'static str, count: usize) -> Result<Bytes, DecodeError> {
        let taken = self.parse(what, take(count))?;
        Ok(self.frame.slice_ref(taken))
    }

    /// A string. Classic: two bytes of length; compact: a varint of length + 1.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`; `UnexpectedNull`.
    pub fn string(&mut self, what: &'static str) -> Result<Str, DecodeError> {
        let start = self.at();
        self.nullable_string(what)?.ok_or(unexpected_null(start, what))
    }

    /// A string or null: a length below 0, or 0 in the compact form.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`.
    pub fn nullable_string(&mut self, what: &'static str) -> Result<Option<Str>, DecodeError> {
        let start = self.at();
        let length = self.string_length(what)?;
        self.shared_text(start, what, length)
    }

    /// A string or null whose length stays classic in flexible versions: the client id of a request header.
    ///
    /// # Errors
    /// `Truncated`, `InvalidUtf8`.
    pub fn nullable_classic_string(&mut self, what: &'static str) -> Result<Option<Str>, DecodeError> {
        let start = self.at();
        let length = self.short_length(what)?;
        self.shared_text(start, what, length)
    }

    /// A string, borrowed.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`; `UnexpectedNull`.
    pub fn str(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let start = self.at();
        self.nullable_str(what)?.ok_or(unexpected_null(start, what))
    }

    /// A string or null, borrowed.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`.
    pub fn nullable_str(&mut self, what: &'static str) -> Result<Option<&'a str>, DecodeError> {
        let start = self.at();
        let Some(length) = self.string_length(what)? else { return Ok(None) };
        let text = std::str::from_utf8(self.parse(what, take(length))?);
        text.map(Some).map_err(|_| DecodeError { at: start, what, cause: DecodeCause::InvalidUtf8 })
    }

    /// A byte field. Classic: four bytes of length; compact: a varint of length + 1.
    ///
    /// # Errors
    /// `Truncated`; `UnexpectedNull`.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        let start = self.at();
        self.nullable_bytes(what)?.ok_or(unexpected_null(start, what))
    }

    /// A byte field or null.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        self.length(what)?.map(|length| self.take(what, length)).transpose()
    }

    /// A byte field, borrowed.
    ///
    /// # Errors
    /// `Truncated`; `UnexpectedNull`.
    pub fn slice(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let start = self.at();
        self.nullable_slice(what)?.ok_or(unexpected_null(start, what))
    }

    /// A byte field or null, borrowed.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn nullable_slice(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        self.length(what)?.map(|length| self.parse(what, take(length))).transpose()
    }

    /// Record batches, unread.
    ///
    /// # Errors
    /// `Truncated`; `UnexpectedNull`.
    pub fn records(&mut self, what: &'static str) -> Result<Bytes, DecodeError> {
        self.bytes(what)
    }

    /// Record batches, unread, or null.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn nullable_records(&mut self, what: &'static str) -> Result<Option<Bytes>, DecodeError> {
        self.nullable_bytes(what)
    }

    /// Elements in order, as `version` of their message has them.
    ///
    /// # Errors
    /// `Truncated`, `CountTooLarge`, `ElementsTooLarge`; `UnexpectedNull`; whatever an element fails with.
    pub fn array<T: Decode<'a>>(&mut self, what: &'static str, version: i16) -> Result<Vec<T>, DecodeError> {
        let start = self.at();
        self.nullable_array(what, version)?.ok_or(unexpected_null(start, what))
    }

    /// Elements in order, or null.
    ///
    /// # Errors
    /// `Truncated`, `CountTooLarge`, `ElementsTooLarge`; whatever an element fails with.
    pub fn nullable_array<T: Decode<'a>>(
        &mut self,
        what: &'static str,
        version: i16,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let start = self.at();
        let Some(count) = self.count(what)? else { return Ok(None) };
        // The memory is reserved at once and never grows: so the limit is one on what is really taken.
        let left_bytes = self.elements_left_bytes.checked_sub(count.saturating_mul(size_of::<T>()));
        let too_large = DecodeError { at: start, what, cause: DecodeCause::ElementsTooLarge };
        self.elements_left_bytes = left_bytes.ok_or(too_large)?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(self, version)?);
        }
        Ok(Some(elements))
    }

    /// Elements in order, checked and left in the frame.
    ///
    /// # Errors
    /// `Truncated`, `CountTooLarge`; `UnexpectedNull`; whatever an element fails with.
    pub fn items<T: Decode<'a>>(&mut self, what: &'static str, version: i16) -> Result<Items<'a, T>, DecodeError> {
        let start = self.at();
        self.nullable_items(what, version)?.ok_or(unexpected_null(start, what))
    }

    /// Elements in order, checked and left in the frame, or null.
    ///
    /// # Errors
    /// `Truncated`, `CountTooLarge`; whatever an element fails with.
    pub fn nullable_items<T: Decode<'a>>(
        &mut self,
        what: &'static str,
        version: i16,
    ) -> Result<Option<Items<'a, T>>, DecodeError> {
        let Some(count) = self.count(what)? else { return Ok(None) };
        let first = self.rest;
        for _ in 0..count {
            T::decode(self, version)?;
        }
        Ok(Some(Items::new(self.frame, first, self.flexible, count, version)))
    }

    /// A struct or null: one signed byte says which, below 0 for null (KIP-893).
    ///
    /// # Errors
    /// `Truncated`; whatever the struct fails with.
    pub fn nullable_struct<T: Decode<'a>>(
        &mut self,
        what: &'static str,
        version: i16,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8(what)? < 0 { Ok(None) } else { T::decode(self, version).map(Some) }
    }

    /// Tagged fields at the end of a struct; nothing unless flexible.
    ///
    /// `known` reads the value of a tag and returns `true`, or reads nothing and returns `false`: then it is skipped,
    /// or kept after [`Self::keep_unknown_tags`].
    ///
    /// # Errors
    /// `Truncated`, `TagSizeMismatch`; whatever `known` fails with.
    #[inline]
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
            let start = self.at();
            let Some((value, after)) = self.rest.split_at_checked(size) else {
                return Err(self.error("tagged field", DecodeCause::Truncated));
            };
            if let Some(keeper) = &mut self.keeper {
                keeper.enter(tag);
            }
            let is_known = known(self, tag)?;
            if let Some(keeper) = &mut self.keeper {
                keeper.leave(tag, if is_known { None } else { Some(self.frame.slice_ref(value)) });
            }
            if is_known && self.rest.len() != after.len() {
                return Err(DecodeError { at: start, what: "tagged field", cause: DecodeCause::TagSizeMismatch });
            }
            self.rest = after;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.end_struct();
        }
        Ok(())
    }

    /// Skips the tagged fields of a struct that knows none; nothing unless flexible.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|_, _| Ok(false))
    }

    fn shared_text(
        &mut self,
        start: usize,
        what: &'static str,
        length: Option<usize>,
    ) -> Result<Option<Str>, DecodeError> {
        let Some(length) = length else { return Ok(None) };
        let text = Str::try_from(self.take(what, length)?);
        text.map(Some).map_err(|_| DecodeError { at: start, what, cause: DecodeCause::InvalidUtf8 })
    }

    fn string_length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        if !self.flexible {
            return self.short_length(what);
        }
        let start = self.at();
        let length = self.compact_length(what)?;
        if length.is_some_and(|length| length > STRING_MAX_BYTES) {
            return Err(DecodeError { at: start, what, cause: DecodeCause::InvalidLength });
        }
        Ok(length)
    }

    /// The count of a list. Like Java, which takes every element to have a byte at least.
    #[inline]
    fn count(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let start = self.at();
        let count = self.length(what)?;
        if count.is_some_and(|count| count > self.left()) {
            return Err(DecodeError { at: start, what, cause: DecodeCause::CountTooLarge });
        }
        Ok(count)
    }

    #[inline]
    fn length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return self.compact_length(what);
        }
        self.i32(what).map(|length| usize::try_from(length).ok())
    }

    /// Length + 1. Java reads it into a signed number, so the upper half of its range is null as well.
    #[inline]
    fn compact_length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let length = self.parse(what, unsigned_varint)?.cast_signed().wrapping_sub(1);
        Ok(usize::try_from(length).ok())
    }

    #[inline]
    fn short_length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        self.i16(what).map(|length| usize::try_from(length).ok())
    }
}

#[cold]
const fn unexpected_null(at: usize, what: &'static str) -> DecodeError {
    DecodeError { at, what, cause: DecodeCause::UnexpectedNull }
}
