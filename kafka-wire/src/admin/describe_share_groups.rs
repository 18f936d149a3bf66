//! Descriptions of share groups and their members (KIP-932).

use super::{AclOperation, ItemError, sorted_partitions};
use crate::cluster::TopicPartition;
use crate::protocol::share_group_describe::{Member, ShareGroupDescribeRequest, ShareGroupDescribeResponse};
use crate::wire::Str;

/// A share group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareGroupDescription {
    /// Its id.
    pub group_id: Str,
    /// State: `Empty`, `Stable` or `Dead`.
    pub state: Str,
    /// Number that grows whenever members, subscriptions or topics change.
    pub epoch: i32,
    /// Group epoch that the target assignment was computed for.
    pub assignment_epoch: i32,
    /// Assignor in use, such as `simple`.
    pub assignor: Str,
    /// Its members.
    pub members: Vec<ShareMemberDescription>,
    /// The operations on the group that this client may do; `None` if the broker does not tell.
    pub operations: Option<Vec<AclOperation>>,
}

/// A member of a share group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareMemberDescription {
    /// Id within the group.
    pub member_id: Str,
    /// `client.rack`.
    pub rack: Option<Str>,
    /// Assignment epoch that it has reached.
    pub epoch: i32,
    /// `client.id` of its connection.
    pub client_id: Str,
    /// Address from which it connects.
    pub host: Str,
    /// Topics that it subscribes to.
    pub topics: Vec<Str>,
    /// Its partitions, sorted; other members may read the same ones.
    pub assignment: Vec<TopicPartition>,
}

/// Makes a request for one group.
#[must_use]
pub fn request(group_id: &Str) -> ShareGroupDescribeRequest {
    ShareGroupDescribeRequest {
        group_ids: vec![group_id.clone()],
        include_authorized_operations: true,
        ..Default::default()
    }
}

/// Returns the description of the one group of the request.
///
/// # Errors
/// The coordinator's error: `GROUP_ID_NOT_FOUND` also for a group of another type.
pub fn read(response: ShareGroupDescribeResponse) -> Result<ShareGroupDescription, ItemError> {
    let group = response.groups.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(group.error_code, group.error_message)?;
    Ok(ShareGroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        assignor: group.assignor_name,
        members: group.members.into_iter().map(member).collect(),
        operations: AclOperation::from_bits(group.authorized_operations),
    })
}

fn member(member: Member) -> ShareMemberDescription {
    let topics = member.assignment.topic_partitions.into_iter();
    ShareMemberDescription {
        member_id: member.member_id,
        rack: member.rack_id,
        epoch: member.member_epoch,
        client_id: member.client_id,
        host: member.client_host,
        topics: member.subscribed_topic_names,
        assignment: sorted_partitions(topics.map(|topic| (topic.topic_name, topic.partitions))),
    }
}
