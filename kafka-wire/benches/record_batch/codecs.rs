//! A batch of JSON events through each codec, beside the bare codec on the same bytes with the same settings.
//!
//! The bare codec gets buffers that it has used before, as ours does. Ours also computes the checksum of the batch when it
//! writes; when it reads, the codec's share of it is measured, and behind it all of it: checksum, codec and every record.

use std::time::Duration;

use kafka_wire::compression::{Compression, Compressor, Container, Decompressed, decompress};
use kafka_wire::record::{Batch, BatchBuilder, HEADER_BYTES, RawHeaders, Seal};
use structured_zstd::decoding::FrameDecoder;
use structured_zstd::encoding::{CompressionLevel, FrameCompressor};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use super::{black_box, read_ours, take_turns, timestamp_of};

pub(super) fn run() {
    println!("\n{:<34}{:>10}{:>10}{:>8}{:>14}", "MB/s of JSON events", "codec", "ours", "ratio", "compressed to");
    let builder = events();
    let plain = builder.clone().seal(Seal::default()).expect("no codec");
    let records = &plain[HEADER_BYTES..];
    for (compression, mut codec) in codecs(records.len()) {
        let seal = Seal { compression, ..Seal::default() };
        let sealed = builder.clone().seal(seal).expect("every codec is built in");
        let batch = Batch::from_bytes(sealed.clone()).expect("a good batch");
        let mut compressor = Compressor::default();
        let encoded = take_turns(
            // The copy stands for the one that ours pays when it gets its builder.
            || {
                black_box(builder.clone());
                codec.encode(records) as i64
            },
            || builder.clone().seal_with(seal, &mut compressor).expect("every codec is built in").len() as i64,
        );
        report("encode + CRC", compression, records.len(), encoded, sealed.len());
        let mut buffer = Decompressed::default();
        let compressed = codec.framed(&sealed[HEADER_BYTES..]);
        let decoded = take_turns(
            || codec.decode(black_box(&compressed)) as i64,
            || {
                let kafka = black_box(&sealed[HEADER_BYTES..]);
                decompress(compression, Container::Batch, kafka, &mut buffer).expect("ours").len() as i64
            },
        );
        report("decode", compression, records.len(), decoded, sealed.len());
        let read =
            take_turns(|| codec.decode(black_box(&compressed)) as i64, || read_ours(black_box(&batch), &mut buffer));
        report("decode + CRC + records", compression, records.len(), read, sealed.len());
    }
}

fn report(what: &str, compression: Compression, size: usize, times: (Duration, Duration), compressed: usize) {
    let megabytes = |time: Duration| size as f64 / time.as_secs_f64() / 1e6;
    let (codec, ours) = (megabytes(times.0), megabytes(times.1));
    let share = format!("{:.1} %", compressed as f64 / size as f64 * 100.0);
    println!("{:<34}{codec:>10.0}{ours:>10.0}{:>8.2}{share:>14}", format!("{what}, {compression}"), ours / codec);
}

/// 10,000 events of about 100 bytes: some fields repeat, some do not.
fn events() -> BatchBuilder {
    let mut builder = BatchBuilder::new(2 << 20);
    for index in 0..10_000_usize {
        let session = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let value = format!(
            "{{\"user\":{},\"page\":\"/item/{}\",\"at\":{},\"session\":\"{session:08x}\",\"price\":{}.{:02}}}",
            index * 7919 % 1000,
            index % 97,
            1_700_000_000_000 + index * 31,
            index % 50,
            index % 100
        );
        builder.append(timestamp_of(index), None, Some(value.as_bytes()), RawHeaders::EMPTY).expect("below 2 GiB");
    }
    builder
}

/// A codec without anything around it.
trait Codec {
    fn encode(&mut self, plain: &[u8]) -> usize;
    /// What [`Codec::decode`] reads, from what Kafka has.
    fn framed(&mut self, kafka: &[u8]) -> Vec<u8>;
    fn decode(&mut self, compressed: &[u8]) -> usize;
}

fn codecs(plain_bytes: usize) -> Vec<(Compression, Box<dyn Codec>)> {
    let room = || vec![0; plain_bytes + plain_bytes / 4];
    let gzip = Gzip { deflate: Deflate::new(6, false, 15), inflate: Inflate::new(false, 15), room: room() };
    let zstd = Zstd {
        encoder: FrameCompressor::new(CompressionLevel::from_level(3)),
        decoder: FrameDecoder::new(),
        encoded: Vec::new(),
        room: room(),
    };
    vec![
        (Compression::Gzip, Box::new(gzip)),
        (Compression::Snappy, Box::new(Snappy { encoder: snap::raw::Encoder::new(), room: room() })),
        (Compression::Lz4, Box::new(Lz4 { room: room() })),
        (Compression::Zstd, Box::new(zstd)),
    ]
}

struct Gzip {
    deflate: Deflate,
    inflate: Inflate,
    room: Vec<u8>,
}

impl Codec for Gzip {
    fn encode(&mut self, plain: &[u8]) -> usize {
        self.deflate.reset();
        self.deflate.compress(plain, &mut self.room, DeflateFlush::Finish).expect("room");
        self.deflate.total_out() as usize
    }

    /// The bare deflate stream, without header and trailer.
    fn framed(&mut self, kafka: &[u8]) -> Vec<u8> {
        kafka[10..kafka.len() - 8].to_vec()
    }

    fn decode(&mut self, compressed: &[u8]) -> usize {
        self.inflate.reset(false);
        self.inflate.decompress(compressed, &mut self.room, InflateFlush::Finish).expect("room");
        let size = self.inflate.total_out() as usize;
        // gzip is deflate and a checksum of the plain bytes.
        black_box(zlib_rs::crc32::crc32(0, &self.room[..size]));
        size
    }
}

struct Snappy {
    encoder: snap::raw::Encoder,
    room: Vec<u8>,
}

impl Codec for Snappy {
    /// In the blocks of xerial's framing, since the size of a block decides about speed and ratio.
    fn encode(&mut self, plain: &[u8]) -> usize {
        plain.chunks(32 << 10).map(|block| self.encoder.compress(block, &mut self.room).expect("room")).sum()
    }

    fn framed(&mut self, kafka: &[u8]) -> Vec<u8> {
        kafka[16..].to_vec()
    }

    fn decode(&mut self, mut compressed: &[u8]) -> usize {
        let mut filled = 0;
        while let Some((length, rest)) = compressed.split_first_chunk() {
            let (block, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            filled += snap::raw::Decoder::new().decompress(block, &mut self.room[filled..]).expect("room");
            compressed = rest;
        }
        filled
    }
}

struct Lz4 {
    room: Vec<u8>,
}

impl Codec for Lz4 {
    /// In blocks of 64 KiB, as Java's frames have them.
    fn encode(&mut self, plain: &[u8]) -> usize {
        let mut table = lz4_flex::block::CompressTable::default();
        let blocks = plain.chunks(64 << 10);
        blocks
            .map(|block| lz4_flex::block::compress_into_with_table(block, &mut self.room, &mut table).expect("room"))
            .sum()
    }

    fn framed(&mut self, kafka: &[u8]) -> Vec<u8> {
        kafka[7..].to_vec()
    }

    fn decode(&mut self, mut compressed: &[u8]) -> usize {
        let mut filled = 0;
        while let Some((size, rest)) = compressed.split_first_chunk() {
            let (block, rest) = rest.split_at(u32::from_le_bytes(*size) as usize);
            if block.is_empty() {
                break;
            }
            let end = (filled + (64 << 10)).min(self.room.len());
            filled += lz4_flex::block::decompress_into(block, &mut self.room[filled..end]).expect("room");
            compressed = rest;
        }
        filled
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

    fn framed(&mut self, kafka: &[u8]) -> Vec<u8> {
        kafka.to_vec()
    }

    fn decode(&mut self, compressed: &[u8]) -> usize {
        self.decoder.decode_all(compressed, &mut self.room).expect("room")
    }
}
