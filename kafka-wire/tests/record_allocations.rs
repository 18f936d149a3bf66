//! Reading and writing records allocates per batch, never per record. The allocations are counted, not estimated.

use allocation_counter::measure;
use bytes::Bytes;
use kafka_wire::compression::{Compression, CompressionError, Compressor, Container, Decompressed, decompress};
use kafka_wire::record::{Batch, BatchBuilder, HeadersBuf, Seal};

fn headers() -> HeadersBuf {
    let mut headers = HeadersBuf::new();
    headers.push(b"key", Some(b"value"));
    headers
}

fn builder(record_count: i64, headers: &HeadersBuf) -> BatchBuilder {
    let mut builder = BatchBuilder::new(1 << 20);
    for index in 0..record_count {
        builder.append(index, Some(b"key"), Some(&index.to_be_bytes()), headers.as_raw()).expect("small");
    }
    builder
}

fn seal(builder: BatchBuilder, compression: Compression, compressor: &mut Compressor) -> Bytes {
    builder.seal_with(Seal { compression, ..Seal::default() }, compressor).expect("a codec of this build")
}

fn read(batch: &Batch, buffer: &mut Decompressed) -> usize {
    let records = batch.open(buffer).expect("a good batch").map(|record| record.expect("a good record"));
    records.map(|record| record.headers.iter().count()).sum()
}

#[test]
fn reading_a_batch_takes_no_memory() {
    let headers = headers();
    for compression in Compression::ALL.into_iter().filter(|codec| codec.is_supported()) {
        let bytes = seal(builder(5_000, &headers), compression, &mut Compressor::default());
        let batch = Batch::from_bytes(bytes).expect("a good batch");
        let mut buffer = Decompressed::default();
        read(&batch, &mut buffer);
        let counted = measure(|| assert_eq!(read(&batch, &mut buffer), 5_000));
        // Only the decoder of zstd allocates, for its tables.
        let count_max = if compression == Compression::Zstd { 2 } else { 0 };
        assert!(
            counted.count_total <= count_max,
            "{compression}, with a buffer that has held such a batch: {counted:?}"
        );
    }
}

#[test]
fn writing_a_batch_takes_memory_per_batch() {
    let headers = headers();
    for compression in Compression::ALL.into_iter().filter(|codec| codec.is_supported()) {
        let mut compressor = Compressor::default();
        drop(seal(builder(5_000, &headers), compression, &mut compressor));
        let open = builder(5_000, &headers);
        let counted = measure(|| drop(seal(open, compression, &mut compressor)));
        // The batch needs a shared handle; its bytes stay in the builder's buffer. The encoder of zstd
        // allocates some more.
        let count_max = if compression == Compression::Zstd { 9 } else { 1 };
        assert!(counted.count_total <= count_max, "{compression}: {counted:?}");
    }
}

/// A few kilobytes that expand to a gibibyte fail at the limit, and take no more memory than that and the codec's own.
#[test]
fn bombs_take_no_more_than_the_limit() {
    const LIMIT_BYTES: usize = 1 << 20;
    for (compression, bomb, work_bytes) in bombs().into_iter().filter(|(codec, ..)| codec.is_supported()) {
        let counted = measure(|| {
            let mut buffer = Decompressed::new(LIMIT_BYTES);
            let read = decompress(compression, Container::Batch, &bomb, &mut buffer).map(<[u8]>::len);
            assert_eq!(read, Err(CompressionError::LimitExceeded { limit_bytes: LIMIT_BYTES }), "{compression}");
        });
        // Growing keeps the old buffer until its bytes are copied, which is half as much again.
        let most = (LIMIT_BYTES + LIMIT_BYTES / 2 + work_bytes) as u64;
        assert!(counted.bytes_max <= most, "{compression}: {counted:?}");
    }
}

/// Frames of zstd whose header has a content size that contradicts their blocks: zero although there is
/// content, and a terabyte.
#[test]
fn a_wrong_content_size_earns_no_memory() {
    if !Compression::Zstd.is_supported() {
        return;
    }
    let magic = [0x28, 0xB5, 0x2F, 0xFD];
    let blocks = [0x02, 0, 0x10, 0].repeat(1_030);
    let nothing = [magic.as_slice(), &[0x80, 0xA8, 0, 0, 0, 0], &blocks, &[0x01, 0, 0]].concat();
    let terabyte = [magic.as_slice(), &[0xC0, 0], &(1_u64 << 40).to_le_bytes(), &blocks, &[0x01, 0, 0]].concat();
    for frame in [nothing, terabyte] {
        let counted = measure(|| {
            let read =
                decompress(Compression::Zstd, Container::Batch, &frame, &mut Decompressed::default()).map(<[u8]>::len);
            let what = "content size";
            assert_eq!(read, Err(CompressionError::Corrupt { compression: Compression::Zstd, what }));
        });
        assert!(counted.bytes_max <= 1 << 20, "{counted:?}");
    }
}

/// For each codec, input as small as possible that expands to more than a gibibyte, and the memory of the decoder.
fn bombs() -> Vec<(Compression, Vec<u8>, usize)> {
    let compress = |compression: Compression, plain: &[u8]| {
        Compressor::default().compress(compression, Container::Batch, plain).map(<[u8]>::to_vec).unwrap_or_default()
    };
    // Members, streams and frames can follow each other, so these repeat one that expands to 32 MiB. One gzip bit
    // expands to at most 129 bytes and one snappy byte to 21, so a kilobyte of these cannot reach a gibibyte.
    let many = |compression, count: usize| compress(compression, &vec![0; 32 << 20]).repeat(count);
    // A frame of zstd whose blocks each repeat one byte 128 KiB times: 4 bytes of input each, 8,200 of them.
    let block = [0x02, 0, 0x10, 0];
    let zstd = [[0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x80].as_slice(), &block.repeat(8_200), &[0x03, 0, 0x10, 0]].concat();
    vec![
        (Compression::Gzip, many(Compression::Gzip, 33), 64 << 10),
        (Compression::Snappy, many(Compression::Snappy, 33), 1 << 10),
        (Compression::Lz4, many(Compression::Lz4, 33), 1 << 10),
        (Compression::Zstd, zstd, 1 << 20),
    ]
}
