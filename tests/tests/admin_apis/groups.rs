//! Deleting committed offsets of groups.

use bytes::Bytes;
use conformance::{TestBroker, on_both_brokers};
use kafka_wire::cluster::CoordinatorKind;
use kafka_wire::group::blob::encode_subscription;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::consumer_protocol::ConsumerProtocolSubscription;
use kafka_wire::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_wire::protocol::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use kafka_wire::wire::Str;

use crate::{NONE, Wire, until};

on_both_brokers!(offsets_are_forgotten, groups_that_cannot_forget, topics_that_are_read_are_kept);

const MISSING: ErrorCode = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;

async fn new_group(wire: &Wire) -> Str {
    let group = wire.unique("group");
    wire.client.coordinator(CoordinatorKind::Group, &group).await.expect("there is a coordinator");
    group
}

async fn commit(wire: &Wire, group: &Str, topic: &Str, partitions: &[i32]) {
    let partition =
        |&partition_index| OffsetCommitRequestPartition { partition_index, committed_offset: 7, ..Default::default() };
    let topics = vec![OffsetCommitRequestTopic {
        name: topic.clone(),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    }];
    let request = OffsetCommitRequest {
        group_id: group.clone(),
        generation_id_or_member_epoch: -1,
        topics,
        ..Default::default()
    };
    until(NONE, async || ErrorCode(wire.ask_at(8, request.clone()).await.topics[0].partitions[0].error_code)).await;
}

async fn committed(wire: &Wire, group: &Str, topic: &Str) -> Vec<i64> {
    let topics =
        vec![OffsetFetchRequestTopic { name: topic.clone(), partition_indexes: vec![0, 1], ..Default::default() }];
    let request = OffsetFetchRequest { group_id: group.clone(), topics: Some(topics), ..Default::default() };
    let response = wire.ask_at(5, request).await;
    response.topics[0].partitions.iter().map(|partition| partition.committed_offset).collect()
}

/// The error code of the whole request, and those of the partitions.
async fn delete(wire: &Wire, group: &str, topics: &[(&Str, &[i32])]) -> (ErrorCode, Vec<ErrorCode>) {
    let topic = |(name, partitions): &(&Str, &[i32])| OffsetDeleteRequestTopic {
        name: (*name).clone(),
        partitions: partitions
            .iter()
            .map(|&partition_index| OffsetDeleteRequestPartition { partition_index, ..Default::default() })
            .collect(),
        ..Default::default()
    };
    let request = OffsetDeleteRequest {
        group_id: Str::from(group),
        topics: topics.iter().map(topic).collect(),
        ..Default::default()
    };
    let response = wire.ask(request).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    (ErrorCode(response.error_code), partitions.map(|partition| ErrorCode(partition.error_code)).collect())
}

async fn offsets_are_forgotten(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let (group, topic) = (new_group(&wire).await, wire.topic(2).await);
    commit(&wire, &group, &topic, &[0, 1]).await;
    assert_eq!(committed(&wire, &group, &topic).await, [7, 7]);
    assert_eq!(delete(&wire, &group, &[(&topic, &[0])]).await, (NONE, vec![NONE]));
    assert_eq!(committed(&wire, &group, &topic).await, [-1, 7]);
    assert_eq!(delete(&wire, &group, &[(&topic, &[0])]).await, (NONE, vec![NONE]), "it is forgotten already");
    let unknown = wire.unique("unknown");
    let (error, mut codes) = delete(&wire, &group, &[(&topic, &[1, 2]), (&unknown, &[0])]).await;
    codes.sort_unstable();
    assert_eq!((error, codes), (NONE, vec![NONE, MISSING, MISSING]));
    assert_eq!(committed(&wire, &group, &topic).await, [-1, -1]);
}

async fn groups_that_cannot_forget(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let (known, topic) = (new_group(&wire).await, wire.topic(2).await);
    let unknown = wire.unique("unknown");
    commit(&wire, &known, &topic, &[0]).await;
    for topics in [&[(&topic, &[0][..])][..], &[(&unknown, &[0])], &[]] {
        assert_eq!(delete(&wire, &unknown, topics).await, (ErrorCode::GROUP_ID_NOT_FOUND, vec![]), "{topics:?}");
    }
    assert_eq!(delete(&wire, &known, &[]).await, (NONE, vec![]), "nothing is asked");
    assert_eq!(delete(&wire, "", &[(&topic, &[0])]).await, (ErrorCode::INVALID_GROUP_ID, vec![]));
    let both: &[(&Str, &[i32])] = &[(&topic, &[0]), (&unknown, &[0])];
    assert_eq!(delete(&wire, &unknown, both).await, (ErrorCode::GROUP_ID_NOT_FOUND, vec![]));
}

/// A member joins and stays in the first phase of the rebalance: JoinGroup v3, which asks for no second request.
async fn join(wire: &Wire, group: &Str, protocol_type: &'static str, metadata: Bytes) {
    let protocol = JoinGroupRequestProtocol { name: Str::from_static("range"), metadata, ..Default::default() };
    let request = JoinGroupRequest {
        group_id: group.clone(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        protocol_type: Str::from_static(protocol_type),
        protocols: vec![protocol],
        ..Default::default()
    };
    until(NONE, async || ErrorCode(wire.ask_at(3, request.clone()).await.error_code)).await;
}

async fn topics_that_are_read_are_kept(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let (group, read, other) = (new_group(&wire).await, wire.topic(2).await, wire.topic(2).await);
    commit(&wire, &group, &read, &[0, 1]).await;
    commit(&wire, &group, &other, &[0, 1]).await;
    let subscription = ConsumerProtocolSubscription { topics: vec![read.clone()], ..Default::default() };
    join(&wire, &group, "consumer", encode_subscription(&subscription)).await;
    let subscribed = ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC;
    let (error, mut codes) = delete(&wire, &group, &[(&read, &[0, 5]), (&other, &[1])]).await;
    codes.sort_unstable();
    assert_eq!((error, codes), (NONE, vec![NONE, MISSING, subscribed]));
    assert_eq!(committed(&wire, &group, &read).await, [7, 7]);
    assert_eq!(committed(&wire, &group, &other).await, [7, -1]);

    let (workers, topic) = (new_group(&wire).await, wire.topic(2).await);
    commit(&wire, &workers, &topic, &[0]).await;
    join(&wire, &workers, "connect", Bytes::from_static(b"whatever")).await;
    assert_eq!(delete(&wire, &workers, &[(&topic, &[0])]).await, (ErrorCode::NON_EMPTY_GROUP, vec![]));

    let (odd, topic) = (new_group(&wire).await, wire.topic(2).await);
    commit(&wire, &odd, &topic, &[0]).await;
    join(&wire, &odd, "consumer", Bytes::from_static(b"?")).await;
    assert_eq!(delete(&wire, &odd, &[(&topic, &[0])]).await, (NONE, vec![subscribed]), "nobody knows what it reads");
}
