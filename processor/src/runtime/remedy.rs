//! What each failure of each operation means: the one table of what passes and what does not.
//!
//! The rule: what another attempt may mend is attempted again, what needs a person ends the job. When in doubt a
//! worker starts over, because nothing can be lost by it. The client has retried what is worth retrying at once
//! before a failure gets here.

use std::fmt::Display;

use kafka_wire::admin::TopicError;
use kafka_wire::client::{ConnectError, MetadataError, OffsetsError, RequestError};
use kafka_wire::consumer::ConsumeError;
use kafka_wire::group::GroupError;
use kafka_wire::producer::{
    AppendError, CommitError, DeliveryCause, DeliveryError, FlushError, OpenError, TransactionCause, TransactionError,
};
use kafka_wire::protocol::ErrorCode;

use crate::commit::Outcome;
use crate::worker::{Completion, End, Fatal};

/// What helps against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same again, later: a broker is down or moving. A start waits for it, a running worker starts over.
    Retry,
    /// A new worker: what this one holds at the brokers is void.
    Restart,
    /// A person: the same would happen again.
    Person,
}

/// A failure of an operation.
pub(super) trait Failure: Display {
    /// What helps.
    fn remedy(&self) -> Remedy;

    /// What a person is told.
    fn fatal(&self) -> Fatal {
        Fatal::Refused(self.to_string())
    }

    /// How a worker that runs ends by it.
    fn end(&self) -> End {
        match self.remedy() {
            Remedy::Retry | Remedy::Restart => End::Restart(self.to_string()),
            Remedy::Person => End::Fatal(self.fatal()),
        }
    }
}

/// Connecting.
impl Failure for ConnectError {
    fn remedy(&self) -> Remedy {
        match self {
            // Also at the first start: which of the two it is, a wrong address or a broker that is not up yet, time
            // tells.
            error if error.is_retriable() => Remedy::Retry,
            // An address that is none, a certificate that cannot be used, a password that is wrong.
            _ => Remedy::Person,
        }
    }
}

/// Any request: creating topics, deleting records.
impl Failure for RequestError {
    fn remedy(&self) -> Remedy {
        if self.is_retriable() { Remedy::Retry } else { Remedy::Person }
    }
}

/// Looking up topics, listing offsets.
impl Failure for MetadataError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Request(error) => error.remedy(),
            // A topic that is gone may come back: what then holds is for the new worker to find out.
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } => Remedy::Restart,
            Self::Topic { code, .. } | Self::Partition { code, .. } => code_remedy(*code),
            Self::NoLeader { .. } => Remedy::Retry,
            _ => Remedy::Restart,
        }
    }
}

/// Creating one topic.
impl Failure for TopicError {
    fn remedy(&self) -> Remedy {
        match self.code {
            code if code.is_retriable() => Remedy::Retry,
            // Brokers that are down, when the replicas asked for do not fit those that are left.
            ErrorCode::INVALID_REPLICATION_FACTOR => Remedy::Retry,
            _ => Remedy::Person,
        }
    }
}

/// Opening the producer: the transactional id is taken up.
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

/// Being a member of the group.
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

/// Reading the offsets of the group.
impl Failure for OffsetsError {
    fn remedy(&self) -> Remedy {
        match self.code() {
            Some(code) if !code.is_retriable() && !self.is_group_changed() => Remedy::Person,
            _ => Remedy::Restart,
        }
    }
}

/// Reading records.
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

/// Appending a record to the open transaction.
impl Failure for AppendError {
    fn remedy(&self) -> Remedy {
        Remedy::Person
    }
}

/// Delivering a batch.
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

/// Flushing, and waiting for room.
impl Failure for FlushError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Delivery { first, .. } => first.remedy(),
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

/// Beginning, aborting and recovering.
impl Failure for TransactionError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Fatal(TransactionCause::Refused { code, .. }) => code_remedy(*code),
            _ => Remedy::Restart,
        }
    }
}

/// Committing, when the producer is finished by it.
impl Failure for CommitError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Fatal(TransactionCause::Refused { code, .. }) => code_remedy(*code),
            _ => Remedy::Restart,
        }
    }
}

/// What a flush came to.
pub(super) fn flushed(result: Result<(), FlushError>) -> Completion {
    match result {
        Ok(()) => Completion::Transaction(Outcome::Done),
        Err(error) if error.remedy() == Remedy::Person => Completion::Failed(error.end()),
        Err(_) => Completion::Transaction(Outcome::MustAbort),
    }
}

/// What a commit came to.
pub(super) fn committed(result: Result<(), CommitError>) -> Completion {
    match result {
        Ok(()) => Completion::Transaction(Outcome::Done),
        Err(CommitError::Unknown(_)) => Completion::Transaction(Outcome::Unknown),
        // After `GroupChanged` the group's own event says what to do next.
        Err(CommitError::Abortable(_) | CommitError::GroupChanged(_)) => Completion::Transaction(Outcome::MustAbort),
        Err(error) => Completion::Failed(error.end()),
    }
}

/// What an abort came to.
pub(super) fn aborted(result: Result<(), TransactionError>) -> Completion {
    match result {
        Ok(()) => Completion::Transaction(Outcome::Done),
        Err(TransactionError::TimedOut(_)) => Completion::Transaction(Outcome::Unknown),
        Err(error) => Completion::Failed(error.end()),
    }
}

/// Codes that say that the job is not allowed to, or asks for what the cluster cannot do, need a person.
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
