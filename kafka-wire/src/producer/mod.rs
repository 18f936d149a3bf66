//! Settings, records and errors of a producer; and its machines, without I/O.
//!
//! A program makes a [`ProducerConfig`], opens a `client::Producer` with it, and sends each [`ProducerRecord`]. It may
//! choose how keys become partitions ([`Partitioning`]). A [`Delivery`] becomes a [`RecordMetadata`] or a
//! [`DeliveryError`]; ends of transactions have a [`CommitError`] or a [`TransactionError`].
//!
//! The machines below the handle, idempotent and transactional:
//!
//! ```text
//! append -> accumulator: open batch per partition -> closed -> sequence: in order, sealed, in flight, acknowledged
//!                                                               ^ gated by transaction: which partitions, which epoch
//! ```
//! [`accumulator`] collects records, [`sequence`] keeps the batches of one partition in order until they
//! are acknowledged, [`partitioner`] chooses partitions for keys. The handle for users, and the task that
//! sends, are in `client`.
//!
//! A batch that a broker finds too large is split and sent again (`split`). [`Delivery`] reports the outcome of a
//! record. Deliberately absent: clocks.

pub mod accumulator;
mod buffers;
mod config;
mod delivery;
mod error;
pub mod outbox;
pub mod partitioner;
mod pauses;
mod record;
pub mod sequence;
mod split;
pub mod transaction;

pub use accumulator::{NewRecord, TopicHandle};
pub use config::{Acks, ProducerConfig, RunsOn};
pub use delivery::{Delivery, RecordMetadata};
pub use error::{
    AppendError, CommitError, DeliveryCause, DeliveryError, FlushError, NotReady, OpenError, TransactionCause,
    TransactionError,
};
pub use partitioner::{
    CustomPartitioner, Partitioner, Partitioning, murmur2, partition_by_crc32, partition_by_fnv1a, partition_for_key,
};
pub use pauses::Pauses;
pub use record::{OwnedProducerRecord, ProducerRecord};

/// The outcome of the transaction before [`recover`](crate::client::ExclusiveProducer::recover).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// The transaction was committed: its output is visible, or will be in a moment.
    Committed,
    /// The transaction was aborted, or had never begun.
    Aborted,
}
