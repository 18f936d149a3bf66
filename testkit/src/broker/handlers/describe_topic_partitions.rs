//! DescribeTopicPartitions: topics with their partitions in the order of their names, page by page (KIP-966).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::authorized_operations;
use crate::broker::internal_topics::is_internal;
use crate::broker::log::LEADER_EPOCH;
use crate::broker::state::{NODE, State};
use crate::broker::topics::{Topic, is_legal_name};

impl Handler for DescribeTopicPartitionsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<DescribeTopicPartitionsResponse> {
        let (first, start) = match &self.cursor {
            Some(cursor) if cursor.partition_index < 0 => {
                return Handled::Now(self.refuse(ErrorCode::INVALID_REQUEST, client.context.version));
            }
            Some(cursor) => (cursor.topic_name.clone(), cursor.partition_index),
            None => (Str::EMPTY, 0),
        };
        let mut names: Vec<Str> = if self.topics.is_empty() {
            state.topics.iter().map(|topic| topic.name.clone()).collect()
        } else {
            self.topics.iter().map(|topic| topic.name.clone()).collect()
        };
        names.retain(|name| *name >= first);
        names.sort();
        names.dedup();
        let mut room = self.response_partition_limit.clamp(1, PARTITIONS_MAX);
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names {
            // The next page may begin with a topic that does not exist.
            if room == 0 {
                response.next_cursor = Some(cursor(&name, 0));
                break;
            }
            let Some(topic) = state.topics.by_name(&name) else {
                response.topics.push(unknown(name));
                continue;
            };
            let start = if name == first { start } else { 0 };
            let described = describe(topic, start, room);
            let shown = i32::try_from(described.partitions.len()).unwrap_or(room);
            room -= shown;
            response.topics.push(described);
            let next = start.saturating_add(shown);
            if usize::try_from(next).is_ok_and(|next| next < topic.partitions.len()) {
                response.next_cursor = Some(cursor(&name, next));
                break;
            }
        }
        Handled::Now(response)
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeTopicPartitionsResponse {
        let topics = self.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
            error_code: error.0,
            name: Some(topic.name.clone()),
            ..Default::default()
        });
        DescribeTopicPartitionsResponse { topics: topics.collect(), ..Default::default() }
    }
}

fn cursor(name: &Str, partition_index: i32) -> Cursor {
    Cursor { topic_name: name.clone(), partition_index, ..Default::default() }
}

/// The topic with at most `room` of its partitions, from `start` on.
fn describe(topic: &Topic, start: i32, room: i32) -> DescribeTopicPartitionsResponseTopic {
    let indexes = (0..).zip(&topic.partitions).map(|(index, _)| index).filter(|index| *index >= start);
    let partitions = indexes.take(usize::try_from(room).unwrap_or(0)).map(|partition_index| {
        DescribeTopicPartitionsResponsePartition {
            partition_index,
            leader_id: NODE.0,
            leader_epoch: LEADER_EPOCH.0,
            replica_nodes: vec![NODE.0],
            isr_nodes: vec![NODE.0],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..Default::default()
        }
    });
    DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: authorized_operations::TOPIC,
        ..Default::default()
    }
}

fn unknown(name: Str) -> DescribeTopicPartitionsResponseTopic {
    let error =
        if is_legal_name(&name) { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { ErrorCode::INVALID_TOPIC_EXCEPTION };
    DescribeTopicPartitionsResponseTopic { error_code: error.0, name: Some(name), ..Default::default() }
}

/// Most partitions of a page: Kafka's `max.request.partition.size.limit`.
const PARTITIONS_MAX: i32 = 2_000;
