//! Snappy: blocks of the format, raw or in the xerial framing, around the block codec of `snap`.
//!
//! ```text
//! 82 "SNAPPY" 00 | version i32 | oldest reader's version i32 | { length i32 | block } ...
//! ```
//! All numbers are big-endian. Written as Java writes it: xerial framing, blocks of 32 KiB. Read:
//! one or more such streams, and a single block without any framing, as other clients write it.
//!
//! Source: `SnappyOutputStream` and `SnappyInputStream` of xerial's snappy-java.

use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::multi::length_data;
use nom::number::complete::{be_i32, be_u32};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Compression, CompressionError, OutputBuffer};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const VERSION: i32 = 1;
const BLOCK_BYTES: usize = 32 << 10;
/// Bytes of the length that precedes a block.
const LENGTH_BYTES: usize = 4;
/// Most bytes that one byte of a block can expand to: a copy of 64 bytes takes 3.
const EXPANSION_MAX: usize = 22;

/// The hash table, kept from batch to batch.
#[derive(Default)]
pub(super) struct SnappyCompressor {
    encoder: Option<Encoder>,
}

impl SnappyCompressor {
    /// Writes one stream to the front of `output` and returns its size.
    pub(super) fn compress(&mut self, input: &[u8], output: &mut OutputBuffer) -> usize {
        let encoder = self.encoder.get_or_insert_with(Encoder::new);
        let mut filled = 0;
        output.put(&mut filled, &MAGIC);
        output.put(&mut filled, &VERSION.to_be_bytes());
        output.put(&mut filled, &VERSION.to_be_bytes());
        for block in input.chunks(BLOCK_BYTES) {
            let room = output.room(filled + LENGTH_BYTES, max_compress_len(BLOCK_BYTES));
            let size = encoder.compress(block, room).expect("room for the worst case");
            let length = i32::try_from(size).expect("a block has little more than 32 KiB");
            output.put(&mut filled, &length.to_be_bytes());
            filled += size;
        }
        filled
    }
}

/// Decompresses the whole `input` and returns the number of bytes in `output`.
pub(super) fn decompress(input: &[u8], output: &mut OutputBuffer) -> Result<usize, CompressionError> {
    let mut filled = 0;
    // A raw block may begin with the first byte of the magic, so only a whole magic counts.
    let Ok(mut rest) = stream_header(input)? else {
        block(input, output, &mut filled)?;
        return Ok(filled);
    };
    while !rest.is_empty() {
        rest = match stream_header(rest)? {
            Ok(rest) => rest,
            Err(_) => {
                let (rest, bytes) =
                    length_data(be_u32::<_, ()>).parse(rest).map_err(|_| corrupt("block is cut off"))?;
                block(bytes, output, &mut filled)?;
                rest
            }
        };
    }
    Ok(filled)
}

/// Skips the header of a stream; the inner error says that there is none.
fn stream_header(input: &[u8]) -> Result<Result<&[u8], NoHeader>, CompressionError> {
    let Ok((rest, _)) = tag::<_, _, ()>(MAGIC.as_slice()).parse(input) else { return Ok(Err(NoHeader)) };
    // The second number is the oldest version that may read the stream; Java does not check it either.
    let mut versions = (be_i32::<_, ()>, take(4_usize));
    let (rest, (version, _)) = versions.parse(rest).map_err(|_| corrupt("header is cut off"))?;
    if version < VERSION {
        return Err(corrupt("version"));
    }
    Ok(Ok(rest))
}

struct NoHeader;

fn block(block: &[u8], output: &mut OutputBuffer, filled: &mut usize) -> Result<(), CompressionError> {
    let size = decompress_len(block).map_err(|_| corrupt("block size"))?;
    if size > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(corrupt("block size"));
    }
    let limit_bytes = output.limit_bytes;
    let room = output.room(*filled, size);
    if room.len() < size {
        return Err(CompressionError::LimitExceeded { limit_bytes });
    }
    *filled += Decoder::new().decompress(block, room).map_err(|_| corrupt("block"))?;
    Ok(())
}

fn corrupt(what: &'static str) -> CompressionError {
    CompressionError::Corrupt { compression: Compression::Snappy, what }
}
