//! DescribeGroups: shows the state of groups, with their members and assignments.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::authorized_operations::{self, if_asked};
use crate::broker::groups::{Group, Phase};
use crate::broker::state::State;

impl Handler for DescribeGroupsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<DescribeGroupsResponse> {
        // Groups of the consumer protocol have a request of their own.
        let describe = |id: &Str| match state.groups.group(id).filter(|group| group.consumer().is_none()) {
            Some(group) => describe(id, group),
            None if client.context.version >= FIRST_WITH_NOT_FOUND => dead(id, ErrorCode::GROUP_ID_NOT_FOUND),
            None => dead(id, ErrorCode::NONE),
        };
        let operations = if_asked(self.include_authorized_operations, authorized_operations::GROUP);
        let mut groups: Vec<_> = self.groups.iter().map(describe).collect();
        let found = groups.iter_mut().filter(|group| group.error_code == ErrorCode::NONE.0);
        found.for_each(|group| group.authorized_operations = operations);
        Handled::Now(DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeGroupsResponse {
        let groups = self.groups.iter().map(|id| dead(id, error)).collect();
        DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
    }
}

fn describe(id: &Str, group: &Group) -> DescribedGroup {
    let protocol = group.protocol.clone().unwrap_or_default();
    let members = group.members.iter().map(|(member_id, member)| {
        let metadata = member.protocols.iter().find(|(name, _)| *name == protocol);
        DescribedGroupMember {
            member_id: member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            // Metadata is that for the agreed assignor, which holds only while the group is stable.
            member_metadata: metadata
                .filter(|_| group.phase == Phase::Stable)
                .map(|(_, bytes)| bytes.clone())
                .unwrap_or_default(),
            member_assignment: member.assignment.clone(),
            ..Default::default()
        }
    });
    DescribedGroup {
        group_id: id.clone(),
        group_state: Str::from_static(group.phase.name()),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        members: members.collect(),
        protocol_data: protocol,
        ..DescribedGroup::default()
    }
}

fn dead(id: &Str, error: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        error_code: error.0,
        group_id: id.clone(),
        group_state: Str::from_static("Dead"),
        ..DescribedGroup::default()
    }
}

const FIRST_WITH_NOT_FOUND: i16 = 6;
