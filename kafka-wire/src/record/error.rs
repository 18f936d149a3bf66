//! Errors in a record batch, with their place.

use std::fmt;

use crate::compression::CompressionError;

/// An error in a record batch, with its place: no allocation, and no text is built until it is shown.
///
/// The reader of a partition adds topic, partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Position in bytes from the start of the batch, or, if `decompressed`, from the start of its
    /// decompressed records.
    pub at: usize,
    /// Whether the position is in the decompressed records of the batch.
    pub decompressed: bool,
    /// The field, by Kafka's name for it.
    pub what: &'static str,
    /// The error in this field.
    pub cause: RecordErrorCause,
}

/// The ways in which a field of a batch can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordErrorCause {
    /// The bytes end before the field does.
    Truncated,
    /// The format is one that this build does not know.
    UnsupportedMagic(i8),
    /// A length or count is negative where nothing can be absent, or more than the bytes can hold.
    OutOfRange(i64),
    /// The checksum in the header differs from that of the bytes.
    ChecksumMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes: CRC-32C for a batch, CRC-32 (IEEE) for a message.
        computed: u32,
    },
    /// A varint does not end within the bytes that its type can have.
    VarintTooLong,
    /// Bytes are left over after the last field.
    BytesLeft(usize),
    /// A header has no key.
    NullHeaderKey,
    /// The record is not a control record, although one was expected.
    NotControl,
    /// A batch, or one record, would be larger than the format can state (2 GiB).
    TooLarge,
    /// A compressed message contains a compressed message.
    NestedCompression,
    /// The records cannot be decompressed or compressed.
    Compression(CompressionError),
}

impl RecordError {
    #[cold]
    pub(super) fn new(at: usize, what: &'static str, cause: RecordErrorCause) -> Self {
        Self { at, decompressed: false, what, cause }
    }

    /// The same error, positioned in the decompressed records.
    #[cold]
    pub(super) fn in_decompressed(self) -> Self {
        Self { decompressed: true, ..self }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let region = if self.decompressed { " of the decompressed records" } else { "" };
        write!(f, "record batch, byte {}{region}, {}: {}", self.at, self.what, self.cause)
    }
}

impl fmt::Display for RecordErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the bytes end too early"),
            Self::UnsupportedMagic(magic) => write!(f, "format v{magic} is not known"),
            Self::OutOfRange(number) => write!(f, "{number} is out of range"),
            Self::ChecksumMismatch { stored, computed } => {
                write!(f, "the checksum is {stored:#010x} in the header and {computed:#010x} over the bytes")
            }
            Self::VarintTooLong => f.write_str("the varint does not end"),
            Self::BytesLeft(count) => write!(f, "{count} bytes are left over"),
            Self::NullHeaderKey => f.write_str("the key of a header is null"),
            Self::NotControl => f.write_str("not a control record"),
            Self::NestedCompression => f.write_str("a compressed message inside of a compressed message"),
            Self::TooLarge => f.write_str("larger than 2 GiB"),
            Self::Compression(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecordError {}
