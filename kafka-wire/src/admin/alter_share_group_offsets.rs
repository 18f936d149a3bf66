//! Setting where a share group without members goes on (KIP-932).

use std::collections::BTreeMap;

use super::{ItemError, Outcomes, outcomes_by};
use crate::cluster::TopicPartition;
use crate::protocol::alter_share_group_offsets::{
    AlterShareGroupOffsetsRequest, AlterShareGroupOffsetsRequestPartition, AlterShareGroupOffsetsRequestTopic,
    AlterShareGroupOffsetsResponse,
};
use crate::types::{Offset, PartitionId};
use crate::wire::Str;

/// Makes a request to go on at these offsets (inclusive).
#[must_use]
pub fn request(group_id: &Str, offsets: &[(TopicPartition, Offset)]) -> AlterShareGroupOffsetsRequest {
    let mut topics: BTreeMap<&Str, Vec<AlterShareGroupOffsetsRequestPartition>> = BTreeMap::new();
    for (TopicPartition { topic, partition }, offset) in offsets {
        let one = AlterShareGroupOffsetsRequestPartition {
            partition_index: partition.0,
            start_offset: offset.0,
            ..Default::default()
        };
        topics.entry(topic).or_default().push(one);
    }
    let topics = topics.into_iter().map(|(name, partitions)| AlterShareGroupOffsetsRequestTopic {
        topic_name: name.clone(),
        partitions,
        ..Default::default()
    });
    AlterShareGroupOffsetsRequest { group_id: group_id.clone(), topics: topics.collect(), ..Default::default() }
}

/// Returns the outcome of each partition, in the order of `offsets`.
///
/// # Errors
/// The coordinator's error for the whole group: `NON_EMPTY_GROUP` while it has members.
pub fn read(
    offsets: &[(TopicPartition, Offset)],
    response: AlterShareGroupOffsetsResponse,
) -> Result<Outcomes<TopicPartition>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let answers = response.responses.into_iter().flat_map(|topic| {
        let name = topic.topic_name;
        topic.partitions.into_iter().map(move |one| {
            let partition = TopicPartition::new(name.clone(), PartitionId(one.partition_index));
            (partition, ItemError::check(one.error_code, one.error_message))
        })
    });
    let partitions: Vec<_> = offsets.iter().map(|(partition, _)| partition.clone()).collect();
    Ok(outcomes_by(&partitions, TopicPartition::clone, answers))
}
