//! The errors between `append` and a committed transaction.
//!
//! Errors with `possibly_written`, and [`CommitError::Unknown`], must not be retried blindly: there was no response,
//! and the records may be in the log.

use std::error::Error;
use std::fmt;
use std::io::ErrorKind;

use crate::cluster::TopicPartition;
use crate::compression::CompressionError;
use crate::protocol::{ApiKey, ErrorCode};
use crate::types::PartitionId;
use crate::wire::Str;

/// The reason why a record was not appended. Nothing of it is kept.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The buffer limit is reached: wait with `ready` and append again.
    Full {
        /// [`super::ProducerConfig::buffer_limit_bytes`].
        limit_bytes: usize,
    },
    /// The record alone is larger than the buffer.
    RecordTooLarge {
        /// Bytes that the record needs.
        record_bytes: usize,
        /// [`super::ProducerConfig::buffer_limit_bytes`].
        limit_bytes: usize,
    },
    /// The topic has no such partition.
    UnknownPartition {
        /// The partition.
        partition: PartitionId,
    },
    /// The topic handle is from another producer: look the topic up with the producer that is to write.
    ForeignTopic,
    /// A transactional producer accepts records only between `begin` and `commit` or `abort`.
    NotInTransaction,
    /// The open transaction has failed: no record of it will be committed. Abort it.
    TransactionFailed,
    /// The producer is closed.
    Closed,
    /// The sending task or thread has ended on its own: its runtime was shut down, or it panicked. Open a new producer.
    Stopped,
}

/// A batch that was not written to its partition, or may not have been.
#[derive(Clone, PartialEq, Eq)]
pub struct DeliveryError {
    /// The partition.
    pub partition: TopicPartition,
    /// Number of its records.
    pub record_count: i32,
    /// Its size as it would be sent; before compression if it was never sent.
    pub batch_bytes: usize,
    /// The cause.
    pub cause: DeliveryCause,
    /// Whether the batch may be in the log nevertheless: it was sent, and a response never came or left that open. A
    /// leader that is deposed before all replicas have a batch does not tell whether its successor has it.
    pub possibly_written: bool,
    /// The broker's message about the record or its batch, if it sent one.
    pub message: Option<Str>,
}

/// The cause why a batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryCause {
    /// The leader refused it, and a retry would not help.
    Refused(ErrorCode),
    /// [`super::ProducerConfig::delivery_timeout`] passed; with the last retriable error code, if there was one.
    TimedOut(Option<ErrorCode>),
    /// The cluster and this client have no version of Produce in common, or the request could not be encoded.
    Unsendable,
    /// This build lacks the codec.
    Compression(CompressionError),
    /// An earlier batch of the same transaction failed, so this one was not sent, or not sent again.
    TransactionFailed,
    /// The leader refused another record of the same batch, and so the whole batch. This record may be sent again.
    OtherRecord(ErrorCode),
    /// The producer was closed or dropped, or its sender ended on its own, before there was a response.
    Ended,
}

/// Some of the appended records were not acknowledged, and never will be.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// Batches failed since the last flush. Inside a transaction: abort it.
    Delivery {
        /// The first of these batches.
        first: DeliveryError,
        /// Number of records that failed in all.
        failed_records: u64,
    },
    /// The transaction as a whole failed: `abort` or `recover` it to go on.
    Transaction(TransactionCause),
    /// The producer waits for `recover`, or its background task has ended.
    NotReady(NotReady),
}

/// The cause of the failure of a transaction or of an operation on it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionCause {
    /// A coordinator or a leader responded with this error code.
    Refused {
        /// API of the request.
        api: ApiKey,
        /// The error code.
        code: ErrorCode,
    },
    /// A batch failed.
    Delivery(DeliveryError),
    /// No conclusive response came in time.
    TimedOut {
        /// API of the request.
        api: ApiKey,
        /// The last retriable error code, if there was any.
        last: Option<ErrorCode>,
    },
    /// The cluster has no version of this API that this client has, or the request could not be encoded.
    Unsendable {
        /// The API.
        api: ApiKey,
    },
}

/// The outcome of a commit that did not succeed, by what the caller has to do next.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// EndTxn got no response: the transaction is committed or aborted, and this client does not know which.
    /// Call `recover`.
    Unknown(TransactionCause),
    /// Not committed. Call `abort`, then begin anew.
    Abortable(TransactionCause),
    /// Not committed: the group has moved on, and this member may not commit offsets. Call `abort`, then rejoin.
    /// The code is ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or a similar one.
    GroupChanged(ErrorCode),
    /// Not committed: another producer opened the transactional id, or the coordinator aborted the transaction because
    /// it was open too long. This producer cannot go on; open a new one if the id still belongs to this process.
    Fenced(TransactionCause),
    /// Not committed, and this producer cannot go on.
    Fatal(TransactionCause),
    /// No transaction is open, or the producer waits for `abort` or `recover`.
    NotReady(NotReady),
}

/// The reason why a transaction could not be begun, aborted or recovered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionError {
    /// The coordinator sent no conclusive response in time. `recover` may be called again.
    TimedOut(TransactionCause),
    /// Another instance has the transactional id, or the transaction timed out. This producer cannot go on.
    Fenced(TransactionCause),
    /// This producer cannot go on.
    Fatal(TransactionCause),
    /// The call does not fit the producer's state.
    NotReady(NotReady),
}

/// The reason why a call does not fit the producer's state; it tells which one would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReady {
    /// No transaction is open: call `begin` first.
    NotBegun,
    /// A transaction is open: `commit` or `abort` it.
    AlreadyBegun,
    /// The transaction failed: `abort` it.
    NeedsAbort,
    /// The outcome of the last transaction is unknown: `recover` it.
    NeedsRecover,
    /// The producer was fenced, has failed for good, or is closed: open a new one.
    Finished,
    /// The producer was opened without a transactional id.
    NotTransactional,
    /// The sending task or thread has ended on its own: its runtime was shut down, or it panicked. Open a new producer.
    Stopped,
}

/// The reason why a producer could not be opened.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The coordinator refused, and a retry would not help.
    Refused(ErrorCode),
    /// The producer was not open within [`super::ProducerConfig::init_timeout`].
    TimedOut {
        /// The last retriable error code, if there was any.
        last: Option<ErrorCode>,
    },
    /// The cluster has no version of InitProducerId that this client has.
    Unsupported,
    /// The operating system provided no thread for sending, or no runtime for it.
    NoThread(ErrorKind),
    /// The sending task or thread ended before there was an outcome: its runtime was shut down, or it panicked.
    Stopped,
    /// This build lacks the codec of [`super::ProducerConfig::compression`].
    Compression(CompressionError),
}

impl DeliveryError {
    /// The code with which the leader refused the batch, if it did.
    #[must_use]
    pub const fn refused_with(&self) -> Option<ErrorCode> {
        match self.cause {
            DeliveryCause::Refused(code) => Some(code),
            _ => None,
        }
    }

    /// Whether the broker refused the batch for its size: raise `max.message.bytes` or lower the batch size.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.cause, DeliveryCause::Refused(ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE))
    }
}

impl AppendError {
    /// Returns whether the same call may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Returns whether the open transaction has to be aborted.
    #[must_use]
    pub const fn requires_abort(&self) -> bool {
        matches!(self, Self::TransactionFailed)
    }

    /// Returns whether the same call to this producer will always fail.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::Full { .. } | Self::NotInTransaction | Self::TransactionFailed => false,
            Self::RecordTooLarge { .. }
            | Self::UnknownPartition { .. }
            | Self::ForeignTopic
            | Self::Closed
            | Self::Stopped => true,
        }
    }
}

impl DeliveryError {
    /// Returns whether the same records, sent again, may be written. They are doubled if they
    /// [may have been written](Self::possibly_written).
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self.cause {
            DeliveryCause::Refused(code) => code.is_retriable(),
            DeliveryCause::TimedOut(_) | DeliveryCause::OtherRecord(_) | DeliveryCause::Ended => true,
            DeliveryCause::TransactionFailed => true,
            DeliveryCause::Unsendable | DeliveryCause::Compression(_) => false,
        }
    }

    /// Returns whether the cluster will always refuse these records, unless its settings or permissions change.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }
}

impl FlushError {
    /// Returns whether the transaction, if there is one, has to be aborted before anything else.
    #[must_use]
    pub const fn requires_abort(&self) -> bool {
        matches!(self, Self::Transaction(_) | Self::NotReady(NotReady::NeedsAbort))
    }

    /// Returns whether the records that failed may be written if they are sent again.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Delivery { first, .. } => first.is_retriable(),
            Self::Transaction(_) | Self::NotReady(_) => false,
        }
    }

    /// Returns whether this producer cannot go on.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::NotReady(NotReady::Finished | NotReady::Stopped))
    }
}

impl CommitError {
    /// Whether `abort` has to be called next.
    #[must_use]
    pub const fn requires_abort(&self) -> bool {
        matches!(self, Self::Abortable(_) | Self::GroupChanged(_) | Self::NotReady(NotReady::NeedsAbort))
    }

    /// Whether the producer cannot go on.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Fenced(_) | Self::Fatal(_))
    }

    /// Returns whether the work of the transaction may be done again and committed by this producer, after `abort`
    /// or `recover`.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::Abortable(_) | Self::Unknown(_))
    }

    /// Returns whether the producer cannot go on; the same as [`is_fatal`](Self::is_fatal).
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.is_fatal() || matches!(self, Self::NotReady(NotReady::Finished | NotReady::Stopped))
    }
}

impl TransactionError {
    /// Returns whether the call may succeed if it is repeated, or after `recover`.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::NotReady(NotReady::NeedsRecover))
    }

    /// Returns whether the open transaction has to be aborted first.
    #[must_use]
    pub const fn requires_abort(&self) -> bool {
        matches!(self, Self::NotReady(NotReady::NeedsAbort))
    }

    /// Returns whether the producer cannot go on.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::Fenced(_) | Self::Fatal(_) => true,
            Self::NotReady(state) => {
                matches!(state, NotReady::Finished | NotReady::Stopped | NotReady::NotTransactional)
            }
            Self::TimedOut(_) => false,
        }
    }
}

impl OpenError {
    /// Returns whether another attempt may succeed.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Refused(code) => code.is_retriable(),
            Self::TimedOut { .. } | Self::NoThread(_) | Self::Stopped => true,
            Self::Unsupported | Self::Compression(_) => false,
        }
    }

    /// Returns whether another attempt with the same configuration must fail in the same way.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit_bytes } => write!(f, "{limit_bytes} bytes of records wait for their acknowledgement"),
            Self::RecordTooLarge { record_bytes, limit_bytes } => {
                write!(f, "a record of {record_bytes} bytes does not fit the buffer of {limit_bytes}")
            }
            Self::UnknownPartition { partition } => write!(f, "the topic has no partition {partition}"),
            Self::ForeignTopic => {
                f.write_str("the topic handle is from another producer: look the topic up with this one")
            }
            Self::NotInTransaction => f.write_str("no transaction is open"),
            Self::TransactionFailed => f.write_str("the transaction has failed: abort it"),
            Self::Closed => f.write_str("the producer is closed"),
            Self::Stopped => NotReady::Stopped.fmt(f),
        }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, record_count, batch_bytes, cause, possibly_written, message } = self;
        write!(f, "{record_count} records ({batch_bytes} bytes) for {partition}: {cause}")?;
        if let Some(message) = message {
            write!(f, ": {message}")?;
        }
        if *possibly_written { f.write_str("; they may have been written") } else { Ok(()) }
    }
}

impl fmt::Display for DeliveryCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => code.fmt(f),
            Self::TimedOut(None) => f.write_str("the delivery timeout passed without an answer"),
            Self::TimedOut(Some(code)) => write!(f, "the delivery timeout passed; the last answer was {code}"),
            Self::Unsendable => f.write_str("the cluster speaks no Produce version that this client does"),
            Self::Compression(error) => error.fmt(f),
            Self::TransactionFailed => f.write_str("the transaction had failed before"),
            Self::OtherRecord(code) => write!(f, "another record of the same batch was refused with {code}"),
            Self::Ended => f.write_str("the producer has ended"),
        }
    }
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivery { first, failed_records } => {
                write!(f, "{failed_records} records not delivered, first {first}")
            }
            Self::Transaction(cause) => cause.fmt(f),
            Self::NotReady(state) => state.fmt(f),
        }
    }
}

impl fmt::Display for TransactionCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { api, code } => write!(f, "{} was answered with {code}", api.name()),
            Self::Delivery(error) => error.fmt(f),
            Self::TimedOut { api, last: None } => write!(f, "{} was not answered in time", api.name()),
            Self::TimedOut { api, last: Some(code) } => {
                write!(f, "{} was not done in time; the last answer was {code}", api.name())
            }
            Self::Unsendable { api } => write!(f, "the cluster speaks no {} version that this client does", api.name()),
        }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(cause) => write!(f, "unknown whether the transaction was committed: {cause}"),
            Self::Abortable(cause) => write!(f, "the transaction must be aborted: {cause}"),
            Self::GroupChanged(code) => write!(f, "the consumer group has moved on: {code}"),
            Self::Fenced(cause) => write!(f, "the producer is fenced: {cause}"),
            Self::Fatal(cause) => write!(f, "the producer cannot go on: {cause}"),
            Self::NotReady(state) => state.fmt(f),
        }
    }
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(cause) => cause.fmt(f),
            Self::Fenced(cause) => write!(f, "the producer is fenced: {cause}"),
            Self::Fatal(cause) => write!(f, "the producer cannot go on: {cause}"),
            Self::NotReady(state) => state.fmt(f),
        }
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBegun => "no transaction is open: begin one",
            Self::AlreadyBegun => "a transaction is open: commit or abort it",
            Self::NeedsAbort => "the transaction failed: abort it",
            Self::NeedsRecover => "the end of the last transaction is not known: recover",
            Self::Finished => "the producer is finished: open a new one",
            Self::NotTransactional => "the producer has no transactional id",
            Self::Stopped => {
                "the producer's background task has ended (runtime shut down, or a panic): open a new producer"
            }
        })
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "no producer id: {code}"),
            Self::TimedOut { last: None } => f.write_str("no producer id in time: no coordinator answered"),
            Self::TimedOut { last: Some(code) } => write!(f, "no producer id in time; the last answer was {code}"),
            Self::Unsupported => f.write_str("the cluster speaks no InitProducerId version that this client does"),
            Self::NoThread(kind) => write!(f, "no thread to send on: {kind}"),
            Self::Stopped => NotReady::Stopped.fmt(f),
            Self::Compression(error) => error.fmt(f),
        }
    }
}

debug_as_text!(AppendError, DeliveryError, FlushError, TransactionCause, CommitError, TransactionError, OpenError);

impl Error for AppendError {}

impl Error for DeliveryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            DeliveryCause::Refused(code) | DeliveryCause::OtherRecord(code) | DeliveryCause::TimedOut(Some(code)) => {
                Some(code)
            }
            DeliveryCause::Compression(error) => Some(error),
            DeliveryCause::TimedOut(None)
            | DeliveryCause::Unsendable
            | DeliveryCause::TransactionFailed
            | DeliveryCause::Ended => None,
        }
    }
}

impl Error for FlushError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Delivery { first, .. } => Some(first),
            Self::Transaction(cause) => Some(cause),
            Self::NotReady(_) => None,
        }
    }
}

impl Error for TransactionCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused { code, .. } | Self::TimedOut { last: Some(code), .. } => Some(code),
            Self::Delivery(error) => Some(error),
            Self::TimedOut { last: None, .. } | Self::Unsendable { .. } => None,
        }
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unknown(cause) | Self::Abortable(cause) | Self::Fenced(cause) | Self::Fatal(cause) => Some(cause),
            Self::GroupChanged(code) => Some(code),
            Self::NotReady(_) => None,
        }
    }
}

impl Error for TransactionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TimedOut(cause) | Self::Fenced(cause) | Self::Fatal(cause) => Some(cause),
            Self::NotReady(_) => None,
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(code) | Self::TimedOut { last: Some(code) } => Some(code),
            Self::Compression(error) => Some(error),
            Self::TimedOut { last: None } | Self::Unsupported | Self::NoThread(_) | Self::Stopped => None,
        }
    }
}
