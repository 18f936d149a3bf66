//! JoinGroup: answered when the rebalance is over.

use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use super::{Client, Handled, Handler};
use crate::broker::groups::{Join, Joined};
use crate::broker::state::State;

impl Handler for JoinGroupRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<JoinGroupResponse> {
        let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        let session_timeout = millis(self.session_timeout_ms);
        let join = Join {
            group_id: self.group_id,
            member_id: self.member_id,
            instance_id: self.group_instance_id,
            client_id: client.id.clone(),
            client_host: client.peer.host.clone(),
            session_timeout,
            // Version 0 has only one timeout.
            rebalance_timeout: if client.context.version == 0 {
                session_timeout
            } else {
                millis(self.rebalance_timeout_ms)
            },
            protocol_type: self.protocol_type,
            protocols: self.protocols.into_iter().map(|protocol| (protocol.name, protocol.metadata)).collect(),
            is_id_required: client.context.version >= 4,
            may_skip_assignment: client.context.version >= 9,
        };
        state.groups.join(state.now, client.context, &join);
        Handled::Later
    }

    fn refuse(&self, error: ErrorCode, version: i16) -> JoinGroupResponse {
        response(Joined { error, generation: -1, member_id: self.member_id.clone(), ..Joined::default() }, version)
    }
}

pub(super) fn response(joined: Joined, version: i16) -> JoinGroupResponse {
    let member = |(member_id, group_instance_id, metadata)| JoinGroupResponseMember {
        member_id,
        group_instance_id,
        metadata,
        ..Default::default()
    };
    // Up to version 6 the name of the assignor cannot be null.
    let protocol_name =
        if version <= LAST_NON_NULL { Some(joined.protocol.unwrap_or_default()) } else { joined.protocol };
    JoinGroupResponse {
        error_code: joined.error.0,
        generation_id: joined.generation,
        protocol_type: joined.protocol_type,
        protocol_name,
        leader: joined.leader,
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id,
        members: joined.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}

const LAST_NON_NULL: i16 = 6;
