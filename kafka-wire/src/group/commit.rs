//! Look-ups and commits of offsets, at every version of their requests.
//!
//! Both stay below version 10, in which topics are named by id: offsets are committed for topic names, and an id that
//! is unknown or no longer valid must not prevent a commit.

use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use crate::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use crate::types::{LeaderEpoch, Offset, PartitionId};
use crate::wire::Str;

/// Last version of OffsetCommit and OffsetFetch in which topics are named by name.
pub const LAST_VERSION_WITH_NAMES: i16 = 9;

/// The result of a look-up for one partition: `None` if no offset is committed.
pub type Found = (TopicPartition, Result<Option<CommittedOffset>, ErrorCode>);

/// The kind of committed offsets that a look-up wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Stable ones: offsets that an open transaction is about to change are refused (UNSTABLE_OFFSET_COMMIT).
    /// Source: KIP-447.
    Stable,
    /// The last committed ones, even if an open transaction is about to change them. Never start to process from these.
    Any,
}

/// A look-up of stable offsets: it refuses those that an open transaction is about to change. Source: KIP-447.
///
/// Below version 7 the request cannot ask for stable offsets, and encoding fails.
#[must_use]
pub fn fetch_request(
    group_id: &Str,
    partitions: &[TopicPartition],
    stability: Stability,
    version: i16,
) -> OffsetFetchRequest {
    let require_stable = stability == Stability::Stable;
    let topics = by_topic(partitions.iter().map(|partition| (partition, partition.partition.0)));
    if version < FIRST_VERSION_WITH_GROUPS {
        let topics = topics.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopic {
            name,
            partition_indexes,
            ..Default::default()
        });
        return OffsetFetchRequest {
            group_id: group_id.clone(),
            topics: Some(topics.collect()),
            require_stable,
            ..OffsetFetchRequest::default()
        };
    }
    let topics = topics.into_iter().map(|(name, partition_indexes)| OffsetFetchRequestTopics {
        name,
        partition_indexes,
        ..OffsetFetchRequestTopics::default()
    });
    let group = OffsetFetchRequestGroup {
        group_id: group_id.clone(),
        topics: Some(topics.collect()),
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest { groups: vec![group], require_stable, ..OffsetFetchRequest::default() }
}

/// A look-up of stable offsets of all partitions for which the group has committed one.
///
/// Below version 7 the request cannot ask for stable offsets, and encoding fails.
#[must_use]
pub fn fetch_all_request(group_id: &Str, version: i16) -> OffsetFetchRequest {
    let mut request = fetch_request(group_id, &[], Stability::Stable, version);
    request.topics = request.topics.filter(|_| version >= FIRST_VERSION_WITH_GROUPS);
    request.groups.iter_mut().for_each(|group| group.topics = None);
    request
}

/// Makes a look-up prove the membership of a member of the consumer protocol, so that one that has lost its partitions
/// is refused (UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH). Below version 9 it proves nothing. Source: KIP-848.
pub fn prove(request: &mut OffsetFetchRequest, member: &GroupMetadata) {
    for group in &mut request.groups {
        group.member_id = Some(member.member_id.clone());
        group.member_epoch = member.generation;
    }
}

/// The coordinator's results, in the order of the response.
///
/// # Errors
/// If it refuses the look-up for the whole group.
pub fn read_fetched(response: OffsetFetchResponse) -> Result<Vec<Found>, ErrorCode> {
    ErrorCode(response.error_code).ok()?;
    let mut found = Vec::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let committed = (answer.committed_offset, answer.committed_leader_epoch, answer.metadata);
            found.push(read_partition(&topic.name, answer.partition_index, committed, ErrorCode(answer.error_code)));
        }
    }
    for group in response.groups {
        ErrorCode(group.error_code).ok()?;
        for topic in group.topics {
            for answer in topic.partitions {
                let committed = (answer.committed_offset, answer.committed_leader_epoch, answer.metadata);
                found.push(read_partition(
                    &topic.name,
                    answer.partition_index,
                    committed,
                    ErrorCode(answer.error_code),
                ));
            }
        }
    }
    Ok(found)
}

fn read_partition(topic: &Str, index: i32, committed: (i64, i32, Option<Str>), code: ErrorCode) -> Found {
    let (offset, leader_epoch, metadata) = committed;
    let committed = code.ok().map(|()| {
        (offset >= 0).then(|| CommittedOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch(leader_epoch),
            metadata: metadata.unwrap_or_default(),
        })
    });
    (TopicPartition::new(topic.clone(), PartitionId(index)), committed)
}

/// A commit by a member, or without a member if `group` is without membership.
#[must_use]
pub fn commit_request(group: &GroupMetadata, offsets: &[(TopicPartition, CommittedOffset)]) -> OffsetCommitRequest {
    let partitions = offsets.iter().map(|(partition, committed)| {
        let offset = OffsetCommitRequestPartition {
            partition_index: partition.partition.0,
            committed_offset: committed.offset.0,
            committed_leader_epoch: committed.leader_epoch.0,
            committed_metadata: Some(committed.metadata.clone()),
            ..Default::default()
        };
        (partition, offset)
    });
    let topics = by_topic(partitions).into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        name,
        partitions,
        ..OffsetCommitRequestTopic::default()
    });
    OffsetCommitRequest {
        group_id: group.group_id.clone(),
        generation_id_or_member_epoch: group.generation,
        member_id: group.member_id.clone(),
        group_instance_id: group.instance_id.clone(),
        topics: topics.collect(),
        ..OffsetCommitRequest::default()
    }
}

/// The partitions that the coordinator refused, with the error codes.
pub fn read_refused(response: OffsetCommitResponse) -> impl Iterator<Item = (TopicPartition, ErrorCode)> {
    response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        let refused = topic.partitions.into_iter().filter(|answer| !ErrorCode(answer.error_code).is_none());
        refused.map(move |answer| {
            (TopicPartition::new(name.clone(), PartitionId(answer.partition_index)), ErrorCode(answer.error_code))
        })
    })
}

/// Groups items of partitions by their topic; a topic may occur only once in a request.
fn by_topic<'a, T>(items: impl Iterator<Item = (&'a TopicPartition, T)>) -> Vec<(Str, Vec<T>)> {
    let mut topics = std::collections::BTreeMap::<&Str, Vec<T>>::new();
    for (partition, item) in items {
        topics.entry(&partition.topic).or_default().push(item);
    }
    topics.into_iter().map(|(topic, items)| (topic.clone(), items)).collect()
}

/// First version of OffsetFetch for several groups, which it has in other fields.
const FIRST_VERSION_WITH_GROUPS: i16 = 8;
