//! Leaders, replicas, directories and the quorum, as far as one node has them.

use std::time::Duration;

use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use kafka_wire::protocol::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use kafka_wire::protocol::describe_quorum::{DescribeQuorumRequest, PartitionData, TopicData};
use kafka_wire::protocol::describe_topic_partitions::{Cursor, DescribeTopicPartitionsRequest, TopicRequest};
use kafka_wire::protocol::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use kafka_wire::protocol::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};
use kafka_wire::protocol::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_wire::wire::Str;

use crate::{NODE, NONE, PLAIN, Wire, until};

on_both_brokers!(
    epochs_have_ends,
    leaders_are_elected,
    partitions_are_reassigned,
    directories_are_described,
    the_quorum_is_described,
    topics_are_described_in_pages,
);

const WAIT: Duration = Duration::from_secs(30);
const MISSING: ErrorCode = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;

async fn epochs_have_ends(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    let unknown = wire.unique("unknown");
    let find = async |topic: &Str, partition, current_leader_epoch, leader_epoch| {
        let wanted = OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch, ..Default::default() };
        let topics =
            vec![OffsetForLeaderTopic { topic: topic.clone(), partitions: vec![wanted], ..Default::default() }];
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics, ..Default::default() };
        let response = wire.ask(request).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!((&response.topics[0].topic, found.partition), (topic, partition));
        (ErrorCode(found.error_code), found.leader_epoch, found.end_offset)
    };
    // The broker takes the lead some time after the topic was created.
    let led = || async {
        let found = find(&topic, 0, -1, 0).await;
        (found.0 != ErrorCode::NOT_LEADER_OR_FOLLOWER).then_some(found)
    };
    assert_eq!(eventually("the leader", WAIT, led).await, (NONE, 0, 0), "an empty log");
    wire.write(&topic).await;
    assert_eq!(find(&topic, 0, -1, 0).await, (NONE, 0, 3));
    assert_eq!(find(&topic, 0, 0, 0).await, (NONE, 0, 3), "with the epoch of the leader");
    assert_eq!(find(&topic, 0, -1, 5).await, (NONE, -1, -1), "an epoch to come");
    assert_eq!(find(&topic, 0, -1, -1).await, (NONE, -1, -1), "no epoch");
    assert_eq!(find(&topic, 0, -1, -2).await, (NONE, -2, 0), "an epoch before the first");
    assert_eq!(find(&topic, 0, 1, 0).await, (ErrorCode::UNKNOWN_LEADER_EPOCH, -1, -1));
    assert_eq!(find(&topic, 0, -2, 0).await, (ErrorCode::FENCED_LEADER_EPOCH, -1, -1));
    assert_eq!(find(&topic, 1, -1, 0).await, (MISSING, -1, -1));
    assert_eq!(find(&unknown, 0, -1, 0).await, (MISSING, -1, -1));
    for version in 2..=4 {
        let wanted = OffsetForLeaderPartition { leader_epoch: 0, ..Default::default() };
        let topics =
            vec![OffsetForLeaderTopic { topic: topic.clone(), partitions: vec![wanted], ..Default::default() }];
        let request = OffsetForLeaderEpochRequest { topics, ..Default::default() };
        assert_eq!(wire.ask_at(version, request).await.topics[0].partitions[0].end_offset, 3, "v{version}");
    }
}

async fn leaders_are_elected(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(2).await;
    let unknown = wire.unique("unknown");
    let request = |election_type, topic: &Str, partitions: &[i32]| ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![TopicPartitions {
            topic: topic.clone(),
            partitions: partitions.to_vec(),
            ..Default::default()
        }]),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let needless = ErrorCode::ELECTION_NOT_NEEDED;
    for election_type in [0, 1] {
        let response = wire.ask(request(election_type, &topic, &[0, 1, 2, -1])).await;
        assert_eq!(ErrorCode(response.error_code), NONE);
        let results = &response.replica_election_results[0];
        let codes: Vec<_> =
            results.partition_result.iter().map(|one| (one.partition_id, ErrorCode(one.error_code))).collect();
        assert_eq!((&results.topic, codes), (&topic, vec![(0, needless), (1, needless), (2, MISSING), (-1, MISSING)]));
    }
    let response = wire.ask(request(0, &unknown, &[0])).await;
    assert_eq!(ErrorCode(response.replica_election_results[0].partition_result[0].error_code), MISSING);
    let response = wire.ask(request(7, &topic, &[0])).await;
    assert_eq!(ErrorCode(response.error_code), ErrorCode::INVALID_REQUEST, "no such election");
    let result = &response.replica_election_results[0].partition_result[0];
    assert_eq!(ErrorCode(result.error_code), ErrorCode::INVALID_REQUEST);

    let all = ElectLeadersRequest { topic_partitions: None, timeout_ms: 10_000, ..Default::default() };
    for version in 0..=2 {
        let response = wire.ask_at(version, all.clone()).await;
        let own = response.replica_election_results.iter().find(|result| result.topic == topic);
        assert!(own.is_none_or(|result| result.partition_result.is_empty()), "v{version}: {own:?}");
    }
}

async fn partitions_are_reassigned(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(1).await;
    let unknown = wire.unique("unknown");
    let reassign = async |topic: &Str, partition_index, replicas: Option<&[i32]>| {
        let partition =
            ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec), ..Default::default() };
        let topics = vec![ReassignableTopic { name: topic.clone(), partitions: vec![partition], ..Default::default() }];
        let response = wire.ask(AlterPartitionReassignmentsRequest { topics, ..Default::default() }).await;
        assert_eq!((ErrorCode(response.error_code), &response.responses[0].name), (NONE, topic));
        ErrorCode(response.responses[0].partitions[0].error_code)
    };
    let illegal = ErrorCode::INVALID_REPLICA_ASSIGNMENT;
    assert_eq!(reassign(&topic, 0, Some(&[NODE])).await, NONE);
    assert_eq!(reassign(&topic, 0, None).await, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS);
    assert_eq!(reassign(&topic, 0, Some(&[])).await, illegal);
    assert_eq!(reassign(&topic, 0, Some(&[NODE, NODE])).await, illegal);
    assert_eq!(reassign(&topic, 0, Some(&[NODE, 77])).await, illegal);
    assert_eq!(reassign(&topic, 1, Some(&[NODE])).await, MISSING);
    assert_eq!(reassign(&topic, 1, None).await, MISSING);
    assert_eq!(reassign(&unknown, 0, Some(&[77])).await, MISSING);
    for allow_replication_factor_change in [true, false] {
        let request = AlterPartitionReassignmentsRequest { allow_replication_factor_change, ..Default::default() };
        let response = wire.ask_at(1, request).await;
        assert!(response.allow_replication_factor_change, "whatever the request has said");
    }
    let named =
        ListPartitionReassignmentsTopics { name: topic.clone(), partition_indexes: vec![0], ..Default::default() };
    let missing = ListPartitionReassignmentsTopics { name: unknown, partition_indexes: vec![0], ..Default::default() };
    for topics in [None, Some(vec![]), Some(vec![named, missing])] {
        let response = wire.ask(ListPartitionReassignmentsRequest { topics, ..Default::default() }).await;
        assert_eq!((ErrorCode(response.error_code), response.topics.len()), (NONE, 0));
    }
}

async fn topics_are_described_in_pages(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let (one, other, unknown) = (wire.topic(3).await, wire.topic(3).await, wire.unique("zzz"));
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    // Name, error and partitions of each topic on a page, and the beginning of the next page.
    let page = async |limit, cursor: Option<(&Str, i32)>| {
        let names = [&unknown, &second, &first].map(|name| TopicRequest { name: name.clone(), ..Default::default() });
        let cursor = cursor.map(|(topic_name, partition_index)| Cursor {
            topic_name: topic_name.clone(),
            partition_index,
            ..Default::default()
        });
        let request = DescribeTopicPartitionsRequest {
            topics: names.to_vec(),
            response_partition_limit: limit,
            cursor,
            ..Default::default()
        };
        let response = wire.ask(request).await;
        let topics = response.topics.into_iter().map(|topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index).collect::<Vec<_>>();
            (topic.name.expect("asked for by name"), ErrorCode(topic.error_code), indexes)
        });
        let next = response.next_cursor.map(|next| (next.topic_name, next.partition_index));
        (topics.collect::<Vec<_>>(), next)
    };
    let of = |topic: &Str, indexes: &[i32]| (topic.clone(), NONE, indexes.to_vec());
    assert_eq!(page(2, None).await, (vec![of(&first, &[0, 1])], Some((first.clone(), 2))));
    let both = vec![of(&first, &[2]), of(&second, &[0])];
    assert_eq!(page(2, Some((&first, 2))).await, (both, Some((second.clone(), 1))));
    let last = vec![of(&second, &[1, 2]), (unknown.clone(), MISSING, vec![])];
    assert_eq!(page(9, Some((&second, 1))).await, (last, None));
    assert_eq!(page(2, Some((&second, 1))).await, (vec![of(&second, &[1, 2])], Some((unknown.clone(), 0))));
    assert_eq!(page(3, None).await, (vec![of(&first, &[0, 1, 2])], Some((second.clone(), 0))));
    assert_eq!(page(0, None).await, (vec![of(&first, &[0])], Some((first, 1))), "one at least");
}

async fn directories_are_described(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = wire.topic(2).await;
    let unknown = wire.unique("unknown");
    wire.write(&topic).await;
    let wanted = |topic: &Str, partitions: &[i32]| DescribableLogDirTopic {
        topic: topic.clone(),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    // Index, size, lag and whether it is a future replica, for every partition of the topic.
    let describe = async |version, topics: Option<Vec<DescribableLogDirTopic>>| {
        let response = wire.ask_at(version, DescribeLogDirsRequest { topics, ..Default::default() }).await;
        assert_eq!((ErrorCode(response.error_code), response.results.len()), (NONE, 1));
        let directory = &response.results[0];
        assert_eq!(ErrorCode(directory.error_code), NONE);
        assert!(directory.log_dir.starts_with('/'));
        assert!(directory.topics.iter().all(|topic| topic.name != unknown && !topic.partitions.is_empty()));
        let own = directory.topics.iter().filter(|found| found.name == topic).flat_map(|found| &found.partitions);
        let mut own: Vec<_> =
            own.map(|one| (one.partition_index, one.partition_size, one.offset_lag, one.is_future_key)).collect();
        own.sort_unstable();
        own
    };
    let size = i64::try_from(crate::batch(PLAIN, b"value").len()).expect("a small batch");
    let whole = [(0, size, 0, false), (1, 0, 0, false)];
    // The broker makes the log of a partition some time after the topic was created.
    until(whole.to_vec(), async || describe(1, None).await).await;
    for version in 1..=5 {
        assert_eq!(describe(version, None).await, whole, "v{version}");
    }
    assert_eq!(describe(5, Some(vec![wanted(&topic, &[0, 1])])).await, whole);
    assert_eq!(describe(5, Some(vec![wanted(&topic, &[1, 2]), wanted(&unknown, &[0])])).await, whole[1..]);
    assert_eq!(describe(5, Some(vec![])).await, []);
}

async fn the_quorum_is_described(broker: TestBroker) {
    let wire = Wire::open(broker).await;
    let topic = |name: &'static str, partitions: &[i32]| {
        let partition = |&partition_index: &i32| PartitionData { partition_index, ..Default::default() };
        let partitions = partitions.iter().map(partition).collect();
        TopicData { topic_name: Str::from_static(name), partitions, ..Default::default() }
    };
    for version in 0..=2 {
        let topics = vec![topic("__cluster_metadata", &[0])];
        let response = wire.ask_at(version, DescribeQuorumRequest { topics, ..Default::default() }).await;
        assert_eq!((ErrorCode(response.error_code), response.topics.len()), (NONE, 1), "v{version}");
        let partition = &response.topics[0].partitions[0];
        assert_eq!((ErrorCode(partition.error_code), partition.leader_id), (NONE, NODE));
        assert!(partition.leader_epoch > 0 && partition.high_watermark > 0, "{partition:?}");
        let voter = &partition.current_voters[0];
        assert_eq!((partition.current_voters.len(), voter.replica_id, partition.observers.len()), (1, NODE, 0));
        assert!(voter.log_end_offset >= partition.high_watermark);
        assert_eq!(voter.last_caught_up_timestamp > 0, version >= 1);
        assert_eq!(
            response.nodes.iter().map(|node| node.node_id).collect::<Vec<_>>(),
            vec![NODE; usize::from(version == 2)]
        );
    }
    for topics in [vec![topic("__cluster_metadata", &[1])], vec![topic("other", &[0, 3])]] {
        let asked = topics.clone();
        let response = wire.ask(DescribeQuorumRequest { topics, ..Default::default() }).await;
        assert_eq!((ErrorCode(response.error_code), &response.topics[0].topic_name), (NONE, &asked[0].topic_name));
        let indexes: Vec<_> = asked[0].partitions.iter().map(|one| (one.partition_index, MISSING)).collect();
        let found = response.topics[0].partitions.iter();
        let found: Vec<_> = found.map(|one| (one.partition_index, ErrorCode(one.error_code))).collect();
        assert_eq!(found, indexes);
    }
}
