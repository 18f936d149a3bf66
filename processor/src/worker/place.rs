//! The place at which an input goes on.

use kafka_wire::types::{Offset, TimestampMs};

/// The place at which an input goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next offset to read.
    pub(super) offset: Offset,
    /// The watermark there, as the last owner has committed it.
    pub(super) watermark: Option<TimestampMs>,
}
