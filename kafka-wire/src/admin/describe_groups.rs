//! Descriptions of classic groups and their members.

use bytes::Bytes;

use super::ItemError;
use crate::protocol::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroupMember};
use crate::wire::Str;

/// A classic group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group_id: Str,
    /// State, such as `Stable`, `Empty` or `Dead`.
    pub state: Str,
    /// Protocol type, such as `consumer`; empty for a group without members.
    pub protocol_type: Str,
    /// Assignor in use; empty unless the group is stable.
    pub protocol: Str,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Id within the group.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
    /// `client.id` of its connection.
    pub client_id: Str,
    /// Address from which it connects.
    pub host: Str,
    /// Its assignment, as the leader wrote it; for consumers a ConsumerProtocolAssignment.
    pub assignment: Bytes,
}

/// Makes a request for one group.
#[must_use]
pub fn request(group_id: &Str) -> DescribeGroupsRequest {
    DescribeGroupsRequest { groups: vec![group_id.clone()], ..Default::default() }
}

/// Returns the description of the one group of the request.
///
/// # Errors
/// The coordinator's error.
pub fn read(response: DescribeGroupsResponse) -> Result<GroupDescription, ItemError> {
    let group = response.groups.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(group.error_code, group.error_message)?;
    Ok(GroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        members: group.members.into_iter().map(member).collect(),
    })
}

fn member(member: DescribedGroupMember) -> MemberDescription {
    MemberDescription {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: member.member_assignment,
    }
}
