//! What can be wrong with a record batch, and where.

use std::fmt;

use crate::compression::CompressionError;

/// What is wrong in a record batch, and where: no allocation, no text built until it is shown.
///
/// The reader of a partition adds topic, partition and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Bytes from the start of the batch, or, if `decompressed`, from the start of what its records decompress to.
    pub at: usize,
    /// Whether the place is in what the records of the batch decompress to.
    pub decompressed: bool,
    /// The field, by Kafka's name for it.
    pub what: &'static str,
    /// What is wrong with it.
    pub cause: RecordErrorCause,
}

/// The ways in which a field of a batch can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordErrorCause {
    /// The bytes end before the field does.
    Truncated,
    /// A format of the future.
    UnsupportedMagic(i8),
    /// A length or count below zero where nothing can be absent, or above what the bytes can hold.
    OutOfRange(i64),
    /// The checksum in the header is not that of the bytes.
    ChecksumMismatch {
        /// What the header states.
        stored: u32,
        /// CRC-32C of the bytes of a batch, CRC-32 (IEEE) of those of a message.
        computed: u32,
    },
    /// A varint goes on after the last byte that its type can have.
    VarintTooLong,
    /// Bytes are left over after the last field.
    BytesLeft(usize),
    /// A header without a key.
    NullHeaderKey,
    /// A control record was expected and this is none.
    NotControl,
    /// A batch, or one record, would be larger than the format can state (2 GiB).
    TooLarge,
    /// A compressed message inside of a compressed message.
    NestedCompression,
    /// The records cannot be decompressed or compressed.
    Compression(CompressionError),
}

impl RecordError {
    #[cold]
    pub(super) fn new(at: usize, what: &'static str, cause: RecordErrorCause) -> Self {
        Self { at, decompressed: false, what, cause }
    }

    /// The same in what the records decompress to.
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
