//! The places at which an input and a changelog are read.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{Offset, TimestampMs};

use crate::output::StoreId;

/// The place at which an input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next offset to read.
    pub(super) offset: Offset,
    /// The watermark there, as the last owner has committed it.
    pub(super) watermark: Option<TimestampMs>,
}

/// A changelog, as a take-over finds it.
pub(super) struct FoundChangelog {
    pub(super) store: StoreId,
    pub(super) partition: TopicPartition,
    /// Its first offset, and the end up to which it is read.
    pub(super) start: Offset,
    pub(super) end: Offset,
    /// Whether it is an input of the task, which is read to the committed offset.
    pub(super) is_input: bool,
}
