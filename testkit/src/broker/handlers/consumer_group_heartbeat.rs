//! ConsumerGroupHeartbeat: a member of the consumer protocol joins, stays or leaves, and gets its partitions (KIP-848).

use std::time::Duration;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatResponseTopicPartitions, TopicPartitions,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::groups::{Catalog, ConsumerHeartbeat, HeartbeatResult, Partitions};
use crate::broker::state::State;

impl Handler for ConsumerGroupHeartbeatRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ConsumerGroupHeartbeatResponse> {
        if client.context.version >= FIRST_WITH_OWN_IDS && self.member_id.is_empty() {
            return Handled::Now(refused(ErrorCode::INVALID_REQUEST, Some("MemberId can't be empty.")));
        }
        let topics = state.topics.iter();
        let catalog: Catalog = topics
            .map(|topic| (topic.name.clone(), (topic.id, u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX))))
            .collect();
        let group_id = self.group_id.clone();
        let result = state.groups.consumer_heartbeat(state.now, &group_id, heartbeat(self, client), &catalog);
        let interval = state.config.group_consumer_heartbeat_interval;
        Handled::Now(match result {
            Ok(result) => response(result, interval),
            Err((error, words)) => refused(error, words.or(Some(error.meaning()))),
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ConsumerGroupHeartbeatResponse {
        refused(error, None)
    }
}

fn heartbeat(request: ConsumerGroupHeartbeatRequest, client: &Client) -> ConsumerHeartbeat {
    let partitions = |topics: Vec<TopicPartitions>| {
        let mut owned = Partitions::new();
        for topic in topics {
            owned.entry(topic.topic_id).or_default().extend(topic.partitions);
        }
        owned
    };
    ConsumerHeartbeat {
        member_id: request.member_id.detached(),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        client_id: client.id.clone(),
        client_host: client.peer.host.clone(),
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms).ok().map(Duration::from_millis),
        topics: request.subscribed_topic_names,
        pattern: request.subscribed_topic_regex,
        assignor: request.server_assignor,
        owned: request.topic_partitions.map(partitions),
    }
}

fn response(result: HeartbeatResult, interval: Duration) -> ConsumerGroupHeartbeatResponse {
    let assignment = result.assignment.map(|partitions| Assignment {
        topic_partitions: partitions
            .into_iter()
            .map(|(topic_id, partitions)| ConsumerGroupHeartbeatResponseTopicPartitions {
                topic_id,
                partitions: partitions.into_iter().collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    ConsumerGroupHeartbeatResponse {
        member_id: Some(result.member_id),
        member_epoch: result.member_epoch,
        heartbeat_interval_ms: i32::try_from(interval.as_millis()).unwrap_or(i32::MAX),
        assignment,
        ..Default::default()
    }
}

fn refused(error: ErrorCode, words: Option<&'static str>) -> ConsumerGroupHeartbeatResponse {
    let error_message = words.map(Str::from_static);
    ConsumerGroupHeartbeatResponse { error_code: error.0, error_message, ..Default::default() }
}

/// From this version on members choose their ids (KIP-1082).
const FIRST_WITH_OWN_IDS: i16 = 1;
