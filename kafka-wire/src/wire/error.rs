//! Why bytes could not be read, or a message could not be written.

use std::fmt;

use nom::error::{ErrorKind, ParseError};

/// Bytes that are no message. `Copy` and free of allocation, so that hostile input stays cheap to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset in the frame of what could not be read: the start of the field, or behind its length.
    pub at: usize,
    /// The field, by its name in the Rust struct; `element` in a list; the message, for what is about no field.
    pub what: &'static str,
    /// What is wrong there.
    pub cause: DecodeCause,
}

/// The bytes are no such message; the reader knows why: see [`Reader::explain`](super::Reader::explain).
///
/// It has no size, so that reading a field returns no more than the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub(super) ());

/// What is wrong with the bytes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeCause {
    /// The frame ends inside the field.
    Truncated,
    /// A compact string of more than 32,767 bytes.
    InvalidLength,
    /// More elements than the bytes left can hold.
    CountTooLarge,
    /// Elements that would take more memory than a message of this size may.
    ElementsTooLarge,
    /// Null in a field that has to be present.
    UnexpectedNull,
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// A varint that does not end, or does not fit its type.
    VarintTooLong,
    /// A tagged field whose declared size is not the size of its value.
    TagSizeMismatch,
    /// Bytes left after the end of the message.
    TrailingBytes,
    /// A version for which this message has no layout.
    UnknownVersion(i16),
}

/// A message that has no encoding at the version asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The field, by its name in the Rust struct; `element` in a list; the message, for what is about no field.
    pub what: &'static str,
    /// What is wrong with it.
    pub cause: EncodeCause,
}

/// Why a field has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeCause {
    /// The field is set, and the version lacks it: leaving it out would change the meaning of the message.
    VersionLacksField(i16),
    /// Null where the version has no null.
    NullNotAllowed(i16),
    /// Longer than its length field can say.
    TooLong,
    /// A version for which this message has no layout.
    UnknownVersion(i16),
}

impl EncodeError {
    /// For generated code: the error of a field that is set although `version` lacks it.
    #[must_use]
    pub const fn lacks(what: &'static str, version: i16) -> Self {
        Self { what, cause: EncodeCause::VersionLacksField(version) }
    }

    /// For generated code: the error of a null where `version` has none.
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

/// nom's own combinators fail for one reason here: the input ended.
impl<I> ParseError<I> for DecodeCause {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}
