//! OffsetCommit: commits offsets of a member, or of a consumer that assigns itself.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId};
use kafka_wire::wire::{Str, Uuid};

use super::{Client, Handled, Handler};
use crate::broker::groups::{Caller, Commit, CommittedOffset, Group};
use crate::broker::partition::PartitionName;
use crate::broker::state::State;

impl Handler for OffsetCommitRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<OffsetCommitResponse> {
        if self.group_id.is_empty() {
            return Handled::Now(self.refuse(ErrorCode::INVALID_GROUP_ID, client.context.version));
        }
        let by_id = client.context.version >= FIRST_WITH_TOPIC_IDS;
        let mut offsets = Vec::new();
        let mut response = respond(&self, |topic, partition| {
            let name = match named(state, (&topic.name, topic.topic_id), partition.partition_index, by_id) {
                Ok(name) => name,
                Err(error) => return error,
            };
            match committed(
                &name,
                partition.partition_index,
                partition.committed_offset,
                partition.committed_leader_epoch,
                partition.committed_metadata.as_ref(),
            ) {
                Ok(offset) => offsets.push(offset),
                Err(error) => return error,
            }
            ErrorCode::NONE
        });
        let has_epochs = |group: &Group| group.consumer().is_some() && !group.is_empty();
        if client.context.version < FIRST_WITH_NO_GROUP && state.groups.group(&self.group_id).is_some_and(has_epochs) {
            return Handled::Now(self.refuse(ErrorCode::UNSUPPORTED_VERSION, client.context.version));
        }
        if offsets.is_empty() {
            return Handled::Now(response); // Nothing is left for the group, which need not exist then.
        }
        let commit = Commit {
            group_id: self.group_id.clone(),
            caller: Caller {
                member_id: self.member_id.clone(),
                instance_id: self.group_instance_id.clone(),
                generation: self.generation_id_or_member_epoch,
            },
            producer: None,
            offsets,
        };
        if let Err(error) = state.groups.commit(state.now, &commit) {
            let error = in_words_of(error, client.context.version >= FIRST_WITH_NO_GROUP);
            response = self.refuse(error, client.context.version);
        }
        Handled::Now(response)
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> OffsetCommitResponse {
        respond(self, |_, _| error)
    }
}

/// The name of a topic that has this partition. The topic is looked up by id if the version of the request has
/// ids, by name otherwise.
pub(super) fn named(state: &State, (name, id): (&Str, Uuid), partition: i32, by_id: bool) -> Result<Str, ErrorCode> {
    let name = state.topic_name(name, id);
    match state.topics.partition(&name, partition) {
        Some(_) => Ok(name),
        None if by_id && state.topics.by_name(&name).is_none() => Err(ErrorCode::UNKNOWN_TOPIC_ID),
        None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    }
}

/// The error code for a refused commit. Versions differ in whether they have a code for a group that does not exist.
pub(super) const fn in_words_of(error: ErrorCode, has_no_group: bool) -> ErrorCode {
    match error {
        ErrorCode::GROUP_ID_NOT_FOUND if !has_no_group => ErrorCode::ILLEGAL_GENERATION,
        other => other,
    }
}

/// The offset as it is stored: a copy, so that the request's frame is not kept. Commits inside and outside of
/// transactions use it.
pub(super) fn committed(
    topic: &Str,
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<&Str>,
) -> Result<(PartitionName, CommittedOffset), ErrorCode> {
    let metadata = metadata.map(Str::detached).unwrap_or_default();
    if metadata.len() > METADATA_LIMIT_BYTES {
        return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
    }
    let name = PartitionName { topic: topic.detached(), partition: PartitionId(partition) };
    let offset = CommittedOffset { offset: Offset(offset), leader_epoch: LeaderEpoch(leader_epoch), metadata };
    Ok((name, offset))
}

fn respond(
    request: &OffsetCommitRequest,
    mut judge: impl FnMut(&OffsetCommitRequestTopic, &OffsetCommitRequestPartition) -> ErrorCode,
) -> OffsetCommitResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|partition| OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: judge(topic, partition).0,
            ..Default::default()
        });
        topics.push(OffsetCommitResponseTopic {
            partitions: partitions.collect(),
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            ..Default::default()
        });
    }
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

/// Kafka's default of `offset.metadata.max.bytes`.
const METADATA_LIMIT_BYTES: usize = 4096;
/// KIP-848.
const FIRST_WITH_NO_GROUP: i16 = 9;
const FIRST_WITH_TOPIC_IDS: i16 = 10;
