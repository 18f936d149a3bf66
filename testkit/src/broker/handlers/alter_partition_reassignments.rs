//! AlterPartitionReassignments: with one broker, a partition can only move to where it is already (KIP-455).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code_and_words, is_legal_assignment};
use crate::broker::state::State;

impl Handler for AlterPartitionReassignmentsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<AlterPartitionReassignmentsResponse> {
        Handled::Now(respond(&self, |topic, wanted| reassign(state, topic, wanted)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AlterPartitionReassignmentsResponse {
        let (error_code, error_message) = code_and_words(Err(error));
        AlterPartitionReassignmentsResponse { error_code, error_message, ..respond(self, |_, _| Err(error)) }
    }
}

fn reassign(state: &State, topic: &str, wanted: &ReassignablePartition) -> Result<(), ErrorCode> {
    if state.topics.partition(topic, wanted.partition_index).is_none() {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    match &wanted.replicas {
        None => Err(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
        Some(replicas) if is_legal_assignment(replicas) => Ok(()),
        Some(_) => Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT),
    }
}

fn respond(
    request: &AlterPartitionReassignmentsRequest,
    reassign: impl Fn(&Str, &ReassignablePartition) -> Result<(), ErrorCode>,
) -> AlterPartitionReassignmentsResponse {
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|wanted| {
            let (error_code, error_message) = code_and_words(reassign(&topic.name, wanted));
            ReassignablePartitionResponse {
                partition_index: wanted.partition_index,
                error_code,
                error_message,
                ..Default::default()
            }
        });
        responses.push(ReassignableTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        });
    }
    AlterPartitionReassignmentsResponse { responses, ..AlterPartitionReassignmentsResponse::default() }
}
