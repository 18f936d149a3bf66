//! The client's clock, the source of its moments.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::time::Moment;

/// Reads the machine's monotonic clock as moments since the client was made; tokio's paused clock in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Moment {
        Moment::ZERO + self.start.elapsed()
    }

    /// The instant of that moment on tokio's clock.
    pub(super) fn instant(self, moment: Moment) -> Instant {
        self.start + moment.since(Moment::ZERO)
    }
}

/// Returns the wall clock's time in milliseconds since 1970, to compare with timestamps of records.
pub(super) fn now_ms() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "timestamps of records are of the wall clock, and this is the client"
    )]
    let now = SystemTime::now();
    i64::try_from(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
