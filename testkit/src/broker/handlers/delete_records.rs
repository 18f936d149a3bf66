//! DeleteRecords: moves the start offset of partitions.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use kafka_wire::types::{Offset, PartitionId};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::log::{Log, LogSettings};
use crate::broker::state::State;

impl Handler for DeleteRecordsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DeleteRecordsResponse> {
        Handled::Now(respond(&self, |topic, wanted| delete(state, topic, wanted)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DeleteRecordsResponse {
        respond(self, |_, _| Err(error))
    }
}

/// Deletes records of a partition and returns its new start offset.
fn delete(state: &mut State, topic: &Str, wanted: &DeleteRecordsPartition) -> Result<Offset, ErrorCode> {
    let partition = PartitionId(wanted.partition_index);
    let now = state.timestamp();
    let delete = |log: &mut Log, settings: &LogSettings| {
        if !settings.is_deleted {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        let before = if wanted.offset == HIGH_WATERMARK { log.end_offset() } else { Offset(wanted.offset) };
        if before < Offset(0) || before > log.end_offset() {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        log.delete_before(before);
        Ok(log.start_offset())
    };
    let start =
        state.topics.change_log(now, topic, partition, delete).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)??;
    state.wake(topic, partition);
    Ok(start)
}

fn respond(
    request: &DeleteRecordsRequest,
    mut delete: impl FnMut(&Str, &DeleteRecordsPartition) -> Result<Offset, ErrorCode>,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|wanted| {
            let result = delete(&topic.name, wanted);
            DeleteRecordsPartitionResult {
                partition_index: wanted.partition_index,
                low_watermark: result.map_or(-1, |start| start.0),
                error_code: super::code(result.map(|_| ())),
                ..Default::default()
            }
        });
        topics.push(DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        });
    }
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

const HIGH_WATERMARK: i64 = -1;
