use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_wire::protocol::Message;
use kafka_wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::wire::{Str, Writer};
use serde_json::Value;

use super::{Scratch, unhex, wire};

/// A batch of the committed vectors, written by Java.
fn java(name: &str) -> Vec<u8> {
    let file = format!("../kafka-wire/tests/vectors/records/java/{name}.txt");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a vector");
    let (_, digits) = text.split_once("\nbytes ").expect("bytes at the end");
    unhex(digits.trim_end())
}

/// A segment: records in a transaction, its marker, a change of leaders, and a compacted batch.
fn segment() -> Vec<u8> {
    ["transactional", "commit", "leader_change", "compacted"].map(java).concat()
}

#[test]
fn a_segment_is_printed_as_kafkas_own_tool_does() {
    // The output of `kafka-dump-log.sh --print-data-log --files` of Kafka 4.3.1, without the lines about the file.
    let expected = include_str!("segment.txt");
    let file = Scratch::new("segment.log", &segment());
    assert_eq!(wire(&["records", file.path()], "").ok(), expected);
    assert_eq!(wire(&["records", "-"], segment()).ok(), expected);
    assert_eq!(wire(&["records", "-"], "").ok(), "");
}

#[test]
fn old_messages_are_printed_too() {
    let text = wire(&["records", "-"], java("magic_1")).ok();
    let expected = "offset: 3 position: 0 CreateTime: 1700000000000 size: 36 magic: 1 compresscodec: none crc: 958827571 \
                    isvalid: true\n| offset: 3 CreateTime: 1700000000000 keySize: 1 valueSize: 1 key: k payload: v\n";
    assert_eq!(text, expected);
}

#[test]
fn every_codec_is_read() {
    for codec in ["plain", "gzip", "snappy", "lz4", "zstd"] {
        let text = wire(&["records", "-"], java(codec)).ok();
        assert_eq!(text.lines().count(), 6, "{codec}: {text}");
        assert!(text.contains("headerKeys: [a,a,,schl\u{fc}ssel] key: key payload: value\n"), "{codec}: {text}");
    }
}

#[test]
fn json_has_a_line_each() {
    let text = wire(&["records", "--json", "-"], [java("plain"), java("commit")].concat()).ok();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(lines[0]["batch"]["lastOffset"], 4);
    let record = &lines[3]["record"];
    assert_eq!((&record["key"], &record["value"]), (&"key".into(), &"value".into()));
    assert_eq!(record["headers"][3], serde_json::json!({"key": "schl\u{fc}ssel", "value": {"hex": "ff00"}}));
    assert_eq!(lines[6]["batch"]["position"], java("plain").len());
    assert_eq!(lines[7]["record"]["control"], "endTxnMarker: COMMIT coordinatorEpoch: 3");
}

#[test]
fn the_first_wrong_byte_is_named_and_the_next_batch_is_read() {
    // The transactional batch is 101 bytes long; its checksum is at 17.
    let mut wrong = segment();
    wrong[100] ^= 1;
    wrong[178] ^= 1;
    let text = wire(&["records", "-"], &wrong).fails(1, "error: -: byte 17: crc: the checksum is 0x");
    assert!(text.contains("crc: 1033642996 isvalid: false\nerror: byte 17: "), "{text}");
    assert!(text.contains("error: byte 118: crc: "), "{text}");
    assert!(text.contains("LeaderChange: "), "the next batches are read: {text}");
}

#[test]
fn behind_a_wrong_length_nothing_is_read() {
    let mut wrong = segment();
    wrong[109..113].copy_from_slice(&(-1_i32).to_be_bytes());
    let text = wire(&["records", "-"], &wrong).fails(1, "byte 109: batch length: -1 is out of range");
    assert_eq!(text.lines().count(), 6);
    let mut wrong = segment();
    wrong[101 + 16] = 9;
    wire(&["records", "-"], &wrong).fails(1, "byte 117: magic: ");
}

#[test]
fn a_file_that_ends_early_is_named() {
    let whole = segment();
    for (end, batch) in [(1, 0), (16, 0), (60, 0), (100, 0), (102, 101), (178, 101)] {
        let saying = format!("byte {end}: the file ends inside the batch at byte {batch}");
        wire(&["records", "-"], &whole[..end]).fails(1, &saying);
    }
}

#[test]
fn damaged_segments_are_answered() {
    let whole = ["several", "zstd", "gzip", "snappy", "lz4"].map(java).concat();
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        let run = wire(&["records", "--json", "-"], damaged);
        assert!(matches!(run.code, Some(0 | 1)) && !run.stderr.contains("panicked"), "byte {at}: {run:?}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    wire(&["records", "/nonexistent/segment.log"], "").fails(1, "/nonexistent/segment.log");
    wire(&["records"], "").fails(2, "FILE");
}

#[test]
fn decode_shows_the_batches_inside_of_a_message_when_asked_to() {
    let partition = |index, records: Option<Vec<u8>>| PartitionProduceData { index, records: records.map(Bytes::from) };
    let cut_off = [java("commit"), java("commit")[..70].to_vec()].concat();
    let partitions = vec![partition(0, Some(java("several"))), partition(1, None), partition(2, Some(cut_off))];
    let name = Str::from_static("\"recordsSizeInBytes\":");
    let topic = TopicProduceData { name, partition_data: partitions, ..TopicProduceData::default() };
    let request = ProduceRequest { topic_data: vec![topic], ..ProduceRequest::default() };
    let mut writer = Writer::new();
    request.encode(&mut writer, 9).expect("version 9 has all of it");
    let hex: String = writer.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let arguments = ["decode", "--api", "Produce", "--version", "9", "--request", &hex];

    let shown: Value = serde_json::from_str(&wire(&arguments, "").ok()).expect("JSON");
    let first = &shown["topicData"][0]["partitionData"][0];
    assert_eq!((&first["recordsSizeInBytes"], first.get("records")), (&java("several").len().into(), None));

    let shown: Value = serde_json::from_str(&wire(&[&arguments[..], &["--records"]].concat(), "").ok()).expect("JSON");
    let partitions = &shown["topicData"][0]["partitionData"];
    assert_eq!(partitions[0]["records"][1]["compression"], "lz4");
    assert_eq!(partitions[0]["records"][1]["records"][2]["offset"], 10);
    assert_eq!(partitions[1]["records"], Value::Null);
    let marker = &partitions[2]["records"][0]["records"][0];
    assert_eq!(marker["control"], "endTxnMarker: COMMIT coordinatorEpoch: 3");
    assert_eq!(partitions[2]["records"][1], serde_json::json!({"error": "byte 78: this batch is cut off"}));
}
