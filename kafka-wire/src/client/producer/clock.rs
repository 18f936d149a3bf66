//! The time of day for records without a timestamp, read once for several of them.
//!
//! Reading the clock takes as long as serialising a record. So a reading is reused while records come so fast that the
//! next reading would show the same millisecond, at most [`USES_MAX`] times, and never after the sender's next turn.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::types::TimestampMs;

#[derive(Debug)]
pub(super) struct TimeOfDay {
    now: TimestampMs,
    /// Number of further uses of the last reading.
    uses_left: u32,
    /// Number of uses of the last reading in all.
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

    /// Expires the reading, because time has passed: the next record reads the clock.
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
        // Before 1970, or after the year 292 million, there is no timestamp.
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

/// At 5 million records per second, 64 of them take 13 us.
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
