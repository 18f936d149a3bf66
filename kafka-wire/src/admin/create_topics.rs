//! Creating topics.

use super::{NewTopic, TopicError, TopicOutcomes, outcomes};
use crate::protocol::ErrorCode;
use crate::protocol::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use crate::types::BrokerId;
use crate::wire::Str;

/// A request to create `topics`; the broker answers when they exist, or after `timeout_ms`.
#[must_use]
pub fn request(topics: &[NewTopic], timeout_ms: i32) -> CreateTopicsRequest {
    let topics = topics.iter().map(|topic| {
        let is_assigned = !topic.assignments.is_empty();
        CreatableTopic {
            name: topic.name.clone(),
            num_partitions: if is_assigned { BY_ASSIGNMENT } else { topic.partitions },
            replication_factor: if is_assigned { -1 } else { topic.replication_factor },
            assignments: (0..).zip(&topic.assignments).map(assignment).collect(),
            configs: topic.configs.iter().map(config).collect(),
            ..Default::default()
        }
    });
    CreateTopicsRequest { topics: topics.collect(), timeout_ms, ..Default::default() }
}

/// The outcome of each topic, in the order of `names`.
#[must_use]
pub fn read(names: &[Str], response: CreateTopicsResponse) -> TopicOutcomes {
    let answers = response.topics.into_iter().map(|topic| {
        let error = TopicError { code: ErrorCode(topic.error_code), message: topic.error_message };
        (topic.name, error)
    });
    outcomes(names, answers.collect())
}

fn assignment((partition_index, brokers): (i32, &Vec<BrokerId>)) -> CreatableReplicaAssignment {
    let broker_ids = brokers.iter().map(|broker| broker.0).collect();
    CreatableReplicaAssignment { partition_index, broker_ids, ..Default::default() }
}

fn config((name, value): &(Str, Str)) -> CreatableTopicConfig {
    CreatableTopicConfig { name: name.clone(), value: Some(value.clone()), ..Default::default() }
}

/// The number of partitions of a topic whose brokers are given.
const BY_ASSIGNMENT: i32 = -1;
