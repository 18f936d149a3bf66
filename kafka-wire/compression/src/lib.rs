//! Compression of record batches: one file per codec, each behind a feature of its own.
//!
//! Whatever a peer sends, decoding stays within the byte limit of the caller's [`Decompressed`] buffer.
//! A codec that this build lacks is an error that names it; data never passes undecoded.
//!
//! Everything that Java's client writes can be read, and the other way round. For bytes that neither writes,
//! we differ on purpose:
//!
//! | bytes | Java | here | because |
//! |---|---|---|---|
//! | other bytes after the last gzip member | ignored | refused | they belong to nothing |
//! | a length cut off at the end of xerial's framing | ignored | refused | the same |
//! | reserved flags of a gzip header | ignored | refused | RFC 1952 demands it |
//! | after the first LZ4 frame | ignored | more frames, or refused | the format has them; other clients write them |
//! | content size and checksum of an LZ4 frame | not checked | checked | they exist to be checked |
//! | a zstd window above 128 MiB | refused | read | it takes no memory here |
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation))]

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;

/// The compression of the records of a batch: bits 0 to 2 of its attributes.
///
/// Source: KIP-98 (batch format), KIP-110 (zstd).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Records are not compressed.
    #[default]
    None,
    /// RFC 1952, at level 6 (feature `gzip`).
    Gzip,
    /// Snappy in xerial framing; on reading also without it (feature `snappy`).
    Snappy,
    /// LZ4 frame format with independent blocks (feature `lz4`).
    Lz4,
    /// Zstandard, at level 3 (feature `zstd`). Brokers accept it from Produce v7 on, and send it from Fetch v10 on.
    Zstd,
}

impl Compression {
    /// Every codec of Kafka, in the order of its numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this name in the value of `compression.type`, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.name() == name)
    }

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

    /// Whether this build can compress and decompress with it. Check this when a configuration is read,
    /// before the first send.
    pub fn is_supported(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A buffer for decompressed records and the state of the decoders, kept by the caller for batch after batch.
///
/// It grows to the largest batch so far, but never above its limit: a batch that would need more is
/// [`CompressionError::LimitExceeded`], so a decompression bomb costs at most the limit. In addition, codecs take
/// working memory that does not depend on the input: 40 KB for gzip, 400 KB for zstd.
pub struct Decompressed {
    output: OutputBuffer,
    #[cfg(feature = "gzip")]
    gzip: gzip::GzipDecoder,
    #[cfg(feature = "zstd")]
    zstd: zstd::ZstdDecoder,
}

impl Decompressed {
    /// Makes an empty buffer. It takes no memory until a compressed batch is opened, and at most `limit_bytes` then.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            output: OutputBuffer { buffer: Vec::new(), limit_bytes },
            #[cfg(feature = "gzip")]
            gzip: gzip::GzipDecoder::default(),
            #[cfg(feature = "zstd")]
            zstd: zstd::ZstdDecoder::default(),
        }
    }

    /// Bytes of output for which it has memory now.
    pub fn capacity_bytes(&self) -> usize {
        self.output.buffer.capacity()
    }
}

impl Default for Decompressed {
    /// A limit of 128 MiB, more than the uncompressed records of a frame of the default limit. Raise it for topics
    /// whose batches decompress to more.
    fn default() -> Self {
        Self::new(128 << 20)
    }
}

impl fmt::Debug for Decompressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressed")
            .field("limit_bytes", &self.output.limit_bytes)
            .field("capacity_bytes", &self.capacity_bytes())
            .finish_non_exhaustive()
    }
}

/// The destination of a codec's output.
struct OutputBuffer {
    /// Initialised memory; only the front of it holds the last batch. It is kept at full length so that no batch has
    /// to zero memory again.
    buffer: Vec<u8>,
    limit_bytes: usize,
}

impl Default for OutputBuffer {
    fn default() -> Self {
        Self { buffer: Vec::new(), limit_bytes: usize::MAX }
    }
}

#[cfg_attr(
    not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
    allow(dead_code, reason = "each codec uses what it needs")
)]
impl OutputBuffer {
    /// The memory after the first `filled` bytes: `wanted` bytes of it, or fewer at the limit.
    fn room(&mut self, filled: usize, wanted: usize) -> &mut [u8] {
        let end = filled.saturating_add(wanted).min(self.limit_bytes);
        if end > self.buffer.len() {
            // Doubling keeps the copying linear. The limit has to bound the capacity too, which Vec's own
            // doubling would not do.
            let size = end.max(self.buffer.len().saturating_mul(2)).min(self.limit_bytes);
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
        self.buffer.get_mut(filled..end).unwrap_or_default()
    }

    /// Appends `bytes` after the first `filled` bytes; for compressors, which have no limit.
    fn put(&mut self, filled: &mut usize, bytes: &[u8]) {
        self.room(*filled, bytes.len()).copy_from_slice(bytes);
        *filled += bytes.len();
    }

    /// Bytes after the first `filled` ones that need no allocation.
    fn spare(&self, filled: usize) -> usize {
        self.buffer.len().saturating_sub(filled)
    }

    fn filled(&self, start: usize, end: usize) -> &[u8] {
        self.buffer.get(start..end).unwrap_or_default()
    }
}

/// Runs a parser that can only fail because the input ends; `cut_off` names that error.
#[cfg(any(feature = "lz4", feature = "zstd"))]
fn whole<'a, T>(
    mut parser: impl nom::Parser<&'a [u8], Output = T, Error = ()>,
    input: &'a [u8],
    cut_off: CompressionError,
) -> Result<(&'a [u8], T), CompressionError> {
    parser.parse(input).map_err(|_| cut_off)
}

/// The container of the compressed bytes, as far as it matters to a codec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Container {
    /// A record batch, or a message set of format v1.
    #[default]
    Batch,
    /// A message set of format v0, in which the header of an LZ4 frame has a wrong checksum (KIP-57).
    MessageV0,
}

/// Decompresses the whole `input` into `output` and returns the decompressed bytes.
///
/// The caller handles `Compression::None`: there the input is the output, and nothing is copied.
///
/// # Errors
/// `UnsupportedCodec` if this build lacks the codec (and for `None`); `LimitExceeded` if the output would exceed
/// the buffer's limit; `Corrupt` if the codec cannot have written the input.
#[cfg_attr(
    not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
    allow(unreachable_code, unused_variables, reason = "without a codec there is nothing to do")
)]
pub fn decompress<'a>(
    compression: Compression,
    container: Container,
    input: &[u8],
    output: &'a mut Decompressed,
) -> Result<&'a [u8], CompressionError> {
    let _ = (container, input);
    let filled = match compression {
        #[cfg(feature = "gzip")]
        Compression::Gzip => output.gzip.decompress(input, &mut output.output)?,
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::decompress(input, &mut output.output)?,
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::decompress(input, container, &mut output.output)?,
        #[cfg(feature = "zstd")]
        Compression::Zstd => output.zstd.decompress(input, &mut output.output)?,
        _ => return Err(CompressionError::UnsupportedCodec { compression }),
    };
    Ok(output.output.filled(0, filled))
}

/// A buffer for compressed records and the state of the encoders, kept by the caller for batch after batch.
///
/// It takes no memory until it is used. Then it has the codecs' working memory and room for the largest batch so far in
/// its worst case, which is little more than its plain size. The working memory of zstd belongs to the thread,
/// which keeps it until it ends.
#[derive(Default)]
pub struct Compressor {
    output: OutputBuffer,
    #[cfg(feature = "gzip")]
    gzip: gzip::GzipCompressor,
    #[cfg(feature = "snappy")]
    snappy: snappy::SnappyCompressor,
    #[cfg(feature = "lz4")]
    lz4: lz4::Lz4Compressor,
}

impl Compressor {
    /// Compresses `input` and returns the result, which stays until the next call.
    ///
    /// The caller handles `Compression::None`, as for [`decompress`].
    ///
    /// # Errors
    /// `UnsupportedCodec` if this build lacks the codec (and for `None`).
    #[cfg_attr(
        not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
        allow(unreachable_code, unused_variables, reason = "without a codec there is nothing to do")
    )]
    pub fn compress(
        &mut self,
        compression: Compression,
        container: Container,
        input: &[u8],
    ) -> Result<&[u8], CompressionError> {
        let _ = (container, input);
        let size = match compression {
            #[cfg(feature = "gzip")]
            Compression::Gzip => self.gzip.compress(input, &mut self.output),
            #[cfg(feature = "snappy")]
            Compression::Snappy => self.snappy.compress(input, &mut self.output),
            #[cfg(feature = "lz4")]
            Compression::Lz4 => self.lz4.compress(input, container, &mut self.output),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd::compress(input, &mut self.output),
            _ => return Err(CompressionError::UnsupportedCodec { compression }),
        };
        Ok(self.output.filled(0, size))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// The reason why records could not be compressed or decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionError {
    /// A codec of Kafka that this build lacks.
    UnsupportedCodec {
        /// The codec.
        compression: Compression,
    },
    /// Codec bits without a meaning in Kafka.
    UnknownCodec {
        /// The bits, 5 to 7.
        code: u8,
    },
    /// The output would exceed the limit of its buffer.
    LimitExceeded {
        /// Limit of the [`Decompressed`] buffer.
        limit_bytes: usize,
    },
    /// The codec cannot have written the input.
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
mod tests;
