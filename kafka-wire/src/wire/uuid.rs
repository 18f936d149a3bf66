//! Ids of topics and log directories.

use std::fmt::{self, Write};
use std::str::FromStr;

use super::base64;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Sixteen bytes, printed like Kafka's: base64 with the alphabet for URLs, no padding, 22 characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Stands for "no id" on the wire.
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this stands for "no id".
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base64::digits(&self.0, ALPHABET).try_for_each(|digit| f.write_char(digit))
    }
}

/// The error of a text that is not a [`Uuid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: 22 characters of A-Z, a-z, 0-9, - and _ are expected")
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let text = text.strip_suffix("==").unwrap_or(text);
        if text.len() != 22 {
            return Err(ParseUuidError);
        }
        let mut number = 0u128;
        for (index, byte) in text.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|digit| *digit == byte).ok_or(ParseUuidError)? as u128;
            if index < 21 {
                number = number << 6 | digit;
            } else {
                number = number << 2 | digit >> 4;
            }
        }
        Ok(Self(number.to_be_bytes()))
    }
}
