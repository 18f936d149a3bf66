//! Retention and compaction of a broker, and their effect on readers: the same on Apache Kafka and on
//! the embedded broker.
//!
//! Apache Kafka has a node of its own here, which checks its logs several times a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance::reader::{KeptRecord, read_to_end};
use conformance::writer::{Transactions, write_batch};
use conformance::{connect, eventually, skip, within};
use kafka_wire::admin::{ConfigChange, ConfigResource, NewTopic, OffsetSpec};
use kafka_wire::client::{CallOptions, Client, Lane, Node};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use testkit::broker::{Broker, BrokerConfig};
use testkit::real::{RealConfig, RealKafka};

#[tokio::test]
async fn logs_are_looked_after_by_the_embedded_broker() {
    let config = BrokerConfig { log_check_interval: Duration::from_millis(100), ..BrokerConfig::default() };
    let broker = Broker::start(config).await.expect("a port of the loopback is free");
    every_body(&broker.address()).await;
}

#[tokio::test]
async fn logs_are_looked_after_by_apache_kafka() {
    let often = [
        ("log.cleaner.backoff.ms", "200"),
        ("log.retention.check.interval.ms", "300"),
        ("log.initial.task.delay.ms", "100"),
    ];
    let properties = often.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    match RealKafka::start(RealConfig { properties, ..RealConfig::default() }).await {
        Ok(kafka) => every_body(kafka.bootstrap()).await,
        Err(unavailable) => skip("retention and compaction on Apache Kafka", &unavailable.to_string()),
    }
}

/// All bodies run at the same time: each waits for the broker most of the time.
async fn every_body(bootstrap: &str) {
    let client = connect(bootstrap).await;
    tokio::join!(
        records_go_when_they_are_too_old(&client),
        a_log_keeps_to_its_size_by_whole_segments(&client),
        the_last_record_of_each_key_stays_where_it_was(&client),
        a_tombstone_goes_after_its_time(&client),
        an_open_transaction_holds_compaction_back(&client),
    );
}

async fn records_go_when_they_are_too_old(client: &Client) {
    let t = create(client, "old", &[("retention.ms", "300000"), ("segment.ms", "1000")]).await;
    let now = now();
    put(client, &t, now - 600_000, &[("a", Some("1")), ("b", Some("1"))]).await;
    put(client, &t, now, &[("c", Some("1"))]).await;
    until_offset(client, &t, OffsetSpec::Earliest, 2).await;
    assert_eq!(offset(client, &t, OffsetSpec::Latest).await, Some(Offset(3)));
    assert_eq!(offset(client, &t, OffsetSpec::Timestamp(TimestampMs(now - 600_000))).await, Some(Offset(2)));
    assert_eq!(fetch_error(client, &t, 1).await, ErrorCode::OFFSET_OUT_OF_RANGE);
    // The active segment is deleted as well, and the log then begins at its end.
    set(client, &t, "retention.ms", "1000").await;
    until_offset(client, &t, OffsetSpec::Earliest, 3).await;
    assert_eq!(offset(client, &t, OffsetSpec::Timestamp(TimestampMs(0))).await, None);
    assert_eq!(fetch_error(client, &t, 2).await, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(put(client, &t, now + 600_000, &[("d", Some("1"))]).await, Offset(3));
    assert_eq!(read(client, &t).await, [owned((3, "d", Some("1")))]);
}

async fn a_log_keeps_to_its_size_by_whole_segments(client: &Client) {
    let configs = [("retention.bytes", "2000"), ("retention.ms", "-1"), ("internal.segment.bytes", "1000")];
    let t = create(client, "large", &configs).await;
    let value = "v".repeat(200);
    for _ in 0..20 {
        put(client, &t, now(), &[("a", Some(&value))]).await;
    }
    // 20 batches of 272 B, three to a segment: four segments, and a part of the fifth, exceed 2000 B.
    until_offset(client, &t, OffsetSpec::Earliest, 12).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(offset(client, &t, OffsetSpec::Earliest).await, Some(Offset(12)));
    assert_eq!(read(client, &t).await.len(), 8);
}

const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "1000"), ("min.cleanable.dirty.ratio", "0.01")];

async fn the_last_record_of_each_key_stays_where_it_was(client: &Client) {
    let t = create(client, "compacted", &COMPACTED).await;
    let start = now() - 60_000;
    put(client, &t, start, &[("a", Some("1")), ("b", Some("1"))]).await;
    put(client, &t, start, &[("a", Some("2")), ("b", None)]).await;
    let mut transactions = Transactions::open(client, "compacted").await;
    transactions.write_batch(&t, 2, |seal| batch(start, &[("a", Some("x")), ("c", Some("x"))], seal)).await;
    transactions.abort().await;
    transactions.write_batch(&t, 1, |seal| batch(start, &[("d", Some("1"))], seal)).await;
    transactions.commit().await;
    conformance::reader::until_stable(client, &t.topic).await;
    put(client, &t, start + 10_000, &[("e", Some("1"))]).await;
    // 4 and 5 were aborted, 6 and 8 are the markers; the last record is in the active segment.
    let expected = [(2, "a", Some("2")), (3, "b", None), (7, "d", Some("1")), (9, "e", Some("1"))];
    until_read(client, &t, &expected).await;
    assert_eq!(offset(client, &t, OffsetSpec::Earliest).await, Some(Offset(0)));
    assert_eq!(offset(client, &t, OffsetSpec::Timestamp(TimestampMs(start))).await, Some(Offset(2)));
    // Readers of committed records find the same.
    let committed = read_to_end(client, &t.topic, IsolationLevel::ReadCommitted).await;
    assert_eq!(texts(&committed), expected.map(owned));
    // The transactional id and its sequences are still known.
    transactions.write_batch(&t, 1, |seal| batch(start + 10_000, &[("f", Some("1"))], seal)).await;
    transactions.commit().await;
}

async fn a_tombstone_goes_after_its_time(client: &Client) {
    let configs = [&COMPACTED[..], &[("delete.retention.ms", "3000")]].concat();
    let t = create(client, "tombstones", &configs).await;
    let start = now() - 600_000;
    put(client, &t, start, &[("a", Some("1")), ("b", Some("1")), ("a", None)]).await;
    put(client, &t, start + 10_000, &[("c", Some("1"))]).await;
    let first = [(1, "b", Some("1")), (2, "a", None), (3, "c", Some("1"))];
    until_read(client, &t, &first).await;
    // Apache Kafka makes the next pass only when there are new records.
    let mut time = start + 10_000;
    within("the end of the tombstone", WAIT_MAX, async {
        while read(client, &t).await.iter().any(|record| record.1 == "a") {
            time += 10_000;
            put(client, &t, time, &[("c", Some("2"))]).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert_eq!(read(client, &t).await[0], owned((1, "b", Some("1"))));
}

async fn an_open_transaction_holds_compaction_back(client: &Client) {
    let t = create(client, "open", &COMPACTED).await;
    let start = now() - 600_000;
    put(client, &t, start, &[("a", Some("1")), ("a", Some("2"))]).await;
    let mut transactions = Transactions::open(client, "open").await;
    transactions.write_batch(&t, 1, |seal| batch(start + 10_000, &[("x", Some("1"))], seal)).await;
    put(client, &t, start + 20_000, &[("a", Some("3")), ("a", Some("4"))]).await;
    put(client, &t, start + 30_000, &[("y", Some("1"))]).await;
    let held =
        [(1, "a", Some("2")), (2, "x", Some("1")), (3, "a", Some("3")), (4, "a", Some("4")), (5, "y", Some("1"))];
    until_read(client, &t, &held).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(read(client, &t).await, held.map(owned));
    transactions.commit().await;
    conformance::reader::until_stable(client, &t.topic).await;
    put(client, &t, start + 40_000, &[("z", Some("1"))]).await;
    until_read(client, &t, &[(2, "x", Some("1")), (4, "a", Some("4")), (5, "y", Some("1")), (7, "z", Some("1"))]).await;
}

async fn create(client: &Client, name: &str, configs: &[(&str, &str)]) -> TopicPartition {
    let configs = configs.iter().map(|&(name, value)| (name.into(), value.into())).collect();
    let outcomes = client.create_topics(&[NewTopic { configs, ..NewTopic::new(name, 1) }]).await;
    for (topic, outcome) in outcomes.expect("the cluster answers") {
        outcome.unwrap_or_else(|error| panic!("cannot create {topic:?}: {error}"));
    }
    client.leader(name, PartitionId(0)).await.expect("a new topic gets a leader");
    TopicPartition::new(name, PartitionId(0))
}

async fn set(client: &Client, t: &TopicPartition, name: &'static str, value: &'static str) {
    let changes = vec![ConfigChange::Set(name.into(), value.into())];
    let altered = client.alter_configs(&[(ConfigResource::Topic(t.topic.clone()), changes)]).await;
    altered.expect("a broker answers")[0].1.clone().expect("it can be set");
}

fn batch(timestamp: i64, records: &[(&str, Option<&str>)], seal: Seal) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(1024);
    for (key, value) in records {
        let appended = builder.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), RawHeaders::EMPTY);
        appended.expect("a small record");
    }
    builder.seal(seal).expect("no compression, no failure")
}

async fn put(client: &Client, t: &TopicPartition, timestamp: i64, records: &[(&str, Option<&str>)]) -> Offset {
    write_batch(client, t, batch(timestamp, records, Seal::default())).await
}

async fn offset(client: &Client, t: &TopicPartition, spec: OffsetSpec) -> Option<Offset> {
    let found = client.list_offsets(&[(t.clone(), spec)], IsolationLevel::ReadUncommitted).await;
    found.expect("the leader answers")[0].offset
}

async fn until_offset(client: &Client, t: &TopicPartition, spec: OffsetSpec, expected: i64) {
    let ask = async || (offset(client, t, spec).await == Some(Offset(expected))).then_some(());
    eventually(&format!("offset {expected} of {t}"), WAIT_MAX, ask).await;
}

async fn fetch_error(client: &Client, t: &TopicPartition, position: i64) -> ErrorCode {
    let partition = FetchPartition { fetch_offset: position, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = FetchTopic { topic: t.topic.clone(), partitions: vec![partition], ..Default::default() };
    let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let (leader, _) = client.leader(&t.topic, t.partition).await.expect("the partition has a leader");
    let options = CallOptions { max_version: Some(11), ..CallOptions::default() };
    let response = client.request(Node::Broker(leader), Lane::General, request, options).await.expect("an answer");
    ErrorCode(response.responses[0].partitions[0].error_code)
}

/// Offset, key and value.
type Text = (i64, String, Option<String>);

fn owned((offset, key, value): (i64, &str, Option<&str>)) -> Text {
    (offset, key.to_owned(), value.map(str::to_owned))
}

fn texts(records: &[KeptRecord]) -> Vec<Text> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).expect("only text was written");
    let record =
        |it: &KeptRecord| (it.offset.0, it.key.as_ref().map(text).unwrap_or_default(), it.value.as_ref().map(text));
    records.iter().map(record).collect()
}

async fn read(client: &Client, t: &TopicPartition) -> Vec<Text> {
    texts(&read_to_end(client, &t.topic, IsolationLevel::ReadUncommitted).await)
}

async fn until_read(client: &Client, t: &TopicPartition, expected: &[(i64, &str, Option<&str>)]) {
    let expected: Vec<_> = expected.iter().map(|&record| owned(record)).collect();
    let mut last = Vec::new();
    let started = tokio::time::Instant::now();
    while last != expected {
        assert!(started.elapsed() < WAIT_MAX, "{t} has {last:?} and not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = read(client, t).await;
    }
}

fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a broker judges the age of records by the wall clock")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since_1970.as_millis()).expect("the clock is right")
}

/// Enough for many checks of the logs, on a machine that is busy with other suites.
const WAIT_MAX: Duration = Duration::from_secs(60);
