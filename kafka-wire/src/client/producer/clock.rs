//! The time of day for records that bring none, read once for a few of them.
//!
//! A look at the clock takes as long as serialising a record. So a reading is used again while records come so fast that the
//! next reading shows the same millisecond, at most [`USES_MAX`] times, and never after the sender has looked since.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::types::TimestampMs;

#[derive(Debug)]
pub(super) struct TimeOfDay {
    now: TimestampMs,
    /// How often the last reading may still be used.
    uses_left: u32,
    /// How often it might be in all.
    uses: u32,
}

impl TimeOfDay {
    pub(super) const fn new() -> Self {
        Self { now: TimestampMs(0), uses_left: 0, uses: 0 }
    }

    #[inline]
    pub(super) fn now(&mut self) -> TimestampMs {
        match self.uses_left.checked_sub(1) {
            Some(left) => self.uses_left = left,
            None => self.read(),
        }
        self.now
    }

    /// Time has passed: the next record reads the clock.
    pub(super) fn expire(&mut self) {
        self.uses_left = 0;
    }

    /// Whether the next record would not read the clock.
    pub(super) fn is_warm(&self) -> bool {
        self.uses_left > 0
    }

    #[cold]
    #[expect(clippy::disallowed_methods, reason = "this is where records get the time of day")]
    fn read(&mut self) {
        // Before 1970, or after the year 292 million: no timestamp.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let now = now.and_then(|now| i64::try_from(now.as_millis()).ok()).unwrap_or(-1);
        self.uses = match now - self.now.0 {
            0 => (self.uses * 2).clamp(1, USES_MAX),
            1 => self.uses,
            _ => self.uses / 4,
        };
        self.now = TimestampMs(now);
        self.uses_left = self.uses;
    }
}

/// 5 million records a second come 64 in 13 us.
const USES_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_read_less_often_than_it_is_asked_and_again_after_a_pause() {
        let mut time = TimeOfDay::new();
        let mut readings = 0;
        let first = time.now();
        for _ in 0..10_000 {
            readings += u32::from(!time.is_warm());
            assert!(time.now() >= first);
        }
        assert!(readings < 5_000, "{readings}");
        time.expire();
        assert!(!time.is_warm());
    }
}
