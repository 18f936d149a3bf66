//! Which request an answer belongs to.

use kafka_wire::protocol::ApiKey;

/// One connection of a client; never reused within a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

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
