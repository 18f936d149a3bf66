//! Retention, compaction and the memory limit, as clients see them.

use kafka_wire::protocol::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use kafka_wire::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use kafka_wire::protocol::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use kafka_wire::record::{BatchBuilder, Batches, RawHeaders, Seal};

use super::records::{TOPIC, append, batch, fetch, produce, read, seal, with_topic, with_topic_of};
use super::*;

const OUT_OF_RANGE: i16 = ErrorCode::OFFSET_OUT_OF_RANGE.0;

/// The topic's start offset, its end offset, and the first offset at or after a time.
fn offsets(script: &mut Script, time: i64) -> [i64; 3] {
    let connection = script.connect();
    [-2, -1, time].map(|timestamp| {
        let partition = ListOffsetsPartition { timestamp, current_leader_epoch: -1, ..Default::default() };
        let topic = ListOffsetsTopic { name: Str::from(TOPIC), partitions: vec![partition] };
        let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
        script.context(connection, 7, &request).topics[0].partitions[0].offset
    })
}

/// A batch of one record with this key, at this time.
fn keyed(timestamp: i64, key: &str, value: Option<&str>) -> Bytes {
    let mut builder = BatchBuilder::new(256);
    builder.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), RawHeaders::EMPTY).unwrap();
    builder.seal(Seal::default()).unwrap()
}

#[test]
fn records_go_when_they_are_too_old_and_readers_learn_it() {
    let configs = [("retention.ms", "2000"), ("segment.ms", "1000")];
    let (mut script, _) = with_topic_of(BrokerConfig::default(), &configs);
    assert_eq!(append(&mut script, keyed(0, "a", Some("1"))), Ok(0));
    assert_eq!(append(&mut script, keyed(500, "b", Some("2"))), Ok(1));
    script.pass(Duration::from_millis(1_500));
    assert_eq!(append(&mut script, keyed(1_500, "c", Some("3"))), Ok(2));
    script.pass(Duration::from_millis(1_000));
    assert_eq!(offsets(&mut script, 0), [0, 3, 0]);
    // The segment is too old since a moment ago; the check comes no sooner than a second after the last one.
    assert_eq!(script.core.next_timeout(), Some(Moment::from_millis(3_500)));
    script.pass(Duration::from_millis(1_000));
    assert_eq!(offsets(&mut script, 0), [2, 3, 2]);
    assert_eq!(read(&mut script, &fetch(1, 0)).error_code, OUT_OF_RANGE);
    let there = read(&mut script, &fetch(2, 0));
    assert_eq!((there.error_code, there.log_start_offset, there.high_watermark), (0, 2, 3));
    // A fetch that waits at the end is not disturbed; with the last record gone, the log begins there.
    let waiting = script.connect();
    script.send(waiting, 12, &fetch(3, 60_000));
    script.pass(Duration::from_millis(1_000));
    assert_eq!((script.core.poll(), offsets(&mut script, 0)), (None, [3, 3, -1]));
    script.core.disconnect(waiting);
    // A duplicate is still recognised.
    assert_eq!(append(&mut script, batch(1, seal((5, 0), 0, false))), Ok(3));
    script.pass(Duration::from_secs(10));
    assert_eq!(offsets(&mut script, 0), [4, 4, -1]);
    assert_eq!(append(&mut script, batch(1, seal((5, 0), 0, false))), Ok(3));
    assert_eq!(append(&mut script, batch(1, seal((5, 0), 1, false))), Ok(4));
}

#[test]
fn altered_settings_take_effect_on_what_is_there() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    append(&mut script, keyed(0, "a", Some("1"))).unwrap();
    script.pass(Duration::from_secs(60));
    assert_eq!(offsets(&mut script, 0), [0, 1, 0]);
    let alter = |configs: &mut std::collections::BTreeMap<Str, Str>| {
        configs.insert(Str::from("retention.ms"), Str::from("1000"));
    };
    script.core.state_mut().topics.alter(TOPIC, alter).unwrap();
    script.pass(Duration::from_secs(1));
    assert_eq!(offsets(&mut script, 0), [1, 1, -1]);
}

#[test]
fn a_compacted_topic_keeps_the_last_value_of_each_key() {
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "500"),
    ];
    let (mut script, _) = with_topic_of(BrokerConfig::default(), &configs);
    for (time, key, value) in [(0, "a", Some("1")), (1, "b", Some("1")), (2, "a", Some("2")), (3, "b", None)] {
        append(&mut script, keyed(time, key, value)).unwrap();
    }
    append(&mut script, keyed(200, "c", Some("1"))).unwrap();
    script.pass(Duration::from_secs(1));
    let keys = |script: &mut Script| {
        let mut buffer = kafka_wire::compression::Decompressed::default();
        let mut found = Vec::new();
        let mut position = 0;
        while position < 5 {
            for batch in Batches::new(read(script, &fetch(position, 0)).records.unwrap()).map(Result::unwrap) {
                position = batch.header.next_offset();
                let records = batch.open(&mut buffer).unwrap().map(Result::unwrap);
                found.extend(records.map(|it| (it.offset, String::from_utf8(it.key.unwrap().to_vec()).unwrap())));
            }
        }
        found
    };
    let expected = |wanted: &[(i64, &str)]| wanted.iter().map(|&(at, key)| (at, key.to_owned())).collect::<Vec<_>>();
    assert_eq!(keys(&mut script), expected(&[(2, "a"), (3, "b"), (4, "c")]));
    assert_eq!(offsets(&mut script, 0), [0, 5, 2]);
    script.pass(Duration::from_secs(2));
    assert_eq!(keys(&mut script), expected(&[(2, "a"), (4, "c")]));
    // The records of a compacted topic may not be deleted by DeleteRecords.
    let connection = script.connect();
    let partition = DeleteRecordsPartition { partition_index: 0, offset: 2, ..Default::default() };
    let topic = DeleteRecordsTopic { name: Str::from(TOPIC), partitions: vec![partition], ..Default::default() };
    let request = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
    let answer = script.context(connection, 2, &request);
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::POLICY_VIOLATION.0);
}

#[test]
fn a_batch_that_no_segment_can_hold_is_refused() {
    let (mut script, _) = with_topic_of(BrokerConfig::default(), &[("internal.segment.bytes", "100")]);
    assert_eq!(append(&mut script, batch(10, Seal::default())), Err(ErrorCode::RECORD_LIST_TOO_LARGE));
    assert_eq!(append(&mut script, keyed(0, "a", Some("1"))), Ok(0));
}

/// A broker with room for 7 MiB of records, and a topic with a retention of ten seconds.
fn with_little_memory() -> Script {
    let config = BrokerConfig { memory_bytes: 8 << 20, ..BrokerConfig::default() };
    with_topic_of(config, &[("retention.ms", "10000")]).0
}

/// Writes batches of about 1 MB until one is refused; returns how many were taken.
fn fill(script: &mut Script) -> usize {
    let mut builder = BatchBuilder::new(1 << 20);
    (0..10).for_each(|_| {
        builder
            .append(i64::try_from(script.now.as_millis()).unwrap(), None, Some(&[7; 100_000]), RawHeaders::EMPTY)
            .unwrap()
    });
    let records = builder.seal(Seal::default()).unwrap();
    for count in 0..100 {
        match append(script, records.clone()) {
            Ok(_) => assert!(script.core.state().topics.memory_bytes() <= 7 << 20),
            Err(error) => {
                assert_eq!(error, ErrorCode::KAFKA_STORAGE_ERROR);
                return count;
            }
        }
    }
    panic!("nothing was refused");
}

#[test]
fn beyond_the_memory_produce_is_refused_until_something_goes() {
    let mut script = with_little_memory();
    assert_eq!((fill(&mut script), fill(&mut script)), (7, 0));
    // By retention.
    script.pass(Duration::from_millis(10_001));
    assert_eq!((fill(&mut script), fill(&mut script)), (7, 0));
    // By DeleteRecords.
    let connection = script.connect();
    let end = script.core.state().topics.partition(TOPIC, 0).unwrap().log.end_offset();
    let partition = DeleteRecordsPartition { partition_index: 0, offset: end.0 - 10, ..Default::default() };
    let topic = DeleteRecordsTopic { name: Str::from(TOPIC), partitions: vec![partition], ..Default::default() };
    script.context(connection, 2, &DeleteRecordsRequest { topics: vec![topic], ..Default::default() });
    assert_eq!(fill(&mut script), 6);
    // By DeleteTopics.
    let topic = DeleteTopicState { name: Some(Str::from(TOPIC)), ..Default::default() };
    script.context(connection, 6, &DeleteTopicsRequest { topics: vec![topic], ..Default::default() });
    assert_eq!(script.core.state().topics.memory_bytes(), 0);
}

#[test]
fn what_an_answer_holds_counts_until_it_is_sent() {
    let mut script = with_little_memory();
    fill(&mut script);
    let connection = script.connect();
    script.send(connection, 12, &fetch(0, 0));
    let answer = script.core.poll();
    script.pass(Duration::from_millis(10_001));
    // The block that the answer shares is still held; the others are freed.
    let held = script.core.state().topics.memory_bytes();
    assert!((900_000..1_200_000).contains(&held), "{held}");
    assert_eq!(fill(&mut script), 6);
    drop(answer);
    script.pass(Duration::from_millis(10_001));
    assert_eq!(script.core.state().topics.memory_bytes(), 0);
}

#[test]
fn a_transaction_can_end_when_nothing_else_can_be_written() {
    let mut script = with_little_memory();
    let connection = script.connect();
    let request = kafka_wire::protocol::init_producer_id::InitProducerIdRequest {
        transactional_id: Some(Str::from("job")),
        transaction_timeout_ms: 5_000,
        ..Default::default()
    };
    let producer = script.context(connection, 4, &request);
    let records = batch(1, seal((producer.producer_id, producer.producer_epoch), 0, true));
    let written = script.context(connection, 12, &produce(Some("job"), records));
    assert_eq!(written.responses[0].partition_responses[0].error_code, 0);
    fill(&mut script);
    script.pass(Duration::from_secs(5));
    let log = &script.core.state().topics.partition(TOPIC, 0).unwrap().log;
    assert_eq!(log.last_stable_offset(), log.end_offset());
}

#[test]
fn answers_stay_within_the_room_that_they_are_given() {
    let (mut script, _) = with_topic(BrokerConfig::default());
    let one = batch(3, Seal::default());
    (0..9).for_each(|_| assert!(append(&mut script, one.clone()).is_ok()));
    let count = |script: &mut Script, room: usize| {
        script.core.set_answer_room(room);
        let records = read(script, &fetch(0, 0)).records.unwrap();
        Batches::new(records).map(Result::unwrap).count()
    };
    assert_eq!([0, 1, 2 * one.len(), 100_000].map(|room| count(&mut script, room)), [1, 1, 2, 9]);
}
