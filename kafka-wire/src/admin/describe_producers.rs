//! The producers that have written to partitions lately, with their open transactions (KIP-664).

use super::ItemError;
use crate::cluster::TopicPartition;
use crate::protocol::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, ProducerState, TopicRequest,
};
use crate::types::{Offset, PartitionId, ProducerEpoch, ProducerId, TimestampMs};

/// A producer whose state a partition keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch; a higher one fences those below.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of its last record; `None` if it has none.
    pub last_sequence: Option<i32>,
    /// Largest timestamp of its last batch; -1 for none.
    pub last_timestamp: TimestampMs,
    /// Epoch of the coordinator that wrote its last marker; `None` if there is none.
    pub coordinator_epoch: Option<i32>,
    /// First offset of its open transaction in this partition; `None` if none is open.
    pub transaction_start: Option<Offset>,
}

/// Makes a request to one broker for the producers of partitions.
#[must_use]
pub fn request(partitions: &[TopicPartition]) -> DescribeProducersRequest {
    let mut topics: Vec<TopicRequest> = Vec::new();
    for partition in partitions {
        match topics.last_mut() {
            Some(last) if last.name == partition.topic => last.partition_indexes.push(partition.partition.0),
            _ => topics.push(TopicRequest {
                name: partition.topic.clone(),
                partition_indexes: vec![partition.partition.0],
                ..Default::default()
            }),
        }
    }
    DescribeProducersRequest { topics, ..Default::default() }
}

/// Returns the producers of each partition, in the order of the response.
pub fn read(
    response: DescribeProducersResponse,
) -> impl Iterator<Item = (TopicPartition, Result<Vec<ActiveProducer>, ItemError>)> {
    response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |found| {
            let partition = TopicPartition::new(name.clone(), PartitionId(found.partition_index));
            let producers = || found.active_producers.iter().map(producer).collect();
            (partition, ItemError::check(found.error_code, found.error_message.clone()).map(|()| producers()))
        })
    })
}

fn producer(state: &ProducerState) -> ActiveProducer {
    ActiveProducer {
        producer_id: ProducerId(state.producer_id),
        // The field is wider than an epoch can be.
        producer_epoch: ProducerEpoch(i16::try_from(state.producer_epoch).unwrap_or(-1)),
        last_sequence: (state.last_sequence >= 0).then_some(state.last_sequence),
        last_timestamp: TimestampMs(state.last_timestamp),
        coordinator_epoch: (state.coordinator_epoch >= 0).then_some(state.coordinator_epoch),
        transaction_start: (state.current_txn_start_offset >= 0).then_some(Offset(state.current_txn_start_offset)),
    }
}
