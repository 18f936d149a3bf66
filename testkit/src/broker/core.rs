//! The broker as a sans-IO machine: frames go in, frames come out, and time is an argument.
//!
//! A connection is served one request at a time, as in Kafka, which stops reading a connection until its request is
//! answered. So answers keep the order of their requests even when one is a long poll, and a request never overtakes
//! another of its connection. Between connections the order is that of arrival.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_wire::protocol::header::RequestHeader;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message};
use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;
use kafka_wire::wire::{Reader, Str};
use tracing::debug;

use super::BrokerConfig;
use super::connection::{ConnectionId, Peer, RequestContext};
use super::handlers::{self, Client, Treatment};
use super::state::{Answered, State};
use crate::fault::{Action, Plan, Rule};

/// An instruction to the driver of a [`Core`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreAction {
    /// Send one frame. The chunks follow each other, the length prefix first.
    Send {
        /// The connection to send it on.
        connection: ConnectionId,
        /// The frame, for a vectored write.
        frame: Vec<Bytes>,
    },
    /// Close the connection; the core has already forgotten it.
    Close {
        /// The connection.
        connection: ConnectionId,
    },
}

/// A single-node broker without sockets and without a clock.
///
/// Contract: call `handle_*` with a time that never goes back, then [`Core::poll`] until `None`, and
/// [`Core::handle_timeout`] when [`Core::next_timeout`] has come. The same calls give the same outputs.
#[derive(Debug)]
pub struct Core {
    state: State,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    actions: VecDeque<CoreAction>,
    faults: Plan,
    /// Requests that a fault delays, by the time at which they are served. A connection has at most one.
    delayed: BTreeMap<(Moment, ConnectionId), Delayed>,
    /// Connections whose request has been answered and whose next request may be waiting.
    freed: VecDeque<ConnectionId>,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    /// Requests that wait until the one being served is answered.
    inbox: VecDeque<Bytes>,
    /// Number of the request being served, if there is one.
    serving: Option<u64>,
    served: u64,
}

#[derive(Debug)]
struct Delayed {
    client: Client,
    body: Bytes,
}

impl Core {
    /// Makes a broker without topics. Clients are told to reach it at `host`:`port`.
    #[must_use]
    pub fn new(config: BrokerConfig, host: &str, port: u16) -> Self {
        let mut faults = Plan::default();
        config.faults.iter().for_each(|&rule| faults.add(rule));
        Self {
            state: State::new(config, host, port),
            connections: BTreeMap::new(),
            opened: 0,
            actions: VecDeque::new(),
            faults,
            delayed: BTreeMap::new(),
            freed: VecDeque::new(),
        }
    }

    /// Opens a connection of a client at the address `host`.
    pub fn connect(&mut self, host: &str) -> ConnectionId {
        self.connect_from(Peer::from(host))
    }

    /// Opens a connection of a client.
    pub fn connect_from(&mut self, peer: Peer) -> ConnectionId {
        self.opened += 1;
        let connection = ConnectionId(self.opened);
        self.connections.insert(connection, Connection { peer, inbox: VecDeque::new(), serving: None, served: 0 });
        connection
    }

    /// Closes a connection from the client's side: its waiting requests are dropped. Its group memberships and
    /// transactions last until their timeouts, as in Kafka.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.state.disconnect(connection);
    }

    /// Handles one request frame, without its length prefix. Bytes that are no request of a known version
    /// close the connection, and so does a queue of requests beyond the configured limit. Frames of unknown
    /// connections are dropped.
    pub fn handle_frame(&mut self, now: Moment, connection: ConnectionId, frame: Bytes) {
        self.state.now = now;
        let limit = self.state.config.queued_requests_max;
        let Some(open) = self.connections.get_mut(&connection) else { return };
        if open.inbox.len() >= limit {
            debug!(connection = connection.0, limit, "too many requests are waiting");
            return self.close(connection);
        }
        open.inbox.push_back(frame);
        self.serve_next(connection);
        self.deliver();
    }

    /// Lets time pass: timeouts of groups, transactions and long polls that are due by `now` take effect.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.state.now = now;
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let Delayed { client, body } = entry.remove();
            self.serve(&client, body, Treatment::Serve);
        }
        self.state.handle_timeout();
        self.deliver();
    }

    /// The next instruction; call it until `None` after every `handle_*`.
    pub fn poll(&mut self) -> Option<CoreAction> {
        self.actions.pop_front()
    }

    /// The time at which [`Core::handle_timeout`] has to be called next, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let delayed = self.delayed.keys().next().map(|&(due, _)| due);
        [delayed, self.state.next_timeout()].into_iter().flatten().min()
    }

    /// Sets the date at [`Moment::ZERO`], as when the machine has slept. Timeouts do not depend on the date.
    pub fn set_start_timestamp(&mut self, timestamp: TimestampMs) {
        self.state.set_start_timestamp(timestamp);
    }

    /// Sets how many bytes answers may allocate, until the next call: a Fetch returns no more than that, but at least
    /// one batch. There is no limit at first.
    pub fn set_answer_room(&mut self, bytes: usize) {
        self.state.answer_room_bytes = bytes;
    }

    /// Whether, since the last call, a batch was refused for lack of memory while answers in flight still hold
    /// records that were deleted.
    pub fn take_pinned_shortage(&mut self) -> bool {
        std::mem::take(&mut self.state.is_short_by_answers)
    }

    /// Whether a request of this connection is being served, so that its next one would wait.
    #[must_use]
    pub fn is_busy(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|open| open.serving.is_some())
    }

    /// Adds a fault rule, which counts requests from now on.
    pub fn inject(&mut self, rule: Rule) {
        self.faults.add(rule);
    }

    /// Whether every fault rule given so far has been applied.
    #[must_use]
    pub fn faults_are_spent(&self) -> bool {
        self.faults.is_spent()
    }

    /// The state of the broker, for tests that inspect it.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    #[cfg(test)]
    pub(super) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Serves waiting requests of a connection until one of them has to wait for its answer.
    fn serve_next(&mut self, connection: ConnectionId) {
        while let Some(open) = self.connections.get_mut(&connection).filter(|open| open.serving.is_none()) {
            let Some(frame) = open.inbox.pop_front() else { return };
            open.served += 1;
            open.serving = Some(open.served);
            let (serial, peer) = (open.served, open.peer.clone());
            match read_header(connection, serial, peer, frame) {
                Some((client, reader)) => self.accept(client, reader),
                None => self.close(connection),
            }
            self.collect();
        }
    }

    /// Serves a request, or applies the fault that hits it.
    fn accept(&mut self, client: Client, body: Bytes) {
        let context = client.context;
        if !self.state.logins.may_ask(self.state.now, context.connection, context.api) {
            debug!(api = %context.api, connection = context.connection.0, "asked before it said who it is");
            return self.close(context.connection);
        }
        if !handlers::is_served(context.api, context.version) {
            debug!(api = %context.api, version = context.version, "not served");
            return match context.api {
                ApiKey::ApiVersions => handlers::refuse_version(&mut self.state, context),
                _ => self.close(context.connection),
            };
        }
        let action = self.faults.draw(context.api.into());
        if let Some(action) = action {
            debug!(api = %context.api, ?action, "fault");
        }
        match action {
            None => self.serve(&client, body, Treatment::Serve),
            Some(Action::Error(code)) => self.serve(&client, body, Treatment::Refuse(ErrorCode(code))),
            // The request counts as being served for ever, so that no later one of its connection is looked at.
            Some(Action::DropRequest) => {}
            Some(Action::Delay(delay)) => {
                self.delayed.insert((self.state.now + delay, context.connection), Delayed { client, body });
            }
            Some(Action::ApplyThenDisconnect) => {
                self.serve(&client, body, Treatment::Serve);
                self.close(context.connection);
            }
        }
    }

    fn serve(&mut self, client: &Client, body: Bytes, treatment: Treatment) {
        self.state.forget_expired();
        if let Err(cause) = handlers::dispatch(&mut self.state, client, &body, treatment) {
            debug!(connection = client.context.connection.0, %cause, "malformed request");
            self.close(client.context.connection);
        }
    }

    /// Emits the answers that are ready, and lets the connections that they free serve their next request.
    fn deliver(&mut self) {
        self.collect();
        while let Some(connection) = self.freed.pop_front() {
            self.serve_next(connection);
        }
    }

    /// Turns finished requests into outputs.
    fn collect(&mut self) {
        while let Some((context, answered)) = self.next_answer() {
            let connection = context.connection;
            // The client may have disconnected, or its request may have been answered by closing the connection.
            let Some(open) = self.connections.get_mut(&connection).filter(|open| open.serving == Some(context.serial))
            else {
                continue;
            };
            open.serving = None;
            match answered {
                Answered::Frame(frame) => self.actions.push_back(CoreAction::Send { connection, frame }),
                Answered::Silently => {}
                Answered::Closed => self.close(connection),
            }
            self.freed.push_back(connection);
        }
    }

    /// The next finished request, after everything that the last change of state leads to.
    fn next_answer(&mut self) -> Option<(RequestContext, Answered)> {
        handlers::settle(&mut self.state);
        self.state.next_answer()
    }

    fn close(&mut self, connection: ConnectionId) {
        if self.connections.remove(&connection).is_some() {
            self.state.disconnect(connection);
            self.actions.push_back(CoreAction::Close { connection });
        }
    }
}

/// Reads the header of a request. `None` if there is no complete header, or the API is unknown.
///
/// Of an unknown version only the first fields of the header are known.
fn read_header(connection: ConnectionId, serial: u64, peer: Peer, frame: Bytes) -> Option<(Client, Bytes)> {
    let (fixed, _) = frame.split_first_chunk::<FIXED_BYTES>()?;
    let [key_high, key_low, version_high, version_low, correlation_id @ ..] = *fixed;
    let api = ApiKey::from_i16(i16::from_be_bytes([key_high, key_low]))?;
    let version = i16::from_be_bytes([version_high, version_low]);
    let context =
        RequestContext { connection, serial, api, version, correlation_id: i32::from_be_bytes(correlation_id) };
    let mut reader = Reader::new(&frame);
    if !handlers::is_served(api, version) {
        return Some((Client { context, id: Str::EMPTY, peer }, Bytes::new()));
    }
    let header = RequestHeader::decode(&mut reader, api.request_header_version(version)).ok()?;
    Some((Client { context, id: header.client_id.unwrap_or_default(), peer }, reader.rest()))
}

/// Bytes of API key, version and correlation id, which begin every request header.
const FIXED_BYTES: usize = 8;
