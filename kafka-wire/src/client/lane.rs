//! Which connection to a broker a request takes.

use super::Client;

/// Which of the connections to a broker a request takes.
///
/// A broker works on one request of a connection at a time, so a request that waits at the broker by intention holds up
/// what comes behind it on the same lane, and nothing on the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Metadata, administration, look-ups: whatever is answered at once.
    General,
    /// Produce.
    Produce,
    /// The transaction coordinator.
    Transaction,
    /// For one owner, who waits at the broker: a consumer in Fetch, a group member in JoinGroup and SyncGroup.
    /// From [`OwnLane::lane`].
    Own(u64),
}

/// A lane that nobody else uses. Its connections close when it is dropped and its requests are answered.
#[derive(Debug)]
pub struct OwnLane {
    client: Client,
    number: u64,
}

impl Client {
    /// A lane for requests that wait at the broker by intention.
    #[must_use]
    pub fn own_lane(&self) -> OwnLane {
        OwnLane { client: self.clone(), number: self.shared.pool.next_lane() }
    }
}

impl OwnLane {
    /// The lane, for as long as `self` lives.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        Lane::Own(self.number)
    }
}

impl Drop for OwnLane {
    fn drop(&mut self) {
        self.client.shared.pool.close(self.lane());
    }
}
