//! The reasons why a record was not sent.

use std::fmt;
use std::time::Duration;

use super::super::MetadataError;
use crate::cluster::TopicPartition;
use crate::producer::NotReady;
use crate::wire::Str;

/// The reason why a record was not accepted. Nothing of it is kept: it is certainly not written.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SendError {
    /// The buffer (`buffer.memory`) was full for as long as `max.block.ms` allows; for `try_send` at that moment.
    BufferFull {
        /// [`ProducerConfig::buffer_limit_bytes`](crate::producer::ProducerConfig::buffer_limit_bytes).
        limit_bytes: usize,
        /// The time that was waited.
        waited: Duration,
    },
    /// The record alone is larger than the buffer.
    RecordTooLarge {
        /// The room that the record needs, in bytes.
        record_bytes: usize,
        /// [`ProducerConfig::buffer_limit_bytes`](crate::producer::ProducerConfig::buffer_limit_bytes).
        limit_bytes: usize,
    },
    /// The topic is missing, or the cluster refuses to describe it.
    Topic(MetadataError),
    /// The partitions of the topic were not known in time; for `try_send`, they are not known yet and
    /// are being looked up.
    UnknownTopicYet {
        /// The topic.
        topic: Str,
        /// The time that was waited.
        waited: Duration,
    },
    /// The topic has no such partition.
    UnknownPartition {
        /// The partition that the record names, or that the user's own partitioner chose.
        partition: TopicPartition,
        /// Number of partitions that the topic has.
        count: i32,
    },
    /// A transactional producer accepts records only between `begin_transaction` and `commit_transaction`
    /// or `abort_transaction`.
    NotInTransaction,
    /// The open transaction has failed: no record of it will be committed. Abort it; `flush` returns the cause.
    TransactionFailed,
    /// The producer is closed.
    Closed,
    /// The sending task or thread has ended on its own: its runtime was shut down, or it panicked. Open a new producer.
    Stopped,
}

impl SendError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::BufferFull { .. } | Self::UnknownTopicYet { .. } => true,
            Self::Topic(error) => error.is_retriable(),
            Self::RecordTooLarge { .. }
            | Self::UnknownPartition { .. }
            | Self::NotInTransaction
            | Self::TransactionFailed
            | Self::Closed
            | Self::Stopped => false,
        }
    }

    /// Returns whether the open transaction has to be aborted.
    #[must_use]
    pub const fn requires_abort(&self) -> bool {
        matches!(self, Self::TransactionFailed)
    }

    /// Returns whether this producer will never accept the record.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        !self.is_retriable() && !matches!(self, Self::NotInTransaction | Self::TransactionFailed)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BufferFull { limit_bytes, waited } => {
                write!(f, "the buffer of {limit_bytes} bytes (buffer.memory) was full for {waited:.1?} (max.block.ms)")
            }
            Self::RecordTooLarge { record_bytes, limit_bytes } => {
                write!(f, "a record of {record_bytes} bytes does not fit the buffer of {limit_bytes} (buffer.memory)")
            }
            Self::Topic(error) => error.fmt(f),
            Self::UnknownTopicYet { topic, waited } => {
                write!(f, "the partitions of topic {topic} are not known after {waited:.1?} (max.block.ms)")
            }
            Self::UnknownPartition { partition, count } => {
                write!(f, "there is no {partition}: the topic has {count} partitions")
            }
            Self::NotInTransaction => f.write_str("no transaction is open: begin one"),
            Self::TransactionFailed => f.write_str("the transaction has failed: abort it"),
            Self::Closed => f.write_str("the producer is closed"),
            Self::Stopped => NotReady::Stopped.fmt(f),
        }
    }
}

debug_as_text!(SendError);

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Topic(error) => Some(error),
            _ => None,
        }
    }
}
