//! The client without async, on both brokers.

#[path = "../../kafka-wire/examples/blocking.rs"]
mod example;

use std::time::Duration;

use conformance::{TestBroker, client_config, on_both_brokers};
use kafka_wire::admin::{GroupFilter, NewTopic, OffsetSpec};
use kafka_wire::blocking::Client;
use kafka_wire::client::{ConsumerConfig, GroupConsumer, GroupConsumerConfig, GroupOffsets, ResetPolicy, Subscription};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::producer::{NewRecord, ProducerConfig, ProducerRecord};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::record::Record;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use kafka_wire::wire::Str;
use tokio::time::Instant;

on_both_brokers!(
    threads_share_a_producer,
    records_are_read_and_moved_in_a_transaction,
    a_session_and_the_handles_of_one_owner_block,
    a_poll_ends_when_its_time_is_over,
    the_example_runs,
);

/// Runs a body on a thread where blocking is allowed; the broker lives on.
async fn without_async(broker: &TestBroker, body: impl FnOnce(String) + Send + 'static) {
    let bootstrap = broker.bootstrap().to_owned();
    tokio::task::spawn_blocking(move || body(bootstrap)).await.expect("it does not panic");
}

fn connect(bootstrap: &str) -> Client {
    Client::connect(client_config(bootstrap)).expect("the broker listens")
}

fn create(client: &Client, topic: &str) {
    let outcomes = client.admin().create_topics(&[NewTopic::new(topic, 1)]).expect("an answer");
    outcomes[0].1.clone().expect("it is new");
}

fn reader(group: &str, topic: &str) -> GroupConsumerConfig {
    let mut config = GroupConsumerConfig::new(group, Subscription::Topics(vec![topic.into()]));
    config.auto_offset_reset = ResetPolicy::Earliest;
    config.isolation = IsolationLevel::ReadCommitted;
    config
}

async fn threads_share_a_producer(broker: TestBroker) {
    let topic = broker.unique("shared");
    without_async(&broker, move |bootstrap| {
        let client = connect(&bootstrap);
        create(&client, &topic);
        let producer = client.producer(ProducerConfig::default()).expect("it opens");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        producer.send(ProducerRecord::to(&topic).value("value")).expect("there is room").forget();
                    }
                    producer
                        .send(ProducerRecord::to(&topic).value("last"))
                        .expect("there is room")
                        .wait()
                        .expect("written");
                });
            }
        });
        producer.flush().expect("all are written");
        assert_eq!(producer.metrics().topics[topic.as_str()].records, 1_004);
        producer.close().expect("nothing is left");
        assert!(client.metrics().requests() > 3);
    })
    .await;
}

async fn records_are_read_and_moved_in_a_transaction(broker: TestBroker) {
    let (input, output) = (broker.unique("input"), broker.unique("output"));
    let (group, id) = (broker.unique("group"), broker.unique("mover"));
    without_async(&broker, move |bootstrap| {
        let client = connect(&bootstrap);
        create(&client, &input);
        create(&client, &output);
        let producer = client.producer(ProducerConfig::default()).expect("it opens");
        for value in ["one", "two"] {
            producer.send(ProducerRecord::to(&input).value(value)).expect("there is room").wait().expect("written");
        }
        producer.close().expect("nothing is left");

        let mover = client.producer(ProducerConfig::transactional(id)).expect("it opens");
        let mut config = reader(&group, &input);
        config.auto_commit_interval = None;
        let mut consumer = client.group_consumer(config).expect("it starts");
        mover.begin_transaction().expect("none is open");
        for _ in 0..2 {
            let record = consumer.next(WAIT).expect("no error").expect("a record");
            let value = record.value.expect("it has one");
            mover.send(ProducerRecord::to(&output).value(&value)).expect("there is room").forget();
        }
        let offsets = consumer.uncommitted();
        mover.send_offsets_to_transaction(GroupOffsets { group: &consumer.group_metadata(), offsets: &offsets });
        mover.commit_transaction().expect("nobody interferes");
        consumer.mark_committed(&offsets);
        let partition = TopicPartition::new(input.as_str(), PartitionId(0));
        let committed = consumer.committed(&[partition]).expect("an answer");
        assert_eq!(committed[0].1.as_ref().map(|committed| committed.offset.0), Some(2));
        consumer.close().expect("it leaves");
        mover.close().expect("nothing is open");

        let mut check = client.group_consumer(reader(&format!("{group}-check"), &output)).expect("it starts");
        assert_eq!(check.next(WAIT).expect("no error").expect("a record").value.as_deref(), Some(&b"one"[..]));
        assert!(check.next_batch(WAIT).expect("no error").is_some());
        check.close().expect("it leaves");
        let groups = client.admin().list_groups(&GroupFilter::default()).expect("an answer");
        assert!(groups.iter().any(|one| *one.group_id == *group), "{groups:?}");
        let outcomes = client.admin().delete_topics(&[Str::from(output), "no-such-topic".into()]).expect("an answer");
        assert_eq!(outcomes[0].1, Ok(()));
        assert_eq!(outcomes[1].1.as_ref().expect_err("missing").code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    })
    .await;
}

async fn a_session_and_the_handles_of_one_owner_block(broker: TestBroker) {
    let (input, output) = (broker.unique("input"), broker.unique("output"));
    let (group, id) = (broker.unique("group"), broker.unique("session"));
    without_async(&broker, move |bootstrap| {
        let client = connect(&bootstrap);
        create(&client, &input);
        create(&client, &output);
        let mut producer = client.exclusive_producer(ProducerConfig::default()).expect("it opens");
        let topic = producer.topic(&input).expect("it is there");
        for value in ["one", "two"] {
            producer.append(topic, PartitionId(0), NewRecord::of(value.as_bytes())).expect("there is room");
        }
        producer.flush().expect("both are written");
        assert_eq!(producer.last_offset(topic, PartitionId(0)), Some(Offset(1)));
        producer.close().expect("nothing is left");

        let reads = GroupConsumer::builder(group.as_str()).topics([input.as_str()]);
        let reads = reads.auto_offset_reset(ResetPolicy::Earliest);
        let session = client.group_transact_session(reads, ProducerConfig::transactional(id.as_str()));
        let mut session = session.expect("it opens").commit_interval(Duration::from_millis(20));
        for _ in 0..2 {
            let record = session.next(WAIT).expect("no error").expect("a record");
            session.send(ProducerRecord::to(&output).value(&record.value.expect("it has one"))).expect("there is room");
        }
        assert!(session.next(Duration::from_millis(100)).expect("no error").is_none());
        assert!(session.commit().expect("no error"), "everything is committed by now");
        session.close().expect("nothing is open");
        let partition = |topic: &str| TopicPartition::new(topic, PartitionId(0));
        let admin = client.admin();
        // Waits until the coordinator of the group has heard of the commit, too.
        admin.fetch_offsets(&group, &[partition(&input)]).expect("an answer");
        let committed = admin.fetch_all_offsets(&group).expect("an answer");
        assert_eq!(committed.iter().map(|(one, at)| (one, at.offset.0)).collect::<Vec<_>>(), [(&partition(&input), 2)]);
        admin
            .commit_offsets(
                &GroupMetadata::without_membership(group.as_str()),
                &[(partition(&input), CommittedOffset::new(Offset(1)))],
            )
            .expect("nobody is a member");
        let committed = admin.fetch_offsets(&group, &[partition(&input)]).expect("an answer");
        assert_eq!(committed[0].1.as_ref().map(|committed| committed.offset), Some(Offset(1)));
        assert!(admin.user_topics().expect("an answer").iter().any(|topic| *topic == *input));

        let config = ConsumerConfig { isolation: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
        // A commit is answered before its markers are written.
        let end = |isolation| {
            let asked = [(partition(&output), OffsetSpec::Latest)];
            admin.list_offsets(&asked, isolation).expect("an answer")[0].offset
        };
        let start = Instant::now();
        while end(IsolationLevel::ReadCommitted) != end(IsolationLevel::ReadUncommitted) {
            assert!(start.elapsed() < WAIT, "the transaction does not end");
        }
        let mut values = Vec::new();
        let handle = |_: &TopicPartition, record: Record<'_>| values.push(record.value.unwrap_or_default().to_vec());
        client.read_to_end(&[partition(&output)], config, handle).expect("it ends");
        assert_eq!(values, [b"one", b"two"]);
        let mut consumer = client.consumer(config);
        consumer.assign(partition(&input), Offset(0));
        let fetched = consumer.poll(WAIT).expect("no error").expect("records");
        assert_eq!(fetched.partition(), &partition(&input));
        assert!(consumer.unassign(&partition(&input)));
    })
    .await;
}

async fn a_poll_ends_when_its_time_is_over(broker: TestBroker) {
    let (topic, group) = (broker.unique("silent"), broker.unique("group"));
    without_async(&broker, move |bootstrap| {
        let client = connect(&bootstrap);
        create(&client, &topic);
        let mut consumer = client.group_consumer(reader(&group, &topic)).expect("it starts");
        let start = Instant::now();
        assert!(consumer.next(Duration::from_millis(300)).expect("no error").is_none());
        assert!(start.elapsed() >= Duration::from_millis(300));
        consumer.close().expect("it leaves");
    })
    .await;
}

async fn the_example_runs(broker: TestBroker) {
    let topic = broker.unique("orders");
    without_async(&broker, move |bootstrap| example::blocking(&bootstrap, &topic).expect("it runs")).await;
}

const WAIT: Duration = Duration::from_secs(60);
