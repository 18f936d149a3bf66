//! Groups whose coordinator assigns the partitions (`group.protocol=consumer`, KIP-848): rebalances under load, static
//! members, patterns, and groups that change over from the classic protocol and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::foreign::java;
use conformance::reader::create_topic;
use conformance::writer::write;
use conformance::{TestBroker, eventually, on_both_brokers, within};
use kafka_wire::admin::GroupFilter;
use kafka_wire::client::{
    AssignmentChange, CallOptions, Client, ClientConfig, GroupConsumer, GroupConsumerBuilder, GroupConsumerError,
    GroupError, GroupProtocol, Lane, LostCause, Node, OffsetCommitError, Polled, ResetPolicy, Subscription,
    SubscriptionPattern,
};
use kafka_wire::cluster::{CoordinatorKind, TopicPartition};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::consumer_group_describe::ConsumerGroupDescribeRequest;
use kafka_wire::protocol::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;
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
    Client::connect(ClientConfig::new(broker.bootstrap())).await.expect("the broker listens")
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
    let short = builder.clone().max_poll_interval(Duration::from_secs(1));
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
    let mut again = Log::default();
    again.poll_until("the last record", &mut slow, |log| log.numbers == [10]).await;
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

async fn heartbeat(client: &Client, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    let coordinator = client.coordinator(CoordinatorKind::Group, &request.group_id).await.expect("there is one");
    let options = CallOptions::default();
    let answer = client.request(Node::Broker(coordinator), Lane::General, request, options).await;
    answer.expect("the broker answers")
}

async fn what_is_no_heartbeat_is_refused(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group, _) = new_group(&broker, &client, 1).await;
    let join = ConsumerGroupHeartbeatRequest {
        group_id: Str::from(group),
        member_id: Str::from("m"),
        rebalance_timeout_ms: 5_000,
        subscribed_topic_names: Some(vec![Str::from(topic)]),
        topic_partitions: Some(Vec::new()),
        ..Default::default()
    };
    let other = || Some(Str::from("other"));
    let table = [
        (ConsumerGroupHeartbeatRequest { member_id: Str::EMPTY, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { instance_id: Some(Str::EMPTY), ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { rack_id: Some(Str::EMPTY), ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: -1, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { topic_partitions: None, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { subscribed_topic_names: None, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { member_epoch: -2, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { member_epoch: -3, ..join.clone() }, ErrorCode::INVALID_REQUEST),
        (ConsumerGroupHeartbeatRequest { server_assignor: other(), ..join.clone() }, ErrorCode::UNSUPPORTED_ASSIGNOR),
        (ConsumerGroupHeartbeatRequest { member_epoch: 3, ..join.clone() }, ErrorCode::GROUP_ID_NOT_FOUND),
    ];
    for (request, code) in table {
        let answer = heartbeat(&client, request.clone()).await;
        assert_eq!(ErrorCode(answer.error_code), code, "{request:?}: {answer:?}");
        assert!(answer.assignment.is_none() && answer.error_message.is_some(), "{answer:?}");
    }
    let joined = heartbeat(&client, join.clone()).await;
    assert_eq!((joined.error_code, joined.member_id.as_deref()), (0, Some("m")));
    assert_eq!(joined.assignment.expect("it is told").topic_partitions[0].partitions, [0]);
    let stays = ConsumerGroupHeartbeatRequest {
        member_epoch: joined.member_epoch,
        rebalance_timeout_ms: -1,
        subscribed_topic_names: None,
        topic_partitions: None,
        ..join.clone()
    };
    let answer = heartbeat(&client, stays.clone()).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, joined.member_epoch));
    assert!(answer.assignment.is_none(), "it has not changed");
    let unknown = ConsumerGroupHeartbeatRequest { member_id: Str::from("n"), ..stays.clone() };
    assert_eq!(ErrorCode(heartbeat(&client, unknown).await.error_code), ErrorCode::UNKNOWN_MEMBER_ID);
    let ahead = ConsumerGroupHeartbeatRequest { member_epoch: joined.member_epoch + 5, ..stays.clone() };
    assert_eq!(ErrorCode(heartbeat(&client, ahead).await.error_code), ErrorCode::FENCED_MEMBER_EPOCH);
    let leaves = ConsumerGroupHeartbeatRequest { member_epoch: -1, ..stays };
    let answer = heartbeat(&client, leaves).await;
    assert_eq!((answer.error_code, answer.member_epoch), (0, -1));
}

async fn a_group_is_described_with_its_members(broker: TestBroker) {
    let client = connect(&broker).await;
    let (topic, group, builder) = new_group(&broker, &client, 2).await;
    let mut log = Log::default();
    let mut consumer =
        builder.instance_id("i").rack("west").remote_assignor("range").build(client.clone()).await.expect("a list");
    log.poll_until("all partitions", &mut consumer, |log| log.owned.len() == 2).await;
    let group_id = Str::from(group);
    let coordinator = client.coordinator(CoordinatorKind::Group, &group_id).await.expect("there is one");
    let describe = || async {
        let group_ids = vec![group_id.clone(), Str::from_static("missing")];
        let request = ConsumerGroupDescribeRequest { group_ids, ..Default::default() };
        let options = CallOptions::default();
        let answer = client.request(Node::Broker(coordinator), Lane::General, request, options).await;
        answer.expect("the broker answers").groups
    };
    let stable = || async { Some(describe().await).filter(|groups| &*groups[0].group_state == "Stable") };
    let groups = eventually("a stable group", WAIT, stable).await;
    let described = &groups[0];
    assert_eq!((described.error_code, &*described.assignor_name), (0, "range"));
    assert_eq!(described.group_epoch, described.assignment_epoch);
    let [member] = &described.members[..] else { panic!("{described:?}") };
    assert_eq!((member.instance_id.as_deref(), member.rack_id.as_deref()), (Some("i"), Some("west")));
    assert_eq!(
        (member.member_epoch, &member.subscribed_topic_names[..]),
        (described.group_epoch, &[Str::from(&*topic)][..])
    );
    for assignment in [&member.assignment, &member.target_assignment] {
        let [own] = &assignment.topic_partitions[..] else { panic!("{assignment:?}") };
        assert_eq!((&*own.topic_name, &own.partitions[..]), (&*topic, &[0, 1][..]));
    }
    assert_eq!(ErrorCode(groups[1].error_code), ErrorCode::GROUP_ID_NOT_FOUND);
    let listed = client.list_groups(&GroupFilter::default()).await.expect("the broker answers");
    let listed = listed.iter().find(|listed| listed.group_id == group_id).expect("it is there");
    assert_eq!((&*listed.protocol_type, &*listed.state), ("consumer", "Stable"));
    assert_eq!(listed.group_type.to_ascii_lowercase(), "consumer");
    consumer.close().await.expect("the group works");
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
    let client = connect(&broker).await;
    let (topic, group, builder) = new_group(&broker, &client, 4).await;
    let mut ours = builder.build(client.clone()).await.expect("the group works");
    let mut log = Log::default();
    log.poll_until("all partitions", &mut ours, |log| log.owned.len() == 4).await;
    let javas = start_java(&broker, &topic, &group, "20", "consumer");
    let text = shared_with(&client, &topic, &mut ours, &mut log, javas).await;
    let Some(text) = text else { return };
    let mut numbers = [log.numbers, numbers_of(&text)].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    ours.close().await.expect("the group works");
}

/// Polls until Java has its share, then writes forty records, of which it reads twenty.
async fn shared_with(
    client: &Client,
    topic: &str,
    ours: &mut GroupConsumer,
    log: &mut Log,
    mut javas: JoinHandle<Option<String>>,
) -> Option<String> {
    within("two shares", 2 * WAIT, async {
        while log.owned.len() != 2 {
            tokio::select! {
                () = log.poll(ours) => {}
                ended = &mut javas => return ended.expect("no panic"),
            }
        }
        fill(client, topic, 4, 0..40).await;
        loop {
            tokio::select! {
                () = log.poll(ours) => {}
                ended = &mut javas => {
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
