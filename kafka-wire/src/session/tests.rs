//! Scripts in virtual time: inputs of a session, and its events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::protocol::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::metadata::{MetadataRequest, MetadataResponse};
use crate::protocol::sasl_authenticate::SaslAuthenticateResponse;
use crate::protocol::sasl_handshake::SaslHandshakeResponse;
use crate::protocol::{ErrorCode, Request};
use crate::sasl::Plain;
use crate::wire::{DecodeCause, EncodeCause};

/// A session whose calls have numbers as tags, and the broker's side of its connection.
struct Script {
    session: Session<u32>,
    now: Moment,
}

/// A request, as the broker decodes it.
#[derive(Debug)]
struct Seen {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<Str>,
    body: Bytes,
}

impl Script {
    fn opening() -> Self {
        Self { session: Session::new(config()), now: Moment::from_millis(1_000) }
    }

    fn open() -> Self {
        let mut script = Self::opening();
        script.session.handle_open(script.now + NEGOTIATION);
        script
    }

    /// A session that is ready, with a broker that has Metadata v0 to v9 and Heartbeat v0 to v4.
    fn ready() -> Self {
        let mut script = Self::open();
        let asked = script.written();
        assert_eq!(asked.len(), 1);
        script.answer_versions(asked[0].correlation_id, asked[0].version, &announcement());
        assert!(matches!(script.session.poll(), Some(SessionEvent::Ready(_))));
        script
    }

    fn call<R: Request>(&mut self, tag: u32, request: R) {
        self.call_capped(tag, request, None);
    }

    fn call_capped<R: Request>(&mut self, tag: u32, request: R, max_version: Option<i16>) {
        let deadline = self.now + TIMEOUT;
        self.session.handle_call(Call { message: Arc::new(request), max_version, deadline, tag });
    }

    /// Requests that the session hands to the transport now.
    fn written(&mut self) -> Vec<Seen> {
        let mut chunks = VecDeque::new();
        self.session.transmit(self.now, usize::MAX, &mut chunks);
        let mut splitter = FrameSplitter::new(usize::MAX);
        chunks.iter().for_each(|chunk| splitter.buffer().extend_from_slice(chunk));
        std::iter::from_fn(|| splitter.next_frame().unwrap()).map(seen).collect()
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.session.read_buffer().extend_from_slice(bytes);
        self.session.handle_read();
    }

    fn answer_versions(&mut self, correlation_id: i32, version: i16, response: &ApiVersionsResponse) {
        self.receive(&frame(ApiKey::ApiVersions, correlation_id, version, response));
    }

    fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.session.handle_timeout(self.now);
    }

    fn events(&mut self) -> Vec<SessionEvent<u32>> {
        std::iter::from_fn(|| self.session.poll()).collect()
    }
}

fn config() -> SessionConfig {
    SessionConfig {
        client_id: Str::from("it"),
        frame_limit: 64 * 1024 * 1024,
        api_versions_max: None,
        mechanism: None,
        reauthenticate_percent: 90,
    }
}

fn seen(frame: Bytes) -> Seen {
    let mut body = Reader::new(&frame);
    let mut peek = body.clone();
    let (key, version) = (peek.i16("key").unwrap(), peek.i16("version").unwrap());
    let api = ApiKey::from_i16(key).unwrap();
    let header = RequestHeader::decode(&mut body, api.request_header_version(version)).unwrap();
    Seen { api, version, correlation_id: header.correlation_id, client_id: header.client_id, body: body.rest() }
}

fn frame(api: ApiKey, correlation_id: i32, version: i16, response: &impl Message) -> Vec<u8> {
    let mut writer = Writer::new();
    ResponseHeader { correlation_id }.encode(&mut writer, api.response_header_version(version)).unwrap();
    response.encode(&mut writer, version).unwrap();
    writer.finish_frame().unwrap().concat()
}

fn heartbeat_answer(request: &Seen, throttle_time_ms: i32) -> Vec<u8> {
    let response = HeartbeatResponse { throttle_time_ms, ..Default::default() };
    frame(ApiKey::Heartbeat, request.correlation_id, request.version, &response)
}

fn announcement() -> ApiVersionsResponse {
    let range = |api: ApiKey, min_version, max_version| ApiVersion { api_key: api.into(), min_version, max_version };
    ApiVersionsResponse {
        api_keys: vec![range(ApiKey::Metadata, 0, 9), range(ApiKey::Heartbeat, 0, 4), range(ApiKey::ApiVersions, 0, 4)],
        ..Default::default()
    }
}

fn failed(tag: u32, failure: CallFailure) -> SessionEvent<u32> {
    SessionEvent::Failed { tag, failure }
}

#[test]
fn calls_wait_for_the_versions_and_leave_at_the_highest_common_one() {
    let mut script = Script::opening();
    script.call(1, HeartbeatRequest::default());
    assert!(script.written().is_empty(), "the transport is not open");
    script.session.handle_open(script.now + NEGOTIATION);
    let asked = script.written();
    assert_eq!(asked.len(), 1, "the call waits");
    assert_eq!((asked[0].api, asked[0].version), (ApiKey::ApiVersions, 5));
    assert_eq!(asked[0].client_id.as_deref(), Some("it"));
    let request = ApiVersionsRequest::decode(&mut Reader::new(&asked[0].body), 5).unwrap();
    assert_eq!(&*request.client_software_name, "waterwheel");
    script.answer_versions(asked[0].correlation_id, 5, &announcement());
    script.call_capped(2, MetadataRequest::default(), Some(5));
    let sent: Vec<_> = script.written().iter().map(|seen| (seen.api, seen.version)).collect();
    assert_eq!(sent, [(ApiKey::Heartbeat, 4), (ApiKey::Metadata, 5)]);
}

#[test]
fn an_unknown_api_versions_version_is_retried_lower() {
    let listed = ApiVersion { api_key: ApiKey::ApiVersions.into(), min_version: 0, max_version: 2 };
    for (api_keys, next) in [(vec![listed], 2), (vec![], 0)] {
        let mut script = Script::open();
        let asked = script.written();
        let refusal = ApiVersionsResponse { error_code: 35, api_keys, ..Default::default() };
        script.answer_versions(asked[0].correlation_id, 0, &refusal);
        let again = script.written();
        assert_eq!((again[0].api, again[0].version), (ApiKey::ApiVersions, next));
        assert_ne!(again[0].correlation_id, asked[0].correlation_id);
        script.answer_versions(again[0].correlation_id, next, &announcement());
        assert!(matches!(script.session.poll(), Some(SessionEvent::Ready(_))));
    }
}

#[test]
fn a_refusal_of_the_oldest_version_ends_the_connection() {
    let mut script = Script::open();
    script.call(1, HeartbeatRequest::default());
    let refusal = ApiVersionsResponse { error_code: 35, ..Default::default() };
    for _ in 0..2 {
        let asked = script.written();
        script.answer_versions(asked[0].correlation_id, 0, &refusal);
    }
    let cause = CloseCause::Refused(ErrorCode::UNSUPPORTED_VERSION);
    assert_eq!(script.events(), [failed(1, CallFailure::NotSent(cause))]);
}

#[test]
fn answers_survive_a_split_at_every_position() {
    let mut stream = Vec::new();
    {
        let mut script = Script::ready();
        script.call(1, HeartbeatRequest::default());
        script.call(2, MetadataRequest::default());
        let sent = script.written();
        stream.extend(heartbeat_answer(&sent[0], 0));
        let metadata = MetadataResponse { controller_id: 3, ..Default::default() };
        stream.extend(frame(ApiKey::Metadata, sent[1].correlation_id, sent[1].version, &metadata));
    }
    for cut in 0..=stream.len() {
        let mut script = Script::ready();
        script.call(1, HeartbeatRequest::default());
        script.call(2, MetadataRequest::default());
        script.written();
        script.receive(&stream[..cut]);
        script.receive(&stream[cut..]);
        let events = script.events();
        let [SessionEvent::Answered { tag: 1, version: 4, .. }, SessionEvent::Answered { tag: 2, version: 9, body }] =
            &events[..]
        else {
            panic!("cut at {cut}: {events:?}")
        };
        let metadata = MetadataResponse::decode(&mut Reader::new(body), 9).unwrap();
        assert_eq!(metadata.controller_id, 3);
        assert!(script.session.is_idle());
    }
}

#[test]
fn an_answer_out_of_order_ends_the_connection() {
    let mut script = Script::ready();
    script.call(1, HeartbeatRequest::default());
    script.call(2, HeartbeatRequest::default());
    let sent = script.written();
    script.receive(&heartbeat_answer(&sent[1], 0));
    let (expected, received) = (Some(sent[0].correlation_id), sent[1].correlation_id);
    let cause = CloseCause::UnknownCorrelation { expected, received };
    let unanswered = |tag| failed(tag, CallFailure::Unanswered(cause.clone()));
    assert_eq!(script.events(), [unanswered(1), unanswered(2)]);
    assert_eq!(script.session.closed(), Some(&cause));
}

#[test]
fn an_answer_to_nothing_ends_the_connection() {
    let mut script = Script::ready();
    script.receive(&frame(ApiKey::Heartbeat, 77, 0, &HeartbeatResponse::default()));
    assert_eq!(script.session.closed(), Some(&CloseCause::UnknownCorrelation { expected: None, received: 77 }));
}

#[test]
fn impossible_lengths_end_the_connection() {
    for (length, is_negative) in [(i32::MAX, false), (-5, true)] {
        let mut script = Script::ready();
        script.receive(&length.to_be_bytes());
        match script.session.closed() {
            Some(CloseCause::Frame(FrameError::Oversized { .. })) => assert!(!is_negative),
            Some(CloseCause::Frame(FrameError::Negative { .. })) => assert!(is_negative),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_truncated_answer_leaves_its_request_unanswered() {
    let mut script = Script::ready();
    script.call(1, HeartbeatRequest::default());
    let sent = script.written();
    // Flexible response header without its tag section.
    script.receive(&[&4_i32.to_be_bytes(), &sent[0].correlation_id.to_be_bytes()[..]].concat());
    match &script.events()[..] {
        [SessionEvent::Failed { tag: 1, failure: CallFailure::Unanswered(CloseCause::Decode(error)) }] => {
            assert_eq!(error.cause, DecodeCause::Truncated);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_late_answer_ends_the_connection_for_all() {
    let mut script = Script::ready();
    script.call(1, HeartbeatRequest::default());
    script.call(2, MetadataRequest::default());
    assert_eq!(script.written().len(), 2);
    script.call(3, HeartbeatRequest::default());
    assert_eq!(script.session.next_timeout(script.now), Some(script.now + TIMEOUT));
    script.advance(TIMEOUT);
    let cause = CloseCause::TimedOut(ApiKey::Heartbeat);
    let expected = [
        failed(1, CallFailure::Unanswered(cause.clone())),
        failed(2, CallFailure::Unanswered(cause.clone())),
        failed(3, CallFailure::NotSent(cause.clone())),
    ];
    assert_eq!(script.events(), expected);
    script.call(4, HeartbeatRequest::default());
    assert_eq!(script.events(), [failed(4, CallFailure::NotSent(cause))]);
}

#[test]
fn an_unwritten_call_expires_alone() {
    let mut script = Script::ready();
    script.session.handle_throttle(script.now, Duration::from_secs(40));
    script.call(1, HeartbeatRequest::default());
    assert!(script.written().is_empty());
    script.advance(TIMEOUT);
    assert_eq!(script.events(), [failed(1, CallFailure::Expired)]);
    assert_eq!(script.session.closed(), None);
}

#[test]
fn silence_during_negotiation_ends_the_connection() {
    let mut script = Script::open();
    script.call(1, HeartbeatRequest::default());
    script.written();
    assert_eq!(script.session.next_timeout(script.now), Some(script.now + NEGOTIATION));
    script.advance(NEGOTIATION);
    let cause = CloseCause::TimedOut(ApiKey::ApiVersions);
    assert_eq!(script.events(), [failed(1, CallFailure::NotSent(cause))]);
}

#[test]
fn a_throttling_broker_is_left_alone() {
    let mut script = Script::ready();
    script.session.handle_throttle(script.now, Duration::from_millis(300));
    script.call(1, HeartbeatRequest::default());
    assert!(script.written().is_empty());
    assert_eq!(script.session.next_timeout(script.now), Some(script.now + Duration::from_millis(300)));
    script.advance(Duration::from_millis(299));
    assert!(script.written().is_empty());
    script.advance(Duration::from_millis(1));
    assert_eq!(script.written().len(), 1);
}

#[test]
fn what_cannot_be_said_is_not_sent_and_disturbs_nothing() {
    let mut script = Script::ready();
    script.call(1, crate::protocol::fetch::FetchRequest::default());
    let with_instance = HeartbeatRequest { group_instance_id: Some(Str::from("i")), ..Default::default() };
    script.call_capped(2, with_instance, Some(2));
    script.call(3, HeartbeatRequest::default());
    let sent = script.written();
    assert_eq!(sent.len(), 1);
    match &script.events()[..] {
        [
            SessionEvent::Failed { tag: 1, failure: CallFailure::UnsupportedVersion(versions) },
            SessionEvent::Failed { tag: 2, failure: CallFailure::Encode(ApiKey::Heartbeat, error) },
        ] => {
            assert_eq!(versions.theirs, None);
            assert_eq!(error.cause, EncodeCause::VersionLacksField(2));
        }
        other => panic!("{other:?}"),
    }
    script.receive(&heartbeat_answer(&sent[0], 0));
    assert!(matches!(script.events()[..], [SessionEvent::Answered { tag: 3, .. }]));
}

#[test]
fn only_what_there_is_room_for_counts_as_written() {
    let mut script = Script::ready();
    for tag in 1..=3 {
        script.call(tag, HeartbeatRequest { group_id: Str::from("g".repeat(100)), ..Default::default() });
    }
    let mut chunks = VecDeque::new();
    assert!(script.session.transmit(script.now, 150, &mut chunks) > 150, "the second one exceeds the room, whole");
    assert_eq!(script.session.waiting_count(), 1);
    script.session.close(CloseCause::Transport(io::ErrorKind::ConnectionReset));
    let cause = CloseCause::Transport(io::ErrorKind::ConnectionReset);
    let expected = [
        failed(1, CallFailure::Unanswered(cause.clone())),
        failed(2, CallFailure::Unanswered(cause.clone())),
        failed(3, CallFailure::NotSent(cause)),
    ];
    assert_eq!(script.events(), expected);
}

#[test]
fn peers_that_are_no_brokers_are_named() {
    for (bytes, peer) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], Peer::Http),
        (&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46], Peer::Tls),
        (b"SSH-2.0-OpenSSH", Peer::Text(*b"SSH-")),
    ] {
        let mut script = Script::open();
        script.written();
        script.receive(bytes);
        assert_eq!(script.session.closed(), Some(&CloseCause::NotKafka(peer)));
    }
    let mut script = Script::open();
    script.session.handle_end_of_stream();
    assert_eq!(script.session.closed(), Some(&CloseCause::EndOfStream { negotiating: true }));
}

const TIMEOUT: Duration = Duration::from_secs(30);
const NEGOTIATION: Duration = Duration::from_secs(4);

/// Makes a session that has negotiated versions with a broker that asks for authentication.
fn asked_for_credentials() -> Script {
    let mut script = Script::opening();
    script.session = Session::new(SessionConfig { mechanism: Some(Str::from("PLAIN")), ..config() });
    script.session.handle_open(script.now + NEGOTIATION);
    script.call(1, HeartbeatRequest::default());
    let asked = script.written();
    let mut announced = announcement();
    for api in [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate] {
        announced.api_keys.push(ApiVersion { api_key: api.into(), min_version: 0, max_version: 1 });
    }
    script.answer_versions(asked[0].correlation_id, asked[0].version, &announced);
    assert_eq!(script.events(), [SessionEvent::NeedsCredentials]);
    assert!(script.written().is_empty(), "nothing is said before the credentials are there");
    script
}

/// Authenticates; the broker answers with `authenticated`.
fn log_in(script: &mut Script, authenticated: &SaslAuthenticateResponse) {
    script.session.handle_credentials(Box::new(Plain::new("alice", "secret")));
    let asked = script.written();
    assert_eq!(asked.iter().map(|seen| (seen.api, seen.version)).collect::<Vec<_>>(), [(ApiKey::SaslHandshake, 1)]);
    let chosen = SaslHandshakeResponse { mechanisms: vec![Str::from("PLAIN")], ..Default::default() };
    script.receive(&frame(ApiKey::SaslHandshake, asked[0].correlation_id, 1, &chosen));
    let asked = script.written();
    assert_eq!(asked.iter().map(|seen| (seen.api, seen.version)).collect::<Vec<_>>(), [(ApiKey::SaslAuthenticate, 1)]);
    script.receive(&frame(ApiKey::SaslAuthenticate, asked[0].correlation_id, 1, authenticated));
}

#[test]
fn calls_wait_until_the_broker_knows_who_asks() {
    let mut script = asked_for_credentials();
    log_in(&mut script, &SaslAuthenticateResponse::default());
    assert!(matches!(script.events()[..], [SessionEvent::Ready(_)]));
    assert_eq!(script.written()[0].api, ApiKey::Heartbeat);
}

#[test]
fn a_refused_password_ends_the_connection_without_showing_it() {
    let mut script = asked_for_credentials();
    let error_message = Some(Str::from("Authentication failed: Invalid username or password"));
    log_in(&mut script, &SaslAuthenticateResponse { error_code: 58, error_message, ..Default::default() });
    let Some(CloseCause::Sasl(error)) = script.session.closed().cloned() else { panic!("it goes on") };
    assert!(error.is_permanent());
    assert!(error.to_string().contains("sasl.password"), "{error}");
    assert!(!format!("{error:?} {:?}", script.session).contains("secret"));
    assert_eq!(script.events(), [failed(1, CallFailure::NotSent(CloseCause::Sasl(error)))]);
}

#[test]
fn a_session_is_renewed_behind_open_requests_and_before_it_ends() {
    let mut script = asked_for_credentials();
    log_in(&mut script, &SaslAuthenticateResponse { session_lifetime_ms: 10_000, ..Default::default() });
    let open = script.written();
    script.events();
    script.advance(Duration::from_millis(8_999));
    assert_eq!(script.events(), []);
    script.advance(Duration::from_millis(1));
    assert_eq!(script.events(), [SessionEvent::NeedsCredentials]);
    script.call(2, HeartbeatRequest::default());
    assert!(script.written().is_empty(), "a call waits for the new session");
    script.receive(&heartbeat_answer(&open[0], 0));
    assert!(matches!(script.events()[..], [SessionEvent::Answered { tag: 1, .. }]));
    log_in(&mut script, &SaslAuthenticateResponse { session_lifetime_ms: 10_000, ..Default::default() });
    assert_eq!(script.events(), [], "the connection was ready all the time");
    let open = script.written();
    assert_eq!(open[0].api, ApiKey::Heartbeat);
    script.receive(&heartbeat_answer(&open[0], 0));
    // The next authentication is planned anew, and one that hangs ends with the session.
    script.advance(Duration::from_secs(9));
    script.advance(Duration::from_secs(1));
    assert_eq!(script.session.closed(), Some(&CloseCause::TimedOut(ApiKey::SaslAuthenticate)));
}

#[test]
fn a_request_that_waits_at_the_broker_outlasts_the_session() {
    let mut script = asked_for_credentials();
    log_in(&mut script, &SaslAuthenticateResponse { session_lifetime_ms: 10_000, ..Default::default() });
    let open = script.written();
    script.advance(Duration::from_secs(9));
    script.session.handle_credentials(Box::new(Plain::new("alice", "secret")));
    let behind = script.written();
    assert_eq!(behind[0].api, ApiKey::SaslHandshake);
    script.call(2, HeartbeatRequest::default());
    script.events();
    // It was sent with 30 s to wait. The broker reads what is behind it only then.
    script.advance(Duration::from_secs(15));
    assert_eq!(script.session.closed(), None);
    script.receive(&heartbeat_answer(&open[0], 0));
    assert!(matches!(script.events()[..], [SessionEvent::Answered { tag: 1, .. }]));
    let chosen = SaslHandshakeResponse { mechanisms: vec![Str::from("PLAIN")], ..Default::default() };
    script.receive(&frame(ApiKey::SaslHandshake, behind[0].correlation_id, 1, &chosen));
    let asked = script.written();
    script.receive(&frame(ApiKey::SaslAuthenticate, asked[0].correlation_id, 1, &SaslAuthenticateResponse::default()));
    assert_eq!(script.written()[0].api, ApiKey::Heartbeat);
}

#[test]
fn a_listener_that_hangs_up_on_the_first_request_may_be_one_for_sasl() {
    let mut script = Script::ready();
    script.call(1, MetadataRequest::default());
    script.written();
    script.session.handle_end_of_stream();
    let cause = CloseCause::HungUp(ApiKey::Metadata);
    assert!(cause.to_string().contains("security.protocol"), "{cause}");
    assert_eq!(script.events(), [failed(1, CallFailure::Unanswered(cause))]);
}
