//! DescribeQuorum: shows the quorum of the metadata log, whose only voter is this broker.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, DescribeQuorumResponsePartitionData,
    DescribeQuorumResponseTopicData, Listener, Node, ReplicaState,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::state::{NODE, State};

impl Handler for DescribeQuorumRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<DescribeQuorumResponse> {
        let is_metadata_log = matches!(self.topics.as_slice(), [topic] if topic.topic_name == METADATA_LOG
            && matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0));
        if !is_metadata_log {
            return Handled::Now(respond(&self, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        }
        let mut response = respond(&self, ErrorCode::NONE);
        for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            describe(state, client.context.version, partition);
        }
        if client.context.version >= FIRST_WITH_NODES {
            let (host, _) = client.way_to(state);
            let listener =
                Listener { name: Str::from_static("CONTROLLER"), host, port: state.port, ..Default::default() };
            response.nodes = vec![Node { node_id: NODE.0, listeners: vec![listener], ..Default::default() }];
        }
        Handled::Now(response)
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeQuorumResponse {
        let (error_code, error_message) = code_and_words(Err(error));
        DescribeQuorumResponse { error_code, error_message, ..DescribeQuorumResponse::default() }
    }
}

/// There is no metadata log here. The end that is shown moves with time, as Kafka's does, whose controller writes
/// an empty record twice a second.
fn describe(state: &State, version: i16, partition: &mut DescribeQuorumResponsePartitionData) {
    let end_offset = i64::try_from(state.now.as_millis() / 500).unwrap_or(i64::MAX - 1) + 1;
    let now_ms = if version >= FIRST_WITH_TIMES { state.timestamp().0 } else { -1 };
    partition.leader_id = NODE.0;
    partition.leader_epoch = 1;
    partition.high_watermark = end_offset;
    partition.current_voters = vec![ReplicaState {
        replica_id: NODE.0,
        log_end_offset: end_offset,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    }];
}

fn respond(request: &DescribeQuorumRequest, error: ErrorCode) -> DescribeQuorumResponse {
    let (error_code, error_message) = code_and_words(error.ok());
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|wanted| DescribeQuorumResponsePartitionData {
            partition_index: wanted.partition_index,
            error_code,
            error_message: error_message.clone(),
            ..Default::default()
        });
        topics.push(DescribeQuorumResponseTopicData {
            topic_name: topic.topic_name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        });
    }
    DescribeQuorumResponse { topics, ..DescribeQuorumResponse::default() }
}

const METADATA_LOG: &str = "__cluster_metadata";
const FIRST_WITH_TIMES: i16 = 1;
const FIRST_WITH_NODES: i16 = 2;
