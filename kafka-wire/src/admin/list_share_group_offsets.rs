//! The progress of a share group (KIP-932, KIP-1226).

use std::collections::BTreeMap;

use super::ItemError;
use crate::cluster::TopicPartition;
use crate::protocol::describe_share_group_offsets::{
    DescribeShareGroupOffsetsRequest, DescribeShareGroupOffsetsRequestGroup, DescribeShareGroupOffsetsRequestTopic,
    DescribeShareGroupOffsetsResponse, DescribeShareGroupOffsetsResponsePartition,
};
use crate::types::{LeaderEpoch, Offset, PartitionId};
use crate::wire::Str;

/// How far a share group has come in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareOffset {
    /// The first offset that the group has not done with (inclusive); `None` if it has not begun.
    pub start: Option<Offset>,
    /// Leader epoch in which that was noted; -1 for none.
    pub leader_epoch: LeaderEpoch,
    /// Number of records still to be processed; `None` if unknown, and before Kafka 4.2.
    pub lag: Option<u64>,
}

/// Progress, or the reason why it is unknown, by partition.
pub type ShareOffsets = Vec<(TopicPartition, Result<ShareOffset, ItemError>)>;

/// Makes a request for these partitions, or for all that the group has read.
#[must_use]
pub fn request(group_id: &Str, partitions: Option<&[TopicPartition]>) -> DescribeShareGroupOffsetsRequest {
    let topics = partitions.map(|partitions| {
        let mut topics: BTreeMap<&Str, Vec<i32>> = BTreeMap::new();
        for TopicPartition { topic, partition } in partitions {
            topics.entry(topic).or_default().push(partition.0);
        }
        let topics = topics.into_iter().map(|(name, partitions)| DescribeShareGroupOffsetsRequestTopic {
            topic_name: name.clone(),
            partitions,
            ..Default::default()
        });
        topics.collect()
    });
    let group = DescribeShareGroupOffsetsRequestGroup { group_id: group_id.clone(), topics, ..Default::default() };
    DescribeShareGroupOffsetsRequest { groups: vec![group], ..Default::default() }
}

/// Returns the progress of the one group of the request, sorted.
///
/// # Errors
/// The coordinator's error for the whole group.
pub fn read(response: DescribeShareGroupOffsetsResponse) -> Result<ShareOffsets, ItemError> {
    let group = response.groups.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(group.error_code, group.error_message)?;
    let found = group.topics.into_iter().flat_map(|topic| {
        let name = topic.topic_name;
        topic.partitions.into_iter().map(move |answer| {
            (TopicPartition::new(name.clone(), PartitionId(answer.partition_index)), partition(answer))
        })
    });
    let mut found: ShareOffsets = found.collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

fn partition(answer: DescribeShareGroupOffsetsResponsePartition) -> Result<ShareOffset, ItemError> {
    ItemError::check(answer.error_code, answer.error_message)?;
    Ok(ShareOffset {
        start: (answer.start_offset >= 0).then_some(Offset(answer.start_offset)),
        leader_epoch: LeaderEpoch(answer.leader_epoch),
        lag: u64::try_from(answer.lag).ok(),
    })
}
