//! What lists are made of.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;

use bytes::Bytes;

use super::{DecodeError, EncodeError, Reader, Str, Uuid, Writer};

/// A value that can stand in a list: a struct of a message, or a number, a string, bytes.
pub trait Decode<'a>: Sized {
    /// Reads one, as `version` of its message has it.
    ///
    /// # Errors
    /// Names the field and the byte that are wrong; see the methods of [`Reader`].
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;
}

/// A value that can stand in a list.
pub trait Encode {
    /// Appends it, as `version` of its message has it.
    ///
    /// # Errors
    /// A field that is set and that the version lacks; null where the version has none; too long a string or list.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// The name of a value of a list that has no name of its own, in errors.
const ELEMENT: &str = "element";

macro_rules! numbers {
    ($($number:ident $method:ident)*) => {$(
        impl Decode<'_> for $number {
            #[inline]
            fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
                r.$method(ELEMENT)
            }
        }

        impl Encode for $number {
            #[inline]
            fn encode(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
                w.$method(*self);
                Ok(())
            }
        }
    )*};
}

numbers! { i8 i8 i16 i16 i32 i32 i64 i64 Uuid uuid }

impl Decode<'_> for Str {
    fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        r.string(ELEMENT)
    }
}

impl<'a> Decode<'a> for &'a str {
    fn decode(r: &mut Reader<'a>, _: i16) -> Result<Self, DecodeError> {
        r.str(ELEMENT)
    }
}

impl Encode for Str {
    fn encode(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.string(ELEMENT, self)
    }
}

impl Decode<'_> for Bytes {
    fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, DecodeError> {
        r.bytes(ELEMENT)
    }
}

impl Encode for Bytes {
    fn encode(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.bytes(ELEMENT, self)
    }
}

/// A list that stays in the frame: its elements are read each time they are iterated, and take no memory.
///
/// They were all read once when the message was, so iterating cannot fail.
pub struct Items<'a, T> {
    frame: &'a Bytes,
    /// Begins with the first element.
    rest: &'a [u8],
    flexible: bool,
    count: usize,
    version: i16,
    of: PhantomData<fn() -> T>,
}

impl<'a, T> Items<'a, T> {
    pub(super) const fn new(frame: &'a Bytes, rest: &'a [u8], flexible: bool, count: usize, version: i16) -> Self {
        Self { frame, rest, flexible, count, version, of: PhantomData }
    }

    /// A list of no elements, in no frame.
    #[must_use]
    pub const fn empty() -> Self {
        static NOTHING: Bytes = Bytes::new();
        Self::new(&NOTHING, &[], false, 0, 0)
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a, T: Decode<'a>> Items<'a, T> {
    /// Reads the elements in order.
    #[must_use]
    pub fn iter(&self) -> ItemsIter<'a, T> {
        let reader = Reader::behind(self.frame, self.rest, self.flexible);
        ItemsIter { reader, left: self.count, version: self.version, of: PhantomData }
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

impl<'a, T: Decode<'a> + fmt::Debug> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a, T: Decode<'a>> IntoIterator for Items<'a, T> {
    type Item = T;
    type IntoIter = ItemsIter<'a, T>;

    fn into_iter(self) -> ItemsIter<'a, T> {
        self.iter()
    }
}

/// Reads the elements of [`Items`].
#[derive(Clone, Debug)]
pub struct ItemsIter<'a, T> {
    reader: Reader<'a>,
    left: usize,
    version: i16,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: Decode<'a>> Iterator for ItemsIter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        // The same bytes were read by the same code when the list was checked.
        T::decode(&mut self.reader, self.version).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, T: Decode<'a>> ExactSizeIterator for ItemsIter<'a, T> {}
impl<'a, T: Decode<'a>> FusedIterator for ItemsIter<'a, T> {}
