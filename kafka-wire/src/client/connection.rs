//! Drives one connection: moves bytes between a [`Transport`] and a [`Session`], and calls between tasks and
//! the session.
//!
//! One task owns the connection from the first attempt to its end. It sleeps until there is a call, a byte, room to
//! write or a deadline, and handles them in this order: calls, then writes, so that calls that came together are sent
//! in one system call; then reads; then time. When the connection ends, the task fails its remaining calls and ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;

use super::clock::Clock;
use super::features::Features;
use super::lock::lock;
use super::{
    Backoff, BoxFuture, ConnectFailure, ConnectStage, Connector, DialError, Endpoint, NotSentCause, RequestError, Sasl,
    Transport,
};
use crate::metrics::BrokerCounters;
use crate::protocol::ApiKey;
use crate::sasl::{Exchange, SaslError};
use crate::session::{Call, CallFailure, CloseCause, Session, SessionConfig, SessionEvent, Traffic};
use crate::time::Moment;

/// The answer to a call, not decoded yet.
#[derive(Debug)]
pub(super) struct RawAnswer {
    pub(super) version: i16,
    pub(super) body: Bytes,
}

/// The receiver of a call's answer. If it was dropped, the connection goes on undisturbed.
pub(super) type AnswerSender = oneshot::Sender<Result<RawAnswer, RequestError>>;

/// A command to a connection's task.
#[derive(Debug)]
pub(super) enum Command {
    Call(Call<AnswerSender>),
    /// Stop writing for this long, because the broker throttles.
    Throttle(Duration),
}

/// The state that outlives a connection: the results of the last attempts to connect.
#[derive(Debug)]
pub(super) struct Health {
    backoff: Backoff,
    /// Earliest time of the next attempt.
    not_before: Moment,
    /// Failure of the last attempt, until one succeeds.
    failure: Option<ConnectFailure>,
}

impl Health {
    pub(super) const fn new(backoff: Backoff) -> Self {
        Self { backoff, not_before: Moment::ZERO, failure: None }
    }

    fn succeeded(&mut self) {
        self.backoff.reset();
        self.not_before = Moment::ZERO;
        self.failure = None;
    }

    fn failed(&mut self, now: Moment, failure: ConnectFailure) {
        self.not_before = now + self.backoff.next_pause();
        self.failure = Some(failure);
    }

    /// Whether an attempt may begin at once: the last one succeeded, or the pause after it is over.
    pub(super) fn is_ready(&self, now: Moment) -> bool {
        self.not_before <= now
    }
}

/// The parts from which a connection's task is made.
pub(super) struct ConnectionParts {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) clock: Clock,
    pub(super) connect_timeout: Duration,
    pub(super) session: SessionConfig,
    /// The authentication that is sent to the broker.
    pub(super) sasl: Option<Sasl>,
    pub(super) health: Arc<Mutex<Health>>,
    /// Cleared by every answer.
    pub(super) is_silent: Arc<AtomicBool>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// Updated with the cluster's features each time versions are negotiated.
    pub(super) features: Arc<Features>,
    pub(super) counters: Arc<BrokerCounters>,
}

/// The task of one connection.
pub(super) struct Driver {
    parts: ConnectionParts,
    session: Session<AnswerSender>,
    phase: Phase,
    /// Bytes that the transport has not taken yet.
    chunks: VecDeque<Bytes>,
    chunk_bytes: usize,
    needs_flush: bool,
    /// Requests that no broker answers: done when the transport has taken all chunks.
    unanswered: Vec<AnswerSender>,
    sleep: Pin<Box<Sleep>>,
    /// Time at which `sleep` fires; `None` if it is not set.
    armed: Option<Moment>,
    /// The credentials that the session needs to authenticate, while they are being fetched.
    credentials: Option<BoxFuture<Result<Box<dyn Exchange>, SaslError>>>,
    /// The reason why there was no connection; set before the session is closed.
    failure: Option<ConnectFailure>,
}

enum Phase {
    /// A pause, because the last attempt failed.
    Pausing {
        until: Moment,
    },
    Dialing {
        deadline: Moment,
        dial: BoxFuture<Result<Box<dyn Transport>, DialError>>,
    },
    Open {
        transport: Box<dyn Transport>,
        is_ready: bool,
    },
}

impl Driver {
    pub(super) fn new(parts: ConnectionParts) -> Self {
        let until = lock(&parts.health).not_before;
        Self {
            session: Session::new(parts.session.clone()),
            phase: Phase::Pausing { until },
            chunks: VecDeque::new(),
            chunk_bytes: 0,
            needs_flush: false,
            unanswered: Vec::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
            credentials: None,
            failure: None,
            parts,
        }
    }

    /// Runs the connection to its end.
    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.finish();
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut has_moved = self.poll_commands(cx);
            has_moved |= self.poll_credentials(cx);
            has_moved |= self.poll_phase(cx);
            has_moved |= self.poll_time(cx);
            // Whoever gets an answer finds it counted.
            self.count();
            self.deliver();
            if self.session.closed().is_some() {
                return Poll::Ready(());
            }
            if !has_moved {
                return Poll::Pending;
            }
        }
    }

    /// Takes calls from the queue, unless the session already has many that it could not write yet.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_moved = false;
        while self.session.waiting_count() < WAITING_MAX {
            match self.parts.commands.poll_recv(cx) {
                Poll::Ready(Some(Command::Call(call))) => self.session.handle_call(call),
                Poll::Ready(Some(Command::Throttle(pause))) => {
                    self.parts.counters.throttled(pause);
                    self.session.handle_throttle(self.parts.clock.now(), pause);
                }
                Poll::Ready(None) => {
                    // Every handle was dropped. Answers that somebody still waits for are received before the end.
                    if self.session.is_idle() && self.chunks.is_empty() {
                        self.session.close(CloseCause::Ended);
                    }
                    return has_moved;
                }
                Poll::Pending => return has_moved,
            }
            has_moved = true;
        }
        has_moved
    }

    /// Hands the credentials to the session as soon as they have been fetched.
    fn poll_credentials(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(credentials) = &mut self.credentials else { return false };
        let Poll::Ready(outcome) = credentials.as_mut().poll(cx) else { return false };
        self.credentials = None;
        match outcome {
            Ok(exchange) => self.session.handle_credentials(exchange),
            Err(error) => self.session.close(CloseCause::Sasl(error)),
        }
        true
    }

    fn poll_phase(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.phase {
            Phase::Pausing { until } => {
                let now = self.parts.clock.now();
                if *until > now {
                    return false;
                }
                let address = &self.parts.endpoint.address;
                let dial = self.parts.connector.connect(address.host.clone(), address.port);
                self.phase = Phase::Dialing { deadline: now + self.parts.connect_timeout, dial };
                true
            }
            Phase::Dialing { deadline, dial } => match dial.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(transport)) => {
                    self.session.handle_open(*deadline);
                    self.phase = Phase::Open { transport, is_ready: false };
                    true
                }
                Poll::Ready(Err(error)) => {
                    self.fail(ConnectFailure::Dial(error));
                    true
                }
            },
            Phase::Open { .. } => {
                let has_written = self.poll_write(cx);
                self.poll_read(cx) | has_written
            }
        }
    }

    /// Writes the session's bytes; returns whether anything happened.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Phase::Open { transport, .. } = &mut self.phase else { return false };
        let room = WRITE_BUFFER_BYTES.saturating_sub(self.chunk_bytes);
        let added = self.session.transmit(self.parts.clock.now(), room, &mut self.chunks);
        self.chunk_bytes += added;
        let mut has_moved = added > 0;
        while !self.chunks.is_empty() {
            match poll_write_chunks(transport, &self.chunks, cx) {
                Poll::Pending => return has_moved,
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.parts.counters.moved(count, 0);
                    self.chunk_bytes -= count;
                    self.needs_flush = true;
                    has_moved = true;
                    advance(&mut self.chunks, count);
                }
                Poll::Ready(result) => {
                    let kind = result.map_or_else(|error| error.kind(), |_| io::ErrorKind::WriteZero);
                    self.session.handle_broken_stream(kind);
                    return true;
                }
            }
        }
        if self.needs_flush {
            match Pin::new(transport).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.needs_flush = false,
                Poll::Ready(Err(error)) => self.session.close(CloseCause::Transport(error.kind())),
            }
        }
        has_moved
    }

    /// Reads available bytes, once; returns whether there were any.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> bool {
        let Phase::Open { transport, .. } = &mut self.phase else { return false };
        // Dropping the unfinished read is safe: it has taken nothing then.
        match pin!(transport.read_buf(self.session.read_buffer())).poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(count)) if count > 0 => {
                self.parts.counters.moved(0, count);
                self.session.handle_read();
            }
            Poll::Ready(result) => self.handle_end(result.err()),
        }
        true
    }

    /// Handles the end of the stream: the peer closed the connection, or it broke.
    fn handle_end(&mut self, error: Option<io::Error>) {
        let refusal = error.as_ref().and_then(|error| error.get_ref()?.downcast_ref::<DialError>());
        match (refusal, error.as_ref()) {
            // The connector learns only now that the peer refuses the connection that it has opened.
            (Some(refusal), _) if self.is_connecting() => self.fail(ConnectFailure::Dial(refusal.clone())),
            _ if self.is_reset_by_negotiation() => self.restart_pinned(),
            (_, None) => self.session.handle_end_of_stream(),
            (_, Some(error)) => self.session.handle_broken_stream(error.kind()),
        }
    }

    /// Lets time pass; returns whether a deadline has come.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.parts.clock.now();
        let phase_end = match &self.phase {
            Phase::Pausing { until } => Some(*until),
            Phase::Dialing { deadline, .. } => Some(*deadline),
            Phase::Open { .. } => None,
        };
        let Some(next) = self.session.next_timeout(now).into_iter().chain(phase_end).min() else { return false };
        if next > now {
            // The timer is only ever moved to an earlier time: most deadlines lie far ahead and are removed before
            // they come.
            if self.armed.is_none_or(|armed| armed > next || armed <= now) {
                self.sleep.as_mut().reset(self.parts.clock.instant(next));
                self.armed = Some(next);
            }
            return self.sleep.as_mut().poll(cx).is_ready() && {
                self.armed = None;
                true
            };
        }
        self.session.handle_timeout(now);
        if matches!(&self.phase, Phase::Dialing { deadline, .. } if *deadline <= now) {
            self.fail(ConnectFailure::TimedOut(ConnectStage::Dial));
        }
        true
    }

    /// Delivers the session's events.
    fn deliver(&mut self) {
        while let Some(event) = self.session.poll() {
            match event {
                SessionEvent::NeedsCredentials => {
                    let host = &self.parts.endpoint.address.host;
                    self.credentials = self.parts.sasl.as_ref().map(|sasl| sasl.begin(host));
                }
                SessionEvent::Ready(versions) => {
                    if let Phase::Open { is_ready, .. } = &mut self.phase {
                        *is_ready = true;
                    }
                    lock(&self.parts.health).succeeded();
                    self.parts.is_silent.store(false, Ordering::Relaxed);
                    self.parts.counters.connected();
                    self.parts.features.note(&versions);
                }
                SessionEvent::Answered { tag, version, body } => {
                    self.parts.is_silent.store(false, Ordering::Relaxed);
                    drop(tag.send(Ok(RawAnswer { version, body })));
                }
                SessionEvent::Written { tag } => self.unanswered.push(tag),
                SessionEvent::Failed { tag, failure } => {
                    if !matches!(failure, CallFailure::Unanswered(_)) {
                        self.parts.counters.unsent();
                    }
                    drop(tag.send(Err(self.request_error(failure))));
                }
            }
        }
        if self.chunks.is_empty() && !self.needs_flush {
            for tag in self.unanswered.drain(..) {
                drop(tag.send(Ok(RawAnswer { version: 0, body: Bytes::new() })));
            }
        }
    }

    /// Counts the requests and responses since the last call.
    fn count(&mut self) {
        let mut now = None;
        while let Some(traffic) = self.session.poll_traffic() {
            match traffic {
                Traffic::Sent { api, is_answered } => self.parts.counters.sent(api, is_answered),
                Traffic::Answered { api, sent } => {
                    let now = *now.get_or_insert_with(|| self.parts.clock.now());
                    self.parts.counters.answered(api, now - sent);
                }
                Traffic::Lost => self.parts.counters.lost(1),
            }
        }
    }

    /// Ends the attempt to connect.
    fn fail(&mut self, failure: ConnectFailure) {
        self.failure = Some(failure);
        self.session.close(CloseCause::Ended);
    }

    /// Whether the peer closed the connection on a version of ApiVersions that it does not know.
    ///
    /// Some endpoints do that where Kafka answers `UNSUPPORTED_VERSION` (Azure Event Hubs). v0 is then worth a try.
    fn is_reset_by_negotiation(&self) -> bool {
        self.is_connecting() && self.session.is_negotiating() && self.parts.session.api_versions_max.is_none()
    }

    /// Returns whether the connection is open but not ready for calls yet.
    const fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Open { is_ready: false, .. })
    }

    /// Connects again at once, and requests the versions with ApiVersions v0.
    fn restart_pinned(&mut self) {
        self.parts.session.api_versions_max = Some(0);
        let mut pinned = Session::new(self.parts.session.clone());
        self.session.take_waiting().for_each(|call| pinned.handle_call(call));
        self.session.close(CloseCause::Ended);
        self.count();
        self.session = pinned;
        self.chunks.clear();
        (self.chunk_bytes, self.needs_flush) = (0, false);
        self.phase = Phase::Pausing { until: Moment::ZERO };
    }

    /// The error that a call gets: until versions are negotiated, every end is a failure to connect.
    fn request_error(&self, failure: CallFailure) -> RequestError {
        let to = Arc::clone(&self.parts.endpoint);
        match failure {
            CallFailure::Expired => RequestError::NotSent { to: Some(to), cause: self.expired() },
            CallFailure::NotSent(cause) => RequestError::NotSent { to: Some(to), cause: self.not_sent(cause) },
            CallFailure::Unanswered(cause) => RequestError::Unanswered { to, cause },
            CallFailure::UnsupportedVersion(versions) => RequestError::UnsupportedVersion { to, versions },
            CallFailure::Encode(api, error) => RequestError::Encode { api, error },
        }
    }

    fn expired(&self) -> NotSentCause {
        let stage = match self.phase {
            Phase::Pausing { .. } => {
                let failure = lock(&self.parts.health).failure.clone();
                return failure.map_or(NotSentCause::Expired, NotSentCause::Connect);
            }
            Phase::Dialing { .. } => ConnectStage::Dial,
            Phase::Open { is_ready: false, .. } if self.session.is_negotiating() => ConnectStage::Negotiation,
            Phase::Open { is_ready: false, .. } => ConnectStage::Authentication,
            Phase::Open { is_ready: true, .. } => return NotSentCause::Expired,
        };
        NotSentCause::Connect(ConnectFailure::TimedOut(stage))
    }

    fn not_sent(&self, cause: CloseCause) -> NotSentCause {
        match self.connect_failure(&cause) {
            Some(failure) => NotSentCause::Connect(failure),
            None => NotSentCause::Closed(cause),
        }
    }

    /// The failure to connect, if the cause was one.
    fn connect_failure(&self, cause: &CloseCause) -> Option<ConnectFailure> {
        match (&self.failure, &self.phase, cause) {
            (Some(failure), _, _) => Some(failure.clone()),
            (None, Phase::Open { is_ready: false, .. }, CloseCause::TimedOut(ApiKey::SaslAuthenticate)) => {
                Some(ConnectFailure::TimedOut(ConnectStage::Authentication))
            }
            (None, Phase::Open { is_ready: false, .. }, CloseCause::TimedOut(_)) => {
                Some(ConnectFailure::TimedOut(ConnectStage::Negotiation))
            }
            (None, Phase::Open { is_ready: false, .. }, CloseCause::Ended) => None,
            (None, Phase::Open { is_ready: false, .. }, cause) => Some(ConnectFailure::Negotiation(cause.clone())),
            (None, _, _) => None,
        }
    }

    /// Records how the connection ended, and fails the calls that came too late for the session.
    fn finish(mut self) {
        let cause = self.session.closed().cloned().unwrap_or(CloseCause::Ended);
        tracing::debug!(to = %self.parts.endpoint, %cause, "connection ended");
        if let Some(failure) = self.connect_failure(&cause) {
            lock(&self.parts.health).failed(self.parts.clock.now(), failure);
            self.parts.counters.not_connected();
        }
        for tag in std::mem::take(&mut self.unanswered) {
            drop(tag.send(Err(self.request_error(CallFailure::Unanswered(cause.clone())))));
        }
        self.parts.commands.close();
        while let Ok(command) = self.parts.commands.try_recv() {
            if let Command::Call(call) = command {
                self.parts.counters.unsent();
                let error = self.request_error(CallFailure::NotSent(cause.clone()));
                drop(call.tag.send(Err(error)));
            }
        }
    }
}

/// Writes from the front of `chunks`, as many at once as the transport takes.
fn poll_write_chunks(
    transport: &mut Box<dyn Transport>,
    chunks: &VecDeque<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
        count += 1;
    }
    Pin::new(transport).poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
}

/// Drops the first `count` bytes.
fn advance(chunks: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = chunks.front_mut() {
        if count < front.len() {
            front.advance(count);
            return;
        }
        count -= front.len();
        chunks.pop_front();
    }
}

/// Most encoded bytes that wait for the transport. Further requests stay unencoded, and so are certainly unsent.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;
/// Most unwritten calls of a session; further ones are left in the queue.
const WAITING_MAX: usize = 1_000;
/// Most chunks of one vectored write.
const SLICES_MAX: usize = 64;
