//! How long commits take.

use std::time::Duration;

/// Transactions that were committed, and how long that took: from when results are put out to the coordinator's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitTimes {
    /// Number of commits.
    pub count: u64,
    /// The last one.
    pub last: Duration,
    /// The longest one.
    pub worst: Duration,
}

impl CommitTimes {
    pub(super) fn note(&mut self, took: Duration) {
        *self = Self { count: self.count + 1, last: took, worst: self.worst.max(took) };
    }
}
