//! The broker as a sans-IO machine: frames in, frames out, time as an argument.
//!
//! A connection is served one request at a time, as in Kafka, which mutes the channel of a request until it is
//! answered. So answers keep the order of their requests even when one is a long poll, and a request never overtakes
//! another of its connection. Between connections the order is that of arrival.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_wire::time::Moment;

use super::BrokerConfig;
use crate::fault::{Plan, Rule};

/// One connection of a client; never reused within a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What the driver of a [`Core`] has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send one frame. The chunks follow each other; the length prefix is not among them.
    Send {
        /// Where to.
        connection: ConnectionId,
        /// The frame, for a vectored write.
        frame: Vec<Bytes>,
    },
    /// Close the connection; the core has already forgotten it.
    Close {
        /// Which one.
        connection: ConnectionId,
    },
}

/// A single-node broker without sockets or a clock.
///
/// Contract: call `handle_*` with a time that never goes back, then [`Core::poll`] until `None`, and
/// [`Core::handle_timeout`] when [`Core::next_timeout`] has come. The same calls give the same outputs.
#[derive(Debug)]
pub struct Core {
    config: BrokerConfig,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    outputs: VecDeque<Output>,
    faults: Plan,
}

#[derive(Debug, Default)]
struct Connection {
    inbox: VecDeque<Bytes>,
}

impl Core {
    /// A broker with no topics. Clients are told to reach it at `host`:`port`.
    #[must_use]
    pub fn new(config: BrokerConfig, host: &str, port: u16) -> Self {
        let _ = (host, port);
        let mut faults = Plan::default();
        config.faults.iter().for_each(|&rule| faults.add(rule));
        Self { config, connections: BTreeMap::new(), opened: 0, outputs: VecDeque::new(), faults }
    }

    /// A client has connected.
    pub fn connect(&mut self) -> ConnectionId {
        self.opened += 1;
        let connection = ConnectionId(self.opened);
        self.connections.insert(connection, Connection::default());
        connection
    }

    /// A client has gone away: its waiting requests are dropped, its group memberships and transactions live on until
    /// their timeouts, as in Kafka.
    pub fn disconnect(&mut self, _now: Moment, connection: ConnectionId) {
        self.connections.remove(&connection);
    }

    /// One request frame, without its length prefix. Bytes that are no request of a known version close the connection.
    pub fn handle_frame(&mut self, _now: Moment, connection: ConnectionId, frame: Bytes) {
        let Some(open) = self.connections.get_mut(&connection) else { return };
        open.inbox.push_back(frame);
        // No API is served yet.
        self.connections.remove(&connection);
        self.outputs.push_back(Output::Close { connection });
    }

    /// Time has passed: timeouts of groups, transactions and long polls that are due by `now` take effect.
    pub fn handle_timeout(&mut self, _now: Moment) {}

    /// The next thing to do; call until `None` after every `handle_*`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Core::handle_timeout`] has to be called next, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        None
    }

    /// Whether a request of this connection is still unanswered; its next one would wait.
    pub(super) fn is_busy(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|open| !open.inbox.is_empty())
    }

    /// Adds a fault; its count starts now.
    pub fn inject(&mut self, rule: Rule) {
        self.faults.add(rule);
    }

    /// Whether every fault given so far has been applied.
    #[must_use]
    pub fn faults_are_spent(&self) -> bool {
        self.faults.is_spent()
    }

    /// The settings that the broker was started with.
    #[must_use]
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }
}
