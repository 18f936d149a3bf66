//! The connections of a client: at most one per broker and lane, opened when they are first needed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::connection::{Command, ConnectionParts, Driver, Health, RawAnswer};
use super::features::Features;
use super::lock::lock;
use super::{Backoff, ClientConfig, Connector, Endpoint, Lane, NotSentCause, RequestError, Sasl};
use crate::metrics::{BrokerCounters, ClientCounters, ClientMetrics};
use crate::rng::Rng;
use crate::session::{Call, CloseCause, Outgoing, SessionConfig};
use crate::time::Moment;
use crate::types::BrokerId;

/// The broker that a connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The bootstrap address with this index, whichever broker answers there.
    Bootstrap(usize),
    Broker(BrokerId),
}

/// A request that can be handed to one connection after another, until one takes it.
#[derive(Clone)]
pub(super) struct Submission {
    pub(super) message: Arc<dyn Outgoing>,
    pub(super) max_version: Option<i16>,
    pub(super) deadline: Moment,
}

/// The connections of one client, and their tasks.
pub(super) struct Pool {
    config: ClientConfig,
    connector: Arc<dyn Connector>,
    clock: Clock,
    runtime: Handle,
    slots: Mutex<BTreeMap<(Target, Lane), Slot>>,
    lanes: AtomicU64,
    seeds: Mutex<Rng>,
    features: Arc<Features>,
    ignored_bytes: Arc<AtomicU64>,
    counters: Arc<ClientCounters>,
}

struct Slot {
    endpoint: Arc<Endpoint>,
    counters: Arc<BrokerCounters>,
    commands: Option<mpsc::Sender<Command>>,
    health: Arc<Mutex<Health>>,
    /// Whether a request had no answer for longer than a broker needs, and nothing else had one since.
    is_silent: Arc<AtomicBool>,
}

impl Pool {
    pub(super) fn new(config: ClientConfig, connector: Arc<dyn Connector>, clock: Clock) -> Self {
        Self {
            seeds: Mutex::new(Rng::from_seed(config.seed)),
            config,
            connector,
            clock,
            runtime: Handle::current(),
            slots: Mutex::new(BTreeMap::new()),
            lanes: AtomicU64::new(0),
            features: Arc::default(),
            ignored_bytes: Arc::default(),
            counters: Arc::default(),
        }
    }

    /// A pool with the same settings and without connections; its connections will belong to the runtime of the caller.
    pub(super) fn fork(&self) -> Self {
        let seed = lock(&self.seeds).next_u64();
        Self {
            seeds: Mutex::new(Rng::from_seed(seed)),
            config: self.config.clone(),
            connector: Arc::clone(&self.connector),
            clock: self.clock,
            runtime: Handle::current(),
            slots: Mutex::new(BTreeMap::new()),
            lanes: AtomicU64::new(0),
            features: Arc::clone(&self.features),
            ignored_bytes: Arc::clone(&self.ignored_bytes),
            counters: Arc::clone(&self.counters),
        }
    }

    pub(super) const fn config(&self) -> &ClientConfig {
        &self.config
    }

    pub(super) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Pauses for one operation that retries.
    pub(super) fn backoff(&self) -> Backoff {
        let seed = lock(&self.seeds).next_u64();
        Backoff::new(self.config.retry_backoff_min, self.config.retry_backoff_max, Rng::from_seed(seed))
    }

    /// Finalized level of a feature, by the newest announcement of any broker.
    pub(super) fn feature(&self, name: &str) -> Option<i16> {
        self.features.level(name)
    }

    /// The numbers of this pool and of those that were forked from it.
    pub(super) fn metrics(&self) -> ClientMetrics {
        self.counters.read(&self.config.client_id)
    }

    /// Number of bytes after the last field of answers.
    pub(super) fn ignored_bytes(&self) -> u64 {
        self.ignored_bytes.load(Ordering::Relaxed)
    }

    /// Hands a request to the connection for `target` and `lane`, which is opened if there is none.
    ///
    /// Requests are sent in the order of these calls. A connection to another address than `endpoint` is given up:
    /// it ends when its open requests are answered.
    pub(super) fn submit(
        &self,
        target: Target,
        lane: Lane,
        endpoint: Endpoint,
        submission: &Submission,
    ) -> Result<Pending, RequestError> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry((target, lane)).or_insert_with(|| self.slot(endpoint.clone()));
        if slot.endpoint.address != endpoint.address {
            *slot = self.slot(endpoint);
        }
        let (tag, answer) = oneshot::channel();
        let Submission { message, max_version, deadline } = submission.clone();
        let command = Command::Call(Call { message, max_version, deadline, tag });
        match slot.send(command, |first| self.spawn(slot, first)) {
            Ok(commands) => {
                let pending = Pending {
                    answer,
                    commands: commands.clone(),
                    endpoint: Arc::clone(&slot.endpoint),
                    ignored_bytes: Arc::clone(&self.ignored_bytes),
                };
                slot.commands = Some(commands);
                Ok(pending)
            }
            Err(cause) => Err(RequestError::NotSent { to: Some(Arc::clone(&slot.endpoint)), cause }),
        }
    }

    /// A number that no lane has had before.
    pub(super) fn next_lane(&self) -> u64 {
        self.lanes.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives up the connections of a lane: each ends when its open requests are answered.
    pub(super) fn close(&self, lane: Lane) {
        lock(&self.slots).retain(|(_, of), _| *of != lane);
    }

    /// Whether a request to `target` would go to an open connection, could open one at once, or would have to wait,
    /// perhaps in vain.
    pub(super) fn readiness(&self, target: Target) -> Readiness {
        match lock(&self.slots).get(&(target, Lane::General)) {
            Some(slot) if !lock(&slot.health).is_ready(self.now()) => Readiness::Failing,
            Some(slot) if slot.is_silent.load(Ordering::Relaxed) => Readiness::Silent,
            Some(slot) if slot.commands.as_ref().is_some_and(|commands| !commands.is_closed()) => Readiness::Open,
            Some(_) | None => Readiness::Idle,
        }
    }

    /// Notes that a request on the general connection to `target` has no answer after longer than a broker needs.
    pub(super) fn note_silence(&self, target: Target) {
        if let Some(slot) = lock(&self.slots).get(&(target, Lane::General)) {
            slot.is_silent.store(true, Ordering::Relaxed);
        }
    }

    /// Keeps the bootstrap connections that turned out to lead to these brokers as theirs, and gives up the others.
    pub(super) fn adopt(&self, brokers: &[(BrokerId, Endpoint)]) {
        let mut slots = lock(&self.slots);
        while let Some((key @ (Target::Bootstrap(_), lane), _)) =
            slots.first_key_value().map(|(key, slot)| (*key, slot))
        {
            let Some(mut slot) = slots.remove(&key) else { return };
            if let Some((id, endpoint)) = brokers.iter().find(|(_, broker)| broker.address == slot.endpoint.address) {
                slot.endpoint = Arc::new(endpoint.clone());
                slot.counters.adopt(*id);
                slots.entry((Target::Broker(*id), lane)).or_insert(slot);
            }
        }
    }

    fn slot(&self, endpoint: Endpoint) -> Slot {
        let health = Arc::new(Mutex::new(Health::new(self.backoff())));
        let counters = self.counters.broker(endpoint.broker, &endpoint.address.to_string());
        Slot { endpoint: Arc::new(endpoint), counters, commands: None, health, is_silent: Arc::default() }
    }

    /// Begins a connection with a first command. It is in the queue before the connection begins: one that cannot be
    /// opened may end at once, on another thread, with an answer to all that is in the queue.
    ///
    /// # Errors
    /// The runtime shuts down.
    fn spawn(&self, slot: &Slot, first: Command) -> Result<mpsc::Sender<Command>, NotSentCause> {
        let (sender, commands) = mpsc::channel(self.config.queue_limit.max(1));
        sender.try_send(first).map_err(|_| NotSentCause::QueueFull)?;
        let parts = ConnectionParts {
            endpoint: Arc::clone(&slot.endpoint),
            connector: Arc::clone(&self.connector),
            clock: self.clock,
            connect_timeout: self.config.connect_timeout,
            session: SessionConfig {
                client_id: self.config.client_id.clone(),
                frame_limit: self.config.frame_limit,
                api_versions_max: None,
                mechanism: self.config.sasl.as_ref().map(Sasl::mechanism),
                reauthenticate_percent: 85 + u32::try_from(lock(&self.seeds).next_u64() % 11).unwrap_or_default(),
            },
            sasl: self.config.sasl.clone(),
            health: Arc::clone(&slot.health),
            is_silent: Arc::clone(&slot.is_silent),
            commands,
            features: Arc::clone(&self.features),
            counters: Arc::clone(&slot.counters),
        };
        let has_begun = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&has_begun);
        let task = self.runtime.spawn(async move {
            begun.store(true, Ordering::Relaxed);
            Driver::new(parts).run().await;
        });
        // Only a runtime that shuts down drops a task before it has begun.
        if task.is_finished() && !has_begun.load(Ordering::Relaxed) {
            return Err(NotSentCause::ShutDown);
        }
        Ok(sender)
    }
}

impl Slot {
    /// Hands a command to the connection, or to a new one if it has ended; returns the sender to the one that took it.
    fn send(
        &self,
        command: Command,
        spawn: impl FnOnce(Command) -> Result<mpsc::Sender<Command>, NotSentCause>,
    ) -> Result<mpsc::Sender<Command>, NotSentCause> {
        let Some(commands) = &self.commands else { return spawn(command) };
        match commands.try_send(command) {
            Ok(()) => Ok(commands.clone()),
            Err(TrySendError::Full(_)) => Err(NotSentCause::QueueFull),
            Err(TrySendError::Closed(unsent)) => spawn(unsent),
        }
    }
}

/// The time until a request would be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Readiness {
    Open,
    Idle,
    /// It would have to wait behind one that has no answer.
    Silent,
    /// The last attempts failed, and the next one has to wait.
    Failing,
}

/// A request that a connection has taken over. Dropping it discards the answer.
pub(super) struct Pending {
    answer: oneshot::Receiver<Result<RawAnswer, RequestError>>,
    /// Keeps the connection open as long as somebody waits for an answer from it.
    commands: mpsc::Sender<Command>,
    endpoint: Arc<Endpoint>,
    ignored_bytes: Arc<AtomicU64>,
}

impl Pending {
    /// The broker that it went to.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Counts bytes after the last field of the answer.
    pub(super) fn count_ignored(&self, bytes: usize) {
        self.ignored_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Passes the broker's throttle time on to the connection.
    pub(super) fn throttle(&self, pause: Duration) {
        // A full queue means that more requests were queued before the broker throttled; a closed one,
        // that no request follows.
        drop(self.commands.try_send(Command::Throttle(pause)));
    }
}

impl Future for Pending {
    type Output = Result<RawAnswer, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(Pin::new(&mut self.answer).poll(cx));
        // The task ended without an answer because its runtime is being dropped. Whether it has written
        // the request is unknown.
        Poll::Ready(answer.unwrap_or_else(|_| {
            let to = Arc::clone(&self.endpoint);
            Err(RequestError::Unanswered { to, cause: CloseCause::Ended })
        }))
    }
}
