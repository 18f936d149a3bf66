//! Descriptions of streams groups, their topologies and their members (KIP-1071).

use super::{AclOperation, ItemError};
use crate::protocol::streams_group_describe::{
    Assignment, Member, StreamsGroupDescribeRequest, StreamsGroupDescribeResponse, Subtopology, TaskIds, Topology,
};
use crate::types::PartitionId;
use crate::wire::Str;

/// A group of Kafka Streams whose broker assigns the tasks, and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsGroupDescription {
    /// Its id, the `application.id`.
    pub group_id: Str,
    /// State: `Empty`, `NotReady`, `Assigning`, `Reconciling`, `Stable` or `Dead`.
    pub state: Str,
    /// Number that grows whenever members, subscriptions or topics change.
    pub epoch: i32,
    /// Group epoch that the target assignment was computed for.
    pub assignment_epoch: i32,
    /// Version of the topology that the group runs; `None` if it has none yet.
    pub topology_epoch: Option<i32>,
    /// Parts of the topology; empty while topics are missing or do not match.
    pub subtopologies: Vec<StreamsSubtopology>,
    /// Its members.
    pub members: Vec<StreamsMemberDescription>,
    /// The operations on the group that this client may do; `None` if the broker does not tell.
    pub operations: Option<Vec<AclOperation>>,
}

/// A part of a topology that has tasks of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsSubtopology {
    /// Its id, the same in all instances.
    pub id: Str,
    /// Topics that it reads and others write.
    pub source_topics: Vec<Str>,
    /// Repartition topics that it writes.
    pub repartition_sink_topics: Vec<Str>,
    /// Repartition topics that it reads.
    pub repartition_source_topics: Vec<Str>,
    /// Changelogs of its state.
    pub changelog_topics: Vec<Str>,
}

/// A member of a streams group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamsMemberDescription {
    /// Id within the group.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
    /// Id of its process, which may have several members.
    pub process_id: Str,
    /// `client.rack`.
    pub rack: Option<Str>,
    /// Assignment epoch that it has reached.
    pub epoch: i32,
    /// Version of the topology that it runs.
    pub topology_epoch: i32,
    /// `client.id` of its connection.
    pub client_id: Str,
    /// Address from which it connects.
    pub host: Str,
    /// Host and port at which it answers queries of its state.
    pub endpoint: Option<(Str, u16)>,
    /// Its tasks.
    pub assignment: StreamsTasks,
    /// The tasks that it will have once others have given them up.
    pub target: StreamsTasks,
    /// Whether it still uses the classic protocol, while the group changes over.
    pub is_classic: bool,
}

/// Tasks of a member, each by sub-topology and number, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamsTasks {
    /// Tasks that it processes.
    pub active: Vec<(Str, PartitionId)>,
    /// Tasks whose state it keeps a copy of.
    pub standby: Vec<(Str, PartitionId)>,
    /// Tasks whose state it loads, to take them over.
    pub warmup: Vec<(Str, PartitionId)>,
}

/// Makes a request for one group.
#[must_use]
pub fn request(group_id: &Str) -> StreamsGroupDescribeRequest {
    StreamsGroupDescribeRequest {
        group_ids: vec![group_id.clone()],
        include_authorized_operations: true,
        ..Default::default()
    }
}

/// Returns the description of the one group of the request.
///
/// # Errors
/// The coordinator's error: `GROUP_ID_NOT_FOUND` also for a group of another type.
pub fn read(response: StreamsGroupDescribeResponse) -> Result<StreamsGroupDescription, ItemError> {
    let group = response.groups.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(group.error_code, group.error_message)?;
    let topology_epoch = group.topology.as_ref().map(|topology| topology.epoch);
    let parts = group.topology.and_then(|Topology { subtopologies, .. }| subtopologies).unwrap_or_default();
    Ok(StreamsGroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        epoch: group.group_epoch,
        assignment_epoch: group.assignment_epoch,
        topology_epoch,
        subtopologies: parts.into_iter().map(subtopology).collect(),
        members: group.members.into_iter().map(member).collect(),
        operations: AclOperation::from_bits(group.authorized_operations),
    })
}

fn subtopology(part: Subtopology) -> StreamsSubtopology {
    StreamsSubtopology {
        id: part.subtopology_id,
        source_topics: part.source_topics,
        repartition_sink_topics: part.repartition_sink_topics,
        repartition_source_topics: part.repartition_source_topics.into_iter().map(|topic| topic.name).collect(),
        changelog_topics: part.state_changelog_topics.into_iter().map(|topic| topic.name).collect(),
    }
}

fn member(member: Member) -> StreamsMemberDescription {
    StreamsMemberDescription {
        member_id: member.member_id,
        instance_id: member.instance_id,
        process_id: member.process_id,
        rack: member.rack_id,
        epoch: member.member_epoch,
        topology_epoch: member.topology_epoch,
        client_id: member.client_id,
        host: member.client_host,
        endpoint: member.user_endpoint.map(|endpoint| (endpoint.host, endpoint.port)),
        assignment: tasks(member.assignment),
        target: tasks(member.target_assignment),
        is_classic: member.is_classic,
    }
}

fn tasks(assignment: Assignment) -> StreamsTasks {
    StreamsTasks {
        active: of_subtopologies(assignment.active_tasks),
        standby: of_subtopologies(assignment.standby_tasks),
        warmup: of_subtopologies(assignment.warmup_tasks),
    }
}

fn of_subtopologies(tasks: Vec<TaskIds>) -> Vec<(Str, PartitionId)> {
    let tasks = tasks.into_iter().flat_map(|tasks| {
        let id = tasks.subtopology_id;
        tasks.partitions.into_iter().map(move |index| (id.clone(), PartitionId(index)))
    });
    let mut tasks: Vec<_> = tasks.collect();
    tasks.sort();
    tasks
}
