//! InitProducerId: gives a new producer id to an idempotent producer, or takes hold of a transactional id.

use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use kafka_wire::types::{ProducerEpoch, ProducerId};

use super::{Client, Handled, Handler};
use crate::broker::state::State;
use crate::broker::transactions::ProducerIdentity;

impl Handler for InitProducerIdRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<InitProducerIdResponse> {
        Handled::Now(match init(&self, state, client.context.version) {
            Ok(producer) => InitProducerIdResponse {
                producer_id: producer.id.0,
                producer_epoch: producer.epoch.0,
                ..InitProducerIdResponse::default()
            },
            Err(error) => self.refuse(error, client.context.version),
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> InitProducerIdResponse {
        InitProducerIdResponse {
            error_code: error.0,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        }
    }
}

fn init(request: &InitProducerIdRequest, state: &mut State, version: i16) -> Result<ProducerIdentity, ErrorCode> {
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::INVALID_REQUEST),
        (id, epoch) => Some(ProducerIdentity { id: ProducerId(id), epoch: ProducerEpoch(epoch) }),
    };
    let Some(transactional_id) = &request.transactional_id else { return Ok(state.transactions.allocate()) };
    if transactional_id.is_empty() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let timeout = u64::try_from(request.transaction_timeout_ms).map(Duration::from_millis).unwrap_or_default();
    if timeout.is_zero() || timeout > state.config.transaction_timeout_max {
        return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
    }
    let result = state.transactions.init(state.now, transactional_id, timeout, expected);
    result.map_err(|error| match error {
        ErrorCode::PRODUCER_FENCED if version < FIRST_WITH_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
        other => other,
    })
}

const FIRST_WITH_FENCED: i16 = 4;
