//! Controllers and coordinators that have moved, and leaders that are missing.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::admin::{GroupFilter, NewTopic, OffsetSpec};
use crate::cluster::TopicPartition;
use crate::protocol::create_topics::{CreatableTopicResult, CreateTopicsResponse};
use crate::protocol::list_groups::{ListGroupsResponse, ListedGroup};
use crate::protocol::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::types::{IsolationLevel, Offset};

fn created(error_code: i16, version: i16) -> Act {
    let topic = CreatableTopicResult { name: Str::from("x"), error_code, ..Default::default() };
    answer(&CreateTopicsResponse { topics: vec![topic], ..Default::default() }, version)
}

#[tokio::test(start_paused = true)]
async fn topics_are_created_although_the_broker_for_changes_is_gone() {
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let script: Script = Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions(version),
        ApiKey::Metadata if is_gone.load(Ordering::Relaxed) => {
            let mut left = described(&["a", "b"]);
            left.brokers.remove(0);
            answer(&MetadataResponse { controller_id: 2, ..left }, version)
        }
        ApiKey::Metadata => metadata(&["a", "b"], version),
        ApiKey::CreateTopics => created(0, version),
        _ => Act::Close,
    });
    let network = Network::default().with("a", Host::Broker(Arc::clone(&script))).with("b", Host::Broker(script));
    let client = network.client("b:9092").await.unwrap();
    // The controller goes away, with the connection to it.
    network.set("a", Host::Fails(DialError::Connect(ErrorKind::ConnectionRefused)));
    gone.store(true, Ordering::Relaxed);
    let to_a = Node::Broker(BrokerId(1));
    client.request(to_a, Lane::General, HeartbeatRequest::default(), CallOptions::default()).await.unwrap_err();
    let outcomes = client.create_topics(&[NewTopic::new("x", 1)]).await.unwrap();
    assert_eq!(outcomes, [(Str::from("x"), Ok(()))]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_not_the_controller_any_more_is_asked_where_it_is() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let deposed = broker(&["a"], move |_, version, _, _| match count.fetch_add(1, Ordering::Relaxed) {
        0 => created(ErrorCode::NOT_CONTROLLER.0, version),
        1 => created(0, version),
        _ => Act::Close,
    });
    let client = Network::default().with("a", deposed).client("a:9092").await.unwrap();
    let outcomes = client.create_topics(&[NewTopic::new("x", 1)]).await.unwrap();
    assert_eq!(outcomes, [(Str::from("x"), Ok(()))]);
    // One that was sent is not repeated: the answer would not tell who has created the topic.
    client.create_topics(&[NewTopic::new("x", 1)]).await.unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_told_to_be_refused_if_nobody_becomes_the_controller() {
    let host = broker(&["a"], |_, version, _, _| created(ErrorCode::NOT_CONTROLLER.0, version));
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let before = client.now();
    let outcomes = client.create_topics(&[NewTopic::new("x", 1)]).await.unwrap();
    assert_eq!(outcomes[0].1.as_ref().unwrap_err().code, ErrorCode::NOT_CONTROLLER);
    assert!(client.now() - before < Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn a_broker_at_a_new_address_is_described_there() {
    use crate::protocol::describe_log_dirs::{DescribeLogDirsResponse, DescribeLogDirsResult};

    let moved = Arc::new(AtomicBool::new(false));
    let has_moved = Arc::clone(&moved);
    let script: Script = Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions_with(&[ApiKey::DescribeLogDirs], version),
        ApiKey::Metadata if has_moved.load(Ordering::Relaxed) => metadata(&["a", "new"], version),
        ApiKey::Metadata => metadata(&["a", "old"], version),
        _ => {
            let results = vec![DescribeLogDirsResult::default()];
            answer(&DescribeLogDirsResponse { results, ..Default::default() }, version)
        }
    });
    let network = Network::default().with("a", Host::Broker(Arc::clone(&script))).with("new", Host::Broker(script));
    let client = network.client("a:9092").await.unwrap();
    let describe = async || client.describe_log_dirs(&[BrokerId(1), BrokerId(2)]).await;
    let outcomes = describe().await;
    assert!(outcomes[0].1.is_ok() && outcomes[1].1.is_err(), "it is down: {outcomes:?}");
    moved.store(true, Ordering::Relaxed);
    let outcomes = describe().await;
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_at_a_new_address_is_asked_there() {
    let moved = Arc::new(AtomicBool::new(false));
    let has_moved = Arc::clone(&moved);
    let script: Script = Arc::new(move |api, version, _, _| {
        let second = if has_moved.load(Ordering::Relaxed) { "new" } else { "old" };
        match api {
            ApiKey::ApiVersions => versions(version),
            ApiKey::Metadata => metadata(&["a", second], version),
            _ => {
                let found = Coordinator { node_id: 2, host: Str::from(second), port: 9092, ..Default::default() };
                answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }, version)
            }
        }
    });
    let network = Network::default().with("a", Host::Broker(script)).with("new", plain(&["a", "new"]));
    let client = network.client("a:9092").await.unwrap();
    moved.store(true, Ordering::Relaxed);
    let id = client.coordinator(CoordinatorKind::Group, "g").await.unwrap();
    let request = HeartbeatRequest::default();
    client.request(Node::Broker(id), Lane::General, request, CallOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn groups_are_listed_although_the_cluster_has_the_client_start_over() {
    let asked = AtomicUsize::new(0);
    let script: Script = Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions_with(&[ApiKey::ListGroups], version),
        ApiKey::Metadata => {
            // The second one, after that of the bootstrap.
            let is_refused = asked.fetch_add(1, Ordering::Relaxed) == 1;
            let code = if is_refused { ErrorCode::REBOOTSTRAP_REQUIRED } else { ErrorCode::NONE };
            answer(&MetadataResponse { error_code: code.0, ..described(&["a"]) }, version)
        }
        _ => {
            let group = ListedGroup { group_id: Str::from("g"), ..Default::default() };
            answer(&ListGroupsResponse { groups: vec![group], ..Default::default() }, version)
        }
    });
    let client = Network::default().with("a", Host::Broker(script)).client("a:9092").await.unwrap();
    let groups = client.list_groups(&GroupFilter::default()).await.unwrap();
    assert_eq!(groups.iter().map(|group| &*group.group_id).collect::<Vec<_>>(), ["g"]);
}

#[tokio::test(start_paused = true)]
async fn partitions_without_a_leader_are_waited_for_together() {
    let client = Network::default().with("a", plain(&["a"])).client("a:9092").await.unwrap();
    let (bad, before) = (TopicPartition::new("t", PartitionId(1)), client.now());
    let asked = [(bad.clone(), OffsetSpec::Earliest), (bad, OffsetSpec::Latest)];
    let error = client.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoLeader { .. }), "{error:?}");
    assert!(client.now() - before < Duration::from_secs(35));
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_does_not_hold_up_the_reset_of_another() {
    let script: Script = Arc::new(|api, version, _, mut body| match api {
        ApiKey::ApiVersions => versions(version),
        // The client knows nothing of the topic before it asks for it.
        ApiKey::Metadata => {
            let asked = MetadataRequest::decode(&mut body, version).unwrap().topics.unwrap_or_default();
            let mut response = described(&["a"]);
            response.topics.truncate(asked.len());
            answer(&response, version)
        }
        ApiKey::ListOffsets => {
            let partition = ListOffsetsPartitionResponse { offset: 5, leader_epoch: 7, ..Default::default() };
            let topic = ListOffsetsTopicResponse { name: Str::from("t"), partitions: vec![partition] };
            answer(&ListOffsetsResponse { topics: vec![topic], ..Default::default() }, version)
        }
        _ => Act::Hold,
    });
    let client = Network::default().with("a", Host::Broker(script)).client("a:9092").await.unwrap();
    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config);
    let [good, bad] = [0, 1].map(|index| TopicPartition::new("t", PartitionId(index)));
    consumer.assign_by_reset(bad.clone());
    consumer.assign_by_reset(good.clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(consumer.position(&good), Some(Offset(5)));
    assert_eq!(consumer.position(&bad), None);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_is_found_soon_after_it_is_there() {
    for millis in [1_200, 2_000, 3_000] {
        let (created_after, since) = (Duration::from_millis(millis), tokio::time::Instant::now());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let host = broker(&["a"], move |_, version, _, _| {
            count.fetch_add(1, Ordering::Relaxed);
            let is_there = since.elapsed() >= created_after;
            let code = if is_there { ErrorCode::NONE } else { ErrorCode::COORDINATOR_NOT_AVAILABLE };
            let (host, error_code) = (Str::from("a"), code.0);
            let found = Coordinator { node_id: 1, host, port: 9092, error_code, ..Default::default() };
            answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }, version)
        });
        let client = Network::default().with("a", host).client("a:9092").await.unwrap();
        client.coordinator(CoordinatorKind::Transaction, "x").await.unwrap();
        let took = since.elapsed();
        assert!(took <= created_after + Duration::from_millis(200), "{took:?} for {created_after:?}");
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked <= 25, "{asked} requests in {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_that_come_one_after_the_other_are_asked_as_they_come() {
    const PARTITIONS: i32 = 20;
    let rounds = AtomicUsize::new(0);
    let script: Script = Arc::new(move |api, version, _, mut body| match api {
        ApiKey::ApiVersions => versions(version),
        ApiKey::Metadata => {
            let mut response = described(&["a"]);
            let led = |partition_index| MetadataResponsePartition {
                partition_index,
                leader_id: 1,
                leader_epoch: 7,
                ..Default::default()
            };
            response.topics[0].partitions = (0..PARTITIONS).map(led).collect();
            answer(&response, version)
        }
        _ => {
            let asked = ListOffsetsRequest::decode(&mut body, version).unwrap();
            let there = i32::try_from(rounds.fetch_add(1, Ordering::Relaxed)).unwrap();
            let outcome = |partition_index| ListOffsetsPartitionResponse {
                partition_index,
                error_code: if partition_index < there { 0 } else { ErrorCode::NOT_LEADER_OR_FOLLOWER.0 },
                offset: 5,
                leader_epoch: 7,
                ..Default::default()
            };
            let partitions = asked.topics[0].partitions.iter().map(|asked| outcome(asked.partition_index)).collect();
            let topic = ListOffsetsTopicResponse { name: Str::from("t"), partitions };
            answer(&ListOffsetsResponse { topics: vec![topic], ..Default::default() }, version)
        }
    });
    let client = Network::default().with("a", Host::Broker(script)).client("a:9092").await.unwrap();
    let before = client.now();
    let asked = |index| (TopicPartition::new("t", PartitionId(index)), OffsetSpec::Earliest);
    let asked: Vec<_> = (0..PARTITIONS).map(asked).collect();
    let found = client.list_offsets(&asked, IsolationLevel::ReadUncommitted).await.unwrap();
    assert_eq!(found.len(), asked.len());
    let took = client.now() - before;
    // A pause of 50 ms for each, give or take a fifth.
    assert!(took <= Duration::from_millis(1_300), "{took:?}");
}
