//! The rules of merging, one by one.

use super::*;
use crate::protocol::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

fn brokers(ids: &[i32]) -> Vec<MetadataResponseBroker> {
    let broker = |id: &i32| MetadataResponseBroker {
        node_id: *id,
        host: Str::from(format!("b{id}")),
        port: 9092,
        rack: None,
        ..Default::default()
    };
    ids.iter().map(broker).collect()
}

/// A topic whose partitions are given as (id, leader, epoch).
fn topic(name: &str, id: u8, partitions: &[(i32, i32, i32)]) -> MetadataResponseTopic {
    let partition = |(partition_index, leader_id, leader_epoch): &(i32, i32, i32)| MetadataResponsePartition {
        partition_index: *partition_index,
        leader_id: *leader_id,
        leader_epoch: *leader_epoch,
        ..Default::default()
    };
    MetadataResponseTopic {
        name: Some(Str::from(name)),
        topic_id: Uuid([id; 16]),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    }
}

fn answer(ids: &[i32], topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
    MetadataResponse { brokers: brokers(ids), controller_id: 1, topics, ..Default::default() }
}

fn known(ids: &[i32], topics: Vec<MetadataResponseTopic>) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.merge(&answer(ids, topics));
    cluster
}

fn leader(cluster: &Cluster, topic: &str, partition: i32) -> Option<(i32, i32)> {
    cluster.leader(topic, PartitionId(partition)).map(|(broker, epoch)| (broker.0, epoch.0))
}

#[test]
fn topics_that_an_answer_leaves_out_stay() {
    let mut cluster = known(&[1], vec![topic("a", 1, &[(0, 1, 5)])]);
    cluster.merge(&answer(&[1], vec![topic("b", 2, &[(0, 1, 0)])]));
    assert_eq!(leader(&cluster, "a", 0), Some((1, 5)));
    assert_eq!(leader(&cluster, "b", 0), Some((1, 0)));
}

#[test]
fn the_list_of_brokers_is_replaced_unless_it_is_empty() {
    let ids = |cluster: &Cluster| cluster.brokers().map(|broker| broker.id.0).collect::<Vec<_>>();
    let mut cluster = known(&[1, 2, 3], vec![]);
    cluster.merge(&answer(&[2, 4], vec![]));
    assert_eq!(ids(&cluster), [2, 4]);
    cluster.merge(&answer(&[], vec![]));
    assert_eq!(ids(&cluster), [2, 4]);
    cluster.forget_brokers();
    assert_eq!(cluster.brokers().len(), 0);
}

#[test]
fn an_older_leader_epoch_is_ignored() {
    let mut cluster = known(&[1, 2], vec![topic("a", 1, &[(0, 1, 5), (1, 1, 5)])]);
    cluster.merge(&answer(&[1, 2], vec![topic("a", 1, &[(0, 2, 4), (1, 2, 6)])]));
    assert_eq!(leader(&cluster, "a", 0), Some((1, 5)));
    assert_eq!(leader(&cluster, "a", 1), Some((2, 6)));
}

#[test]
fn the_same_epoch_may_lose_its_leader() {
    let mut cluster = known(&[1], vec![topic("a", 1, &[(0, 1, 5)])]);
    cluster.merge(&answer(&[1], vec![topic("a", 1, &[(0, -1, 5)])]));
    assert_eq!(leader(&cluster, "a", 0), None);
}

#[test]
fn an_unknown_epoch_counts_as_new() {
    let mut cluster = known(&[1, 2], vec![topic("a", 1, &[(0, 1, 5)])]);
    cluster.merge(&answer(&[1, 2], vec![topic("a", 1, &[(0, 2, -1)])]));
    assert_eq!(leader(&cluster, "a", 0), Some((2, -1)));
}

#[test]
fn a_named_leader_counts_if_its_epoch_is_newer_and_its_address_known() {
    let mut cluster = known(&[1, 2], vec![topic("a", 1, &[(0, 1, 5)])]);
    let before = cluster.clone();
    let hint = |partition, leader, epoch| LeaderHint {
        partition: TopicPartition::new("a", PartitionId(partition)),
        leader: BrokerId(leader),
        epoch: LeaderEpoch(epoch),
    };
    for (hint, why) in [
        (hint(0, 2, 5), "not newer"),
        (hint(0, 9, 6), "no address"),
        (hint(1, 2, 6), "no such partition"),
        (LeaderHint { partition: TopicPartition::new("b", PartitionId(0)), ..hint(0, 2, 6) }, "no such topic"),
    ] {
        assert!(!cluster.learn_leader(&hint), "{why}");
    }
    assert_eq!(cluster, before);
    assert!(cluster.learn_leader(&hint(0, 2, 6)));
    assert_eq!(leader(&cluster, "a", 0), Some((2, 6)));
    cluster.merge(&answer(&[1, 2], vec![topic("a", 1, &[(0, 1, 5)])]));
    assert_eq!(leader(&cluster, "a", 0), Some((2, 6)), "the metadata is older");
}

#[test]
fn a_topic_created_anew_starts_over() {
    let mut cluster = known(&[1], vec![topic("a", 1, &[(0, 1, 50), (1, 1, 50)])]);
    cluster.merge(&answer(&[1], vec![topic("a", 2, &[(0, 1, 0)])]));
    assert_eq!(leader(&cluster, "a", 0), Some((1, 0)));
    assert_eq!(cluster.topic("a").map(|topic| topic.partitions.len()), Some(1));
    assert_eq!(cluster.topic_by_id(Uuid([1; 16])), None);
    assert_eq!(cluster.topic_by_id(Uuid([2; 16])).map(|topic| &*topic.name), Some("a"));
}

#[test]
fn a_topic_that_is_gone_keeps_its_error_only() {
    let mut cluster = known(&[1], vec![topic("a", 1, &[(0, 1, 5)])]);
    let gone = MetadataResponseTopic { error_code: 3, name: Some(Str::from("a")), ..Default::default() };
    cluster.merge(&answer(&[1], vec![gone]));
    let topic = cluster.topic("a").unwrap();
    assert_eq!((topic.error, topic.partitions.len()), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, 0));
    assert_eq!(cluster.topic_by_id(Uuid([1; 16])), None);
}

#[test]
fn a_passing_error_keeps_what_is_known() {
    let mut cluster = known(&[1], vec![topic("a", 1, &[(0, 1, 5)])]);
    let passing = MetadataResponseTopic { error_code: 5, name: Some(Str::from("a")), ..Default::default() };
    cluster.merge(&answer(&[1], vec![passing]));
    assert_eq!(leader(&cluster, "a", 0), Some((1, 5)));
    assert_eq!(cluster.topic("a").map(|topic| topic.error), Some(ErrorCode::LEADER_NOT_AVAILABLE));
}

#[test]
fn partitions_are_sorted_and_unique() {
    let cluster = known(&[1], vec![topic("a", 1, &[(2, 1, 0), (0, 1, 0), (2, 1, 0), (1, 1, 0)])]);
    let ids: Vec<_> = cluster.topic("a").unwrap().partitions.iter().map(|partition| partition.id.0).collect();
    assert_eq!(ids, [0, 1, 2]);
}

#[test]
fn a_coordinator_adds_a_broker_but_changes_none() {
    let mut cluster = known(&[1], vec![]);
    for id in [1, 7] {
        let host = Str::from("elsewhere");
        cluster.learn_broker(Broker { id: BrokerId(id), host, port: 1, rack: None });
    }
    assert_eq!(cluster.broker(BrokerId(1)).map(|broker| &*broker.host), Some("b1"));
    assert_eq!(cluster.broker(BrokerId(7)).map(|broker| &*broker.host), Some("elsewhere"));
}
