//! The greatest distance in time of records that are joined.

use std::time::Duration;

use super::millis;

/// The span of event time in which a record of the left stream finds partners in the right one. Both ends are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindow {
    before_ms: i64,
    after_ms: i64,
}

impl JoinWindow {
    /// Makes a span in which partners are at most `distance` earlier or later, in whole milliseconds.
    #[must_use]
    pub fn within(distance: Duration) -> Self {
        Self::between(distance, distance)
    }

    /// Makes a span in which partners are at most `before` earlier and at most `after` later, in whole milliseconds.
    #[must_use]
    pub fn between(before: Duration, after: Duration) -> Self {
        Self { before_ms: millis(before), after_ms: millis(after) }
    }

    /// Returns how much earlier a partner may be, in ms.
    #[must_use]
    pub const fn before_ms(self) -> i64 {
        self.before_ms
    }

    /// Returns how much later a partner may be, in ms.
    #[must_use]
    pub const fn after_ms(self) -> i64 {
        self.after_ms
    }

    /// For `describe()`.
    #[must_use]
    pub fn describe(self) -> String {
        format!("from {} ms before to {} ms after", self.before_ms, self.after_ms)
    }
}
