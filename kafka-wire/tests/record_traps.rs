//! Known mistakes of readers and writers of records, each with the right behaviour: traps 14 to 29, of which 24 needs
//! a consumer and is in `fetched_batches.rs`.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]

use bytes::Bytes;
use kafka_wire::compression::{Compression, CompressionError, Compressor, Container, Decompressed, decompress};
use kafka_wire::record::{
    Batch, BatchBuilder, Batches, ControlRecord, HeadersBuf, MessageFormat, MessageSet, MessageSetBuilder, RawHeaders,
    RecordErrorCause, Seal, TimestampType, sequence_after, with_base_offset, with_log_append_time,
};
use kafka_wire::types::{LeaderEpoch, ProducerEpoch, ProducerId};

/// Offset, timestamp and value of a record.
type Row = (i64, i64, Option<Vec<u8>>);

fn builder(values: &[&str]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(1_024);
    for (index, value) in values.iter().enumerate() {
        builder.append(1_000 + index as i64, Some(b"key"), Some(value.as_bytes()), RawHeaders::EMPTY).expect("small");
    }
    builder
}

fn batch(values: &[&str]) -> Bytes {
    builder(values).seal(Seal::default()).expect("no codec")
}

/// A batch with other bytes at a place, and the checksum for them.
fn changed(batch: &[u8], at: usize, field: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

/// A batch around these bytes of records.
fn around(records: &[u8], record_count: i32) -> Bytes {
    let mut bytes = [&batch(&["v"])[..61], records].concat();
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    changed(&bytes, 57, &record_count.to_be_bytes())
}

fn rows(bytes: &Bytes) -> Result<Vec<Row>, RecordErrorCause> {
    let mut rows = Vec::new();
    let mut buffer = Decompressed::new(1 << 20);
    for batch in Batches::new(bytes.clone()) {
        let batch = batch.map_err(|error| error.cause)?;
        for record in batch.open(&mut buffer).map_err(|error| error.cause)? {
            let record = record.map_err(|error| error.cause)?;
            rows.push((record.offset, record.timestamp, record.value.map(<[u8]>::to_vec)));
        }
    }
    Ok(rows)
}

fn set(format: MessageFormat, compression: Compression) -> MessageSet {
    MessageSet { compression, base_offset: 100, ..MessageSet::new(format) }
}

/// Three messages that compress well.
fn messages(set: MessageSet) -> Bytes {
    let mut builder = MessageSetBuilder::new(set, 0);
    for index in 0..3_i64 {
        let value = [b'0' + index as u8; 200];
        builder.append(1_000 + index, Some(b"key"), Some(&value)).expect("small");
    }
    builder.finish(&mut Compressor::default()).expect("a codec of the format")
}

fn message_rows(first_offset: i64, timestamps: [i64; 3]) -> Vec<Row> {
    (0..3).map(|index| (first_offset + index as i64, timestamps[index], Some(vec![b'0' + index as u8; 200]))).collect()
}

/// 14
#[test]
fn checksums_cover_what_brokers_do_not_rewrite() {
    let good = batch(&["v"]);
    let covered: Vec<usize> = (0..good.len())
        .filter(|&at| {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1;
            let batch = Batch::from_bytes(Bytes::from(bytes));
            batch.is_ok_and(|batch| batch.check_crc().is_err())
        })
        .collect();
    assert_eq!(covered.iter().filter(|&&at| at < 17).count(), 0, "offset, length, leader epoch and magic are outside");
    assert!((17..good.len()).all(|at| covered.contains(&at) || at == 22 || at == 23 || at == 57), "{covered:?}");
    let old = messages(set(MessageFormat::V1, Compression::None));
    let mut moved = old.to_vec();
    moved[7] ^= 1;
    assert!(rows(&Bytes::from(moved)).is_ok(), "the offset of a message is outside");
    let mut broken = old.to_vec();
    broken[17] ^= 8;
    assert!(
        matches!(rows(&Bytes::from(broken)), Err(RecordErrorCause::ChecksumMismatch { .. })),
        "attributes are inside"
    );
}

/// 15
#[test]
fn a_batch_cut_off_ends_the_iteration_and_a_first_one_is_told() {
    let whole = [batch(&["one"]), messages(set(MessageFormat::V0, Compression::None)), batch(&["two"])].concat();
    let first_bytes = batch(&["one"]).len();
    for end in 1..whole.len() {
        let mut batches = Batches::new(Bytes::copy_from_slice(&whole[..end]));
        assert!(batches.by_ref().all(|batch| batch.is_ok()));
        assert_eq!(batches.position() == 0, end < first_bytes);
        assert_eq!(batches.position() + batches.rest().len(), end);
    }
}

/// 16
#[test]
fn a_reader_goes_on_behind_the_last_offset_not_behind_the_last_record() {
    // Compaction removed the last two of three records, and all records of the second batch.
    let one = around(&[14, 0, 0, 0, 1, 2, b'v', 0], 1);
    let compacted = changed(&one, 23, &2_i32.to_be_bytes());
    let empty = changed(&around(&[], 0), 23, &9_i32.to_be_bytes());
    let log = [with_base_offset(&compacted, 40, LeaderEpoch(1)), with_base_offset(&empty, 43, LeaderEpoch(1))].concat();
    let batches: Vec<_> = Batches::new(Bytes::from(log)).map(|batch| batch.expect("good").header).collect();
    assert_eq!((batches[0].next_offset(), batches[0].record_count), (43, 1));
    assert_eq!((batches[1].next_offset(), batches[1].record_count), (53, 0));
}

/// 17
#[test]
fn a_record_count_is_checked_against_the_bytes_that_are_there() {
    let out_of_range = |count| Err(RecordErrorCause::OutOfRange(count));
    assert_eq!(rows(&around(&[], 0)), Ok(vec![]));
    assert_eq!(rows(&around(&[], 1)), out_of_range(1));
    assert_eq!(rows(&around(&[0; 13], 2)), out_of_range(2));
    assert_eq!(rows(&around(&[0; 13], i32::MAX)), out_of_range(i64::from(i32::MAX)));
    assert_eq!(rows(&around(&[], -1)), out_of_range(-1));
}

/// 18
#[test]
fn varints_are_zig_zag_and_timestamp_deltas_have_64_bits() {
    let mut builder = BatchBuilder::new(0);
    for timestamp in [0, i64::MAX, i64::MIN, -1] {
        builder.append(timestamp, None, None, RawHeaders::EMPTY).expect("small");
    }
    let bytes = builder.seal(Seal::default()).expect("no codec");
    let times: Vec<i64> = rows(&bytes).expect("good").into_iter().map(|row| row.1).collect();
    assert_eq!(times, [0, i64::MAX, i64::MIN, -1]);
    assert_eq!(rows(&around(&[12, 0, 1, 0, 1, 1, 0], 1)), Ok(vec![(0, 999, None)]), "01 is -1, not 1");
}

/// 19
#[test]
fn a_record_must_be_as_long_as_it_says() {
    assert_eq!(rows(&around(&[14, 0, 0, 0, 1, 1, 0, 9], 1)), Err(RecordErrorCause::BytesLeft(1)));
    assert_eq!(rows(&around(&[10, 0, 0, 0, 1, 1, 0], 1)), Err(RecordErrorCause::Truncated));
    assert_eq!(
        rows(&around(&[12, 0, 0, 0, 1, 1, 0, 7], 1)),
        Err(RecordErrorCause::BytesLeft(1)),
        "behind the last one"
    );
}

/// 20
#[test]
fn header_keys_are_bytes_and_never_null() {
    let mut headers = HeadersBuf::new();
    headers.push(&[0xff, 0xfe], None);
    headers.push(b"", Some(b""));
    let mut builder = BatchBuilder::new(0);
    builder.append(0, None, None, headers.as_raw()).expect("small");
    let batch = Batch::from_bytes(builder.seal(Seal::default()).expect("no codec")).expect("good");
    let mut buffer = Decompressed::default();
    let record = batch.open(&mut buffer).expect("good").next().expect("one").expect("good");
    let read: Vec<_> = record.headers.iter().collect();
    assert_eq!(read, [([0xff, 0xfe].as_slice(), None), (b"", Some(b"".as_slice()))]);
    assert_eq!(rows(&around(&[16, 0, 0, 0, 1, 1, 2, 1, 1], 1)), Err(RecordErrorCause::NullHeaderKey));
}

/// 21
#[test]
fn with_log_append_time_every_record_has_the_time_of_the_batch() {
    let appended = with_log_append_time(&batch(&["one", "two"]), 77);
    assert!(rows(&appended).expect("good").iter().all(|row| row.1 == 77));
    let header = Batch::from_bytes(appended).expect("good").header;
    assert_eq!((header.timestamp_type(), header.max_timestamp), (TimestampType::LogAppendTime, 77));
}

/// 21
#[test]
fn the_greatest_timestamp_is_that_of_the_records_and_not_of_the_last() {
    let mut builder = BatchBuilder::new(0);
    for timestamp in [5, 9, 7] {
        builder.append(timestamp, None, None, RawHeaders::EMPTY).expect("small");
    }
    let batch = Batch::from_bytes(builder.seal(Seal::default()).expect("no codec")).expect("good");
    assert_eq!((batch.header.base_timestamp, batch.header.max_timestamp), (5, 9));
}

/// 21
#[test]
fn a_delete_horizon_is_no_time_of_a_record() {
    let kept = changed(&batch(&["one", "two"]), 21, &(1_i16 << 6).to_be_bytes());
    // The records' deltas still count from it, as the cleaner wrote them.
    let kept = Batch::from_bytes(changed(&kept, 27, &5_000_i64.to_be_bytes())).expect("good");
    assert_eq!(kept.header.delete_horizon_ms(), Some(5_000));
    assert_eq!(Batch::from_bytes(batch(&["one"])).expect("good").header.delete_horizon_ms(), None);
}

/// 22
#[test]
fn sequences_wrap_to_zero_and_are_minus_one_without_a_producer() {
    assert_eq!((sequence_after(i32::MAX, 1), sequence_after(i32::MAX - 1, 3)), (0, 1));
    let header = Batch::from_bytes(batch(&["one"])).expect("good").header;
    assert_eq!(
        (header.producer_id, header.producer_epoch, header.base_sequence),
        (ProducerId(-1), ProducerEpoch(-1), -1)
    );
    assert_eq!((header.has_producer_id(), header.last_sequence()), (false, -1));
}

/// 23
#[test]
fn markers_have_names_and_only_some_end_a_transaction() {
    let names =
        ["ABORT", "COMMIT", "LEADER_CHANGE", "SNAPSHOT_HEADER", "SNAPSHOT_FOOTER", "KRAFT_VERSION", "KRAFT_VOTERS"];
    for (kind, name) in (0_i16..).zip(names.into_iter().chain(["UNKNOWN"])) {
        let key = [[0, 0], kind.to_be_bytes()].concat();
        let mut builder = BatchBuilder::new(0);
        builder.append(0, Some(&key), Some(&[0; 6]), RawHeaders::EMPTY).expect("small");
        let sealed = builder.seal(Seal::default()).expect("no codec");
        let batch = Batch::from_bytes(changed(&sealed, 21, &(1_i16 << 5).to_be_bytes())).expect("good");
        assert!(batch.header.is_control());
        let mut buffer = Decompressed::default();
        let record = batch.open(&mut buffer).expect("good").next().expect("one").expect("good");
        let control = ControlRecord::decode(&record).expect("a marker");
        assert_eq!(control.name(), name);
        assert_eq!(matches!(control, ControlRecord::Other { kind: other } if other == kind), kind > 1);
    }
}

/// 25
#[test]
fn lz4_blocks_stand_alone_and_messages_v0_have_the_header_checksum_of_kip_57() {
    let frame =
        |container| Compressor::default().compress(Compression::Lz4, container, b"bytes").expect("built in").to_vec();
    assert_eq!(frame(Container::Batch)[4..7], [0x60, 0x40, 0x82]);
    let wrong = frame(Container::MessageV0);
    assert_ne!(wrong[6], 0x82);
    let read = |container, frame: &[u8]| {
        let mut buffer = Decompressed::default();
        decompress(Compression::Lz4, container, frame, &mut buffer).map(<[u8]>::to_vec)
    };
    assert_eq!(read(Container::MessageV0, &wrong), Ok(b"bytes".to_vec()));
    assert!(read(Container::Batch, &wrong).is_err());
    let mut linked = frame(Container::Batch);
    linked[4] = 0x40;
    assert!(read(Container::MessageV0, &linked).is_err(), "dependent blocks are refused, as by Java");
    assert_eq!(read(Container::Batch, &frame(Container::Batch).repeat(3)), Ok(b"bytes".repeat(3)));
}

/// 26
#[test]
fn codecs_read_several_frames_and_snappy_with_and_without_framing() {
    for compression in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let one = Compressor::default().compress(compression, Container::Batch, b"bytes").expect("built in").to_vec();
        let mut buffer = Decompressed::default();
        let read = decompress(compression, Container::Batch, &one.repeat(3), &mut buffer);
        assert_eq!(read, Ok(b"bytes".repeat(3).as_slice()), "{compression}");
    }
    let raw = snap::raw::Encoder::new().compress_vec(b"bytes").expect("small");
    let mut buffer = Decompressed::default();
    assert_eq!(decompress(Compression::Snappy, Container::Batch, &raw, &mut buffer), Ok(b"bytes".as_slice()));
}

/// 27
#[test]
fn inner_offsets_are_absolute_in_v0_and_relative_to_the_last_in_v1() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
        let v0 = messages(set(MessageFormat::V0, codec));
        assert_eq!(rows(&v0), Ok(message_rows(100, [-1; 3])), "{codec}");
        // The broker moves a wrapper by its offset alone: that changes no offset in it in v0, and all of them in v1.
        let moved = |bytes: &Bytes| Bytes::from([&500_i64.to_be_bytes(), &bytes[8..]].concat());
        assert_eq!(rows(&moved(&v0)), Ok(message_rows(100, [-1; 3])), "{codec}");
        let v1 = messages(set(MessageFormat::V1, codec));
        let header = Batch::from_bytes(v1.clone()).expect("one wrapper").header;
        assert_eq!((header.base_offset, header.next_offset(), header.max_timestamp), (102, 103, 1_002));
        assert_eq!(rows(&v1), Ok(message_rows(100, [1_000, 1_001, 1_002])), "{codec}");
        assert_eq!(rows(&moved(&v1)), Ok(message_rows(498, [1_000, 1_001, 1_002])), "{codec}");
        let zero = Bytes::from([&[0; 8], &v1[8..]].concat());
        assert_eq!(rows(&zero), Ok(message_rows(0, [1_000, 1_001, 1_002])), "as librdkafka produced it");
        let one = Bytes::from([&1_i64.to_be_bytes(), &v1[8..]].concat());
        assert_eq!(rows(&one), Err(RecordErrorCause::OutOfRange(2)), "a wrapper before its messages");
    }
}

/// 27
#[test]
fn log_append_time_of_a_wrapper_is_that_of_its_messages() {
    for codec in [Compression::None, Compression::Gzip] {
        let appended = MessageSet { log_append_time: Some(77), ..set(MessageFormat::V1, codec) };
        let appended = messages(appended);
        assert_eq!(rows(&appended), Ok(message_rows(100, [77; 3])), "{codec}");
        let header = Batches::new(appended).next().expect("one").expect("good").header;
        assert_eq!((header.timestamp_type(), header.max_timestamp), (TimestampType::LogAppendTime, 77));
    }
}

/// 28
#[test]
fn decompression_stops_at_its_limit() {
    let value = "x".repeat(1 << 20);
    for compression in Compression::ALL.into_iter().skip(1) {
        let bomb = builder(&[&value]).seal(Seal { compression, ..Seal::default() }).expect("built in");
        let batch = Batch::from_bytes(bomb).expect("good");
        let mut buffer = Decompressed::new(1 << 16);
        let limit = CompressionError::LimitExceeded { limit_bytes: 1 << 16 };
        assert_eq!(batch.open(&mut buffer).expect_err("too large").cause, RecordErrorCause::Compression(limit));
        assert!(buffer.capacity_bytes() <= 1 << 16, "{compression}");
    }
}

/// 29
#[test]
fn what_does_not_get_smaller_is_sent_uncompressed() {
    for compression in Compression::ALL {
        let sealed = builder(&["v"]).seal(Seal { compression, ..Seal::default() }).expect("built in");
        assert_eq!(sealed, batch(&["v"]), "{compression}, and no codec bits");
    }
    for format in [MessageFormat::V0, MessageFormat::V1] {
        for compression in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let small = |compression| {
                let mut builder = MessageSetBuilder::new(set(format, compression), 0);
                builder.append(5, None, Some(b"one")).expect("small");
                builder.append(6, None, Some(b"two")).expect("small");
                builder.finish(&mut Compressor::default()).expect("built in")
            };
            assert_eq!(small(compression), small(Compression::None), "{compression}, offsets absolute again");
        }
    }
}
