//! LeaveGroup: removes one member up to version 2, a list of members in later versions (KIP-345).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};

use super::{Client, Handled, Handler, code};
use crate::broker::groups::Caller;
use crate::broker::state::State;

impl Handler for LeaveGroupRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<LeaveGroupResponse> {
        if client.context.version < FIRST_WITH_LIST {
            let caller = Caller { member_id: self.member_id, ..Caller::default() };
            let results = state.groups.leave(state.now, &self.group_id, &[caller]);
            let error_code = results.first().map_or(ErrorCode::NONE.0, |&result| code(result));
            return Handled::Now(LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() });
        }
        let caller = |member: &MemberIdentity| Caller {
            member_id: member.member_id.clone(),
            instance_id: member.group_instance_id.clone(),
            generation: -1,
        };
        let callers: Vec<_> = self.members.iter().map(caller).collect();
        let results = state.groups.leave(state.now, &self.group_id, &callers);
        let members = self.members.iter().zip(results).map(|(member, result)| answer(member, code(result)));
        Handled::Now(LeaveGroupResponse { members: members.collect(), ..LeaveGroupResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> LeaveGroupResponse {
        LeaveGroupResponse { error_code: error.0, ..LeaveGroupResponse::default() }
    }
}

fn answer(member: &MemberIdentity, error_code: i16) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code,
        ..Default::default()
    }
}

const FIRST_WITH_LIST: i16 = 3;
