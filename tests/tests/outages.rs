//! Outages: a route, a topic, a disk or the time of a process is gone for a while, on both brokers. Whatever a client
//! has stated about its records holds in the end, and it asks rarely meanwhile. `tests/FAULTS.md` lists all faults.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use conformance::ledger::{Ledger, Statement};
use conformance::reader::{create_topic, read_to_end};
use conformance::{TestBroker, client_config, eventually, on_both_brokers, outage_config, within};
use kafka_wire::client::{Client, ClientConfig, Consumer, GroupConsumer, Producer, ResetPolicy};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::{ConsumerConfig, IsolationLevel};
use kafka_wire::producer::{Acks, Delivery, ProducerConfig, ProducerRecord, RunsOn};
use kafka_wire::protocol::metadata::MetadataResponse;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message};
use kafka_wire::types::{Offset, PartitionId};
use kafka_wire::wire::{Reader, Str, Uuid, Writer};
use testkit::broker::{Broker, BrokerConfig};
use testkit::fault::{Action, Rule};
use testkit::proxy::{Proxy, Way};
use testkit::real::{RealConfig, RealKafka};
use tokio::time::{Instant, sleep};

on_both_brokers!(
    a_topic_that_vanishes_for_a_while_keeps_its_sequences,
    a_topic_that_is_made_anew_takes_what_is_sent_after_that,
    keys_follow_the_partitions_of_a_topic_that_is_made_anew,
    writers_without_every_acknowledgement_lose_and_double_only_what_they_may,
    batches_that_are_given_up_on_their_way_are_whole_if_they_arrive,
    a_record_behind_one_that_was_refused_is_sent_without_a_flush,
    a_route_that_is_lost_one_way_leaves_no_trace,
    a_full_disk_loses_nothing_that_was_acknowledged,
);

const WAIT: Duration = Duration::from_secs(60);
/// Most requests a second of one client, of all APIs together, during an outage.
const REQUESTS_A_SECOND_MAX: u64 = 60;

/// A client behind a proxy, another one that is not, and topics with one partition each.
struct Fixture {
    proxy: Proxy,
    client: Client,
    outside: Client,
    topics: Vec<String>,
    port: u16,
}

impl Fixture {
    async fn new(broker: &TestBroker, topics: usize) -> Self {
        let names = (0..topics).map(|_| broker.unique("t")).collect();
        Self::at(broker.bootstrap(), names).await
    }

    async fn at(bootstrap: &str, topics: Vec<String>) -> Self {
        let outside = Client::connect(client_config(bootstrap)).await.expect("the broker listens");
        for topic in &topics {
            create_topic(&outside, topic, 1).await;
        }
        let proxy = Proxy::default();
        proxy.limit_version(ApiKey::Metadata, METADATA_VERSION);
        let mut config = outage_config(bootstrap);
        config.request_timeout = Duration::from_millis(700);
        let client = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
        let port = bootstrap.rsplit(':').next().and_then(|port| port.parse().ok()).expect("host:port");
        Self { proxy, client, outside, topics, port }
    }

    /// Small batches, each sent at once.
    async fn producer(&self) -> Producer {
        let config = ProducerConfig { batch_size_bytes: 100, linger: Duration::ZERO, ..ProducerConfig::default() };
        Producer::open(&self.client, config).await.expect("a producer id")
    }

    async fn send(&self, producer: &Producer, value: &str) -> Delivery {
        let sent = producer.send(ProducerRecord::to(&self.topics[0]).value(value)).await.expect("there is room");
        tokio::task::yield_now().await;
        sent
    }

    /// The values of a topic, as somebody reads them who knows nothing of the outage.
    async fn values(&self, topic: &str) -> Vec<String> {
        let servers = self.outside.config().bootstrap_servers.join(",");
        let client = Client::connect(client_config(&servers)).await.expect("the broker listens");
        let records = read_to_end(&client, topic, IsolationLevel::ReadUncommitted).await;
        records.into_iter().map(|record| String::from_utf8(record.value.unwrap_or_default()).expect("text")).collect()
    }

    /// Watches the requests of the client for a while.
    async fn assert_few_requests(&self, what: &str, watched: Duration) {
        // The first attempts come at once.
        sleep(Duration::from_millis(300)).await;
        for left in (0..3).rev() {
            let (started, before) = (Instant::now(), self.proxy.all_requests());
            sleep(watched).await;
            let (count, watched) = (self.proxy.all_requests() - before, started.elapsed());
            let limit = REQUESTS_A_SECOND_MAX * u64::try_from(watched.as_millis()).expect("short") / 1_000;
            if count <= limit {
                return;
            }
            // On a busy machine the first attempts may come late, but only once.
            assert!(left > 0, "{what}: {count} requests in {watched:?}");
        }
    }
}

async fn written(delivery: Delivery) {
    within("an acknowledgement", WAIT, delivery).await.expect("it is written");
}

/// A broker that has just come back may not know a topic for a moment. Its partitions are the same ones afterwards,
/// which would take batches that count from zero again for repetitions.
async fn a_topic_that_vanishes_for_a_while_keeps_its_sequences(broker: TestBroker) {
    let fixture = Fixture::new(&broker, 1).await;
    let producer = fixture.producer().await;
    let (mut expected, mut deliveries) = (Vec::new(), Vec::new());
    for round in 0..3 {
        for number in 0..20 {
            if number == 10 {
                fixture.proxy.edit_all(ApiKey::Metadata, without_topics);
                let action = Action::Error(ErrorCode::NOT_LEADER_OR_FOLLOWER.0);
                fixture.proxy.inject(Rule { api_key: ApiKey::Produce.into(), nth: 1, action });
            }
            expected.push(format!("{round}/{number}"));
            deliveries.push(fixture.send(&producer, &expected[expected.len() - 1]).await);
        }
        fixture.assert_few_requests("the topic is not known", Duration::from_millis(500)).await;
        fixture.proxy.stop_editing(ApiKey::Metadata);
        for delivery in deliveries.drain(..) {
            written(delivery).await;
        }
    }
    assert!(fixture.proxy.is_spent());
    assert_eq!(fixture.values(&fixture.topics[0]).await, expected);
}

/// An answer to Metadata that knows none of the topics that were asked for.
fn without_topics(frame: Vec<u8>) -> Vec<u8> {
    let (head, body) = frame.split_at(METADATA_HEAD_BYTES);
    let body = Bytes::copy_from_slice(body);
    let mut response = MetadataResponse::decode(&mut Reader::new(&body), METADATA_VERSION).expect("a broker sent it");
    for topic in &mut response.topics {
        (topic.error_code, topic.topic_id) = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0, Uuid::default());
        topic.partitions.clear();
    }
    let mut writer = Writer::new();
    response.encode(&mut writer, METADATA_VERSION).expect("it was just decoded");
    let body = writer.into_bytes();
    let length = u32::try_from(head.len() + body.len() - LENGTH_BYTES).expect("short").to_be_bytes();
    [&length, &head[LENGTH_BYTES..], &body].concat()
}

async fn a_topic_that_is_made_anew_takes_what_is_sent_after_that(broker: TestBroker) {
    let fixture = Fixture::new(&broker, 1).await;
    let producer = fixture.producer().await;
    let topic = &fixture.topics[0];
    for number in 0..20 {
        written(fixture.send(&producer, &format!("old {number}")).await).await;
    }
    fixture.outside.delete_topics(&[Str::from(topic.as_str())]).await.expect("the cluster answers");
    // The leader takes records until it has heard of the deletion.
    eventually("the topic gone", WAIT, async || {
        let topics = fixture.outside.user_topics().await.expect("the cluster answers");
        topics.iter().all(|known| known.as_str() != topic.as_str()).then_some(())
    })
    .await;
    // A record for a topic that is not there waits for it.
    let waiting = fixture.send(&producer, "new 0").await;
    fixture.assert_few_requests("the topic is gone", Duration::from_millis(700)).await;
    let new = kafka_wire::admin::NewTopic::new(topic.as_str(), 1);
    eventually("the topic again", WAIT, async || {
        let outcomes = fixture.outside.create_topics(std::slice::from_ref(&new)).await.expect("the cluster answers");
        outcomes[0].1.is_ok().then_some(())
    })
    .await;
    written(waiting).await;
    let mut expected = vec!["new 0".to_owned()];
    for number in 1..20 {
        expected.push(format!("new {number}"));
        written(fixture.send(&producer, &expected[number]).await).await;
    }
    assert_eq!(fixture.values(topic).await, expected);
}

async fn keys_follow_the_partitions_of_a_topic_that_is_made_anew(broker: TestBroker) {
    let fixture = Fixture::new(&broker, 0).await;
    let producer = fixture.producer().await;
    let topic = broker.unique("t");
    create_topic(&fixture.outside, &topic, 3).await;
    let keys: Vec<String> = (0..10).map(|key| key.to_string()).collect();
    let send = async |key: &str| producer.send(ProducerRecord::to(&topic).key(key).value("x")).await.expect("room");
    for key in &keys {
        written(send(key).await).await;
    }
    fixture.outside.delete_topics(&[Str::from(topic.as_str())]).await.expect("the cluster answers");
    let new = kafka_wire::admin::NewTopic::new(topic.as_str(), 1);
    eventually("the topic again", WAIT, async || {
        let outcomes = fixture.outside.create_topics(std::slice::from_ref(&new)).await.expect("the cluster answers");
        outcomes[0].1.is_ok().then_some(())
    })
    .await;
    // A record that nobody takes lets the producer look the topic up.
    let nowhere = ProducerRecord::to(&topic).partition(PartitionId(2)).value("x");
    producer.send(nowhere).await.expect("it had three").forget();
    eventually("one partition", WAIT, async || (producer.partition_count(&topic).await.ok()? == 1).then_some(())).await;
    for key in &keys {
        written(send(key).await).await;
    }
}

async fn writers_without_every_acknowledgement_lose_and_double_only_what_they_may(broker: TestBroker) {
    const RECORDS: usize = 300;
    const BETWEEN_CUTS: usize = 25;
    for acks in [Acks::None, Acks::Leader] {
        let fixture = Fixture::new(&broker, 1).await;
        let small = ProducerConfig { batch_size_bytes: 100, linger: Duration::ZERO, ..ProducerConfig::default() };
        let producer = Producer::open(&fixture.client, ProducerConfig { acks, ..small }).await.expect("it opens");
        let mut deliveries = Vec::new();
        for number in 0..RECORDS {
            match number % BETWEEN_CUTS {
                24 => fixture.proxy.cut(),
                // Longer than a client takes to connect again.
                15 => sleep(Duration::from_millis(100)).await,
                // Some of them arrive before the next cut.
                20 => sleep(Duration::from_millis(20)).await,
                _ => {}
            }
            deliveries.push((number.to_string(), fixture.send(&producer, &number.to_string()).await));
        }
        let mut ledger = Ledger::default();
        for (name, delivery) in deliveries {
            ledger.enter(name, &within("an outcome", WAIT, delivery).await);
        }
        producer.close().await.expect("all were handed over");
        assert_eq!(ledger.count(Statement::Written), RECORDS);
        // Nobody tells when the last records without an acknowledgement are there.
        let log = at_rest(&fixture).await;
        let wrong = ledger.contradictions(log.iter().map(String::as_str));
        let may_be = |wrong: &String| match acks {
            // It is sent once, and its loss is not reported.
            Acks::None => wrong.ends_with("is acknowledged and lost"),
            // It is sent again without a sequence.
            _ => wrong.ends_with("times"),
        };
        let wrong: Vec<_> = wrong.iter().filter(|wrong| !may_be(wrong)).collect();
        assert!(wrong.is_empty(), "{acks:?}: {wrong:?}");
        if acks == Acks::None {
            let numbers: Vec<usize> = log.iter().map(|value| value.parse().expect("a number")).collect();
            assert!(numbers.len() > RECORDS / 2, "{} of {RECORDS}: {numbers:?}", numbers.len());
            // Kafka may read what is left in connections that were cut beside the records of the next one.
            assert!(broker.kind().is_kafka() || numbers.is_sorted(), "{numbers:?}");
        }
    }
}

/// The log, once nothing has been added to it for a while.
async fn at_rest(fixture: &Fixture) -> Vec<String> {
    let mut log = fixture.values(&fixture.topics[0]).await;
    let reading = async {
        loop {
            sleep(Duration::from_millis(300)).await;
            let now = fixture.values(&fixture.topics[0]).await;
            if now == log {
                return now;
            }
            log = now;
        }
    };
    within("a log at rest", WAIT, reading).await
}

/// Time runs out for batches that are half way in a connection, and their memory is used for others. Source:
/// KAFKA-19012, by which records of one topic were stored in another.
async fn batches_that_are_given_up_on_their_way_are_whole_if_they_arrive(broker: TestBroker) {
    const ROUNDS: usize = 5;
    const RECORDS_A_ROUND: usize = 40;
    let fixture = Fixture::new(&broker, 3).await;
    let config = ProducerConfig {
        batch_size_bytes: 16 * 1024,
        linger: Duration::from_millis(1),
        buffer_limit_bytes: 512 * 1024,
        delivery_timeout: Duration::from_millis(300),
        ..ProducerConfig::default()
    };
    let producer = Producer::open(&fixture.client, config).await.expect("a producer id");
    let mut ledger = Ledger::default();
    let start = Instant::now();
    // On a busy machine, time runs out for records without an outage, too: more rounds then have none.
    for round in 0.. {
        if round >= ROUNDS && ledger.count(Statement::Written) >= RECORDS_A_ROUND {
            break;
        }
        assert!(start.elapsed() < WAIT, "{ledger:?}");
        let mut deliveries = Vec::new();
        if (1..ROUNDS).contains(&round) {
            fixture.proxy.lose_route(fixture.port, Way::Requests);
        }
        for number in 0..RECORDS_A_ROUND {
            let topic = &fixture.topics[number % fixture.topics.len()];
            let name = format!("{topic}/{round}/{number}");
            let record = whole(&name);
            deliveries.push((name, producer.send(ProducerRecord::to(topic).value(&record)).await.expect("room")));
        }
        // Connections are given up before all that was written to them is delivered, or after that.
        sleep(Duration::from_millis(if round % 2 == 0 { 200 } else { 900 })).await;
        fixture.proxy.heal();
        for (name, delivery) in deliveries {
            ledger.enter(name, &within("an outcome", WAIT, delivery).await);
        }
    }
    assert!(ledger.count(Statement::Written) < ROUNDS * RECORDS_A_ROUND, "nothing was given up");
    let mut names = Vec::new();
    for topic in &fixture.topics {
        for value in fixture.values(topic).await {
            let name = value.split(' ').next().expect("a name").to_owned();
            assert!(value == whole(&name) && name.starts_with(topic.as_str()), "{topic} has {name}, {value}");
            names.push(name);
        }
    }
    assert_eq!(ledger.contradictions(names.iter().map(String::as_str)), [""; 0]);
}

async fn a_record_behind_one_that_was_refused_is_sent_without_a_flush(broker: TestBroker) {
    let fixture = Fixture::new(&broker, 1).await;
    let producer = fixture.producer().await;
    for round in 0..3 {
        let refused = fixture.send(&producer, &"x".repeat(2_000_000)).await;
        let refused = within("a refusal", WAIT, refused).await.expect_err("it exceeds max.message.bytes");
        assert!(refused.is_too_large(), "{refused}");
        written(fixture.send(&producer, &round.to_string()).await).await;
    }
    assert_eq!(fixture.values(&fixture.topics[0]).await, ["0", "1", "2"]);
}

/// The value of a record of this name: it has the name in every part.
fn whole(name: &str) -> String {
    format!("{name} ").repeat(200)
}

/// One direction at a time, or both: what is on its way waits, and new connections are not established.
async fn a_route_that_is_lost_one_way_leaves_no_trace(broker: TestBroker) {
    let lose = async |way: Way| {
        const RECORDS: usize = 60;
        let fixture = Fixture::new(&broker, 1).await;
        let producer = fixture.producer().await;
        let mut consumer = Consumer::new(fixture.client.clone(), ConsumerConfig::default());
        consumer.assign(TopicPartition::new(fixture.topics[0].as_str(), PartitionId(0)), Offset(0));
        let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
        let mut deliveries = Vec::new();
        for (number, value) in expected.iter().enumerate() {
            deliveries.push(fixture.send(&producer, value).await);
            if number == 20 {
                fixture.proxy.lose_route(fixture.port, way);
            }
        }
        // Longer than the timeout of requests, so that connections are given up and others are tried.
        fixture.assert_few_requests(&format!("{way:?} are lost"), Duration::from_millis(1_500)).await;
        fixture.proxy.heal();
        for delivery in deliveries {
            written(delivery).await;
        }
        assert_eq!(fixture.values(&fixture.topics[0]).await, expected, "{way:?} were lost");
        let mut next_offset = Offset(0);
        while next_offset < Offset(i64::try_from(RECORDS).expect("few")) {
            let mut fetched = within("data", WAIT, consumer.poll()).await.expect("it can be read");
            while let Some(batch) = fetched.next_batch() {
                batch.expect("no batch is corrupt");
            }
            next_offset = fetched.next_offset();
        }
    };
    tokio::join!(lose(Way::Requests), lose(Way::Answers), lose(Way::Both));
}

/// The embedded broker's memory is full until a topic is deleted. Apache Kafka may write no file beyond a size, as on a
/// disk without room; it ends then, and is started again on a disk with room.
async fn a_full_disk_loses_nothing_that_was_acknowledged(broker: TestBroker) {
    match broker.kind().is_kafka() {
        true => match RealKafka::start(RealConfig::default()).await {
            Ok(node) => a_node_without_room_comes_back(node).await,
            Err(unavailable) => conformance::skip("a node of its own", &unavailable.to_string()),
        },
        false => a_broker_without_memory_gets_some(&broker).await,
    }
}

const LARGE_BYTES: usize = 100_000;

async fn a_node_without_room_comes_back(mut node: RealKafka) {
    const ROOM_BYTES: u64 = 12 << 20;
    const RECORDS: usize = 160;
    let fixture = Fixture::at(node.bootstrap(), vec!["full".to_owned()]).await;
    let producer = fixture.producer().await;
    node.limit_files(ROOM_BYTES).expect("the limit of a process can be lowered");
    let names: Vec<String> = (0..RECORDS).map(|number| format!("{number} {}", "x".repeat(LARGE_BYTES))).collect();
    let mut deliveries = Vec::new();
    for name in &names {
        deliveries.push(fixture.send(&producer, name).await);
    }
    let mut node = tokio::task::spawn_blocking(move || node.wait_for_end_blocking(WAIT).map(|()| node))
        .await
        .expect("a wait does not panic")
        .expect("a broker that cannot write ends");
    assert!(node.log().contains("have failed"), "{}", node.log());
    fixture.assert_few_requests("the broker is gone", Duration::from_millis(700)).await;
    let _node = tokio::task::spawn_blocking(move || node.start_again_blocking().map(|()| node))
        .await
        .expect("a start does not panic")
        .expect("there is room again");
    for delivery in deliveries {
        written(delivery).await;
    }
    assert!(fixture.values("full").await == names, "each once, in order");
}

async fn a_broker_without_memory_gets_some(broker: &TestBroker) {
    const RECORDS: usize = 40;
    let config = BrokerConfig { memory_bytes: 16 << 20, ..BrokerConfig::default() };
    let small = Broker::start(config).await.expect("a port is free");
    let fixture = Fixture::at(&small.address(), vec![broker.unique("t"), "ballast".to_owned()]).await;
    let producer = fixture.producer().await;
    let large = "x".repeat(LARGE_BYTES);
    for _ in 0..130 {
        written(producer.send(ProducerRecord::to("ballast").value(&large)).await.expect("there is room")).await;
    }
    let names: Vec<String> = (0..RECORDS).map(|number| format!("{number} {large}")).collect();
    let mut deliveries = Vec::new();
    for name in &names {
        deliveries.push(fixture.send(&producer, name).await);
    }
    fixture.assert_few_requests("the memory is full", Duration::from_millis(700)).await;
    assert!(fixture.values(&fixture.topics[0]).await.len() < RECORDS, "there was room for all");
    fixture.outside.delete_topics(&[Str::from("ballast")]).await.expect("the broker answers");
    for delivery in deliveries {
        written(delivery).await;
    }
    assert!(fixture.values(&fixture.topics[0]).await == names, "each once, in order");
}

/// The machine sleeps for an hour, client and broker with it, and every timeout of both is over at once. The time of
/// day of a machine may jump as it likes: no client looks at it but for timestamps.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_an_hour_causes_no_storm() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port of the loopback is free");
    let client = Client::connect_with(ClientConfig::new("nowhere.invalid:1"), std::sync::Arc::new(broker.pipe()));
    let client = client.await.expect("the pipe leads to the broker");
    create_topic(&client, "jump", 1).await;
    let config = ProducerConfig { runs_on: RunsOn::CallersRuntime, ..ProducerConfig::default() };
    let producer = Producer::open(&client, config).await.expect("a producer id");
    let mut consumer = GroupConsumer::builder("g")
        .topics(["jump"])
        .auto_offset_reset(ResetPolicy::Earliest)
        .session_timeout(Duration::from_secs(6), Duration::from_secs(2))
        .build(client.clone())
        .await
        .expect("a consumer");
    let mut read = BTreeSet::new();
    for number in 0..40 {
        let record = number.to_string();
        let delivery = producer.send(ProducerRecord::to("jump").value(&record)).await.expect("there is room");
        if number % 10 == 9 {
            let before = client.metrics().requests();
            tokio::time::advance(Duration::from_secs(3_600)).await;
            let jumped = Instant::now();
            while jumped.elapsed() < Duration::from_secs(10) {
                if let Ok(Ok(record)) = tokio::time::timeout(Duration::from_millis(100), consumer.next()).await {
                    read.insert(record.offset);
                }
            }
            let count = client.metrics().requests() - before;
            assert!(count <= 10 * REQUESTS_A_SECOND_MAX, "{count} requests in the ten seconds after a jump");
        }
        // A batch whose time was over in the jump fails, and says so.
        let _ = within("an outcome", WAIT, delivery).await;
    }
    // Everything goes on: a member of another life joins again, and no record is left out.
    written(producer.send(ProducerRecord::to("jump").value("last")).await.expect("there is room")).await;
    let records = read_to_end(&client, "jump", IsolationLevel::ReadUncommitted).await;
    let expected: BTreeSet<Offset> = records.iter().map(|record| record.offset).collect();
    while read != expected {
        read.insert(within("a record", WAIT, consumer.next()).await.expect("it goes on").offset);
    }
}

/// A version of Metadata with topic ids; the head of its answer is length, correlation id and an empty list of tags.
const METADATA_VERSION: i16 = 12;
const LENGTH_BYTES: usize = 4;
const METADATA_HEAD_BYTES: usize = LENGTH_BYTES + 4 + 1;
