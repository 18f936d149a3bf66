//! A look for what `serde_json` writes and cannot read: state that was written so could never be read again.
//!
//! NaN and infinities are written as `null`, which is no number when it is read. A value whose JSON has no `null` has
//! none of them, so few are looked through. And a value that nests deep is written, but not read, because that could
//! take all of the stack.

use std::io::{Error as IoError, Write};

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Error;
use serde_json::ser::Formatter;

/// Appends a value as JSON.
///
/// # Errors
/// If it cannot be represented in JSON.
pub(super) fn write_json(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut has_null = false;
    let noting = Noting { has_null: &mut has_null, depth: 0 };
    value.serialize(&mut serde_json::Serializer::with_formatter(out, noting))?;
    if has_null { value.serialize(Finite) } else { Ok(()) }
}

/// Writes compact JSON that is not too deep, and notes whether there is a `null` in it.
struct Noting<'a> {
    has_null: &'a mut bool,
    /// The arrays and objects that are open.
    depth: u32,
}

impl Noting<'_> {
    #[inline]
    fn enter<W: ?Sized + Write>(&mut self, bracket: &[u8], writer: &mut W) -> std::io::Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(IoError::other(format!("arrays and objects nest deeper than {DEPTH_MAX}")));
        }
        writer.write_all(bracket)
    }

    #[inline]
    fn leave<W: ?Sized + Write>(&mut self, bracket: &[u8], writer: &mut W) -> std::io::Result<()> {
        self.depth -= 1;
        writer.write_all(bracket)
    }
}

impl Formatter for Noting<'_> {
    #[inline]
    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        *self.has_null = true;
        writer.write_all(b"null")
    }

    #[inline]
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.enter(b"[", writer)
    }

    #[inline]
    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.leave(b"]", writer)
    }

    #[inline]
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.enter(b"{", writer)
    }

    #[inline]
    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.leave(b"}", writer)
    }
}

/// The deepest nesting that `serde_json` reads.
const DEPTH_MAX: u32 = 127;

/// Goes through a value, and writes nothing.
#[derive(Clone, Copy)]
struct Finite;

fn checked(number: f64) -> Result<(), Error> {
    if number.is_finite() { Ok(()) } else { Err(Error::custom(format_args!("{number} is no number of JSON"))) }
}

macro_rules! passed {
    ($($method:ident($($of:ty),*))*) => {
        $(
            fn $method(self, $(_: $of),*) -> Result<(), Error> {
                Ok(())
            }
        )*
    };
}

macro_rules! entered {
    ($($method:ident($($of:ty),*))*) => {
        $(
            fn $method(self, $(_: $of),*) -> Result<Self, Error> {
                Ok(self)
            }
        )*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        checked(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        checked(number)
    }

    passed! {
        serialize_bool(bool)
        serialize_i8(i8)
        serialize_i16(i16)
        serialize_i32(i32)
        serialize_i64(i64)
        serialize_i128(i128)
        serialize_u8(u8)
        serialize_u16(u16)
        serialize_u32(u32)
        serialize_u64(u64)
        serialize_u128(u128)
        serialize_char(char)
        serialize_str(&str)
        serialize_bytes(&[u8])
        serialize_none()
        serialize_unit()
        serialize_unit_struct(&'static str)
        serialize_unit_variant(&'static str, u32, &'static str)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    entered! {
        serialize_seq(Option<usize>)
        serialize_tuple(usize)
        serialize_tuple_struct(&'static str, usize)
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
        serialize_map(Option<usize>)
        serialize_struct(&'static str, usize)
        serialize_struct_variant(&'static str, u32, &'static str, usize)
    }
}

macro_rules! parts {
    ($($trait:ident $method:ident($($name:ty)?))*) => {
        $(
            impl $trait for Finite {
                type Ok = ();
                type Error = Error;

                fn $method<T: ?Sized + Serialize>(&mut self, $(_: $name,)? value: &T) -> Result<(), Error> {
                    value.serialize(*self)
                }

                fn end(self) -> Result<(), Error> {
                    Ok(())
                }
            }
        )*
    };
}

parts! {
    SerializeSeq serialize_element()
    SerializeTuple serialize_element()
    SerializeTupleStruct serialize_field()
    SerializeTupleVariant serialize_field()
    SerializeStruct serialize_field(&'static str)
    SerializeStructVariant serialize_field(&'static str)
}

/// Keys are text, or have been refused.
impl SerializeMap for Finite {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}
