//! Record batches against Kafka's own Java classes.
//!
//! `vectors/records/java` holds what Java wrote, with what Java reads from it: we must read the same. `vectors/records/ours`
//! holds what we write, with what we read from it; `vectors/RecordVectors.java check` makes Java read it. How to make
//! both again: `RecordVectors.java` says it for the first, `WATERWHEEL_BLESS=1 cargo test -p kafka-wire --test
//! record_vectors` writes the second.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafka_wire::compression::{Compression, Decompressed};
use kafka_wire::record::{
    Batch, BatchBuilder, Batches, ControlRecord, HeadersBuf, RawHeaders, Record, RecordError, RecordErrorCause, Seal,
    TimestampType, restamp, with_base_offset, with_log_append_time,
};
use kafka_wire::types::{LeaderEpoch, ProducerEpoch, ProducerId};

const NOW: i64 = 1_700_000_000_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/records").join(name)
}

/// What a file says that is read, and the bytes.
fn vector(name: &str) -> (String, Bytes) {
    let file = folder("java").join(name).with_extension("txt");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let hex = text.lines().find_map(|line| line.strip_prefix("bytes ")).expect("a line of bytes");
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect();
    (text, bytes)
}

fn batches(bytes: &Bytes) -> Vec<Batch> {
    Batches::new(bytes.clone()).collect::<Result<_, _>>().expect("good batches")
}

/// The same lines that `RecordVectors.java` writes.
fn describe(bytes: &Bytes) -> Result<String, RecordError> {
    let mut text = String::new();
    for batch in Batches::new(bytes.clone()) {
        let batch = batch?;
        text += &describe_header(&batch);
        for record in batch.open(&mut Decompressed::default())? {
            text += &describe_record(&record?);
        }
    }
    text += "bytes ";
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes it");
    }
    Ok(text + "\n")
}

fn describe_header(batch: &Batch) -> String {
    let header = batch.header;
    let time = match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    format!(
        "batch base_offset={} last_offset={} leader_epoch={} count={} codec={} time={time} max_timestamp={} \
         producer={}/{} sequence={}..{} transactional={} control={} delete_horizon={}\n",
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        header.record_count,
        header.compression(),
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        header.is_transactional(),
        header.is_control(),
        header.delete_horizon_ms().map_or("none".to_owned(), |time| time.to_string()),
    )
}

fn describe_record(record: &Record<'_>) -> String {
    let headers: Vec<_> =
        record.headers.iter().map(|(key, value)| format!("{}:{}", show(Some(key)), show(value))).collect();
    format!(
        "record offset={} timestamp={} key={} value={} headers=[{}]\n",
        record.offset,
        record.timestamp,
        show(record.key),
        show(record.value),
        headers.join(",")
    )
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(long) if long.len() > 64 => format!("{}*{:08x}", long.len(), crc32c::crc32c(long)),
        Some(short) => short.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[test]
fn we_read_what_java_reads() {
    let readable =
        ["plain", "offsets", "log_append_time", "transactional", "abort", "commit", "leader_change", "compacted"];
    for name in readable {
        let (expected, bytes) = vector(name);
        assert_eq!(describe(&bytes).as_ref(), Ok(&expected), "{name}");
    }
}

#[cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#[test]
fn we_read_what_java_compressed() {
    for name in ["gzip", "snappy", "lz4", "zstd", "lz4_blocks", "log_append_time_lz4", "several"] {
        let (expected, bytes) = vector(name);
        assert_eq!(describe(&bytes).as_ref(), Ok(&expected), "{name}");
    }
}

#[test]
fn old_formats_are_named() {
    for (name, magic) in [("magic_0", 0), ("magic_1", 1)] {
        let error = RecordError { at: 16, what: "magic", cause: RecordErrorCause::UnsupportedMagic(magic) };
        assert_eq!(describe(&vector(name).1), Err(error));
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

/// What is written from the records of a batch is that batch, byte for byte, where the bytes are ours to choose.
#[test]
fn we_write_what_java_writes() {
    for name in ["plain", "transactional", "log_append_time"] {
        let (_, bytes) = vector(name);
        let batch = &batches(&bytes)[0];
        // With log append time the records keep the producer's deltas, which no reader gets to see; here they are read
        // as the producer sent them.
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

#[test]
fn java_has_read_what_we_write() {
    for (name, bytes) in ours() {
        let file = folder("ours").join(name).with_extension("txt");
        let text = describe(&bytes).expect("ours are good");
        if std::env::var_os("WATERWHEEL_BLESS").is_some() {
            fs::write(&file, &text).expect("the folder can be written");
        }
        assert_eq!(fs::read_to_string(&file).expect("blessed once"), text, "{name}");
    }
}

/// Batches that show everything we can write.
fn ours() -> Vec<(&'static str, Bytes)> {
    let idempotent = Seal {
        producer_id: ProducerId(12),
        producer_epoch: ProducerEpoch(3),
        base_sequence: i32::MAX - 2,
        transactional: true,
        compression: Compression::None,
    };
    let plain = builder(30).seal(idempotent).expect("no codec");
    vec![
        ("append_time", with_log_append_time(&plain, NOW + 99)),
        ("offset", with_base_offset(&plain, 1 << 33, LeaderEpoch(4))),
        ("restamped", restamp(&plain, ProducerId(1 << 40), ProducerEpoch(i16::MAX), 0)),
        ("plain", plain),
        #[cfg(feature = "lz4")]
        (
            "lz4",
            builder(7_000).seal(Seal { compression: Compression::Lz4, ..Seal::default() }).expect("lz4 is built in"),
        ),
        ("abort", marker(ControlRecord::Abort { coordinator_epoch: 1 })),
        ("commit", marker(ControlRecord::Commit { coordinator_epoch: i32::MAX })),
    ]
}

fn marker(marker: ControlRecord) -> Bytes {
    marker.encode(NOW, ProducerId(12), ProducerEpoch(3)).expect("an end marker")
}

/// Deltas, lengths and counts of every size, nulls, and text that repeats over several blocks of lz4.
fn builder(repeats: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new(1_000);
    let mut headers = HeadersBuf::new();
    for index in 0..70 {
        headers.push(format!("key {index}").as_bytes(), (index % 3 > 0).then_some(b"value"));
    }
    let long = b"0123456789".repeat(repeats);
    builder.append(NOW, Some(b"key"), Some(b"value"), headers.as_raw()).expect("small");
    builder.append(NOW - 1_000_000_000_000, None, None, RawHeaders::EMPTY).expect("small");
    builder.append(NOW + 1_000_000, Some(b""), Some(b""), RawHeaders::EMPTY).expect("small");
    builder.append(NOW, None, Some(&long), RawHeaders::EMPTY).expect("small");
    for index in 0..70 {
        builder.append(NOW + index, Some(&long[..70]), Some(b"v"), RawHeaders::EMPTY).expect("small");
    }
    builder
}
