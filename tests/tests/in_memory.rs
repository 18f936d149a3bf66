//! The embedded broker over its in-memory pipe: no socket is used, whatever address is given.

use std::sync::Arc;

use conformance::reader::{create_topic, read_to_end};
use kafka_wire::client::{Client, ClientConfig, ConnectError, ExclusiveProducer};
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig};
use kafka_wire::types::{PartitionId, TimestampMs};
use testkit::broker::{Broker, BrokerConfig};

#[tokio::test]
async fn a_client_writes_commits_and_reads_without_a_socket() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port of the loopback is free");
    let config = ClientConfig::new("nowhere.invalid:1");
    let client = Client::connect_with(config, Arc::new(broker.pipe())).await.expect("the pipe leads to the broker");
    create_topic(&client, "words", 1).await;

    let mut producer =
        ExclusiveProducer::open(&client, ProducerConfig::transactional("writer")).await.expect("a producer");
    let topic = producer.topic("words").await.expect("the topic is there");
    // Larger than the pipe, so that both sides have to wait for each other.
    let large = vec![b'x'; 300_000];
    for (value, is_committed) in [(&b"seen"[..], true), (b"aborted", false), (&large, true)] {
        producer.begin().expect("no transaction is open");
        producer
            .append(
                topic,
                PartitionId(0),
                NewRecord { timestamp: TimestampMs(1), value: Some(value), ..NewRecord::default() },
            )
            .expect("there is room");
        if is_committed {
            producer.commit(None).await.expect("the transaction commits");
        } else {
            producer.flush().await.expect("the record is taken");
            producer.abort().await.expect("the transaction aborts");
        }
    }
    let records = read_to_end(&client, "words", IsolationLevel::ReadCommitted).await;
    let values: Vec<_> = records.into_iter().map(|record| record.value.expect("a value")).collect();
    assert_eq!(values, [b"seen".to_vec(), large]);
}

#[tokio::test]
async fn a_stopped_broker_refuses_the_pipe() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port of the loopback is free");
    let pipe = Arc::new(broker.pipe());
    broker.shutdown().await;
    let refused = Client::connect_with(ClientConfig::new("nowhere.invalid:1"), pipe).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");
}
