//! The group consumer as its user sees it: records, commits, and the changes of the assignment in a rebalance.

#[path = "group_consumer/progress.rs"]
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use conformance::reader::create_topic;
use conformance::writer::{Transactions, write, write_batch};
use conformance::{TestBroker, client_config, on_both_brokers, on_every_broker, within};
use kafka_wire::client::{
    AssignmentChange, Assignor, Client, ConsumeError, ConsumerConfig, ConsumerRecord, GroupConsumer,
    GroupConsumerBuilder, GroupConsumerError, LostCause, MissingTopic, OffsetCommitError, Polled, ReadToEndError,
    ResetPolicy, Subscription, TopicPattern, read_to_end,
};
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::compression::Compression;
use kafka_wire::record::{BatchBuilder, RawHeaders, Seal};
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId, ProducerEpoch, ProducerId};
use kafka_wire::wire::Str;

on_both_brokers!(
    a_group_goes_on_where_it_stopped,
    two_consumers_share_and_no_record_comes_after_a_revocation,
    a_cooperative_consumer_keeps_what_stays_its_own,
    a_consumer_that_does_not_poll_loses_its_partitions_and_may_not_commit,
    a_group_without_offsets_begins_where_the_reset_policy_says,
    a_topic_that_is_missing_is_an_error_by_choice,
    a_pattern_reads_what_matches_and_what_comes_later,
    paused_partitions_wait_and_sought_ones_go_on_elsewhere,
    commits_carry_words_and_epochs,
    a_batch_that_begins_below_the_position_hands_out_nothing_twice,
    the_example_reads_a_topic_and_goes_on_where_it_stopped,
    a_batch_that_grows_too_large_names_the_setting_that_allows_it,
    a_batch_that_cannot_be_read_holds_up_no_other_partition,
    a_log_that_was_cut_is_noticed_by_the_committed_epoch,
    partitions_are_read_to_the_end_that_they_have,
);
on_every_broker!(committed_records_alone_count_for_the_lag);

const WAIT: Duration = Duration::from_secs(30);

#[path = "../../kafka-wire/examples/consume.rs"]
mod example;

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

/// Makes a new topic, and the builder of a group that reads it from its beginning.
async fn new_group(broker: &TestBroker, client: &Client, partitions: i32) -> (String, GroupConsumerBuilder) {
    let topic = broker.unique("t");
    create_topic(client, &topic, partitions).await;
    let builder = GroupConsumer::builder(broker.unique("g"))
        .topics([topic.clone()])
        .auto_offset_reset(ResetPolicy::Earliest)
        .session_timeout(Duration::from_secs(30), Duration::from_millis(100));
    (topic, builder)
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition::new(topic, PartitionId(index))
}

/// Writes values `first..end`, each to the partition that follows from its number.
async fn fill(client: &Client, topic: &str, partitions: i32, numbers: std::ops::Range<i32>) {
    for index in 0..partitions {
        let own: Vec<String> =
            numbers.clone().filter(|number| number % partitions == index).map(|it| it.to_string()).collect();
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        if !own.is_empty() {
            write(client, &partition(topic, index), &own).await;
        }
    }
}

fn number(record: &ConsumerRecord) -> i32 {
    std::str::from_utf8(record.value.as_ref().expect("it has a value"))
        .expect("the group works")
        .parse()
        .expect("the group works")
}

async fn take(consumer: &mut GroupConsumer, count: usize) -> BTreeSet<i32> {
    let mut numbers = BTreeSet::new();
    for _ in 0..count {
        let record = within("a record", WAIT, consumer.next()).await.expect("the topic can be read");
        assert!(numbers.insert(number(&record)), "{record:?} came before");
    }
    numbers
}

async fn nothing_comes(consumer: &mut GroupConsumer) {
    let polled = tokio::time::timeout(Duration::from_millis(700), consumer.next()).await;
    assert!(polled.is_err(), "{polled:?}");
}

/// Polls until the next record of the partition would be the one at this offset; none is there yet.
async fn until_at(consumer: &mut GroupConsumer, partition: &TopicPartition, offset: Offset) {
    let arrival = async {
        while consumer.position(partition) != Some(offset) {
            nothing_comes(consumer).await;
        }
    };
    within("the position", WAIT, arrival).await;
}

async fn a_group_goes_on_where_it_stopped(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 3).await;
    fill(&client, &topic, 3, 0..60).await;
    let mut first = builder.clone().build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut first, 45).await.len(), 45);
    first.close().await.expect("the coordinator takes the offsets");
    // The second consumer reads the rest, of which the first had fetched a part.
    let mut second = builder.clone().manual_commit().build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut second, 15).await.len(), 15);
    nothing_comes(&mut second).await;
    fill(&client, &topic, 3, 60..63).await;
    assert_eq!(take(&mut second, 3).await, BTreeSet::from([60, 61, 62]));
    second.close().await.expect("the group works");
    // The second consumer committed nothing by itself.
    let mut third = builder.build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut third, 18).await.len(), 18);
    third.commit().await.expect("the group works");
    let positions = third.committed(&[partition(&topic, 0), partition(&topic, 1)]).await.expect("the group works");
    assert!(positions.iter().all(|(_, committed)| committed.as_ref().is_some_and(|it| it.offset == Offset(21))));
    third.close().await.expect("the group works");
}

/// All changes and records that a consumer got.
#[derive(Default)]
struct Log {
    owned: BTreeSet<TopicPartition>,
    numbers: Vec<i32>,
    /// Partitions that were given up.
    revoked: Vec<TopicPartition>,
}

impl Log {
    /// Polls once; a record of a partition that is not assigned fails the test.
    async fn poll(&mut self, consumer: &mut GroupConsumer) {
        match within("a poll", WAIT, consumer.poll()).await.expect("the group works") {
            Polled::Batch(batch) => {
                assert!(self.owned.contains(batch.topic_partition()), "{} is not its own", batch.topic_partition());
                for record in batch {
                    let value = record.expect("whole").value.expect("it has a value");
                    self.numbers
                        .push(std::str::from_utf8(value).expect("the group works").parse().expect("the group works"));
                }
            }
            Polled::Assignment(AssignmentChange::Assigned(partitions)) => self.owned.extend(partitions),
            Polled::Assignment(AssignmentChange::Revoking(partitions)) => {
                self.owned.retain(|own| !partitions.contains(own));
            }
            Polled::Assignment(AssignmentChange::Revoked(partitions)) => self.revoked.extend(partitions),
            Polled::Assignment(change) => panic!("{change:?}"),
        }
    }
}

/// Polls both consumers until `done` returns `true`.
async fn poll_both(
    (one, first): (&mut GroupConsumer, &mut Log),
    (two, second): (&mut GroupConsumer, &mut Log),
    done: impl Fn(&Log, &Log) -> bool,
) {
    while !done(first, second) {
        // A poll that is cancelled loses nothing.
        tokio::select! {
            () = first.poll(one) => {}
            () = second.poll(two) => {}
        }
    }
}

async fn two_consumers_share_and_no_record_comes_after_a_revocation(broker: TestBroker) {
    let client = connect(&broker).await;
    for assignors in [vec![Assignor::Range, Assignor::CooperativeSticky], vec![Assignor::CooperativeSticky]] {
        let (topic, builder) = new_group(&broker, &client, 4).await;
        let builder = builder.assignors(assignors);
        fill(&client, &topic, 4, 0..200).await;
        let mut one = builder.clone().build(client.clone()).await.expect("the group works");
        let mut first = Log::default();
        while first.numbers.is_empty() {
            first.poll(&mut one).await;
        }
        let mut two = builder.build(client.clone()).await.expect("the group works");
        let mut second = Log::default();
        let share = |log: &Log| log.owned.len() == 2;
        poll_both((&mut one, &mut first), (&mut two, &mut second), |one, two| share(one) && share(two)).await;
        fill(&client, &topic, 4, 200..400).await;
        poll_both((&mut one, &mut first), (&mut two, &mut second), |one, two| {
            one.numbers.len() + two.numbers.len() >= 400
        })
        .await;
        assert!(first.owned.is_disjoint(&second.owned));
        // Positions are committed before partitions are given up, so no record comes twice.
        let mut numbers: Vec<i32> = first.numbers.iter().chain(&second.numbers).copied().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..400).collect::<Vec<_>>());
        two.close().await.expect("the group works");
        while first.owned.len() < 4 {
            first.poll(&mut one).await;
        }
        one.close().await.expect("the group works");
    }
}

async fn a_cooperative_consumer_keeps_what_stays_its_own(broker: TestBroker) {
    let client = connect(&broker).await;
    let (_, builder) = new_group(&broker, &client, 4).await;
    let builder = builder.assignors([Assignor::CooperativeSticky]);
    let mut one = builder.clone().build(client.clone()).await.expect("the group works");
    let mut first = Log::default();
    while first.owned.len() < 4 {
        first.poll(&mut one).await;
    }
    let mut two = builder.build(client.clone()).await.expect("the group works");
    let mut second = Log::default();
    poll_both((&mut one, &mut first), (&mut two, &mut second), |one, two| {
        // The second one may hear of its share before the first one's last event is taken.
        two.owned.len() == 2 && one.revoked.len() >= 2
    })
    .await;
    assert_eq!(first.revoked.len(), 2, "what it kept was never taken away");
    assert_eq!(BTreeSet::from_iter(first.revoked.iter().cloned()), second.owned);
    assert!(first.owned.is_disjoint(&second.owned));
    two.close().await.expect("the group works");
    one.close().await.expect("the group works");
}

async fn a_consumer_that_does_not_poll_loses_its_partitions_and_may_not_commit(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..10).await;
    let builder = builder.manual_commit();
    let mut slow =
        builder.clone().max_poll_interval(Duration::from_secs(3)).build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut slow, 5).await.len(), 5);
    // Another consumer gets the partition while this one works for longer than it may.
    let mut other = builder.build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut other, 10).await.len(), 10);
    let refused = slow.commit().await.expect_err("the group went on");
    assert!(matches!(refused, OffsetCommitError::StaleGeneration { .. }), "{refused:?}");
    assert!(!refused.is_retriable());
    let polled = within("the news", WAIT, slow.poll()).await.expect("the group works");
    let Polled::Assignment(AssignmentChange::Lost { partitions, cause }) = polled else { panic!("{polled:?}") };
    assert_eq!((partitions, cause), (vec![partition(&topic, 0)], LostCause::PollIntervalExceeded));
    other.commit().await.expect("the partition is its own");
    other.close().await.expect("the group works");
    // This consumer is in the group again, and goes on where the other one stopped.
    fill(&client, &topic, 1, 10..11).await;
    assert_eq!(take(&mut slow, 1).await, BTreeSet::from([10]));
    slow.close().await.expect("the group works");
}

async fn a_group_without_offsets_begins_where_the_reset_policy_says(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..10).await;
    // Batches of the tests carry the time 0.
    let hour = Duration::from_secs(3600);
    for policy in [ResetPolicy::Latest, ResetPolicy::ByDuration(hour)] {
        let mut consumer = builder
            .clone()
            .auto_offset_reset(policy)
            .manual_commit()
            .build(client.clone())
            .await
            .expect("the group works");
        until_at(&mut consumer, &partition(&topic, 0), Offset(10)).await;
        consumer.close().await.expect("the group works");
    }
    let mut consumer = builder
        .clone()
        .auto_offset_reset(ResetPolicy::None)
        .manual_commit()
        .build(client.clone())
        .await
        .expect("the group works");
    let refused = within("the error", WAIT, consumer.next()).await.expect_err("there is nowhere to begin");
    assert_eq!(refused, GroupConsumerError::Consume(ConsumeError::NoOffset { partition: partition(&topic, 0) }));
    // A seek sets the position that was missing.
    assert!(consumer.seek(&partition(&topic, 0), Offset(8)));
    assert_eq!(take(&mut consumer, 2).await, BTreeSet::from([8, 9]));
    consumer.close().await.expect("the group works");
    let ages = Duration::from_secs(200 * 365 * 24 * 3600);
    let mut consumer =
        builder.auto_offset_reset(ResetPolicy::ByDuration(ages)).build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut consumer, 10).await.len(), 10);
    consumer.close().await.expect("the group works");
}

async fn a_topic_that_is_missing_is_an_error_by_choice(broker: TestBroker) {
    let client = connect(&broker).await;
    let (_, builder) = new_group(&broker, &client, 1).await;
    let topic = broker.unique("later");
    let builder = builder.topics([topic.clone()]);
    let mut consumer =
        builder.clone().missing_topic(MissingTopic::Fail).build(client.clone()).await.expect("the group works");
    let refused = within("the error", WAIT, consumer.next()).await.expect_err("it is not there");
    assert_eq!(refused, GroupConsumerError::MissingTopic { topic: Str::from(topic.clone()) });
    assert!(refused.to_string().contains(&topic));
    consumer.close().await.expect("the group works");
    let mut consumer = builder.build(client.clone()).await.expect("the group works");
    nothing_comes(&mut consumer).await;
    create_topic(&client, &topic, 1).await;
    fill(&client, &topic, 1, 0..3).await;
    assert_eq!(take(&mut consumer, 3).await.len(), 3);
    consumer.close().await.expect("the group works");
}

async fn a_pattern_reads_what_matches_and_what_comes_later(broker: TestBroker) {
    let mut config = client_config(broker.bootstrap());
    config.metadata_max_age = Duration::from_millis(300);
    let client = Client::connect(config).await.expect("the group works");
    let prefix = broker.unique("orders");
    let (eu, us, other) = (format!("{prefix}-eu"), format!("{prefix}-us"), format!("x{prefix}-eu"));
    create_topic(&client, &eu, 1).await;
    create_topic(&client, &other, 1).await;
    let pattern = TopicPattern::regex(&format!("{prefix}-(eu|us)")).expect("the group works");
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        let mut consumer = GroupConsumer::builder(broker.unique("g"))
            .subscription(Subscription::Pattern(pattern.clone()))
            .auto_offset_reset(ResetPolicy::Earliest)
            .assignors([assignor])
            .build(client.clone())
            .await
            .expect("the group works");
        fill(&client, &other, 1, 0..1).await;
        if consumer.subscription().len() == 1 {
            fill(&client, &eu, 1, 1..2).await;
            assert_eq!(take(&mut consumer, 1).await, BTreeSet::from([1]));
            create_topic(&client, &us, 1).await;
            fill(&client, &us, 1, 2..3).await;
            assert_eq!(take(&mut consumer, 1).await, BTreeSet::from([2]));
        } else {
            assert_eq!(take(&mut consumer, 2).await, BTreeSet::from([1, 2]));
        }
        assert_eq!(consumer.subscription(), [eu.as_str(), us.as_str()]);
        consumer.close().await.expect("the group works");
    }
    assert!(TopicPattern::regex("(").is_err());
}

async fn paused_partitions_wait_and_sought_ones_go_on_elsewhere(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 2).await;
    fill(&client, &topic, 2, 0..20).await;
    let mut consumer = builder.build(client.clone()).await.expect("the group works");
    let record = within("a record", WAIT, consumer.next()).await.expect("the group works");
    let paused = TopicPartition::new(record.topic.clone(), record.partition);
    assert!(consumer.pause(&paused));
    let others = take(&mut consumer, 10).await;
    assert!(others.iter().all(|other| other % 2 != record.partition.0), "{others:?}");
    nothing_comes(&mut consumer).await;
    assert!(consumer.resume(&paused));
    let rest = take(&mut consumer, 9).await;
    assert!(rest.iter().all(|other| other % 2 == record.partition.0 && *other != number(&record)), "{rest:?}");
    // The new position is in the middle of a batch that was handed out.
    assert!(consumer.seek(&paused, Offset(7)));
    assert_eq!(consumer.position(&paused), Some(Offset(7)));
    assert_eq!(take(&mut consumer, 3).await.len(), 3);
    assert_eq!(consumer.lag(&paused), Some(0));
    assert!(!consumer.seek(&partition("elsewhere", 0), Offset(0)) && !consumer.pause(&partition("elsewhere", 0)));
    consumer.close().await.expect("the group works");
}

/// The offset that the group has committed for a partition.
async fn committed_of(consumer: &GroupConsumer, of: &TopicPartition) -> CommittedOffset {
    let mut committed = consumer.committed(std::slice::from_ref(of)).await.expect("the group works");
    committed.remove(0).1.expect("the group works")
}

async fn commits_carry_words_and_epochs(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..10).await;
    let mut consumer = builder.manual_commit().build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut consumer, 4).await.len(), 4);
    let own = partition(&topic, 0);
    consumer.commit_async().await.expect("the group works");
    let known = committed_of(&consumer, &own).await;
    assert_eq!(known.offset, Offset(4));
    assert_eq!(known.leader_epoch, LeaderEpoch(0), "that of the record before");
    let committed = CommittedOffset { metadata: Str::from("half of it"), ..CommittedOffset::new(Offset(2)) };
    consumer.commit_offsets(vec![(own.clone(), committed.clone())]).await.expect("the group works");
    let known = committed_of(&consumer, &own).await;
    assert_eq!(known, committed);
    // Commits are asked for and answered in order, so the last one stands.
    let pending: Vec<_> = (3..9)
        .map(|offset| consumer.commit_offsets_async(vec![(own.clone(), CommittedOffset::new(Offset(offset)))]))
        .collect();
    for commit in pending {
        commit.await.expect("the group works");
    }
    let known = committed_of(&consumer, &own).await;
    assert_eq!(known.offset, Offset(8));
    consumer.close().await.expect("the group works");
}

async fn a_batch_that_begins_below_the_position_hands_out_nothing_twice(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..10).await;
    let mut consumer = builder.manual_commit().build(client.clone()).await.expect("the group works");
    // Three records are taken one by one; the rest of their batch then comes as a batch.
    assert_eq!(take(&mut consumer, 3).await, BTreeSet::from([0, 1, 2]));
    let batch = within("a batch", WAIT, consumer.next_batch()).await.expect("the group works");
    let offsets: Vec<i64> = batch.map(|record| record.expect("the group works").offset).collect();
    assert_eq!(offsets, (3..10).collect::<Vec<_>>());
    consumer.seek(&partition(&topic, 0), Offset(6));
    let batch = within("a batch", WAIT, consumer.next_batch()).await.expect("the group works");
    let offsets: Vec<i64> = batch.map(|record| record.expect("the group works").offset).collect();
    assert_eq!(offsets, (6..10).collect::<Vec<_>>());
    assert_eq!(consumer.position(&partition(&topic, 0)), Some(Offset(10)));
    consumer.close().await.expect("the group works");
}

async fn committed_records_alone_count_for_the_lag(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    let own = partition(&topic, 0);
    let mut transactions = Transactions::open(&client, &broker.unique("id")).await;
    transactions.write(&own, &["1", "2"]).await;
    transactions.commit().await;
    transactions.write(&own, &["3"]).await;
    let mut consumer = builder.read_committed().build(client.clone()).await.expect("the group works");
    assert_eq!(take(&mut consumer, 2).await, BTreeSet::from([1, 2]));
    nothing_comes(&mut consumer).await;
    assert_eq!(consumer.lag(&own), Some(0), "what is open is not there to be read");
    transactions.abort().await;
    fill(&client, &topic, 1, 4..5).await;
    assert_eq!(take(&mut consumer, 1).await, BTreeSet::from([4]));
    nothing_comes(&mut consumer).await;
    let counts: BTreeMap<_, _> = consumer.assignment().into_iter().map(|it| (it.clone(), consumer.lag(&it))).collect();
    assert_eq!(counts, BTreeMap::from([(own, Some(0))]));
    consumer.close().await.expect("the group works");
}

async fn the_example_reads_a_topic_and_goes_on_where_it_stopped(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _) = new_group(&broker, &client, 2).await;
    let group = broker.unique("g");
    for numbers in [0..10, 10..20] {
        fill(&client, &topic, 2, numbers.clone()).await;
        let (sender, mut records) = tokio::sync::mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let count = async {
            let mut seen = BTreeSet::new();
            while seen.len() < 10 {
                seen.insert(number(&records.recv().await.expect("the example runs")));
            }
            stop.send(()).expect("the example listens");
            seen
        };
        let stopped = async { drop(stopped.await) };
        let place = (broker.bootstrap(), group.as_str(), topic.as_str());
        let run = example::consume(place, stopped, |record| drop(sender.send(record)));
        let (seen, ended) = within("ten records", WAIT, async { tokio::join!(count, run) }).await;
        ended.expect("the example ends in order");
        assert_eq!(seen, numbers.collect());
    }
}

/// Writes a small batch that takes 2 MiB when it is decompressed.
async fn write_large(client: &Client, to: &TopicPartition) {
    let mut batch = BatchBuilder::new(3 << 20);
    batch.append(1_000, None, Some(&vec![b'x'; 2 << 20]), RawHeaders::EMPTY).expect("it fits");
    let seal = Seal {
        producer_id: ProducerId(-1),
        producer_epoch: ProducerEpoch(-1),
        base_sequence: -1,
        transactional: false,
        compression: Compression::Gzip,
    };
    write_batch(client, to, batch.seal(seal).expect("gzip is in this build")).await;
}

async fn a_batch_that_grows_too_large_names_the_setting_that_allows_it(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    let own = partition(&topic, 0);
    write_large(&client, &own).await;
    let mut consumer = builder.clone().decompression_limit_bytes(1 << 20).build(client.clone()).await.expect("a list");
    let refused = within("the error", WAIT, consumer.next()).await.expect_err("it is too large");
    let expected = ConsumeError::DecompressionLimit { partition: own.clone(), offset: Offset(0), limit_bytes: 1 << 20 };
    assert_eq!(refused, GroupConsumerError::Consume(expected));
    assert!(refused.to_string().contains("decompression_limit_bytes"));
    // The record is not skipped, whatever is committed.
    consumer.close().await.expect("the group works");
    let mut consumer = builder.build(client.clone()).await.expect("a list");
    let record = within("a record", WAIT, consumer.next()).await.expect("it is allowed");
    assert_eq!(record.value.map(|value| value.len()), Some(2 << 20));
    consumer.close().await.expect("the group works");
}

async fn a_batch_that_cannot_be_read_holds_up_no_other_partition(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 2).await;
    let own = partition(&topic, 0);
    write_large(&client, &own).await;
    let mut consumer = builder.decompression_limit_bytes(1 << 20).build(client.clone()).await.expect("a list");
    let expected = ConsumeError::DecompressionLimit { partition: own.clone(), offset: Offset(0), limit_bytes: 1 << 20 };
    let expected = GroupConsumerError::Consume(expected);
    let refused = within("the error", WAIT, consumer.next()).await.expect_err("it is too large");
    assert_eq!(refused, expected);
    fill(&client, &topic, 2, 1..2).await;
    let others = async {
        loop {
            match consumer.next().await {
                Ok(record) => return number(&record),
                Err(error) => assert_eq!(error, expected, "it comes again when there is nothing else"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(within("the record of the other partition", WAIT, others).await, 1);
    // Whoever passes over the batch goes on behind it.
    fill(&client, &topic, 2, 2..3).await;
    assert!(consumer.seek(&own, Offset(1)));
    assert_eq!(take(&mut consumer, 1).await, BTreeSet::from([2]));
    consumer.close().await.expect("the group works");
}

async fn a_log_that_was_cut_is_noticed_by_the_committed_epoch(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..10).await;
    let own = partition(&topic, 0);
    let builder = builder.manual_commit();
    let mut consumer = builder.clone().build(client.clone()).await.expect("a list");
    assert_eq!(take(&mut consumer, 10).await.len(), 10);
    // The committed offset is as if the group had read more of this leader's epoch than the log has now.
    let committed = CommittedOffset { leader_epoch: LeaderEpoch(0), ..CommittedOffset::new(Offset(50)) };
    consumer.commit_offsets(vec![(own, committed)]).await.expect("the group works");
    consumer.close().await.expect("the group works");
    // Without the epoch, reading would begin anew by the reset policy, and no error would show it.
    let strict = builder.clone().auto_offset_reset(ResetPolicy::None);
    let mut consumer = strict.build(client.clone()).await.expect("a list");
    let refused = within("the error", WAIT, consumer.next()).await.expect_err("the log is another one");
    let GroupConsumerError::Consume(refused) = refused else { panic!("{refused:?}") };
    assert!(matches!(refused, ConsumeError::Diverged { end_offset: Offset(10), .. }), "{refused:?}");
    consumer.close().await.expect("the group works");
    // With a policy, reading goes on where the logs part, and not at the beginning.
    let mut consumer = builder.build(client.clone()).await.expect("a list");
    until_at(&mut consumer, &partition(&topic, 0), Offset(10)).await;
    fill(&client, &topic, 1, 10..12).await;
    assert_eq!(take(&mut consumer, 2).await, BTreeSet::from([10, 11]));
    consumer.commit().await.expect("the group works");
    let committed = consumer.committed(&[partition(&topic, 0)]).await.expect("the group works");
    assert_eq!(committed[0].1.as_ref().map(|committed| committed.offset), Some(Offset(12)), "back from 50");
    consumer.close().await.expect("the group works");
}

async fn partitions_are_read_to_the_end_that_they_have(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _) = new_group(&broker, &client, 3).await;
    fill(&client, &topic, 2, 0..10).await;
    let all: Vec<_> = (0..3).map(|index| partition(&topic, index)).collect();
    let mut read = BTreeMap::<i32, Vec<i64>>::new();
    let done = read_to_end(&client, &all, ConsumerConfig::default(), |own, record| {
        read.entry(own.partition.0).or_default().push(record.offset);
    });
    within("the end", WAIT, done).await.expect("the topic can be read");
    assert_eq!(read, BTreeMap::from([(0, (0..5).collect()), (1, (0..5).collect())]));
    let missing = read_to_end(&client, &[partition(&topic, 9)], ConsumerConfig::default(), |_, _| {}).await;
    assert!(matches!(missing, Err(ReadToEndError::Metadata(_))), "{missing:?}");
}
