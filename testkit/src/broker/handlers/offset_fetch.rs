//! OffsetFetch: reads the offsets of one group up to version 7, of several groups later; by topic id from version
//! 10 on.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_wire::types::PartitionId;
use kafka_wire::wire::{Str, Uuid};

use super::{Client, Handled, Handler};
use crate::broker::groups::Group;
use crate::broker::partition::PartitionName;
use crate::broker::state::State;

impl Handler for OffsetFetchRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<OffsetFetchResponse> {
        let version = client.context.version;
        if version >= FIRST_WITH_GROUPS {
            let groups = self.groups.iter().map(|group| find(state, group, self.require_stable, version)).collect();
            return Handled::Now(OffsetFetchResponse { groups, ..OffsetFetchResponse::default() });
        }
        let found = find(state, &as_group(&self), self.require_stable, version);
        let topics = found.topics.into_iter().map(before_groups).collect();
        Handled::Now(OffsetFetchResponse { topics, ..OffsetFetchResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> OffsetFetchResponse {
        let groups = self.groups.iter().map(|group| OffsetFetchResponseGroup {
            group_id: group.group_id.clone(),
            error_code: error.0,
            ..OffsetFetchResponseGroup::default()
        });
        // Version 1 can carry an error only with a partition.
        let refuse = |topic: &OffsetFetchRequestTopic| OffsetFetchResponseTopic {
            name: topic.name.clone(),
            partitions: topic.partition_indexes.iter().map(|&index| refused_before_groups(index, error)).collect(),
            ..Default::default()
        };
        OffsetFetchResponse {
            topics: self.topics.iter().flatten().map(refuse).collect(),
            error_code: error.0,
            groups: groups.collect(),
            ..OffsetFetchResponse::default()
        }
    }
}

/// The offsets of one group that the request asks for: those of all partitions that have one, or of the named ones.
/// A group that does not exist has none.
fn find(
    state: &State,
    wanted: &OffsetFetchRequestGroup,
    require_stable: bool,
    version: i16,
) -> OffsetFetchResponseGroup {
    let group = state.groups.group(&wanted.group_id);
    if let Some(Err(error)) = group.map(|group| group.check_reader(wanted.member_id.as_deref(), wanted.member_epoch)) {
        let (group_id, error_code) = (wanted.group_id.clone(), error.0);
        return OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
    }
    let named = wanted.topics.as_ref().map(|topics| topics.iter().map(OffsetFetchRequestTopics::clone).collect());
    let topics: Vec<OffsetFetchRequestTopics> = named.unwrap_or_else(|| everything(state, group));
    let mut found = Vec::with_capacity(topics.len());
    for topic in topics {
        let name = state.topic_name(&topic.name, topic.topic_id);
        let is_unknown = version >= FIRST_WITH_TOPIC_IDS && state.topics.by_name(&name).is_none();
        let partitions = topic.partition_indexes.iter().map(|&index| {
            if is_unknown {
                return answer(index, ErrorCode::UNKNOWN_TOPIC_ID);
            }
            let partition = PartitionName { topic: name.clone(), partition: PartitionId(index) };
            match group.map_or(Ok(None), |group| group.committed(&partition, require_stable)) {
                Ok(None) => answer(index, ErrorCode::NONE),
                Err(error) => answer(index, error),
                Ok(Some(committed)) => OffsetFetchResponsePartitions {
                    committed_offset: committed.offset.0,
                    committed_leader_epoch: committed.leader_epoch.0,
                    metadata: Some(committed.metadata.clone()),
                    ..answer(index, ErrorCode::NONE)
                },
            }
        });
        let partitions = partitions.collect();
        found.push(OffsetFetchResponseTopics {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
            ..Default::default()
        });
    }
    OffsetFetchResponseGroup { group_id: wanted.group_id.clone(), topics: found, error_code: 0, ..Default::default() }
}

/// Every partition with a committed offset, grouped by topic.
fn everything(state: &State, group: Option<&Group>) -> Vec<OffsetFetchRequestTopics> {
    let mut topics: Vec<OffsetFetchRequestTopics> = Vec::new();
    for partition in group.into_iter().flat_map(Group::committed_partitions) {
        match topics.last_mut() {
            Some(last) if last.name == partition.topic => last.partition_indexes.push(partition.partition.0),
            _ => topics.push(OffsetFetchRequestTopics {
                name: partition.topic.clone(),
                topic_id: state.topics.by_name(&partition.topic).map_or(Uuid::ZERO, |topic| topic.id),
                partition_indexes: vec![partition.partition.0],
                ..Default::default()
            }),
        }
    }
    topics
}

/// A partition without a committed offset, or with an error.
fn answer(partition_index: i32, error: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Str::EMPTY),
        error_code: error.0,
        ..Default::default()
    }
}

/// A request up to version 7, in the form of the later versions.
fn as_group(request: &OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let topic = |topic: &OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name.clone(),
        topic_id: Uuid::ZERO,
        partition_indexes: topic.partition_indexes.clone(),
        ..Default::default()
    };
    OffsetFetchRequestGroup {
        group_id: request.group_id.clone(),
        topics: request.topics.as_ref().map(|topics| topics.iter().map(topic).collect()),
        ..OffsetFetchRequestGroup::default()
    }
}

fn before_groups(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..Default::default()
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..Default::default()
    }
}

fn refused_before_groups(partition_index: i32, error: ErrorCode) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Str::EMPTY),
        error_code: error.0,
        ..Default::default()
    }
}

const FIRST_WITH_GROUPS: i16 = 8;
const FIRST_WITH_TOPIC_IDS: i16 = 10;
