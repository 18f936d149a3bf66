//! EndTxn: commits or aborts. The version of the request decides the protocol: from 5 on, the epoch
//! is bumped (KIP-890).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::end_txn::{EndTxnRequest, EndTxnResponse};
use kafka_wire::types::{ProducerEpoch, ProducerId};

use super::add_partitions_to_txn::before_fenced;
use super::{Client, Handled, Handler};
use crate::broker::state::State;
use crate::broker::transactions::{EndProtocol, ProducerIdentity};

impl Handler for EndTxnRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<EndTxnResponse> {
        if self.transactional_id.is_empty() {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REQUEST, client.context.version));
        }
        let version = client.context.version;
        let producer = ProducerIdentity { id: ProducerId(self.producer_id), epoch: ProducerEpoch(self.producer_epoch) };
        let protocol = if version >= FIRST_THAT_BUMPS { EndProtocol::V2 } else { EndProtocol::V1 };
        let ended = state.transactions.end(state.now, &self.transactional_id, producer, self.committed, protocol);
        Handled::Now(match ended {
            Err(error) => self.refuse(before_fenced(error, version), client.context.version),
            Ok(_) if protocol == EndProtocol::V1 => EndTxnResponse::default(),
            Ok(producer) => EndTxnResponse {
                producer_id: producer.id.0,
                producer_epoch: producer.epoch.0,
                ..EndTxnResponse::default()
            },
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> EndTxnResponse {
        EndTxnResponse { error_code: error.0, ..EndTxnResponse::default() }
    }
}

const FIRST_THAT_BUMPS: i16 = 5;
