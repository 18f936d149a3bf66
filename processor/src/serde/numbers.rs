//! Numbers and `bool`, in the formats of Kafka's own serializers.

use super::{Serde, SerdeError};
use crate::types::Owned;

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
