//! Scripts of a partition: the records that readers see while transactions begin and end.

use std::sync::LazyLock;

use kafka_wire::compression::Compression;
use kafka_wire::record::{BatchBuilder, Batches, RawHeaders, Seal};

use super::*;

fn batch(first_value: i64, count: i64, seal: Seal) -> Batch {
    let mut builder = BatchBuilder::new(256);
    for value in first_value..first_value + count {
        builder.append(value, None, Some(&value.to_be_bytes()), RawHeaders::EMPTY).unwrap();
    }
    Batch::from_bytes(builder.seal(seal).unwrap()).unwrap()
}

fn transactional(id: i64, epoch: i16, base_sequence: i32) -> Seal {
    Seal {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence,
        transactional: true,
        compression: Compression::None,
    }
}

/// A write at this time, with these settings unless the test is about others.
fn at(now: i64) -> Write<'static> {
    static DEFAULT: LazyLock<LogSettings> = LazyLock::new(LogSettings::default);
    Write { now: TimestampMs(now), log_append_time: false, settings: &DEFAULT }
}

fn append(log: &mut Log, batch: &Batch) -> Offset {
    log.append(batch, &at(0)).unwrap().base_offset
}

fn bounds(log: &Log, size_bytes: usize) -> ReadBounds {
    ReadBounds { end_offset: log.end_offset(), size_bytes, is_first_whole: true }
}

/// First and last offset of each batch that a read returns.
fn spans(read: &Read) -> Vec<(i64, i64)> {
    let batches = Batches::new(read.records.clone()).map(Result::unwrap);
    batches.map(|batch| (batch.header.base_offset, batch.header.last_offset())).collect()
}

#[test]
fn batches_get_their_offsets_and_keep_their_checksums() {
    let mut log = Log::default();
    assert_eq!(append(&mut log, &batch(0, 3, Seal::default())), Offset(0));
    assert_eq!(append(&mut log, &batch(3, 2, Seal::default())), Offset(3));
    let read = log.read(Offset(0), bounds(&log, 10_000));
    assert_eq!((spans(&read), read.next_offset), (vec![(0, 2), (3, 4)], Offset(5)));
    for batch in Batches::new(read.records) {
        batch.unwrap().check_crc().unwrap();
    }
    // A read from the middle of a batch begins with the whole batch.
    assert_eq!(spans(&log.read(Offset(4), bounds(&log, 10_000))), [(3, 4)]);
    assert_eq!(log.read(Offset(5), bounds(&log, 10_000)), Read { records: Bytes::new(), next_offset: Offset(5) });
}

#[test]
fn limits_hold_but_for_a_first_batch_that_must_be_whole() {
    let mut log = Log::default();
    let size_bytes = batch(0, 3, Seal::default()).size_bytes();
    for _ in 0..3 {
        append(&mut log, &batch(0, 3, Seal::default()));
    }
    assert_eq!(spans(&log.read(Offset(0), bounds(&log, 1))), [(0, 2)]);
    assert_eq!(spans(&log.read(Offset(0), bounds(&log, 2 * size_bytes))), [(0, 2), (3, 5)]);
    assert_eq!(spans(&log.read(Offset(0), bounds(&log, 2 * size_bytes - 1))), [(0, 2)]);
    let strict = ReadBounds { is_first_whole: false, ..bounds(&log, size_bytes - 1) };
    assert!(log.read(Offset(0), strict).records.is_empty());
    let below = ReadBounds { end_offset: Offset(3), ..bounds(&log, 10_000) };
    assert_eq!(spans(&log.read(Offset(0), below)), [(0, 2)]);
    assert_eq!(log.available_bytes(Offset(4), log.end_offset(), usize::MAX), 2 * size_bytes);
    assert_eq!(log.available_bytes(Offset(0), log.end_offset(), 1), size_bytes);
    assert_eq!(log.available_bytes(Offset(0), Offset(3), usize::MAX), size_bytes);
}

#[test]
fn the_oldest_open_transaction_bounds_the_last_stable_offset() {
    let mut log = Log::default();
    append(&mut log, &batch(0, 2, Seal::default()));
    append(&mut log, &batch(0, 2, transactional(1, 0, 0)));
    append(&mut log, &batch(0, 2, transactional(2, 0, 0)));
    append(&mut log, &batch(0, 2, Seal::default()));
    assert_eq!((log.last_stable_offset(), log.end_offset()), (Offset(2), Offset(8)));
    log.end_transaction(ProducerId(1), ProducerEpoch(0), false, &at(9));
    assert_eq!(log.last_stable_offset(), Offset(4));
    log.end_transaction(ProducerId(2), ProducerEpoch(0), true, &at(9));
    assert_eq!((log.last_stable_offset(), log.end_offset()), (Offset(10), Offset(10)));

    let aborted = AbortedTransaction { producer_id: ProducerId(1), first_offset: Offset(2), marker_offset: Offset(8) };
    assert_eq!(log.aborted_between(Offset(0), Offset(10)), [aborted]);
    // The marker itself is within its range; a read that ends before the first record, or starts after the marker,
    // is not.
    assert_eq!(log.aborted_between(Offset(8), Offset(9)), [aborted]);
    assert_eq!(log.aborted_between(Offset(0), Offset(2)), []);
    assert_eq!(log.aborted_between(Offset(9), Offset(10)), []);
}

#[test]
fn markers_are_control_batches_of_the_producer() {
    let mut log = Log::default();
    append(&mut log, &batch(0, 1, transactional(7, 3, 0)));
    log.end_transaction(ProducerId(7), ProducerEpoch(4), true, &at(55));
    let read = log.read(Offset(1), bounds(&log, 10_000));
    let marker = Batch::from_bytes(read.records).unwrap();
    assert!(marker.header.is_control() && marker.header.is_transactional());
    assert_eq!((marker.header.producer_id, marker.header.producer_epoch), (ProducerId(7), ProducerEpoch(4)));
    let mut buffer = Decompressed::default();
    let record = marker.open(&mut buffer).unwrap().next().unwrap().unwrap();
    assert_eq!((record.offset, record.timestamp), (1, 55));
    assert_eq!(ControlRecord::decode(&record), Ok(ControlRecord::Commit { coordinator_epoch: 0 }));
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offset() {
    let mut log = Log::default();
    append(&mut log, &batch(0, 1, Seal::default()));
    let first = batch(0, 3, transactional(7, 0, 0));
    assert_eq!(append(&mut log, &first), Offset(1));
    assert_eq!(append(&mut log, &batch(3, 3, transactional(7, 0, 3))), Offset(4));
    assert_eq!((append(&mut log, &first), log.end_offset()), (Offset(1), Offset(7)));
    let gap = log.append(&batch(0, 1, transactional(7, 0, 9)), &at(0));
    assert_eq!((gap, log.end_offset()), (Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), Offset(7)));
}

#[test]
fn a_timestamp_finds_the_first_record_at_or_after_it() {
    let mut log = Log::default();
    append(&mut log, &batch(100, 3, Seal::default()));
    append(&mut log, &batch(50, 2, Seal { compression: Compression::Lz4, ..Seal::default() }));
    append(&mut log, &batch(103, 3, Seal::default()));
    let find = |timestamp| log.find_timestamp(TimestampMs(timestamp), log.end_offset()).map(|found| found.offset.0);
    assert_eq!([find(0), find(101), find(103), find(105), find(106)], [Some(0), Some(1), Some(5), Some(7), None]);
    let latest = log.find_max_timestamp().unwrap();
    assert_eq!(latest, TimestampOffset { offset: Offset(7), timestamp: TimestampMs(105) });
    assert_eq!(log.find_timestamp(TimestampMs(103), Offset(5)), None);
}

#[test]
fn log_append_time_replaces_the_timestamps() {
    let mut log = Log::default();
    let info = log.append(&batch(100, 3, Seal::default()), &Write { log_append_time: true, ..at(5_000) }).unwrap();
    assert_eq!(info.log_append_time, Some(TimestampMs(5_000)));
    let batch = Batch::from_bytes(log.read(Offset(0), bounds(&log, 1)).records).unwrap();
    let mut buffer = Decompressed::default();
    assert!(batch.open(&mut buffer).unwrap().all(|record| record.unwrap().timestamp == 5_000));
}

#[test]
fn deleting_moves_the_start_and_drops_whole_batches_and_their_aborts() {
    let mut log = Log::default();
    append(&mut log, &batch(0, 3, transactional(1, 0, 0)));
    log.end_transaction(ProducerId(1), ProducerEpoch(0), false, &at(0));
    append(&mut log, &batch(0, 3, transactional(1, 0, 3)));
    log.delete_before(Offset(5));
    assert_eq!((log.start_offset(), log.end_offset(), log.last_stable_offset()), (Offset(5), Offset(7), Offset(5)));
    assert_eq!(log.aborted_between(Offset(0), Offset(7)), []);
    assert_eq!(spans(&log.read(Offset(5), bounds(&log, 1))), [(4, 6)]);
    // The transaction is open: a reader of committed records gets nothing of it, from the middle of its batch either.
    let committed = ReadBounds { end_offset: log.last_stable_offset(), ..bounds(&log, 10_000) };
    assert_eq!(log.read(Offset(5), committed), Read { records: Bytes::new(), next_offset: Offset(5) });
    assert_eq!(log.available_bytes(Offset(5), log.last_stable_offset(), usize::MAX), 0);
    log.delete_before(Offset(2));
    assert_eq!(log.start_offset(), Offset(5));
    log.delete_before(Offset(100));
    assert_eq!((log.start_offset(), log.size_bytes()), (Offset(7), 0));
}
