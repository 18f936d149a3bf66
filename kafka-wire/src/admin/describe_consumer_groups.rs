//! Descriptions of groups whose broker assigns the partitions, and of their members (KIP-848).

use super::{AclOperation, ItemError, sorted_partitions};
use crate::cluster::TopicPartition;
use crate::protocol::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, Member,
};
use crate::wire::Str;

/// A group of the consumer protocol and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    /// Its id.
    pub group_id: Str,
    /// State: `Empty`, `Assigning`, `Reconciling`, `Stable` or `Dead`.
    pub state: Str,
    /// Number that grows whenever members, subscriptions or topics change.
    pub epoch: i32,
    /// Group epoch that the target assignment was computed for.
    pub assignment_epoch: i32,
    /// Assignor in use, such as `uniform`.
    pub assignor: Str,
    /// Its members.
    pub members: Vec<ConsumerMemberDescription>,
    /// The operations on the group that this client may do; `None` if the broker does not tell.
    pub operations: Option<Vec<AclOperation>>,
}

/// A member of a group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Id within the group.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
    /// `client.rack`.
    pub rack: Option<Str>,
    /// Assignment epoch that it has reached.
    pub epoch: i32,
    /// `client.id` of its connection.
    pub client_id: Str,
    /// Address from which it connects.
    pub host: Str,
    /// Topics that it subscribes to by name.
    pub topics: Vec<Str>,
    /// Regular expression for topics that it subscribes to.
    pub pattern: Option<Str>,
    /// Its partitions, sorted.
    pub assignment: Vec<TopicPartition>,
    /// The partitions that it will have once others have given them up, sorted.
    pub target: Vec<TopicPartition>,
    /// Whether it is a member by the classic protocol, while the group changes over; `None` before Kafka 4.0.
    pub is_classic: Option<bool>,
}

/// Makes a request for one group.
#[must_use]
pub fn request(group_id: &Str) -> ConsumerGroupDescribeRequest {
    ConsumerGroupDescribeRequest {
        group_ids: vec![group_id.clone()],
        include_authorized_operations: true,
        ..Default::default()
    }
}

/// Returns the description of the one group of the request.
///
/// # Errors
/// The coordinator's error: `GROUP_ID_NOT_FOUND` also for a group of another type.
pub fn read(response: ConsumerGroupDescribeResponse) -> Result<ConsumerGroupDescription, ItemError> {
    let group = response.groups.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(group.error_code, group.error_message)?;
    Ok(ConsumerGroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        assignor: group.assignor_name,
        members: group.members.into_iter().map(member).collect(),
        operations: AclOperation::from_bits(group.authorized_operations),
    })
}

fn member(member: Member) -> ConsumerMemberDescription {
    ConsumerMemberDescription {
        member_id: member.member_id,
        instance_id: member.instance_id,
        rack: member.rack_id,
        epoch: member.member_epoch,
        client_id: member.client_id,
        host: member.client_host,
        topics: member.subscribed_topic_names,
        pattern: member.subscribed_topic_regex.filter(|pattern| !pattern.is_empty()),
        assignment: partitions(member.assignment),
        target: partitions(member.target_assignment),
        is_classic: match member.member_type {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        },
    }
}

fn partitions(assignment: Assignment) -> Vec<TopicPartition> {
    sorted_partitions(assignment.topic_partitions.into_iter().map(|topic| (topic.topic_name, topic.partitions)))
}
