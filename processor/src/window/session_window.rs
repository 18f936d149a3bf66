//! Windows of activity.

use std::time::Duration;

use super::millis;

/// Windows of a key's activity: records at most the gap apart are in one session, which ends the gap after its last
/// record. Two sessions become one when a record falls between them. Records just the gap apart are together in
/// Flink (`EventTimeSessionWindows`) and in Kafka Streams (`SessionWindows`), too. So the end of a session still
/// belongs to it, and may be the event time of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindow {
    gap_ms: i64,
}

impl SessionWindow {
    /// Makes sessions that end after `gap` without a record, in whole milliseconds; `build()` refuses a
    /// gap of less than one.
    #[must_use]
    pub fn gap(gap: Duration) -> Self {
        Self { gap_ms: millis(gap) }
    }

    /// Returns the gap, in ms.
    #[must_use]
    pub const fn gap_ms(self) -> i64 {
        self.gap_ms
    }

    /// Returns whether the gap is valid.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.gap_ms > 0
    }

    /// Returns the text for `describe()`, which also tells state of other windows apart.
    #[must_use]
    pub fn describe(self) -> String {
        format!("sessions with a gap of {} ms", self.gap_ms)
    }
}
