//! AddOffsetsToTxn: makes the offsets of a group part of a transaction.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use kafka_wire::types::{ProducerEpoch, ProducerId};

use super::add_partitions_to_txn::before_fenced;
use super::{Client, Handled, Handler};
use crate::broker::state::State;
use crate::broker::transactions::{Participant, ProducerIdentity};

impl Handler for AddOffsetsToTxnRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<AddOffsetsToTxnResponse> {
        if self.transactional_id.is_empty() {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REQUEST, client.context.version));
        }
        if self.group_id.is_empty() {
            return Handled::Now(self.refuse(ErrorCode::INVALID_GROUP_ID, client.context.version));
        }
        let producer = ProducerIdentity { id: ProducerId(self.producer_id), epoch: ProducerEpoch(self.producer_epoch) };
        let group = Participant::Group(self.group_id.detached());
        let result = state.transactions.add(state.now, &self.transactional_id, producer, [group]);
        let error = result.err().map_or(ErrorCode::NONE, |error| before_fenced(error, client.context.version));
        Handled::Now(self.refuse(error, client.context.version))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AddOffsetsToTxnResponse {
        AddOffsetsToTxnResponse { error_code: error.0, ..AddOffsetsToTxnResponse::default() }
    }
}
