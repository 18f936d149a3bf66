//! The event time of results that come out later than their records.

use kafka_wire::types::TimestampMs;

use super::Context;
use crate::watermark::NO_WATERMARK;

/// The greatest event time that a step has seen: that of its records, and the watermark.
///
/// A record that is left out after all, or that event time does not follow, must not give its time to all later
/// results. So a rollback undoes it, and what no input has reached lasts up to the commit only.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamTime {
    reached: TimestampMs,
    committed: TimestampMs,
}

impl StreamTime {
    /// That of a step that has seen nothing.
    pub(super) const fn new() -> Self {
        Self { reached: NO_WATERMARK, committed: NO_WATERMARK }
    }

    /// The time; [`NO_WATERMARK`] if nothing was seen.
    #[inline]
    pub(super) const fn get(&self) -> TimestampMs {
        self.reached
    }

    /// Notes the time of a record, or a watermark that steps behind are told: an earlier result would be late there.
    #[inline]
    pub(super) fn observe(&mut self, time: TimestampMs) {
        self.reached = self.reached.max(time);
    }

    /// All results of the transaction are out: goes back to what the inputs of the task have reached, if that is known.
    pub(super) fn before_commit(&mut self, context: &Context<'_>) {
        if context.reached > NO_WATERMARK {
            self.reached = self.reached.min(context.reached);
        }
    }

    /// The transaction is committed.
    pub(super) const fn committed(&mut self) {
        self.committed = self.reached;
    }

    /// The transaction is rolled back.
    pub(super) const fn rolled_back(&mut self) {
        self.reached = self.committed;
    }
}
