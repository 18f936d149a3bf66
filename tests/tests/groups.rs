//! Members of a classic group: their assignments, and the effect of members that join, leave or fall silent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance::foreign::java;
use conformance::reader::create_topic;
use conformance::writer::{Transactions, write};
use conformance::{TestBroker, client_config, eventually, on_both_brokers, on_every_broker, within};
use kafka_wire::client::{
    Assignor, Client, GroupConfig, GroupError, GroupEvent, GroupMember, LostCause, OffsetsError, commit_offsets,
    fetch_offsets,
};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId};
use kafka_wire::wire::Str;
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

on_every_broker!(offsets_of_an_open_transaction_are_waited_for);

on_both_brokers!(
    a_member_alone_reads_everything,
    two_members_share_and_the_one_that_stays_takes_over,
    members_of_one_client_do_not_hold_up_each_other,
    a_member_that_does_not_rejoin_in_time_loses_its_partitions,
    a_member_that_falls_silent_is_replaced,
    a_group_is_shared_although_joins_and_syncs_are_lost,
    a_leader_that_dies_between_join_and_sync_is_replaced,
    a_static_member_that_comes_back_keeps_its_partitions,
    a_second_member_with_the_same_instance_id_fences_the_first,
    a_static_member_that_leaves_is_gone_at_once,
    a_session_timeout_that_the_broker_refuses_names_the_setting,
    members_without_a_common_assignor_are_told_so,
    every_member_gets_the_bytes_of_the_leader,
    a_topic_that_grows_is_shared_anew,
    offsets_are_kept_with_their_epochs_and_words,
    a_member_of_the_past_cannot_commit,
    a_java_consumer_and_ours_share_whoever_leads,
);

/// Of members that nobody waits for. What takes less than a third of it has not waited.
const LONG_SESSION: Duration = Duration::from_secs(45);
/// The shortest timeout that brokers allow by default, for members that fall silent.
const SHORT_SESSION: Duration = Duration::from_secs(6);

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens")
}

/// A group over a new topic.
async fn new_group(broker: &TestBroker, client: &Client, partitions: i32) -> GroupConfig {
    let topic = broker.unique("t");
    create_topic(client, &topic, partitions).await;
    GroupConfig {
        session_timeout: LONG_SESSION,
        heartbeat_interval: Duration::from_millis(100),
        rebalance_timeout: LONG_SESSION,
        ..GroupConfig::new(broker.unique("g"), vec![Str::from(topic)])
    }
}

fn fixed(config: &GroupConfig, instance_id: &str) -> GroupConfig {
    GroupConfig { instance_id: Some(Str::from(instance_id)), ..config.clone() }
}

async fn next_event(member: &mut GroupMember) -> GroupEvent {
    // A foreign member is a JVM that has to start.
    within("an event", Duration::from_secs(120), member.next_event()).await
}

/// The partitions of the next assignment; rebalances before it are followed.
async fn settle(member: &mut GroupMember) -> Vec<i32> {
    loop {
        match next_event(member).await {
            GroupEvent::Assigned { partitions, .. } => return indexes(&partitions),
            GroupEvent::Rebalancing => member.rejoin(),
            other => panic!("{other:?}"),
        }
    }
}

/// Both members' partitions once they agree on a generation.
async fn settle_both(one: &mut GroupMember, two: &mut GroupMember) -> (Vec<i32>, Vec<i32>) {
    let mut shares = (None, None);
    loop {
        let (event, member, share) = tokio::select! {
            biased;
            event = next_event(one) => (event, &mut *one, &mut shares.0),
            event = next_event(two) => (event, &mut *two, &mut shares.1),
        };
        match event {
            GroupEvent::Assigned { generation, partitions, .. } => *share = Some((generation, indexes(&partitions))),
            GroupEvent::Rebalancing | GroupEvent::Lost { .. } => member.rejoin(),
            other => panic!("{other:?}"),
        }
        if let (Some((first, one)), Some((second, two))) = &shares
            && first == second
        {
            return (one.clone(), two.clone());
        }
    }
}

fn indexes(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|partition| partition.partition.0).collect()
}

fn offset(offset: i64) -> CommittedOffset {
    CommittedOffset::new(Offset(offset))
}

async fn a_member_alone_reads_everything(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 3).await;
    for assignor in [Assignor::Range, Assignor::RoundRobin] {
        let mut member = GroupMember::join(client.clone(), GroupConfig { assignors: vec![assignor], ..config.clone() });
        assert_eq!(settle(&mut member).await, [0, 1, 2]);
        let metadata = member.group_metadata();
        assert!(metadata.generation > 0 && !metadata.member_id.is_empty());
        assert_eq!(metadata.group_id, config.group_id);
        member.leave().await;
    }
}

async fn two_members_share_and_the_one_that_stays_takes_over(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 5).await;
    let mut one = GroupMember::join(client.clone(), config.clone());
    assert_eq!(settle(&mut one).await, [0, 1, 2, 3, 4]);
    // The second member uses a client of its own, as in another process.
    let mut two = GroupMember::join(connect(&broker).await, config.clone());
    let (mine, other) = settle_both(&mut one, &mut two).await;
    assert_eq!((mine.len() + other.len(), mine.len().abs_diff(other.len())), (5, 1));
    let all: BTreeSet<i32> = mine.into_iter().chain(other).collect();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let left = Instant::now();
    two.leave().await;
    assert_eq!(settle(&mut one).await, [0, 1, 2, 3, 4]);
    assert!(left.elapsed() < LONG_SESSION / 3, "the leaver is not waited for: {:?}", left.elapsed());
}

async fn members_of_one_client_do_not_hold_up_each_other(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 4).await;
    let started = Instant::now();
    let mut one = GroupMember::join(client.clone(), config.clone());
    settle(&mut one).await;
    // The second member's join waits until the first learns of it by a heartbeat.
    let mut two = GroupMember::join(client.clone(), config);
    let (mine, other) = settle_both(&mut one, &mut two).await;
    assert_eq!((mine.len(), other.len()), (2, 2));
    assert!(started.elapsed() < LONG_SESSION / 3, "took {:?}", started.elapsed());
}

async fn a_member_that_does_not_rejoin_in_time_loses_its_partitions(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 2).await;
    let config = GroupConfig { rebalance_timeout: Duration::from_secs(3), ..config };
    let mut slow = GroupMember::join(client.clone(), config.clone());
    settle(&mut slow).await;
    let mut quick = GroupMember::join(client.clone(), config);
    assert_eq!(next_event(&mut slow).await, GroupEvent::Rebalancing);
    assert_eq!(settle(&mut quick).await, [0, 1]);
    assert_eq!(next_event(&mut slow).await, GroupEvent::Lost { cause: LostCause::Removed });
    slow.rejoin();
    let (mine, other) = settle_both(&mut slow, &mut quick).await;
    assert_eq!((mine.len(), other.len()), (1, 1));
}

async fn a_member_that_falls_silent_is_replaced(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = GroupConfig { session_timeout: SHORT_SESSION, ..new_group(&broker, &client, 2).await };
    let mut silent = GroupMember::join(connect(&broker).await, config.clone());
    settle(&mut silent).await;
    // The member ends like a killed process: without heartbeats and without LeaveGroup.
    drop(silent);
    let dropped = Instant::now();
    let mut heir = GroupMember::join(client, config);
    assert_eq!(settle(&mut heir).await, [0, 1]);
    assert!(dropped.elapsed() > SHORT_SESSION / 2, "after {:?}", dropped.elapsed());
}

/// A group whose first member, which leads it, is behind a proxy.
async fn led_by(broker: &TestBroker, proxy: &Proxy) -> (GroupMember, GroupConfig) {
    let mut config = client_config(broker.bootstrap());
    config.request_timeout = Duration::from_secs(3);
    let client = Client::connect_with(config, proxy.connector()).await.expect("the broker listens");
    let config = new_group(broker, &client, 4).await;
    let config = GroupConfig { session_timeout: SHORT_SESSION, rebalance_timeout: SHORT_SESSION, ..config };
    let mut leader = GroupMember::join(client, config.clone());
    assert_eq!(settle(&mut leader).await, [0, 1, 2, 3]);
    (leader, config)
}

async fn a_group_is_shared_although_joins_and_syncs_are_lost(broker: TestBroker) {
    let broker = Arc::new(broker);
    let mut groups = JoinSet::new();
    for api in [ApiKey::JoinGroup, ApiKey::SyncGroup] {
        for action in [Action::ApplyThenDisconnect, Action::DropRequest] {
            let broker = Arc::clone(&broker);
            groups.spawn(async move {
                let proxy = Proxy::default();
                let (mut leader, config) = led_by(&broker, &proxy).await;
                proxy.inject(Rule { api_key: api.into(), nth: 1, action });
                let mut other = GroupMember::join(connect(&broker).await, config);
                let (one, two) = settle_both(&mut leader, &mut other).await;
                assert_eq!((one.len(), two.len()), (2, 2), "{action:?} on {}", api.name());
                let all: BTreeSet<i32> = one.into_iter().chain(two).collect();
                assert_eq!(all.len(), 4, "{action:?} on {}", api.name());
            });
        }
    }
    while let Some(group) = groups.join_next().await {
        group.expect("it is shared");
    }
}

async fn a_leader_that_dies_between_join_and_sync_is_replaced(broker: TestBroker) {
    let proxy = Proxy::default();
    let (mut leader, config) = led_by(&broker, &proxy).await;
    proxy.inject(Rule { api_key: ApiKey::SyncGroup.into(), nth: 1, action: Action::DropRequest });
    let mut other = GroupMember::join(connect(&broker).await, config);
    assert_eq!(next_event(&mut leader).await, GroupEvent::Rebalancing);
    leader.rejoin();
    let spent = || async { proxy.is_spent().then_some(()) };
    eventually("the assignment, which gets lost", Duration::from_secs(10), spent).await;
    drop(leader);
    assert_eq!(settle(&mut other).await, [0, 1, 2, 3]);
}

async fn a_static_member_that_comes_back_keeps_its_partitions(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 4).await;
    let mut stays = GroupMember::join(client.clone(), fixed(&config, "a"));
    settle(&mut stays).await;
    let mut restarts = GroupMember::join(connect(&broker).await, fixed(&config, "b"));
    let (_, before) = settle_both(&mut stays, &mut restarts).await;
    let generation = restarts.group_metadata().generation;
    drop(restarts);
    let mut restarts = GroupMember::join(client.clone(), fixed(&config, "b"));
    assert_eq!(settle(&mut restarts).await, before);
    assert_eq!(restarts.group_metadata().generation, generation);
    assert!(timeout(Duration::from_millis(500), stays.next_event()).await.is_err(), "nobody else is disturbed");
}

async fn a_second_member_with_the_same_instance_id_fences_the_first(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = fixed(&new_group(&broker, &client, 2).await, "same");
    let mut first = GroupMember::join(client.clone(), config.clone());
    settle(&mut first).await;
    let mut second = GroupMember::join(client.clone(), config.clone());
    assert_eq!(settle(&mut second).await, [0, 1]);
    let fenced = GroupError::FencedInstance { group_id: config.group_id.clone(), instance_id: Str::from("same") };
    assert_eq!(next_event(&mut first).await, GroupEvent::Fatal(fenced));
    // The second member has taken over the static name: the leave of the first must not remove it.
    first.leave().await;
    assert!(timeout(Duration::from_millis(500), second.next_event()).await.is_err());
}

async fn a_static_member_that_leaves_is_gone_at_once(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 2).await;
    let mut stays = GroupMember::join(client.clone(), fixed(&config, "a"));
    settle(&mut stays).await;
    let mut leaves = GroupMember::join(client.clone(), fixed(&config, "b"));
    settle_both(&mut stays, &mut leaves).await;
    let started = Instant::now();
    leaves.leave().await;
    assert_eq!(settle(&mut stays).await, [0, 1]);
    assert!(started.elapsed() < LONG_SESSION / 3, "took {:?}", started.elapsed());
}

async fn a_session_timeout_that_the_broker_refuses_names_the_setting(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 1).await;
    let session_timeout = Duration::from_millis(10);
    let mut member = GroupMember::join(client, GroupConfig { session_timeout, ..config });
    let GroupEvent::Fatal(error) = next_event(&mut member).await else { panic!("the broker takes 10 ms") };
    assert!(error.to_string().contains("group.min.session.timeout.ms"), "{error}");
    assert!(error.to_string().contains("10ms"), "{error}");
}

async fn members_without_a_common_assignor_are_told_so(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 1).await;
    let with = |assignor| GroupConfig { assignors: vec![assignor], ..config.clone() };
    let mut one = GroupMember::join(client.clone(), with(Assignor::Range));
    settle(&mut one).await;
    let mut two = GroupMember::join(client.clone(), with(Assignor::RoundRobin));
    let offered = "roundrobin".to_owned();
    let expected = GroupError::NoCommonAssignor { group_id: config.group_id.clone(), offered };
    assert_eq!(next_event(&mut two).await, GroupEvent::Fatal(expected));
}

async fn every_member_gets_the_bytes_of_the_leader(broker: TestBroker) {
    let client = connect(&broker).await;
    let mut config = new_group(&broker, &client, 2).await;
    config.leader_user_data = Some(|members| {
        let mut all: Vec<&[u8]> = members.iter().map(|member| &*member.user_data).collect();
        all.sort_unstable();
        Bytes::from(all.join(&b'+'))
    });
    let join = |name: &'static str| {
        let user_data = Bytes::from_static(name.as_bytes());
        GroupMember::join(client.clone(), GroupConfig { user_data, ..config.clone() })
    };
    let (mut x, mut y) = (join("x"), join("y"));
    // Both wait at the same time: the one that joined first has to join again when the other comes.
    let both = async { tokio::join!(hear_both(&mut x), hear_both(&mut y)) };
    within("the bytes of both", Duration::from_secs(20), both).await;
}

async fn hear_both(member: &mut GroupMember) {
    loop {
        match member.next_event().await {
            GroupEvent::Assigned { user_data, .. } if user_data == "x+y" => return,
            GroupEvent::Assigned { user_data, .. } => assert!(user_data == "x" || user_data == "y"),
            GroupEvent::Rebalancing => member.rejoin(),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_topic_that_grows_is_shared_anew(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 1).await;
    let missing = broker.unique("later");
    let topics = vec![config.topics[0].clone(), Str::from(missing.as_str())];
    let mut member = GroupMember::join(client.clone(), GroupConfig { topics, ..config });
    assert_eq!(settle(&mut member).await, [0]);
    create_topic(&client, &missing, 2).await;
    assert_eq!(next_event(&mut member).await, GroupEvent::Rebalancing);
    member.rejoin();
    assert_eq!(settle(&mut member).await.len(), 3);
}

async fn offsets_are_kept_with_their_epochs_and_words(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 3).await;
    let partitions: Vec<_> =
        (0..3).map(|index| TopicPartition::new(config.topics[0].clone(), PartitionId(index))).collect();
    let found = fetch_offsets(&client, &config.group_id, &partitions).await.expect("the coordinator answers");
    assert_eq!(found, partitions.iter().map(|partition| (partition.clone(), None)).collect::<Vec<_>>());

    let nobody = GroupMetadata::without_membership(config.group_id.clone());
    let kept = CommittedOffset { offset: Offset(5), leader_epoch: LeaderEpoch(0), metadata: Str::from("words") };
    let commit = [(partitions[2].clone(), kept.clone()), (partitions[0].clone(), offset(3))];
    commit_offsets(&client, &nobody, &commit).await.expect("nobody else is in the group");
    let found = fetch_offsets(&client, &config.group_id, &partitions).await.expect("the coordinator answers");
    let found: Vec<_> = found.into_iter().map(|(_, committed)| committed).collect();
    assert_eq!(found, [Some(offset(3)), None, Some(kept)]);
}

async fn a_member_of_the_past_cannot_commit(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 1).await;
    let partition = TopicPartition::new(config.topics[0].clone(), PartitionId(0));
    let mut member = GroupMember::join(client.clone(), config.clone());
    settle(&mut member).await;
    let past = member.group_metadata();
    commit_offsets(&client, &past, &[(partition.clone(), offset(1))]).await.expect("it is a member");
    member.rejoin();
    settle(&mut member).await;
    let present = member.group_metadata();
    assert!(present.generation > past.generation);
    let refused = |metadata: GroupMetadata| {
        let commit = [(partition.clone(), offset(9))];
        let client = client.clone();
        async move {
            let error = commit_offsets(&client, &metadata, &commit).await.expect_err("a commit of the past");
            assert!(error.is_group_changed(), "{error}");
            error.code()
        }
    };
    assert_eq!(refused(past).await, Some(ErrorCode::ILLEGAL_GENERATION));
    member.leave().await;
    assert_eq!(refused(present).await, Some(ErrorCode::UNKNOWN_MEMBER_ID));
    let found = fetch_offsets(&client, &config.group_id, &[partition]).await.expect("the coordinator answers");
    assert_eq!(found[0].1, Some(offset(1)));
}

async fn offsets_of_an_open_transaction_are_waited_for(broker: TestBroker) {
    let client = connect(&broker).await;
    let config = new_group(&broker, &client, 1).await;
    let partition = TopicPartition::new(config.topics[0].clone(), PartitionId(0));
    let transactions = Transactions::open(&client, &broker.unique("id")).await;
    for (ends_at, is_committed) in [(7, true), (8, false)] {
        transactions.write_offset(&config.group_id, &partition, Offset(ends_at)).await;
        let asked = [partition.clone()];
        let look = fetch_offsets(&client, &config.group_id, &asked);
        tokio::pin!(look);
        assert!(timeout(Duration::from_millis(300), &mut look).await.is_err(), "it is not decided yet");
        if is_committed {
            transactions.commit().await
        } else {
            transactions.abort().await
        }
        let found: Result<_, OffsetsError> = within("the offsets", Duration::from_secs(10), look).await;
        assert_eq!(found.expect("the coordinator answers")[0].1, Some(offset(7)));
    }
}

async fn a_java_consumer_and_ours_share_whoever_leads(broker: TestBroker) {
    let client = connect(&broker).await;
    // Java's consumer ends with its first record.
    let run_java = |config: &GroupConfig| {
        let (bootstrap, config) = (broker.bootstrap().to_owned(), config.clone());
        tokio::spawn(async move {
            let (topic, group) = (&*config.topics[0], &*config.group_id);
            let args = [
                &["--bootstrap-server", &bootstrap, "--topic", topic, "--group", group, "--from-beginning"][..],
                &["--max-messages", "1", "--timeout-ms", "60000"],
                &[
                    "--command-property",
                    "partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor",
                ],
                &["--command-property", "heartbeat.interval.ms=100", "--command-property", "session.timeout.ms=45000"],
                &["--command-property", "auto.commit.interval.ms=200"],
            ];
            java("org.apache.kafka.tools.consumer.ConsoleConsumer", &args.concat(), "").await.is_some()
        })
    };
    let partitions = |config: &GroupConfig| {
        (0..4).map(|index| TopicPartition::new(config.topics[0].clone(), PartitionId(index))).collect::<Vec<_>>()
    };
    let fill = async |config: &GroupConfig| {
        for partition in partitions(config) {
            write(&client, &partition, &["the end"]).await;
        }
    };
    // Our member joins first, and so becomes the leader.
    let config = new_group(&broker, &client, 4).await;
    let mut ours = GroupMember::join(client.clone(), config.clone());
    assert_eq!(settle(&mut ours).await, [0, 1, 2, 3]);
    let other = run_java(&config);
    let half = tokio::select! {
        half = settle(&mut ours) => half,
        is_there = other => return assert!(!is_there.expect("a tool does not panic"), "it joined and left unnoticed"),
    };
    assert_eq!(half.len(), 2);
    fill(&config).await;
    assert_eq!(settle(&mut ours).await, [0, 1, 2, 3]);
    ours.leave().await;

    // The other member joins first. Ours waits until it has partitions, which its commits show.
    let config = new_group(&broker, &client, 4).await;
    let other = run_java(&config);
    let partitions = partitions(&config);
    let committed = || async {
        let found = fetch_offsets(&client, &config.group_id, &partitions).await.expect("the coordinator answers");
        found.iter().all(|(_, committed)| committed.is_some()).then_some(())
    };
    eventually("the other consumer's commits", Duration::from_secs(60), committed).await;
    let mut ours = GroupMember::join(client.clone(), config.clone());
    assert_eq!(settle(&mut ours).await.len(), 2);
    fill(&config).await;
    assert_eq!(settle(&mut ours).await, [0, 1, 2, 3]);
    assert!(other.await.expect("a tool does not panic"));
}
