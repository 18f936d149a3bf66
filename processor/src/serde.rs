//! Serdes: the conversion of bytes in a log to the views of a stage, and back.
//!
//! A serde is a typed value, given where a topic is named: there is no registry and no cast. To add one of your own,
//! implement [`Serde`]. Values may borrow from the record: those of [`Utf8`] and [`Raw`] do, and those of types that
//! derive [`View`](macro@crate::View), through [`JsonView`] or [`Packed`].

mod borrowed;
mod finite;
mod json;
mod nullable;
mod numbers;
mod packed;
mod text;
mod windowed;

use std::any::type_name;
use std::fmt;

pub use borrowed::JsonView;
pub use json::Json;
pub use nullable::Nullable;
pub use numbers::{Bool, F32, F64, I16, I32, I64, U32, U64};
pub use packed::{Pack, Packed, Packing};
pub use text::{Raw, Text, Utf8};
pub use windowed::{SessionWindowed, TimeWindowed, WithWindow};

use crate::types::View;

/// Decodes and encodes one type.
///
/// ```
/// use processor::serde::{Serde, SerdeError};
/// use processor::types::Owned;
///
/// /// Celsius in tenths, as two bytes.
/// #[derive(Clone)]
/// struct Tenths;
///
/// impl Serde for Tenths {
///     type View = Owned<i16>;
///     fn decode(&self, bytes: &[u8]) -> Result<i16, SerdeError> {
///         let bytes = bytes.try_into().map_err(|_| SerdeError::Length { expected: 2, actual: bytes.len() })?;
///         Ok(i16::from_be_bytes(bytes))
///     }
///     fn encode(&self, value: &i16, out: &mut Vec<u8>) -> Result<(), SerdeError> {
///         out.extend_from_slice(&value.to_be_bytes());
///         Ok(())
///     }
/// }
/// ```
pub trait Serde: Clone + Send + Sync + 'static {
    /// The type that it decodes to and encodes from.
    type View: View;

    /// Decodes a value that is not null; it may borrow `bytes`.
    ///
    /// # Errors
    /// If `bytes` are not such a value. The record is then undecodable: it is counted, or it ends the job.
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<<Self::View as View>::Ref<'a>, SerdeError>;

    /// Appends the value to `out`.
    ///
    /// # Errors
    /// The type can hold values that the format cannot represent. The job stops then, because output is never dropped.
    fn encode(&self, value: &<Self::View as View>::Ref<'_>, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Names the format, for as long as it stays the same: changelogs and repartition topics remember the name,
    /// and a job that has another one under the same name is refused. By default it is the name of the type,
    /// without its modules.
    fn name(&self) -> String {
        short_type_name::<Self>()
    }

    /// The value of Kafka's null. By default null is an error; [`Nullable`] makes it a value.
    ///
    /// # Errors
    /// [`SerdeError::Null`] if null is not a value of the type.
    fn decode_null<'a>(&self) -> Result<<Self::View as View>::Ref<'a>, SerdeError> {
        Err(SerdeError::Null)
    }

    /// Whether the value is written as Kafka's null, in place of the result of `encode`.
    fn is_null(&self, _value: &<Self::View as View>::Ref<'_>) -> bool {
        false
    }

    /// Whether any value is written as null. Keys of state and of a shuffle must not be: `build()` refuses them.
    fn has_null(&self) -> bool {
        false
    }

    /// The part of an encoded key that chooses the partition of its record: all of it, but for keys with a window.
    #[inline]
    fn partitioned_by<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key
    }

    /// Decodes the bytes of a record, null or not.
    ///
    /// # Errors
    /// The errors of `decode` and `decode_null`.
    #[inline]
    fn decode_nullable<'a>(&self, bytes: Option<&'a [u8]>) -> Result<<Self::View as View>::Ref<'a>, SerdeError> {
        match bytes {
            Some(bytes) => self.decode(bytes),
            None => self.decode_null(),
        }
    }
}

/// Encodes the values of a stream: the end of a job, where a format may accept more than one type.
///
/// Every [`Serde`] encodes the view that it decodes. Beyond that, [`Utf8`] encodes a `String` as it does a `&str`,
/// [`Raw`] a `Vec<u8>` and a key that may be null, and [`Nullable`] an `Option`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not write what this stream holds, `{V}`",
    label = "this serde writes another type",
    note = "the serde of the key comes first, that of the value second; `Raw` writes the keys of `Builder::stream`, `Utf8` \
            text, `I64` an `i64`, and `Json::new()` whatever implements `serde::Serialize`"
)]
pub trait Encode<V: View>: Clone + Send + Sync + 'static {
    /// Appends the value to `out`.
    ///
    /// # Errors
    /// The errors of [`Serde::encode`].
    fn write(&self, value: &V::Ref<'_>, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// Whether the value is written as Kafka's null, in place of the result of `write`.
    fn writes_null(&self, _value: &V::Ref<'_>) -> bool {
        false
    }

    /// See [`Serde::partitioned_by`].
    #[inline]
    fn chooses_by<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        key
    }
}

impl<S: Serde> Encode<S::View> for S {
    #[inline]
    fn write(&self, value: &<S::View as View>::Ref<'_>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.encode(value, out)
    }

    #[inline]
    fn writes_null(&self, value: &<S::View as View>::Ref<'_>) -> bool {
        self.is_null(value)
    }

    #[inline]
    fn chooses_by<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.partitioned_by(key)
    }
}

/// The reason why bytes are not a value of the type, or a value cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SerdeError {
    /// The bytes are not UTF-8; those before `valid_up_to` are.
    NotUtf8 {
        /// Index of the first byte that is not.
        valid_up_to: usize,
    },
    /// The number of bytes is wrong for a type of fixed length.
    Length {
        /// Length of the type in bytes.
        expected: usize,
        /// Number of bytes that were there.
        actual: usize,
    },
    /// The bytes are null, and the type has no null.
    Null,
    /// The bytes are not the JSON that the type needs, or the value cannot be represented in JSON (NaN, or a
    /// map whose keys are not strings).
    Json {
        /// Line of the input, from 1; 0 for errors of encoding.
        line: usize,
        /// Column of the input, from 1.
        column: usize,
        /// The message of `serde_json`.
        message: String,
    },
    /// Something that the format needs cannot be had for now, such as a schema from a schema registry; the reason.
    /// It says nothing about the record: the worker starts over, whatever the policy for undecodable records is.
    Unavailable(String),
    /// The message of a user's own serde.
    Custom(String),
}

impl fmt::Display for SerdeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { valid_up_to } => write!(f, "not UTF-8 at byte {valid_up_to}"),
            Self::Length { expected, actual } => write!(f, "{actual} bytes, not {expected}"),
            Self::Null => f.write_str("null"),
            Self::Json { message, .. } => f.write_str(message),
            Self::Unavailable(message) | Self::Custom(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SerdeError {}

/// No value, encoded as zero bytes. It is for a shuffle in which only the key matters. It decodes any bytes,
/// null too, to nothing.
impl Serde for () {
    type View = ();

    #[inline]
    fn decode(&self, _bytes: &[u8]) -> Result<(), SerdeError> {
        Ok(())
    }

    #[inline]
    fn encode(&self, (): &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    #[inline]
    fn decode_null<'a>(&self) -> Result<<Self::View as View>::Ref<'a>, SerdeError> {
        Ok(())
    }
}

/// The name of a type without modules: `Json<Count>` for `processor::serde::Json<my_job::Count>`. It is the name of
/// a serde, unless that has its own.
#[must_use]
pub fn short_type_name<T: ?Sized>() -> String {
    let mut short = String::new();
    for part in type_name::<T>().split_inclusive(|byte: char| !(byte.is_alphanumeric() || byte == '_')) {
        match part.strip_suffix(':') {
            // A part of a module path is left out, with its colon.
            Some(_) => {}
            None => short.push_str(part),
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::types::Owned;

    fn encoded<S: Serde>(serde: &S, value: &<S::View as View>::Ref<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        serde.encode(value, &mut out).expect("encodes");
        out
    }

    #[test]
    fn numbers_are_big_endian_and_have_one_length() {
        assert_eq!(encoded(&U64, &258), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(encoded(&I64, &-1), [0xff; 8]);
        assert_eq!(I64.decode(&[0xff; 8]), Ok(-1));
        assert_eq!(U64.decode(&[1, 2, 3]), Err(SerdeError::Length { expected: 8, actual: 3 }));
    }

    #[test]
    fn numbers_are_those_of_java() {
        // `IntegerSerializer`, `ShortSerializer`, `DoubleSerializer`, `FloatSerializer` and `BooleanSerializer`
        // of Kafka 4.4.
        assert_eq!(encoded(&I32, &-2), [0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(encoded(&I16, &258), [1, 2]);
        assert_eq!(encoded(&F64, &1.5), [0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encoded(&F32, &-0.5), [0xbf, 0, 0, 0]);
        assert_eq!(F64.decode(&encoded(&F64, &-1.0e300)), Ok(-1.0e300));
        assert_eq!((encoded(&Bool, &true), Bool.decode(&[0])), (vec![1], Ok(false)));
        assert!(Bool.decode(&[2]).is_err() && Bool.decode(&[]).is_err());
    }

    #[test]
    fn a_format_writes_the_types_that_are_made_of_it() {
        let write = |encode: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            encode(&mut out);
            out
        };
        assert_eq!(write(&|out| Encode::<Owned<String>>::write(&Utf8, &"a".to_owned(), out).unwrap()), b"a");
        assert_eq!(write(&|out| Encode::<Nullable<Raw>>::write(&Raw, &Some(b"b"), out).unwrap()), b"b");
        assert!(Encode::<Nullable<Raw>>::writes_null(&Raw, &None));
        assert!(!Encode::<Raw>::writes_null(&Raw, &&b""[..]));
        let nullable = Nullable(I16);
        assert_eq!(write(&|out| Encode::<Owned<Option<i16>>>::write(&nullable, &Some(1), out).unwrap()), [0, 1]);
        assert!(Encode::<Owned<Option<i16>>>::writes_null(&nullable, &None));
    }

    #[test]
    fn a_format_is_named_after_its_type_wherever_that_is() {
        assert_eq!(
            (Utf8.name(), ().name(), Nullable(Raw).name()),
            ("Utf8".into(), "()".into(), "Nullable<Raw>".into())
        );
        assert_eq!(Json::<Vec<BTreeMap<u8, String>>>::new().name(), "Json<Vec<BTreeMap<u8, String>>>");
    }

    #[test]
    fn text_that_is_not_utf8_names_the_byte() {
        assert_eq!(Utf8.decode(b"ab\xff"), Err(SerdeError::NotUtf8 { valid_up_to: 2 }));
        assert_eq!(Text.decode("w\u{f6}rter".as_bytes()), Ok("w\u{f6}rter".to_owned()));
    }

    #[test]
    fn null_is_a_value_only_where_it_is_said_to_be() {
        assert_eq!(Utf8.decode_nullable(None), Err(SerdeError::Null));
        assert_eq!(Nullable(Utf8).decode_nullable(None), Ok(None));
        assert_eq!(Nullable(Utf8).decode_nullable(Some(b"a")), Ok(Some("a")));
        assert!(Nullable(Raw).is_null(&None) && !Nullable(Raw).is_null(&Some(b"")));
        assert_eq!(().decode_nullable(None), Ok(()));
    }

    #[test]
    fn json_errors_say_where() {
        let json = Json::<Vec<u32>>::new();
        assert_eq!(encoded(&json, &vec![1, 2]), b"[1,2]");
        assert!(matches!(json.decode(b"[1,x]"), Err(SerdeError::Json { line: 1, column: 4, .. })));
    }

    #[test]
    fn json_has_no_number_that_is_none() {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        enum Shape {
            Point,
            Circle(f64),
            Sides { of: Vec<(u8, f32)>, rest: BTreeMap<String, Option<f64>> },
        }

        let json = Json::<(Option<String>, Shape)>::new();
        let sides = |side, rest| Shape::Sides { of: vec![(1, side)], rest: [("a".to_owned(), rest)].into() };
        for shape in [Shape::Point, Shape::Circle(-0.5), sides(1.5, Some(0.0)), sides(1.5, None)] {
            let value = (None, shape);
            assert_eq!(json.decode(&encoded(&json, &value)), Ok(value));
        }
        let infinite = f64::INFINITY;
        for shape in [Shape::Circle(f64::NAN), sides(f32::NEG_INFINITY, None), sides(1.5, Some(infinite))] {
            let error = json.encode(&(None, shape), &mut Vec::new()).expect_err("no number").to_string();
            assert!(error.ends_with("is no number of JSON"), "{error}");
        }
        let view = JsonView::<Owned<f64>>::new();
        assert_eq!(view.encode(&f64::NAN, &mut Vec::new()).unwrap_err().to_string(), "NaN is no number of JSON");
    }
}
