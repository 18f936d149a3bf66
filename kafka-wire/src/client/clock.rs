//! The client's clock, the source of its moments.

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
