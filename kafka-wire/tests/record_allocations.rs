//! Reading and writing records takes memory per batch, never per record. Counted, not estimated.

use allocation_counter::measure;
use bytes::Bytes;
use kafka_wire::compression::{Compression, Compressor, Decompressed};
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
    for compression in [Compression::None, Compression::Lz4].into_iter().filter(|codec| codec.is_supported()) {
        let bytes = seal(builder(5_000, &headers), compression, &mut Compressor::default());
        let batch = Batch::from_bytes(bytes).expect("a good batch");
        let mut buffer = Decompressed::default();
        read(&batch, &mut buffer);
        let counted = measure(|| assert_eq!(read(&batch, &mut buffer), 5_000));
        assert_eq!(counted.count_total, 0, "{compression}, with a buffer that has held such a batch before");
    }
}

#[test]
fn writing_a_batch_takes_memory_per_batch() {
    let headers = headers();
    let cases = [(Compression::None, 2), (Compression::Lz4, 4)];
    for (compression, count_max) in cases.into_iter().filter(|(codec, _)| codec.is_supported()) {
        let mut compressor = Compressor::default();
        drop(seal(builder(10, &headers), compression, &mut compressor));
        let counted = measure(|| drop(seal(builder(5_000, &headers), compression, &mut compressor)));
        // The batch and its shared handle; with a codec also the output, which may have to grow once.
        assert!(counted.count_total <= count_max, "{compression}: {counted:?}");
    }
}
