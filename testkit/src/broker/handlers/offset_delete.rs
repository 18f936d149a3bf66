//! OffsetDelete: deletes a group's offsets of topics that its members do not read (KIP-496).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::partition::PartitionName;
use crate::broker::state::State;

impl Handler for OffsetDeleteRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<OffsetDeleteResponse> {
        if let Err(error) = state.groups.may_forget_offsets(&self.group_id) {
            return Handled::Now(self.refuse(error, client.context.version));
        }
        Handled::Now(respond(&self, |topic, partition| forget(state, &self.group_id, topic, partition)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> OffsetDeleteResponse {
        OffsetDeleteResponse { error_code: error.0, ..OffsetDeleteResponse::default() }
    }
}

fn forget(state: &mut State, group_id: &str, topic: &Str, partition: i32) -> ErrorCode {
    if state.topics.partition(topic, partition).is_none() {
        return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    }
    let partition = PartitionName { topic: topic.clone(), partition: PartitionId(partition) };
    match state.groups.forget_offset(group_id, &partition) {
        Ok(()) => ErrorCode::NONE,
        Err(error) => error,
    }
}

fn respond(request: &OffsetDeleteRequest, mut forget: impl FnMut(&Str, i32) -> ErrorCode) -> OffsetDeleteResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|one| OffsetDeleteResponsePartition {
            partition_index: one.partition_index,
            error_code: forget(&topic.name, one.partition_index).0,
            ..Default::default()
        });
        topics.push(OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        });
    }
    OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() }
}
