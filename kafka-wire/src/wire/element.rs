//! What lists are made of.

use bytes::Bytes;

use super::{EncodeError, Malformed, Reader, Str, Uuid, Writer};

/// What can be read: a message, a struct of one, or a number, a string, bytes in a list.
pub trait Decode: Sized {
    /// Reads one, as `version` of its message has it.
    ///
    /// # Errors
    /// Names the field and the byte that are wrong; see the methods of [`Reader`].
    fn read(r: &mut Reader<'_>, version: i16) -> Result<Self, Malformed>;
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
    ($($number:ident $method:ident)*) => {$(
        impl Decode for $number {
            #[inline]
            fn read(r: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
                r.$method(ELEMENT)
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

numbers! { i8 i8 i16 i16 i32 i32 i64 i64 Uuid uuid }

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
