//! Groups whose coordinator assigns the partitions (`group.protocol=consumer`, KIP-848): rebalances under load, static
//! members, patterns, and groups that change over from the classic protocol and back.

#[path = "consumer_protocol/requests.rs"]
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::foreign::{confluent, java};
use conformance::reader::create_topic;
use conformance::writer::write;
use conformance::{TestBroker, client_config, eventually, on_both_brokers, within};
use kafka_wire::admin::GroupFilter;
use kafka_wire::client::{
    AssignmentChange, Client, GroupConsumer, GroupConsumerBuilder, GroupConsumerError, GroupError, GroupProtocol,
    LostCause, OffsetCommitError, Polled, ResetPolicy, Subscription, SubscriptionPattern, TopicPattern,
};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;
use requests::{a_group_is_described_with_its_members, what_is_no_heartbeat_is_refused};
use tokio::task::JoinHandle;

on_both_brokers!(
    members_come_and_go_under_load_and_every_record_is_read_once,
    a_static_member_that_returns_finds_its_partitions,
    a_second_process_with_the_same_instance_id_waits_for_the_first,
    a_consumer_that_does_not_poll_loses_its_partitions_and_may_not_commit,
    a_pattern_of_the_broker_reads_what_comes_later,
    a_topic_that_is_made_anew_is_read_from_its_beginning,
    the_assignor_is_the_brokers,
    commits_go_on_while_the_epoch_moves,
    what_is_no_heartbeat_is_refused,
    a_group_is_described_with_its_members,
    a_java_consumer_and_ours_share,
    a_librdkafka_consumer_and_ours_share,
);

/// The embedded broker has no members of both protocols in one group.
mod a_group_changes_over_and_back_one_by_one {
    conformance::test_on!(kafka_tv2, KafkaTv2, super::a_group_changes_over_and_back_one_by_one);
}
mod a_group_of_javas_consumer_changes_over {
    conformance::test_on!(kafka_tv2, KafkaTv2, super::a_group_of_javas_consumer_changes_over);
}

const WAIT: Duration = Duration::from_secs(60);

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

/// Makes a new topic, and the builder of a group that reads it from its beginning.
async fn new_group(broker: &TestBroker, client: &Client, partitions: i32) -> (String, String, GroupConsumerBuilder) {
    let (topic, group) = (broker.unique("t"), broker.unique("g"));
    create_topic(client, &topic, partitions).await;
    let builder = GroupConsumer::builder(group.clone())
        .topics([topic.clone()])
        .group_protocol(GroupProtocol::Consumer)
        .auto_offset_reset(ResetPolicy::Earliest)
        .session_timeout(Duration::from_secs(10), Duration::from_millis(300));
    (topic, group, builder)
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition::new(topic, PartitionId(index))
}

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

/// Everything that a consumer was told and got; a record of a partition that is not its own fails the test.
#[derive(Default)]
struct Log {
    owned: BTreeSet<TopicPartition>,
    revoked: BTreeSet<TopicPartition>,
    numbers: Vec<i32>,
}

impl Log {
    async fn poll(&mut self, consumer: &mut GroupConsumer) {
        match consumer.poll().await.expect("the group works") {
            Polled::Batch(batch) => {
                assert!(self.owned.contains(batch.topic_partition()), "{} is not its own", batch.topic_partition());
                for record in batch {
                    let value = record.expect("whole").value.expect("it has a value");
                    self.numbers.push(std::str::from_utf8(value).expect("text").parse().expect("a number"));
                }
            }
            Polled::Assignment(AssignmentChange::Assigned(partitions)) => self.owned.extend(partitions),
            Polled::Assignment(AssignmentChange::Revoking(partitions)) => {
                self.owned.retain(|own| !partitions.contains(own));
                self.revoked.extend(partitions);
            }
            Polled::Assignment(AssignmentChange::Revoked(_)) => {}
            Polled::Assignment(change) => panic!("{change:?}"),
        }
    }

    async fn poll_until(&mut self, what: &str, consumer: &mut GroupConsumer, done: impl Fn(&Self) -> bool) {
        within(what, WAIT, async {
            while !done(self) {
                self.poll(consumer).await;
            }
        })
        .await;
    }
}

/// Polls both consumers until `done` returns `true`. A poll that is cancelled loses nothing.
async fn poll_both(
    what: &str,
    (one, first): (&mut GroupConsumer, &mut Log),
    (two, second): (&mut GroupConsumer, &mut Log),
    done: impl Fn(&Log, &Log) -> bool,
) {
    within(what, WAIT, async {
        while !done(first, second) {
            tokio::select! {
                () = first.poll(one) => {}
                () = second.poll(two) => {}
            }
        }
    })
    .await;
}

/// Writes numbers to all partitions until it is stopped. Returns how many there are.
fn write_on(client: Client, topic: String, partitions: i32, stop: Arc<AtomicBool>) -> JoinHandle<i32> {
    tokio::spawn(async move {
        let mut next = 0;
        while !stop.load(Ordering::Relaxed) {
            fill(&client, &topic, partitions, next..next + 2 * partitions).await;
            next += 2 * partitions;
            tokio::task::yield_now().await;
        }
        next
    })
}

async fn members_come_and_go_under_load_and_every_record_is_read_once(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 6).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_on(client.clone(), topic.clone(), 6, Arc::clone(&stop));
    let (mut first, mut second, mut third) = (Log::default(), Log::default(), Log::default());
    let mut one = builder.clone().build(client.clone()).await.expect("the group works");
    first.poll_until("all partitions", &mut one, |log| log.owned.len() == 6 && !log.numbers.is_empty()).await;
    let mut two = builder.clone().build(client.clone()).await.expect("the group works");
    poll_both("two shares", (&mut one, &mut first), (&mut two, &mut second), |one, two| {
        one.owned.len() == 3 && two.owned.len() == 3 && !two.numbers.is_empty()
    })
    .await;
    assert_eq!(first.revoked.len(), 3, "what it keeps is never taken away");
    // The second one leaves while a third comes.
    two.close().await.expect("the group works");
    let mut three = builder.build(client.clone()).await.expect("the group works");
    poll_both("two shares", (&mut one, &mut first), (&mut three, &mut third), |one, three| {
        one.owned.len() == 3 && three.owned.len() == 3 && !three.numbers.is_empty()
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let count = writer.await.expect("the writer does not panic");
    let total = usize::try_from(count).expect("not negative");
    let before = second.numbers.len();
    poll_both("all records", (&mut one, &mut first), (&mut three, &mut third), |one, three| {
        before + one.numbers.len() + three.numbers.len() >= total
    })
    .await;
    let mut numbers: Vec<i32> = [first.numbers, second.numbers, third.numbers].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    one.close().await.expect("the group works");
    three.close().await.expect("the group works");
}

async fn a_static_member_that_returns_finds_its_partitions(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 4).await;
    let (mut first, mut second) = (Log::default(), Log::default());
    let mut one = builder.clone().instance_id("a").build(client.clone()).await.expect("the group works");
    let mut two = builder.clone().instance_id("b").build(client.clone()).await.expect("the group works");
    let shared = |one: &Log, two: &Log| one.owned.len() == 2 && two.owned.len() == 2;
    poll_both("two shares", (&mut one, &mut first), (&mut two, &mut second), shared).await;
    fill(&client, &topic, 4, 0..20).await;
    let is_read = |one: &Log, two: &Log| one.numbers.len() + two.numbers.len() == 20;
    poll_both("all records", (&mut one, &mut first), (&mut two, &mut second), is_read).await;
    two.close_to_return().await.expect("the group works");
    let revoked = first.revoked.len();
    let mut again = Log::default();
    let mut two = builder.instance_id("b").build(client.clone()).await.expect("the group works");
    fill(&client, &topic, 4, 20..40).await;
    let is_read = |one: &Log, two: &Log| one.numbers.len() + two.numbers.len() == 30;
    poll_both("all records", (&mut one, &mut first), (&mut two, &mut again), |one, two| is_read(one, two)).await;
    assert_eq!(again.owned, second.owned, "it has what it had");
    assert_eq!((first.owned.len(), first.revoked.len()), (2, revoked), "the other one was not disturbed");
    // A member that leaves for good is replaced at once.
    two.close().await.expect("the group works");
    first.poll_until("all partitions", &mut one, |log| log.owned.len() == 4).await;
    one.close().await.expect("the group works");
}

async fn a_second_process_with_the_same_instance_id_waits_for_the_first(broker: TestBroker) {
    let client = connect(&broker).await;
    let (_, _, builder) = new_group(&broker, &client, 2).await;
    let builder = builder.instance_id("a");
    let mut first = Log::default();
    let mut one = builder.clone().build(client.clone()).await.expect("the group works");
    first.poll_until("all partitions", &mut one, |log| log.owned.len() == 2).await;
    let mut two = builder.build(client.clone()).await.expect("the group works");
    let mut second = Log::default();
    let early = tokio::time::timeout(Duration::from_secs(2), second.poll(&mut two)).await;
    assert!(early.is_err() && second.owned.is_empty(), "the id is taken");
    one.close_to_return().await.expect("the group works");
    second.poll_until("all partitions", &mut two, |log| log.owned.len() == 2).await;
    two.close().await.expect("the group works");
}

async fn a_consumer_that_does_not_poll_loses_its_partitions_and_may_not_commit(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..10).await;
    let builder = builder.manual_commit();
    let short = builder.clone().max_poll_interval(Duration::from_secs(3));
    let mut slow = short.build(client.clone()).await.expect("the group works");
    let mut first = Log::default();
    first.poll_until("ten records", &mut slow, |log| log.numbers.len() == 10).await;
    let mut other = builder.build(client.clone()).await.expect("the group works");
    let mut second = Log::default();
    second.poll_until("ten records", &mut other, |log| log.numbers.len() == 10).await;
    let refused = slow.commit().await.expect_err("the group went on");
    assert!(matches!(refused, OffsetCommitError::StaleGeneration { .. }), "{refused:?}");
    let polled = within("the news", WAIT, slow.poll()).await.expect("the group works");
    let Polled::Assignment(AssignmentChange::Lost { partitions, cause }) = polled else { panic!("{polled:?}") };
    assert_eq!((partitions, cause), (vec![partition(&topic, 0)], LostCause::PollIntervalExceeded));
    other.commit().await.expect("the partition is its own");
    other.close().await.expect("the group works");
    // It is in the group again, and goes on where the other one stopped.
    fill(&client, &topic, 1, 10..11).await;
    let last = within("the last record", WAIT, slow.next()).await.expect("the group works");
    assert_eq!(last.value.as_deref(), Some(&b"10"[..]));
    slow.close().await.expect("the group works");
}

async fn a_pattern_of_the_broker_reads_what_comes_later(broker: TestBroker) {
    let client = connect(&broker).await;
    let prefix = broker.unique("orders");
    let (eu, us, other) = (format!("{prefix}-eu"), format!("{prefix}-us"), format!("x{prefix}-eu"));
    create_topic(&client, &eu, 1).await;
    create_topic(&client, &other, 1).await;
    let pattern = SubscriptionPattern::new(format!("{prefix}-(eu|us)"));
    let subscription = Subscription::BrokerPattern(pattern);
    let builder = GroupConsumer::builder(broker.unique("g"))
        .subscription(subscription.clone())
        .auto_offset_reset(ResetPolicy::Earliest);
    let refused = builder.clone().build(client.clone()).await.expect_err("the classic protocol has no such pattern");
    assert!(refused.to_string().contains("group.protocol=consumer"), "{refused}");
    let builder = builder.group_protocol(GroupProtocol::Consumer);
    let mut consumer = builder.clone().build(client.clone()).await.expect("the group works");
    let mut log = Log::default();
    log.poll_until("the first topic", &mut consumer, |log| log.owned == BTreeSet::from([partition(&eu, 0)])).await;
    create_topic(&client, &us, 2).await;
    log.poll_until("the second topic", &mut consumer, |log| log.owned.len() == 3).await;
    fill(&client, &us, 2, 0..4).await;
    log.poll_until("its records", &mut consumer, |log| log.numbers.len() == 4).await;
    // Another subscription gives up what it does not have, and goes on with the rest.
    consumer.subscribe(Subscription::Topics(vec![Str::from(eu.clone())])).expect("a list is for every protocol");
    log.poll_until("one topic", &mut consumer, |log| log.owned == BTreeSet::from([partition(&eu, 0)])).await;
    consumer.subscribe(subscription).expect("this protocol has patterns");
    log.poll_until("both topics", &mut consumer, |log| log.owned.len() == 3).await;
    // The coordinator learns that its pattern is not wanted any more, although ours has no topic.
    let nothing = TopicPattern::regex(&format!("{prefix}-nowhere")).expect("it is a pattern");
    consumer.subscribe(Subscription::Pattern(nothing)).expect("this protocol has both kinds");
    log.poll_until("nothing", &mut consumer, |log| log.owned.is_empty()).await;
    consumer.close().await.expect("the group works");
    let broken = Subscription::BrokerPattern(SubscriptionPattern::new("(orders"));
    let mut consumer = builder.subscription(broken).build(client).await.expect("the broker checks it");
    let refused = within("the error", WAIT, consumer.poll()).await.expect_err("it is no pattern");
    assert!(matches!(refused, GroupConsumerError::Group(GroupError::InvalidPattern { .. })), "{refused:?}");
}

async fn a_topic_that_is_made_anew_is_read_from_its_beginning(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 1).await;
    fill(&client, &topic, 1, 0..5).await;
    let mut consumer = builder.build(client.clone()).await.expect("the group works");
    let mut log = Log::default();
    log.poll_until("five records", &mut consumer, |log| log.numbers.len() == 5).await;
    client.delete_topics(&[Str::from(topic.clone())]).await.expect("it is there");
    log.poll_until("the end of the topic", &mut consumer, |log| log.owned.is_empty()).await;
    create_topic(&client, &topic, 1).await;
    log.poll_until("the new topic", &mut consumer, |log| log.owned.len() == 1).await;
    fill(&client, &topic, 1, 5..8).await;
    log.poll_until("its records", &mut consumer, |log| log.numbers.len() == 8).await;
    consumer.close().await.expect("the group works");
}

async fn the_assignor_is_the_brokers(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 4).await;
    let mut consumer = builder.clone().remote_assignor("mine").build(client.clone()).await.expect("a list");
    let refused = within("the error", WAIT, consumer.poll()).await.expect_err("there is none of this name");
    assert!(matches!(refused, GroupConsumerError::Group(GroupError::UnsupportedAssignor { .. })), "{refused:?}");
    assert!(refused.to_string().contains("group.remote.assignor"), "{refused}");
    let builder = builder.remote_assignor("range");
    let (mut first, mut second) = (Log::default(), Log::default());
    let mut one = builder.clone().build(client.clone()).await.expect("the group works");
    let mut two = builder.build(client.clone()).await.expect("the group works");
    let shared = |one: &Log, two: &Log| one.owned.len() == 2 && two.owned.len() == 2;
    poll_both("two shares", (&mut one, &mut first), (&mut two, &mut second), shared).await;
    let runs = [[0, 1], [2, 3]].map(|run| BTreeSet::from(run.map(|index| partition(&topic, index))));
    assert!(runs.contains(&first.owned) && runs.contains(&second.owned), "{:?}", first.owned);
    one.close().await.expect("the group works");
    two.close().await.expect("the group works");
}

async fn commits_go_on_while_the_epoch_moves(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 4).await;
    let builder = builder.manual_commit();
    fill(&client, &topic, 4, 0..40).await;
    let mut first = Log::default();
    let mut one = builder.clone().build(client.clone()).await.expect("the group works");
    first.poll_until("forty records", &mut one, |log| log.numbers.len() == 40).await;
    // Members that come and go raise the epoch; no commit of a partition that stays is refused for that.
    for round in 0..4 {
        let mut two = builder.clone().build(client.clone()).await.expect("the group works");
        let mut second = Log::default();
        let kept = |one: &Log| one.owned.len() == 2;
        within("two shares", WAIT, async {
            while !kept(&first) || second.owned.len() < 2 {
                tokio::select! {
                    () = first.poll(&mut one) => {}
                    () = second.poll(&mut two) => {}
                }
                one.commit().await.expect("its epoch may be outdated, its partitions are not");
            }
        })
        .await;
        two.close().await.expect("the group works");
        fill(&client, &topic, 4, 40 + round * 4..44 + round * 4).await;
        first.poll_until("all partitions", &mut one, |log| log.owned.len() == 4).await;
        one.commit().await.expect("the group works");
    }
    one.close().await.expect("the group works");
}

/// Java's console consumer in the group, until it has read so many records.
fn start_java(
    broker: &TestBroker,
    topic: &str,
    group: &str,
    count: &str,
    protocol: &str,
) -> JoinHandle<Option<String>> {
    let [bootstrap, topic, group, count] = [broker.bootstrap(), topic, group, count].map(str::to_owned);
    let protocol = format!("group.protocol={protocol}");
    tokio::spawn(async move {
        let args = [
            &["--bootstrap-server", &bootstrap, "--topic", &topic, "--group", &group, "--from-beginning"][..],
            &["--timeout-ms", "60000", "--max-messages", &count, "--command-property", &protocol],
        ];
        java("org.apache.kafka.tools.consumer.ConsoleConsumer", &args.concat(), "").await
    })
}

fn numbers_of(text: &str) -> Vec<i32> {
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

async fn a_java_consumer_and_ours_share(broker: TestBroker) {
    let start = |topic: &str, group: &str| start_java(&broker, topic, group, "20", "consumer");
    share_with_another(&broker, start).await;
}

async fn a_librdkafka_consumer_and_ours_share(broker: TestBroker) {
    let start = |topic: &str, group: &str| {
        let args = [broker.bootstrap(), topic, group].map(str::to_owned);
        tokio::spawn(async move { confluent(SCRIPT, &args.each_ref().map(String::as_str)).await })
    };
    share_with_another(&broker, start).await;
}

/// Reads four partitions with another client, which joins second.
async fn share_with_another(broker: &TestBroker, start: impl FnOnce(&str, &str) -> JoinHandle<Option<String>>) {
    let client = connect(broker).await;
    let (topic, group, builder) = new_group(broker, &client, 4).await;
    let mut ours = builder.build(client.clone()).await.expect("the group works");
    let mut log = Log::default();
    log.poll_until("all partitions", &mut ours, |log| log.owned.len() == 4).await;
    let theirs = start(&topic, &group);
    let Some(text) = shared_with(&client, &topic, &mut ours, &mut log, theirs).await else { return };
    let mut numbers = [log.numbers, numbers_of(&text)].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    ours.close().await.expect("the group works");
}

/// Polls until the other client has its share, then writes forty records, of which it reads twenty.
async fn shared_with(
    client: &Client,
    topic: &str,
    ours: &mut GroupConsumer,
    log: &mut Log,
    mut theirs: JoinHandle<Option<String>>,
) -> Option<String> {
    within("two shares", 2 * WAIT, async {
        while log.owned.len() != 2 {
            tokio::select! {
                () = log.poll(ours) => {}
                ended = &mut theirs => return ended.expect("no panic"),
            }
        }
        fill(client, topic, 4, 0..40).await;
        loop {
            tokio::select! {
                () = log.poll(ours) => {}
                ended = &mut theirs => {
                    let text = ended.expect("no panic");
                    log.poll_until("our share", ours, |log| log.numbers.len() >= 20).await;
                    return text;
                }
            }
        }
    })
    .await
}

async fn a_group_changes_over_and_back_one_by_one(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, _, builder) = new_group(&broker, &client, 4).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = write_on(client.clone(), topic.clone(), 4, Arc::clone(&stop));
    let mut seen: BTreeMap<i32, u32> = BTreeMap::new();
    let mut note = |log: &mut Log| log.numbers.drain(..).for_each(|number| *seen.entry(number).or_default() += 1);
    let of = |protocol| builder.clone().group_protocol(protocol).build(client.clone());
    let (mut first, mut second) = (Log::default(), Log::default());
    let mut one = of(GroupProtocol::Classic).await.expect("the group works");
    let mut two = of(GroupProtocol::Classic).await.expect("the group works");
    let shared = |one: &Log, two: &Log| one.owned.len() == 2 && two.owned.len() == 2;
    poll_both("two shares", (&mut one, &mut first), (&mut two, &mut second), shared).await;
    // Each is replaced by one of the consumer protocol, and then by one of the classic again.
    for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
        one.close().await.expect("the group works");
        note(&mut first);
        first = Log::default();
        one = of(protocol).await.expect("the group works");
        poll_both("two shares", (&mut one, &mut first), (&mut two, &mut second), |one, two| {
            shared(one, two) && !one.numbers.is_empty()
        })
        .await;
        two.close().await.expect("the group works");
        note(&mut second);
        second = Log::default();
        two = of(protocol).await.expect("the group works");
        poll_both("two shares", (&mut one, &mut first), (&mut two, &mut second), |one, two| {
            shared(one, two) && !two.numbers.is_empty()
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let count = writer.await.expect("the writer does not panic");
    note(&mut first);
    note(&mut second);
    let left = usize::try_from(count).expect("not negative") - seen.len();
    poll_both("all records", (&mut one, &mut first), (&mut two, &mut second), |one, two| {
        one.numbers.len() + two.numbers.len() >= left
    })
    .await;
    for number in [&first.numbers[..], &second.numbers[..]].concat() {
        *seen.entry(number).or_default() += 1;
    }
    assert_eq!(seen.len(), usize::try_from(count).expect("not negative"));
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    one.close().await.expect("the group works");
    two.close().await.expect("the group works");
}

async fn a_group_of_javas_consumer_changes_over(broker: TestBroker) {
    let client = connect(&broker).await;
    for (javas, ours) in [("classic", GroupProtocol::Consumer), ("consumer", GroupProtocol::Classic)] {
        let (topic, group, builder) = new_group(&broker, &client, 4).await;
        let java = start_java(&broker, &topic, &group, "20", javas);
        let has_joined = || async {
            let described = client.list_groups(&GroupFilter::default()).await.ok()?;
            described.iter().any(|listed| *listed.group_id == *group && &*listed.state == "Stable").then_some(())
        };
        tokio::select! {
            () = eventually("Java's member", 2 * WAIT, has_joined) => {}
            () = tokio::time::sleep(WAIT), if java.is_finished() => {}
        }
        let mut consumer = builder.group_protocol(ours).build(client.clone()).await.expect("the group works");
        let mut log = Log::default();
        let Some(text) = shared_with(&client, &topic, &mut consumer, &mut log, java).await else { return };
        let mut numbers = [log.numbers, numbers_of(&text)].concat();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "Java {javas}");
        consumer.close().await.expect("the group works");
    }
}

/// Reads twenty records in a group, and prints the values.
const SCRIPT: &str = r#"
import sys, time
from confluent_kafka import Consumer
servers, topic, group = sys.argv[1:4]
consumer = Consumer({
    "bootstrap.servers": servers, "group.id": group, "group.protocol": "consumer", "auto.offset.reset": "earliest",
})
consumer.subscribe([topic])
start, count = time.monotonic(), 0
while count < 20 and time.monotonic() - start < 90:
    message = consumer.poll(0.1)
    if message is None:
        continue
    if message.error():
        print(message.error(), file=sys.stderr)
        continue
    count += 1
    print(message.value().decode())
consumer.close()
"#;
