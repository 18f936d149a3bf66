//! The broker as a whole: frames in, frames out.

use std::time::Duration;

use bytes::Bytes;
use kafka_wire::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_wire::protocol::header::{RequestHeader, ResponseHeader};
use kafka_wire::protocol::metadata::MetadataRequest;
use kafka_wire::protocol::produce::ProduceRequest;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message, Request};
use kafka_wire::time::Moment;
use kafka_wire::wire::{Reader, Str, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::fault::Action;

mod configs;
mod fetch_sessions;
mod frame_memory;
mod hostile;
mod records;
mod storage;
mod transactions;

/// A core in virtual time with the helpers of a client.
struct Script {
    core: Core,
    now: Moment,
    sent: i32,
}

impl Script {
    fn new(config: BrokerConfig) -> Self {
        Self { core: Core::new(config, "broker", 9092), now: Moment::ZERO, sent: 0 }
    }

    fn connect(&mut self) -> ConnectionId {
        self.core.connect("/test")
    }

    /// Sends a request; its answer has to be taken with [`Script::answer`].
    fn send<R: Request>(&mut self, connection: ConnectionId, version: i16, request: &R) {
        self.sent += 1;
        let frame = encode(version, self.sent, request);
        self.core.handle_frame(self.now, connection, frame);
    }

    /// The next output, which has to be an answer on this connection.
    fn answer<R: Request>(&mut self, connection: ConnectionId, version: i16) -> R::Response {
        let Some(CoreAction::Send { connection: to, frame }) = self.core.poll() else {
            panic!("no answer to {}", R::KEY);
        };
        assert_eq!(to, connection);
        decode::<R>(version, &frame)
    }

    fn context<R: Request>(&mut self, connection: ConnectionId, version: i16, request: &R) -> R::Response {
        self.send(connection, version, request);
        self.answer::<R>(connection, version)
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.core.handle_timeout(self.now);
    }

    fn is_closed(&mut self, connection: ConnectionId) -> bool {
        self.core.poll() == Some(CoreAction::Close { connection })
    }
}

fn encode<R: Request>(version: i16, correlation_id: i32, request: &R) -> Bytes {
    let mut writer = Writer::new();
    let header = RequestHeader {
        request_api_key: R::KEY.into(),
        request_api_version: version,
        correlation_id,
        client_id: Some(Str::from("script")),
        ..Default::default()
    };
    header.encode(&mut writer, R::KEY.request_header_version(version)).unwrap();
    request.encode(&mut writer, version).unwrap();
    writer.into_bytes()
}

fn decode<R: Request>(version: i16, frame: &[Bytes]) -> R::Response {
    let whole = Bytes::from(frame.concat()).slice(4..);
    let mut reader = Reader::new(&whole);
    ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version)).unwrap();
    let response = R::Response::decode(&mut reader, version).unwrap();
    reader.finish().unwrap();
    response
}

#[test]
fn every_version_of_every_api_is_answered_or_waits() {
    macro_rules! check {
        ($key:ident, $request:ty, $response:ty) => {
            for version in ApiKey::$key.versions().filter(|version| handlers::is_served(ApiKey::$key, *version)) {
                for refuse in [false, true] {
                    let mut script = Script::new(BrokerConfig::default());
                    if refuse {
                        let action = Action::Error(ErrorCode::UNKNOWN_SERVER_ERROR.0);
                        script.core.inject(Rule { api_key: ApiKey::$key.into(), nth: 1, action });
                    }
                    let connection = script.connect();
                    script.send(connection, version, &<$request>::default());
                    match script.core.poll() {
                        Some(CoreAction::Send { frame, .. }) => drop(decode::<$request>(version, &frame)),
                        // acks=0 is the default of a produce request.
                        None => assert_eq!(ApiKey::$key, ApiKey::Produce),
                        // Its default asks for the resource type 0, which Kafka takes for an invalid request.
                        Some(CoreAction::Close { .. }) if !refuse => assert_eq!(ApiKey::$key, ApiKey::DescribeAcls),
                        closed => panic!("{} v{version}: {closed:?}", ApiKey::$key),
                    }
                }
            }
        };
    }
    kafka_wire::for_each_api!(check);
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let mut script = Script::new(BrokerConfig::default());
    let connection = script.connect();
    let mut frame = encode(4, 7, &ApiVersionsRequest::default()).to_vec();
    frame[3] = 99;
    script.core.handle_frame(script.now, connection, Bytes::from(frame));
    let response: ApiVersionsResponse = script.answer::<ApiVersionsRequest>(connection, 0);
    assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
    let newest = *ApiKey::ApiVersions.versions().end();
    assert!(response.api_keys.iter().any(|key| key.api_key == 18 && key.max_version == newest));
}

#[test]
fn version_0_of_produce_is_named_and_not_served() {
    let mut script = Script::new(BrokerConfig::default());
    let connection = script.connect();
    for version in ApiKey::ApiVersions.versions() {
        let mut request = ApiVersionsRequest { client_software_name: Str::from("script"), ..Default::default() };
        request.client_software_version = Str::from("1");
        let named = script.context(connection, version, &request).api_keys;
        let produce = named.iter().find(|key| key.api_key == 0).unwrap();
        let newest = *ApiKey::Produce.versions().end();
        // Without a minimum of 0, librdkafka before 2.11.1 does not compress.
        assert_eq!((produce.min_version, produce.max_version), (0, newest), "version {version}");
    }
    let mut frame = encode(3, 1, &ProduceRequest::default()).to_vec();
    frame[3] = 0;
    script.core.handle_frame(script.now, connection, Bytes::from(frame));
    assert!(script.is_closed(connection));
}

#[test]
fn bytes_that_are_no_request_close_the_connection() {
    let good = encode(4, 1, &ApiVersionsRequest::default());
    for frame in [Bytes::new(), good.slice(..7), good.slice(..good.len() - 1), Bytes::from_static(&[0x7f; 64])] {
        let mut script = Script::new(BrokerConfig::default());
        let connection = script.connect();
        script.core.handle_frame(script.now, connection, frame);
        assert!(script.is_closed(connection));
    }
}

#[test]
fn bytes_behind_the_last_field_are_ignored_and_counted() {
    let mut script = Script::new(BrokerConfig::default());
    let connection = script.connect();
    for extra in [0, 1, 3, 70] {
        let request = encode(2, 1, &ApiVersionsRequest::default());
        let frame = [&request[..], &vec![1; extra]].concat();
        script.core.handle_frame(script.now, connection, Bytes::from(frame));
        assert_eq!(script.answer::<ApiVersionsRequest>(connection, 2).error_code, ErrorCode::NONE.0);
    }
    assert_eq!(script.core.state().ignored_bytes, 74);
}

#[test]
fn requests_beyond_the_limit_close_the_connection() {
    let drop_first = Rule { api_key: 18, nth: 1, action: Action::DropRequest };
    let config = BrokerConfig { queued_requests_max: 2, faults: vec![drop_first], ..BrokerConfig::default() };
    let mut script = Script::new(config);
    let connection = script.connect();
    for _ in 0..3 {
        script.send(connection, 0, &ApiVersionsRequest::default());
        assert_eq!(script.core.poll(), None);
    }
    script.send(connection, 0, &ApiVersionsRequest::default());
    assert!(script.is_closed(connection));
}

#[test]
fn a_delayed_request_keeps_the_order_of_its_connection() {
    let delay = Rule { api_key: 18, nth: 1, action: Action::Delay(Duration::from_millis(50)) };
    let mut script = Script::new(BrokerConfig { faults: vec![delay], ..BrokerConfig::default() });
    let connection = script.connect();
    script.send(connection, 0, &ApiVersionsRequest::default());
    script.send(connection, 1, &ApiVersionsRequest::default());
    assert_eq!(script.core.poll(), None);
    assert_eq!(script.core.next_timeout(), Some(Moment::from_millis(50)));
    script.pass(Duration::from_millis(50));
    script.answer::<ApiVersionsRequest>(connection, 0);
    script.answer::<ApiVersionsRequest>(connection, 1);
}

#[tokio::test]
async fn every_broker_is_a_cluster_of_its_own_unless_a_seed_says_which() {
    let mut ids = Vec::new();
    for seed in [None, None, Some(7), Some(7)] {
        let broker = Broker::start(BrokerConfig { seed, ..BrokerConfig::default() }).await.unwrap();
        ids.push(broker.inspect(|state| state.cluster_id.clone()));
    }
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[2] == ids[3], "{ids:?}");
}

#[tokio::test]
async fn clients_are_told_the_address_that_they_can_use() {
    let told = async |config: BrokerConfig| {
        let broker = Broker::start(config).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", broker.listens_on().port())).await.unwrap();
        let request = encode(12, 1, &MetadataRequest { topics: Some(Vec::new()), ..Default::default() });
        stream.write_all(&[&u32::try_from(request.len()).unwrap().to_be_bytes(), &request[..]].concat()).await.unwrap();
        let mut frame = vec![0; usize::try_from(stream.read_u32().await.unwrap()).unwrap()];
        stream.read_exact(&mut frame).await.unwrap();
        let frame = [&[0; 4][..], &frame].concat();
        let answer = decode::<MetadataRequest>(12, &[Bytes::from(frame)]).brokers.remove(0);
        let is_own_port = answer.port == i32::from(broker.listens_on().port());
        (answer.host.to_string(), is_own_port, broker.is_local(), broker.address())
    };
    let everywhere = BrokerConfig { host: "0.0.0.0".to_owned(), ..BrokerConfig::default() };
    let advertised = Some(("kafka.example".to_owned(), 7));
    let (host, is_own_port, is_local, _) = told(BrokerConfig::default()).await;
    assert_eq!((&*host, is_own_port, is_local), ("127.0.0.1", true, true));
    let (host, is_own_port, is_local, address) = told(everywhere.clone()).await;
    assert_eq!((&*host, is_own_port, is_local), ("127.0.0.1", true, false), "what the client has reached");
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let (host, is_own_port, is_local, address) = told(BrokerConfig { advertised, ..everywhere }).await;
    assert_eq!((&*host, is_own_port, is_local, &*address), ("kafka.example", false, false, "kafka.example:7"));
}

#[tokio::test]
async fn a_broker_on_its_own_thread_answers_over_tcp_and_frees_its_port() {
    let broker = Broker::start_on_thread(BrokerConfig::default()).unwrap();
    let address = broker.address();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = encode(0, 1, &ApiVersionsRequest::default());
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..6], [0, 0, 0, 1, 0, 0]);
    broker.shutdown().await;
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    TcpListener::bind(&address).await.unwrap();
}
