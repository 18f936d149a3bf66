//! Decoding of one frame.

use bytes::Bytes;
use nom::bytes::complete::take;
use nom::{IResult, Parser};

use super::unknown_tags::Keeper;
use super::varint::unsigned_varint;
use super::{DecodeCause, DecodeError, Malformed, Str, UnknownTags, Uuid};

/// Reads the fields of a message from a frame.
///
/// Every length is checked against the bytes left before anything is allocated or sliced, every count against the bytes
/// left, and the memory of all elements together against [`ELEMENTS_PER_BYTE`] times the frame. Strings, byte fields
/// and records are slices of the frame: no copy, one reference count each, and they keep the frame alive.
///
/// Each read names its field for the error, which the reader keeps: [`Reader::message`] and [`Reader::explain`] return
/// it. After an error the position is unspecified; drop the reader.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    rest: &'a [u8],
    flexible: bool,
    /// Bytes of memory that elements of lists may still take.
    elements_left_bytes: usize,
    keeper: Option<Box<Keeper>>,
    /// The error of the last read that failed.
    failure: Option<DecodeError>,
}

/// Memory that the elements of all lists of a message may take, for each byte of its frame.
///
/// An empty string is one byte on the wire and 32 in memory, so without a limit a hostile frame would take more
/// than 32 times its size. Honest messages stay far below: a million partitions of metadata take 112 MB, and come
/// in a frame of 42 MB.
pub const ELEMENTS_PER_BYTE: usize = 16;

/// Memory that elements of lists may take in addition, for however short a frame.
///
/// Together with the other memory of decoding, which is a shared handle of the frame and the keeper of unknown tags,
/// it is 64 KiB.
const ELEMENTS_FREE_BYTES: usize = (64 << 10) - 512;

/// The longest string in bytes, in classic and in compact form.
///
/// Source: `MessageDataGenerator` of Kafka: "field had invalid length" above 0x7fff, even if the length is a varint.
pub(super) const STRING_MAX_BYTES: usize = 0x7fff;

/// A type that can be decoded: a message, a struct of one, or a number, string or byte field in a list.
pub trait Decode: Sized {
    /// Decodes one value, as `version` of its message has it.
    ///
    /// # Errors
    /// See the methods of [`Reader`]; [`Reader::explain`] names the field and the byte.
    fn read(r: &mut Reader<'_>, version: i16) -> Result<Self, Malformed>;

    /// Decodes `count` consecutive values. Numbers override this to do it in one step.
    ///
    /// # Errors
    /// The errors of the first value that cannot be decoded.
    fn read_list(r: &mut Reader<'_>, count: usize, version: i16) -> Result<Vec<Self>, Malformed> {
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(Self::read(r, version)?);
        }
        Ok(list)
    }
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `frame`, with classic lengths.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        let elements_left_bytes = frame.len().saturating_mul(ELEMENTS_PER_BYTE).saturating_add(ELEMENTS_FREE_BYTES);
        Self { frame, rest: frame, flexible: false, elements_left_bytes, keeper: None, failure: None }
    }

    /// Chooses compact lengths and tagged fields (`true`, KIP-482), or classic lengths and no tags.
    pub const fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// From here on, keeps tagged fields that the messages do not know, for [`Self::take_unknown_tags`].
    pub fn keep_unknown_tags(&mut self) {
        self.keeper = Some(Box::default());
    }

    /// The tagged fields kept since [`Self::keep_unknown_tags`]. After this call no more are kept.
    pub fn take_unknown_tags(&mut self) -> UnknownTags {
        self.keeper.take().map(|keeper| keeper.finish()).unwrap_or_default()
    }

    /// Number of bytes that have not been read yet.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Offset of the next byte from the start of the frame.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.frame.len().saturating_sub(self.rest.len())
    }

    /// The bytes that have not been read yet, sharing the frame.
    #[must_use]
    pub fn rest(&self) -> Bytes {
        self.frame.slice(self.at()..)
    }

    /// Checks that the message ends where the frame ends, for tools and tests that compare bytes.
    /// Brokers and clients ignore the bytes that are left.
    ///
    /// # Errors
    /// `TrailingBytes` if bytes are left.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("message", DecodeCause::TrailingBytes)) }
    }

    /// Decodes a whole message, or a number.
    ///
    /// # Errors
    /// Names the field and the byte that are wrong, or the version if the message has no such layout.
    pub fn message<T: Decode>(&mut self, version: i16) -> Result<T, DecodeError> {
        T::read(self, version).map_err(|malformed| self.explain(malformed))
    }

    /// The error of the last read that failed.
    #[must_use]
    pub fn explain(&self, malformed: Malformed) -> DecodeError {
        let Malformed(()) = malformed;
        self.failure.unwrap_or_else(|| self.error("message", DecodeCause::Truncated))
    }

    /// An error at the next byte.
    #[must_use]
    pub const fn error(&self, what: &'static str, cause: DecodeCause) -> DecodeError {
        DecodeError { at: self.at(), what, cause }
    }

    /// Fails at the next byte.
    #[cold]
    pub fn fail(&mut self, what: &'static str, cause: DecodeCause) -> Malformed {
        self.fail_at(self.at(), what, cause)
    }

    #[cold]
    fn fail_at(&mut self, at: usize, what: &'static str, cause: DecodeCause) -> Malformed {
        self.failure = Some(DecodeError { at, what, cause });
        Malformed(())
    }

    /// Runs one nom parser at the next byte and advances by the bytes that it took.
    ///
    /// # Errors
    /// The parser's error, at the byte where it began.
    #[inline]
    pub(super) fn parse<T>(
        &mut self,
        what: &'static str,
        mut parser: impl Parser<&'a [u8], Output = T, Error = DecodeCause>,
    ) -> Result<T, Malformed> {
        match parser.parse(self.rest) {
            Ok((rest, value)) => {
                self.rest = rest;
                Ok(value)
            }
            Err(nom::Err::Error(cause) | nom::Err::Failure(cause)) => Err(self.fail(what, cause)),
            Err(nom::Err::Incomplete(_)) => Err(self.fail(what, DecodeCause::Truncated)),
        }
    }

    /// One byte: anything but 0 is true, as in Java.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn bool(&mut self, what: &'static str) -> Result<bool, Malformed> {
        self.parse(what, array).map(|[byte]| byte != 0)
    }

    /// A signed byte.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i8(&mut self, what: &'static str) -> Result<i8, Malformed> {
        self.parse(what, array).map(i8::from_be_bytes)
    }

    /// A big-endian integer of 16 bits.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i16(&mut self, what: &'static str) -> Result<i16, Malformed> {
        self.parse(what, array).map(i16::from_be_bytes)
    }

    /// A big-endian integer of 16 bits without a sign.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.parse(what, array).map(u16::from_be_bytes)
    }

    /// A big-endian integer of 32 bits.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i32(&mut self, what: &'static str) -> Result<i32, Malformed> {
        self.parse(what, array).map(i32::from_be_bytes)
    }

    /// A big-endian integer of 64 bits.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        self.parse(what, array).map(i64::from_be_bytes)
    }

    /// A big-endian number of 64 bits in IEEE 754.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn f64(&mut self, what: &'static str) -> Result<f64, Malformed> {
        self.parse(what, array).map(f64::from_be_bytes)
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn uuid(&mut self, what: &'static str) -> Result<Uuid, Malformed> {
        self.parse(what, array).map(Uuid)
    }

    /// The next `count` bytes, sharing the frame.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn take(&mut self, what: &'static str, count: usize) -> Result<Bytes, Malformed> {
        let taken = self.parse(what, take(count))?;
        Ok(self.frame.slice_ref(taken))
    }

    /// A string. Classic: two bytes of length; compact: a varint of length + 1.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`; `UnexpectedNull`.
    pub fn string(&mut self, what: &'static str) -> Result<Str, Malformed> {
        let start = self.at();
        self.nullable_string(what)?.ok_or_else(|| self.fail_at(start, what, DecodeCause::UnexpectedNull))
    }

    /// A string or null: a length below 0, or 0 in the compact form.
    ///
    /// # Errors
    /// `Truncated`, `InvalidLength`, `InvalidUtf8`.
    pub fn nullable_string(&mut self, what: &'static str) -> Result<Option<Str>, Malformed> {
        let start = self.at();
        let length = self.string_length(what)?;
        self.shared_text(start, what, length)
    }

    /// A string or null whose length stays classic in flexible versions: the client id of a request header.
    ///
    /// # Errors
    /// `Truncated`, `InvalidUtf8`.
    pub fn nullable_classic_string(&mut self, what: &'static str) -> Result<Option<Str>, Malformed> {
        let start = self.at();
        let length = self.short_length(what)?;
        self.shared_text(start, what, length)
    }

    /// A byte field. Classic: four bytes of length; compact: a varint of length + 1.
    ///
    /// # Errors
    /// `Truncated`; `UnexpectedNull`.
    pub fn bytes(&mut self, what: &'static str) -> Result<Bytes, Malformed> {
        let start = self.at();
        self.nullable_bytes(what)?.ok_or_else(|| self.fail_at(start, what, DecodeCause::UnexpectedNull))
    }

    /// A byte field or null.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<Bytes>, Malformed> {
        self.length(what)?.map(|length| self.take(what, length)).transpose()
    }

    /// Record batches, unread.
    ///
    /// # Errors
    /// `Truncated`; `UnexpectedNull`.
    pub fn records(&mut self, what: &'static str) -> Result<Bytes, Malformed> {
        self.bytes(what)
    }

    /// Record batches, unread, or null.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn nullable_records(&mut self, what: &'static str) -> Result<Option<Bytes>, Malformed> {
        self.nullable_bytes(what)
    }

    /// Elements in order, as `version` of their message has them.
    ///
    /// # Errors
    /// `Truncated`, `CountTooLarge`, `ElementsTooLarge`; `UnexpectedNull`; whatever an element fails with.
    pub fn array<T: Decode>(&mut self, what: &'static str, version: i16) -> Result<Vec<T>, Malformed> {
        let start = self.at();
        match self.element_count(what, size_of::<T>())? {
            Some(count) => T::read_list(self, count, version),
            None => Err(self.fail_at(start, what, DecodeCause::UnexpectedNull)),
        }
    }

    /// Elements in order, or null.
    ///
    /// # Errors
    /// `Truncated`, `CountTooLarge`, `ElementsTooLarge`; whatever an element fails with.
    pub fn nullable_array<T: Decode>(&mut self, what: &'static str, version: i16) -> Result<Option<Vec<T>>, Malformed> {
        match self.element_count(what, size_of::<T>())? {
            Some(count) => T::read_list(self, count, version).map(Some),
            None => Ok(None),
        }
    }

    /// Decodes `count` numbers of `N` bytes each.
    pub(super) fn numbers<T, const N: usize>(
        &mut self,
        what: &'static str,
        count: usize,
        from: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Malformed> {
        let (whole, _) = self.rest.as_chunks();
        let Some(numbers) = whole.get(..count) else {
            // The position of the error is the first number that is incomplete.
            self.rest = self.rest.get(whole.len() * N..).unwrap_or_default();
            return Err(self.fail(what, DecodeCause::Truncated));
        };
        self.rest = self.rest.get(count * N..).unwrap_or_default();
        Ok(numbers.iter().map(|number| from(*number)).collect())
    }

    /// The count of elements that take `element_bytes` of memory each. The caller reserves that memory at once and
    /// it never grows, so the limit bounds the memory that is really taken. This is separate from the loop,
    /// which is compiled for each of 300 structs.
    #[inline(never)]
    fn element_count(&mut self, what: &'static str, element_bytes: usize) -> Result<Option<usize>, Malformed> {
        let start = self.at();
        let Some(count) = self.count(what)? else { return Ok(None) };
        let left_bytes = self.elements_left_bytes.checked_sub(count.saturating_mul(element_bytes));
        let too_large = || self.fail_at(start, what, DecodeCause::ElementsTooLarge);
        self.elements_left_bytes = left_bytes.ok_or_else(too_large)?;
        Ok(Some(count))
    }

    /// A struct or null: one signed byte tells, below 0 for null (KIP-893).
    ///
    /// # Errors
    /// `Truncated`; whatever the struct fails with.
    pub fn nullable_struct<T: Decode>(&mut self, what: &'static str, version: i16) -> Result<Option<T>, Malformed> {
        if self.i8(what)? < 0 { Ok(None) } else { T::read(self, version).map(Some) }
    }

    /// A struct or null in a tagged field: an unsigned varint tells, 0 for null.
    ///
    /// Source: Java's `ConsumerGroupMemberMetadataValue`, Kafka's only message with such a field.
    ///
    /// # Errors
    /// `Truncated`; whatever the struct fails with.
    pub fn nullable_tagged_struct<T: Decode>(
        &mut self,
        what: &'static str,
        version: i16,
    ) -> Result<Option<T>, Malformed> {
        let mark = self.parse(what, unsigned_varint)?;
        if mark.cast_signed() <= 0 { Ok(None) } else { T::read(self, version).map(Some) }
    }

    /// Tagged fields at the end of a struct; does nothing unless flexible.
    ///
    /// `known` reads the value of a tag and returns `true`, or reads nothing and returns `false`: then it is skipped,
    /// or kept after [`Self::keep_unknown_tags`].
    ///
    /// # Errors
    /// `Truncated`, `TagSizeMismatch`; whatever `known` fails with.
    #[inline]
    pub fn tags(&mut self, mut known: impl FnMut(&mut Self, u32) -> Result<bool, Malformed>) -> Result<(), Malformed> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.parse("tagged fields", unsigned_varint)?;
        if count == 0 && self.keeper.is_none() {
            return Ok(());
        }
        self.some_tags(count, &mut known)
    }

    /// Not inlined: most structs have no tagged fields set.
    #[inline(never)]
    fn some_tags(
        &mut self,
        count: u32,
        known: &mut dyn FnMut(&mut Self, u32) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        for _ in 0..count {
            let tag = self.parse("tag", unsigned_varint)?;
            let size = self.parse("tag size", unsigned_varint)? as usize;
            let start = self.at();
            let Some(after) = self.rest.get(size..) else {
                return Err(self.fail("tagged field", DecodeCause::Truncated));
            };
            if let Some(keeper) = &mut self.keeper {
                keeper.reenter(tag);
            }
            let is_known = known(self, tag)?;
            if let Some(keeper) = &mut self.keeper {
                keeper.leave();
                let taken_bytes = if is_known { 0 } else { keeper.keep(tag, self.frame, start, size) };
                let left_bytes = self.elements_left_bytes.checked_sub(taken_bytes);
                let too_large = || self.fail_at(start, "tagged field", DecodeCause::ElementsTooLarge);
                self.elements_left_bytes = left_bytes.ok_or_else(too_large)?;
            }
            if is_known && self.rest.len() != after.len() {
                return Err(self.fail_at(start, "tagged field", DecodeCause::TagSizeMismatch));
            }
            self.rest = after;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.end_struct();
        }
        Ok(())
    }

    /// Skips the tagged fields of a struct that knows none; does nothing unless flexible.
    ///
    /// # Errors
    /// `Truncated`.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<(), Malformed> {
        self.tags(|_, _| Ok(false))
    }

    fn shared_text(
        &mut self,
        start: usize,
        what: &'static str,
        length: Option<usize>,
    ) -> Result<Option<Str>, Malformed> {
        let Some(length) = length else { return Ok(None) };
        let text = Str::try_from(self.take(what, length)?);
        text.map(Some).map_err(|_| self.fail_at(start, what, DecodeCause::InvalidUtf8))
    }

    fn string_length(&mut self, what: &'static str) -> Result<Option<usize>, Malformed> {
        if !self.flexible {
            return self.short_length(what);
        }
        let start = self.at();
        let length = self.compact_length(what)?;
        if length.is_some_and(|length| length > STRING_MAX_BYTES) {
            return Err(self.fail_at(start, what, DecodeCause::InvalidLength));
        }
        Ok(length)
    }

    /// The count of a list. As in Java, every element is assumed to have at least one byte.
    #[inline(always)]
    fn count(&mut self, what: &'static str) -> Result<Option<usize>, Malformed> {
        let start = self.rest.len();
        match self.length(what)? {
            Some(count) if count > self.left() => {
                Err(self.fail_at(self.frame.len() - start, what, DecodeCause::CountTooLarge))
            }
            count => Ok(count),
        }
    }

    // If the compiler decides, this is a call for each list, which takes a fifth of the time of decoding metadata.
    #[inline(always)]
    fn length(&mut self, what: &'static str) -> Result<Option<usize>, Malformed> {
        if self.flexible {
            return self.compact_length(what);
        }
        self.i32(what).map(|length| usize::try_from(length).ok())
    }

    /// Length + 1. Java reads it into a signed number, so the upper half of the range also means null.
    #[inline]
    fn compact_length(&mut self, what: &'static str) -> Result<Option<usize>, Malformed> {
        let length = self.parse(what, unsigned_varint)?.cast_signed().wrapping_sub(1);
        Ok(usize::try_from(length).ok())
    }

    #[inline]
    fn short_length(&mut self, what: &'static str) -> Result<Option<usize>, Malformed> {
        self.i16(what).map(|length| usize::try_from(length).ok())
    }
}

/// The next `N` bytes.
#[inline]
pub(super) fn array<const N: usize>(input: &[u8]) -> IResult<&[u8], [u8; N], DecodeCause> {
    match input.split_first_chunk() {
        Some((bytes, rest)) => Ok((rest, *bytes)),
        None => Err(nom::Err::Error(DecodeCause::Truncated)),
    }
}
