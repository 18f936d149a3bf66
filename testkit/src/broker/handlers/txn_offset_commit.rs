//! TxnOffsetCommit: commits offsets that take effect with the producer's transaction (KIP-98, KIP-447, KIP-1319).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_wire::types::{ProducerEpoch, ProducerId};

use super::offset_commit::{committed, in_words_of, named};
use super::{Client, Handled, Handler};
use crate::broker::groups::{Caller, Commit};
use crate::broker::state::State;
use crate::broker::transactions::{Participant, ProducerIdentity};

impl Handler for TxnOffsetCommitRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<TxnOffsetCommitResponse> {
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
        if offsets.is_empty() {
            return Handled::Now(response); // Nothing is left for the group, which need not exist then.
        }
        if let Err(error) = join_transaction(&self, state, client.context.version) {
            return Handled::Now(self.refuse(error, client.context.version));
        }
        let commit = Commit {
            group_id: self.group_id.clone(),
            caller: Caller {
                member_id: self.member_id.clone(),
                instance_id: self.group_instance_id.clone(),
                generation: self.generation_id_or_member_epoch,
            },
            producer: Some(ProducerId(self.producer_id)),
            offsets,
        };
        if let Err(error) = state.groups.commit(state.now, &commit) {
            let error = match in_words_of(error, by_id) {
                // Producers know the generations of the classic protocol alone.
                ErrorCode::STALE_MEMBER_EPOCH => ErrorCode::ILLEGAL_GENERATION,
                other => other,
            };
            response = self.refuse(error, client.context.version);
        }
        Handled::Now(response)
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> TxnOffsetCommitResponse {
        respond(self, |_, _| error)
    }
}

/// Makes the group part of the transaction. Version 5 and later do so themselves (KIP-890, part 2); before,
/// AddOffsetsToTxn has to have done it.
fn join_transaction(request: &TxnOffsetCommitRequest, state: &mut State, version: i16) -> Result<(), ErrorCode> {
    let producer =
        ProducerIdentity { id: ProducerId(request.producer_id), epoch: ProducerEpoch(request.producer_epoch) };
    let participant = Participant::Group(request.group_id.detached());
    let result = if version >= FIRST_THAT_ADDS {
        state.transactions.add(state.now, &request.transactional_id, producer, [participant])
    } else {
        state.transactions.verify(&request.transactional_id, producer, &participant)
    };
    result.map_err(|error| match error {
        ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        ErrorCode::TRANSACTION_ABORTABLE if version < FIRST_WITH_ABORTABLE => ErrorCode::INVALID_TXN_STATE,
        // Older producers retry on this code.
        ErrorCode::CONCURRENT_TRANSACTIONS if version < FIRST_THAT_ADDS => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        other => other,
    })
}

fn respond(
    request: &TxnOffsetCommitRequest,
    mut judge: impl FnMut(&TxnOffsetCommitRequestTopic, &TxnOffsetCommitRequestPartition) -> ErrorCode,
) -> TxnOffsetCommitResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|partition| TxnOffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: judge(topic, partition).0,
            ..Default::default()
        });
        topics.push(TxnOffsetCommitResponseTopic {
            partitions: partitions.collect(),
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            ..Default::default()
        });
    }
    TxnOffsetCommitResponse { topics, ..TxnOffsetCommitResponse::default() }
}

const FIRST_WITH_ABORTABLE: i16 = 4;
const FIRST_THAT_ADDS: i16 = 5;
/// KIP-1319.
const FIRST_WITH_TOPIC_IDS: i16 = 6;
