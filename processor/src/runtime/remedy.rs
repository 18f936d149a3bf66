//! The remedy for each failure of each operation: the one table of which failures pass and which do not.
//!
//! The rule: if another attempt may succeed, there is one; if a person is needed, the job ends.
//! In doubt a worker starts over, because nothing can be lost by that. The client has made the immediate retries before
//! a failure gets here.

use std::fmt::Display;

use kafka_wire::admin::TopicError;
use kafka_wire::client::{AdminError, ConnectError, MetadataError, OffsetsError, RequestError};
use kafka_wire::consumer::ConsumeError;
use kafka_wire::group::GroupError;
use kafka_wire::producer::{
    AppendError, CommitError, DeliveryCause, DeliveryError, FlushError, OpenError, TransactionCause, TransactionError,
};
use kafka_wire::protocol::ErrorCode;

use crate::commit::Outcome;
use crate::worker::{Completion, End, Fatal};

/// The remedy for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same operation again, later: a broker is down or moving. A start waits for it; a running worker starts over.
    Retry,
    /// A new worker: the state of this one at the brokers is void.
    Restart,
    /// A person: the same failure would occur again.
    Person,
}

/// A failure of an operation.
pub(super) trait Failure: Display {
    /// The remedy for it.
    fn remedy(&self) -> Remedy;

    /// The error for the user.
    fn fatal(&self) -> Fatal {
        Fatal::Refused(self.to_string())
    }

    /// The end of a running worker with this failure.
    fn end(&self) -> End {
        match self.remedy() {
            Remedy::Retry | Remedy::Restart => End::Restart(self.to_string()),
            Remedy::Person => End::Fatal(self.fatal()),
        }
    }
}

/// Failures of connecting.
impl Failure for ConnectError {
    fn remedy(&self) -> Remedy {
        match self {
            // This holds for the first start as well: only time tells a wrong address from a broker that is not up yet.
            error if error.is_retriable() => Remedy::Retry,
            // The address is malformed, a certificate cannot be used, or a password is wrong.
            _ => Remedy::Person,
        }
    }
}

/// Failures of any request: creating topics, deleting records.
impl Failure for RequestError {
    fn remedy(&self) -> Remedy {
        if self.is_retriable() { Remedy::Retry } else { Remedy::Person }
    }
}

/// Failures of listing topics.
impl Failure for AdminError {
    fn remedy(&self) -> Remedy {
        if self.is_retriable() { Remedy::Retry } else { Remedy::Person }
    }
}

/// Failures of looking up topics and listing offsets.
impl Failure for MetadataError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Request(error) => error.remedy(),
            // A missing topic may come back; the new worker finds out.
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } => Remedy::Restart,
            Self::Topic { code, .. } | Self::Partition { code, .. } => code_remedy(*code),
            Self::NoLeader { .. } => Remedy::Retry,
            _ => Remedy::Restart,
        }
    }
}

/// Failures of creating a topic.
impl Failure for TopicError {
    fn remedy(&self) -> Remedy {
        match self.code {
            code if code.is_retriable() => Remedy::Retry,
            // Some brokers are down, and the remaining ones are too few for the requested replicas.
            ErrorCode::INVALID_REPLICATION_FACTOR => Remedy::Retry,
            _ => Remedy::Person,
        }
    }
}

/// Failures of opening the producer, which takes up the transactional id.
impl Failure for OpenError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Refused(code) => code_remedy(*code),
            Self::TimedOut { .. } => Remedy::Retry,
            Self::Unsupported | Self::Compression(_) => Remedy::Person,
            _ => Remedy::Restart,
        }
    }

    fn fatal(&self) -> Fatal {
        Fatal::Refused(match self {
            Self::Refused(ErrorCode::INVALID_TRANSACTION_TIMEOUT) => {
                "the broker refuses transaction.timeout.ms: it is above its transaction.max.timeout.ms".to_owned()
            }
            error => error.to_string(),
        })
    }
}

/// Failures of the group membership.
impl Failure for GroupError {
    fn remedy(&self) -> Remedy {
        Remedy::Person
    }

    fn fatal(&self) -> Fatal {
        Fatal::Refused(match self {
            Self::NoCommonAssignor { group_id, .. } => format!(
                "group {group_id} has members that are not of this job, or of a version of it that shares partitions in \
                 another way: stop them (kafka-consumer-groups.sh --describe --group {group_id} --members lists them), or \
                 take another application id"
            ),
            error => error.to_string(),
        })
    }
}

/// Failures of reading the offsets of the group.
impl Failure for OffsetsError {
    fn remedy(&self) -> Remedy {
        match self.code() {
            Some(code) if !code.is_retriable() && !self.is_group_changed() => Remedy::Person,
            _ => Remedy::Restart,
        }
    }
}

/// Failures of reading records.
impl Failure for ConsumeError {
    fn remedy(&self) -> Remedy {
        Remedy::Person
    }

    fn fatal(&self) -> Fatal {
        match self {
            Self::Corrupt { partition, offset, cause } => {
                Fatal::Corrupt { partition: partition.clone(), offset: *offset, cause: cause.to_string() }
            }
            error => Fatal::Refused(error.to_string()),
        }
    }
}

/// The end of a worker that cannot read a changelog or a global table. If the beginning of the log has gone while the
/// worker waited for its turn to read it, a new worker begins at the present one.
pub(super) fn unrestored(error: &ConsumeError) -> End {
    match error {
        ConsumeError::OffsetOutOfRange { .. } => End::Restart(error.to_string()),
        error => error.end(),
    }
}

/// Failures of appending a record to the open transaction.
impl Failure for AppendError {
    fn remedy(&self) -> Remedy {
        Remedy::Person
    }
}

/// Failures of delivering a batch.
impl Failure for DeliveryError {
    fn remedy(&self) -> Remedy {
        match self.cause {
            DeliveryCause::Refused(
                ErrorCode::MESSAGE_TOO_LARGE
                | ErrorCode::RECORD_LIST_TOO_LARGE
                | ErrorCode::INVALID_TIMESTAMP
                | ErrorCode::INVALID_RECORD
                | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
                | ErrorCode::POLICY_VIOLATION,
            ) => Remedy::Person,
            DeliveryCause::Refused(code) => code_remedy(code),
            _ => Remedy::Restart,
        }
    }

    fn fatal(&self) -> Fatal {
        let mend = match self.cause {
            DeliveryCause::Refused(ErrorCode::INVALID_TIMESTAMP) => {
                "raise message.timestamp.after.max.ms of the topic, or correct the event times"
            }
            _ if self.is_too_large() => "raise max.message.bytes of the topic, or emit smaller records",
            _ => "change the topic's configuration or the job's rights",
        };
        Fatal::Refused(format!("{self}: {mend}; nothing of the transaction was committed"))
    }
}

/// Failures of flushing, and of waiting for room.
impl Failure for FlushError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Delivery { first, .. } => first.remedy(),
            // A right to write is refused before the first delivery, when the partition joins the transaction.
            Self::Transaction(TransactionCause::Refused { code, .. }) => code_remedy(*code),
            _ => Remedy::Restart,
        }
    }

    fn fatal(&self) -> Fatal {
        match self {
            Self::Delivery { first, .. } => first.fatal(),
            error => Fatal::Refused(error.to_string()),
        }
    }
}

/// Failures of beginning, aborting and recovering.
impl Failure for TransactionError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Fatal(TransactionCause::Refused { code, .. }) => code_remedy(*code),
            _ => Remedy::Restart,
        }
    }
}

/// Failures of committing after which another attempt does not help.
impl Failure for CommitError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Fatal(TransactionCause::Refused { code, .. })
            | Self::Abortable(TransactionCause::Refused { code, .. }) => code_remedy(*code),
            _ => Remedy::Restart,
        }
    }
}

/// The completion for the result of a flush.
pub(super) fn flushed(result: Result<Completion, FlushError>) -> Completion {
    match result {
        Ok(completion) => completion,
        Err(error) if error.remedy() == Remedy::Person => Completion::Failed(error.end()),
        Err(_) => Completion::Transaction(Outcome::MustAbort),
    }
}

/// The completion for the result of a commit.
pub(super) fn committed(result: Result<(), CommitError>) -> Completion {
    match result {
        Ok(()) => Completion::Transaction(Outcome::Done),
        Err(CommitError::Unknown(_)) => Completion::Transaction(Outcome::Unknown),
        Err(error) if error.remedy() == Remedy::Person => Completion::Failed(error.end()),
        // After `GroupChanged`, the group's own event tells what to do next.
        Err(CommitError::Abortable(_) | CommitError::GroupChanged(_)) => Completion::Transaction(Outcome::MustAbort),
        Err(error) => Completion::Failed(error.end()),
    }
}

/// The completion for the result of an abort.
pub(super) fn aborted(result: Result<(), TransactionError>) -> Completion {
    match result {
        Ok(()) => Completion::Transaction(Outcome::Done),
        Err(TransactionError::TimedOut(_)) => Completion::Transaction(Outcome::Unknown),
        Err(error) => Completion::Failed(error.end()),
    }
}

/// Error codes that mean "not allowed", or a request that the cluster cannot fulfil, need a person.
fn code_remedy(code: ErrorCode) -> Remedy {
    match code {
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_VERSION
        | ErrorCode::INVALID_TRANSACTION_TIMEOUT => Remedy::Person,
        code if code.is_retriable() => Remedy::Retry,
        _ => Remedy::Restart,
    }
}

#[cfg(test)]
mod tests;
