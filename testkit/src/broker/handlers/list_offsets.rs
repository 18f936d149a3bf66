//! ListOffsets: the start and end offsets of partitions, and offsets by timestamp.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use kafka_wire::types::{Offset, TimestampMs};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::log::{LEADER_EPOCH, Log, TimestampOffset};
use crate::broker::state::State;

impl Handler for ListOffsetsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ListOffsetsResponse> {
        let is_committed_only = self.isolation_level == READ_COMMITTED;
        let mut response = respond(&self, |topic, wanted| find(state, topic, wanted, is_committed_only));
        if client.context.version < FIRST_WITH_EPOCH {
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| partition.leader_epoch = -1);
        }
        Handled::Now(response)
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ListOffsetsResponse {
        respond(self, |_, _| Err(error))
    }
}

fn find(
    state: &State,
    topic: &Str,
    wanted: &ListOffsetsPartition,
    is_committed_only: bool,
) -> Result<Option<TimestampOffset>, ErrorCode> {
    let partition =
        state.topics.partition(topic, wanted.partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if wanted.current_leader_epoch > LEADER_EPOCH.0 {
        return Err(ErrorCode::UNKNOWN_LEADER_EPOCH);
    }
    let log: &Log = &partition.log;
    let end = if is_committed_only { log.last_stable_offset() } else { log.end_offset() };
    let at = |offset: Offset| Some(TimestampOffset { offset, timestamp: TimestampMs(-1) });
    Ok(match wanted.timestamp {
        LATEST => at(end),
        EARLIEST | EARLIEST_LOCAL => at(log.start_offset()),
        MAX_TIMESTAMP => log.find_max_timestamp(),
        // There is no tiered storage.
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => None,
        timestamp => log.find_timestamp(TimestampMs(timestamp), end),
    })
}

fn respond(
    request: &ListOffsetsRequest,
    mut find: impl FnMut(&Str, &ListOffsetsPartition) -> Result<Option<TimestampOffset>, ErrorCode>,
) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|wanted| {
            let found = find(&topic.name, wanted);
            let answer = ListOffsetsPartitionResponse {
                partition_index: wanted.partition_index,
                timestamp: -1,
                offset: -1,
                leader_epoch: -1,
                ..ListOffsetsPartitionResponse::default()
            };
            match found {
                Ok(Some(found)) => ListOffsetsPartitionResponse {
                    timestamp: found.timestamp.0,
                    offset: found.offset.0,
                    leader_epoch: LEADER_EPOCH.0,
                    ..answer
                },
                Ok(None) => answer,
                Err(error) => ListOffsetsPartitionResponse { error_code: error.0, ..answer },
            }
        });
        topics.push(ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        });
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

/// Earlier versions of the response do not have the leader epoch, and encoding a field that the version lacks is
/// an error.
const FIRST_WITH_EPOCH: i16 = 4;
const READ_COMMITTED: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
