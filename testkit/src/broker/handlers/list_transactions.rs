//! ListTransactions: lists transactional ids, by state, producer, age and name if the request says so (KIP-664,
//! KIP-994, KIP-1152).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::list_transactions::{ListTransactionsRequest, ListTransactionsResponse, TransactionState};
use kafka_wire::wire::Str;
use regex_lite::Regex;

use super::{Client, Handled, Handler};
use crate::broker::patterns;
use crate::broker::state::State;
use crate::broker::transactions::{Described, STATES};

impl Handler for ListTransactionsRequest {
    fn handle(self, state: &mut State, client: &Client) -> Handled<ListTransactionsResponse> {
        let Ok(pattern) = self.pattern() else {
            return Handled::Now(self.refuse(ErrorCode::INVALID_REGULAR_EXPRESSION, client.context.version));
        };
        let is_wanted = |transaction: &Described<'_>| {
            self.admits(transaction)
                && self
                    .admits_age(state.timestamp().0, transaction.started.map(|started| state.timestamp_at(started).0))
                && pattern.as_ref().is_none_or(|pattern| pattern.is_match(transaction.transactional_id))
        };
        let listed = state.transactions.iter().filter(is_wanted).map(|transaction| TransactionState {
            transactional_id: transaction.transactional_id.clone(),
            producer_id: transaction.producer.id.0,
            transaction_state: Str::from_static(transaction.state),
            ..TransactionState::default()
        });
        let unknown = self.state_filters.iter().filter(|name| !STATES.contains(&name.as_str()));
        Handled::Now(ListTransactionsResponse {
            unknown_state_filters: unknown.cloned().collect(),
            transaction_states: listed.collect(),
            ..ListTransactionsResponse::default()
        })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> ListTransactionsResponse {
        ListTransactionsResponse { error_code: error.0, ..ListTransactionsResponse::default() }
    }
}

/// The filters of the request.
trait Filters {
    /// The pattern that a whole name has to match. `None` matches every name.
    fn pattern(&self) -> Result<Option<Regex>, regex_lite::Error>;

    fn admits(&self, transaction: &Described<'_>) -> bool;

    /// Whether the age of a transaction is within the filter. As in Kafka, an id without a transaction counts as
    /// started at -1 ms: its age exceeds every filter.
    fn admits_age(&self, now_ms: i64, started_ms: Option<i64>) -> bool;
}

impl Filters for ListTransactionsRequest {
    fn pattern(&self) -> Result<Option<Regex>, regex_lite::Error> {
        let pattern = self.transactional_id_pattern.as_ref().filter(|pattern| !pattern.is_empty());
        pattern.map(|pattern| patterns::whole(pattern)).transpose()
    }

    fn admits(&self, transaction: &Described<'_>) -> bool {
        (self.producer_id_filters.is_empty() || self.producer_id_filters.contains(&transaction.producer.id.0))
            && (self.state_filters.is_empty() || self.state_filters.iter().any(|name| *name == transaction.state))
    }

    fn admits_age(&self, now_ms: i64, started_ms: Option<i64>) -> bool {
        self.duration_filter < 0 || now_ms.saturating_sub(started_ms.unwrap_or(-1)) > self.duration_filter
    }
}
