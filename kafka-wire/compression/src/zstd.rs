//! Zstandard (RFC 8878), by `structured-zstd`.
//!
//! Written at level 3, as Java does unless it is told otherwise: one frame, its content size in the header, no checksum,
//! since the batch has one. Read: any number of frames, skippable ones among them, checksums checked. Not read:
//! dictionaries.
//!
//! The decoder writes into the caller's buffer, and that is its window: a frame costs what it holds, whatever window its
//! header asks for, so windows have no limit of their own.
//!
//! Beside `ruzstd` 0.9, on a megabyte of JSON events, it reads 3.5 times and writes 2.2 times as fast, to half the size.

use std::cell::RefCell;

use structured_zstd::decoding::errors::{
    DecodeBlockContentError, DecodeBufferError, DecompressBlockError, ExecuteSequencesError, FrameDecoderError,
};
use structured_zstd::decoding::{ContentChecksum, FrameDecoder};
use structured_zstd::encoding::{CompressionLevel, FrameCompressor};

use super::{Compression, CompressionError, Output};

const LEVEL: i32 = 3;
/// The most that a block can hold, and the least that one takes: a header and the byte that it repeats.
const BLOCK_BYTES_MAX: usize = 128 << 10;
const BLOCK_BYTES_MIN: usize = 4;

thread_local! {
    /// Tables, kept from batch to batch. A thread has its own, because the encoder cannot move to another one.
    static COMPRESSOR: RefCell<Box<FrameCompressor>> = RefCell::new(compressor());
}

fn compressor() -> Box<FrameCompressor> {
    let mut compressor = FrameCompressor::new(CompressionLevel::from_level(LEVEL));
    compressor.set_content_checksum(false);
    Box::new(compressor)
}

/// Writes one frame to the front of `output` and returns its size.
pub(super) fn compress(input: &[u8], output: &mut Output) -> usize {
    // Clears what was there, and leaves the frame alone in it.
    COMPRESSOR.with_borrow_mut(|compressor| compressor.compress_independent_frame_into(input, &mut output.buffer));
    output.buffer.len()
}

/// Tables, kept from batch to batch.
#[derive(Default)]
pub(super) struct ZstdDecoder {
    decoder: Option<Box<FrameDecoder>>,
}

impl ZstdDecoder {
    /// Reads every frame of `input`, which holds one at least, and returns how many bytes of `output` they fill.
    pub(super) fn decompress(&mut self, input: &[u8], output: &mut Output) -> Result<usize, CompressionError> {
        if input.is_empty() {
            return Err(corrupt("no frame"));
        }
        let decoder = self.decoder.get_or_insert_with(|| {
            let mut decoder = FrameDecoder::new();
            decoder.set_content_checksum(ContentChecksum::Verify);
            Box::new(decoder)
        });
        let limit_bytes = output.limit_bytes;
        // A small input earns no large buffer.
        let most = (input.len() / BLOCK_BYTES_MIN).saturating_add(1).saturating_mul(BLOCK_BYTES_MAX);
        // Frames of a streaming writer, such as Java's, do not say how much they hold: all the memory that is there is
        // tried first, and then twice as much each time. The buffer stays, so the next batch finds it large enough.
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

/// Whether the output is what did not suffice; a frame that lies about its size is another error.
///
/// The decoder says so in two ways: of a frame without a size, a block that overflows may come as one that is broken.
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
