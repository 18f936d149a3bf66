//! The list of the transactions of one broker (KIP-664).

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

/// Makes a request for all transactions of a broker.
#[must_use]
pub fn request() -> ListTransactionsRequest {
    ListTransactionsRequest { duration_filter: -1, ..Default::default() }
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
