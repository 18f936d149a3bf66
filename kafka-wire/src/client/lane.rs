//! Lanes: the separate connections to one broker.

use super::Client;

/// The connection to a broker that a request takes.
///
/// A broker works on one request of a connection at a time, so a request that is meant to wait at the broker delays
/// the later ones of the same lane, but none on other lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Metadata, administration, look-ups: requests that are answered at once.
    General,
    /// Produce requests.
    Produce,
    /// Requests to the transaction coordinator.
    Transaction,
    /// Requests of one owner that wait at the broker: those of a consumer (Fetch) or a group member (JoinGroup and
    /// SyncGroup). Made by [`OwnLane::lane`].
    Own(u64),
}

/// A lane for one owner alone. Its connections close when it has been dropped and its requests are answered.
#[derive(Debug)]
pub struct OwnLane {
    client: Client,
    number: u64,
}

impl Client {
    /// Makes a lane for requests that are meant to wait at the broker.
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
