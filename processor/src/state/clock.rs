//! The two clocks, and times by them.

use std::time::Duration;

/// The clock that a timer runs by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// Event time: the timer is due once the watermark has reached its time.
    Event,
    /// The time of day: the timer is due once that has come, with records or without.
    Wall,
}

/// The time for which a store remembers an entry that is not written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// The clock.
    pub clock: Clock,
    /// The time in milliseconds.
    pub millis: i64,
}

impl Ttl {
    /// Forgets an entry when event time has advanced by `time` since it was last written: a record that is so much
    /// later than the one that wrote it does not find it, and without such a record it goes with the watermark.
    #[must_use]
    pub fn event(time: Duration) -> Self {
        Self { clock: Clock::Event, millis: i64::try_from(time.as_millis()).unwrap_or(i64::MAX) }
    }

    /// Forgets an entry when `time` has passed by the time of day since it was written, to a tenth of a second.
    #[must_use]
    pub fn wall(time: Duration) -> Self {
        Self { clock: Clock::Wall, ..Self::event(time) }
    }
}
