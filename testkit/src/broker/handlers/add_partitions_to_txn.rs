//! AddPartitionsToTxn: one transaction of a client, up to version 3; only brokers use later versions, among themselves.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopicResult,
};
use kafka_wire::types::{PartitionId, ProducerEpoch, ProducerId};

use super::{Client, Handled, Handler};
use crate::broker::partition::PartitionName;
use crate::broker::state::State;
use crate::broker::transactions::{Participant, ProducerIdentity};

impl Handler for AddPartitionsToTxnRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<AddPartitionsToTxnResponse> {
        if client.context.version > LAST_OF_CLIENTS {
            return Handled::Now(self.refuse(ErrorCode::CLUSTER_AUTHORIZATION_FAILED, client.context.version));
        }
        let is_known = |topic: &str, index| state.topics.partition(topic, index).is_some();
        let mut topics = self.v3_and_below_topics.iter();
        if topics.any(|topic| topic.partitions.iter().any(|&index| !is_known(&topic.name, index))) {
            let judge = |topic: &str, index| match is_known(topic, index) {
                true => ErrorCode::OPERATION_NOT_ATTEMPTED,
                false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            };
            return Handled::Now(respond(&self, judge));
        }
        let error = add(&self, state, client.context.version).err().unwrap_or(ErrorCode::NONE);
        Handled::Now(respond(&self, |_, _| error))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AddPartitionsToTxnResponse {
        // Version 4 and later carry the error in a field at the top, earlier ones in the list of partitions.
        AddPartitionsToTxnResponse { error_code: error.0, ..respond(self, |_, _| error) }
    }
}

fn add(request: &AddPartitionsToTxnRequest, state: &mut State, version: i16) -> Result<(), ErrorCode> {
    let id = &request.v3_and_below_transactional_id;
    if id.is_empty() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let producer = ProducerIdentity {
        id: ProducerId(request.v3_and_below_producer_id),
        epoch: ProducerEpoch(request.v3_and_below_producer_epoch),
    };
    let mut participants = Vec::new();
    for topic in &request.v3_and_below_topics {
        let name = topic.name.detached();
        let named = |&index| PartitionName { topic: name.clone(), partition: PartitionId(index) };
        participants.extend(topic.partitions.iter().map(named).map(Participant::Partition));
    }
    let result = state.transactions.add(state.now, id, producer, participants);
    result.map_err(|error| before_fenced(error, version))
}

fn respond(request: &AddPartitionsToTxnRequest, judge: impl Fn(&str, i32) -> ErrorCode) -> AddPartitionsToTxnResponse {
    let mut topics = Vec::with_capacity(request.v3_and_below_topics.len());
    for topic in &request.v3_and_below_topics {
        let results = topic.partitions.iter().map(|&partition_index| AddPartitionsToTxnPartitionResult {
            partition_index,
            partition_error_code: judge(&topic.name, partition_index).0,
            ..Default::default()
        });
        let results_by_partition = results.collect();
        topics.push(AddPartitionsToTxnTopicResult {
            name: topic.name.clone(),
            results_by_partition,
            ..Default::default()
        });
    }
    AddPartitionsToTxnResponse { results_by_topic_v3_and_below: topics, ..AddPartitionsToTxnResponse::default() }
}

/// The error code for a version up to 1, in which the APIs of a transaction do not have PRODUCER_FENCED.
pub(super) fn before_fenced(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::PRODUCER_FENCED if version < FIRST_WITH_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        other => other,
    }
}

const LAST_OF_CLIENTS: i16 = 3;
const FIRST_WITH_FENCED: i16 = 2;
