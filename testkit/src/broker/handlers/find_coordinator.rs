//! FindCoordinator: the coordinator is always this broker.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_wire::types::BrokerId;

use super::{Client, Handled, Handler};
use crate::broker::internal_topics::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::broker::state::{NODE, State};

impl Handler for FindCoordinatorRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<FindCoordinatorResponse> {
        if !(GROUP..=TRANSACTION).contains(&self.key_type) {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REQUEST, client.context.version));
        }
        state.create_internal(if self.key_type == GROUP { CONSUMER_OFFSETS } else { TRANSACTION_STATE });
        let (host, port) = client.way_to(state);
        if client.context.version < FIRST_WITH_KEYS {
            let node_id = NODE.0;
            return Handled::Now(FindCoordinatorResponse { node_id, host, port, ..FindCoordinatorResponse::default() });
        }
        let coordinators = self.coordinator_keys.into_iter().map(|key| Coordinator {
            key,
            node_id: NODE.0,
            host: host.clone(),
            port,
            ..Coordinator::default()
        });
        Handled::Now(FindCoordinatorResponse {
            coordinators: coordinators.collect(),
            ..FindCoordinatorResponse::default()
        })
    }

    /// Before version 4 there is one key, whose result stands at the top; later versions use only the list.
    fn refuse(&self, error: ErrorCode, version: i16) -> FindCoordinatorResponse {
        let nobody = BrokerId(-1).0;
        if version < FIRST_WITH_KEYS {
            let error_code = error.0;
            return FindCoordinatorResponse {
                error_code,
                node_id: nobody,
                port: -1,
                ..FindCoordinatorResponse::default()
            };
        }
        let refused = self.coordinator_keys.iter().map(|key| Coordinator {
            key: key.clone(),
            node_id: nobody,
            port: -1,
            error_code: error.0,
            ..Coordinator::default()
        });
        FindCoordinatorResponse { coordinators: refused.collect(), ..FindCoordinatorResponse::default() }
    }
}

const FIRST_WITH_KEYS: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
