//! One connection to a broker, as a state machine without I/O.
//!
//! A [`Session`] turns calls into bytes and bytes into answers. Its owner moves the bytes and the time:
//! it appends the bytes of a socket to [`Session::read_buffer`], takes the bytes to write from [`Session::transmit`],
//! and reads the events from [`Session::poll`].
//!
//! Its rules:
//! - Every connection begins with ApiVersions; if the version is refused, a lower one is tried (KIP-511).
//!   Calls wait for that.
//! - With a mechanism of SASL the client then authenticates, and does so again before the session that the broker
//!   granted ends (KIP-368).
//! - A call is encoded when there is room to write it, at the highest version that both sides have. If it fails before
//!   that, it is `NotSent`; afterwards it is `Unanswered`, because the broker may have carried it out.
//! - Answers come in the order of the requests. Anything else, and any request without an answer, ends the connection:
//!   a later answer could not be attributed (brokers with KIP-35 process one request of a connection at a time).
//! - A broker that throttles gets no requests for as long as it asks (KIP-219).
//!
//! A session neither retries nor reconnects, and reads no clock.

mod call;
mod close;
mod frame;
mod login;
mod negotiation;
mod versions;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

pub use call::{ByVersion, Call, CallFailure, Outgoing, SessionEvent, Traffic, Unanswered};
pub use close::{CloseCause, Peer};
pub use frame::{FrameError, FrameSplitter};
pub use versions::{BrokerVersions, UnsupportedVersion};

use crate::protocol::header::{RequestHeader, ResponseHeader};
use crate::protocol::{ApiKey, Message};
use crate::sasl::{Exchange, SaslError};
use crate::time::Moment;
use crate::wire::{EncodeError, Reader, Str, Writer};
use login::{Login, Progress};
use negotiation::Negotiation;

/// The settings of a session.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Name of this client in the broker's logs, metrics and quotas.
    pub client_id: Str,
    /// Largest frame that is accepted, in bytes. A larger one ends the connection.
    pub frame_limit: usize,
    /// ApiVersions version to begin with; lower than the highest of this crate only for peers that reset the
    /// connection on newer ones.
    pub api_versions_max: Option<i16>,
    /// Mechanism of SASL to authenticate with; `None` for listeners without authentication.
    pub mechanism: Option<Str>,
    /// Percentage of the lifetime of a session after which to authenticate again. It should differ among the
    /// connections of a cluster, or all of them would do so at once.
    pub reauthenticate_percent: u32,
}

/// One connection, from its opening to its end.
#[derive(Debug)]
pub struct Session<T> {
    config: SessionConfig,
    state: State,
    splitter: FrameSplitter,
    /// Calls of which no byte has been written yet.
    waiting: VecDeque<Call<T>>,
    /// Requests that were handed to the transport and have no answer yet, oldest first.
    in_flight: VecDeque<InFlight<T>>,
    next_correlation: i32,
    /// No request is written before this moment, because the broker throttles.
    muted_until: Moment,
    /// A lower bound of all deadlines; the earliest one may be later, because it is not updated when a call
    /// is answered.
    deadline_min: Option<Moment>,
    /// The authentication that is under way. Meanwhile no call is written.
    login: Option<Login>,
    /// The lifetime of the session that the broker has just granted, until the time from which it counts is known.
    granted: Option<Duration>,
    /// The time to authenticate again, and the end of the session.
    renewal: Option<Renewal>,
    /// Whether the broker has answered any call.
    has_answered: bool,
    events: VecDeque<SessionEvent<T>>,
    /// Requests and responses that the owner has not counted yet.
    traffic: VecDeque<Traffic>,
    /// The time at which ApiVersions was last written.
    negotiated_at: Moment,
}

#[derive(Debug)]
enum State {
    /// The transport is not open yet.
    Opening,
    Negotiating(Negotiation),
    Ready(Arc<BrokerVersions>),
    Closed(CloseCause),
}

#[derive(Clone, Copy, Debug)]
struct Renewal {
    due: Moment,
    end: Moment,
}

#[derive(Debug)]
struct InFlight<T> {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    sent: Moment,
    deadline: Moment,
    /// `None` for a request of the session itself, which authenticates.
    tag: Option<T>,
}

impl<T> Session<T> {
    /// Makes a session whose transport is not open yet. It accepts calls already.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self {
            splitter: FrameSplitter::new(config.frame_limit.min(NEGOTIATION_FRAME_LIMIT)),
            config,
            state: State::Opening,
            waiting: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_correlation: 0,
            muted_until: Moment::ZERO,
            deadline_min: None,
            login: None,
            granted: None,
            renewal: None,
            has_answered: false,
            events: VecDeque::new(),
            traffic: VecDeque::new(),
            negotiated_at: Moment::ZERO,
        }
    }

    /// Notes that the transport is open: negotiation begins, and has to end before `deadline`.
    pub fn handle_open(&mut self, deadline: Moment) {
        assert!(matches!(self.state, State::Opening), "a session opens once");
        self.state = State::Negotiating(Negotiation::new(self.config.api_versions_max, deadline));
        self.note_deadline(deadline);
    }

    /// Takes a call. It is written as soon as the session is ready, not throttled, and the transport has room.
    pub fn handle_call(&mut self, call: Call<T>) {
        if let State::Closed(cause) = &self.state {
            let failure = CallFailure::NotSent(cause.clone());
            self.events.push_back(SessionEvent::Failed { tag: call.tag, failure });
            return;
        }
        self.note_deadline(call.deadline);
        self.waiting.push_back(call);
    }

    /// The buffer to append received bytes to, with room for at least one. Call [`Session::handle_read`] after that.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.splitter.buffer()
    }

    /// Handles the bytes that were appended to the read buffer.
    pub fn handle_read(&mut self) {
        while !self.is_closed() {
            match self.splitter.next_frame() {
                Ok(Some(frame)) => self.handle_frame(frame),
                Ok(None) => return,
                Err(error) => self.handle_unreadable(error),
            }
        }
    }

    /// Stops writing for `pause` from `now` on, as the broker asks. Source: KIP-219, `ThrottleTimeMs`.
    pub fn handle_throttle(&mut self, now: Moment, pause: Duration) {
        self.muted_until = self.muted_until.max(now + pause.min(THROTTLE_MAX));
    }

    /// Lets time pass: calls whose deadline is before `now` end.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.deadline_min.is_none_or(|min| min > now) || self.is_closed() {
            return;
        }
        if let State::Negotiating(negotiation) = &self.state
            && negotiation.deadline() <= now
        {
            return self.close(CloseCause::TimedOut(ApiKey::ApiVersions));
        }
        if self.login.as_ref().is_some_and(|login| login.deadline <= now) {
            return self.close(CloseCause::TimedOut(ApiKey::SaslAuthenticate));
        }
        if let Some(Renewal { end, .. }) = self.renewal.take_if(|renewal| renewal.due <= now) {
            // The broker reads it behind what is open, such as a JoinGroup that waits for other members. That may take
            // longer than the session, and the broker takes an authentication then, too.
            let open = self.in_flight.iter().map(|request| request.deadline).max();
            self.start_login(open.map_or(end, |open| open.max(end)));
        }
        if let Some(late) = self.in_flight.iter().find(|request| request.deadline <= now) {
            let cause = CloseCause::TimedOut(late.api);
            return self.close(cause);
        }
        let mut still_waiting = VecDeque::with_capacity(self.waiting.len());
        for call in self.waiting.drain(..) {
            if call.deadline > now {
                still_waiting.push_back(call);
            } else {
                self.events.push_back(SessionEvent::Failed { tag: call.tag, failure: CallFailure::Expired });
            }
        }
        self.waiting = still_waiting;
        self.deadline_min = self.earliest_deadline();
    }

    /// Ends the session: open requests fail as `Unanswered`, waiting calls as `NotSent`. Later calls do
    /// not change the cause.
    pub fn close(&mut self, cause: CloseCause) {
        if self.is_closed() {
            return;
        }
        let is_negotiating = matches!(&self.state, State::Negotiating(negotiation) if negotiation.is_sent());
        for _ in 0..self.in_flight.len() + usize::from(is_negotiating) {
            self.count(Traffic::Lost);
        }
        for tag in self.in_flight.drain(..).filter_map(|request| request.tag) {
            let failure = CallFailure::Unanswered(cause.clone());
            self.events.push_back(SessionEvent::Failed { tag, failure });
        }
        for call in self.waiting.drain(..) {
            let failure = CallFailure::NotSent(cause.clone());
            self.events.push_back(SessionEvent::Failed { tag: call.tag, failure });
        }
        self.deadline_min = None;
        self.login = None;
        self.renewal = None;
        self.state = State::Closed(cause);
    }

    /// Takes back the calls that were not written, in order, for another attempt on another connection.
    pub fn take_waiting(&mut self) -> impl Iterator<Item = Call<T>> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// Notes that the peer has closed the transport.
    pub fn handle_end_of_stream(&mut self) {
        let negotiating = self.is_negotiating();
        self.close(self.hang_up().unwrap_or(CloseCause::EndOfStream { negotiating }));
    }

    /// The transport failed.
    pub fn handle_broken_stream(&mut self, kind: io::ErrorKind) {
        // A peer that closes without having read everything resets the connection.
        let hang_up = self.hang_up().filter(|_| kind == io::ErrorKind::ConnectionReset);
        self.close(hang_up.unwrap_or(CloseCause::Transport(kind)));
    }

    /// Returns the cause if the peer negotiated versions and ended the connection on the first request without
    /// an answer.
    fn hang_up(&self) -> Option<CloseCause> {
        let is_first = matches!(self.state, State::Ready(_)) && !self.has_answered && self.config.mechanism.is_none();
        let first = self.in_flight.front().filter(|_| is_first)?;
        Some(CloseCause::HungUp(first.api))
    }

    /// Goes on with the credentials that [`SessionEvent::NeedsCredentials`] asked for.
    pub fn handle_credentials(&mut self, exchange: Box<dyn Exchange>) {
        if let Some(login) = &mut self.login {
            login.begin(exchange);
        }
    }

    /// Returns whether versions are still being negotiated.
    #[must_use]
    pub const fn is_negotiating(&self) -> bool {
        matches!(self.state, State::Negotiating(_))
    }

    /// Encodes requests into `chunks` until `room_bytes` are used up, and returns how many bytes it added.
    ///
    /// Bytes that were returned count as written, even if the transport fails before it takes them:
    /// their call is `Unanswered`, not `NotSent`. The last request may exceed the room, however large it is,
    /// because it is encoded as a whole. The rest waits for the next call.
    pub fn transmit(&mut self, now: Moment, room_bytes: usize, chunks: &mut VecDeque<Bytes>) -> usize {
        let mut added = 0;
        if let State::Negotiating(negotiation) = &mut self.state
            && let Some(request) = negotiation.next_request()
        {
            let correlation_id = take_correlation(&mut self.next_correlation);
            negotiation.sent(correlation_id);
            let version = negotiation.version();
            let frame = encode_frame(&self.config.client_id, correlation_id, &request, version);
            added += append(chunks, frame.expect("ApiVersions encodes at each of its versions"));
            self.negotiated_at = now;
            self.count(Traffic::Sent { api: ApiKey::ApiVersions, is_answered: true });
        }
        let State::Ready(versions) = &self.state else { return added };
        let versions = Arc::clone(versions);
        if let Some(lifetime) = self.granted.take() {
            self.plan_renewal(now, lifetime);
        }
        if self.login.is_some() {
            return added + self.write_login(now, &versions, chunks);
        }
        while added < room_bytes && now >= self.muted_until {
            let Some(call) = self.waiting.pop_front() else { break };
            added += self.write_call(now, call, &versions, chunks);
        }
        added
    }

    /// The next event, oldest first; `None` if there are no more.
    pub fn poll(&mut self) -> Option<SessionEvent<T>> {
        self.events.pop_front()
    }

    /// The next request or response to count, oldest first; `None` if there are no more. An owner that counts nothing
    /// may leave them: at most `TRAFFIC_MAX` of them are kept.
    pub fn poll_traffic(&mut self) -> Option<Traffic> {
        self.traffic.pop_front()
    }

    fn count(&mut self, traffic: Traffic) {
        if self.traffic.len() < TRAFFIC_MAX {
            self.traffic.push_back(traffic);
        }
    }

    /// The latest time for the next [`Session::handle_timeout`] and [`Session::transmit`]; it may be
    /// earlier than needed.
    #[must_use]
    pub fn next_timeout(&self, now: Moment) -> Option<Moment> {
        let muted = (self.muted_until > now && !self.waiting.is_empty()).then_some(self.muted_until);
        match (self.deadline_min, muted) {
            (Some(deadline), Some(muted)) => Some(deadline.min(muted)),
            (deadline, muted) => deadline.or(muted),
        }
    }

    /// The cause of the session's end; `None` while it is open.
    #[must_use]
    pub const fn closed(&self) -> Option<&CloseCause> {
        match &self.state {
            State::Closed(cause) => Some(cause),
            State::Opening | State::Negotiating(_) | State::Ready(_) => None,
        }
    }

    /// Whether no call is waiting or open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.iter().all(|request| request.tag.is_none())
    }

    /// Number of calls that have not been written yet.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    const fn is_closed(&self) -> bool {
        self.closed().is_some()
    }

    fn write_call(
        &mut self,
        now: Moment,
        call: Call<T>,
        versions: &BrokerVersions,
        chunks: &mut VecDeque<Bytes>,
    ) -> usize {
        let api = call.message.api();
        let version = match versions.pick(api, call.max_version) {
            Ok(version) => version,
            Err(error) => return self.fail(call.tag, CallFailure::UnsupportedVersion(error)),
        };
        match encode_frame(&self.config.client_id, self.next_correlation, &*call.message, version) {
            Ok(frame) => {
                let correlation_id = take_correlation(&mut self.next_correlation);
                let Call { message, deadline, tag, .. } = call;
                self.count(Traffic::Sent { api, is_answered: message.is_answered() });
                if message.is_answered() {
                    let tag = Some(tag);
                    self.in_flight.push_back(InFlight { correlation_id, api, version, sent: now, deadline, tag });
                } else {
                    self.events.push_back(SessionEvent::Written { tag });
                }
                append(chunks, frame)
            }
            Err(error) => self.fail(call.tag, CallFailure::Encode(api, error)),
        }
    }

    /// Writes the next request of the authentication, if it is this side's turn.
    fn write_login(&mut self, now: Moment, versions: &BrokerVersions, chunks: &mut VecDeque<Bytes>) -> usize {
        let Some(login) = &mut self.login else { return 0 };
        let (Some(api), deadline) = (login.wants(), login.deadline) else { return 0 };
        // Version 0 of SaslHandshake is followed by bytes without headers, which this crate does not support.
        let least = if api == ApiKey::SaslHandshake { 1 } else { 0 };
        let Some(version) = versions.pick(api, None).ok().filter(|version| *version >= least) else {
            self.close(CloseCause::Sasl(SaslError::NotServed { api }));
            return 0;
        };
        let Some(request) = login.take_request() else { return 0 };
        let correlation_id = take_correlation(&mut self.next_correlation);
        match encode_frame(&self.config.client_id, correlation_id, &*request, version) {
            Ok(frame) => {
                let login = InFlight { correlation_id, api, version, sent: now, deadline, tag: None };
                self.in_flight.push_back(login);
                self.count(Traffic::Sent { api, is_answered: true });
                append(chunks, frame)
            }
            Err(error) => {
                self.close(CloseCause::Encode(api, error));
                0
            }
        }
    }

    /// Begins to authenticate, with `deadline` as the time by which it has to be over.
    fn start_login(&mut self, deadline: Moment) {
        let Some(mechanism) = self.config.mechanism.clone() else { return };
        self.login = Some(Login::new(mechanism, deadline));
        self.note_deadline(deadline);
        self.events.push_back(SessionEvent::NeedsCredentials);
    }

    /// Notes when to authenticate again. The lifetime counts from the broker's answer, which has just come.
    fn plan_renewal(&mut self, now: Moment, lifetime: Duration) {
        let percent = self.config.reauthenticate_percent.clamp(1, 100);
        let renewal = Renewal { due: now + lifetime * percent / 100, end: now + lifetime };
        self.note_deadline(renewal.due);
        self.renewal = Some(renewal);
    }

    fn handle_login(&mut self, api: ApiKey, version: i16, body: &Bytes) {
        let (Some(login), State::Ready(versions)) = (&mut self.login, &self.state) else { return };
        match login.handle_answer(api, version, body) {
            Ok(Progress::Underway) => {}
            Ok(Progress::Over { lifetime_ms }) => {
                self.login = None;
                self.granted = u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
                if !self.has_answered {
                    self.has_answered = true;
                    self.events.push_back(SessionEvent::Ready(Arc::clone(versions)));
                }
                self.deadline_min = self.earliest_deadline();
            }
            Err(cause) => self.close(cause),
        }
    }

    /// Reports a call that could not be written, which adds no bytes.
    fn fail(&mut self, tag: T, failure: CallFailure) -> usize {
        self.events.push_back(SessionEvent::Failed { tag, failure });
        0
    }

    fn handle_frame(&mut self, frame: Bytes) {
        if matches!(self.state, State::Negotiating(_)) {
            return self.handle_negotiation(frame);
        }
        let mut reader = Reader::new(&frame);
        // Correlation ids have the same place in every header version; the id tells the version of the rest.
        let received = match reader.clone().message::<i32>(0) {
            Ok(received) => received,
            Err(error) => return self.close(CloseCause::Decode(error)),
        };
        let expected = self.in_flight.front().map(|oldest| oldest.correlation_id);
        let is_due = expected == Some(received);
        let Some(request) = is_due.then(|| self.in_flight.pop_front()).flatten() else {
            return self.close(CloseCause::UnknownCorrelation { expected, received });
        };
        let InFlight { api, version, sent, tag, .. } = request;
        self.count(Traffic::Answered { api, sent });
        let body = ResponseHeader::decode(&mut reader, api.response_header_version(version)).map(|_| reader.rest());
        match body {
            Ok(body) => match tag {
                Some(tag) => {
                    self.has_answered = true;
                    self.events.push_back(SessionEvent::Answered { tag, version, body });
                }
                None => self.handle_login(api, version, &body),
            },
            Err(error) => {
                let cause = CloseCause::Decode(error);
                if let Some(tag) = tag {
                    self.fail(tag, CallFailure::Unanswered(cause.clone()));
                }
                self.close(cause);
            }
        }
    }

    fn handle_negotiation(&mut self, frame: Bytes) {
        self.count(Traffic::Answered { api: ApiKey::ApiVersions, sent: self.negotiated_at });
        let State::Negotiating(negotiation) = &mut self.state else { return };
        let deadline = negotiation.deadline();
        match negotiation.handle_answer(frame) {
            Ok(None) => {}
            Ok(Some(versions)) => {
                let versions = Arc::new(versions);
                self.splitter.set_limit(self.config.frame_limit);
                self.state = State::Ready(Arc::clone(&versions));
                self.deadline_min = self.earliest_deadline();
                match self.config.mechanism {
                    None => self.events.push_back(SessionEvent::Ready(versions)),
                    Some(_) => self.start_login(deadline),
                }
            }
            Err(cause) => self.close(cause),
        }
    }

    fn handle_unreadable(&mut self, error: FrameError) {
        let negotiating = self.is_negotiating();
        let peer = Peer::from_head(error.head()).filter(|_| negotiating);
        self.close(peer.map_or(CloseCause::Frame(error), CloseCause::NotKafka));
    }

    fn note_deadline(&mut self, deadline: Moment) {
        self.deadline_min = Some(self.deadline_min.map_or(deadline, |min| min.min(deadline)));
    }

    fn earliest_deadline(&self) -> Option<Moment> {
        let negotiation = match &self.state {
            State::Negotiating(negotiation) => Some(negotiation.deadline()),
            State::Opening | State::Ready(_) | State::Closed(_) => None,
        };
        let login = self.login.as_ref().map(|login| login.deadline);
        let renewal = self.renewal.map(|renewal| renewal.due);
        let open = self.in_flight.iter().map(|request| request.deadline);
        open.chain(login).chain(renewal).chain(self.waiting.iter().map(|call| call.deadline)).chain(negotiation).min()
    }
}

fn take_correlation(next: &mut i32) -> i32 {
    let taken = *next;
    *next = taken.wrapping_add(1);
    taken
}

/// Size, header and body of a request.
fn encode_frame(
    client_id: &Str,
    correlation_id: i32,
    message: &dyn Outgoing,
    version: i16,
) -> Result<Vec<Bytes>, EncodeError> {
    let api = message.api();
    let header = RequestHeader {
        request_api_key: api as i16,
        request_api_version: version,
        correlation_id,
        client_id: Some(client_id.clone()),
        ..Default::default()
    };
    let mut writer = Writer::with_capacity(REQUEST_BYTES);
    header.encode(&mut writer, api.request_header_version(version))?;
    message.encode_body(&mut writer, version)?;
    writer.finish_frame()
}

fn append(chunks: &mut VecDeque<Bytes>, frame: Vec<Bytes>) -> usize {
    let size = frame.iter().map(Bytes::len).sum();
    chunks.extend(frame);
    size
}

/// Limit for the answer to ApiVersions: Kafka 4.3's has about 600 bytes. Before that answer, the peer may be anything.
const NEGOTIATION_FRAME_LIMIT: usize = 1024 * 1024;
/// Longest pause that is honoured. A broker's quota window is some seconds, so a longer one makes no sense.
const THROTTLE_MAX: Duration = Duration::from_secs(60);

/// Memory for a request, without its batches: enough for most.
const REQUEST_BYTES: usize = 512;
/// Most requests and responses that wait to be counted. An owner counts them whenever it moves bytes.
const TRAFFIC_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
