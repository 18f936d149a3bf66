//! Produce and Fetch: long polls, limits, isolation, and batches that are refused.

use kafka_wire::compression::Compression;
use kafka_wire::protocol::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use kafka_wire::protocol::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use kafka_wire::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use kafka_wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use kafka_wire::protocol::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use kafka_wire::protocol::metadata::{MetadataRequest, MetadataRequestTopic};
use kafka_wire::protocol::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_wire::record::{BatchBuilder, Batches, RawHeaders, Seal};
use kafka_wire::types::{ProducerEpoch, ProducerId, TimestampMs};
use kafka_wire::wire::Uuid;

use super::*;

pub(super) const TOPIC: &str = "t";

/// A script with a topic, and the topic's id.
pub(super) fn with_topic(config: BrokerConfig) -> (Script, Uuid) {
    with_topic_of(config, &[])
}

/// The same with settings of the topic.
pub(super) fn with_topic_of(config: BrokerConfig, configs: &[(&str, &str)]) -> (Script, Uuid) {
    let mut script = Script::new(config);
    let connection = script.connect();
    let config = |&(name, value)| CreatableTopicConfig { name: Str::from(name), value: Some(Str::from(value)) };
    let topic = CreatableTopic {
        name: Str::from(TOPIC),
        num_partitions: 2,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
    let response = script.context(connection, 7, &request);
    assert_eq!(response.topics[0].error_code, 0);
    (script, response.topics[0].topic_id)
}

pub(super) fn seal(producer: (i64, i16), base_sequence: i32, transactional: bool) -> Seal {
    Seal {
        producer_id: ProducerId(producer.0),
        producer_epoch: ProducerEpoch(producer.1),
        base_sequence,
        transactional,
        compression: Compression::None,
    }
}

pub(super) fn batch(count: i64, seal: Seal) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    (0..count).for_each(|value| builder.append(value, None, Some(b"value"), RawHeaders::EMPTY).unwrap());
    builder.seal(seal).unwrap()
}

pub(super) fn produce(transactional_id: Option<&str>, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData { index: 0, records: Some(records) };
    let topic = TopicProduceData { name: Str::from(TOPIC), topic_id: Uuid::ZERO, partition_data: vec![data] };
    ProduceRequest {
        transactional_id: transactional_id.map(Str::from),
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![topic],
    }
}

/// Appends a batch; returns its first offset.
pub(super) fn append(script: &mut Script, records: Bytes) -> Result<i64, ErrorCode> {
    let connection = script.connect();
    let response = script.context(connection, 11, &produce(None, records));
    let outcome = &response.responses[0].partition_responses[0];
    if outcome.error_code == 0 { Ok(outcome.base_offset) } else { Err(ErrorCode(outcome.error_code)) }
}

pub(super) fn fetch(offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: Str::from(TOPIC), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms, min_bytes: 1, max_bytes: 1 << 20, topics: vec![topic], ..Default::default() }
}

pub(super) fn read(script: &mut Script, request: &FetchRequest) -> PartitionData {
    let connection = script.connect();
    script.context(connection, 12, request).responses[0].partitions[0].clone()
}

fn batch_count(data: &PartitionData) -> usize {
    Batches::new(data.records.clone().unwrap()).map(Result::unwrap).count()
}

#[test]
fn a_long_poll_ends_with_enough_bytes_or_with_its_time() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let waiting = script.connect();
    let one = batch(1, Seal::default());
    let wants_two = FetchRequest { min_bytes: i32::try_from(one.len()).unwrap() + 1, ..fetch(0, 500) };
    script.send(waiting, 12, &wants_two);
    assert_eq!(append(&mut script, one.clone()), Ok(0));
    assert_eq!((script.core.poll(), script.core.next_timeout()), (None, Some(Moment::from_millis(500))));
    let retention = script.core.state().topics.next_upkeep();
    script.pass(Duration::from_millis(499));
    assert_eq!(script.core.poll(), None);
    script.pass(Duration::from_millis(1));
    assert_eq!(batch_count(&script.answer::<FetchRequest>(waiting, 12).responses[0].partitions[0]), 1);

    script.send(waiting, 12, &wants_two);
    let producer = script.connect();
    script.send(producer, 11, &produce(None, one));
    script.answer::<ProduceRequest>(producer, 11);
    assert_eq!(batch_count(&script.answer::<FetchRequest>(waiting, 12).responses[0].partitions[0]), 2);
    // The only limit left is the day on which the records become too old.
    assert_eq!(
        script.core.next_timeout().map(|due| due.as_millis()),
        retention.map(|due| u64::try_from(due.0).unwrap())
    );
}

#[test]
fn a_request_behind_a_long_poll_waits_for_its_turn() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    script.send(connection, 12, &fetch(0, 500));
    script.send(connection, 0, &ApiVersionsRequest::default());
    assert_eq!(script.core.poll(), None);
    script.pass(Duration::from_millis(500));
    script.answer::<FetchRequest>(connection, 12);
    script.answer::<ApiVersionsRequest>(connection, 0);
}

#[test]
fn limits_of_the_request_and_of_the_partition_are_kept() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let one = batch(3, Seal::default());
    let size = i32::try_from(one.len()).unwrap();
    (0..4).for_each(|_| assert!(append(&mut script, one.clone()).is_ok()));
    let mut request = fetch(0, 0);
    let mut count = |max_bytes, partition_max_bytes| {
        request.max_bytes = max_bytes;
        request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
        batch_count(&read(&mut script, &request))
    };
    assert_eq!(count(1, 1), 1);
    assert_eq!(count(3 * size, 2 * size), 2);
    assert_eq!(count(3 * size, 10 * size), 3);
    assert_eq!(count(10 * size, 10 * size), 4);
    // Only the first partition of a response may go beyond the limits.
    let second = request.topics[0].partitions[0].clone();
    request.topics[0].partitions.push(second);
    request.max_bytes = 1;
    let connection = script.connect();
    let response = script.context(connection, 12, &request);
    let counts: Vec<_> = response.responses[0].partitions.iter().map(batch_count).collect();
    assert_eq!(counts, [1, 0]);
}

#[test]
fn positions_outside_the_log_are_refused_at_once() {
    let (mut script, id) = with_topic(BrokerConfig::default());
    append(&mut script, batch(3, Seal::default())).unwrap();
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 2 };
    let topic = DeleteRecordsTopic { name: Str::from(TOPIC), partitions: vec![partition] };
    let connection = script.connect();
    let deleted = script.context(connection, 2, &DeleteRecordsRequest { topics: vec![topic], timeout_ms: 0 });
    assert_eq!((deleted.topics[0].partitions[0].error_code, deleted.topics[0].partitions[0].low_watermark), (0, 2));
    for offset in [-1, 1, 4] {
        assert_eq!(read(&mut script, &fetch(offset, 1000)).error_code, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    }
    let data = read(&mut script, &fetch(2, 1000));
    assert_eq!((data.error_code, data.log_start_offset, data.high_watermark, batch_count(&data)), (0, 2, 3, 1));

    let mut ahead = fetch(2, 1000);
    ahead.topics[0].partitions[0].current_leader_epoch = 1;
    assert_eq!(read(&mut script, &ahead).error_code, ErrorCode::UNKNOWN_LEADER_EPOCH.0);
    let mut by_id = fetch(2, 1000);
    (by_id.topics[0].topic, by_id.topics[0].topic_id) = (Str::EMPTY, id);
    let connection = script.connect();
    assert_eq!(script.context(connection, 18, &by_id).responses[0].partitions[0].error_code, 0);
    by_id.topics[0].topic_id = Uuid([9; 16]);
    let unknown = script.context(connection, 18, &by_id).responses[0].partitions[0].error_code;
    assert_eq!(unknown, ErrorCode::UNKNOWN_TOPIC_ID.0);
}

#[test]
fn a_fetch_that_waits_learns_of_the_end_of_its_topic() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let waiting = script.connect();
    script.send(waiting, 12, &fetch(0, 60_000));
    let admin = script.connect();
    let topic = DeleteTopicState { name: Some(Str::from(TOPIC)), topic_id: Uuid::ZERO };
    script.send(admin, 6, &DeleteTopicsRequest { topics: vec![topic], ..Default::default() });
    script.answer::<DeleteTopicsRequest>(admin, 6);
    let data = script.answer::<FetchRequest>(waiting, 12);
    assert_eq!(data.responses[0].partitions[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0);
}

#[test]
fn damaged_and_foreign_batches_are_refused() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let good = batch(3, Seal::default());
    let damaged = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] ^= byte;
        Bytes::from(bytes)
    };
    let mut check = |records: Bytes, expected: ErrorCode| assert_eq!(append(&mut script, records), Err(expected));
    check(damaged(70, 1), ErrorCode::CORRUPT_MESSAGE);
    check(good.slice(..good.len() - 1), ErrorCode::CORRUPT_MESSAGE);
    check(Bytes::new(), ErrorCode::CORRUPT_MESSAGE);
    check(damaged(16, 3), ErrorCode::INVALID_RECORD);
    check(Bytes::from([&good[..], &good[..]].concat()), ErrorCode::INVALID_RECORD);
    check(batch(1, seal((5, 0), -1, false)), ErrorCode::INVALID_RECORD);
    check(batch(1, seal((5, 0), 0, true)), ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    check(batch(200_000, Seal::default()), ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(append(&mut script, good), Ok(0));
}

#[test]
fn records_of_the_present_are_taken_after_the_date_has_jumped() {
    const HOUR_MS: i64 = 3_600_000;
    let (start, later) = (TimestampMs(400_000 * HOUR_MS), TimestampMs(400_013 * HOUR_MS));
    let (mut script, _) = with_topic(BrokerConfig { start_timestamp: start, ..BrokerConfig::default() });
    let of = |timestamp: TimestampMs| {
        let mut builder = BatchBuilder::new(256);
        builder.append(timestamp.0, None, Some(b"value"), RawHeaders::EMPTY).unwrap();
        builder.seal(Seal::default()).unwrap()
    };
    assert_eq!(append(&mut script, of(start)), Ok(0));
    assert_eq!(append(&mut script, of(later)), Err(ErrorCode::INVALID_TIMESTAMP));
    script.core.set_start_timestamp(later);
    assert_eq!(append(&mut script, of(later)), Ok(1));
    // A date in the future that is corrected does not put the next look at the logs off until then.
    script.pass(Duration::from_secs(60));
    script.core.set_start_timestamp(start);
    assert_eq!(script.core.next_timeout(), Some(script.now));
}

#[test]
fn without_acks_nothing_is_answered_and_a_failure_ends_the_connection() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    let request = |records| ProduceRequest { acks: 0, ..produce(None, records) };
    script.send(connection, 9, &request(batch(1, Seal::default())));
    script.send(connection, 0, &ApiVersionsRequest::default());
    script.answer::<ApiVersionsRequest>(connection, 0);
    script.send(connection, 9, &request(Bytes::from_static(b"rubbish")));
    assert!(script.is_closed(connection));
    assert_eq!(read(&mut script, &fetch(0, 0)).high_watermark, 1);
}

#[test]
fn a_request_applied_before_the_connection_breaks_is_there_for_the_next() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let connection = script.connect();
    script.core.inject(Rule { api_key: 0, nth: 1, action: Action::ApplyThenDisconnect });
    let records = batch(2, seal((5, 0), 0, false));
    script.send(connection, 11, &produce(None, records.clone()));
    assert!(script.is_closed(connection) && script.core.faults_are_spent());
    // The retry is recognised, and its answer is the one that was lost.
    assert_eq!(append(&mut script, records), Ok(0));
    assert_eq!(read(&mut script, &fetch(0, 0)).high_watermark, 2);
    script.core.inject(Rule { api_key: 0, nth: 1, action: Action::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER.0) });
    let refused = append(&mut script, batch(2, seal((5, 0), 2, false)));
    assert_eq!(refused, Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
}

#[test]
fn offsets_are_found_by_their_name_and_by_time() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    append(&mut script, batch(5, Seal::default())).unwrap();
    let connection = script.connect();
    let mut find = |timestamp| {
        let partition = ListOffsetsPartition { timestamp, current_leader_epoch: -1, ..Default::default() };
        let topic = ListOffsetsTopic { name: Str::from(TOPIC), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
        let found = script.context(connection, 11, &request).topics[0].partitions[0].clone();
        assert_eq!(found.error_code, 0);
        (found.offset, found.timestamp)
    };
    assert_eq!((find(-1), find(-2), find(-3)), ((5, -1), (0, -1), (4, 4)));
    assert_eq!((find(-4), find(-5), find(-6)), ((0, -1), (-1, -1), (-1, -1)));
    assert_eq!((find(2), find(5)), ((2, 2), (-1, -1)));
}

#[test]
fn topics_are_created_as_asked_or_by_being_named() {
    let (mut script, id) = with_topic(BrokerConfig { partitions_max: 10, ..BrokerConfig::default() });
    let connection = script.connect();
    let mut create = |name: &str, num_partitions, config: &str, value: &str| {
        let configs = vec![CreatableTopicConfig { name: Str::from(config), value: Some(Str::from(value)) }];
        let name = Str::from(name);
        let topic = CreatableTopic { name, num_partitions, replication_factor: -1, configs, ..Default::default() };
        let response =
            script.context(connection, 7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() });
        ErrorCode(response.topics[0].error_code)
    };
    assert_eq!(create("compacted", 2, "cleanup.policy", "compact"), ErrorCode::NONE);
    assert_eq!(create("compacted", 2, "cleanup.policy", "compact"), ErrorCode::TOPIC_ALREADY_EXISTS);
    assert_eq!(create("too-many", 7, "retention.ms", "1"), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(create("none", 0, "retention.ms", "1"), ErrorCode::INVALID_PARTITIONS);
    assert_eq!(create("a/b", 1, "retention.ms", "1"), ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(create("typo", 1, "retention.msec", "1"), ErrorCode::INVALID_CONFIG);
    // Their metrics would have the same names.
    assert_eq!(create("orders.eu", 1, "retention.ms", "1"), ErrorCode::NONE);
    assert_eq!(create("orders_eu", 1, "retention.ms", "1"), ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(create("orders-eu", 1, "retention.ms", "1"), ErrorCode::NONE);
    let state = script.core.state();
    assert_eq!(state.topics.by_name("compacted").unwrap().config("cleanup.policy"), Some("compact"));

    let mut look = |name: Option<&str>, topic_id, allow_auto_topic_creation| {
        let topic = MetadataRequestTopic { name: name.map(Str::from), topic_id };
        let request = MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation, ..Default::default() };
        let found = script.context(connection, 13, &request).topics[0].clone();
        (ErrorCode(found.error_code), found.partitions.len())
    };
    assert_eq!(look(None, id, false), (ErrorCode::NONE, 2));
    assert_eq!(look(Some("new"), Uuid::ZERO, false), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 0));
    assert_eq!(look(Some("new"), Uuid::ZERO, true), (ErrorCode::NONE, 1));
    assert_eq!(look(Some("a/b"), Uuid::ZERO, true), (ErrorCode::INVALID_TOPIC_EXCEPTION, 0));
    assert_eq!(look(Some("orders_eu"), Uuid::ZERO, true), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 0));
    assert_eq!(look(None, Uuid([9; 16]), true), (ErrorCode::UNKNOWN_TOPIC_ID, 0));

    // The name is free again once the other topic is gone.
    let topic = DeleteTopicState { name: Some(Str::from("orders.eu")), topic_id: Uuid::ZERO };
    script.context(connection, 6, &DeleteTopicsRequest { topics: vec![topic], ..Default::default() });
    let topic = CreatableTopic { name: Str::from("orders_eu"), num_partitions: 1, ..Default::default() };
    let topic = CreatableTopic { replication_factor: -1, ..topic };
    let created = script.context(connection, 7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() });
    assert_eq!(created.topics[0].error_code, 0);
}
