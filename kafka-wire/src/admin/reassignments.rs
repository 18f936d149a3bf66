//! Moves of partitions to other brokers (KIP-455).

use std::collections::BTreeMap;

use super::{ItemError, Outcomes, outcomes_by};
use crate::cluster::TopicPartition;
use crate::protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition, ReassignableTopic,
};
use crate::protocol::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, ListPartitionReassignmentsTopics,
};
use crate::types::{BrokerId, PartitionId};
use crate::wire::Str;

/// A move to start or to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reassignment {
    /// Move the partition to these brokers, the preferred leader first.
    To(Vec<BrokerId>),
    /// Cancel the move that is under way.
    Cancel,
}

/// A move under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingReassignment {
    /// The partition that moves.
    pub partition: TopicPartition,
    /// Brokers that hold it now, old and new ones.
    pub replicas: Vec<BrokerId>,
    /// Those of them that are new.
    pub adding: Vec<BrokerId>,
    /// Those of them that will give it up.
    pub removing: Vec<BrokerId>,
}

/// Makes a request for moves; the number of replicas may change.
#[must_use]
pub fn alter_request(moves: &[(TopicPartition, Reassignment)], timeout_ms: i32) -> AlterPartitionReassignmentsRequest {
    let mut topics: BTreeMap<&Str, Vec<ReassignablePartition>> = BTreeMap::new();
    for (partition, reassignment) in moves {
        let replicas = match reassignment {
            Reassignment::To(brokers) => Some(brokers.iter().map(|broker| broker.0).collect()),
            Reassignment::Cancel => None,
        };
        topics.entry(&partition.topic).or_default().push(ReassignablePartition {
            partition_index: partition.partition.0,
            replicas,
            ..Default::default()
        });
    }
    let topics = topics.into_iter().map(|(name, partitions)| ReassignableTopic {
        name: name.clone(),
        partitions,
        ..Default::default()
    });
    AlterPartitionReassignmentsRequest { topics: topics.collect(), timeout_ms, ..Default::default() }
}

/// Returns the outcome of each partition, in the order of `partitions`.
///
/// # Errors
/// The controller's error for the whole request.
pub fn read_altered(
    partitions: &[TopicPartition],
    response: AlterPartitionReassignmentsResponse,
) -> Result<Outcomes<TopicPartition>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let answers = response.responses.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |found| {
            let partition = TopicPartition::new(name.clone(), PartitionId(found.partition_index));
            (partition, ItemError::check(found.error_code, found.error_message))
        })
    });
    Ok(outcomes_by(partitions, TopicPartition::clone, answers))
}

/// Makes a request for the moves of these partitions, or for all moves if `partitions` is empty.
#[must_use]
pub fn list_request(partitions: &[TopicPartition], timeout_ms: i32) -> ListPartitionReassignmentsRequest {
    let mut topics: BTreeMap<&Str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition.0);
    }
    let topics = topics.into_iter().map(|(name, partition_indexes)| ListPartitionReassignmentsTopics {
        name: name.clone(),
        partition_indexes,
        ..Default::default()
    });
    let topics = (!partitions.is_empty()).then(|| topics.collect());
    ListPartitionReassignmentsRequest { topics, timeout_ms, ..Default::default() }
}

/// Returns the moves under way, sorted by partition.
///
/// # Errors
/// The controller's error.
pub fn read_listed(response: ListPartitionReassignmentsResponse) -> Result<Vec<OngoingReassignment>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let brokers = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    let moves = response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |found| OngoingReassignment {
            partition: TopicPartition::new(name.clone(), PartitionId(found.partition_index)),
            replicas: brokers(found.replicas),
            adding: brokers(found.adding_replicas),
            removing: brokers(found.removing_replicas),
        })
    });
    let mut moves: Vec<_> = moves.collect();
    moves.sort_by(|one, other| one.partition.cmp(&other.partition));
    Ok(moves)
}
