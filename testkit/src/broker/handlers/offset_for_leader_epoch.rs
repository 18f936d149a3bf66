//! OffsetForLeaderEpoch: the end offset of a leader epoch; each partition has only one epoch here (KIP-320).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::log::LEADER_EPOCH;
use crate::broker::state::State;

impl Handler for OffsetForLeaderEpochRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<OffsetForLeaderEpochResponse> {
        Handled::Now(respond(&self, |topic, wanted| find(state, topic, wanted)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> OffsetForLeaderEpochResponse {
        respond(self, |_, _| Err(error))
    }
}

/// The epoch found and the offset after its last record; -1 and -1 for an epoch that is yet to come.
fn find(state: &State, topic: &str, wanted: &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode> {
    let partition = state.topics.partition(topic, wanted.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match wanted.current_leader_epoch {
        UNKNOWN_EPOCH => {}
        epoch if epoch < LEADER_EPOCH.0 => return Err(ErrorCode::FENCED_LEADER_EPOCH),
        epoch if epoch > LEADER_EPOCH.0 => return Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => {}
    }
    let epoch = wanted.leader_epoch;
    Ok(match epoch {
        _ if epoch == LEADER_EPOCH.0 => (epoch, partition.log.end_offset().0),
        _ if epoch > LEADER_EPOCH.0 || epoch == UNKNOWN_EPOCH => (UNKNOWN_EPOCH, -1),
        _ => (epoch, 0),
    })
}

fn respond(
    request: &OffsetForLeaderEpochRequest,
    find: impl Fn(&Str, &OffsetForLeaderPartition) -> Result<(i32, i64), ErrorCode>,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = EpochEndOffset { partition: wanted.partition, ..EpochEndOffset::default() };
            match find(&topic.topic, wanted) {
                Ok((leader_epoch, end_offset)) => EpochEndOffset { leader_epoch, end_offset, ..answer },
                Err(error) => EpochEndOffset { error_code: error.0, ..answer },
            }
        });
        topics.push(OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        });
    }
    OffsetForLeaderEpochResponse { topics, ..OffsetForLeaderEpochResponse::default() }
}

const UNKNOWN_EPOCH: i32 = -1;
