//! A proxy between a client of ours and its brokers, which knows frames: it brings the faults of [`crate::fault`] to
//! any broker, Apache Kafka too, and lets brokers look older than they are.
//!
//! It is the client's [`Connector`]: every connection that the client opens leads through it, under the addresses that
//! the brokers advertise.
//!
//! ```no_run
//! use kafka_wire::client::{Client, ClientConfig};
//! use kafka_wire::protocol::ApiKey;
//! use testkit::fault::{Action, Rule};
//! use testkit::proxy::Proxy;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = Proxy::default();
//! let client = Client::connect_with(ClientConfig::new("127.0.0.1:9092"), proxy.connector()).await?;
//! proxy.inject(Rule { api_key: ApiKey::Produce.into(), nth: 1, action: Action::ApplyThenDisconnect });
//! # Ok(())
//! # }
//! ```

mod pump;
mod routes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kafka_wire::client::{BoxFuture, Connector, DialError, Transport};
use kafka_wire::protocol::{ApiKey, ErrorCode};
use kafka_wire::wire::Str;
use tokio::io::{DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::sync::watch;

use self::routes::Routes;
pub use self::routes::Way;
use crate::fault::{Action, Plan, Rule};

/// The proxy. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts the calls of [`Proxy::cut`]: connections that are older than the last one close.
    cuts: watch::Sender<u64>,
    routes: watch::Sender<Routes>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    /// The highest version that brokers have, by API.
    limits: BTreeMap<i16, i16>,
    requests: BTreeMap<i16, u64>,
    edits: Vec<Edit>,
    /// Changes of every answer, by API.
    lasting_edits: BTreeMap<i16, LastingEdit>,
    /// The error code with which every request is refused, by API.
    refusals: BTreeMap<i16, i16>,
    /// Most bytes of one write to the client.
    piece_bytes: Option<usize>,
    connections: u64,
}

/// A change of the bytes of one answer.
struct Edit {
    api_key: i16,
    /// Answers to let pass before.
    left: u32,
    change: Box<dyn FnOnce(Vec<u8>) -> Vec<u8> + Send>,
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit").field("api_key", &self.api_key).field("left", &self.left).finish_non_exhaustive()
    }
}

/// A change of the bytes of every answer.
#[derive(Clone)]
struct LastingEdit(Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>);

impl std::fmt::Debug for LastingEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LastingEdit").finish_non_exhaustive()
    }
}

impl Default for Proxy {
    fn default() -> Self {
        let (cuts, routes) = (watch::channel(0).0, watch::channel(Routes::default()).0);
        Self { shared: Arc::new(Shared { state: Mutex::default(), cuts, routes }) }
    }
}

impl Proxy {
    /// The connector to give to the client.
    #[must_use]
    pub fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(self.clone())
    }

    /// Adds a fault, which counts the requests of all connections from now on.
    ///
    /// [`Action::Error`] answers as the embedded broker would. Requests that get no answer (`acks=0`) must not be on
    /// the same connection: the answer would wait for theirs.
    pub fn inject(&self, rule: Rule) {
        self.state().plan.add(rule);
    }

    /// Whether every fault and every edit given so far has been applied.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let state = self.state();
        state.plan.is_spent() && state.edits.is_empty()
    }

    /// Lets brokers say that they have no higher version of an API, on connections that are opened from now on.
    pub fn limit_version(&self, api: ApiKey, version: i16) {
        self.state().limits.insert(api.into(), version);
    }

    /// Changes the bytes of the `nth` answer of an API from now on, counted from 1: the whole frame with its length.
    pub fn edit(&self, api: ApiKey, nth: u32, change: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static) {
        let edit = Edit { api_key: api.into(), left: nth.saturating_sub(1), change: Box::new(change) };
        self.state().edits.push(edit);
    }

    /// Changes the bytes of every answer of an API until [`Proxy::stop_editing`], after the changes of single ones.
    pub fn edit_all(&self, api: ApiKey, change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) {
        self.state().lasting_edits.insert(api.into(), LastingEdit(Arc::new(change)));
    }

    /// Leaves the answers of an API as they are again.
    pub fn stop_editing(&self, api: ApiKey) {
        self.state().lasting_edits.remove(&i16::from(api));
    }

    /// Refuses every request of an API with this error until [`Proxy::stop_refusing`], after the faults of single ones;
    /// otherwise as [`Action::Error`].
    pub fn refuse_all(&self, api: ApiKey, code: ErrorCode) {
        self.state().refusals.insert(api.into(), code.0);
    }

    /// Lets the requests of an API through again.
    pub fn stop_refusing(&self, api: ApiKey) {
        self.state().refusals.remove(&i16::from(api));
    }

    /// Lets nothing through between the clients and the broker that listens on this port, one way or both, until
    /// [`Proxy::heal`]. It is as when a route is gone: connections stay open, and new ones are not established. Bytes
    /// that wait arrive after that, also those of connections that the client has closed meanwhile.
    pub fn lose_route(&self, port: u16, way: Way) {
        self.shared.routes.send_modify(|routes| routes.lose(port, way));
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.shared.routes.send_modify(Routes::heal);
    }

    /// Hands everything to the client in pieces of at most this many bytes.
    pub fn trickle(&self, piece_bytes: usize) {
        self.state().piece_bytes = Some(piece_bytes.max(1));
    }

    /// Closes all connections, as a broker does that dies.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// The number of requests of an API that clients have sent so far.
    #[must_use]
    pub fn requests(&self, api: ApiKey) -> u64 {
        self.state().requests.get(&api.into()).copied().unwrap_or(0)
    }

    /// The number of requests of all APIs.
    #[must_use]
    pub fn all_requests(&self) -> u64 {
        self.state().requests.values().sum()
    }

    /// The number of connections that were opened so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state().connections
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and returns the fault that hits it.
    fn take_fault(&self, api_key: i16) -> Option<Action> {
        let mut state = self.state();
        *state.requests.entry(api_key).or_default() += 1;
        let refused = state.refusals.get(&api_key).map(|code| Action::Error(*code));
        state.plan.draw(api_key).or(refused)
    }

    fn edited(&self, api_key: i16, frame: Vec<u8>) -> Vec<u8> {
        let mut state = self.state();
        let mut due = None;
        for (index, edit) in state.edits.iter_mut().enumerate().filter(|(_, edit)| edit.api_key == api_key) {
            match edit.left.checked_sub(1) {
                Some(left) => edit.left = left,
                None if due.is_none() => due = Some(index),
                None => {}
            }
        }
        let edit = due.map(|index| state.edits.remove(index));
        let lasting = state.lasting_edits.get(&api_key).cloned();
        drop(state);
        let frame = match edit {
            Some(edit) => (edit.change)(frame),
            None => frame,
        };
        match lasting {
            Some(LastingEdit(change)) => change(frame),
            None => frame,
        }
    }

    async fn open(self, host: Str, port: u16) -> Result<Box<dyn Transport>, DialError> {
        let mut routes = self.shared.routes.subscribe();
        // The sender lives in the proxy.
        let _ = routes.wait_for(|routes| routes.lost(port).is_none()).await;
        let broker = TcpStream::connect((&*host, port)).await.map_err(|error| DialError::Connect(error.kind()))?;
        broker.set_nodelay(true).map_err(|error| DialError::Connect(error.kind()))?;
        self.state().connections += 1;
        let (client, near): (DuplexStream, DuplexStream) = duplex(PIPE_BYTES);
        let cuts = self.shared.cuts.subscribe();
        tokio::spawn(pump::run(self, near, (broker, port), routes, cuts));
        Ok(Box::new(client))
    }
}

impl Connector for Proxy {
    fn connect(&self, host: Str, port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        Box::pin(self.clone().open(host, port))
    }
}

/// The length of a frame, and the frame.
fn with_length(frame: &Bytes) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("a frame of less than 4 GiB");
    [&length.to_be_bytes(), &frame[..]].concat()
}

/// Bytes that are under way to the client and not yet read.
const PIPE_BYTES: usize = 64 * 1024;
