//! Whose request it is, and which one an answer belongs to.

use kafka_wire::protocol::ApiKey;
use kafka_wire::wire::Str;

/// One connection of a client; never reused within a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is, as groups are told it: a slash and an IP address.
    pub host: Str,
    /// The host that it has reached the broker by, if that is what it is to be told; else it is told the broker's.
    pub reached: Option<Str>,
}

impl From<&str> for Peer {
    fn from(host: &str) -> Self {
        Self { host: Str::from(host), reached: None }
    }
}

/// A request that is being served: all that is needed to answer it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Where the answer goes.
    pub connection: ConnectionId,
    /// Number of the request in its connection: an answer to an earlier one is dropped.
    pub serial: u64,
    /// What was asked.
    pub api: ApiKey,
    /// Version of the request, and of its answer.
    pub version: i16,
    /// Echoed to the client.
    pub correlation_id: i32,
}
