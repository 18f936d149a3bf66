//! What lists are made of.

use bytes::Bytes;

use super::{EncodeError, Malformed, Reader, Str, Uuid, Writer};

/// What can be read: a message, a struct of one, or a number, a string, bytes in a list.
pub trait Decode: Sized {
    /// Reads one, as `version` of its message has it.
    ///
    /// # Errors
    /// See the methods of [`Reader`]; [`Reader::explain`] names the field and the byte.
    fn read(r: &mut Reader<'_>, version: i16) -> Result<Self, Malformed>;

    /// Reads `count` of them behind each other. Numbers do it in one step.
    ///
    /// # Errors
    /// Those of the first that cannot be read.
    fn read_list(r: &mut Reader<'_>, count: usize, version: i16) -> Result<Vec<Self>, Malformed> {
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(Self::read(r, version)?);
        }
        Ok(list)
    }
}

/// What can be written: a message, a struct of one, or a number, a string, bytes in a list.
pub trait Encode {
    /// Appends it, as `version` of its message has it.
    ///
    /// # Errors
    /// A field that is set and that the version lacks; null where the version has none; too long a string or list.
    fn write(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// The name of a value of a list that has no name of its own, in errors.
const ELEMENT: &str = "element";

macro_rules! numbers {
    ($($number:ident $method:ident $from:expr;)*) => {$(
        impl Decode for $number {
            #[inline]
            fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
                r.$method(ELEMENT)
            }

            fn read_list(r: &mut Reader<'_>, count: usize, _: i16) -> Result<Vec<Self>, Malformed> {
                r.numbers(ELEMENT, count, $from)
            }
        }

        impl Encode for $number {
            #[inline]
            fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
                w.$method(*self);
                Ok(())
            }
        }
    )*};
}

numbers! {
    i8 i8 i8::from_be_bytes;
    i16 i16 i16::from_be_bytes;
    i32 i32 i32::from_be_bytes;
    i64 i64 i64::from_be_bytes;
    Uuid uuid Uuid;
}

impl Decode for Str {
    fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
        r.string(ELEMENT)
    }
}

impl Encode for Str {
    fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.string(ELEMENT, self)
    }
}

impl Decode for Bytes {
    fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
        r.bytes(ELEMENT)
    }
}

impl Encode for Bytes {
    fn write(&self, w: &mut Writer, _: i16) -> Result<(), EncodeError> {
        w.bytes(ELEMENT, self)
    }
}
