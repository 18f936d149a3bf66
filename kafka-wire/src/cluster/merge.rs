//! The rules by which a Metadata response changes a [`Cluster`].
//!
//! - The broker list of every response replaces the known one: brokers come and go, and a response about one topic
//!   lists them all. Only an empty list (of a broker that has just started) changes nothing.
//! - Topics that the response does not mention stay as they are: a response is about the requested topics.
//! - Within one topic id the leader epoch of a partition only grows; a lower one comes from a broker that
//!   lags and is ignored.
//! - Another topic id means another topic: everything known under that name is dropped, epochs included.
//! - A leader that a broker names in another response counts if its epoch is newer.
//! - A topic with an error and no partitions keeps the known partitions, except if the topic does not exist.

use std::sync::Arc;

use super::{Broker, Cluster, LeaderHint, Partition, Topic, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::metadata::{MetadataResponse, MetadataResponsePartition, MetadataResponseTopic};
use crate::types::{BrokerId, LeaderEpoch, PartitionId};
use crate::wire::Uuid;

impl Cluster {
    /// Merges a Metadata response.
    pub fn merge(&mut self, response: &MetadataResponse) {
        if !response.brokers.is_empty() {
            self.brokers = response
                .brokers
                .iter()
                .map(|broker| Broker {
                    id: BrokerId(broker.node_id),
                    host: broker.host.clone(),
                    port: u16::try_from(broker.port).unwrap_or(0),
                    rack: broker.rack.clone(),
                })
                .map(|broker| (broker.id, broker))
                .collect();
            self.controller = known(response.controller_id);
        }
        if response.cluster_id.is_some() {
            self.cluster_id.clone_from(&response.cluster_id);
        }
        for topic in &response.topics {
            self.merge_topic(topic);
        }
    }

    /// Adds a broker that another response named, such as a coordinator. A known broker stays as it is.
    pub fn learn_broker(&mut self, broker: Broker) {
        self.brokers.entry(broker.id).or_insert(broker);
    }

    /// Takes a leader that a broker has named, if its epoch is newer than the known one and its address is known.
    /// Returns whether it was taken.
    pub fn learn_leader(&mut self, hint: &LeaderHint) -> bool {
        let LeaderHint { partition: TopicPartition { topic, partition }, leader, epoch } = hint;
        if !self.brokers.contains_key(leader) {
            return false;
        }
        let Some(topic) = self.topics.get_mut(topic) else { return false };
        let is_newer = topic.partition(*partition).is_some_and(|known| known.leader_epoch < *epoch);
        if is_newer {
            let partitions = Arc::make_mut(topic).partitions.iter_mut();
            for known in partitions.filter(|known| known.id == *partition) {
                (known.leader, known.leader_epoch, known.error) = (Some(*leader), *epoch, ErrorCode::NONE);
            }
        }
        is_newer
    }

    /// Forgets every broker, so that the next request goes to the bootstrap addresses. Topics stay. Source: KIP-1102.
    pub fn forget_brokers(&mut self) {
        self.brokers.clear();
        self.controller = None;
    }

    /// Forgets a topic, because it was deleted or created anew.
    pub fn forget_topic(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.names_by_id.remove(&topic.id);
        }
    }

    fn merge_topic(&mut self, answer: &MetadataResponseTopic) {
        // A topic without a name would be the result of a request by id, which this client does not make.
        let Some(name) = answer.name.clone() else { return };
        let error = ErrorCode(answer.error_code);
        let is_gone = error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION || error == ErrorCode::INVALID_TOPIC_EXCEPTION;
        let known = self.topics.get(&name).filter(|_| !is_gone);
        let is_same = known.is_some_and(|known| answer.topic_id == known.id || answer.topic_id == Uuid::default());
        let (id, known) = match known {
            Some(known) if is_same => (known.id, &known.partitions[..]),
            _ => (answer.topic_id, &[][..]),
        };
        let partitions = merge_partitions(known, &answer.partitions);
        let topic = Topic { name: name.clone(), id, partitions, error, is_internal: answer.is_internal };
        let replaced = self.topics.insert(name.clone(), Arc::new(topic));
        if let Some(replaced) = replaced.filter(|replaced| replaced.id != id) {
            self.names_by_id.remove(&replaced.id);
        }
        if id != Uuid::default() {
            self.names_by_id.insert(id, name);
        }
    }
}

/// The partitions of `answer` merged over the `known` ones, sorted by id; the newer leader epoch wins.
fn merge_partitions(known: &[Partition], answer: &[MetadataResponsePartition]) -> Vec<Partition> {
    let mut partitions: Vec<_> = answer.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.id);
    partitions.dedup_by_key(|partition| partition.id);
    for older in known {
        match partitions.binary_search_by_key(&older.id, |partition| partition.id) {
            Ok(index) if is_stale(&partitions[index], older) => partitions[index] = older.clone(),
            Ok(_) => {}
            Err(index) => partitions.insert(index, older.clone()),
        }
    }
    partitions
}

/// Epoch -1 means that the broker does not report it: then its answer counts.
fn is_stale(answer: &Partition, known: &Partition) -> bool {
    answer.leader_epoch >= LeaderEpoch(0) && answer.leader_epoch < known.leader_epoch
}

fn partition(answer: &MetadataResponsePartition) -> Partition {
    Partition {
        id: PartitionId(answer.partition_index),
        leader: known(answer.leader_id),
        leader_epoch: LeaderEpoch(answer.leader_epoch),
        replicas: answer.replica_nodes.iter().map(|id| BrokerId(*id)).collect(),
        error: ErrorCode(answer.error_code),
    }
}

fn known(id: i32) -> Option<BrokerId> {
    (id >= 0).then_some(BrokerId(id))
}
