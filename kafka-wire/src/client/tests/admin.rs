//! Administration while brokers die, are silent, or have moved.

use super::*;
use crate::admin::hanging::OpenTransaction;
use crate::cluster::TopicPartition;
use crate::protocol::describe_groups::{DescribeGroupsResponse, DescribedGroup};
use crate::protocol::describe_producers::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse as ProducersOfTopic,
};
use crate::protocol::describe_quorum::{
    DescribeQuorumResponse, DescribeQuorumResponsePartitionData, DescribeQuorumResponseTopicData,
};
use crate::protocol::describe_topic_partitions::{
    DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponseTopic,
};
use crate::protocol::list_transactions::ListTransactionsResponse;

/// A broker that also knows these APIs.
fn admin(
    hosts: &'static [&'static str],
    apis: &'static [ApiKey],
    rest: impl Fn(ApiKey, i16) -> Act + Send + Sync + 'static,
) -> Host {
    Host::Broker(Arc::new(move |api, version, _, _| match api {
        ApiKey::ApiVersions => versions_with(apis, version),
        ApiKey::Metadata => metadata(hosts, version),
        _ => rest(api, version),
    }))
}

#[tokio::test(start_paused = true)]
async fn the_quorum_is_described_once_it_has_a_leader_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let host = admin(&["a"], &[ApiKey::DescribeQuorum], move |_, version| {
        let error = [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::NONE][count.fetch_add(1, Ordering::Relaxed)];
        let log = DescribeQuorumResponsePartitionData { leader_id: 3_001, error_code: error.0, ..Default::default() };
        let topic = DescribeQuorumResponseTopicData { partitions: vec![log], ..Default::default() };
        answer(&DescribeQuorumResponse { topics: vec![topic], ..Default::default() }, version)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let quorum = client.describe_quorum().await.unwrap();
    assert_eq!((quorum.leader, asked.load(Ordering::Relaxed)), (Some(BrokerId(3_001)), 2));
}

#[tokio::test(start_paused = true)]
async fn a_description_comes_from_the_next_broker_if_one_dies_of_it_or_is_silent() {
    const APIS: &[ApiKey] = &[ApiKey::DescribeTopicPartitions];
    for is_silent in [false, true] {
        let asked = Arc::new(AtomicUsize::new(0));
        let host = || {
            let count = Arc::clone(&asked);
            admin(&["a", "b"], APIS, move |_, version| match count.fetch_add(1, Ordering::Relaxed) {
                0 if is_silent => Act::Hold,
                0 => Act::Close,
                _ => {
                    let topic =
                        DescribeTopicPartitionsResponseTopic { name: Some(Str::from("t")), ..Default::default() };
                    answer(&DescribeTopicPartitionsResponse { topics: vec![topic], ..Default::default() }, version)
                }
            })
        };
        let client = Network::default().with("a", host()).with("b", host()).client("a:9092").await.unwrap();
        let before = client.now();
        // A topic that is asked for twice is described twice.
        let names = [Str::from("t"), Str::from("t")];
        let topics = client.describe_topics(&names).await.unwrap();
        assert!(topics.len() == 2 && topics.iter().all(|(_, topic)| topic.is_ok()), "{topics:?}");
        assert!(client.now() - before < Duration::from_secs(3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_too_old_counts_more_than_one_that_dies() {
    let dying = admin(&["a", "b"], &[ApiKey::DescribeCluster], |_, _| Act::Close);
    let network = Network::default().with("a", dying).with("b", plain(&["a", "b"]));
    let client = network.client("a:9092").await.unwrap();
    let described = client.describe_cluster().await.unwrap();
    assert_eq!((described.brokers.len(), described.operations), (2, None), "it is made of metadata");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_described_by_the_successor_of_a_coordinator_that_dies_of_it() {
    const APIS: &[ApiKey] = &[ApiKey::DescribeGroups];
    let is_dead = Arc::new(AtomicUsize::new(0));
    let host = |is_first: bool| {
        let is_dead = Arc::clone(&is_dead);
        admin(&["a", "b"], APIS, move |api, version| match api {
            ApiKey::FindCoordinator => {
                let (node_id, host) = [(1, "a"), (2, "b")][is_dead.load(Ordering::Relaxed)];
                let found = Coordinator { node_id, host: Str::from(host), port: 9092, ..Default::default() };
                answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }, version)
            }
            _ if is_first => {
                is_dead.store(1, Ordering::Relaxed);
                Act::Close
            }
            _ => {
                let group = DescribedGroup { group_id: Str::from("g"), ..Default::default() };
                answer(&DescribeGroupsResponse { groups: vec![group], ..Default::default() }, version)
            }
        })
    };
    let client = Network::default().with("a", host(true)).with("b", host(false)).client("a:9092").await.unwrap();
    let groups = client.describe_groups(&[Str::from("g")]).await.unwrap();
    assert!(groups[0].1.is_ok(), "{groups:?}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_without_a_leader_leaves_the_others_time_to_find_theirs() {
    let asked = AtomicUsize::new(0);
    let host = admin(&["a"], &[ApiKey::DescribeProducers], move |_, version| {
        let error = [ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::NONE][asked.fetch_add(1, Ordering::Relaxed)];
        let partition = PartitionResponse { error_code: error.0, ..Default::default() };
        let topic = ProducersOfTopic { name: Str::from("t"), partitions: vec![partition] };
        answer(&DescribeProducersResponse { topics: vec![topic], ..Default::default() }, version)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let [good, bad] = [0, 1].map(|index| TopicPartition::new("t", PartitionId(index)));
    let outcomes = client.describe_producers(&[bad, good]).await;
    assert!(matches!(outcomes[0].1, Err(MetadataError::NoLeader { .. })), "{outcomes:?}");
    assert_eq!(outcomes[1].1, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_ends_while_coordinators_are_asked_does_not_hang() {
    const APIS: &[ApiKey] = &[ApiKey::DescribeProducers, ApiKey::ListTransactions];
    let asked = AtomicUsize::new(0);
    let host = admin(&["a"], APIS, move |api, version| match api {
        ApiKey::ListTransactions => answer(&ListTransactionsResponse::default(), version),
        _ => {
            // The producer has begun another transaction when the leader is asked again; the last one hangs.
            let start = [100, 200, 300, 300][asked.fetch_add(1, Ordering::Relaxed)];
            let producer = ProducerState {
                producer_id: 7,
                producer_epoch: 5,
                current_txn_start_offset: start,
                // It may be of any time, also of one to come.
                last_timestamp: if start == 300 { i64::MAX } else { 1 },
                ..Default::default()
            };
            let partition = PartitionResponse { active_producers: vec![producer], ..Default::default() };
            let topic = ProducersOfTopic { name: Str::from("t"), partitions: vec![partition] };
            answer(&DescribeProducersResponse { topics: vec![topic], ..Default::default() }, version)
        }
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let partitions = [TopicPartition::new("t", PartitionId(0))];
    let timeout = Duration::from_secs(900);
    assert_eq!(client.find_hanging_transactions(&partitions, timeout).await.unwrap(), []);
    let found = client.find_hanging_transactions(&partitions, timeout).await.unwrap();
    let starts = |open: &OpenTransaction| open.producer.transaction_start.map(|start| start.0);
    assert_eq!(found.iter().map(starts).collect::<Vec<_>>(), [Some(300)]);
}
