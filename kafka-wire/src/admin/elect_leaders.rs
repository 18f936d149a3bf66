//! Elections of leaders on demand (KIP-183, KIP-460).

use std::collections::BTreeMap;

use super::{ItemError, Outcomes, outcomes_by};
use crate::cluster::TopicPartition;
use crate::protocol::elect_leaders::{ElectLeadersRequest, ElectLeadersResponse, TopicPartitions};
use crate::types::PartitionId;
use crate::wire::Str;

/// The way in which a leader is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The preferred leader, if it is in sync.
    Preferred,
    /// Any live replica if none is in sync, which loses records.
    Unclean,
}

/// Makes a request to elect the leaders of these partitions, or of all if it is `None`.
#[must_use]
pub fn request(election: ElectionType, partitions: Option<&[TopicPartition]>, timeout_ms: i32) -> ElectLeadersRequest {
    let by_topic = |partitions: &[TopicPartition]| {
        let mut topics: BTreeMap<Str, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(partition.topic.clone()).or_default().push(partition.partition.0);
        }
        let topics = topics.into_iter();
        topics.map(|(topic, partitions)| TopicPartitions { topic, partitions, ..Default::default() }).collect()
    };
    ElectLeadersRequest {
        election_type: match election {
            ElectionType::Preferred => 0,
            ElectionType::Unclean => 1,
        },
        topic_partitions: partitions.map(by_topic),
        timeout_ms,
        ..Default::default()
    }
}

/// Returns the outcome of each partition, in the order of `partitions`; if that is `None`, of those that
/// had an election, sorted.
///
/// # Errors
/// The controller's code for the whole request.
pub fn read(
    partitions: Option<&[TopicPartition]>,
    response: ElectLeadersResponse,
) -> Result<Outcomes<TopicPartition>, ItemError> {
    ItemError::check(response.error_code, None)?;
    let answers = response.replica_election_results.into_iter().flat_map(|topic| {
        let name = topic.topic;
        topic.partition_result.into_iter().map(move |found| {
            let partition = TopicPartition::new(name.clone(), PartitionId(found.partition_id));
            (partition, ItemError::check(found.error_code, found.error_message))
        })
    });
    Ok(match partitions {
        Some(partitions) => outcomes_by(partitions, TopicPartition::clone, answers),
        None => {
            let mut outcomes: Vec<_> = answers.collect();
            outcomes.sort_by(|(one, _), (other, _)| one.cmp(other));
            outcomes
        }
    })
}
