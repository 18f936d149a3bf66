//! DescribeProducers: lists the producers that have written to partitions, and their open transactions there (KIP-664).

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler, code_and_words};
use crate::broker::producer_state::ActiveProducer;
use crate::broker::state::State;
use crate::broker::topics::is_legal_name;

impl Handler for DescribeProducersRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DescribeProducersResponse> {
        Handled::Now(respond(&self, |topic, index| find(state, topic, index)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeProducersResponse {
        respond(self, |_, _| Err(error))
    }
}

fn find(state: &State, topic: &str, index: i32) -> Result<Vec<ProducerState>, ErrorCode> {
    if !is_legal_name(topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let partition = state.topics.partition(topic, index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    Ok(partition.log.producers().map(describe).collect())
}

fn describe(producer: ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence.unwrap_or(-1),
        last_timestamp: producer.last_timestamp.0,
        // The transaction coordinator here only ever has this one epoch.
        coordinator_epoch: if producer.has_marker { 0 } else { -1 },
        current_txn_start_offset: producer.open_since.map_or(-1, |offset| offset.0),
        ..Default::default()
    }
}

fn respond(
    request: &DescribeProducersRequest,
    find: impl Fn(&Str, i32) -> Result<Vec<ProducerState>, ErrorCode>,
) -> DescribeProducersResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    // Each is told once, however often the request names it: a partition may have many producers.
    let mut told = BTreeSet::new();
    for topic in &request.topics {
        let indexes = topic.partition_indexes.iter().filter(|&&index| told.insert((&topic.name, index)));
        let partitions = indexes.map(|&partition_index| {
            let found = find(&topic.name, partition_index);
            let (error_code, error_message) = code_and_words(found.as_ref().map(|_| ()).map_err(|&error| error));
            PartitionResponse {
                partition_index,
                error_code,
                error_message,
                active_producers: found.unwrap_or_default(),
                ..Default::default()
            }
        });
        topics.push(TopicResponse { name: topic.name.clone(), partitions: partitions.collect(), ..Default::default() });
    }
    DescribeProducersResponse { topics, ..DescribeProducersResponse::default() }
}
