//! What can go wrong between `append` and a committed transaction.
//!
//! Whatever says `possibly_written` or [`CommitError::Unknown`] is not a failure to be tried again blindly: nobody
//! answered, and the records may be in the log.

use std::fmt;
use std::io::ErrorKind;

use crate::cluster::TopicPartition;
use crate::compression::CompressionError;
use crate::protocol::{ApiKey, ErrorCode};
use crate::types::PartitionId;
use crate::wire::Str;

/// Why a record was not appended. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The buffer limit is reached: wait with `ready` and append again.
    Full {
        /// [`super::ProducerConfig::buffer_limit_bytes`].
        limit_bytes: usize,
    },
    /// The record alone is larger than the buffer.
    RecordTooLarge {
        /// What the record needs.
        record_bytes: usize,
        /// [`super::ProducerConfig::buffer_limit_bytes`].
        limit_bytes: usize,
    },
    /// The topic has no such partition.
    UnknownPartition {
        /// The partition asked for.
        partition: PartitionId,
    },
    /// The topic handle is from another producer: look the topic up with the one that is to write.
    ForeignTopic,
    /// A transactional producer takes records between `begin` and `commit` or `abort` only.
    NotInTransaction,
    /// The open transaction has failed: no record of it will be committed. Abort it.
    TransactionFailed,
    /// The producer is closed.
    Closed,
    /// What sends has ended on its own: its runtime was shut down, or it panicked. Open a new producer.
    Stopped,
}

/// A batch that did not get into its partition, or nobody knows whether it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// Where it was to go.
    pub partition: TopicPartition,
    /// Its records.
    pub record_count: i32,
    /// Its size as it was to be sent; before compression when it was never sent.
    pub batch_bytes: usize,
    /// Why.
    pub cause: DeliveryCause,
    /// Whether the batch may be in the log nevertheless: it was sent and an answer never came.
    pub possibly_written: bool,
    /// What the broker says about it, of the record or of its batch, if it says anything.
    pub message: Option<Str>,
}

/// Why a batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryCause {
    /// The leader refused it, and trying again would not help.
    Refused(ErrorCode),
    /// [`super::ProducerConfig::delivery_timeout`] passed; with the last retriable answer, if there was one.
    TimedOut(Option<ErrorCode>),
    /// The cluster and this client have no Produce version in common, or the request could not be written.
    Unsendable,
    /// This build cannot compress with the codec.
    Compression(CompressionError),
    /// An earlier batch of the same transaction failed, so this one was not tried (any further).
    TransactionFailed,
    /// The leader refused another record of the same batch, and with it the whole batch. This record may be sent again.
    OtherRecord(ErrorCode),
    /// The producer was closed or dropped, or what sends has ended on its own, before there was an answer.
    Ended,
}

/// Not everything that was appended has been acknowledged, and it never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// Batches failed since the last flush. Inside a transaction: abort it.
    Delivery {
        /// The first of them.
        first: DeliveryError,
        /// How many records failed in all.
        failed_records: u64,
    },
    /// The transaction as such failed: `abort` or `recover` tells how to go on.
    Transaction(TransactionCause),
    /// Called while the producer waits for `recover`, or after its background task has ended.
    NotReady(NotReady),
}

/// What spoiled a transaction or an operation on it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionCause {
    /// A coordinator or a leader answered with this code.
    Refused {
        /// What was asked.
        api: ApiKey,
        /// The answer.
        code: ErrorCode,
    },
    /// A batch failed.
    Delivery(DeliveryError),
    /// No answer that settles it came in time.
    TimedOut {
        /// What was asked.
        api: ApiKey,
        /// The last retriable answer, if there was any.
        last: Option<ErrorCode>,
    },
    /// The cluster does not speak a version of this API that this client does, or the request could not be written.
    Unsendable {
        /// What was to be asked.
        api: ApiKey,
    },
}

/// How a commit did not succeed, by what the caller has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// Nobody answered EndTxn: the transaction is committed or aborted, and this client does not know which. `recover`.
    Unknown(TransactionCause),
    /// Not committed. `abort`, then begin anew.
    Abortable(TransactionCause),
    /// Not committed: the group has moved on, and this member may not commit offsets. `abort`, then rejoin.
    /// The code is ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or a like one.
    GroupChanged(ErrorCode),
    /// Not committed: somebody else opened the transactional id, or the coordinator aborted the transaction because it
    /// was open too long. This producer is finished; open a new one if the id is still ours.
    Fenced(TransactionCause),
    /// Not committed, and this producer is finished.
    Fatal(TransactionCause),
    /// No transaction is open, or the producer waits for `abort` or `recover`.
    NotReady(NotReady),
}

/// Why a transaction could not be begun, aborted or recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionError {
    /// The coordinator gave no settling answer in time. `recover` may be called again.
    TimedOut(TransactionCause),
    /// Another instance has the transactional id, or the transaction timed out. This producer is finished.
    Fenced(TransactionCause),
    /// This producer is finished.
    Fatal(TransactionCause),
    /// The call does not fit the producer's state.
    NotReady(NotReady),
}

/// Which call would fit the state of the producer instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReady {
    /// `begin` first.
    NotBegun,
    /// A transaction is open: `commit` or `abort` it.
    AlreadyBegun,
    /// The transaction failed: `abort` it.
    NeedsAbort,
    /// How the last transaction ended is not known: `recover`.
    NeedsRecover,
    /// Fenced, failed for good, or closed: open a new producer.
    Finished,
    /// The producer was opened without a transactional id.
    NotTransactional,
    /// What sends has ended on its own: its runtime was shut down, or it panicked. Open a new producer.
    Stopped,
}

/// Why a producer could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The coordinator refused, and trying again would not help.
    Refused(ErrorCode),
    /// Not through within [`super::ProducerConfig::init_timeout`]; with the last retriable answer, if there was any.
    TimedOut {
        /// The last retriable answer.
        last: Option<ErrorCode>,
    },
    /// The cluster does not speak a version of InitProducerId that this client does.
    Unsupported,
    /// The operating system gave no thread to send on, or no runtime for it.
    NoThread(ErrorKind),
    /// What sends has ended before there was an outcome: its runtime was shut down, or it panicked.
    Stopped,
    /// This build lacks the codec of [`super::ProducerConfig::compression`].
    Compression(CompressionError),
}

impl DeliveryError {
    /// The code that the leader refused the batch with, if that is what happened.
    #[must_use]
    pub const fn refused_with(&self) -> Option<ErrorCode> {
        match self.cause {
            DeliveryCause::Refused(code) => Some(code),
            _ => None,
        }
    }

    /// Whether it is the size of the batch that the broker refused: raise `max.message.bytes` or lower the batch size.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self.cause, DeliveryCause::Refused(ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE))
    }
}

impl CommitError {
    /// Whether `abort` is the next call.
    #[must_use]
    pub const fn requires_abort(&self) -> bool {
        matches!(self, Self::Abortable(_) | Self::GroupChanged(_))
    }

    /// Whether the producer is finished.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Fenced(_) | Self::Fatal(_))
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

impl std::error::Error for AppendError {}
impl std::error::Error for DeliveryError {}
impl std::error::Error for FlushError {}
impl std::error::Error for TransactionCause {}
impl std::error::Error for CommitError {}
impl std::error::Error for TransactionError {}
impl std::error::Error for OpenError {}
