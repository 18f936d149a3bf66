//! The meaning of error codes for a transaction, by the API that returned them.
//!
//! The classes are those of Java's `TransactionManager` (the `handleResponse` of each of its handlers), with one more
//! for offset commits of a member that the group no longer knows (KIP-447).

use crate::protocol::{ApiKey, ErrorCode};

/// The reaction to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// The request has succeeded.
    Done,
    /// Send the same request again after a pause.
    Retry,
    /// Look the coordinator up again, then send the same request.
    FindCoordinator,
    /// Abort the transaction; after that the producer can go on.
    Abortable,
    /// The same, but the coordinator will not even accept the abort: get a producer id again instead, which tells
    /// whether another producer has the transactional id.
    Reinitialize,
    /// The consumer group has moved on: abort, then rejoin.
    GroupChanged,
    /// Another producer has the transactional id, or the coordinator has given this transaction up.
    Fenced,
    /// This producer cannot go on.
    Fatal,
}

/// The reaction to `code` in a response of `api`, one of the five transactional requests or FindCoordinator.
#[must_use]
pub fn reaction(api: ApiKey, code: ErrorCode) -> Reaction {
    match code {
        ErrorCode::NONE => Reaction::Done,
        ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Reaction::FindCoordinator,
        // The group coordinator's append to its log timed out; Java looks for the coordinator again instead of
        // waiting for this one.
        ErrorCode::REQUEST_TIMED_OUT if api == ApiKey::TxnOffsetCommit => Reaction::FindCoordinator,
        ErrorCode::CONCURRENT_TRANSACTIONS | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => Reaction::Retry,
        ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::PRODUCER_FENCED => Reaction::Fenced,
        ErrorCode::TRANSACTION_ABORTABLE => Reaction::Abortable,
        ErrorCode::UNKNOWN_PRODUCER_ID | ErrorCode::INVALID_PRODUCER_ID_MAPPING if api != ApiKey::InitProducerId => {
            Reaction::Reinitialize
        }
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED | ErrorCode::INVALID_TXN_STATE => Reaction::Fatal,
        code if code.is_retriable() => Reaction::Retry,
        code => of_api(api, code),
    }
}

/// Codes whose meaning depends on the request.
fn of_api(api: ApiKey, code: ErrorCode) -> Reaction {
    match (api, code) {
        // One partition that cannot be added fails the transaction, but not the producer.
        (ApiKey::AddPartitionsToTxn, _) | (_, ErrorCode::GROUP_AUTHORIZATION_FAILED) => Reaction::Abortable,
        (
            ApiKey::TxnOffsetCommit,
            ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::FENCED_MEMBER_EPOCH
            | ErrorCode::STALE_MEMBER_EPOCH,
        ) => Reaction::GroupChanged,
        _ => Reaction::Fatal,
    }
}

/// The reaction of a transaction to a leader's refusal of one of its batches.
///
/// Java takes INVALID_PRODUCER_EPOCH from a leader as abortable and learns from the coordinator's response to the abort
/// that it is fenced. That is the only possible end, so it is taken as fenced at once.
#[must_use]
pub fn produce_reaction(code: ErrorCode) -> Reaction {
    match code {
        ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::PRODUCER_FENCED => Reaction::Fenced,
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_VERSION => Reaction::Fatal,
        ErrorCode::INVALID_PRODUCER_ID_MAPPING => Reaction::Reinitialize,
        _ => Reaction::Abortable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APIS: [ApiKey; 5] = [
        ApiKey::InitProducerId,
        ApiKey::AddPartitionsToTxn,
        ApiKey::AddOffsetsToTxn,
        ApiKey::TxnOffsetCommit,
        ApiKey::EndTxn,
    ];

    /// A row: the code, then the reaction for each of `APIS`. D done, R retry, C find coordinator, A abortable,
    /// I reinitialize, G group changed, F fenced, X fatal.
    const TABLE: &[(ErrorCode, &str)] = &[
        (ErrorCode::NONE, "DDDDD"),
        (ErrorCode::UNKNOWN_SERVER_ERROR, "XAXXX"),
        (ErrorCode::NOT_COORDINATOR, "CCCCC"),
        (ErrorCode::COORDINATOR_NOT_AVAILABLE, "CCCCC"),
        (ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, "RRRRR"),
        (ErrorCode::CONCURRENT_TRANSACTIONS, "RRRRR"),
        (ErrorCode::REQUEST_TIMED_OUT, "RRRCR"),
        (ErrorCode::NETWORK_EXCEPTION, "RRRRR"),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "RRRRR"),
        (ErrorCode::INVALID_PRODUCER_EPOCH, "FFFFF"),
        (ErrorCode::PRODUCER_FENCED, "FFFFF"),
        (ErrorCode::TRANSACTION_ABORTABLE, "AAAAA"),
        (ErrorCode::UNKNOWN_PRODUCER_ID, "XIIII"),
        (ErrorCode::INVALID_PRODUCER_ID_MAPPING, "XIIII"),
        (ErrorCode::INVALID_TXN_STATE, "XXXXX"),
        (ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "XXXXX"),
        (ErrorCode::INVALID_TRANSACTION_TIMEOUT, "XAXXX"),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, "XAXXX"),
        (ErrorCode::OPERATION_NOT_ATTEMPTED, "XAXXX"),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, "AAAAA"),
        (ErrorCode::ILLEGAL_GENERATION, "XAXGX"),
        (ErrorCode::UNKNOWN_MEMBER_ID, "XAXGX"),
        (ErrorCode::FENCED_INSTANCE_ID, "XAXGX"),
        (ErrorCode::REBALANCE_IN_PROGRESS, "XAXGX"),
        (ErrorCode(32_000), "XAXXX"),
    ];

    #[test]
    fn every_code_means_to_every_request_what_it_means_to_java() {
        for &(code, row) in TABLE {
            for (api, letter) in APIS.into_iter().zip(row.chars()) {
                let expected = match letter {
                    'D' => Reaction::Done,
                    'R' => Reaction::Retry,
                    'C' => Reaction::FindCoordinator,
                    'A' => Reaction::Abortable,
                    'I' => Reaction::Reinitialize,
                    'G' => Reaction::GroupChanged,
                    'F' => Reaction::Fenced,
                    _ => Reaction::Fatal,
                };
                assert_eq!(reaction(api, code), expected, "{code:?} from {}", api.name());
            }
        }
    }

    #[test]
    fn only_no_error_is_done() {
        for code in (-2..200).map(ErrorCode) {
            for api in APIS {
                assert_eq!(reaction(api, code) == Reaction::Done, code.is_none(), "{code:?} from {}", api.name());
            }
            assert_ne!(produce_reaction(code), Reaction::Done, "{code:?}");
        }
    }
}
