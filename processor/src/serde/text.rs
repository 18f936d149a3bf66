//! Text and bytes.

use super::{Encode, Nullable, Serde, SerdeError};
use crate::types::{Owned, Reborrow, View};

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
