//! Descriptions of single transactions (KIP-664).

use super::ItemError;
use crate::cluster::TopicPartition;
use crate::protocol::describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use crate::types::{PartitionId, ProducerEpoch, ProducerId, TimestampMs};
use crate::wire::Str;

/// A transactional id and its last transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The id.
    pub transactional_id: Str,
    /// State, such as `Ongoing`, `Empty` or `CompleteCommit`.
    pub state: Str,
    /// Milliseconds after which the coordinator aborts it.
    pub timeout_ms: i32,
    /// Start of the open transaction; -1 if none is open.
    pub start: TimestampMs,
    /// Id of its producer.
    pub producer_id: ProducerId,
    /// Epoch of its producer; a higher one fences those below.
    pub producer_epoch: ProducerEpoch,
    /// Partitions in the transaction.
    pub partitions: Vec<TopicPartition>,
}

/// Makes a request for one transactional id.
#[must_use]
pub fn request(transactional_id: &Str) -> DescribeTransactionsRequest {
    DescribeTransactionsRequest { transactional_ids: vec![transactional_id.clone()], ..Default::default() }
}

/// Returns the description of the one id of the request.
///
/// # Errors
/// The coordinator's error: `TRANSACTIONAL_ID_NOT_FOUND`, or another.
pub fn read(response: DescribeTransactionsResponse) -> Result<TransactionDescription, ItemError> {
    let state = response.transaction_states.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(state.error_code, None)?;
    let partitions = state.topics.into_iter().flat_map(|topic| {
        let name = topic.topic;
        topic.partitions.into_iter().map(move |partition| TopicPartition::new(name.clone(), PartitionId(partition)))
    });
    Ok(TransactionDescription {
        transactional_id: state.transactional_id,
        state: state.transaction_state,
        timeout_ms: state.transaction_timeout_ms,
        start: TimestampMs(state.transaction_start_time_ms),
        producer_id: ProducerId(state.producer_id),
        producer_epoch: ProducerEpoch(state.producer_epoch),
        partitions: partitions.collect(),
    })
}
