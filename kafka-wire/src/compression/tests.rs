use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;

use super::*;

fn lz4_of(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    Compressor::default().compress(Compression::Lz4, input, &mut output).unwrap();
    output
}

fn foreign_lz4(input: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

fn check_reads(input: &[u8], expected: Result<&[u8], CompressionError>) {
    assert_eq!(decompress(Compression::Lz4, input, &mut Decompressed::default()), expected);
}

fn corrupt(what: &'static str) -> CompressionError {
    CompressionError::Corrupt { compression: Compression::Lz4, what }
}

/// Repetitive and not, a few blocks of it.
fn sample() -> Vec<u8> {
    let words = (0..30_000_u32).flat_map(|index| (index % 97 * 7919).to_le_bytes());
    words.chain((0..70_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)).collect()
}

#[test]
fn codecs_of_other_builds_are_named() {
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let error = CompressionError::UnsupportedCodec { compression };
        assert!(!compression.is_supported());
        assert_eq!(decompress(compression, b"", &mut Decompressed::default()), Err(error));
        assert_eq!(Compressor::default().compress(compression, b"", &mut Vec::new()), Err(error));
        assert!(error.to_string().contains(compression.name()));
    }
    for code in 0..=4 {
        assert_eq!(Compression::from_code(code).unwrap().code(), code);
    }
    assert_eq!(Compression::from_code(5), Err(CompressionError::UnknownCodec { code: 5 }));
}

#[test]
fn lz4_writes_the_header_that_java_writes() {
    assert_eq!(lz4_of(b"some bytes")[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
}

#[test]
fn lz4_reads_every_kind_of_frame() {
    let sample = sample();
    for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            let plain = FrameInfo::new().block_size(block_size).block_mode(block_mode);
            check_reads(&foreign_lz4(&sample, plain.clone()), Ok(&sample));
            let size = Some(sample.len() as u64);
            let checked = plain.content_size(size).content_checksum(true).block_checksums(true);
            check_reads(&foreign_lz4(&sample, checked), Ok(&sample));
        }
    }
}

#[test]
fn lz4_frames_may_follow_each_other() {
    let frames = [lz4_of(b"one "), lz4_of(b""), lz4_of(b"two")].concat();
    check_reads(&frames, Ok(b"one two"));
    check_reads(&[frames, vec![0]].concat(), Err(corrupt("magic")));
    check_reads(b"", Err(corrupt("magic")));
}

#[test]
fn lz4_checksums_and_sizes_are_checked() {
    let info = || FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut content = foreign_lz4(b"some bytes", info().content_checksum(true));
    *content.last_mut().unwrap() ^= 1;
    check_reads(&content, Err(corrupt("content checksum")));
    let mut block = foreign_lz4(b"some bytes", info().block_checksums(true));
    block[11] ^= 1;
    check_reads(&block, Err(corrupt("block checksum")));
    let good = lz4_of(b"some bytes");
    let broken = |at: usize, byte: u8| [&good[..at], &[byte], &good[at + 1..]].concat();
    check_reads(&broken(0, 5), Err(corrupt("magic")));
    check_reads(&broken(4, 0xA0), Err(corrupt("version")));
    check_reads(&broken(4, 0x61), Err(corrupt("reserved bits")));
    check_reads(&broken(5, 0xC0), Err(corrupt("reserved bits")));
    check_reads(&broken(5, 0x50), Err(corrupt("header checksum")));
    check_reads(&broken(6, 0), Err(corrupt("header checksum")));
}

#[test]
fn every_prefix_of_a_frame_is_an_error() {
    let frame = lz4_of(&sample()[100_000..]);
    let mut output = Decompressed::default();
    for end in (0..frame.len()).step_by(7) {
        assert!(decompress(Compression::Lz4, &frame[..end], &mut output).is_err(), "{end} bytes");
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let bomb = lz4_of(&vec![0; 50 << 20]);
    assert!(bomb.len() < 300 << 10);
    for limit_bytes in [0, 1, 1_000, 1 << 20, (50 << 20) - 1] {
        let mut output = Decompressed::new(limit_bytes);
        let error = CompressionError::LimitExceeded { limit_bytes };
        assert_eq!(decompress(Compression::Lz4, &bomb, &mut output), Err(error));
        assert!(output.capacity_bytes() <= limit_bytes);
    }
    let mut output = Decompressed::new(50 << 20);
    assert_eq!(decompress(Compression::Lz4, &bomb, &mut output).unwrap().len(), 50 << 20);
    let mut output = Decompressed::new(3);
    let stored = foreign_lz4(&[1, 2, 3, 4], FrameInfo::new());
    let error = CompressionError::LimitExceeded { limit_bytes: 3 };
    assert_eq!(decompress(Compression::Lz4, &stored, &mut output), Err(error));
}

#[test]
fn a_small_block_earns_no_large_buffer() {
    let small = foreign_lz4(b"small", FrameInfo::new().block_size(BlockSize::Max4MB));
    let mut output = Decompressed::default();
    decompress(Compression::Lz4, &small, &mut output).unwrap();
    assert!(output.capacity_bytes() < 16 << 10);
}

proptest! {
    #[test]
    fn lz4_gives_back_what_it_was_given(input in proptest::collection::vec(0..4_u8, 0..200_000)) {
        check_reads(&lz4_of(&input), Ok(&input));
    }

    #[test]
    fn hostile_lz4_is_a_value_or_an_error(at in 0..2_000_usize, byte in any::<u8>(), tail in 0..2_000_usize) {
        let mut frame = lz4_of(&sample()[119_000..121_000]);
        let at = at % frame.len();
        frame[at] = byte;
        frame.truncate(frame.len().saturating_sub(tail / 10));
        let mut output = Decompressed::new(4_096);
        let _ = decompress(Compression::Lz4, &frame, &mut output);
        prop_assert!(output.capacity_bytes() <= 4_096);
    }
}
