//! The durations of commits.

use std::time::Duration;

/// The number of committed transactions, and the time that they took: from the moment at which results are put out
/// to the coordinator's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitTimes {
    /// Number of commits.
    pub count: u64,
    /// Duration of the last one.
    pub last: Duration,
    /// Longest duration.
    pub worst: Duration,
}

impl CommitTimes {
    pub(super) fn note(&mut self, took: Duration) {
        *self = Self { count: self.count + 1, last: took, worst: self.worst.max(took) };
    }
}
