//! Record batches and message sets that Kafka's own Java classes wrote: everything that Java reads must be readable
//! here.
//!
//! `vectors/RecordVectors.java` makes them and describes how. Our own output is judged by the
//! suite `tests/tests/records.rs`.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_wire::compression::{Compression, Decompressed};
use kafka_wire::record::{
    Batch, BatchBuilder, Batches, ControlRecord, Seal, TimestampType, restamp, with_base_offset, with_log_append_time,
};
use kafka_wire::types::{LeaderEpoch, ProducerEpoch, ProducerId};
use records::{NOW, describe};

mod records;

/// The description of a file's content, and its bytes.
fn vector(name: &str) -> (String, Bytes) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/records/java");
    let file = folder.join(name).with_extension("txt");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let hex = text.lines().find_map(|line| line.strip_prefix("bytes ")).expect("a line of bytes");
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    (text, bytes)
}

fn batches(bytes: &Bytes) -> Vec<Batch> {
    Batches::new(bytes.clone()).collect::<Result<_, _>>().expect("good batches")
}

#[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#[test]
fn we_read_what_java_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/records/java");
    let files = fs::read_dir(folder).expect("vectors").map(|entry| entry.expect("a file").path());
    let names: Vec<_> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    assert_eq!(names.len(), 32, "every codec and format, markers, compacted and mixed logs");
    for name in names {
        let (expected, bytes) = vector(&name);
        assert_eq!(describe(&bytes).as_ref(), Ok(&expected), "{name}");
    }
}

#[test]
fn markers_are_javas() {
    for (name, marker) in [
        ("abort", ControlRecord::Abort { coordinator_epoch: 3 }),
        ("commit", ControlRecord::Commit { coordinator_epoch: 3 }),
    ] {
        let (_, bytes) = vector(name);
        let ours = marker.encode(NOW, ProducerId(4_000_000_000), ProducerEpoch(12)).expect("an end marker");
        assert_eq!(with_base_offset(&ours, 77, LeaderEpoch(5)), bytes, "{name}");
        let batch = &batches(&bytes)[0];
        let mut buffer = Decompressed::default();
        let record = batch.open(&mut buffer).expect("good").next().expect("one").expect("good");
        assert_eq!(ControlRecord::decode(&record), Ok(marker));
    }
    let batch = &batches(&vector("leader_change").1)[0];
    let mut buffer = Decompressed::default();
    let record = batch.open(&mut buffer).expect("good").next().expect("one").expect("good");
    assert_eq!(ControlRecord::decode(&record), Ok(ControlRecord::Other { kind: 2 }));
}

/// The records of a batch are written again: the result is that batch, byte for byte, where Kafka leaves no choice.
#[test]
fn we_write_what_java_writes() {
    for name in ["plain", "transactional", "log_append_time"] {
        let (_, bytes) = vector(name);
        let batch = &batches(&bytes)[0];
        // With log append time the records keep the producer's deltas, which no reader sees; here they are read as
        // the producer sent them.
        let create_time = without_log_append_time(batch);
        let mut builder = BatchBuilder::new(0);
        for record in create_time.open(&mut Decompressed::default()).expect("good") {
            let record = record.expect("good");
            builder.append(record.timestamp, record.key, record.value, record.headers).expect("small");
        }
        let seal = Seal {
            producer_id: batch.header.producer_id,
            producer_epoch: batch.header.producer_epoch,
            base_sequence: batch.header.base_sequence,
            transactional: batch.header.is_transactional(),
            compression: Compression::None,
        };
        let mut ours = builder.seal(seal).expect("no codec");
        if batch.header.timestamp_type() == TimestampType::LogAppendTime {
            ours = with_log_append_time(&ours, batch.header.max_timestamp);
        }
        assert_eq!(
            with_base_offset(&ours, batch.header.base_offset, batch.header.partition_leader_epoch),
            bytes,
            "{name}"
        );
    }
}

fn without_log_append_time(batch: &Batch) -> Batch {
    let mut bytes = batch.bytes().to_vec();
    bytes[22] &= !0x08;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::from_bytes(Bytes::from(bytes)).expect("good")
}

#[test]
fn restamping_changes_the_producer_and_nothing_else() {
    let (_, bytes) = vector("transactional");
    let moved = restamp(&bytes, ProducerId(5), ProducerEpoch(6), 7);
    let batch = Batch::from_bytes(moved.clone()).expect("good");
    assert_eq!(batch.check_crc(), Ok(()));
    let header = batch.header;
    assert_eq!((header.producer_id.0, header.producer_epoch.0, header.base_sequence), (5, 6, 7));
    let before = batches(&bytes)[0].header;
    let back = restamp(&moved, before.producer_id, before.producer_epoch, before.base_sequence);
    assert_eq!(back, bytes);
}
