//! A cluster of three nodes of Apache Kafka: replicas near a reader, and leaders that move under readers and writers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance::reader::{create_topic, read_to_end, until_stable};
use conformance::writer::{Transactions, write};
use conformance::{client_config, eventually, skip, within};
use kafka_wire::client::{CallOptions, Client, Consumer, Lane, Node, Producer, fetch_offsets};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumeError, ConsumerConfig};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use kafka_wire::protocol::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use kafka_wire::protocol::create_topics::{CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest};
use kafka_wire::protocol::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use kafka_wire::protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use kafka_wire::protocol::{ErrorCode, Request};
use kafka_wire::types::{BrokerId, IsolationLevel, Offset, PartitionId};
use kafka_wire::wire::Str;
use processor::{App, Config, Raw, Topology, Utf8};
use testkit::broker::{Broker, BrokerConfig};
use testkit::real::{RealCluster, RealConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_follow_racks_and_leaders() {
    let cluster = match RealCluster::start(3, RealConfig::default()).await {
        Ok(cluster) => cluster,
        Err(unavailable) => return skip("a cluster of three nodes", &unavailable.to_string()),
    };
    let client = Client::connect(client_config(&cluster.bootstrap())).await.expect("the nodes listen");
    a_consumer_reads_from_the_replica_in_its_rack(&client).await;
    a_leader_that_moves_is_followed_by_what_the_old_one_says(&client).await;
    a_job_reads_near_and_goes_on_behind_a_marker_of_a_later_leader(&cluster, &client).await;
}

async fn ask<R: Request>(client: &Client, node: Node, request: R) -> R::Response {
    client.request(node, Lane::General, request, CallOptions::default()).await.expect("the broker answers")
}

/// A new topic with one partition on all nodes, which node 1 leads.
async fn new_partition(client: &Client, name: &str) -> TopicPartition {
    let assignment = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1, 2, 3], ..Default::default() };
    let topic = CreatableTopic {
        name: Str::from(name),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment],
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
    let response = ask(client, Node::Any, request).await;
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    let partition = TopicPartition::new(name, PartitionId(0));
    assert_eq!(client.leader(name, PartitionId(0)).await.expect("it has a leader").0, BrokerId(1));
    partition
}

/// Polls until the position is `end`; returns the number of records.
async fn read_until(consumer: &mut Consumer, end: i64) -> usize {
    let (mut records, mut buffer) = (0, Decompressed::default());
    loop {
        let mut fetched = within("data", Duration::from_secs(30), consumer.poll()).await.expect("it can be read");
        while let Some(batch) = fetched.next_batch() {
            let batch = batch.expect("no batch is corrupt");
            records += batch.records(&mut buffer).expect("the checksum is right").count();
        }
        if fetched.next_offset() >= Offset(end) {
            return records;
        }
    }
}

async fn a_consumer_reads_from_the_replica_in_its_rack(client: &Client) {
    let partition = new_partition(client, "near").await;
    for value in ["a", "b", "c"] {
        write(client, &partition, &[value, value]).await;
    }
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.set_rack("rack-2");
    consumer.assign(partition.clone(), Offset(0));
    assert_eq!(read_until(&mut consumer, 6).await, 6);
    assert_eq!(consumer.replica(&partition), Some(BrokerId(2)));
    write(client, &partition, &["d"]).await;
    assert_eq!(read_until(&mut consumer, 7).await, 1, "it goes on there");
    // Behind the end, the replica has no say: the leader is asked, and the policy decides.
    consumer.seek(&partition, Offset(100));
    let error =
        within("an error", Duration::from_secs(30), consumer.poll()).await.expect_err("there is no such offset");
    assert_eq!(error.offset(), Some(Offset(100)));
    let mut elsewhere = Consumer::new(client.clone(), ConsumerConfig::default());
    elsewhere.set_rack("rack-9");
    elsewhere.assign(partition.clone(), Offset(0));
    assert_eq!(read_until(&mut elsewhere, 7).await, 7);
    assert_eq!(elsewhere.replica(&partition), None, "no replica is there, so the leader serves");
}

/// Makes node 2 the leader.
async fn move_leader(client: &Client, partition: &TopicPartition) {
    let name = partition.topic.clone();
    let replicas = ReassignablePartition { partition_index: 0, replicas: Some(vec![2, 3, 1]), ..Default::default() };
    let topic = ReassignableTopic { name: name.clone(), partitions: vec![replicas], ..Default::default() };
    let request = AlterPartitionReassignmentsRequest { timeout_ms: 10_000, topics: vec![topic], ..Default::default() };
    let response = ask(client, Node::Any, request).await;
    assert_eq!(response.error_code, 0, "{response:?}");
    eventually("an election", Duration::from_secs(30), || async {
        let topic = TopicPartitions { topic: name.clone(), partitions: vec![0], ..Default::default() };
        let request = ElectLeadersRequest {
            election_type: 0,
            topic_partitions: Some(vec![topic]),
            timeout_ms: 10_000,
            ..Default::default()
        };
        let response = ask(client, Node::Any, request).await;
        let code = response.replica_election_results.first()?.partition_result.first()?.error_code;
        [ErrorCode::NONE, ErrorCode::ELECTION_NOT_NEEDED].contains(&ErrorCode(code)).then_some(())
    })
    .await;
}

async fn a_leader_that_moves_is_followed_by_what_the_old_one_says(client: &Client) {
    let partition = new_partition(client, "moving").await;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(0));
    let producer = Producer::open(client, ProducerConfig::default()).await.expect("a producer id");
    let record = || ProducerRecord::to("moving").value("v");
    producer.send(record()).await.expect("there is room").await.expect("it is written");
    assert_eq!(read_until(&mut consumer, 1).await, 1);
    let (_, epoch) = client.leader("moving", PartitionId(0)).await.expect("it has a leader");
    move_leader(client, &partition).await;

    // A request with the former epoch is refused by the former leader, which names the new one with its address.
    let topic_id = client.topic("moving").await.expect("it exists").id;
    let wanted = FetchPartition { current_leader_epoch: epoch.0, partition_max_bytes: 1_000, ..Default::default() };
    let topic = FetchTopic { topic: Str::from("moving"), topic_id, partitions: vec![wanted], ..Default::default() };
    let request = FetchRequest { max_bytes: 1_000, session_epoch: -1, topics: vec![topic], ..Default::default() };
    let (response, data) = eventually("the news of the election", Duration::from_secs(30), || async {
        let response = ask(client, Node::Broker(BrokerId(1)), request.clone()).await;
        let data = response.responses[0].partitions[0].clone();
        (data.error_code != 0).then_some((response, data))
    })
    .await;
    assert_eq!(ErrorCode(data.error_code), ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(data.current_leader.leader_id, 2);
    assert!(response.node_endpoints.iter().any(|endpoint| endpoint.node_id == 2), "{response:?}");

    for written in 2..20 {
        producer.send(record()).await.expect("there is room").await.expect("it is written");
        assert_eq!(read_until(&mut consumer, written).await, 1);
    }
    assert_eq!(client.cluster().leader("moving", PartitionId(0)).map(|(leader, _)| leader), Some(BrokerId(2)));
}

/// A job that copies `input` to `output`.
fn copy(input: &TopicPartition, output: &TopicPartition) -> Topology {
    let mut job = Topology::builder("near-job");
    job.stream(&*input.topic, Utf8).to(&output.topic, Raw, Utf8);
    job.build().expect("the topology is sound")
}

/// A job asks for a replica in its rack, and commits the leader epoch of the last batch, be it a marker: the records of
/// a transaction are of one leader, and its marker of the next.
async fn a_job_reads_near_and_goes_on_behind_a_marker_of_a_later_leader(cluster: &RealCluster, client: &Client) {
    let (input, output) = (new_partition(client, "job-in").await, new_partition(client, "job-out").await);
    let mut transaction = Transactions::open(client, "near-writer").await;
    transaction.write(&input, &["a", "b"]).await;
    let (_, epoch) = client.leader("job-in", PartitionId(0)).await.expect("it has a leader");
    move_leader(client, &input).await;
    transaction.commit().await;
    until_stable(client, "job-in").await;

    let mut config = Config::new(&cluster.bootstrap());
    config.set("client.rack", "rack-3").expect("a known key");
    config.state_dir = std::env::temp_dir().join(format!("waterwheel-replicas-{}", std::process::id()));
    let committed = async || {
        let committed = fetch_offsets(client, "near-job", std::slice::from_ref(&input)).await;
        committed.expect("the coordinator answers")[0].1.clone()
    };
    let outcome = async |values: &[&str]| {
        let app = App::new(copy(&input, &output), config.clone()).bounded();
        let ended = within("the end of the job", Duration::from_secs(60), app.run_until(std::future::pending::<()>()));
        ended.await.unwrap_or_else(|error| panic!("{values:?}: {error}"));
        until_stable(client, "job-out").await;
        let copies = read_to_end(client, "job-out", IsolationLevel::ReadCommitted).await;
        let copies: Vec<_> = copies.into_iter().filter_map(|record| record.value).collect();
        assert_eq!(copies, values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>());
    };
    outcome(&["a", "b"]).await;
    let place = committed().await.expect("the job has committed");
    assert_eq!(place.offset, Offset(3), "behind the marker");
    assert!(place.leader_epoch > epoch, "{place:?}, the records are of {epoch:?}");
    // The next process tells that epoch to the broker, which finds no divergence; the one of the records would be one.
    write(client, &input, &["c"]).await;
    outcome(&["a", "b", "c"]).await;
    let _ = std::fs::remove_dir_all(&config.state_dir);

    let mut diverged = Consumer::new(client.clone(), ConsumerConfig::default());
    diverged.assign_at(input.clone(), place.offset, epoch);
    let error = within("an error", Duration::from_secs(30), diverged.poll()).await.expect_err("the epoch is too old");
    assert!(matches!(error, ConsumeError::Diverged { .. }), "{error}");
}

/// The bytes that a relay has passed on to the broker.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Passes connections on to `broker`, and keeps what clients say.
async fn relay(listener: TcpListener, broker: SocketAddr, heard: Heard) {
    while let Ok((client, _)) = listener.accept().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let server = TcpStream::connect(broker).await.expect("the broker listens");
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                heard.lock().expect("nobody panics").extend_from_slice(&buffer[..count]);
                if to_server.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fetches_of_a_job_name_its_rack() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let advertised = Some(("127.0.0.1".to_owned(), port));
    let broker = Broker::start(BrokerConfig { advertised, ..BrokerConfig::default() }).await.expect("a port is free");
    let heard = Heard::default();
    tokio::spawn(relay(listener, broker.listens_on(), Arc::clone(&heard)));
    let address = format!("127.0.0.1:{port}");
    let client = Client::connect(client_config(&address)).await.expect("the relay listens");
    let [input, output] = ["in", "out"].map(|topic| TopicPartition::new(topic, PartitionId(0)));
    for topic in ["in", "out"] {
        create_topic(&client, topic, 1).await;
    }
    write(&client, &input, &["a"]).await;
    for rack in ["", "rack-of-the-job"] {
        heard.lock().expect("nobody panics").clear();
        let mut config = Config::new(&address);
        config.set("client.rack", rack).expect("a known key");
        config.state_dir = std::env::temp_dir().join(format!("waterwheel-rack-{}", std::process::id()));
        write(&client, &input, &["b"]).await;
        let app = App::new(copy(&input, &output), config.clone()).bounded();
        let ended = within("the end of the job", Duration::from_secs(60), app.run_until(std::future::pending::<()>()));
        ended.await.expect("the job ends");
        let said = heard.lock().expect("nobody panics").clone();
        let is_named = said.windows(15).any(|bytes| bytes == b"rack-of-the-job");
        assert_eq!(is_named, !rack.is_empty(), "with the rack {rack:?}");
        let _ = std::fs::remove_dir_all(&config.state_dir);
    }
}
