//! Deaths on request, for demonstrations and tests: a worker dies as in a crash, in the middle of a transaction.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;

/// Whether and when a worker is to die.
#[derive(Debug, Default)]
pub(super) struct KillSwitch {
    is_pressed: AtomicBool,
}

/// The point of a commit at which a worker dies, with the records of the transaction at the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Before the commit.
    Now,
    /// This long after the commit has begun: its outcome is open.
    After(Duration),
}

impl KillSwitch {
    /// Lets the worker die at its next commit, or when it is idle for a while.
    pub(super) fn press(&self) {
        self.is_pressed.store(true, Ordering::Release);
    }

    /// Whether the worker dies now; true once.
    pub(super) fn takes(&self) -> bool {
        self.is_pressed.swap(false, Ordering::AcqRel)
    }

    /// Whether the worker dies in this commit; half of the time in the middle of it.
    pub(super) fn takes_in_commit(&self, now: Moment) -> Option<Death> {
        if !self.takes() {
            return None;
        }
        let mut rng = Rng::from_seed(now.as_nanos());
        let is_in_the_middle = rng.below(2) == 1;
        Some(if is_in_the_middle { Death::After(Duration::from_micros(rng.below(2_000))) } else { Death::Now })
    }
}
