use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;
use twox_hash::XxHash32;

use super::Compression::{Gzip, Lz4, Snappy, Zstd};
use super::*;

const CODECS: [Compression; 4] = [Gzip, Snappy, Lz4, Zstd];

fn compressed(compression: Compression, input: &[u8]) -> Vec<u8> {
    Compressor::default().compress(compression, Container::Batch, input).unwrap().to_vec()
}

fn read(compression: Compression, input: &[u8], output: &mut Decompressed) -> Result<usize, CompressionError> {
    decompress(compression, Container::Batch, input, output).map(<[u8]>::len)
}

fn check_reads(compression: Compression, input: &[u8], expected: &[u8]) {
    let mut output = Decompressed::default();
    assert_eq!(decompress(compression, Container::Batch, input, &mut output), Ok(expected), "{compression}");
}

fn check_refuses(compression: Compression, input: &[u8], what: &'static str) {
    let error = CompressionError::Corrupt { compression, what };
    assert_eq!(read(compression, input, &mut Decompressed::default()), Err(error));
}

fn changed(bytes: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] = byte;
    bytes
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn foreign_lz4(input: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that are partly repetitive, a few blocks of them.
fn sample() -> Vec<u8> {
    let words = (0..30_000_u32).flat_map(|index| (index % 97 * 7919).to_le_bytes());
    words.chain((0..70_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)).collect()
}

#[test]
fn codecs_have_numbers_and_names() {
    for (code, name) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let compression = Compression::from_name(name).unwrap();
        assert_eq!((usize::from(compression.code()), compression.name()), (code, name));
        assert_eq!(Compression::from_code(compression.code()), Ok(compression));
        assert!(compression.is_supported());
    }
    assert_eq!(Compression::from_code(5), Err(CompressionError::UnknownCodec { code: 5 }));
    assert_eq!(Compression::from_name("zip"), None);
    let error = CompressionError::UnsupportedCodec { compression: Compression::None };
    assert_eq!(read(Compression::None, b"", &mut Decompressed::default()), Err(error));
    assert_eq!(Compressor::default().compress(Compression::None, Container::Batch, b""), Err(error));
}

#[test]
fn what_is_written_is_read_again() {
    let mut compressor = Compressor::default();
    let mut buffer = Decompressed::default();
    for compression in CODECS {
        for input in [sample(), vec![], b"some bytes".to_vec(), vec![7; 300_000]] {
            let written = compressor.compress(compression, Container::Batch, &input).unwrap();
            assert!(input.len() < 1_000 || written.len() < input.len(), "{compression}");
            assert_eq!(decompress(compression, Container::Batch, written, &mut buffer), Ok(input.as_slice()));
        }
    }
}

#[test]
fn every_prefix_is_an_error() {
    let sample = &sample()[100_000..140_000];
    let mut output = Decompressed::default();
    for compression in CODECS {
        let whole = compressed(compression, sample);
        // The blocks of xerial's framing have no count, so a stream cut off between two of them is a valid stream
        // of fewer.
        let between = 16 + 4 + usize::from(whole[18]) * 256 + usize::from(whole[19]);
        for end in (0..whole.len()).step_by(7).chain(whole.len() - 9..whole.len()) {
            let is_whole = compression == Snappy && [16, between].contains(&end);
            assert!(read(compression, &whole[..end], &mut output).is_err() != is_whole, "{compression}, {end} bytes");
        }
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let plain = vec![0; 20 << 20];
    for compression in CODECS {
        let bomb = compressed(compression, &plain);
        for limit_bytes in [0, 1, 1_000, 1 << 20, (20 << 20) - 1] {
            let mut output = Decompressed::new(limit_bytes);
            let error = CompressionError::LimitExceeded { limit_bytes };
            assert_eq!(read(compression, &bomb, &mut output), Err(error), "{compression}, {limit_bytes}");
            assert!(output.capacity_bytes() <= limit_bytes);
        }
        assert_eq!(read(compression, &bomb, &mut Decompressed::new(20 << 20)), Ok(20 << 20), "{compression}");
    }
}

#[test]
fn a_small_input_earns_no_large_buffer() {
    let small_of_large_blocks = foreign_lz4(b"small", FrameInfo::new().block_size(BlockSize::Max4MB));
    // A block of snappy that claims 64 MiB, and a frame of zstd with a window of 256 MiB.
    let cases = [
        (Lz4, small_of_large_blocks),
        (Snappy, bytes("80 80 80 20 00 61")),
        (Zstd, bytes("28 b5 2f fd 00 90 19 00 00 61 62 63")),
        (Gzip, compressed(Gzip, b"small")),
    ];
    for (compression, input) in cases {
        let mut output = Decompressed::default();
        let _ = read(compression, &input, &mut output);
        assert!(output.capacity_bytes() < 640 << 10, "{compression}: {}", output.capacity_bytes());
    }
}

#[test]
fn gzip_members_may_follow_each_other_with_names_and_comments() {
    let one = compressed(Gzip, b"one ");
    check_reads(Gzip, &[one.clone(), compressed(Gzip, b""), compressed(Gzip, b"two")].concat(), b"one two");
    // The same member with an extra field, a name and a comment.
    let named = [&one[..3], &[0x1C], &one[4..10], b"\x02\0xy", b"name\0", b"comment\0", &one[10..]].concat();
    check_reads(Gzip, &named, b"one ");
    let checksum = zlib_rs::crc32::crc32(0, &changed(&one, 3, 2)[..10]).to_le_bytes();
    let checked = [&changed(&one, 3, 2)[..10], &checksum[..2], &one[10..]].concat();
    check_reads(Gzip, &checked, b"one ");
    check_refuses(Gzip, &changed(&checked, 10, checksum[0] ^ 1), "header");
    check_refuses(Gzip, &[one, vec![0]].concat(), "header");
    check_refuses(Gzip, b"", "header");
}

#[test]
fn gzip_checksums_and_sizes_are_checked() {
    let good = compressed(Gzip, b"some bytes");
    let end = good.len();
    check_refuses(Gzip, &changed(&good, 0, 0), "header");
    check_refuses(Gzip, &changed(&good, 2, 7), "header");
    check_refuses(Gzip, &changed(&good, 3, 0x20), "header");
    check_refuses(Gzip, &changed(&good, 10, 0x07), "deflate stream");
    check_refuses(Gzip, &changed(&good, end - 8, !good[end - 8]), "checksum");
    check_refuses(Gzip, &changed(&good, end - 4, 9), "size");
    check_refuses(Gzip, &good[..end - 1], "trailer is cut off");
    check_refuses(Gzip, &good[..end - 9], "deflate stream is cut off");
}

#[test]
fn snappy_writes_the_framing_that_java_writes() {
    let written = compressed(Snappy, &[b'a'; 40_000]);
    assert_eq!(written[..16], bytes("82 53 4e 41 50 50 59 00 00 00 00 01 00 00 00 01"));
    let second = 20 + u32::from_be_bytes(written[16..20].try_into().unwrap()) as usize;
    assert_eq!(snap::raw::decompress_len(&written[20..]), Ok(32_768));
    assert_eq!(snap::raw::decompress_len(&written[second + 4..]), Ok(40_000 - 32_768));
}

#[test]
fn snappy_is_read_raw_and_framed() {
    let sample = sample();
    check_reads(Snappy, &snap::raw::Encoder::new().compress_vec(&sample).unwrap(), &sample);
    let framed = [compressed(Snappy, b"one "), compressed(Snappy, b""), compressed(Snappy, b"two")].concat();
    check_reads(Snappy, &framed, b"one two");
    // A raw block of two bytes, and one of 0x82 bytes whose size begins as the magic does.
    check_reads(Snappy, &bytes("02 04 61 62"), b"ab");
    let raw = snap::raw::Encoder::new().compress_vec(&[b'S'; 0x2982]).unwrap();
    assert_eq!(raw[..2], [0x82, b'S']);
    check_reads(Snappy, &raw, &[b'S'; 0x2982]);
}

#[test]
fn snappy_that_is_wrong_is_named() {
    let good = compressed(Snappy, b"some bytes");
    check_refuses(Snappy, b"", "block");
    check_refuses(Snappy, &good[..15], "header is cut off");
    check_refuses(Snappy, &changed(&good, 11, 0), "version");
    check_reads(Snappy, &changed(&good, 15, 2), b"some bytes"); // Java checks only the first version.
    check_refuses(Snappy, &good[..good.len() - 1], "block is cut off");
    check_refuses(Snappy, &changed(&good, 16, 0x80), "block is cut off");
    check_refuses(Snappy, &changed(&good, 20, 11), "block");
    check_refuses(Snappy, &changed(&good, 20, 0x7f), "block");
    check_refuses(Snappy, &bytes("80 80 80 20 00 61"), "block size");
    check_refuses(Snappy, &[compressed(Snappy, b"one"), vec![0; 3]].concat(), "block is cut off");
}

#[test]
fn lz4_writes_the_header_that_java_writes() {
    assert_eq!(compressed(Lz4, b"some bytes")[..7], [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]);
}

#[test]
fn lz4_reads_every_kind_of_frame_with_independent_blocks() {
    let sample = sample();
    for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        let plain = FrameInfo::new().block_size(block_size).block_mode(BlockMode::Independent);
        check_reads(Lz4, &foreign_lz4(&sample, plain.clone()), &sample);
        let size = Some(sample.len() as u64);
        let checked = plain.clone().content_size(size).content_checksum(true).block_checksums(true);
        check_reads(Lz4, &foreign_lz4(&sample, checked), &sample);
        let linked = plain.block_mode(BlockMode::Linked);
        check_refuses(Lz4, &foreign_lz4(&sample, linked), "blocks depend on each other");
    }
}

#[test]
fn lz4_frames_may_follow_each_other() {
    let frames = [compressed(Lz4, b"one "), compressed(Lz4, b""), compressed(Lz4, b"two")].concat();
    check_reads(Lz4, &frames, b"one two");
    check_refuses(Lz4, &[frames, vec![0]].concat(), "magic");
    check_refuses(Lz4, b"", "magic");
}

#[test]
fn lz4_checksums_and_sizes_are_checked() {
    let info = || FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut content = foreign_lz4(b"some bytes", info().content_checksum(true));
    *content.last_mut().unwrap() ^= 1;
    check_refuses(Lz4, &content, "content checksum");
    let mut block = foreign_lz4(b"some bytes", info().block_checksums(true));
    block[11] ^= 1;
    check_refuses(Lz4, &block, "block checksum");
    let good = compressed(Lz4, b"some bytes");
    check_refuses(Lz4, &changed(&good, 0, 5), "magic");
    check_refuses(Lz4, &changed(&good, 4, 0xA0), "version");
    check_refuses(Lz4, &changed(&good, 4, 0x61), "reserved bits");
    check_refuses(Lz4, &changed(&good, 5, 0xC0), "reserved bits");
    check_refuses(Lz4, &changed(&good, 5, 0x50), "header checksum");
    check_refuses(Lz4, &changed(&good, 6, 0), "header checksum");
    let mut output = Decompressed::new(3);
    let stored = foreign_lz4(&[1, 2, 3, 4], FrameInfo::new());
    assert_eq!(read(Lz4, &stored, &mut output), Err(CompressionError::LimitExceeded { limit_bytes: 3 }));
}

#[test]
fn the_end_of_an_lz4_frame_is_no_block_whatever_its_highest_bit_says() {
    let good = compressed(Lz4, b"some bytes");
    check_reads(Lz4, &changed(&good, good.len() - 1, 0x80), b"some bytes");
}

#[test]
fn lz4_in_messages_v0_has_the_wrong_header_checksum() {
    let written = Compressor::default().compress(Lz4, Container::MessageV0, b"some bytes").unwrap().to_vec();
    let wrong = XxHash32::oneshot(0, &written[..6]).to_le_bytes()[1];
    assert_eq!((written[6], wrong == 0x82), (wrong, false));
    let right = compressed(Lz4, b"some bytes");
    for frame in [&written, &right] {
        let read = decompress(Lz4, Container::MessageV0, frame, &mut Decompressed::default()).map(<[u8]>::to_vec);
        assert_eq!(read, Ok(b"some bytes".to_vec()));
    }
    check_refuses(Lz4, &written, "header checksum");
}

#[test]
fn zstd_frames_may_follow_each_other_and_be_skipped() {
    let skippable = bytes("5a 2a 4d 18 03 00 00 00 61 62 63");
    let frames =
        [compressed(Zstd, b"one "), skippable.clone(), compressed(Zstd, b""), compressed(Zstd, b"two")].concat();
    check_reads(Zstd, &frames, b"one two");
    check_reads(Zstd, &skippable, b"");
    check_refuses(Zstd, &skippable[..9], "skippable frame is cut off");
    check_refuses(Zstd, &[frames, vec![0]].concat(), "frame header");
    check_refuses(Zstd, b"", "no frame");
}

#[test]
fn zstd_that_is_wrong_is_named() {
    // A frame of one raw block "abc": with its size, a wrong one, a checksum, a window of 3.75 TiB, a dictionary.
    check_reads(Zstd, &bytes("28 b5 2f fd 20 03 19 00 00 61 62 63"), b"abc");
    check_refuses(Zstd, &bytes("28 b5 2f fd 20 04 19 00 00 61 62 63"), "content size");
    check_refuses(Zstd, &bytes("28 b5 2f fd 24 03 19 00 00 61 62 63 00 00 00 00"), "content checksum");
    check_refuses(Zstd, &bytes("28 b5 2f fd 24 03 19 00 00 61 62 63"), "content checksum");
    check_refuses(Zstd, &bytes("28 b5 2f fd 00 ff 19 00 00 61 62 63"), "frame header");
    check_refuses(Zstd, &bytes("28 b5 2f fd 21 07 03 19 00 00 61 62 63"), "dictionaries have no place in Kafka");
    check_refuses(Zstd, &bytes("28 b5 2f fd 28 03 19 00 00 61 62 63"), "frame header");
    check_refuses(Zstd, &bytes("28 b5 2f fd 20 03 1f 00 00 61 62 63"), "block");
}

fn shapes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(0..4_u8, 0..100_000),
        proptest::collection::vec(any::<u8>(), 0..3_000),
        (any::<u8>(), 0..400_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn codecs_give_back_what_they_were_given(input in shapes(), codec in 0..4_usize) {
        check_reads(CODECS[codec], &compressed(CODECS[codec], &input), &input);
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_a_value_or_an_error(
        codec in 0..4_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in 0..40_usize,
    ) {
        let mut frame = compressed(CODECS[codec], &sample()[119_000..121_000]);
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(frame.len().saturating_sub(cut / 2));
        let mut output = Decompressed::new(4_096);
        let _ = read(CODECS[codec], &frame, &mut output);
        prop_assert!(output.capacity_bytes() <= 4_096);
    }
}
