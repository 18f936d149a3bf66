//! The records that a reader gets from the batches of a Fetch response, without a broker: positions, gaps,
//! cut-off batches, markers and aborted transactions.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_wire::cluster::{Cluster, TopicPartition};
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, ConsumerConfig, Fetched, Fetcher, FetcherAction, IsolationLevel};
use kafka_wire::protocol::fetch::{AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData};
use kafka_wire::protocol::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_wire::record::{BatchBuilder, ControlRecord, RawHeaders, RecordErrorCause, Seal, with_base_offset};
use kafka_wire::time::Moment;
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId};

const PRODUCER: i64 = 7;
const OTHER: i64 = 8;

/// A batch of `count` records from `base_offset` on, whose values are their offsets.
fn batch(base_offset: i64, count: i64, producer_id: i64, transactional: bool) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    for offset in base_offset..base_offset + count {
        builder.append(0, None, Some(&offset.to_be_bytes()), RawHeaders::EMPTY).expect("small");
    }
    let producer_epoch = ProducerEpoch(0);
    let seal = Seal {
        producer_id: ProducerId(producer_id),
        producer_epoch,
        base_sequence: 0,
        transactional,
        ..Seal::default()
    };
    with_base_offset(&builder.seal(seal).expect("no codec"), base_offset, LeaderEpoch(1))
}

fn marker(offset: i64, producer_id: i64, marker: ControlRecord) -> Bytes {
    let batch = marker.encode(0, ProducerId(producer_id), ProducerEpoch(0)).expect("an end marker");
    with_base_offset(&batch, offset, LeaderEpoch(1))
}

fn abort(offset: i64, producer_id: i64) -> Bytes {
    marker(offset, producer_id, ControlRecord::Abort { coordinator_epoch: 0 })
}

fn commit(offset: i64, producer_id: i64) -> Bytes {
    marker(offset, producer_id, ControlRecord::Commit { coordinator_epoch: 0 })
}

fn java(name: &str) -> Bytes {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/records/java").join(name).with_extension("txt");
    let text = fs::read_to_string(file).expect("the vector is there");
    let hex = text.lines().find_map(|line| line.strip_prefix("bytes ")).expect("a line of bytes");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn partition() -> TopicPartition {
    TopicPartition::new("lines", PartitionId(0))
}

fn cluster() -> Cluster {
    let partition = MetadataResponsePartition { leader_id: 1, leader_epoch: 1, ..Default::default() };
    let topic = MetadataResponseTopic { name: Some("lines".into()), partitions: vec![partition], ..Default::default() };
    let broker = MetadataResponseBroker { node_id: 1, host: "localhost".into(), port: 9092, ..Default::default() };
    let mut cluster = Cluster::default();
    cluster.merge(&MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() });
    cluster
}

/// A fetcher at `position` that has received `records` as the response to its fetch.
fn fetched(isolation: IsolationLevel, position: i64, records: Bytes, aborted: &[(i64, i64)]) -> Fetcher {
    let mut fetcher = Fetcher::new(ConsumerConfig { isolation, ..ConsumerConfig::default() });
    fetcher.assign(partition(), Offset(position), LeaderEpoch(-1));
    let Some(FetcherAction::Fetch { ticket, request, .. }) = fetcher.poll(Moment::ZERO, &cluster()) else {
        panic!("an assigned partition with a leader is fetched");
    };
    assert_eq!(request.topics[0].partitions[0].fetch_offset, position);
    let aborted = aborted.iter().map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
    let data = PartitionData {
        high_watermark: 1_000,
        last_stable_offset: 1_000,
        aborted_transactions: Some(aborted.collect()),
        records: Some(records),
        ..Default::default()
    };
    let topic = FetchableTopicResponse { topic: "lines".into(), partitions: vec![data], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    fetcher.handle_fetched(Moment::ZERO, ticket, Ok((12, response)));
    fetcher
}

/// Offsets of the records that a reader gets, up to the end or the error, and its position after that.
fn read(fetched: &mut Fetched) -> (Vec<i64>, i64, Option<ConsumeError>) {
    let mut offsets = Vec::new();
    let mut buffer = Decompressed::default();
    while let Some(batch) = fetched.next_batch() {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return (offsets, fetched.next_offset().0, Some(error)),
        };
        match batch.open(&mut buffer) {
            Ok(records) => {
                let new = records.map(|record| record.expect("a good record").offset);
                offsets.extend(new.filter(|&offset| offset >= batch.position.0));
            }
            Err(error) => return (offsets, fetched.next_offset().0, Some(error)),
        }
    }
    (offsets, fetched.next_offset().0, None)
}

fn check(isolation: IsolationLevel, position: i64, records: &[Bytes], aborted: &[(i64, i64)], expected: (&[i64], i64)) {
    let mut fetcher = fetched(isolation, position, records.concat().into(), aborted);
    let mut data = fetcher.take().expect("data").expect("no error");
    let (offsets, next_offset, error) = read(&mut data);
    assert_eq!((offsets.as_slice(), next_offset, error), (expected.0, expected.1, None));
    assert_eq!(fetcher.position(&partition()), Some(Offset(expected.1)), "the next fetch starts there");
}

fn check_committed(records: &[Bytes], aborted: &[(i64, i64)], expected: (&[i64], i64)) {
    check(IsolationLevel::ReadCommitted, 0, records, aborted, expected);
}

#[test]
fn records_before_the_position_are_not_delivered_again() {
    let records = [batch(3, 5, -1, false), batch(8, 2, -1, false)];
    check(IsolationLevel::ReadUncommitted, 6, &records, &[], (&[6, 7, 8, 9], 10));
}

#[test]
fn reading_goes_on_behind_what_compaction_removed() {
    let records = [java("compacted")];
    // The second batch is kept empty for its producer's sake; it still covers ten offsets.
    check(IsolationLevel::ReadUncommitted, 100, &records, &[], (&[100, 103, 106, 109], 120));
    check(IsolationLevel::ReadUncommitted, 104, &records, &[], (&[106, 109], 120));
    check(IsolationLevel::ReadUncommitted, 110, &records, &[], (&[], 120));
}

#[test]
fn a_batch_cut_off_is_fetched_again() {
    let whole = batch(0, 3, -1, false);
    let cut = batch(3, 3, -1, false);
    for end in [0, 1, 11, 12, 16, 17, 60, 61, cut.len() - 1] {
        let records = [whole.clone(), cut.slice(..end)];
        check(IsolationLevel::ReadUncommitted, 0, &records, &[], (&[0, 1, 2], 3));
    }
}

#[test]
fn an_answer_whose_first_batch_is_cut_off_is_an_error_and_no_endless_loop() {
    let cut = batch(3, 3, -1, false).slice(..70);
    let mut fetcher = fetched(IsolationLevel::ReadUncommitted, 3, cut, &[]);
    let error = ConsumeError::Stalled { partition: partition(), offset: Offset(3), size_bytes: 70 };
    assert_eq!(fetcher.take().expect("something").expect_err("an error"), error);
    assert_eq!(fetcher.poll(Moment::ZERO, &cluster()), None, "it is not fetched again");
}

#[test]
fn a_corrupt_batch_is_named_and_nothing_is_skipped() {
    let mut broken = batch(3, 3, -1, false).to_vec();
    *broken.last_mut().expect("bytes") ^= 1;
    let records = [batch(0, 3, -1, false), broken.into(), batch(6, 3, -1, false)].concat();
    let mut fetcher = fetched(IsolationLevel::ReadUncommitted, 0, records.into(), &[]);
    let mut data = fetcher.take().expect("data").expect("no error yet");
    let (offsets, next_offset, error) = read(&mut data);
    assert_eq!((offsets.as_slice(), next_offset), ([0, 1, 2].as_slice(), 3));
    let Some(ConsumeError::Corrupt { partition: named, offset, cause }) = error else { panic!("{error:?}") };
    assert_eq!((named, offset), (partition(), Offset(3)));
    assert!(matches!(cause.cause, RecordErrorCause::ChecksumMismatch { .. }));
    let (none, still, again) = read(&mut data);
    assert_eq!((none.as_slice(), still), ([].as_slice(), 3));
    assert!(matches!(again, Some(ConsumeError::Corrupt { .. })), "it stays an error");
}

#[test]
fn markers_are_never_delivered() {
    let records = [batch(0, 2, PRODUCER, true), commit(2, PRODUCER), leader_change(3)];
    check(IsolationLevel::ReadUncommitted, 0, &records, &[], (&[0, 1], 4));
    check_committed(&records, &[], (&[0, 1], 4));
}

/// A control batch of a type that is not for clients.
fn leader_change(offset: i64) -> Bytes {
    with_base_offset(&java("leader_change"), offset, LeaderEpoch(1))
}

#[test]
fn aborted_records_are_for_uncommitted_readers_only() {
    let records = [batch(0, 2, PRODUCER, true), batch(2, 2, OTHER, true), abort(4, PRODUCER), commit(5, OTHER)];
    check_committed(&records, &[(PRODUCER, 0)], (&[2, 3], 6));
    check(IsolationLevel::ReadUncommitted, 0, &records, &[(PRODUCER, 0)], (&[0, 1, 2, 3], 6));
}

#[test]
fn a_transaction_after_the_abort_marker_is_another_one() {
    let records = [batch(0, 2, PRODUCER, true), abort(2, PRODUCER), batch(3, 2, PRODUCER, true), commit(5, PRODUCER)];
    check_committed(&records, &[(PRODUCER, 0)], (&[3, 4], 6));
}

/// Trap 24 of the list in `record_traps.rs`.
#[test]
fn aborted_transactions_need_not_be_sorted() {
    let records = [
        batch(0, 1, PRODUCER, true),
        batch(1, 1, OTHER, true),
        abort(2, PRODUCER),
        batch(3, 1, PRODUCER, true),
        abort(4, OTHER),
        abort(5, PRODUCER),
        batch(6, 1, PRODUCER, true),
    ];
    let sorted = [(PRODUCER, 0), (OTHER, 1), (PRODUCER, 3)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        check_committed(&records, &order.map(|index: usize| sorted[index]), (&[6], 7));
    }
}

#[test]
fn records_outside_of_transactions_pass() {
    let records =
        [batch(0, 1, PRODUCER, true), batch(1, 2, PRODUCER, false), batch(3, 1, -1, false), abort(4, PRODUCER)];
    check_committed(&records, &[(PRODUCER, 0)], (&[1, 2, 3], 5));
}

#[test]
fn only_an_abort_marker_ends_an_aborted_range() {
    let other_marker = {
        // The change of leaders again, but as if the producer had written it.
        let bytes = leader_change(1);
        kafka_wire::record::restamp(&bytes, ProducerId(PRODUCER), ProducerEpoch(0), -1)
    };
    let records = [batch(0, 1, PRODUCER, true), other_marker, batch(2, 1, PRODUCER, true), abort(3, PRODUCER)];
    check_committed(&records, &[(PRODUCER, 0)], (&[], 4));
}

#[test]
fn an_aborted_transaction_that_began_before_the_fetch_is_left_out_too() {
    let records = [batch(10, 2, PRODUCER, true), abort(12, PRODUCER)];
    check(IsolationLevel::ReadCommitted, 10, &records, &[(PRODUCER, 3)], (&[], 13));
    // The batch that holds both the position and the first offset begins below the position.
    let records = [batch(8, 4, PRODUCER, true), abort(12, PRODUCER)];
    check(IsolationLevel::ReadCommitted, 10, &records, &[(PRODUCER, 8)], (&[], 13));
}
