//! Serdes: the conversion of bytes in a log to the views of a stage, and back.
//!
//! A serde is a typed value, given where a topic is named: there is no registry and no cast. To add one of your own,
//! implement [`Serde`]. Values may borrow from the record: those of [`Utf8`] and [`Raw`] do, and those of types that
//! derive [`View`](macro@crate::View), through [`JsonView`] or [`Packed`].

mod borrowed;
mod packed;
mod windowed;

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use borrowed::JsonView;
pub use packed::{Pack, Packed, Packing};
pub use windowed::{SessionWindowed, TimeWindowed, WithWindow};

use crate::types::{Owned, Reborrow, View};

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
    /// The bytes are not the JSON that the type needs, or the value cannot be represented in JSON (a map whose
    /// keys are not strings).
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

/// UTF-8 text, seen as `&str`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8;

impl View for Utf8 {
    type Ref<'a> = &'a str;
}

impl Reborrow for Utf8 {
    #[inline]
    fn reborrow<'short, 'long: 'short>(key: &'short &'long str) -> &'short str {
        key
    }
}

impl Serde for Utf8 {
    type View = Self;

    #[inline]
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, SerdeError> {
        std::str::from_utf8(bytes).map_err(|error| SerdeError::NotUtf8 { valid_up_to: error.valid_up_to() })
    }

    #[inline]
    fn encode(&self, value: &&str, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

impl Encode<Owned<String>> for Utf8 {
    #[inline]
    fn write(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

/// Arbitrary bytes, seen as `&[u8]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl View for Raw {
    type Ref<'a> = &'a [u8];
}

impl Reborrow for Raw {
    #[inline]
    fn reborrow<'short, 'long: 'short>(key: &'short &'long [u8]) -> &'short [u8] {
        key
    }
}

impl Serde for Raw {
    type View = Self;

    #[inline]
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], SerdeError> {
        Ok(bytes)
    }

    #[inline]
    fn encode(&self, value: &&[u8], out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }
}

impl Encode<Owned<Vec<u8>>> for Raw {
    #[inline]
    fn write(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }
}

/// Encodes the keys of [`Builder::stream`](crate::topology::Builder::stream), which are bytes or null.
impl Encode<Nullable<Self>> for Raw {
    #[inline]
    fn write(&self, value: &Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.unwrap_or_default());
        Ok(())
    }

    #[inline]
    fn writes_null(&self, value: &Option<&[u8]>) -> bool {
        value.is_none()
    }
}

/// The values of another serde, or null: seen as an `Option`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nullable<S>(pub S);

impl<S: 'static> View for Nullable<S>
where
    S: View,
{
    type Ref<'a> = Option<S::Ref<'a>>;
}

impl<S: Reborrow> Reborrow for Nullable<S> {
    #[inline]
    fn reborrow<'short, 'long: 'short>(key: &'short Option<S::Ref<'long>>) -> Option<S::Ref<'short>> {
        key.as_ref().map(S::reborrow)
    }
}

impl<S: Serde> Serde for Nullable<S> {
    type View = Nullable<S::View>;

    #[inline]
    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Option<<S::View as View>::Ref<'a>>, SerdeError> {
        self.0.decode(bytes).map(Some)
    }

    #[inline]
    fn encode(&self, value: &Option<<S::View as View>::Ref<'_>>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.as_ref().map_or(Ok(()), |value| self.0.encode(value, out))
    }

    #[inline]
    fn decode_null<'a>(&self) -> Result<Option<<S::View as View>::Ref<'a>>, SerdeError> {
        Ok(None)
    }

    #[inline]
    fn is_null(&self, value: &Option<<S::View as View>::Ref<'_>>) -> bool {
        value.is_none()
    }

    fn has_null(&self) -> bool {
        true
    }
}

/// Encodes values made by a closure that may be missing: `None` is written as null, which deletes a key
/// from a compacted topic.
impl<A: 'static, S: Serde<View = Owned<A>>> Encode<Owned<Option<A>>> for Nullable<S> {
    #[inline]
    fn write(&self, value: &Option<A>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.as_ref().map_or(Ok(()), |value| self.0.encode(value, out))
    }

    #[inline]
    fn writes_null(&self, value: &Option<A>) -> bool {
        value.is_none()
    }
}

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

macro_rules! big_endian {
    ($(#[$doc:meta])* $name:ident, $number:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Serde for $name {
            type View = Owned<$number>;

            #[inline]
            fn decode(&self, bytes: &[u8]) -> Result<$number, SerdeError> {
                let length = SerdeError::Length { expected: size_of::<$number>(), actual: bytes.len() };
                Ok(<$number>::from_be_bytes(bytes.try_into().map_err(|_| length)?))
            }

            #[inline]
            fn encode(&self, value: &$number, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }
        }
    };
}

big_endian! {
    /// A `u64` as 8 bytes, most significant first.
    U64, u64
}
big_endian! {
    /// An `i64` as 8 bytes, most significant first: what Java's `LongSerializer` writes.
    I64, i64
}

big_endian! {
    /// A `u32` as 4 bytes, most significant first.
    U32, u32
}
big_endian! {
    /// An `i32` as 4 bytes, most significant first: what Java's `IntegerSerializer` writes.
    I32, i32
}
big_endian! {
    /// An `i16` as 2 bytes, most significant first: what Java's `ShortSerializer` writes.
    I16, i16
}
big_endian! {
    /// An `f64` as the 8 bytes of IEEE 754, most significant first: what Java's `DoubleSerializer` writes.
    F64, f64
}
big_endian! {
    /// An `f32` as the 4 bytes of IEEE 754, most significant first: what Java's `FloatSerializer` writes.
    F32, f32
}

/// A `bool` as one byte, 0 or 1: what Java's `BooleanSerializer` writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bool;

impl Serde for Bool {
    type View = Owned<bool>;

    fn decode(&self, bytes: &[u8]) -> Result<bool, SerdeError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(SerdeError::Custom(format!("{byte} is neither 0 nor 1"))),
            _ => Err(SerdeError::Length { expected: 1, actual: bytes.len() }),
        }
    }

    fn encode(&self, value: &bool, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*value));
        Ok(())
    }
}

/// UTF-8 text as a `String`: for keys and state made by a closure. For values in a log, [`Utf8`] decodes without
/// a copy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text;

impl Serde for Text {
    type View = Owned<String>;

    fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        Utf8.decode(bytes).map(str::to_owned)
    }

    #[inline]
    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }
}

/// A value as JSON, by its `serde` implementation.
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T> Json<T> {
    /// Makes the serde of `T`.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Json<T> {
    fn default() -> Self {
        Self::new()
    }
}

// A derived implementation would require `T: Clone`.
impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Serde for Json<T> {
    type View = Owned<T>;

    fn decode(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        serde_json::from_slice(bytes).map_err(json_error)
    }

    #[inline]
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value).map_err(json_error)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn json_error(error: serde_json::Error) -> SerdeError {
    SerdeError::Json { line: error.line(), column: error.column(), message: error.to_string() }
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
    use super::*;

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
        assert_eq!(
            Json::<Vec<std::collections::BTreeMap<u8, String>>>::new().name(),
            "Json<Vec<BTreeMap<u8, String>>>"
        );
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
}
