//! Administration while brokers die, are silent, or have moved.

use super::*;
use crate::protocol::describe_quorum::{
    DescribeQuorumResponse, DescribeQuorumResponsePartitionData, DescribeQuorumResponseTopicData,
};

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
