//! Records against Kafka's own classes and the files of a broker: Java reads our output, and we read Java's.
//!
//! `kafka-wire/tests/vectors/RecordVectors.java` is the judge; its lines that describe records must equal ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use conformance::foreign::java;
use conformance::{client_config, reader, skip, within};
use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::compression::{Compression, Decompressed};
use kafka_wire::producer::{NewRecord, ProducerConfig};
use kafka_wire::record::{Batches, ControlRecord};
use kafka_wire::types::{PartitionId, TimestampMs};
use testkit::real::{RealConfig, RealKafka};

#[path = "records/ours.rs"]
mod ours;
#[path = "../../kafka-wire/tests/records/mod.rs"]
mod records;

/// Runs the judge in a mode on a directory, and returns its output.
async fn judge(mode: &str, directory: &Path) -> Option<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/vectors/RecordVectors.java");
    let arguments = [mode, directory.to_str().expect("a path of this tree")];
    java(source.to_str().expect("a path of this tree"), &arguments, "").await
}

/// An empty directory of this test.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory can be made");
    directory
}

#[tokio::test]
async fn java_reads_what_we_write_in_every_codec_and_format() {
    let directory = directory("records-ours");
    let all = ours::all();
    for (name, bytes) in &all {
        let text = records::describe(bytes).expect("ours are good");
        fs::write(directory.join(format!("{name}.txt")), text).expect("the file can be written");
    }
    let Some(printed) = judge("check", &directory).await else { return };
    assert_eq!(printed.lines().filter(|line| line.starts_with("ok ")).count(), all.len(), "{printed}");
}

#[tokio::test]
async fn the_vectors_are_what_java_writes() {
    let directory = directory("records-java");
    let Some(_) = judge("write", &directory).await else { return };
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kafka-wire/tests/vectors/records/java");
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(names(&directory), names(&kept));
    for name in names(&directory) {
        let text = |directory: &Path| fs::read_to_string(directory.join(&name)).expect("a file");
        assert_eq!(text(&directory), text(&kept), "{}", name.display());
    }
}

/// Each codec writes a topic of its own on Apache Kafka, in transactions; then the broker's files are read.
#[tokio::test]
async fn we_read_the_segment_files_of_a_broker() {
    let start = within("Kafka to start", Duration::from_secs(120), RealKafka::start(RealConfig::default()));
    let kafka = match start.await {
        Ok(kafka) => kafka,
        Err(unavailable) => return skip("the segment files", &unavailable.to_string()),
    };
    let client = Client::connect(client_config(kafka.bootstrap())).await.expect("the broker answers");
    for compression in Compression::ALL {
        let topic = format!("segments-{compression}");
        reader::create_topic(&client, &topic, 1).await;
        let config = ProducerConfig { compression, ..ProducerConfig::transactional(topic.clone()) };
        let mut producer = ExclusiveProducer::open(&client, config).await.expect("a producer opens");
        let handle = producer.topic(&topic).await.expect("the topic is there");
        for first in [0, 1_000] {
            producer.begin().expect("no transaction is open");
            for number in first..first + 1_000 {
                let value = format!("value {number:06}");
                let (key, value) = (Some(b"key".as_slice()), Some(value.as_bytes()));
                let appended = producer.append(
                    handle,
                    PartitionId(0),
                    NewRecord { timestamp: TimestampMs(number), key, value, ..NewRecord::default() },
                );
                appended.expect("the buffer has room");
            }
            producer.commit(None).await.expect("the transaction commits");
        }
        producer.close().await.expect("nothing is open");
        // The commit is answered before its marker is written.
        reader::until_stable(&client, &topic).await;
        check(&read(&segments(kafka.data(), &topic)), compression);
    }
    // The metadata log, which Kafka writes for itself and keeps appending to, has control records of KRaft.
    let metadata = read(&segments(kafka.data(), "__cluster_metadata"));
    assert!(metadata.controls.contains(&"LEADER_CHANGE"), "{:?}", metadata.controls);
}

/// The segment files of partition 0, in order. Their names are offsets.
fn segments(data: &Path, topic: &str) -> Vec<PathBuf> {
    let directory = fs::read_dir(data.join(format!("{topic}-0"))).expect("the directory of a partition");
    let files = directory.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = files.filter(|file| file.extension().is_some_and(|name| name == "log")).collect();
    segments.sort();
    segments
}

#[derive(Default)]
struct Read {
    values: Vec<Vec<u8>>,
    offsets: Vec<i64>,
    controls: Vec<&'static str>,
    codecs: Vec<Compression>,
    /// Bytes after the last complete batch.
    bytes_left: usize,
}

fn read(segments: &[PathBuf]) -> Read {
    let mut read = Read::default();
    for segment in segments {
        read.segment(Bytes::from(fs::read(segment).expect("a segment file")));
    }
    read
}

impl Read {
    fn segment(&mut self, bytes: Bytes) {
        let size = bytes.len();
        let mut buffer = Decompressed::default();
        let mut batches = Batches::new(bytes);
        for batch in &mut batches {
            let batch = batch.expect("a batch of the broker");
            let is_control = batch.header.is_control();
            self.codecs.extend((!is_control).then_some(batch.header.compression()));
            for record in batch.open(&mut buffer).expect("records of the broker") {
                let record = record.expect("a record of the broker");
                if is_control {
                    self.controls.push(ControlRecord::decode(&record).expect("a marker").name());
                } else {
                    self.offsets.push(record.offset);
                    self.values.push(record.value.unwrap_or_default().to_vec());
                }
            }
        }
        self.bytes_left += size - batches.position();
    }
}

fn check(read: &Read, compression: Compression) {
    assert_eq!(read.bytes_left, 0, "all of the file is batches");
    let expected: Vec<_> = (0..2_000).map(|number| format!("value {number:06}").into_bytes()).collect();
    assert!(read.values == expected, "{compression}: {} records", read.values.len());
    // A marker behind each transaction takes an offset.
    assert_eq!(read.offsets, (0..1_000).chain(1_001..2_001).collect::<Vec<i64>>(), "{compression}");
    assert_eq!(read.controls, ["COMMIT", "COMMIT"], "{compression}");
    assert!(read.codecs.iter().all(|codec| *codec == compression), "{:?}", read.codecs);
}
