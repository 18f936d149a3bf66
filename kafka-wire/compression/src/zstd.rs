//! Zstandard (RFC 8878), by `structured-zstd`.
//!
//! Written at level 3, Java's default: one frame, with its content size in the header and without a checksum, because
//! the batch has one. Read: any number of frames, also skippable ones, with checksums checked. Not read: dictionaries.
//!
//! The decoder uses the caller's output buffer as its window: a frame costs as much as its content, whatever window
//! its header asks for, so window sizes have no limit of their own. The most content that a frame can have follows from
//! the headers of its blocks, which are walked over first: a size in its header that they cannot reach gets no memory.
//!
//! Compared with `ruzstd` 0.9, on a megabyte of JSON events, it reads 3.5 times and writes 2.2 times as fast,
//! and the output is half as large.

use std::cell::RefCell;

use nom::Parser;
use nom::bytes::complete::take;
use nom::combinator::cond;
use nom::multi::length_data;
use nom::number::complete::{le_u8, le_u16, le_u24, le_u32, le_u64};
use structured_zstd::decoding::errors::{
    DecodeBlockContentError, DecodeBufferError, DecompressBlockError, ExecuteSequencesError, FrameDecoderError,
};
use structured_zstd::decoding::{ContentChecksum, FrameDecoder};
use structured_zstd::encoding::{CompressionLevel, FrameCompressor};

use super::{Compression, CompressionError, OutputBuffer, whole};

const LEVEL: i32 = 3;
const MAGIC: u32 = 0xFD2F_B528;
/// Magic of a skippable frame; the lowest four bits are free.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;
/// Most content of a block.
const BLOCK_BYTES_MAX: usize = 128 << 10;

thread_local! {
    /// Tables of the encoder, kept from batch to batch. Each thread has its own, because the encoder cannot
    /// move to another thread.
    static COMPRESSOR: RefCell<Box<FrameCompressor>> = RefCell::new(compressor());
}

fn compressor() -> Box<FrameCompressor> {
    let mut compressor = FrameCompressor::new(CompressionLevel::from_level(LEVEL));
    compressor.set_content_checksum(false);
    Box::new(compressor)
}

/// Writes one frame to the front of `output` and returns its size.
pub(super) fn compress(input: &[u8], output: &mut OutputBuffer) -> usize {
    // This clears the old content of the output and leaves only the frame in it.
    COMPRESSOR.with_borrow_mut(|compressor| compressor.compress_independent_frame_into(input, &mut output.buffer));
    output.buffer.len()
}

/// Tables of the decoder, kept from batch to batch.
#[derive(Default)]
pub(super) struct ZstdDecoder {
    decoder: Option<Box<FrameDecoder>>,
}

impl ZstdDecoder {
    /// Decompresses every frame of `input`, which must have at least one, and returns the number of bytes in `output`.
    pub(super) fn decompress(&mut self, input: &[u8], output: &mut OutputBuffer) -> Result<usize, CompressionError> {
        if input.is_empty() {
            return Err(corrupt("no frame"));
        }
        let decoder = self.decoder.get_or_insert_with(|| {
            let mut decoder = FrameDecoder::new();
            decoder.set_content_checksum(ContentChecksum::Verify);
            Box::new(decoder)
        });
        let limit_bytes = output.limit_bytes;
        let most = content_bytes_max(input)?;
        // Frames of a streaming writer, such as Java's, do not state their content size: the memory at hand is tried
        // first, and then twice as much each time. The buffer stays, so it is large enough for the next batch.
        let mut wanted = output.spare(0).max(input.len().saturating_mul(8)).max(1 << 10).min(most);
        loop {
            let room = output.room(0, wanted);
            let room_bytes = room.len();
            match decoder.decode_all(input, room) {
                Ok(filled) => return Ok(filled),
                Err(error) if !is_too_small(&error) => return Err(named(&error)),
                Err(_) if room_bytes < wanted || wanted >= limit_bytes => {
                    return Err(CompressionError::LimitExceeded { limit_bytes });
                }
                Err(_) if wanted >= most => return Err(corrupt("block")),
                Err(_) => wanted = wanted.saturating_mul(2).min(most),
            }
        }
    }
}

/// Most content of all frames of `input` together.
fn content_bytes_max(input: &[u8]) -> Result<usize, CompressionError> {
    let (mut rest, mut most) = (input, 0_usize);
    while !rest.is_empty() {
        let (after, magic) = whole(le_u32, rest, corrupt("frame header"))?;
        let (after, frame_most) = match magic {
            MAGIC => frame_bytes_max(after)?,
            _ if magic & !0xF == SKIPPABLE_MAGIC => {
                (whole(length_data(le_u32), after, corrupt("skippable frame is cut off"))?.0, 0)
            }
            _ => return Err(corrupt("frame header")),
        };
        (rest, most) = (after, most.saturating_add(frame_most));
    }
    Ok(most)
}

/// Reads the frame whose magic has been read. Returns the rest of the input, and the most content that the frame can
/// have: as much as its header says, if its blocks can hold that.
fn frame_bytes_max(input: &[u8]) -> Result<(&[u8], usize), CompressionError> {
    let (rest, descriptor) = whole(le_u8, input, corrupt("frame header"))?;
    let is_single_segment = descriptor & 0x20 != 0;
    let window_bytes = usize::from(!is_single_segment);
    let dictionary_id_bytes = (1_usize << (descriptor & 0x03)) >> 1;
    let (rest, _) = whole(take(window_bytes + dictionary_id_bytes), rest, corrupt("frame header"))?;
    let (mut rest, declared) = match descriptor >> 6 {
        0 if !is_single_segment => (rest, None),
        0 => whole(le_u8.map(u64::from).map(Some), rest, corrupt("frame header"))?,
        1 => whole(le_u16.map(|size| Some(u64::from(size) + 256)), rest, corrupt("frame header"))?,
        2 => whole(le_u32.map(u64::from).map(Some), rest, corrupt("frame header"))?,
        _ => whole(le_u64.map(Some), rest, corrupt("frame header"))?,
    };
    let mut most = 0_usize;
    loop {
        let (after, header) = whole(le_u24, rest, corrupt("block"))?;
        let size = (header >> 3) as usize;
        // The kinds of blocks: raw, one repeated byte, compressed; there is no fourth.
        let (bytes, block_most) = match header >> 1 & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, BLOCK_BYTES_MAX),
            _ => return Err(corrupt("block")),
        };
        (rest, _) = whole(take(bytes), after, corrupt("block"))?;
        most = most.saturating_add(block_most.min(BLOCK_BYTES_MAX));
        if header & 1 != 0 {
            break;
        }
    }
    let has_checksum = descriptor & 0x04 != 0;
    let (rest, _) = whole(cond(has_checksum, le_u32), rest, corrupt("content checksum"))?;
    match declared.map(usize::try_from) {
        None => Ok((rest, most)),
        // The decoder handles an empty frame in another way, in which it does not keep to the memory that it is given.
        Some(Ok(size)) if size <= most && (size > 0 || most == 0) => Ok((rest, size)),
        Some(_) => Err(corrupt("content size")),
    }
}

/// Whether the output was too small; a wrong content size in a frame is another error.
///
/// The decoder has two errors for it: in a frame without a content size, a block that overflows may be reported
/// as broken.
fn is_too_small(error: &FrameDecoderError) -> bool {
    use DecodeBlockContentError::DecompressBlockError as Block;
    use DecompressBlockError::ExecuteSequencesError as Sequences;
    match error {
        FrameDecoderError::TargetTooSmall => true,
        FrameDecoderError::FailedToReadBlockBody(Block(Sequences(cause))) => matches!(
            cause,
            ExecuteSequencesError::OutputBufferOverflow { .. }
                | ExecuteSequencesError::DecodebufferError(DecodeBufferError::OutputBufferOverflow { .. })
        ),
        _ => false,
    }
}

#[cold]
fn named(error: &FrameDecoderError) -> CompressionError {
    use FrameDecoderError as E;
    corrupt(match error {
        E::ReadFrameHeaderError(_) | E::FrameHeaderError(_) | E::FailedToInitialize(_) => "frame header",
        E::FrameContentSizeMismatch { .. } => "content size",
        E::ChecksumMismatch { .. } | E::FailedToReadChecksum(_) => "content checksum",
        E::DictNotProvided { .. } => "dictionaries have no place in Kafka",
        E::FailedToSkipFrame => "skippable frame is cut off",
        _ => "block",
    })
}

fn corrupt(what: &'static str) -> CompressionError {
    CompressionError::Corrupt { compression: Compression::Zstd, what }
}
