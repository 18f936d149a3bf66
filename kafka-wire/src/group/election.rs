//! The duties of a generation's leader: decode the members' subscriptions, and assign the partitions.

use super::assignor::{PartitionCounts, PartitionRacks, Share, Subscriber};
use super::{Assignor, GroupConfig, GroupError, MemberInfo, blob};
use crate::protocol::consumer_protocol::ConsumerProtocolAssignment;
use crate::protocol::join_group::JoinGroupResponse;
use crate::protocol::sync_group::SyncGroupRequestAssignment;
use crate::wire::Str;

/// The state of the leader while it waits for the partition counts.
#[derive(Debug)]
pub(super) struct Election {
    pub(super) generation: i32,
    pub(super) protocol_name: Str,
    assignor: Assignor,
    /// Sorted by member id, as `infos` are.
    subscribers: Vec<Subscriber>,
    infos: Vec<MemberInfo>,
    /// Whether a static leader that came back was told to leave the assignment as it is (KIP-814).
    skip_assignment: bool,
}

impl Election {
    pub(super) fn new(config: &GroupConfig, response: JoinGroupResponse) -> Result<Self, GroupError> {
        let protocol_name = response.protocol_name.unwrap_or_default();
        let assignor = config.offered_assignor(&protocol_name).ok_or_else(|| GroupError::UnknownAssignor {
            group_id: config.group_id.clone(),
            name: protocol_name.clone(),
        })?;
        let mut members = response.members;
        members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
        let mut subscribers = Vec::with_capacity(members.len());
        let mut infos = Vec::with_capacity(members.len());
        for member in members {
            let (member_id, instance_id) = (member.member_id, member.group_instance_id);
            let subscription = blob::decode_subscription(member.metadata)
                .map_err(|cause| GroupError::MalformedSubscription { member_id: member_id.clone(), cause })?;
            let user_data = subscription.user_data.unwrap_or_default();
            infos.push(MemberInfo {
                member_id: member_id.clone(),
                instance_id: instance_id.clone(),
                user_data: user_data.clone(),
            });
            subscribers.push(Subscriber {
                owned: blob::from_topics(subscription.owned_partitions),
                generation: subscription.generation_id,
                rack: subscription.rack_id,
                user_data,
                ..Subscriber::new(member_id, instance_id, subscription.topics)
            });
        }
        let (generation, skip_assignment) = (response.generation_id, response.skip_assignment);
        Ok(Self { generation, protocol_name, assignor, subscribers, infos, skip_assignment })
    }

    /// Whether the assignment stays that of an earlier election.
    pub(super) const fn keeps_assignment(&self) -> bool {
        self.skip_assignment
    }

    /// The topics that any member subscribes to, sorted.
    pub(super) fn topics(&self) -> Vec<Str> {
        let mut topics: Vec<Str> = self.subscribers.iter().flat_map(|subscriber| subscriber.topics.clone()).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The assignments of all members, for the leader's SyncGroup.
    pub(super) fn assignments(
        &self,
        config: &GroupConfig,
        counts: &PartitionCounts,
        racks: &PartitionRacks,
    ) -> Vec<SyncGroupRequestAssignment> {
        if self.skip_assignment {
            return Vec::new();
        }
        let of_leader = config.leader_user_data.map(|make| make(&self.infos));
        let shares = self.assignor.shares_together(&self.subscribers, (counts, racks), &config.together);
        let assignments = self.subscribers.iter().zip(shares).map(|(subscriber, share)| {
            let Share { partitions, user_data } = share;
            let assignment = blob::encode_assignment(&ConsumerProtocolAssignment {
                assigned_partitions: blob::by_topic(partitions),
                user_data: of_leader.clone().or_else(|| (!user_data.is_empty()).then_some(user_data)),
                ..Default::default()
            });
            SyncGroupRequestAssignment { member_id: subscriber.member_id.clone(), assignment, ..Default::default() }
        });
        assignments.collect()
    }
}
