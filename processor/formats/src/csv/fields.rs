//! The fields of a line, as serde reads them: in their order, each borrowed from the line where that is possible.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;

use processor::SerdeError;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, SeqAccess, Visitor};

/// The fields of a line that are left.
pub(super) struct Fields<'a> {
    /// From the next field on; `None` behind the last one.
    rest: Option<&'a [u8]>,
    /// The bytes behind the line, once its last field is read.
    behind: &'a [u8],
    delimiter: u8,
    /// The number of fields that were read.
    read: usize,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// If there is no line.
    pub(super) fn of(bytes: &'a [u8], delimiter: u8) -> Result<Self, SerdeError> {
        let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        let begin = bytes.iter().position(|byte| !is_line_end(*byte));
        let begin = begin.ok_or_else(|| SerdeError::Custom("no line of CSV".to_owned()))?;
        Ok(Self { rest: Some(&bytes[begin..]), behind: &[], delimiter, read: 0 })
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// If there are more fields, or more lines.
    pub(super) fn end(&self) -> Result<(), SerdeError> {
        match self.rest {
            Some(_) => Err(SerdeError::Custom("a line has more fields than the type has".to_owned())),
            None if self.behind.iter().all(|byte| is_line_end(*byte)) => Ok(()),
            None => Err(SerdeError::Custom("more than one line of CSV".to_owned())),
        }
    }

    /// Whether the next field is there and empty, with quotes or without.
    fn is_empty(&self) -> bool {
        let behind = |rest: &'a [u8]| rest.strip_prefix(b"\"\"").unwrap_or(rest);
        self.rest.is_some_and(|rest| behind(rest).first().is_none_or(|byte| self.ends(*byte)))
    }

    fn ends(&self, byte: u8) -> bool {
        byte == self.delimiter || is_line_end(byte)
    }

    /// Reads the next field.
    fn next(&mut self) -> Result<Cow<'a, str>, Error> {
        let rest = self.rest.ok_or_else(|| Error("a field is missing".to_owned()))?;
        let (field, length) = match rest.split_first() {
            Some((b'"', quoted)) => {
                let (field, length) = self.quoted(quoted);
                (field, length + 1)
            }
            _ => {
                let length = rest.iter().position(|byte| self.ends(*byte)).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..length]), length)
            }
        };
        (self.rest, self.behind) = match rest[length..].split_first() {
            Some((byte, rest)) if *byte == self.delimiter => (Some(rest), &[][..]),
            _ => (None, &rest[length..]),
        };
        self.read += 1;
        let wrong = |_| self.error("is no UTF-8");
        match field {
            Cow::Borrowed(field) => std::str::from_utf8(field).map(Cow::Borrowed).map_err(wrong),
            Cow::Owned(field) => String::from_utf8(field).map(Cow::Owned).map_err(|error| wrong(error.utf8_error())),
        }
    }

    /// Reads a field behind its first quote; also returns its length in the line. What follows the last quote belongs
    /// to the field, and a last quote that is missing is not missed.
    fn quoted(&self, quoted: &'a [u8]) -> (Cow<'a, [u8]>, usize) {
        let (mut field, mut at) = (Cow::Borrowed(&[][..]), 0);
        loop {
            let end = quoted[at..].iter().position(|byte| *byte == b'"').map_or(quoted.len(), |length| at + length);
            append(&mut field, &quoted[at..end]);
            match quoted.get(end + 1) {
                Some(b'"') => append(&mut field, b"\""),
                _ => {
                    let begin = quoted.len().min(end + 1);
                    let behind = &quoted[begin..];
                    let length = behind.iter().position(|byte| self.ends(*byte)).unwrap_or(behind.len());
                    append(&mut field, &behind[..length]);
                    return (field, begin + length);
                }
            }
            at = end + 2;
        }
    }

    /// The error of the field that was read last.
    fn error(&self, wrong: impl Display) -> Error {
        Error(format!("field {}: {wrong}", self.read - 1))
    }

    fn parse<T: FromStr>(&mut self) -> Result<T, Error> {
        let field = self.next()?;
        let of = std::any::type_name::<T>();
        field.parse().map_err(|_| self.error(format_args!("`{}` is no {of}", field.escape_debug())))
    }
}

/// Adds to a field, which borrows for as long as it is in one piece.
fn append<'a>(field: &mut Cow<'a, [u8]>, more: &'a [u8]) {
    if field.is_empty() {
        *field = Cow::Borrowed(more);
    } else if !more.is_empty() {
        field.to_mut().extend_from_slice(more);
    }
}

/// The mark of UTF-8 with which some programs begin a file. The reader of [`Csv`](super::Csv) passes over it as well.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// The reason why a line is not of a type.
#[derive(Debug)]
pub(super) struct Error(String);

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl From<Error> for SerdeError {
    fn from(Error(message): Error) -> Self {
        let hint = match message.contains("expected a borrowed string") {
            true => {
                " (text with doubled quotes cannot be borrowed: make the field a `Cow<str>` with `#[serde(borrow)]`)"
            }
            false => "",
        };
        Self::Custom(message + hint)
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {
        $(
            fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
                visitor.$visit(self.parse()?)
            }
        )*
    };
}

/// Structs, tuples and lists take one field after the other, those in them too.
impl<'a> Deserializer<'a> for &mut Fields<'a> {
    type Error = Error;

    parsed! {
        deserialize_bool visit_bool
        deserialize_i8 visit_i8
        deserialize_i16 visit_i16
        deserialize_i32 visit_i32
        deserialize_i64 visit_i64
        deserialize_i128 visit_i128
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_u128 visit_u128
        deserialize_f32 visit_f32
        deserialize_f64 visit_f64
        deserialize_char visit_char
    }

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        let shown = match self.next()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        };
        shown.map_err(|error: Error| self.error(error))
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()? {
            Cow::Borrowed(text) => visitor.visit_borrowed_bytes(text.as_bytes()),
            Cow::Owned(text) => visitor.visit_byte_buf(text.into_bytes()),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_empty() {
            self.next()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next()?.is_empty() {
            true => visitor.visit_unit(),
            false => Err(self.error("is not empty")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Each { fields: self, left: usize::MAX })
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Each { fields: self, left })
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Each { fields: self, left })
    }

    fn deserialize_map<V: Visitor<'a>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error("a line cannot hold a map".to_owned()))
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Each { fields: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let name = self.next()?;
        let variant: StrDeserializer<'_, Error> = (&*name).into_deserializer();
        visitor.visit_enum(variant).map_err(|error: Error| self.error(error))
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Error> {
        self.next()?;
        visitor.visit_unit()
    }
}

/// The next fields of a line, as the elements of a value.
struct Each<'f, 'a> {
    fields: &'f mut Fields<'a>,
    left: usize,
}

impl<'a> SeqAccess<'a> for Each<'_, 'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.left == 0 || self.fields.rest.is_none() {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.fields).map(Some)
    }
}
