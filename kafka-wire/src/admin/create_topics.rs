//! Creating topics.

use super::{NewTopic, TopicError, TopicOutcomes, outcomes};
use crate::protocol::ErrorCode;
use crate::protocol::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse};
use crate::wire::Str;

/// A request to create `topics`; the broker answers when they exist, or after `timeout_ms`.
#[must_use]
pub fn request(topics: &[NewTopic], timeout_ms: i32) -> CreateTopicsRequest {
    let topics = topics.iter().map(|topic| CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions,
        replication_factor: topic.replication_factor,
        assignments: Vec::new(),
        configs: topic.configs.iter().map(config).collect(),
        ..Default::default()
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

fn config((name, value): &(Str, Str)) -> CreatableTopicConfig {
    CreatableTopicConfig { name: name.clone(), value: Some(value.clone()), ..Default::default() }
}
