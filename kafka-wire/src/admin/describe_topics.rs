//! Descriptions of topics with the replicas of their partitions, page by page (KIP-966), and the list of all topics.

use super::{AclOperation, ItemError, Outcomes, outcomes_by};
use crate::protocol::ErrorCode;
use crate::protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    TopicRequest,
};
use crate::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponsePartition};
use crate::types::{BrokerId, LeaderEpoch, PartitionId};
use crate::wire::{Str, Uuid};

/// A topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: Str,
    /// Its id; all zero before Kafka 2.8.
    pub id: Uuid,
    /// Whether Kafka keeps its own state in it.
    pub is_internal: bool,
    /// Its partitions, sorted.
    pub partitions: Vec<PartitionDescription>,
    /// The operations on the topic that this client may do; `None` if the broker does not tell.
    pub operations: Option<Vec<AclOperation>>,
}

/// A partition and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its index in the topic.
    pub id: PartitionId,
    /// The broker that leads it; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// Epoch of the leader; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Replicas that are in sync.
    pub in_sync: Vec<BrokerId>,
    /// Replicas whose broker or log directory is down.
    pub offline: Vec<BrokerId>,
    /// Replicas out of sync that have all committed records, so that they may be elected; `None` if the broker does
    /// not tell (KIP-966).
    pub eligible_leaders: Option<Vec<BrokerId>>,
    /// The last known eligible leaders, for recovery by hand; `None` if the broker does not tell.
    pub last_known_eligible_leaders: Option<Vec<BrokerId>>,
}

/// A topic, as listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicListing {
    /// Its name.
    pub name: Str,
    /// Its id; all zero before Kafka 2.8.
    pub id: Uuid,
    /// Whether Kafka keeps its own state in it.
    pub is_internal: bool,
}

/// One page of descriptions.
#[derive(Clone, Debug)]
pub struct Page {
    /// Topics, each with those of its partitions that are on this page.
    pub topics: Vec<(Str, Result<TopicDescription, ItemError>)>,
    /// The beginning of the next page; `None` if this is the last.
    pub next: Option<Cursor>,
}

/// Makes a request for a page of at most `limit` partitions of `topics` that begins at `cursor`.
#[must_use]
pub fn page_request(topics: &[Str], limit: i32, cursor: Option<Cursor>) -> DescribeTopicPartitionsRequest {
    let topics = topics.iter().map(|name| TopicRequest { name: name.clone(), ..Default::default() });
    DescribeTopicPartitionsRequest {
        topics: topics.collect(),
        response_partition_limit: limit,
        cursor,
        ..Default::default()
    }
}

/// Returns the page.
#[must_use]
pub fn read_page(response: DescribeTopicPartitionsResponse) -> Page {
    let topics = response.topics.into_iter().filter_map(|topic| {
        let name = topic.name?;
        let description = || TopicDescription {
            name: name.clone(),
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions: topic.partitions.into_iter().map(paged_partition).collect(),
            operations: AclOperation::from_bits(topic.topic_authorized_operations),
        };
        let outcome = ItemError::check(topic.error_code, None).map(|()| description());
        Some((name, outcome))
    });
    Page { topics: topics.collect(), next: response.next_cursor }
}

fn paged_partition(found: DescribeTopicPartitionsResponsePartition) -> PartitionDescription {
    PartitionDescription {
        id: PartitionId(found.partition_index),
        leader: (found.leader_id >= 0).then_some(BrokerId(found.leader_id)),
        leader_epoch: LeaderEpoch(found.leader_epoch),
        replicas: brokers(found.replica_nodes),
        in_sync: brokers(found.isr_nodes),
        offline: brokers(found.offline_replicas),
        eligible_leaders: found.eligible_leader_replicas.map(brokers),
        last_known_eligible_leaders: found.last_known_elr.map(brokers),
    }
}

/// Makes a Metadata request for `topics`, which does not create them; for all topics if it is `None`.
#[must_use]
pub fn metadata_request(topics: Option<&[Str]>, version: i16) -> MetadataRequest {
    let topics = topics.map(|topics| {
        let topics = topics.iter();
        topics.map(|name| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() }).collect()
    });
    MetadataRequest {
        topics,
        allow_auto_topic_creation: version < FIRST_WITHOUT_CREATION,
        include_topic_authorized_operations: version >= FIRST_WITH_OPERATIONS,
        ..Default::default()
    }
}

/// Makes a Metadata request for topics by their ids.
#[must_use]
pub fn metadata_request_by_id(ids: &[Uuid]) -> MetadataRequest {
    let topics = ids.iter().map(|id| MetadataRequestTopic { name: None, topic_id: *id, ..Default::default() });
    MetadataRequest {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: true,
        ..Default::default()
    }
}

/// Returns the topics of a Metadata response, in the order of `ids`.
#[must_use]
pub fn read_metadata_by_id(ids: &[Uuid], response: MetadataResponse) -> Outcomes<Uuid, TopicDescription> {
    let mut found = Outcomes::new();
    for topic in response.topics {
        let (id, code) = (topic.topic_id, topic.error_code);
        let one = MetadataResponse { topics: vec![topic], ..Default::default() };
        let described = read_metadata(one).pop().map(|(_, outcome)| outcome);
        let unnamed = || Err(ItemError::check(code, None).err().unwrap_or_else(ItemError::missing));
        found.push((id, described.unwrap_or_else(unnamed)));
    }
    outcomes_by(ids, |id| *id, found.into_iter())
}

/// Returns the topics of a Metadata response, in its order.
#[must_use]
pub fn read_metadata(response: MetadataResponse) -> Vec<(Str, Result<TopicDescription, ItemError>)> {
    let topics = response.topics.into_iter().filter_map(|topic| {
        let name = topic.name?;
        // The error of a topic that has only lost some leader stands at its partitions.
        let code = ErrorCode(topic.error_code);
        let mut partitions: Vec<_> = topic.partitions.into_iter().map(plain_partition).collect();
        partitions.sort_by_key(|partition| partition.id);
        let description = TopicDescription {
            name: name.clone(),
            id: topic.topic_id,
            is_internal: topic.is_internal,
            partitions,
            operations: AclOperation::from_bits(topic.topic_authorized_operations),
        };
        Some((name, code.ok().map(|()| description).map_err(|code| ItemError { code, message: None })))
    });
    topics.collect()
}

fn plain_partition(found: MetadataResponsePartition) -> PartitionDescription {
    PartitionDescription {
        id: PartitionId(found.partition_index),
        leader: (found.leader_id >= 0).then_some(BrokerId(found.leader_id)),
        leader_epoch: LeaderEpoch(found.leader_epoch),
        replicas: brokers(found.replica_nodes),
        in_sync: brokers(found.isr_nodes),
        offline: brokers(found.offline_replicas),
        eligible_leaders: None,
        last_known_eligible_leaders: None,
    }
}

fn brokers(ids: Vec<i32>) -> Vec<BrokerId> {
    ids.into_iter().map(BrokerId).collect()
}

/// First version of Metadata that can be told not to create topics.
const FIRST_WITHOUT_CREATION: i16 = 4;
/// First version of Metadata that tells the operations on topics.
const FIRST_WITH_OPERATIONS: i16 = 8;
