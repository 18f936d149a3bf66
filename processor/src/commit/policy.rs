//! The policy of when to commit.

use std::time::Duration;

/// Adaptive group commit: as soon as there is nothing more to read, at the latest after `max`.
///
/// With little load, a record is committed as soon as it is processed, at the cost of two round trips. Under load, the
/// input that arrives during one commit makes the next transaction larger, and `max` bounds it. Whatever the backlog,
/// a transaction ends after `max`, or at the limits of its size, far within the transaction timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPolicy {
    /// Shortest time from the end of one transaction to the commit of the next. Each commit writes a marker into each
    /// partition that it wrote to, so this bounds the cost of a trickle of records.
    pub min: Duration,
    /// Longest time that a transaction is open before its commit begins. Keep it below a third of the
    /// transaction timeout.
    pub max: Duration,
    /// Records of output after which a transaction is committed at once.
    pub records_max: u64,
    /// Bytes of output after which a transaction is committed at once.
    pub bytes_max: u64,
}

impl CommitPolicy {
    /// Commits between `min` and `max`; at once when there are 1,000,000 records or 64 MiB of output.
    #[must_use]
    pub const fn adaptive(min: Duration, max: Duration) -> Self {
        Self { min, max, records_max: 1_000_000, bytes_max: 64 << 20 }
    }
}

/// Commits between 5 ms and 100 ms.
impl Default for CommitPolicy {
    fn default() -> Self {
        Self::adaptive(Duration::from_millis(5), Duration::from_millis(100))
    }
}
