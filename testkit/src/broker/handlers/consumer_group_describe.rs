//! ConsumerGroupDescribe: shows the state of groups of the consumer protocol, with their members and assignments.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::authorized_operations::{self, if_asked};
use crate::broker::groups::{ConsumerMember, Partitions};
use crate::broker::state::State;

impl Handler for ConsumerGroupDescribeRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<ConsumerGroupDescribeResponse> {
        let operations = if_asked(self.include_authorized_operations, authorized_operations::GROUP);
        let groups = self.group_ids.iter().map(|id| describe(state, id, operations));
        Handled::Now(ConsumerGroupDescribeResponse { groups: groups.collect(), ..Default::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ConsumerGroupDescribeResponse {
        let groups = self.group_ids.iter().map(|id| refused(id, error)).collect();
        ConsumerGroupDescribeResponse { groups, ..Default::default() }
    }
}

fn describe(state: &State, id: &Str, authorized_operations: i32) -> DescribedGroup {
    let Some(group) = state.groups.group(id).and_then(|group| group.consumer()) else {
        return refused(id, ErrorCode::GROUP_ID_NOT_FOUND);
    };
    DescribedGroup {
        group_id: id.clone(),
        group_state: Str::from_static(group.state()),
        group_epoch: group.epoch,
        assignment_epoch: group.epoch,
        assignor_name: Str::from_static(group.assignor()),
        members: group.members.iter().map(|(id, member)| describe_member(state, id, member)).collect(),
        authorized_operations,
        ..Default::default()
    }
}

fn describe_member(state: &State, id: &Str, member: &ConsumerMember) -> Member {
    Member {
        member_id: id.clone(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: member.epoch,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.topics.clone(),
        subscribed_topic_regex: member.pattern.clone(),
        assignment: assignment(state, &member.assigned),
        target_assignment: assignment(state, &member.target),
        member_type: OF_CONSUMER_PROTOCOL,
        ..Default::default()
    }
}

fn assignment(state: &State, partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        topic_name: state.topics.name_of(*topic_id).cloned().unwrap_or_default(),
        partitions: partitions.iter().copied().collect(),
        ..Default::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Default::default() }
}

fn refused(id: &Str, error: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        error_code: error.0,
        error_message: Some(Str::from_static(error.meaning())),
        group_id: id.clone(),
        ..Default::default()
    }
}

/// `MemberType` of KIP-1099.
const OF_CONSUMER_PROTOCOL: i8 = 1;
