//! Where an input goes on.

use kafka_wire::types::{Offset, TimestampMs};

/// Where an input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next offset to read.
    pub(super) offset: Offset,
    /// How far event time had come there, as the last owner has left it behind.
    pub(super) watermark: Option<TimestampMs>,
}
