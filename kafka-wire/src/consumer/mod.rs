//! Reading partitions, without I/O: positions, what to fetch next, and which batches a reader may see.
//!
//! [`Fetcher`] is the machine: it knows the assigned partitions, plans one fetch request per leader at a time, takes
//! the answers, and parks what was received until it is polled. [`Fetched`] is what a poll hands out: batches of one
//! partition, still in the frame they arrived in. The async handle is `client::Consumer`.
//!
//! Deliberately absent: fetch sessions (KIP-227) and reading from followers (KIP-392); every fetch names all of its
//! partitions and goes to the leader.

mod error;
mod fetched;
mod fetcher;
mod isolation;
mod kept;
mod plan;
mod positions;

use std::time::Duration;

pub use self::error::ConsumeError;
pub use self::fetched::{Fetched, FetchedBatch};
pub use self::fetcher::{FetchFailure, Fetcher, Lookup, Output};
pub use self::kept::{BatchRecords, ConsumerRecord};
pub use self::plan::Ticket;
pub use self::positions::Watermarks;
pub use crate::types::IsolationLevel;

/// How a consumer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// Which records are delivered. Default: read uncommitted, as in Kafka.
    pub isolation: IsolationLevel,
    /// Bytes that a leader waits for before it answers a fetch. Default 1.
    pub min_bytes: u32,
    /// Bytes in the answer of one leader; at least one batch comes even when it is larger. Default 16 MiB.
    pub max_bytes: u32,
    /// Bytes of one partition in an answer, and parked bytes from which on a partition is left out of the next fetch;
    /// at least one batch comes even when it is larger. Default 1 MiB.
    pub max_partition_bytes: u32,
    /// How long a leader waits for `min_bytes`. Default 500 ms.
    pub max_wait: Duration,
    /// Received bytes that may be parked until they are polled. At the limit fetching pauses; nothing is dropped. May
    /// be exceeded by one batch per leader. What was handed out by a poll does not count. Default 50 MB.
    pub buffer_limit_bytes: usize,
    /// What happens when the position is outside of the log, or there is none to begin with. Default: an error.
    pub reset: ResetPolicy,
}

/// Where to go on when the position does not exist (OFFSET_OUT_OF_RANGE), and only then; and where to begin when there
/// is none (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetPolicy {
    /// Nowhere: the poll fails with [`ConsumeError::OffsetOutOfRange`]. Records may have been lost, and somebody should
    /// know.
    #[default]
    None,
    /// At the first offset that the log still has.
    Earliest,
    /// At the end of the log; what is between is skipped.
    Latest,
    /// At the first record that is at most this old by its timestamp, or at the end where there is none. Source:
    /// KIP-1106.
    ByDuration(Duration),
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            isolation: IsolationLevel::ReadUncommitted,
            min_bytes: 1,
            max_bytes: 16 << 20,
            max_partition_bytes: 1 << 20,
            max_wait: Duration::from_millis(500),
            buffer_limit_bytes: 50_000_000,
            reset: ResetPolicy::None,
        }
    }
}
