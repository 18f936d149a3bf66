//! CreateTopics: every topic has one replica, on this one broker.

use std::collections::BTreeMap;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
};
use kafka_wire::wire::{Str, Uuid};

use super::{Client, Handled, Handler, is_legal_assignment, repeated};
use crate::broker::state::State;
use crate::broker::topic_configs;

impl Handler for CreateTopicsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<CreateTopicsResponse> {
        let repeated = repeated(self.topics.iter().map(|topic| &topic.name));
        let mut results = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let created = if repeated.contains(&topic.name) {
                Err(ErrorCode::INVALID_REQUEST)
            } else {
                create(state, topic, self.validate_only)
            };
            results.push(created.unwrap_or_else(|error| refused(topic, error)));
        }
        Handled::Now(CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> CreateTopicsResponse {
        let topics = self.topics.iter().map(|topic| refused(topic, error)).collect();
        CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
    }
}

fn create(state: &mut State, topic: &CreatableTopic, is_trial: bool) -> Result<CreatableTopicResult, ErrorCode> {
    let partition_count = partition_count(topic, state.config.default_partitions)?;
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let value = config.value.as_ref().ok_or(ErrorCode::INVALID_CONFIG)?;
        if !topic_configs::is_legal(&config.name, value) {
            return Err(ErrorCode::INVALID_CONFIG);
        }
        configs.insert(config.name.detached(), value.detached());
    }
    if !topic_configs::is_consistent(&configs) {
        return Err(ErrorCode::INVALID_CONFIG);
    }
    let described = topic_configs::effective(&configs).map(|config| CreatableTopicConfigs {
        name: Str::from_static(config.name),
        value: Some(config.value),
        config_source: config.source,
        ..CreatableTopicConfigs::default()
    });
    let described = described.collect();
    let topic_id = if is_trial {
        state.topics.check(&topic.name, partition_count).map(|_| Uuid::ZERO)?
    } else {
        state.topics.create(&topic.name, partition_count, configs)?.id
    };
    Ok(CreatableTopicResult {
        name: topic.name.clone(),
        topic_id,
        num_partitions: partition_count,
        replication_factor: 1,
        configs: Some(described),
        ..CreatableTopicResult::default()
    })
}

/// The number of partitions that a request asks for, either directly or by an assignment of replicas, which can
/// only name this broker.
fn partition_count(topic: &CreatableTopic, default: i32) -> Result<i32, ErrorCode> {
    if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, UNSPECIFIED_REPLICAS | 1) {
            return Err(ErrorCode::INVALID_REPLICATION_FACTOR);
        }
        return Ok(if topic.num_partitions == UNSPECIFIED_PARTITIONS { default } else { topic.num_partitions });
    }
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|one| one.partition_index).collect();
    indexes.sort_unstable();
    let is_here = topic.assignments.iter().all(|one| is_legal_assignment(&one.broker_ids));
    if !is_here || !(0..).zip(&indexes).all(|(index, &given)| index == given) {
        return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    }
    i32::try_from(indexes.len()).map_err(|_| ErrorCode::INVALID_PARTITIONS)
}

fn refused(topic: &CreatableTopic, error: ErrorCode) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: error.0,
        error_message: Some(Str::from_static(error.meaning())),
        num_partitions: -1,
        replication_factor: -1,
        configs: None,
        ..CreatableTopicResult::default()
    }
}

const UNSPECIFIED_PARTITIONS: i32 = -1;
const UNSPECIFIED_REPLICAS: i16 = -1;
