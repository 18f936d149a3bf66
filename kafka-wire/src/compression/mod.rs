//! Compression of record batches: one file per codec, each behind a feature of its own.
//!
//! Whatever a peer sends, decoding stays within the byte limit of the [`Decompressed`] buffer that the caller brings.
//! A codec that this build lacks is an error that names it, never a silent pass.
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation))]

#[cfg(feature = "lz4")]
mod lz4;

use std::fmt;

/// How the records of a batch are compressed: bits 0 to 2 of its attributes.
///
/// Source: KIP-98 (batch format), KIP-110 (zstd).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Records lie in the batch as they are.
    #[default]
    None,
    /// RFC 1952. Not in this build.
    Gzip,
    /// Snappy, raw or in xerial framing. Not in this build.
    Snappy,
    /// LZ4 frame format with independent blocks (feature `lz4`).
    Lz4,
    /// Zstandard. Not in this build.
    Zstd,
}

impl Compression {
    /// The codec with this number in batch attributes; [`CompressionError::UnknownCodec`] for 5 and above.
    pub fn from_code(code: u8) -> Result<Self, CompressionError> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(CompressionError::UnknownCodec { code }),
        }
    }

    /// The number in batch attributes, 0 to 4.
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Kafka's name, as in the value of `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build can compress and decompress with it. Ask when a configuration is read, before the first send.
    pub fn is_supported(self) -> bool {
        match self {
            Self::None => true,
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Gzip | Self::Snappy | Self::Zstd => false,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A buffer for decompressed records, kept by the caller and used again for batch after batch.
///
/// It grows to the largest batch it has held, never above its limit: a batch that would need more is
/// [`CompressionError::LimitExceeded`], so a bomb costs at most the limit.
#[derive(Clone, Debug)]
pub struct Decompressed {
    /// Initialised memory; only the front of it holds the last batch. Kept long so that no batch pays for zeroing again.
    buffer: Vec<u8>,
    limit_bytes: usize,
}

impl Decompressed {
    /// An empty buffer that takes no memory until a compressed batch is opened, and at most `limit_bytes` then.
    pub fn new(limit_bytes: usize) -> Self {
        Self { buffer: Vec::new(), limit_bytes }
    }

    /// The most bytes that one batch may decompress to.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes of memory that it holds now.
    pub fn capacity_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The first `filled` bytes, and as many as `wanted` to write after them, fewer if that is all the limit leaves.
    #[cfg(feature = "lz4")]
    fn room(&mut self, filled: usize, wanted: usize) -> (&mut [u8], &mut [u8]) {
        let end = filled.saturating_add(wanted).min(self.limit_bytes);
        if end > self.buffer.len() {
            // Doubling keeps the copying linear; the limit bounds the capacity as well, hence not Vec's own doubling.
            let size = end.max(self.buffer.len().saturating_mul(2)).min(self.limit_bytes);
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
        let (front, rest) = self.buffer.split_at_mut(filled);
        let (room, _) = rest.split_at_mut(end - filled);
        (front, room)
    }
}

impl Default for Decompressed {
    /// A limit of 128 MiB: above the 100 MiB that a frame may have, below what hurts.
    fn default() -> Self {
        Self::new(128 << 20)
    }
}

/// Decompresses the whole `input` into `output` and returns the decompressed bytes.
///
/// `Compression::None` is the caller's case: there the input is the output, and nothing is copied.
///
/// # Errors
/// `UnsupportedCodec` when this build lacks the codec (and for `None`), `LimitExceeded` when the output would exceed
/// the buffer's limit, `Corrupt` when the input is not what the codec writes.
pub fn decompress<'a>(
    compression: Compression,
    input: &[u8],
    output: &'a mut Decompressed,
) -> Result<&'a [u8], CompressionError> {
    #[cfg(not(feature = "lz4"))]
    let _ = (input, output);
    match compression {
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::decompress(input, output),
        _ => Err(CompressionError::UnsupportedCodec { compression }),
    }
}

/// Memory that compression works in, used again for batch after batch. The default holds none yet.
///
/// It grows to hold the largest batch compressed with it in the worst case (10 % more than plain) and stays so.
#[derive(Debug, Default)]
pub struct Compressor {
    #[cfg(feature = "lz4")]
    lz4: lz4::Lz4Compressor,
}

impl Compressor {
    /// Compresses `input` and appends the result to `output`.
    ///
    /// # Errors
    /// `UnsupportedCodec` when this build lacks the codec; `output` is unchanged then.
    pub fn compress(
        &mut self,
        compression: Compression,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), CompressionError> {
        match compression {
            Compression::None => {
                output.extend_from_slice(input);
                Ok(())
            }
            #[cfg(feature = "lz4")]
            Compression::Lz4 => {
                self.lz4.compress(input, output);
                Ok(())
            }
            _ => Err(CompressionError::UnsupportedCodec { compression }),
        }
    }
}

/// Why records could not be compressed or decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionError {
    /// A codec that Kafka has and this build has not.
    UnsupportedCodec {
        /// The codec asked for.
        compression: Compression,
    },
    /// Codec bits to which Kafka gives no meaning.
    UnknownCodec {
        /// The bits, 5 to 7.
        code: u8,
    },
    /// The output would be larger than its buffer may become.
    LimitExceeded {
        /// Limit of the [`Decompressed`] buffer.
        limit_bytes: usize,
    },
    /// The input is not what the codec writes.
    Corrupt {
        /// The codec.
        compression: Compression,
        /// The part that is wrong.
        what: &'static str,
    },
}

impl fmt::Display for CompressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedCodec { compression } => write!(f, "codec {compression} is not in this build"),
            Self::UnknownCodec { code } => write!(f, "codec bits {code} have no meaning"),
            Self::LimitExceeded { limit_bytes } => write!(f, "records decompress to more than {limit_bytes} bytes"),
            Self::Corrupt { compression, what } => write!(f, "corrupt {compression} data: {what}"),
        }
    }
}

impl std::error::Error for CompressionError {}

#[cfg(test)]
#[cfg(feature = "lz4")]
mod tests;
