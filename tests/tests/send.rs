//! The general producer: the outcome of every record, many tasks on one producer, waiting for room in the buffer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use conformance::reader::{KeptRecord, create_topic, read_to_end};
use conformance::{TestBroker, client_config, eventually, on_both_brokers, on_every_broker, test_on, within};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, GroupOffsets, MetadataError, Producer, SendError, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::consumer::IsolationLevel::{ReadCommitted, ReadUncommitted};
use kafka_wire::producer::{
    Acks, CustomPartitioner, DeliveryCause, FlushError, NotReady, Partitioner, Partitioning, ProducerConfig,
    ProducerRecord, RunsOn, partition_for_key,
};
use kafka_wire::protocol::ApiKey;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use testkit::broker::Broker;
use testkit::fault::{Action, Rule};

on_both_brokers!(
    every_record_is_told_where_it_lies,
    many_tasks_share_a_producer_and_each_keeps_its_order,
    records_without_a_key_fill_batches_and_reach_every_partition,
    each_way_of_choosing_a_partition_is_kept,
    a_record_that_is_refused_is_told_apart_from_the_others,
    every_level_of_acks_writes,
    a_topic_that_is_missing_is_an_error_that_names_it,
    a_closed_producer_takes_nothing,
);

on_every_broker!(transactions_are_all_or_nothing);

/// Faults are ordered from the embedded broker.
macro_rules! on_the_embedded_broker {
    ($($body:ident),+ $(,)?) => {
        $(mod $body { super::test_on!(embedded_tv2, EmbeddedTv2, super::$body); })+
    };
}

on_the_embedded_broker!(
    a_full_buffer_makes_send_wait_and_then_fail,
    waiting_for_room_does_not_cut_other_batches_short,
    room_that_is_given_and_not_taken_is_for_the_next_one,
    what_is_cut_off_says_whether_it_may_be_written,
    a_sender_whose_runtime_is_gone_is_an_error_that_says_so,
);

struct Fixture {
    broker: TestBroker,
    client: Client,
    topic: String,
}

impl Fixture {
    async fn new(broker: TestBroker) -> Self {
        let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
        let topic = broker.unique("t");
        create_topic(&client, &topic, PARTITIONS).await;
        Self { broker, client, topic }
    }

    async fn open(&self, config: ProducerConfig) -> Producer {
        Producer::open(&self.client, config).await.expect("a producer id")
    }

    async fn read(&self) -> Vec<KeptRecord> {
        read_to_end(&self.client, &self.topic, ReadUncommitted).await
    }

    fn record<'a>(&'a self, value: &'a str) -> ProducerRecord<'a> {
        ProducerRecord::to(&self.topic).value(value)
    }

    /// Leaves the next Produce request without a response, and so the later ones on its connection.
    fn silence(&self) -> &Broker {
        let embedded = self.broker.embedded().expect("this test runs on the embedded broker");
        embedded.inject(Rule { api_key: ApiKey::Produce as i16, nth: 1, action: Action::DropRequest });
        embedded
    }
}

fn value(record: &KeptRecord) -> &str {
    str::from_utf8(record.value.as_deref().expect("a value")).expect("text")
}

async fn every_record_is_told_where_it_lies(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let producer = fixture.open(ProducerConfig { batch_size_bytes: 2_000, ..ProducerConfig::default() }).await;
    let mut deliveries = Vec::new();
    for number in 0..1_000 {
        let (key, value) = (format!("key {number}"), number.to_string());
        let record = fixture.record(&value).key(&key).timestamp(TimestampMs(1_000 + number)).header("number", &value);
        deliveries.push(producer.send(record).await.expect("it is taken"));
    }
    let mut told = BTreeMap::new();
    for (number, delivery) in (0..).zip(deliveries) {
        let written = within("an acknowledgement", WAIT, delivery).await.expect("it is written");
        assert_eq!(written.partition, partition_for_key(format!("key {number}").as_bytes(), PARTITIONS));
        assert_eq!(written.timestamp, TimestampMs(1_000 + number));
        told.insert((written.partition, written.offset.expect("it was not repeated")), number.to_string());
    }
    let read: BTreeMap<_, _> = fixture
        .read()
        .await
        .iter()
        .map(|record| ((record.partition, record.offset), value(record).to_owned()))
        .collect();
    assert_eq!(told, read);
}

async fn many_tasks_share_a_producer_and_each_keeps_its_order(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let config = ProducerConfig { batch_size_bytes: 3_000, buffer_limit_bytes: 20_000, ..ProducerConfig::default() };
    let producer = fixture.open(config).await;
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (producer, topic) = (producer.clone(), fixture.topic.clone());
            tokio::spawn(async move {
                for number in 0..2_000 {
                    let (key, value) = (task.to_string(), format!("{task} {number:05}"));
                    producer
                        .send(ProducerRecord::to(&topic).key(&key).value(&value))
                        .await
                        .expect("it is taken")
                        .forget();
                }
            })
        })
        .collect();
    for task in tasks {
        within("a task", WAIT, task).await.expect("it ends well");
    }
    within("every acknowledgement", WAIT, producer.close()).await.expect("all are written");
    let read = fixture.read().await;
    for task in 0..4 {
        let key = task.to_string();
        let of_task = read.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        assert!(of_task.map(value).eq((0..2_000).map(|number| format!("{task} {number:05}"))), "task {task}");
    }
}

async fn records_without_a_key_fill_batches_and_reach_every_partition(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let producer = fixture.open(ProducerConfig { batch_size_bytes: 5_000, ..ProducerConfig::default() }).await;
    let text = "x".repeat(100);
    for _ in 0..20_000 {
        producer.send(fixture.record(&text)).await.expect("it is taken").forget();
    }
    producer.flush().await.expect("all are written");
    let read = fixture.read().await;
    assert_eq!(read.len(), 20_000);
    for partition in 0..PARTITIONS {
        let share = read.iter().filter(|record| record.partition == PartitionId(partition)).count();
        assert!((3_000..11_000).contains(&share), "partition {partition} has {share} of 20,000");
    }
    assert!(
        read.iter().all(|record| record.timestamp.0 > 1_700_000_000_000),
        "they have the time at which they were sent"
    );
}

struct ByLength;

impl Partitioner for ByLength {
    fn partition(&self, _: &str, _: Option<&[u8]>, value: Option<&[u8]>, partition_count: i32) -> PartitionId {
        let length = i32::try_from(value.map_or(0, <[u8]>::len)).expect("short");
        // Keys longer than four bytes go to a partition that does not exist.
        PartitionId(if length > 4 { partition_count } else { length % partition_count })
    }
}

async fn each_way_of_choosing_a_partition_is_kept(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let in_turn =
        fixture.open(ProducerConfig { partitioning: Partitioning::RoundRobin, ..ProducerConfig::default() }).await;
    let mut partitions = Vec::new();
    for _ in 0..6 {
        let delivery = in_turn.send(fixture.record("x").key("same")).await.expect("it is taken");
        partitions.push(delivery.await.expect("it is written").partition.0);
    }
    assert_eq!(partitions, [0, 1, 2, 0, 1, 2]);
    let partitioning = Partitioning::Custom(CustomPartitioner(Arc::new(ByLength)));
    let custom = fixture.open(ProducerConfig { partitioning, ..ProducerConfig::default() }).await;
    for (text, partition) in [("", 0), ("1", 1), ("12", 2), ("1234", 1)] {
        let delivery = custom.send(fixture.record(text)).await.expect("it is taken");
        assert_eq!(delivery.await.expect("it is written").partition, PartitionId(partition), "{text}");
    }
    let explicit = custom.send(fixture.record("12").partition(PartitionId(0))).await.expect("it is taken");
    assert_eq!(explicit.await.expect("it is written").partition, PartitionId(0));
    let nowhere = custom.send(fixture.record("12345")).await.expect_err("there is no such partition");
    let partition = TopicPartition::new(fixture.topic.as_str(), PartitionId(PARTITIONS));
    assert_eq!(nowhere, SendError::UnknownPartition { partition, count: PARTITIONS });
}

async fn a_record_that_is_refused_is_told_apart_from_the_others(broker: TestBroker) {
    let mut fixture = Fixture::new(broker).await;
    fixture.topic = fixture.broker.unique("small");
    let mut small = NewTopic::new(fixture.topic.as_str(), 1);
    small.configs = vec![("max.message.bytes".into(), "2000".into())];
    for (_, outcome) in fixture.client.create_topics(&[small]).await.expect("the cluster answers") {
        outcome.expect("the topic is created");
    }
    let producer = fixture.open(ProducerConfig::default()).await;
    let (short, long) = ("s".repeat(100), "l".repeat(3_000));
    let mut deliveries = Vec::new();
    for number in 0..60 {
        let text = if number % 20 == 7 { &long } else { &short };
        deliveries.push(producer.send(fixture.record(text)).await.expect("it is taken"));
    }
    let mut refused = Vec::new();
    let mut offsets = BTreeSet::new();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        match within("an outcome", WAIT, delivery).await {
            Ok(written) => assert!(offsets.insert(written.offset.expect("it was not repeated"))),
            Err(error) => {
                assert!(error.is_too_large() && !error.possibly_written, "{error}");
                refused.push(number);
            }
        }
    }
    assert_eq!(refused, [7, 27, 47]);
    assert_eq!(offsets, (0..57).map(Offset).collect());
    let flushed = producer.flush().await.expect_err("three records are lost");
    assert!(matches!(flushed, FlushError::Delivery { failed_records: 3, .. }), "{flushed}");
    assert_eq!(fixture.read().await.len(), 57);
}

async fn every_level_of_acks_writes(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    // `Acks::None` comes last: a broker that does not know yet that it leads a new topic refuses, and without acks
    // the client does not learn of that.
    for (acks, idempotence) in [(Acks::All, true), (Acks::All, false), (Acks::Leader, true), (Acks::None, true)] {
        let config = ProducerConfig { acks, idempotence, batch_size_bytes: 1_000, ..ProducerConfig::default() };
        let producer = fixture.open(config).await;
        let mut deliveries = Vec::new();
        for number in 0..500 {
            let text = format!("{acks:?} {idempotence} {number:04}");
            deliveries.push(producer.send(fixture.record(&text).key("k")).await.expect("it is taken"));
        }
        for delivery in deliveries {
            let written = within("an outcome", WAIT, delivery).await.expect("it is written");
            assert_eq!(written.offset.is_some(), acks != Acks::None);
        }
        producer.close().await.expect("all are written");
    }
    // With acks=0, nobody reports when the records have arrived.
    let read = eventually("all records", WAIT, async || {
        let read = fixture.read().await;
        (read.len() == 2_000).then_some(read)
    })
    .await;
    let mut ordered: Vec<&str> = read.iter().map(value).collect();
    ordered.sort_unstable();
    ordered.dedup();
    assert_eq!(ordered.len(), 2_000);
}

async fn a_topic_that_is_missing_is_an_error_that_names_it(broker: TestBroker) {
    let mut config = client_config(broker.bootstrap());
    config.missing_topic_timeout = Duration::from_millis(300);
    let client = Client::connect(config).await.expect("the broker listens");
    let producer = Producer::open(&client, ProducerConfig::default()).await.expect("a producer id");
    let missing = broker.unique("missing");
    let error = producer.send(ProducerRecord::to(&missing)).await.expect_err("there is no such topic");
    assert_eq!(error, SendError::Topic(MetadataError::UnknownTopic(missing.as_str().into())));
    assert!(error.to_string().contains(&missing), "{error}");
    // A caller that does not wait is told to try again.
    let topic = broker.unique("t");
    let patient = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
    create_topic(&patient, &topic, 1).await;
    let early = producer.try_send(ProducerRecord::to(&topic)).expect_err("it is new to the producer");
    assert!(early.is_retriable(), "{early}");
    let delivery = eventually("the topic", WAIT, async || producer.try_send(ProducerRecord::to(&topic)).ok()).await;
    delivery.await.expect("it is written");
}

async fn a_closed_producer_takes_nothing(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let producer = fixture.open(ProducerConfig::default()).await;
    let other = producer.clone();
    let delivery = producer.send(fixture.record("last")).await.expect("it is taken");
    within("the end", WAIT, producer.close()).await.expect("all are written");
    assert!(matches!(delivery.now(), Some(Ok(_))), "closing waits for it");
    assert_eq!(other.send(fixture.record("late")).await.err(), Some(SendError::Closed));
    assert_eq!(other.try_send(fixture.record("late")).err(), Some(SendError::Closed));
    let counted = within("an answer", WAIT, other.partition_count("a topic that is new to it")).await;
    assert_eq!(counted.err(), Some(SendError::Closed));
    assert_eq!(other.flush().await, Err(FlushError::NotReady(NotReady::Finished)));
    other.close().await.expect("it is closed already");
}

async fn a_full_buffer_makes_send_wait_and_then_fail(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let max_block = Duration::from_millis(300);
    let config = ProducerConfig { buffer_limit_bytes: 5_000, max_block, ..ProducerConfig::default() };
    let producer = fixture.open(config).await;
    producer.partition_count(&fixture.topic).await.expect("the topic is there");
    fixture.silence();
    let text = "x".repeat(1_000);
    let mut deliveries = Vec::new();
    let full = loop {
        match within("room, or the end of the wait", WAIT, producer.send(fixture.record(&text))).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => break error,
        }
    };
    assert_eq!(deliveries.len(), 4, "5,000 bytes are the bound");
    let SendError::BufferFull { limit_bytes: 5_000, waited } = full else { panic!("{full:?}") };
    assert!(waited >= max_block, "{waited:?}");
    let words = full.to_string();
    assert!(words.contains("buffer.memory") && words.contains("max.block.ms"), "{words}");
    let at_once = producer.try_send(fixture.record(&text)).expect_err("there is no room");
    assert_eq!(at_once, SendError::BufferFull { limit_bytes: 5_000, waited: Duration::ZERO });
    let huge = "x".repeat(6_000);
    let error = producer.send(fixture.record(&huge)).await.expect_err("it will never fit");
    assert!(matches!(error, SendError::RecordTooLarge { limit_bytes: 5_000, .. }), "{error}");
}

async fn room_that_is_given_and_not_taken_is_for_the_next_one(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let producer = fixture.open(ProducerConfig { buffer_limit_bytes: 5_000, ..ProducerConfig::default() }).await;
    producer.partition_count(&fixture.topic).await.expect("the topic is there");
    let embedded = fixture.broker.embedded().expect("this test runs on the embedded broker");
    let late = Action::Delay(Duration::from_secs(5));
    embedded.inject(Rule { api_key: ApiKey::Produce as i16, nth: 1, action: late });
    let text = "x".repeat(3_000);
    let sent = producer.send(fixture.record(&text)).await.expect("there is room");
    let mut first = Box::pin(producer.send(fixture.record(&text)));
    let mut second = Box::pin(producer.send(fixture.record(&text)));
    for waiting in [&mut first, &mut second] {
        let polled = tokio::time::timeout(Duration::from_millis(10), waiting).await;
        assert!(polled.is_err(), "there is no room");
    }
    within("an acknowledgement", WAIT, sent).await.expect("it is written");
    // By now, it is the turn of the first one, which gives up before it looks.
    tokio::time::sleep(Duration::from_millis(5)).await;
    drop(first);
    within("room", Duration::from_secs(10), second).await.expect("there is room").forget();
    producer.close().await.expect("all is written");
}

async fn waiting_for_room_does_not_cut_other_batches_short(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (linger, batch_size_bytes, buffer_limit_bytes) = (Duration::from_secs(60), 3_000, 20_000);
    let config = ProducerConfig { linger, batch_size_bytes, buffer_limit_bytes, ..ProducerConfig::default() };
    let producer = fixture.open(config).await;
    let text = "x".repeat(100);
    // The batches of partition 0 are full, sent and acknowledged again and again; partition 1 fills its own slowly.
    for number in 0..2_000 {
        let partition = PartitionId(i32::from(number % 10 == 9));
        let sent = producer.send(fixture.record(&text).partition(partition));
        within("room", WAIT, sent).await.expect("there is room").forget();
    }
    within("the acknowledgements", WAIT, producer.flush()).await.expect("all are written");
    let batches = producer.metrics().topics.values().map(|topic| topic.batches).sum::<u64>();
    assert!(batches < 100, "2,000 records fill some 75 batches, and went in {batches}");
    // With nothing in flight, open batches that take all of the room are closed.
    producer.close().await.expect("all are written");
    let config = ProducerConfig { linger, buffer_limit_bytes, ..ProducerConfig::default() };
    let producer = fixture.open(config).await;
    for number in 0..300 {
        let sent = producer.send(fixture.record(&text).partition(PartitionId(number % PARTITIONS)));
        within("room", WAIT, sent).await.expect("there is room").forget();
    }
    producer.close().await.expect("all are written");
}

async fn what_is_cut_off_says_whether_it_may_be_written(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let producer = fixture.open(ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() }).await;
    producer.send(fixture.record("first")).await.expect("it is taken").await.expect("it is written");
    let lingering = ProducerConfig { linger: Duration::from_secs(600), ..ProducerConfig::default() };
    let lingering = fixture.open(lingering).await;
    let unsent = lingering.send(fixture.record("never sent")).await.expect("it is taken");
    lingering.close_now().await;
    let error = within("an outcome", WAIT, unsent).await.expect_err("it was not sent");
    assert_eq!((error.cause, error.possibly_written), (DeliveryCause::Ended, false));
    let embedded = fixture.silence();
    let sent = producer.send(fixture.record("no answer")).await.expect("it is taken");
    eventually("the request", WAIT, async || embedded.faults_are_spent().then_some(())).await;
    drop(producer);
    let error = within("an outcome", WAIT, sent).await.expect_err("nobody answered");
    assert_eq!((error.cause, error.possibly_written), (DeliveryCause::Ended, true));
}

async fn a_sender_whose_runtime_is_gone_is_an_error_that_says_so(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let (bootstrap, topic) = (fixture.broker.bootstrap().to_owned(), fixture.topic.clone());
    let orphan = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = Client::connect(client_config(&bootstrap)).await.expect("the broker listens");
            let config = ProducerConfig { runs_on: RunsOn::CallersRuntime, ..ProducerConfig::default() };
            let producer = Producer::open(&client, config).await.expect("a producer id");
            producer.send(ProducerRecord::to(&topic)).await.expect("it is taken").await.expect("it is written");
            producer
        })
    };
    let producer = tokio::task::spawn_blocking(orphan).await.expect("it was written");
    let error = producer.send(fixture.record("late")).await.expect_err("nobody sends");
    assert_eq!(error, SendError::Stopped);
    assert!(error.to_string().contains("background task has ended"), "{error}");
    let error = producer.flush().await.expect_err("nobody sends");
    assert!(error.to_string().contains("background task has ended"), "{error}");
}

async fn transactions_are_all_or_nothing(broker: TestBroker) {
    let fixture = Fixture::new(broker).await;
    let group = GroupMetadata::without_membership(fixture.broker.unique("g").as_str());
    let producer = fixture.open(ProducerConfig::transactional(fixture.broker.unique("tx").as_str())).await;
    assert_eq!(producer.send(fixture.record("early")).await.err(), Some(SendError::NotInTransaction));
    for (number, is_committed) in [(1, true), (2, false), (3, true)] {
        producer.begin_transaction().expect("none is open");
        for part in ["a", "b"] {
            let text = format!("{number}{part}");
            // The acknowledgement comes although nothing flushes.
            let delivery = producer.send(fixture.record(&text).key("k")).await.expect("it is taken");
            within("an acknowledgement", WAIT, delivery).await.expect("it is written");
        }
        let input = TopicPartition::new(fixture.topic.as_str(), PartitionId(0));
        for offset in [number, number + 10] {
            let offsets = [(input.clone(), CommittedOffset::new(Offset(offset)))];
            producer.send_offsets_to_transaction(GroupOffsets { group: &group, offsets: &offsets });
        }
        match is_committed {
            true => within("a commit", WAIT, producer.commit_transaction()).await.expect("it is committed"),
            false => within("an abort", WAIT, producer.abort_transaction()).await.expect("it is aborted"),
        }
    }
    // A commit is answered before its markers are written.
    eventually("the committed records", WAIT, async || {
        let read = read_to_end(&fixture.client, &fixture.topic, ReadCommitted).await;
        read.iter().map(value).eq(["1a", "1b", "3a", "3b"]).then_some(())
    })
    .await;
    let input = TopicPartition::new(fixture.topic.as_str(), PartitionId(0));
    let committed =
        fetch_offsets(&fixture.client, &group.group_id, std::slice::from_ref(&input)).await.expect("they are kept");
    let committed: Vec<_> = committed.into_iter().map(|(_, committed)| committed).collect();
    assert_eq!(committed[0].as_ref().map(|committed| committed.offset), Some(Offset(13)));
}

const PARTITIONS: i32 = 3;
const WAIT: Duration = Duration::from_secs(60);
