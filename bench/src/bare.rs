//! The codecs without anything around them: those that ours are built on, and C's for reference.
//!
//! They use the same levels and block sizes as ours, and buffers that have been used before, as ours are.

use kafka_wire::compression::Compression;
use structured_zstd::decoding::FrameDecoder;
use structured_zstd::encoding::{CompressionLevel, FrameCompressor};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

/// A codec with room for a batch.
pub(crate) trait Codec {
    /// Compresses, and returns the size.
    fn encode(&mut self, plain: &[u8]) -> usize;

    /// Decompresses the bytes that Kafka has between the header of a batch and its end.
    fn decode(&mut self, kafka: &[u8]) -> &[u8];
}

/// The codec that ours is built on.
pub(crate) fn below_ours(compression: Compression, plain_bytes: usize) -> Box<dyn Codec> {
    let room = vec![0; plain_bytes + plain_bytes / 4];
    match compression {
        Compression::None => unreachable!("no codec"),
        Compression::Gzip => {
            Box::new(Gzip { deflate: Deflate::new(6, false, 15), inflate: Inflate::new(false, 15), room })
        }
        Compression::Snappy => Box::new(Snappy { encoder: snap::raw::Encoder::new(), room }),
        Compression::Lz4 => Box::new(Lz4 { table: lz4_flex::block::CompressTable::default(), room }),
        Compression::Zstd => {
            let mut encoder = FrameCompressor::new(CompressionLevel::from_level(3));
            encoder.set_content_checksum(false);
            Box::new(Zstd { encoder, decoder: FrameDecoder::new(), encoded: Vec::new(), room })
        }
    }
}

/// The implementation in C, where the benchmark has one.
pub(crate) fn in_c(compression: Compression, plain_bytes: usize) -> Option<Box<dyn Codec>> {
    let room = vec![0; plain_bytes + plain_bytes / 4];
    match compression {
        Compression::Lz4 => Some(Box::new(CLz4 { room })),
        Compression::Zstd => {
            let encoder = zstd::bulk::Compressor::new(3).expect("level 3");
            Some(Box::new(CZstd { encoder, decoder: zstd::bulk::Decompressor::new().expect("memory"), room }))
        }
        _ => None,
    }
}

const SNAPPY_BLOCK_BYTES: usize = 32 << 10;
const LZ4_BLOCK_BYTES: usize = 64 << 10;

struct Gzip {
    deflate: Deflate,
    inflate: Inflate,
    room: Vec<u8>,
}

impl Codec for Gzip {
    fn encode(&mut self, plain: &[u8]) -> usize {
        self.deflate.reset();
        self.deflate.compress(plain, &mut self.room, DeflateFlush::Finish).expect("room");
        // gzip is deflate and a checksum of the plain bytes.
        std::hint::black_box(zlib_rs::crc32::crc32(0, plain));
        self.deflate.total_out() as usize
    }

    fn decode(&mut self, kafka: &[u8]) -> &[u8] {
        self.inflate.reset(false);
        let stream = &kafka[10..kafka.len() - 8];
        self.inflate.decompress(stream, &mut self.room, InflateFlush::Finish).expect("room");
        let plain = &self.room[..self.inflate.total_out() as usize];
        std::hint::black_box(zlib_rs::crc32::crc32(0, plain));
        plain
    }
}

struct Snappy {
    encoder: snap::raw::Encoder,
    room: Vec<u8>,
}

impl Codec for Snappy {
    fn encode(&mut self, plain: &[u8]) -> usize {
        let mut filled = 0;
        for block in plain.chunks(SNAPPY_BLOCK_BYTES) {
            filled += self.encoder.compress(block, &mut self.room[filled..]).expect("room");
        }
        filled
    }

    fn decode(&mut self, kafka: &[u8]) -> &[u8] {
        let (mut rest, mut filled) = (&kafka[16..], 0);
        while let Some((length, after)) = rest.split_first_chunk() {
            let (block, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            filled += snap::raw::Decoder::new().decompress(block, &mut self.room[filled..]).expect("room");
            rest = after;
        }
        &self.room[..filled]
    }
}

struct Lz4 {
    table: lz4_flex::block::CompressTable,
    room: Vec<u8>,
}

impl Codec for Lz4 {
    fn encode(&mut self, plain: &[u8]) -> usize {
        let mut filled = 0;
        for block in plain.chunks(LZ4_BLOCK_BYTES) {
            let room = &mut self.room[filled..];
            filled += lz4_flex::block::compress_into_with_table(block, room, &mut self.table).expect("room");
        }
        filled
    }

    fn decode(&mut self, kafka: &[u8]) -> &[u8] {
        lz4_blocks(kafka, &mut self.room, |block, room| lz4_flex::block::decompress_into(block, room).expect("room"))
    }
}

struct Zstd {
    encoder: FrameCompressor,
    decoder: FrameDecoder,
    encoded: Vec<u8>,
    room: Vec<u8>,
}

impl Codec for Zstd {
    fn encode(&mut self, plain: &[u8]) -> usize {
        self.encoder.compress_independent_frame_into(plain, &mut self.encoded);
        self.encoded.len()
    }

    fn decode(&mut self, kafka: &[u8]) -> &[u8] {
        let size = self.decoder.decode_all(kafka, &mut self.room).expect("room");
        &self.room[..size]
    }
}

struct CLz4 {
    room: Vec<u8>,
}

impl Codec for CLz4 {
    fn encode(&mut self, plain: &[u8]) -> usize {
        let mut filled = 0;
        for block in plain.chunks(LZ4_BLOCK_BYTES) {
            let room = &mut self.room[filled..];
            filled += lz4::block::compress_to_buffer(block, None, false, room).expect("room");
        }
        filled
    }

    fn decode(&mut self, kafka: &[u8]) -> &[u8] {
        lz4_blocks(kafka, &mut self.room, |block, room| {
            let size = i32::try_from(room.len()).expect("a block");
            lz4::block::decompress_to_buffer(block, Some(size), room).expect("room")
        })
    }
}

struct CZstd {
    encoder: zstd::bulk::Compressor<'static>,
    decoder: zstd::bulk::Decompressor<'static>,
    room: Vec<u8>,
}

impl Codec for CZstd {
    fn encode(&mut self, plain: &[u8]) -> usize {
        self.encoder.compress_to_buffer(plain, &mut self.room[..]).expect("room")
    }

    fn decode(&mut self, kafka: &[u8]) -> &[u8] {
        let size = self.decoder.decompress_to_buffer(kafka, &mut self.room[..]).expect("room");
        &self.room[..size]
    }
}

/// Decodes the blocks of one frame that has no checksums and no stored blocks.
fn lz4_blocks<'a>(kafka: &[u8], room: &'a mut [u8], mut decode: impl FnMut(&[u8], &mut [u8]) -> usize) -> &'a [u8] {
    let (mut rest, mut filled) = (&kafka[7..], 0);
    while let Some((size, after)) = rest.split_first_chunk() {
        let (block, after) = after.split_at(u32::from_le_bytes(*size) as usize);
        if block.is_empty() {
            break;
        }
        let end = (filled + LZ4_BLOCK_BYTES).min(room.len());
        filled += decode(block, &mut room[filled..end]);
        rest = after;
    }
    &room[..filled]
}
