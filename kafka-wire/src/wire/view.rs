//! Decoding of a message that stays in its frame.
//!
//! A view is a message whose strings and byte fields borrow the frame and whose lists are decoded when they are
//! iterated: decoding a view takes no memory, and no more time than a walk over its bytes.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use nom::bytes::complete::take;
use nom::{IResult, Parser};

use super::reader::{STRING_MAX_BYTES, array};
use super::varint::unsigned_varint;
use super::{DecodeCause, Malformed, Uuid};

/// A value that borrows its frame: a message, a struct of one, or a number, string or byte field in a list.
pub trait View<'a>: Sized {
    /// Its size in bytes, if that is the same for all values and versions.
    const SIZE: Option<usize> = None;

    /// Decodes one value, as `version` of its message has it.
    ///
    /// # Errors
    /// The bytes are no such value. Decoding the owned form of the message gives the details.
    fn view(r: &mut ViewReader<'a>, version: i16) -> Result<Self, Malformed>;
}

/// Reads the fields of a view.
///
/// It has the same methods as [`Reader`](super::Reader), with the same rules. They take the names of fields as well,
/// but do not use them: the position is the whole state, so that it stays in registers (a position in memory makes
/// every field wait for the one before: 22 ns instead of 8 for the 11 fields of a fetched partition).
#[derive(Clone, Copy, Debug)]
pub struct ViewReader<'a> {
    rest: &'a [u8],
    /// 1 or 0. It is not a `bool`, whose spare values `Option` would use, and then copy the struct in odd pieces.
    flexible: usize,
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $method:ident $number:ty, $from:expr;)*) => {
        impl<'a> ViewReader<'a> {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// The frame ends inside it.
            #[inline(always)]
            pub fn $method(&mut self, _: &'static str) -> Result<$number, Malformed> {
                self.parse(array).map($from)
            }
        )*}

        $(
            impl<'a> View<'a> for $number {
                const SIZE: Option<usize> = Some(size_of::<Self>());

                #[inline(always)]
                fn view(r: &mut ViewReader<'a>, _: i16) -> Result<Self, Malformed> {
                    r.$method("element")
                }
            }
        )*
    };
}

numbers! {
    /// One byte: anything but 0 is true, as in Java.
    bool bool, |[byte]: [u8; 1]| byte != 0;
    /// A signed byte.
    i8 i8, i8::from_be_bytes;
    /// A big-endian integer of 16 bits.
    i16 i16, i16::from_be_bytes;
    /// A big-endian integer of 16 bits without a sign.
    u16 u16, u16::from_be_bytes;
    /// A big-endian integer of 32 bits.
    i32 i32, i32::from_be_bytes;
    /// A big-endian integer of 64 bits.
    i64 i64, i64::from_be_bytes;
    /// A big-endian number of 64 bits in IEEE 754.
    f64 f64, f64::from_be_bytes;
    /// Sixteen bytes.
    uuid Uuid, Uuid;
}

impl<'a> ViewReader<'a> {
    /// Starts at the first byte of `rest`; `flexible` chooses compact lengths and tagged fields (KIP-482).
    #[must_use]
    pub const fn new(rest: &'a [u8], flexible: bool) -> Self {
        Self { rest, flexible: flexible as usize }
    }

    /// The bytes that have not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A string.
    ///
    /// # Errors
    /// Null, too long, not UTF-8, or the frame ends inside it.
    #[inline(always)]
    pub fn str(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        self.nullable_str(what)?.ok_or(Malformed(()))
    }

    /// A string or null.
    ///
    /// # Errors
    /// Too long, not UTF-8, or the frame ends inside it.
    #[inline(always)]
    pub fn nullable_str(&mut self, what: &'static str) -> Result<Option<&'a str>, Malformed> {
        let length = if self.flexible != 0 { self.length()? } else { usize::try_from(self.i16(what)?).ok() };
        match length {
            None => Ok(None),
            Some(length) if length > STRING_MAX_BYTES => Err(Malformed(())),
            Some(length) => std::str::from_utf8(self.parse(take(length))?).map(Some).map_err(|_| Malformed(())),
        }
    }

    /// A byte field or records.
    ///
    /// # Errors
    /// Null, or the frame ends inside it.
    #[inline(always)]
    pub fn slice(&mut self, what: &'static str) -> Result<&'a [u8], Malformed> {
        self.nullable_slice(what)?.ok_or(Malformed(()))
    }

    /// A byte field or records, or null.
    ///
    /// # Errors
    /// The frame ends inside it.
    #[inline(always)]
    pub fn nullable_slice(&mut self, _: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.length()? {
            None => Ok(None),
            Some(length) => self.parse(take(length)).map(Some),
        }
    }

    /// Elements in order, all checked.
    ///
    /// # Errors
    /// Null, more elements than bytes are left, or an invalid element.
    #[inline(always)]
    pub fn items<T: View<'a>>(&mut self, what: &'static str, version: i16) -> Result<Items<'a, T>, Malformed> {
        self.nullable_items(what, version)?.ok_or(Malformed(()))
    }

    /// Elements in order, all checked, or null.
    ///
    /// # Errors
    /// More elements than bytes are left, or an invalid element.
    #[inline(always)]
    pub fn nullable_items<T: View<'a>>(
        &mut self,
        _: &'static str,
        version: i16,
    ) -> Result<Option<Items<'a, T>>, Malformed> {
        let Some(count) = self.length()? else { return Ok(None) };
        if count > self.rest.len() {
            return Err(Malformed(()));
        }
        let items = Items { first: *self, count, version, of: PhantomData };
        if let Some(size) = T::SIZE {
            self.parse(take(count.saturating_mul(size)))?;
        } else {
            *self = walk::<T>(*self, count, version)?;
        }
        Ok(Some(items))
    }

    /// A struct or null: one signed byte tells, below 0 for null (KIP-893).
    ///
    /// # Errors
    /// An invalid struct, or the frame ends inside it.
    #[inline(always)]
    pub fn nullable_struct<T: View<'a>>(&mut self, what: &'static str, version: i16) -> Result<Option<T>, Malformed> {
        if self.i8(what)? < 0 { Ok(None) } else { T::view(self, version).map(Some) }
    }

    /// Tagged fields at the end of a struct; does nothing unless flexible.
    ///
    /// `known` reads the value of a tag and returns `true`, or reads nothing and returns `false`: then it is skipped.
    ///
    /// # Errors
    /// A value that is invalid or not as long as its size states, or the frame ends inside it.
    #[inline(always)]
    pub fn tags(&mut self, mut known: impl FnMut(&mut Self, u32) -> Result<bool, Malformed>) -> Result<(), Malformed> {
        if self.flexible != 0 {
            let count = self.parse(unsigned_varint)?;
            if count > 0 {
                *self = some_tags(*self, count, &mut known)?;
            }
        }
        Ok(())
    }

    /// Skips the tagged fields of a struct that knows none; does nothing unless flexible.
    ///
    /// # Errors
    /// The frame ends inside them.
    #[inline(always)]
    pub fn skip_tags(&mut self) -> Result<(), Malformed> {
        self.tags(|_, _| Ok(false))
    }

    #[inline(always)]
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        let length = if self.flexible != 0 {
            self.parse(unsigned_varint)?.cast_signed().wrapping_sub(1)
        } else {
            self.parse(array).map(i32::from_be_bytes)?
        };
        Ok(usize::try_from(length).ok())
    }

    #[inline(always)]
    fn parse<T>(&mut self, mut parser: impl Parser<&'a [u8], Output = T, Error = DecodeCause>) -> Result<T, Malformed> {
        let parsed: IResult<&'a [u8], T, DecodeCause> = parser.parse(self.rest);
        let (rest, value) = parsed.map_err(|_| Malformed(()))?;
        self.rest = rest;
        Ok(value)
    }
}

/// Walks over `count` elements. Takes the position and returns it: see [`ViewReader`].
#[inline]
fn walk<'a, T: View<'a>>(mut at: ViewReader<'a>, count: usize, version: i16) -> Result<ViewReader<'a>, Malformed> {
    for _ in 0..count {
        T::view(&mut at, version)?;
    }
    Ok(at)
}

/// Not inlined: most structs have no tagged fields set.
#[inline(never)]
fn some_tags<'a>(
    mut at: ViewReader<'a>,
    count: u32,
    known: &mut dyn FnMut(&mut ViewReader<'a>, u32) -> Result<bool, Malformed>,
) -> Result<ViewReader<'a>, Malformed> {
    for _ in 0..count {
        let tag = at.parse(unsigned_varint)?;
        let size = at.parse(unsigned_varint)? as usize;
        let (_, after) = at.rest.split_at_checked(size).ok_or(Malformed(()))?;
        if known(&mut at, tag)? && at.rest.len() != after.len() {
            return Err(Malformed(()));
        }
        at.rest = after;
    }
    Ok(at)
}

impl<'a> View<'a> for &'a str {
    #[inline(always)]
    fn view(r: &mut ViewReader<'a>, _: i16) -> Result<Self, Malformed> {
        r.str("element")
    }
}

impl<'a> View<'a> for &'a [u8] {
    #[inline(always)]
    fn view(r: &mut ViewReader<'a>, _: i16) -> Result<Self, Malformed> {
        r.slice("element")
    }
}

/// A list that stays in the frame: its elements are decoded each time they are iterated, and take no memory.
///
/// All of them were decoded once together with the message, so iterating cannot fail.
pub struct Items<'a, T> {
    first: ViewReader<'a>,
    count: usize,
    version: i16,
    of: PhantomData<fn() -> T>,
}

impl<'a, T> Items<'a, T> {
    /// An empty list.
    #[must_use]
    pub const fn empty() -> Self {
        Self { first: ViewReader::new(&[], false), count: 0, version: 0, of: PhantomData }
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no elements.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Decodes the elements in order.
    #[must_use]
    pub const fn iter(&self) -> ItemsIter<'a, T> {
        ItemsIter { at: self.first, left: self.count, version: self.version, of: PhantomData }
    }
}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<T> Default for Items<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a, T: View<'a> + fmt::Debug> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a, T: View<'a>> IntoIterator for Items<'a, T> {
    type Item = T;
    type IntoIter = ItemsIter<'a, T>;

    fn into_iter(self) -> ItemsIter<'a, T> {
        self.iter()
    }
}

/// The iterator over the elements of [`Items`].
#[derive(Clone, Debug)]
pub struct ItemsIter<'a, T> {
    at: ViewReader<'a>,
    left: usize,
    version: i16,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: View<'a>> Iterator for ItemsIter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let mut at = self.at;
        // The same code has decoded the same bytes when the list was checked.
        let item = T::view(&mut at, self.version).ok();
        self.at = at;
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: View<'a>> ExactSizeIterator for ItemsIter<'a, T> {}
impl<'a, T: View<'a>> FusedIterator for ItemsIter<'a, T> {}
