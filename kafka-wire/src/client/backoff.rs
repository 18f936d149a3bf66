//! Pauses between attempts.

use std::time::Duration;

use crate::rng::Rng;

/// Pauses that double from attempt to attempt, each plus or minus up to 20 % of jitter, so that clients
/// do not retry in step.
///
/// Source: KIP-580.
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    rng: Rng,
}

impl Backoff {
    /// Makes pauses that begin at about `min` and grow up to `max`.
    #[must_use]
    pub const fn new(min: Duration, max: Duration, rng: Rng) -> Self {
        Self { min, max, failures: 0, rng }
    }

    /// With no pause above `max`, or above the first one if that is longer.
    pub(super) fn up_to(self, max: Duration) -> Self {
        Self { max: self.max.min(max.max(self.min)), ..self }
    }

    /// Counts a failure and returns the pause after it.
    pub fn next_pause(&mut self) -> Duration {
        let doubled = self.min.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let percent = u32::try_from(80 + self.rng.below(41)).unwrap_or(100);
        (doubled * percent / 100).min(self.max)
    }

    /// Notes a success: the next pause is a short one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(1_000));
        let mut backoff = Backoff::new(min, max, Rng::from_seed(1));
        for expected in [100, 200, 400, 800, 1_000, 1_000] {
            let pause = backoff.next_pause().as_millis();
            assert!(pause >= expected * 8 / 10 && pause <= (expected * 12 / 10).min(1_000), "{pause} for {expected}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(120));
    }

    #[test]
    fn a_lower_maximum_leaves_the_first_pause_as_it_is() {
        let [short, long] = [100, 400].map(Duration::from_millis);
        for (min, expected) in [(short, Duration::from_millis(200)), (long, long)] {
            let backoff = Backoff::new(min, Duration::from_secs(1), Rng::from_seed(1));
            let mut backoff = backoff.up_to(Duration::from_millis(200));
            let longest = (0..100).map(|_| backoff.next_pause()).max().unwrap();
            assert_eq!(longest, expected);
        }
    }
}
