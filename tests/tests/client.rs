//! The client on real sockets: versions, metadata, administration, look-ups, and its errors for things that do
//! not exist.

use std::slice::from_ref;
use std::time::Duration;

use conformance::{TestBroker, client_config, eventually, kafka_version, on_both_brokers, on_every_broker, skip};
use kafka_wire::admin::{NewTopic, OffsetSpec, TopicError};
use kafka_wire::client::{CallOptions, Client, Lane, MetadataError, Node, RequestError};
use kafka_wire::cluster::{CoordinatorKind, TopicPartition};
use kafka_wire::protocol::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_wire::protocol::header::ResponseHeader;
use kafka_wire::protocol::metadata::MetadataRequest;
use kafka_wire::protocol::{ApiKey, ErrorCode, Message};
use kafka_wire::session::{BrokerVersions, FrameSplitter};
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use kafka_wire::wire::{Reader, Str};
use testkit::broker::{Broker, BrokerConfig};
use testkit::fault::{Action, Rule};
use testkit::proxy::Proxy;
use testkit::real::KafkaVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

on_every_broker!(the_finalized_transaction_version_is_known);

on_both_brokers!(
    every_api_of_the_broker_has_a_common_version,
    the_cluster_describes_itself,
    a_topic_lives_from_creation_to_deletion,
    topics_that_cannot_be_are_refused,
    an_empty_topic_begins_and_ends_at_offset_0,
    missing_topics_and_partitions_are_named,
    coordinators_are_found,
    many_requests_share_a_connection,
    old_versions_work_too,
    a_cut_connection_is_replaced,
    a_broker_that_is_silent_about_metadata_is_passed_over,
    a_version_from_the_future_is_refused_in_the_oldest_words,
    a_node_that_was_not_meant_says_so,
);

const WAIT: Duration = Duration::from_secs(30);

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(client_config(broker.bootstrap())).await.expect("the broker is there")
}

async fn the_finalized_transaction_version_is_known(broker: TestBroker) {
    let client = connect(&broker).await;
    // Before Kafka 4 there is no such feature.
    let has_feature = !broker.kind().is_kafka() || kafka_version().has_transaction_version();
    let level = has_feature.then_some(broker.kind().transaction_version());
    assert_eq!(client.feature("transaction.version"), level);
    assert_eq!(client.feature("no.such.feature"), None);
}

async fn every_api_of_the_broker_has_a_common_version(broker: TestBroker) {
    let client = connect(&broker).await;
    let id = client.cluster().brokers().next().expect("a cluster has a broker").id;
    let versions = client.api_versions(id).await.expect("the broker answers");
    let offered = ApiKey::ALL.iter().copied().filter(|api| versions.range(*api).is_some()).collect::<Vec<_>>();
    // Other versions are only for use among brokers and controllers.
    let is_latest = broker.kind().is_kafka() && kafka_version() == KafkaVersion::LATEST;
    assert!(offered.len() >= if is_latest { 70 } else { 25 }, "{offered:?}");
    for api in offered {
        let picked = versions.pick(api, None).unwrap_or_else(|error| panic!("{error}"));
        assert!(api.versions().contains(&picked), "{api} v{picked}");
        if is_latest {
            assert_eq!(picked, *api.versions().end(), "{api}: the newest stable version");
        }
    }
}

async fn the_cluster_describes_itself(broker: TestBroker) {
    let cluster = connect(&broker).await.cluster();
    assert!(cluster.cluster_id().is_some_and(|id| !id.is_empty()));
    let controller = cluster.controller().expect("a cluster has a controller");
    assert!(cluster.broker(controller).is_some());
    assert_eq!(cluster.topics().len(), 0, "nobody asked for one");
}

async fn a_topic_lives_from_creation_to_deletion(broker: TestBroker) {
    let client = connect(&broker).await;
    let name = Str::from(broker.unique("lives"));
    let topic = NewTopic::new(name.clone(), 3);
    let topic = NewTopic { replication_factor: 1, configs: vec![("cleanup.policy".into(), "compact".into())], ..topic };
    assert_eq!(client.create_topics(from_ref(&topic)).await, Ok(vec![(name.clone(), Ok(()))]));

    let described = client.topic(&name).await.expect("it was created");
    let ids: Vec<_> = described.partitions.iter().map(|partition| partition.id.0).collect();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!(client.cluster().topic_by_id(described.id).map(|topic| &topic.name), Some(&name));
    for partition in 0..3 {
        let (leader, epoch) = client.leader(&name, PartitionId(partition)).await.expect("it is led");
        assert!(client.cluster().broker(leader).is_some());
        assert!(epoch.0 >= 0);
    }

    let again = client.create_topics(from_ref(&topic)).await.expect("the broker answers");
    assert_eq!(code(&again[0].1), ErrorCode::TOPIC_ALREADY_EXISTS);
    assert_eq!(client.delete_topics(from_ref(&name)).await, Ok(vec![(name.clone(), Ok(()))]));
    let gone = eventually("the end of the topic", Duration::from_secs(20), || async {
        let cluster = client.metadata(from_ref(&name)).await.expect("the broker answers");
        let error = cluster.topic(&name).expect("it was asked for").error;
        (!error.is_none()).then_some(error)
    });
    assert_eq!(gone.await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let missing = client.delete_topics(from_ref(&name)).await.expect("the broker answers");
    assert_eq!(code(&missing[0].1), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);

    // Deleting and creating it again makes another topic.
    assert_eq!(client.create_topics(&[topic]).await, Ok(vec![(name.clone(), Ok(()))]));
    let anew = client.topic(&name).await.expect("it was created");
    assert_ne!(anew.id, described.id);
}

fn code(outcome: &Result<(), TopicError>) -> ErrorCode {
    outcome.as_ref().err().map_or(ErrorCode::NONE, |error| error.code)
}

async fn topics_that_cannot_be_are_refused(broker: TestBroker) {
    let client = connect(&broker).await;
    let good = broker.unique("good");
    let topics = [
        NewTopic::new("not a name", 1),
        NewTopic::new(good.as_str(), 1),
        NewTopic::new(broker.unique("none"), 0),
        NewTopic { replication_factor: 99, ..NewTopic::new(broker.unique("copies"), 1) },
        NewTopic { configs: vec![("no.such.config".into(), "1".into())], ..NewTopic::new(broker.unique("config"), 1) },
    ];
    let outcomes = client.create_topics(&topics).await.expect("the broker answers");
    let codes: Vec<_> = outcomes.iter().map(|(_, outcome)| code(outcome)).collect();
    let expected = [
        ErrorCode::INVALID_TOPIC_EXCEPTION,
        ErrorCode::NONE,
        ErrorCode::INVALID_PARTITIONS,
        ErrorCode::INVALID_REPLICATION_FACTOR,
        ErrorCode::INVALID_CONFIG,
    ];
    assert_eq!(codes, expected);
    assert!(outcomes.iter().zip(&topics).all(|((name, _), topic)| *name == topic.name), "in the order of the question");
}

async fn an_empty_topic_begins_and_ends_at_offset_0(broker: TestBroker) {
    let client = connect(&broker).await;
    let name = broker.unique("empty");
    client.create_topics(&[NewTopic::new(name.as_str(), 2)]).await.expect("the broker answers");
    client.topic(&name).await.expect("it was created");
    let partition = |id| TopicPartition::new(name.as_str(), PartitionId(id));
    let asked = [
        (partition(1), OffsetSpec::Latest),
        (partition(0), OffsetSpec::Earliest),
        (partition(1), OffsetSpec::Earliest),
        (partition(0), OffsetSpec::Timestamp(0.into())),
    ];
    for isolation in [IsolationLevel::ReadUncommitted, IsolationLevel::ReadCommitted] {
        let listed = client.list_offsets(&asked, isolation).await.expect("the leader answers");
        let offsets: Vec<_> = listed.iter().map(|listed| (listed.partition.partition.0, listed.offset)).collect();
        let zero = Some(Offset(0));
        assert_eq!(offsets, [(1, zero), (0, zero), (1, zero), (0, None)]);
    }
    assert_eq!(client.delete_records(&[(partition(0), Offset(-1))]).await, Ok(vec![Offset(0)]));
    let beyond = client.delete_records(&[(partition(0), Offset(5))]).await;
    let code = ErrorCode::OFFSET_OUT_OF_RANGE;
    assert_eq!(beyond, Err(MetadataError::Partition { partition: partition(0), code }));
}

async fn missing_topics_and_partitions_are_named(broker: TestBroker) {
    let mut config = client_config(broker.bootstrap());
    config.missing_topic_timeout = Duration::from_millis(300);
    let client = Client::connect(config).await.expect("the broker is there");
    let name = broker.unique("missing");
    let error = client.leader(&name, PartitionId(0)).await.expect_err("nobody created it");
    assert_eq!(error, MetadataError::UnknownTopic(Str::from(name.as_str())));
    let text = error.to_string();
    assert!(text.contains(&name) && text.contains("--create"), "{text}");

    // One that waits for longer until the topic is known.
    let client = connect(&broker).await;
    client.create_topics(&[NewTopic::new(name.as_str(), 1)]).await.expect("the broker answers");
    client.topic(&name).await.expect("it was created");
    let error = client.leader(&name, PartitionId(1)).await.expect_err("it has one partition");
    assert!(matches!(error, MetadataError::UnknownPartition { count: 1, .. }), "{error}");
    let outside = (TopicPartition::new(name, PartitionId(1)), OffsetSpec::Latest);
    let error = client.list_offsets(&[outside], IsolationLevel::ReadUncommitted).await.expect_err("as above");
    assert!(matches!(error, MetadataError::UnknownPartition { count: 1, .. }), "{error}");
}

async fn coordinators_are_found(broker: TestBroker) {
    let client = connect(&broker).await;
    for kind in [CoordinatorKind::Group, CoordinatorKind::Transaction] {
        let key = broker.unique("key");
        let id = client.coordinator(kind, &key).await.expect("there is one");
        assert!(client.cluster().broker(id).is_some());
        client.forget_coordinator(kind, &key);
        assert_eq!(client.coordinator(kind, &key).await, Ok(id));
    }
}

fn no_topics() -> MetadataRequest {
    MetadataRequest { topics: Some(Vec::new()), allow_auto_topic_creation: false, ..MetadataRequest::default() }
}

async fn many_requests_share_a_connection(broker: TestBroker) {
    let client = connect(&broker).await;
    let id = client.cluster().brokers().next().expect("a cluster has a broker").id;
    let start = |_| client.start(Node::Broker(id), Lane::General, no_topics(), CallOptions::default());
    let replies: Vec<_> = (0..500).map(start).collect();
    // Every third future is dropped; the others still get their answers.
    for (index, reply) in replies.into_iter().enumerate() {
        if index % 3 != 0 {
            let answered = reply.await.expect("the broker answers");
            assert_eq!(answered.version, 13);
            assert_eq!(answered.response.brokers.len(), client.cluster().brokers().len());
        }
    }
}

async fn old_versions_work_too(broker: TestBroker) {
    let client = connect(&broker).await;
    for version in 4..=*ApiKey::Metadata.versions().end() {
        let options = CallOptions { max_version: Some(version), ..CallOptions::default() };
        let answer = client.request_versioned(Node::Any, Lane::General, no_topics(), options).await;
        let (response, used) = answer.expect("the broker answers");
        assert_eq!((used, response.brokers.is_empty()), (version, false));
    }
}

/// KIP-1242: a client that has reached the wrong node is told so before its first other request.
async fn a_node_that_was_not_meant_says_so(broker: TestBroker) {
    if broker.kind().is_kafka() && kafka_version() < KafkaVersion::new(4, 4, 0) {
        return;
    }
    let client = connect(&broker).await;
    let cluster = client.cluster().cluster_id().cloned();
    let node = client.cluster().brokers().next().expect("a cluster has a broker").id.0;
    let ask = async |cluster_id: Option<Str>, node_id| {
        let (client_software_name, client_software_version) = ("test".into(), "1".into());
        let request = ApiVersionsRequest {
            client_software_name,
            client_software_version,
            cluster_id,
            node_id,
            ..Default::default()
        };
        let answer = client.request(Node::Any, Lane::General, request, CallOptions::default()).await;
        let response = answer.expect("the broker answers");
        (ErrorCode(response.error_code), response.api_keys.is_empty())
    };
    assert_eq!(ask(cluster.clone(), node).await, (ErrorCode::NONE, false));
    assert_eq!(ask(None, -1).await, (ErrorCode::NONE, false), "no check");
    assert_eq!(ask(cluster.clone(), node + 1).await, (ErrorCode::REBOOTSTRAP_REQUIRED, true));
    assert_eq!(ask(Some("another".into()), node).await, (ErrorCode::REBOOTSTRAP_REQUIRED, true));
    assert_eq!(ask(None, node).await, (ErrorCode::INVALID_REQUEST, true), "a node of no cluster");
    assert_eq!(ask(cluster, -1).await, (ErrorCode::INVALID_REQUEST, true), "a cluster without a node");
}

/// A proxy to the broker whose connections can be cut. The broker does not know of it, so the client must
/// not follow metadata.
struct Wire {
    address: String,
    pump: JoinHandle<()>,
}

impl Wire {
    async fn to(broker: &TestBroker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let target = broker.bootstrap().to_owned();
        let pump = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.expect("the client connects");
            let mut far = TcpStream::connect(target).await.expect("the broker listens");
            // The end of either side ends both.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
        Self { address, pump }
    }
}

async fn a_cut_connection_is_replaced(broker: TestBroker) {
    let wire = Wire::to(&broker).await;
    let servers = format!("{},{}", wire.address, broker.bootstrap());
    let client = Client::connect(client_config(&servers)).await.expect("there is a way to the broker");
    wire.pump.abort();
    for _ in 0..3 {
        client.metadata(&[]).await.expect("there is another way");
    }
}

/// The answer is lost for good, while the connection stays open. The broker has two addresses here, which count as two
/// brokers.
async fn a_broker_that_is_silent_about_metadata_is_passed_over(broker: TestBroker) {
    let Some(port) = broker.bootstrap().strip_prefix("127.0.0.1:") else {
        return skip("a_broker_that_is_silent_about_metadata_is_passed_over", "the broker has one name only");
    };
    let servers = format!("127.0.0.1:{port},localhost:{port}");
    let proxy = Proxy::default();
    let client = Client::connect_with(client_config(&servers), proxy.connector()).await.expect("it listens");
    let topic = broker.unique("t");
    client.create_topics(&[NewTopic::new(topic.as_str(), 1)]).await.expect("the broker answers");
    for api in [ApiKey::Metadata, ApiKey::FindCoordinator] {
        proxy.inject(Rule { api_key: api.into(), nth: 1, action: Action::DropRequest });
    }
    let start = Instant::now();
    client.leader(&topic, PartitionId(0)).await.expect("the other address answers");
    client.coordinator(CoordinatorKind::Group, &topic).await.expect("the other address answers");
    // A request has 30 s.
    assert!(start.elapsed() < Duration::from_secs(25), "took {:?}", start.elapsed());
}

/// The basis of the client's fallback: the refusal has the header and the body of v0, and lists ApiVersions (KIP-511).
async fn a_version_from_the_future_is_refused_in_the_oldest_words(broker: TestBroker) {
    let mut stream = TcpStream::connect(broker.bootstrap()).await.expect("the broker listens");
    // Length 11; ApiVersions (18) version 99; correlation id 7; no client id; no tags.
    let request = [0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0];
    stream.write_all(&request).await.expect("the broker reads");
    let mut splitter = FrameSplitter::new(1024);
    let frame = loop {
        let count = stream.read_buf(splitter.buffer()).await.expect("the broker answers");
        assert!(count > 0, "the broker closed the connection");
        if let Some(frame) = splitter.next_frame().expect("it is a frame") {
            break frame;
        }
    };
    let mut reader = Reader::new(&frame);
    let header = ResponseHeader::decode(&mut reader, 0).expect("a header of v0");
    let refusal = ApiVersionsResponse::decode(&mut reader, 0).expect("a body of v0");
    assert_eq!((header.correlation_id, reader.left()), (7, 0));
    assert_eq!(ErrorCode(refusal.error_code), ErrorCode::UNSUPPORTED_VERSION);
    let listed = BrokerVersions::from_response(&refusal).range(ApiKey::ApiVersions);
    if !broker.kind().is_kafka() || kafka_version() == KafkaVersion::LATEST {
        assert_eq!(listed, Some(ApiKey::ApiVersions.versions()));
    }
}

#[tokio::test]
async fn a_broker_that_restarts_on_its_address_is_found_again() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("there is a free port");
    let address = broker.address();
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("the address has a port");
    let client = Client::connect(client_config(&address)).await.expect("the broker is there");
    let id = client.cluster().brokers().next().expect("a cluster has a broker").id;
    let ask = || client.request(Node::Broker(id), Lane::Produce, no_topics(), CallOptions::default());
    ask().await.expect("the broker answers");

    drop(broker);
    let error = eventually("the loss of the connection", WAIT, || async { ask().await.err() }).await;
    assert!(matches!(error, RequestError::NotSent { .. } | RequestError::Unanswered { .. }), "{error:?}");
    let restart = || async { Broker::start(BrokerConfig { port, ..BrokerConfig::default() }).await.ok() };
    let _again = eventually("the port", WAIT, restart).await;
    eventually("an answer", WAIT, || async { ask().await.ok() }).await;
}
