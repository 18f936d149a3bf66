//! The places at which inputs and changelogs are read.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::ReadToEnd;
use kafka_wire::types::{LeaderEpoch, Offset, TimestampMs};

use crate::output::StoreId;

/// A place in a log. With the leader epoch, a broker tells whether the log was truncated and written anew since
/// (KIP-320).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the batch before it; -1 if it is not known.
    pub leader_epoch: LeaderEpoch,
}

impl Position {
    /// A place of which the leader epoch is not known.
    #[must_use]
    pub const fn unchecked(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch(-1) }
    }
}

/// The extent of a batch of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first offset to process; the batch may begin before it.
    pub start: Offset,
    /// The place behind the batch.
    pub end: Position,
}

/// The place at which an input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next offset to read.
    pub(super) position: Position,
    /// The watermark there, as the last owner has committed it.
    pub(super) watermark: Option<TimestampMs>,
    /// Number of partitions of the topic when the job began to read it, if that must not change.
    pub(super) partitions: Option<i32>,
}

/// The place of an input, as a take-over finds it.
pub(super) struct FoundPlace {
    pub(super) place: Place,
    /// Whether the group has an offset for it; otherwise the place is that of the first record.
    pub(super) is_committed: bool,
    /// Whether a worker has committed that, and not the choice of the places at which inputs start.
    pub(super) is_of_worker: bool,
    /// Whether it is that of the first record when somebody looked, of which no worker has committed anything.
    pub(super) is_first: bool,
}

/// A changelog, as a take-over finds it.
pub(super) struct FoundChangelog {
    pub(super) store: StoreId,
    pub(super) partition: TopicPartition,
    /// The bounds within which it is read.
    pub(super) reading: ReadToEnd,
    /// Whether it is an input of the task, which is read to the committed offset.
    pub(super) is_input: bool,
}
