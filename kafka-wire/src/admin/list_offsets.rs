//! Looking up offsets: the first, the end, or by timestamp.

use super::ListedOffset;
use crate::cluster::{OffsetSpec, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use crate::types::{IsolationLevel, LeaderEpoch, Offset, PartitionId, TimestampMs};

/// A request to one leader for offsets of `partitions`, each with its known leader epoch.
///
/// The epoch lets a broker that knows another epoch refuse (`FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`) instead
/// of answering for a past leadership. Source: KIP-320.
#[must_use]
pub fn request(
    partitions: &[(TopicPartition, OffsetSpec, LeaderEpoch)],
    isolation: IsolationLevel,
) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (partition, spec, epoch) in partitions {
        let asked = ListOffsetsPartition {
            partition_index: partition.partition.0,
            current_leader_epoch: epoch.0,
            timestamp: spec.code(),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(last) if last.name == partition.topic => last.partitions.push(asked),
            _ => topics.push(ListOffsetsTopic {
                name: partition.topic.clone(),
                partitions: vec![asked],
                ..Default::default()
            }),
        }
    }
    ListOffsetsRequest { replica_id: CLIENT, isolation_level: isolation.code(), topics, ..Default::default() }
}

/// The leader's result for each partition, in the order of the response.
pub fn read(response: ListOffsetsResponse) -> impl Iterator<Item = (TopicPartition, Result<ListedOffset, ErrorCode>)> {
    response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |answer| {
            let partition = TopicPartition::new(name.clone(), PartitionId(answer.partition_index));
            let listed = ErrorCode(answer.error_code).ok().map(|()| listed(partition.clone(), &answer));
            (partition, listed)
        })
    })
}

fn listed(partition: TopicPartition, answer: &ListOffsetsPartitionResponse) -> ListedOffset {
    ListedOffset {
        partition,
        offset: (answer.offset >= 0).then_some(Offset(answer.offset)),
        timestamp: TimestampMs(answer.timestamp),
        leader_epoch: LeaderEpoch(answer.leader_epoch),
    }
}

/// `replica_id` of clients, which are not brokers.
const CLIENT: i32 = -1;
