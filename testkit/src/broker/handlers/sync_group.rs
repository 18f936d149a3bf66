//! SyncGroup: answered when the leader has sent the assignment.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};

use super::{Client, Handled, Handler};
use crate::broker::groups::{Caller, Sync, Synced};
use crate::broker::state::State;

impl Handler for SyncGroupRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<SyncGroupResponse> {
        let sync = Sync {
            group_id: self.group_id,
            caller: Caller {
                member_id: self.member_id,
                instance_id: self.group_instance_id,
                generation: self.generation_id,
            },
            protocol_type: self.protocol_type,
            protocol: self.protocol_name,
            assignments: self.assignments.into_iter().map(|one| (one.member_id, one.assignment)).collect(),
        };
        state.groups.sync(state.now, client.context, &sync);
        Handled::Later
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> SyncGroupResponse {
        response(Synced { error, ..Synced::default() })
    }
}

pub(super) fn response(synced: Synced) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: synced.error.0,
        protocol_type: synced.protocol_type,
        protocol_name: synced.protocol,
        assignment: synced.assignment,
        ..SyncGroupResponse::default()
    }
}
