//! Deaths on request, for demonstrations and tests: a worker dies as in a crash, in the middle of a transaction.
//!
//! A job has no such handle unless it is given [`Deaths`] when it is made.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;

/// A handle that kills workers of a job, see [`App::with_deaths`](super::App::with_deaths). Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct Deaths {
    wished: Arc<Mutex<BTreeSet<usize>>>,
}

/// The point of a commit at which a worker dies, with the records of the transaction at the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// Before the commit.
    Now,
    /// This long after the commit has begun: its outcome is open.
    After(Duration),
}

impl Deaths {
    /// Kills a worker as a crash would, in the middle of its next transaction: records are written,
    /// nothing is committed, and the worker does not leave the group. A worker that is idle for some 300 ms dies
    /// without a transaction. [`Running::finished`](super::Running::finished) replaces it. An index beyond the
    /// workers has no effect.
    pub fn kill(&self, worker: usize) {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner).insert(worker);
    }

    /// Whether the worker dies now; true once.
    pub(super) fn takes(&self, worker: usize) -> bool {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker)
    }

    /// Whether the worker dies in this commit; half of the time in the middle of it.
    pub(super) fn takes_in_commit(&self, worker: usize, now: Moment) -> Option<Death> {
        if !self.takes(worker) {
            return None;
        }
        let mut rng = Rng::from_seed(now.as_nanos());
        let is_in_the_middle = rng.below(2) == 1;
        Some(if is_in_the_middle { Death::After(Duration::from_micros(rng.below(2_000))) } else { Death::Now })
    }
}
