//! Metadata: the one broker, and the topics with their partitions, all of which it leads.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use kafka_wire::wire::{Str, Uuid};

use super::{Client, Handled, Handler};
use crate::broker::authorized_operations::{self, if_asked};
use crate::broker::internal_topics::is_internal;
use crate::broker::log::LEADER_EPOCH;
use crate::broker::state::{NODE, State};
use crate::broker::topics::{Topic, is_legal_name};

impl Handler for MetadataRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<MetadataResponse> {
        // Version 0 cannot ask for no topics: its empty list means all.
        let operations = if_asked(self.include_topic_authorized_operations, authorized_operations::TOPIC);
        let is_all = self.topics.as_ref().is_none_or(|topics| client.context.version == 0 && topics.is_empty());
        let mut topics: Vec<_> = if is_all {
            state.topics.iter().map(describe).collect()
        } else {
            // Each is told once, however often the request names it: a topic may have thousands of partitions.
            let topics = self.topics.unwrap_or_default();
            let mut told = BTreeSet::new();
            let wanted = topics.iter().filter(|topic| told.insert((&topic.name, topic.topic_id)));
            wanted.map(|wanted| find(state, wanted, self.allow_auto_topic_creation)).collect()
        };
        topics.iter_mut().for_each(|topic| topic.topic_authorized_operations = operations);
        let (host, port) = client.way_to(state);
        let broker = MetadataResponseBroker { node_id: NODE.0, host, port, ..MetadataResponseBroker::default() };
        Handled::Now(MetadataResponse {
            brokers: vec![broker],
            cluster_id: Some(state.cluster_id.clone()),
            controller_id: NODE.0,
            topics,
            cluster_authorized_operations: if_asked(
                self.include_cluster_authorized_operations,
                authorized_operations::CLUSTER,
            ),
            ..MetadataResponse::default()
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> MetadataResponse {
        let topics = self.topics.iter().flatten();
        let refused = topics.map(|topic| unknown(topic.name.clone(), topic.topic_id, error)).collect();
        MetadataResponse { topics: refused, ..MetadataResponse::default() }
    }
}

fn find(state: &mut State, wanted: &MetadataRequestTopic, may_create: bool) -> MetadataResponseTopic {
    let Some(name) = wanted.name.as_ref() else {
        let name = state.topics.name_of(wanted.topic_id);
        return match name.and_then(|name| state.topics.by_name(name)) {
            Some(topic) => describe(topic),
            None => unknown(None, wanted.topic_id, ErrorCode::UNKNOWN_TOPIC_ID),
        };
    };
    if let Some(topic) = state.topics.by_name(name) {
        return describe(topic);
    }
    if may_create && let Some(topic) = state.auto_create(name) {
        return describe(topic);
    }
    let is_legal = is_legal_name(name);
    let error = if is_legal { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
    unknown(Some(name.clone()), Uuid::ZERO, error)
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(partition_index, _)| MetadataResponsePartition {
        partition_index,
        leader_id: NODE.0,
        leader_epoch: LEADER_EPOCH.0,
        replica_nodes: vec![NODE.0],
        isr_nodes: vec![NODE.0],
        ..MetadataResponsePartition::default()
    });
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}

fn unknown(name: Option<Str>, topic_id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code: error.0, name, topic_id, ..MetadataResponseTopic::default() }
}
