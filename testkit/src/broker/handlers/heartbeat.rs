//! Heartbeat: keeps a member's session alive, and tells it of a rebalance.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use super::{Client, Handled, Handler, code};
use crate::broker::groups::Caller;
use crate::broker::state::State;

impl Handler for HeartbeatRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<HeartbeatResponse> {
        let caller =
            Caller { member_id: self.member_id, instance_id: self.group_instance_id, generation: self.generation_id };
        let result = state.groups.heartbeat(state.now, &self.group_id, &caller);
        Handled::Now(HeartbeatResponse { error_code: code(result), ..HeartbeatResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> HeartbeatResponse {
        HeartbeatResponse { error_code: error.0, ..HeartbeatResponse::default() }
    }
}
