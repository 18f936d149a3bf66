//! The broker as a sans-IO machine: frames in, frames out, time as an argument.
//!
//! A connection is served one request at a time, as in Kafka, which mutes the channel of a request until it is
//! answered. So answers keep the order of their requests even when one is a long poll, and a request never overtakes
//! another of its connection. Between connections the order is that of arrival.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_wire::protocol::header::RequestHeader;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message};
use kafka_wire::time::Moment;
use kafka_wire::wire::{Reader, Str};
use tracing::debug;

use super::BrokerConfig;
use super::call::{Call, ConnectionId, Peer};
use super::handlers::{self, Client, Treatment};
use super::state::{Answered, State};
use crate::fault::{Action, Plan, Rule};

/// What the driver of a [`Core`] has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send one frame. The chunks follow each other, the length prefix first.
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
    state: State,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    outputs: VecDeque<Output>,
    faults: Plan,
    /// Requests that a fault holds back, by when they are let go. A connection has at most one.
    delayed: BTreeMap<(Moment, ConnectionId), Delayed>,
    /// Connections whose request has been answered, and whose next one may be waiting.
    freed: VecDeque<ConnectionId>,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    /// Requests that wait for the one being served.
    inbox: VecDeque<Bytes>,
    /// Number of the request being served, while one is.
    serving: Option<u64>,
    served: u64,
}

#[derive(Debug)]
struct Delayed {
    client: Client,
    body: Bytes,
}

impl Core {
    /// A broker with no topics. Clients are told to reach it at `host`:`port`.
    #[must_use]
    pub fn new(config: BrokerConfig, host: &str, port: u16) -> Self {
        let mut faults = Plan::default();
        config.faults.iter().for_each(|&rule| faults.add(rule));
        Self {
            state: State::new(config, host, port),
            connections: BTreeMap::new(),
            opened: 0,
            outputs: VecDeque::new(),
            faults,
            delayed: BTreeMap::new(),
            freed: VecDeque::new(),
        }
    }

    /// A client has connected from `host`.
    pub fn connect(&mut self, host: &str) -> ConnectionId {
        self.connect_from(Peer::from(host))
    }

    /// A client has connected.
    pub fn connect_from(&mut self, peer: Peer) -> ConnectionId {
        self.opened += 1;
        let connection = ConnectionId(self.opened);
        self.connections.insert(connection, Connection { peer, inbox: VecDeque::new(), serving: None, served: 0 });
        connection
    }

    /// A client has gone away: its waiting requests are dropped, its group memberships and transactions live on until
    /// their timeouts, as in Kafka.
    pub fn disconnect(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.state.disconnect(connection);
    }

    /// One request frame, without its length prefix. Bytes that are no request of a known version close the connection,
    /// and so does a queue of requests beyond the configured limit. Frames of unknown connections are dropped.
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

    /// Time has passed: timeouts of groups, transactions and long polls that are due by `now` take effect.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.state.now = now;
        while let Some(entry) = self.delayed.first_entry().filter(|entry| entry.key().0 <= now) {
            let Delayed { client, body } = entry.remove();
            self.serve(&client, body, Treatment::Serve);
        }
        self.state.handle_timeout();
        self.deliver();
    }

    /// The next thing to do; call until `None` after every `handle_*`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Core::handle_timeout`] has to be called next, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let delayed = self.delayed.keys().next().map(|&(due, _)| due);
        [delayed, self.state.next_timeout()].into_iter().flatten().min()
    }

    /// Says how many bytes answers may take for themselves, until it is said again: a Fetch returns no more than that, and
    /// one batch at least. Without a limit at first.
    pub fn set_answer_room(&mut self, bytes: usize) {
        self.state.answer_room_bytes = bytes;
    }

    /// Whether, since the last call, a batch was refused while answers that are being sent hold records that were deleted.
    pub fn take_pinned_shortage(&mut self) -> bool {
        std::mem::take(&mut self.state.is_short_by_answers)
    }

    /// Whether a request of this connection is being served; its next one would wait.
    #[must_use]
    pub fn is_busy(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|open| open.serving.is_some())
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

    /// What the broker holds, for tests that look inside.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    #[cfg(test)]
    pub(super) fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Serves waiting requests of a connection until one has to wait for its answer.
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

    /// Serves a request, or does with it what a fault says.
    fn accept(&mut self, client: Client, body: Bytes) {
        let call = client.call;
        if !handlers::is_served(call.api, call.version) {
            debug!(api = %call.api, version = call.version, "not served");
            return match call.api {
                ApiKey::ApiVersions => handlers::refuse_version(&mut self.state, call),
                _ => self.close(call.connection),
            };
        }
        let action = self.faults.draw(call.api.into());
        if let Some(action) = action {
            debug!(api = %call.api, ?action, "fault");
        }
        match action {
            None => self.serve(&client, body, Treatment::Serve),
            Some(Action::Error(code)) => self.serve(&client, body, Treatment::Refuse(ErrorCode(code))),
            // The request stays the one being served for ever: nothing that follows it is looked at.
            Some(Action::DropRequest) => {}
            Some(Action::Delay(delay)) => {
                self.delayed.insert((self.state.now + delay, call.connection), Delayed { client, body });
            }
            Some(Action::ApplyThenDisconnect) => {
                self.serve(&client, body, Treatment::Serve);
                self.close(call.connection);
            }
        }
    }

    fn serve(&mut self, client: &Client, body: Bytes, treatment: Treatment) {
        if let Err(cause) = handlers::dispatch(&mut self.state, client, &body, treatment) {
            debug!(connection = client.call.connection.0, %cause, "malformed request");
            self.close(client.call.connection);
        }
    }

    /// Sends what is ready; connections that are free again get on with their next request.
    fn deliver(&mut self) {
        self.collect();
        while let Some(connection) = self.freed.pop_front() {
            self.serve_next(connection);
        }
    }

    /// Turns ended calls into outputs.
    fn collect(&mut self) {
        while let Some((call, answered)) = self.next_answer() {
            let connection = call.connection;
            // The client may be gone, or its request may have been answered with the end of the connection.
            let Some(open) = self.connections.get_mut(&connection).filter(|open| open.serving == Some(call.serial))
            else {
                continue;
            };
            open.serving = None;
            match answered {
                Answered::Frame(frame) => self.outputs.push_back(Output::Send { connection, frame }),
                Answered::Silently => {}
                Answered::Closed => self.close(connection),
            }
            self.freed.push_back(connection);
        }
    }

    /// The next call that has ended, after everything that the last change has made ready.
    fn next_answer(&mut self) -> Option<(Call, Answered)> {
        handlers::settle(&mut self.state);
        self.state.next_answer()
    }

    fn close(&mut self, connection: ConnectionId) {
        if self.connections.remove(&connection).is_some() {
            self.state.disconnect(connection);
            self.outputs.push_back(Output::Close { connection });
        }
    }
}

/// Reads the header of a request. `None` when there is none, or its API is unknown.
///
/// A version that is unknown has a header that is unknown, too, but for its first fields.
fn read_header(connection: ConnectionId, serial: u64, peer: Peer, frame: Bytes) -> Option<(Client, Bytes)> {
    let (fixed, _) = frame.split_first_chunk::<FIXED_BYTES>()?;
    let [key_high, key_low, version_high, version_low, correlation_id @ ..] = *fixed;
    let api = ApiKey::from_i16(i16::from_be_bytes([key_high, key_low]))?;
    let version = i16::from_be_bytes([version_high, version_low]);
    let call = Call { connection, serial, api, version, correlation_id: i32::from_be_bytes(correlation_id) };
    let mut reader = Reader::new(&frame);
    if !handlers::is_served(api, version) {
        return Some((Client { call, id: Str::EMPTY, peer }, Bytes::new()));
    }
    let header = RequestHeader::decode(&mut reader, api.request_header_version(version)).ok()?;
    Some((Client { call, id: header.client_id.unwrap_or_default(), peer }, reader.rest()))
}

/// API key, version and correlation id: the same in every header.
const FIXED_BYTES: usize = 8;
