//! Clients on scripted brokers, over in-memory streams and in virtual time.

mod admin;
mod limits;
mod moves;
mod silence;
#[cfg(feature = "oauth")]
mod tokens;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::cluster::CoordinatorKind;
use crate::protocol::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::protocol::find_coordinator::{Coordinator, FindCoordinatorResponse};
use crate::protocol::header::{RequestHeader, ResponseHeader};
use crate::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::protocol::{ApiKey, ErrorCode, Message};
use crate::session::{CloseCause, FrameSplitter, Peer};
use crate::types::PartitionId;
use crate::wire::{Reader, Str, Uuid, Writer};

/// The reaction of a scripted broker to a request.
enum Act {
    Answer(Vec<u8>),
    /// No answer.
    Hold,
    /// The connection is closed.
    Close,
}

/// Decides about the requests of one connection: API, version, number of the request on this connection, body.
type Script = Arc<dyn Fn(ApiKey, i16, usize, Reader<'_>) -> Act + Send + Sync>;

/// The behaviour of an address that is dialled.
#[derive(Clone)]
enum Host {
    Broker(Script),
    /// The peer sends these bytes and closes.
    Bytes(&'static [u8]),
    /// The peer accepts and never answers.
    Silent,
    Fails(DialError),
    /// The peer never accepts.
    Dropped,
}

/// The network: hosts by name.
#[derive(Clone, Default)]
struct Network {
    hosts: Arc<Mutex<BTreeMap<String, Host>>>,
    dials: Arc<AtomicUsize>,
}

impl Network {
    fn with(self, name: &str, host: Host) -> Self {
        self.set(name, host);
        self
    }

    fn set(&self, name: &str, host: Host) {
        self.hosts.lock().unwrap().insert(name.to_owned(), host);
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }

    async fn client(&self, servers: &str) -> Result<Client, ConnectError> {
        let config = ClientConfig { seed: 1, ..ClientConfig::new(servers) };
        Client::connect_with(config, Arc::new(self.clone())).await
    }
}

impl Connector for Network {
    fn connect(&self, host: Str, _port: u16) -> BoxFuture<Result<Box<dyn Transport>, DialError>> {
        self.dials.fetch_add(1, Ordering::Relaxed);
        let host = self.hosts.lock().unwrap().get(&*host).cloned();
        Box::pin(async move {
            let (ours, mut theirs) = duplex(64 * 1024);
            match host {
                None => return Err(DialError::Connect(ErrorKind::ConnectionRefused)),
                Some(Host::Fails(error)) => return Err(error),
                Some(Host::Dropped) => std::future::pending().await,
                Some(Host::Broker(script)) => drop(tokio::spawn(serve(theirs, script))),
                Some(Host::Bytes(bytes)) => drop(tokio::spawn(async move {
                    let mut request = [0; 1024];
                    let _ = theirs.read(&mut request).await;
                    let _ = theirs.write_all(bytes).await;
                })),
                Some(Host::Silent) => drop(tokio::spawn(async move {
                    let _stream = theirs;
                    std::future::pending::<()>().await;
                })),
            }
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

async fn serve(mut stream: DuplexStream, script: Script) {
    let mut splitter = FrameSplitter::new(1 << 20);
    let mut index = 0;
    while matches!(stream.read_buf(splitter.buffer()).await, Ok(1..)) {
        while let Some(frame) = splitter.next_frame().unwrap() {
            let mut body = Reader::new(&frame);
            let mut peek = body.clone();
            let (key, version) = (peek.i16("key").unwrap(), peek.i16("version").unwrap());
            let api = ApiKey::from_i16(key).unwrap();
            let header = RequestHeader::decode(&mut body, api.request_header_version(version)).unwrap();
            let act = script(api, version, index, body);
            index += 1;
            match act {
                Act::Answer(answer) => {
                    let mut writer = Writer::new();
                    let head = ResponseHeader { correlation_id: header.correlation_id };
                    head.encode(&mut writer, api.response_header_version(version)).unwrap();
                    let head = writer.into_bytes();
                    let size = i32::try_from(head.len() + answer.len()).unwrap();
                    stream.write_all(&[&size.to_be_bytes(), &head[..], &answer].concat()).await.unwrap();
                }
                Act::Hold => {}
                Act::Close => return,
            }
        }
    }
}

fn answer(message: &impl Message, version: i16) -> Act {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    Act::Answer(writer.into_bytes().to_vec())
}

fn versions(version: i16) -> Act {
    versions_with(&[], version)
}

/// The versions of the APIs of every scripted broker, and of these.
fn versions_with(more: &[ApiKey], version: i16) -> Act {
    let apis = [
        ApiKey::Metadata,
        ApiKey::Heartbeat,
        ApiKey::ApiVersions,
        ApiKey::FindCoordinator,
        ApiKey::CreateTopics,
        ApiKey::ListOffsets,
        ApiKey::Fetch,
    ];
    let range = |api: ApiKey| ApiVersion { api_key: api.into(), min_version: 0, max_version: *api.versions().end() };
    let api_keys = apis.iter().chain(more).copied().map(range).collect();
    answer(&ApiVersionsResponse { api_keys, ..Default::default() }, version)
}

fn metadata(hosts: &[&str], version: i16) -> Act {
    answer(&described(hosts), version)
}

/// Metadata of brokers with ids from 1, each on the named host; topic `t` has two partitions, one led by broker 1 and
/// one without a leader.
fn described(hosts: &[&str]) -> MetadataResponse {
    let broker = |(host, node_id): (&&str, i32)| MetadataResponseBroker {
        node_id,
        host: Str::from(*host),
        port: 9092,
        ..Default::default()
    };
    let partition = |(partition_index, leader_id)| MetadataResponsePartition {
        partition_index,
        leader_id,
        leader_epoch: 7,
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some(Str::from("t")),
        topic_id: Uuid([9; 16]),
        partitions: [(0, 1), (1, -1)].map(partition).to_vec(),
        ..Default::default()
    };
    MetadataResponse {
        brokers: hosts.iter().zip(1..).map(broker).collect(),
        controller_id: 1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// A broker that answers versions and metadata, and leaves other requests to `rest`.
fn broker(
    hosts: &'static [&'static str],
    rest: impl Fn(ApiKey, i16, usize, Reader<'_>) -> Act + Send + Sync + 'static,
) -> Host {
    Host::Broker(Arc::new(move |api, version, index, body| match api {
        ApiKey::ApiVersions => versions(version),
        ApiKey::Metadata => metadata(hosts, version),
        _ => rest(api, version, index, body),
    }))
}

fn plain(hosts: &'static [&'static str]) -> Host {
    broker(hosts, |_, version, _, _| answer(&HeartbeatResponse::default(), version))
}

async fn heartbeat(client: &Client, group: &str) -> Result<HeartbeatResponse, RequestError> {
    let request = HeartbeatRequest { group_id: Str::from(group), ..Default::default() };
    client.request(Node::Broker(BrokerId(1)), Lane::Produce, request, CallOptions::default()).await
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_bootstrap_and_broker_alike() {
    let network = Network::default().with("a", plain(&["a"]));
    let client = network.client("a:9092").await.unwrap();
    client.metadata(&[]).await.unwrap();
    assert_eq!(network.dials(), 1);
    heartbeat(&client, "g").await.unwrap();
    assert_eq!(network.dials(), 2, "another lane is another connection");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_answer_does_not_shift_the_others() {
    // The answers have an error code that identifies the request.
    let echo = broker(&["a"], |_, version, _, mut body| {
        let request = HeartbeatRequest::decode(&mut body, version).unwrap();
        let error_code = request.group_id.parse().unwrap();
        answer(&HeartbeatResponse { error_code, ..Default::default() }, version)
    });
    let client = Network::default().with("a", echo).client("a:9092").await.unwrap();
    let start = |group: &str| {
        let request = HeartbeatRequest { group_id: Str::from(group), ..Default::default() };
        client.start(Node::Broker(BrokerId(1)), Lane::Produce, request, CallOptions::default())
    };
    let replies: Vec<_> = ["1", "2", "3"].map(start).into_iter().collect();
    for (index, reply) in replies.into_iter().enumerate() {
        if index != 1 {
            assert_eq!(usize::try_from(reply.await.unwrap().response.error_code), Ok(index + 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_leave_in_the_order_in_which_they_were_started() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let host = broker(&["a"], move |_, version, _, mut body| {
        log.lock().unwrap().push(HeartbeatRequest::decode(&mut body, version).unwrap().generation_id);
        answer(&HeartbeatResponse::default(), version)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let start = |generation_id| {
        let request = HeartbeatRequest { generation_id, ..Default::default() };
        client.start(Node::Broker(BrokerId(1)), Lane::Produce, request, CallOptions::default())
    };
    let mut replies: Vec<_> = (0..100).map(start).collect();
    while let Some(reply) = replies.pop() {
        reply.await.unwrap();
    }
    assert!(seen.lock().unwrap().iter().copied().eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_leaves_requests_unanswered_and_is_replaced() {
    let failures = AtomicUsize::new(1);
    let host = broker(&["a"], move |_, version, _, _| {
        let is_first = failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_first { Act::Close } else { answer(&HeartbeatResponse::default(), version) }
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let error = heartbeat(&client, "g").await.unwrap_err();
    assert!(error.is_possibly_written());
    let cause = CloseCause::HungUp(ApiKey::Heartbeat);
    assert!(matches!(error, RequestError::Unanswered { cause: found, .. } if found == cause));
    heartbeat(&client, "g").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_tried_again_after_a_pause() {
    let network = Network::default().with("a", plain(&["a"]));
    let client = network.client("a:9092").await.unwrap();
    heartbeat(&client, "g").await.unwrap();
    // The host goes away: the open connection is cut because its script is gone.
    network.set("a", Host::Fails(DialError::Connect(ErrorKind::ConnectionRefused)));
    let request = HeartbeatRequest::default();
    let lane = Lane::Transaction;
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let before = client.now();
        let reply = client.request(Node::Broker(BrokerId(1)), lane, request.clone(), CallOptions::default()).await;
        assert!(matches!(reply, Err(RequestError::NotSent { cause: NotSentCause::Connect(_), .. })), "{reply:?}");
        pauses.push(client.now().since(before));
    }
    assert!(pauses[0] < pauses[1] && pauses[1] < pauses[2], "{pauses:?}");
    network.set("a", plain(&["a"]));
    client.request(Node::Broker(BrokerId(1)), lane, request, CallOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_ends_its_connection() {
    let client = Network::default().with("a", broker(&["a"], |_, _, _, _| Act::Hold)).client("a:9092").await.unwrap();
    let before = client.now();
    let (first, second) = tokio::join!(heartbeat(&client, "1"), async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        heartbeat(&client, "2").await
    });
    assert_eq!(client.now().since(before).as_secs(), 30);
    for result in [first, second] {
        let cause = CloseCause::TimedOut(ApiKey::Heartbeat);
        assert!(matches!(result, Err(RequestError::Unanswered { cause: found, .. }) if found == cause));
    }
}

#[tokio::test(start_paused = true)]
async fn another_broker_answers_when_one_is_away() {
    let network = Network::default().with("a", plain(&["a", "b"])).with("b", plain(&["a", "b"]));
    let client = network.client("a:9092").await.unwrap();
    for host in ["a", "b"] {
        network.set(host, Host::Fails(DialError::Connect(ErrorKind::ConnectionRefused)));
        let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
        client.request(Node::Any, Lane::Own(9), request, CallOptions::default()).await.unwrap_or_else(|error| {
            assert_eq!(host, "b", "one is left: {error}");
            MetadataResponse::default()
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_bootstrap_servers_help_when_every_known_broker_is_gone() {
    let network = Network::default().with("seed", plain(&["old"])).with("old", plain(&["old"]));
    let client = network.client("seed:9092").await.unwrap();
    network.set("old", Host::Fails(DialError::Connect(ErrorKind::ConnectionRefused)));
    network.set("new", plain(&["new"]));
    network.set("seed", plain(&["new"]));
    // The open connection to the old broker would still work; a fetch needs another one.
    let request = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    client.request(Node::Any, Lane::Own(9), request, CallOptions::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_broker_is_asked_for_once() {
    let client = Network::default().with("a", plain(&["a"])).client("a:9092").await.unwrap();
    let request = HeartbeatRequest::default();
    let reply = client.request(Node::Broker(BrokerId(5)), Lane::Produce, request, CallOptions::default()).await;
    assert_eq!(reply, Err(RequestError::NotSent { to: None, cause: NotSentCause::UnknownBroker(BrokerId(5)) }));
}

#[tokio::test(start_paused = true)]
async fn a_throttling_broker_gets_no_request_for_a_while() {
    let host = broker(&["a"], |_, version, _, _| {
        answer(&HeartbeatResponse { throttle_time_ms: 700, ..Default::default() }, version)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    heartbeat(&client, "g").await.unwrap();
    let before = client.now();
    heartbeat(&client, "g").await.unwrap();
    assert_eq!(client.now().since(before).as_millis(), 700);
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_the_last_field_of_an_answer_are_ignored_and_counted() {
    let host = broker(&["a"], |_, version, _, _| {
        let Act::Answer(mut body) = answer(&HeartbeatResponse { error_code: 27, ..Default::default() }, version) else {
            unreachable!("it answers");
        };
        body.extend([1, 0, 0]);
        Act::Answer(body)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    for asked in 1..=2 {
        assert_eq!(heartbeat(&client, "g").await.unwrap().error_code, 27);
        assert_eq!(client.ignored_bytes(), 3 * asked);
    }
}

#[tokio::test(start_paused = true)]
async fn leaders_are_remembered_until_they_are_doubted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let script: Script = Arc::new(move |api, version, _, _| {
        count.fetch_add(usize::from(api == ApiKey::Metadata), Ordering::Relaxed);
        if api == ApiKey::Metadata { metadata(&["a"], version) } else { versions(version) }
    });
    let client = Network::default().with("a", Host::Broker(script)).client("a:9092").await.unwrap();
    let ask = async || client.leader("t", PartitionId(0)).await.unwrap();
    let (first, second, third) = tokio::join!(ask(), ask(), ask());
    assert!(first == (BrokerId(1), 7.into()) && first == second && second == third);
    assert_eq!(asked.load(Ordering::Relaxed), 2, "bootstrap, and one for all three");
    client.invalidate("t");
    ask().await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_leader_is_an_error_in_the_end() {
    let client = Network::default().with("a", plain(&["a"])).client("a:9092").await.unwrap();
    let before = client.now();
    let error = client.leader("t", PartitionId(1)).await.unwrap_err();
    assert!(matches!(error, MetadataError::NoLeader { .. }), "{error:?}");
    assert!(client.now().since(before) >= Duration::from_secs(30));
    let error = client.leader("t", PartitionId(9)).await.unwrap_err();
    assert!(matches!(error, MetadataError::UnknownPartition { count: 2, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_is_waited_for_and_remembered() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let host = broker(&["a"], move |_, version, _, _| {
        let error_code = if count.fetch_add(1, Ordering::Relaxed) < 2 { 15 } else { 0 };
        let found = Coordinator { node_id: 4, host: Str::from("d"), port: 9092, error_code, ..Default::default() };
        answer(&FindCoordinatorResponse { coordinators: vec![found], ..Default::default() }, version)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.coordinator(CoordinatorKind::Group, "g").await, Ok(BrokerId(4)));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(client.cluster().broker(BrokerId(4)).is_some(), "its address came with the answer");
    client.forget_coordinator(CoordinatorKind::Group, "g");
    client.coordinator(CoordinatorKind::Group, "g").await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refused_coordinator_is_an_error_at_once() {
    let host = broker(&["a"], |_, version, _, _| {
        let refused = Coordinator { error_code: ErrorCode::GROUP_AUTHORIZATION_FAILED.0, ..Default::default() };
        answer(&FindCoordinatorResponse { coordinators: vec![refused], ..Default::default() }, version)
    });
    let client = Network::default().with("a", host).client("a:9092").await.unwrap();
    let error = client.coordinator(CoordinatorKind::Group, "g").await.unwrap_err();
    assert!(matches!(error, CoordinatorError::Refused { code: ErrorCode::GROUP_AUTHORIZATION_FAILED, .. }));
}

/// Connects and expects to fail; returns the error and the time until then.
async fn in_vain(network: Network, servers: &str) -> (ConnectError, Duration) {
    let start = tokio::time::Instant::now();
    let error = network.client(servers).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    (error, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn every_way_of_not_being_there_is_named() {
    let refused = DialError::Connect(ErrorKind::ConnectionRefused);
    let unresolved = DialError::Resolve { reason: "no such name".to_owned() };
    let cases = [
        (Host::Fails(refused), "connection refused. Check that a broker runs there"),
        (Host::Fails(unresolved), "does not resolve (no such name). Check the spelling"),
        (Host::Dropped, "timed out while connecting. Check the address"),
        (Host::Silent, "ApiVersions was not answered in time. Something listens there"),
        (Host::Bytes(b"HTTP/1.1 400 Bad Request"), "an HTTP server"),
        (Host::Bytes(&[0x15, 3, 3, 0, 2]), "speaks TLS"),
        (Host::Bytes(b""), "closed the connection without an answer to ApiVersions: a listener for TLS or SASL"),
    ];
    for (host, expected) in cases {
        let (error, _) = in_vain(Network::default().with("a", host), "a:9092").await;
        let text = error.to_string();
        assert!(text.contains("a:9092") && text.contains(expected), "{text}");
    }
    let (error, _) = in_vain(Network::default().with("a", Host::Dropped), "a:1,b:2,a:3").await;
    let ConnectError::Unreachable { attempts } = &error else { panic!("{error:?}") };
    assert_eq!(attempts.len(), 3, "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_advertised_name_that_does_not_resolve_is_named_with_its_broker() {
    let unresolved = Host::Fails(DialError::Resolve { reason: "no such name".to_owned() });
    let network = Network::default().with("a", plain(&["kafka.internal"])).with("kafka.internal", unresolved);
    let (error, _) = in_vain(network, "a:9092").await;
    let text = error.to_string();
    for expected in ["broker 1 at kafka.internal:9092", "does not resolve", "said by a:9092", "advertised.listeners"] {
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_resets_on_new_versions_is_asked_in_the_oldest_way() {
    let script: Script = Arc::new(|api, version, _, _| match (api, version) {
        (ApiKey::ApiVersions, 1..) => Act::Close,
        (ApiKey::ApiVersions, _) => versions(version),
        _ => metadata(&["a"], version),
    });
    let network = Network::default().with("a", Host::Broker(script));
    network.client("a:9092").await.unwrap();
    assert_eq!(network.dials(), 2);
    let (error, _) = in_vain(Network::default().with("a", Host::Bytes(b"SSH-2.0")), "a:9092").await;
    assert!(error.to_string().contains("SSH-"), "{error}");
    let ConnectError::Unreachable { attempts } = error else { panic!() };
    let cause = NotSentCause::Connect(ConnectFailure::Negotiation(CloseCause::NotKafka(Peer::Text(*b"SSH-"))));
    assert!(matches!(&attempts[..], [RequestError::NotSent { cause: found, .. }] if *found == cause));
}

/// The connection may fail on another thread before the one that asks for it has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fails_at_once_is_not_taken_for_the_end_of_the_runtime() {
    let refused = DialError::Connect(ErrorKind::ConnectionRefused);
    for _ in 0..3_000 {
        let network = Network::default().with("a", Host::Fails(refused.clone()));
        let ConnectError::Unreachable { attempts } = network.client("a:9092").await.unwrap_err() else { panic!() };
        assert!(attempts.iter().all(RequestError::is_retriable), "{attempts:?}");
    }
}

#[test]
fn a_request_on_a_runtime_that_is_gone_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let network = Network::default().with("a", plain(&["a"]));
    let client = runtime.block_on(network.client("a:9092")).unwrap();
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = other.block_on(heartbeat(&client, "g")).unwrap_err();
    assert!(matches!(error, RequestError::NotSent { cause: NotSentCause::ShutDown, .. }), "{error:?}");
}
