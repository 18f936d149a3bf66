//! The pauses between retries. They have no jitter, because one producer sends to one coordinator.

use std::time::Duration;

use crate::protocol::ErrorCode;

/// The pauses before a request is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The pause after the first failure; it doubles with each further one up to `max`.
    pub min: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Pauses {
    /// First pause while the markers of the last transaction are being written: they take milliseconds, and the next
    /// transaction waits for them. So the first few pauses are all this short.
    const BRIEF_MIN: Duration = Duration::from_millis(1);
    const BRIEF_COUNT: u32 = 8;
    const BRIEF_MAX: Duration = Duration::from_millis(100);

    /// The pause after a response with `code` (`None`: no response) and `failures` earlier failures in a row.
    #[must_use]
    pub fn after(self, code: Option<ErrorCode>, failures: u32) -> Duration {
        let (min, max, doublings) = match code {
            Some(ErrorCode::CONCURRENT_TRANSACTIONS) => {
                let doublings = failures.saturating_sub(Self::BRIEF_COUNT);
                (self.min.min(Self::BRIEF_MIN), self.max.min(Self::BRIEF_MAX), doublings)
            }
            _ => (self.min, self.max, failures),
        };
        min.saturating_mul(1 << doublings.min(16)).min(max)
    }
}
