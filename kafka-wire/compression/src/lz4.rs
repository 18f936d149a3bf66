//! LZ4 frame format, around the block codec of `lz4_flex`.
//!
//! ```text
//! magic u32 | flags u8 | block sizes u8 | content size u64? | header checksum u8
//! { size u32, top bit: stored as it is | bytes | checksum u32? } ...
//! 0 u32 | content checksum u32?
//! ```
//! All numbers are little-endian. Written as Java writes it: independent blocks of 64 KiB, no content size and no
//! checksums, because the batch has one. Read: such frames, and also checksums and content sizes (both checked),
//! larger blocks, and consecutive frames. Refused, as by Java: blocks that depend on earlier ones.
//! Not read: dictionaries, legacy and skippable frames.
//!
//! In message sets of format v0 the header checksum is wrong on purpose: early Java clients included the magic in
//! it. There it is written in the wrong way and not checked on reading, because those clients check for it and other
//! clients wrote the right one (KIP-57).
//!
//! The frame is parsed here and not by `lz4_flex::frame`, so that blocks are decoded into the caller's buffer without
//! a copy, and so that no length in a header can make anything grow beyond the limit.
//!
//! Source: lz4_Frame_format.md 1.6, `Lz4BlockInputStream`.

use lz4_flex::block::{
    CompressTable, DecompressError, compress_into_with_table, decompress_into, get_maximum_output_size,
};
use nom::Offset;
use nom::combinator::cond;
use nom::number::complete::{le_u8, le_u32, le_u64};
use twox_hash::XxHash32;

use super::{Compression, CompressionError, Container, OutputBuffer, whole};

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Header flags: version 1, independent blocks, no options; blocks of 64 KiB.
const WRITTEN_HEADER: [u8; 2] = [0x60, 0x40];
const BLOCK_BYTES: usize = 64 << 10;
/// Bytes of the size that precedes a block.
const SIZE_BYTES: usize = 4;
/// Top bit of a block's size: the bytes of the block are stored, not compressed.
const STORED: u32 = 1 << 31;

/// The match table, kept from batch to batch.
#[derive(Default)]
pub(super) struct Lz4Compressor {
    table: Option<CompressTable>,
}

impl Lz4Compressor {
    /// Writes one frame to the front of `output` and returns its size.
    pub(super) fn compress(&mut self, input: &[u8], container: Container, output: &mut OutputBuffer) -> usize {
        let checksum = match container {
            Container::Batch => header_checksum(&WRITTEN_HEADER),
            Container::MessageV0 => header_checksum(&[MAGIC.as_slice(), &WRITTEN_HEADER].concat()),
        };
        let table = self.table.get_or_insert_default();
        let mut filled = 0;
        output.put(&mut filled, &MAGIC);
        output.put(&mut filled, &WRITTEN_HEADER);
        output.put(&mut filled, &[checksum]);
        for block in input.chunks(BLOCK_BYTES) {
            let room = output.room(filled + SIZE_BYTES, get_maximum_output_size(BLOCK_BYTES));
            let compressed_bytes = compress_into_with_table(block, room, table).expect("room for the worst case");
            let is_smaller = compressed_bytes < block.len();
            let size_bytes = if is_smaller { compressed_bytes } else { block.len() };
            let size = u32::try_from(size_bytes).expect("a block has 64 KiB at most");
            output.put(&mut filled, &(if is_smaller { size } else { size | STORED }).to_le_bytes());
            if !is_smaller {
                output.room(filled, block.len()).copy_from_slice(block);
            }
            filled += size_bytes;
        }
        output.put(&mut filled, &0_u32.to_le_bytes());
        filled
    }
}

/// Decompresses every frame of `input`, which must have at least one, and returns the number of bytes in `output`.
pub(super) fn decompress(
    input: &[u8],
    container: Container,
    output: &mut OutputBuffer,
) -> Result<usize, CompressionError> {
    let mut filled = 0;
    let mut rest = input;
    loop {
        rest = frame(rest, container, output, &mut filled)?;
        if rest.is_empty() {
            return Ok(filled);
        }
    }
}

/// The facts in a frame's header.
struct Frame {
    block_checksums: bool,
    content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
}

/// Decompresses the frame at the start of `input` after the first `filled` bytes of `output`; returns
/// the rest of the input.
fn frame<'a>(
    input: &'a [u8],
    container: Container,
    output: &mut OutputBuffer,
    filled: &mut usize,
) -> Result<&'a [u8], CompressionError> {
    let start = *filled;
    let (mut rest, frame) = header(input, container)?;
    loop {
        let (after, size) = whole(le_u32, rest, corrupt("block size"))?;
        let block_bytes = usize::try_from(size & !STORED).unwrap_or(usize::MAX);
        // A size of zero ends the frame even if the bit for a stored block is set, as for Java.
        if block_bytes == 0 {
            rest = after;
            break;
        }
        let (block, after) = after.split_at_checked(block_bytes).ok_or(corrupt("block is cut off"))?;
        let (after, checksum) = whole(cond(frame.block_checksums, le_u32), after, corrupt("block checksum"))?;
        if checksum.is_some_and(|checksum| checksum != XxHash32::oneshot(0, block)) {
            return Err(corrupt("block checksum"));
        }
        *filled += if size & STORED == 0 {
            decompress_block(&frame, block, output, *filled)?
        } else {
            store_block(&frame, block, output, *filled)?
        };
        rest = after;
    }
    let (rest, checksum) = whole(cond(frame.content_checksum, le_u32), rest, corrupt("content checksum"))?;
    let content = output.filled(start, *filled);
    if checksum.is_some_and(|checksum| checksum != XxHash32::oneshot(0, content)) {
        return Err(corrupt("content checksum"));
    }
    if frame.content_bytes.is_some_and(|size| u64::try_from(content.len()) != Ok(size)) {
        return Err(corrupt("content size"));
    }
    Ok(rest)
}

fn header(input: &[u8], container: Container) -> Result<(&[u8], Frame), CompressionError> {
    let (descriptor, magic) = whole(le_u32, input, corrupt("magic"))?;
    if magic.to_le_bytes() != MAGIC {
        return Err(corrupt("magic"));
    }
    let (rest, (flags, sizes)) = whole((le_u8, le_u8), descriptor, corrupt("header"))?;
    let (rest, content_bytes) = whole(cond(flags & 0x08 != 0, le_u64), rest, corrupt("content size"))?;
    let covered = descriptor.get(..descriptor.offset(rest)).unwrap_or_default();
    let (rest, checksum) = whole(le_u8, rest, corrupt("header checksum"))?;
    if flags & 0xC0 != 0x40 {
        return Err(corrupt("version"));
    }
    if flags & 0x03 != 0 || sizes & 0x8F != 0 {
        // One of these bits announces a dictionary, which Kafka cannot name.
        return Err(corrupt("reserved bits"));
    }
    if flags & 0x20 == 0 {
        return Err(corrupt("blocks depend on each other"));
    }
    if container == Container::Batch && checksum != header_checksum(covered) {
        return Err(corrupt("header checksum"));
    }
    let block_bytes_max = match sizes >> 4 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(corrupt("block size code")),
    };
    let frame = Frame {
        block_checksums: flags & 0x10 != 0,
        content_checksum: flags & 0x04 != 0,
        content_bytes,
        block_bytes_max,
    };
    Ok((rest, frame))
}

/// The checksum is the second byte of the hash.
fn header_checksum(covered: &[u8]) -> u8 {
    let [_, second, ..] = XxHash32::oneshot(0, covered).to_le_bytes();
    second
}

/// Not inlined: together with the variables of `frame`, its loop would run out of registers.
#[inline(never)]
fn decompress_alone(block: &[u8], room: &mut [u8]) -> Result<usize, DecompressError> {
    decompress_into(block, room)
}

/// Decompresses one block and returns its size.
fn decompress_block(
    frame: &Frame,
    block: &[u8],
    output: &mut OutputBuffer,
    filled: usize,
) -> Result<usize, CompressionError> {
    // A byte of a block expands to at most 255: a small block gets no large buffer, whatever size the header allows.
    let wanted = frame.block_bytes_max.min(block.len().saturating_mul(255).saturating_add(64));
    let limit_bytes = output.limit_bytes;
    let room = output.room(filled, wanted);
    let is_limited = room.len() < wanted;
    decompress_alone(block, room).map_err(|error| match error {
        DecompressError::OutputTooSmall { .. } if is_limited => CompressionError::LimitExceeded { limit_bytes },
        DecompressError::OutputTooSmall { .. } => corrupt("block is larger than the frame allows"),
        _ => corrupt("block"),
    })
}

fn store_block(
    frame: &Frame,
    block: &[u8],
    output: &mut OutputBuffer,
    filled: usize,
) -> Result<usize, CompressionError> {
    if block.len() > frame.block_bytes_max {
        return Err(corrupt("block is larger than the frame allows"));
    }
    let limit_bytes = output.limit_bytes;
    let room = output.room(filled, block.len());
    if room.len() < block.len() {
        return Err(CompressionError::LimitExceeded { limit_bytes });
    }
    room.copy_from_slice(block);
    Ok(block.len())
}

fn corrupt(what: &'static str) -> CompressionError {
    CompressionError::Corrupt { compression: Compression::Lz4, what }
}
