//! The element types of lists.

use bytes::Bytes;

use super::{Decode, Encode, EncodeError, Malformed, Reader, Str, Uuid, Writer};

/// The name, in errors, of a list element that has no name of its own.
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
