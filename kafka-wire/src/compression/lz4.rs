//! LZ4 frame format, as Kafka uses it: independent blocks, no content size needed, frames may follow each other.

use std::io::{Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{Compression, CompressionError, Decompressed};

pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, output);
    encoder.write_all(input).expect("a Vec takes every write");
    encoder.finish().expect("a Vec takes every write");
}

pub(super) fn decompress<'a>(input: &[u8], output: &'a mut Decompressed) -> Result<&'a [u8], CompressionError> {
    let limit_bytes = output.limit_bytes;
    let mut rest = input;
    output.buffer.clear();
    while !rest.is_empty() {
        let room = u64::try_from(limit_bytes - output.buffer.len()).unwrap_or(u64::MAX);
        let mut decoder = FrameDecoder::new(rest).take(room.saturating_add(1));
        decoder.read_to_end(&mut output.buffer).map_err(|_| corrupt("frame"))?;
        if output.buffer.len() > limit_bytes {
            return Err(CompressionError::LimitExceeded { limit_bytes });
        }
        rest = decoder.into_inner().into_inner();
    }
    Ok(&output.buffer)
}

fn corrupt(what: &'static str) -> CompressionError {
    CompressionError::Corrupt { compression: Compression::Lz4, what }
}
