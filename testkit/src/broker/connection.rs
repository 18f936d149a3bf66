//! Connections, and the requests that are being served on them.

use kafka_wire::protocol::ApiKey;
use kafka_wire::wire::Str;

/// One connection of a client; never reused within a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The client at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address as group descriptions show it: a slash and an IP address.
    pub host: Str,
    /// The host by which the client has reached the broker, if Metadata is to name that host to it; otherwise the
    /// broker's configured host is named.
    pub reached: Option<Str>,
}

impl From<&str> for Peer {
    fn from(host: &str) -> Self {
        Self { host: Str::from(host), reached: None }
    }
}

/// A request that is being served: everything that is needed to answer it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestContext {
    /// The connection that the answer goes to.
    pub connection: ConnectionId,
    /// Number of the request within its connection, so that the answer to an earlier one is recognised and dropped.
    pub serial: u64,
    /// API key of the request.
    pub api: ApiKey,
    /// Version of the request, and so of its answer.
    pub version: i16,
    /// Correlation id, which the answer repeats.
    pub correlation_id: i32,
}
