//! Windows of activity.

use std::time::Duration;

use super::millis;

/// Windows of a key's activity: records less than the gap apart are in one session, which ends the gap after its last record.
/// Sessions that a record in between joins become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    gap_ms: i64,
}

impl Session {
    /// Sessions that end after `gap` without a record, in whole milliseconds; less than one is refused by `build()`.
    #[must_use]
    pub fn gap(gap: Duration) -> Self {
        Self { gap_ms: millis(gap) }
    }

    /// The gap.
    #[must_use]
    pub const fn gap_ms(self) -> i64 {
        self.gap_ms
    }

    /// Whether the gap makes sense.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.gap_ms > 0
    }

    /// For `describe()`, and to know state of other windows.
    #[must_use]
    pub fn describe(self) -> String {
        format!("sessions with a gap of {} ms", self.gap_ms)
    }
}
