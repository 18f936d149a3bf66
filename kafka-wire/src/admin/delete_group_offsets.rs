//! Deletion of committed offsets of a group (KIP-496).

use std::collections::BTreeMap;

use super::{ItemError, Outcomes, outcomes_by};
use crate::cluster::TopicPartition;
use crate::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};
use crate::types::PartitionId;
use crate::wire::Str;

/// Makes a request to delete the offsets of `partitions`.
#[must_use]
pub fn request(group_id: &Str, partitions: &[TopicPartition]) -> OffsetDeleteRequest {
    let mut topics: BTreeMap<&Str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        let one = OffsetDeleteRequestPartition { partition_index: partition.0, ..Default::default() };
        topics.entry(topic).or_default().push(one);
    }
    let topics = topics.into_iter().map(|(name, partitions)| OffsetDeleteRequestTopic {
        name: name.clone(),
        partitions,
        ..Default::default()
    });
    OffsetDeleteRequest { group_id: group_id.clone(), topics: topics.collect(), ..Default::default() }
}

/// Returns the outcome of each partition, in the order of `partitions`.
///
/// # Errors
/// The coordinator's error for the whole group.
pub fn read(
    partitions: &[TopicPartition],
    response: OffsetDeleteResponse,
) -> Result<Outcomes<TopicPartition>, ItemError> {
    ItemError::check(response.error_code, None)?;
    let answers = response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |partition| {
            let place = TopicPartition::new(name.clone(), PartitionId(partition.partition_index));
            (place, ItemError::check(partition.error_code, None))
        })
    });
    Ok(outcomes_by(partitions, TopicPartition::clone, answers))
}
