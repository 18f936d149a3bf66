//! The abort of a transaction in one partition, by a marker of our own (KIP-664).

use super::ItemError;
use super::describe_producers::ActiveProducer;
use crate::cluster::TopicPartition;
use crate::protocol::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use crate::types::{ProducerEpoch, ProducerId};

/// The open transaction of a producer in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionToAbort {
    /// The partition.
    pub partition: TopicPartition,
    /// Id of the producer.
    pub producer_id: ProducerId,
    /// Epoch of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Epoch of the coordinator that wrote the producer's last marker in the partition; 0 if there is none.
    pub coordinator_epoch: i32,
}

impl TransactionToAbort {
    /// Names the open transaction of a producer that a partition has described.
    #[must_use]
    pub fn of(partition: TopicPartition, producer: &ActiveProducer) -> Self {
        Self {
            partition,
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            coordinator_epoch: producer.coordinator_epoch.unwrap_or(0),
        }
    }
}

/// Makes a request for an abort marker.
#[must_use]
pub fn request(transaction: &TransactionToAbort) -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic {
        name: transaction.partition.topic.clone(),
        partition_indexes: vec![transaction.partition.partition.0],
        ..Default::default()
    };
    let marker = WritableTxnMarker {
        producer_id: transaction.producer_id.0,
        producer_epoch: transaction.producer_epoch.0,
        transaction_result: false,
        topics: vec![topic],
        coordinator_epoch: transaction.coordinator_epoch,
        ..Default::default()
    };
    WriteTxnMarkersRequest { markers: vec![marker], ..Default::default() }
}

/// Returns the outcome of the one marker of the request.
///
/// # Errors
/// The leader's code.
pub fn read(response: WriteTxnMarkersResponse) -> Result<(), ItemError> {
    let mut topics = response.markers.into_iter().flat_map(|marker| marker.topics);
    let partition = topics.next().and_then(|topic| topic.partitions.into_iter().next());
    ItemError::check(partition.ok_or_else(ItemError::missing)?.error_code, None)
}
