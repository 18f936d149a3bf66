//! The errors of decoding bytes and encoding messages.

use std::fmt;

use nom::error::{ErrorKind, ParseError};

/// The error of bytes that are not a valid message. `Copy` and free of allocation, so that refusing hostile input
/// is cheap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset in the frame of the bytes at fault: the start of the field, or the byte after its length.
    pub at: usize,
    /// The field, by its name in the Rust struct; `element` in a list; the message, if the error is about no field.
    pub what: &'static str,
    /// The error.
    pub cause: DecodeCause,
}

/// The bytes are not a valid message; the reader has the details: see [`Reader::explain`](super::Reader::explain).
///
/// It has no size, so that the result of reading a field is no larger than the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(super) ());

/// The ways in which the bytes of a field can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeCause {
    /// The frame ends inside the field.
    Truncated,
    /// A compact string has more than 32,767 bytes.
    InvalidLength,
    /// A list has more elements than the bytes left can hold.
    CountTooLarge,
    /// The elements would take more memory than a message of this size may.
    ElementsTooLarge,
    /// Null stands in a field that has to be present.
    UnexpectedNull,
    /// A string is not UTF-8.
    InvalidUtf8,
    /// A varint does not end, or does not fit its type.
    VarintTooLong,
    /// The declared size of a tagged field is not the size of its value.
    TagSizeMismatch,
    /// Bytes are left after the end of the message.
    TrailingBytes,
    /// This message has no layout for this version.
    UnknownVersion(i16),
}

/// The error of a message that cannot be encoded at the requested version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The field, by its name in the Rust struct; `element` in a list; the message, if the error is about no field.
    pub what: &'static str,
    /// The error.
    pub cause: EncodeCause,
}

/// The reasons why a field cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeCause {
    /// The field is set, and the version lacks it: leaving it out would change the meaning of the message.
    VersionLacksField(i16),
    /// The value is null, which the version does not allow.
    NullNotAllowed(i16),
    /// The value is longer than its length field can state.
    TooLong,
    /// This message has no layout for this version.
    UnknownVersion(i16),
}

impl EncodeError {
    /// For generated code: the error of a field that is set although `version` lacks it.
    #[must_use]
    pub const fn lacks(what: &'static str, version: i16) -> Self {
        Self { what, cause: EncodeCause::VersionLacksField(version) }
    }

    /// For generated code: the error of a null that `version` does not allow.
    #[must_use]
    pub const fn null(what: &'static str, version: i16) -> Self {
        Self { what, cause: EncodeCause::NullNotAllowed(version) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.what, self.at, self.cause)
    }
}

impl fmt::Display for DecodeCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the frame ends inside it"),
            Self::InvalidLength => f.write_str("a string has at most 32,767 bytes"),
            Self::CountTooLarge => f.write_str("more elements than the bytes left can hold"),
            Self::ElementsTooLarge => f.write_str("its elements would take too much memory"),
            Self::UnexpectedNull => f.write_str("it may not be null"),
            Self::InvalidUtf8 => f.write_str("it is not UTF-8"),
            Self::VarintTooLong => f.write_str("a varint is too long or does not fit"),
            Self::TagSizeMismatch => f.write_str("its tagged size is wrong"),
            Self::TrailingBytes => f.write_str("bytes are left after the message"),
            Self::UnknownVersion(version) => write!(f, "version {version} is unknown"),
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            EncodeCause::VersionLacksField(version) => {
                write!(f, "{} is set, and version {version} lacks it", self.what)
            }
            EncodeCause::NullNotAllowed(version) => write!(f, "{} may not be null in version {version}", self.what),
            EncodeCause::TooLong => write!(f, "{} is too long for its length field", self.what),
            EncodeCause::UnknownVersion(version) => write!(f, "{} has no version {version}", self.what),
        }
    }
}

impl std::error::Error for DecodeError {}
impl std::error::Error for EncodeError {}

/// nom's own combinators can fail for only one reason here: the input ended.
impl<I> ParseError<I> for DecodeCause {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}
