//! The list of the transactions of one broker (KIP-664, KIP-994, KIP-1152).

use std::time::Duration;

use crate::protocol::ErrorCode;
use crate::protocol::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use crate::types::ProducerId;
use crate::wire::Str;

/// A transactional id, as listed by its coordinator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionListing {
    /// The id.
    pub transactional_id: Str,
    /// Id of its producer.
    pub producer_id: ProducerId,
    /// State, such as `Ongoing`, `Empty` or `CompleteCommit`.
    pub state: Str,
}

/// A filter of transactions. The default matches every transactional id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// States, such as `Ongoing`; empty for any.
    pub states: Vec<Str>,
    /// Producers; empty for any.
    pub producers: Vec<ProducerId>,
    /// Only transactions that have been open for longer than this. Brokers know it since Kafka 3.8.
    pub open_longer_than: Option<Duration>,
    /// Only ids that match this regular expression as a whole (RE2/J). Brokers know it since Kafka 4.1.
    pub id_pattern: Option<Str>,
}

/// Makes a request for the transactions of a broker that match a filter.
#[must_use]
pub fn request(filter: &TransactionFilter) -> ListTransactionsRequest {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    ListTransactionsRequest {
        state_filters: filter.states.clone(),
        producer_id_filters: filter.producers.iter().map(|producer| producer.0).collect(),
        duration_filter: filter.open_longer_than.map_or(-1, millis),
        transactional_id_pattern: filter.id_pattern.clone(),
        ..Default::default()
    }
}

/// Returns the transactions of one broker.
///
/// # Errors
/// The broker's code.
pub fn read(response: ListTransactionsResponse) -> Result<Vec<TransactionListing>, ErrorCode> {
    ErrorCode(response.error_code).ok()?;
    let listed = response.transaction_states.into_iter().map(|state| TransactionListing {
        transactional_id: state.transactional_id,
        producer_id: ProducerId(state.producer_id),
        state: state.transaction_state,
    });
    Ok(listed.collect())
}
