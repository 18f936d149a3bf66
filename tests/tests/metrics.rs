//! The numbers that clients, producers and consumers show are true: beside those of the embedded broker, which counts
//! as well, and beside the records that were written and read.

use std::collections::BTreeMap;
use std::time::Duration;

use conformance::reader::create_topic;
use conformance::{TestBroker, eventually, on_both_brokers};
use kafka_wire::client::{Client, Consumer, ConsumerConfig, GroupConsumer, Producer, ResetPolicy};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::metrics::{ClientMetrics, Prometheus};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};
use kafka_wire::protocol::ApiKey;
use kafka_wire::types::{BrokerId, Offset, PartitionId};
use testkit::broker::{Broker, BrokerConfig};
use testkit::fault::{Action, Rule};

on_both_brokers!(records_and_batches_are_counted, lag_falls_to_nothing, a_group_consumer_counts_what_it_hands_out);

/// Requests by API, of all brokers.
fn requests(metrics: &ClientMetrics) -> BTreeMap<ApiKey, u64> {
    let mut sums = BTreeMap::new();
    for (api, metrics) in metrics.brokers.iter().flat_map(|broker| &broker.apis) {
        *sums.entry(*api).or_default() += metrics.requests;
    }
    sums
}

#[tokio::test]
async fn the_broker_has_counted_the_same_requests() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port is free");
    let client = conformance::connect(&broker.address()).await;
    create_topic(&client, "t", 3).await;
    let producer = Producer::open(&client, ProducerConfig::default()).await.expect("it opens");
    for number in 0..1_000 {
        let value = format!("value {number}");
        producer.send(ProducerRecord::to("t").value(&value)).await.expect("there is room").forget();
    }
    producer.flush().await.expect("all are written");
    for _ in 0..7 {
        client.list_topics().await.expect("an answer");
    }
    producer.close().await.expect("nothing is left");

    let metrics = client.metrics();
    assert_eq!(requests(&metrics), broker.inspect(|state| state.requests.clone()));
    let [only] = &metrics.brokers[..] else { panic!("the bootstrap address is that of the broker: {metrics:?}") };
    assert_eq!((only.broker, only.in_flight, only.lost_requests), (Some(BrokerId(1)), 0, 0));
    assert_eq!((only.responses, only.latency.count, metrics.requests()), (only.requests, only.requests, only.requests));
    assert_eq!(only.apis.values().map(|api| api.latency.count).sum::<u64>(), only.responses);
    assert!(only.sent_bytes > 10_000 && only.received_bytes > 1_000 && only.connections >= 2, "{only:?}");
    assert!(only.latency.max >= only.latency.quantile(0.5), "{:?}", only.latency);

    let text = Prometheus::default().client(metrics.clone()).producer(producer.metrics()).text();
    let produced = requests(&metrics)[&ApiKey::Produce];
    let sample = format!(
        "kafka_wire_client_api_requests_total{{client_id=\"waterwheel\",broker=\"1\",api=\"Produce\"}} {produced}\n"
    );
    assert!(text.contains(&sample), "{text}");
    assert!(text.contains("kafka_wire_producer_records_total{client_id=\"waterwheel\",topic=\"t\"} 1000\n"), "{text}");
}

#[tokio::test]
async fn requests_without_an_answer_are_lost_and_attempts_that_fail_are_counted() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port is free");
    let client = conformance::connect(&broker.address()).await;
    let api_key = ApiKey::DescribeCluster as i16;
    broker.inject(Rule { api_key, nth: 1, action: Action::ApplyThenDisconnect });
    client.describe_cluster().await.expect_err("the connection was closed");
    let lost = client.metrics().brokers.iter().map(|broker| broker.lost_requests).sum::<u64>();
    assert_eq!(lost, 1);
    broker.shutdown().await;
    client.describe_cluster().await.expect_err("nobody listens");
    let failures = client.metrics().brokers.iter().map(|broker| broker.connection_failures).sum::<u64>();
    assert!(failures > 0);
    assert!(client.metrics().brokers.iter().all(|broker| broker.in_flight == 0), "{:?}", client.metrics());
}

async fn connect(broker: &TestBroker) -> Client {
    conformance::connect(broker.bootstrap()).await
}

async fn records_and_batches_are_counted(broker: TestBroker) {
    let client = connect(&broker).await;
    let (full, small) = (broker.unique("full"), broker.unique("small"));
    create_topic(&client, &full, 1).await;
    create_topic(&client, &small, 1).await;
    let config = ProducerConfig { batch_size_bytes: 2_000, ..ProducerConfig::default() };
    let limit = config.buffer_limit_bytes as u64;
    let producer = Producer::open(&client, config).await.expect("it opens");
    for _ in 0..100 {
        producer.send(ProducerRecord::to(&full).value(&[7u8; 100][..])).await.expect("there is room").forget();
    }
    producer.send(ProducerRecord::to(&small).value("one")).await.expect("there is room").await.expect("it is written");
    producer.flush().await.expect("all are written");

    let metrics = producer.metrics();
    let of =
        |topic: &str| metrics.topics.iter().find(|(name, _)| ***name == *topic).expect("it was written to").1.clone();
    assert_eq!((of(&full).records, of(&full).failed_records, of(&small).records), (100, 0, 1));
    assert!(of(&full).batches >= 5 && of(&full).bytes >= 100 * 100, "{metrics:?}");
    assert_eq!(of(&small).batches, 1);
    assert_eq!(metrics.batch_records.sum, 101);
    assert_eq!(metrics.batch_bytes.sum, of(&full).bytes + of(&small).bytes);
    assert_eq!(metrics.batch_bytes.count, of(&full).batches + of(&small).batches);
    assert!(metrics.batch_bytes.max <= 2_000 && metrics.batch_bytes.average() > 100, "{metrics:?}");
    assert_eq!((metrics.buffer_used_bytes, metrics.buffer_limit_bytes, metrics.waiting_sends), (0, limit, 0));
    producer.close().await.expect("nothing is left");
}

async fn lag_falls_to_nothing(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("read");
    create_topic(&client, &topic, 1).await;
    let producer = Producer::open(&client, ProducerConfig::default()).await.expect("it opens");
    for _ in 0..50 {
        producer.send(ProducerRecord::to(&topic).value("value")).await.expect("there is room").forget();
    }
    producer.close().await.expect("all are written");
    let partition = TopicPartition::new(topic.as_str(), PartitionId(0));
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    consumer.assign(partition.clone(), Offset(0));
    // Nothing is known until the first answer, which may be here already.
    let lag = consumer.metrics().partitions[&partition].lag;
    assert!(matches!(lag, None | Some(50)), "{lag:?}");
    let mut bytes = 0;
    while consumer.position(&partition) != Some(Offset(50)) {
        bytes += consumer.poll().await.expect("records").size_bytes() as u64;
    }
    let metrics = consumer.metrics();
    assert_eq!((metrics.lag(), metrics.partitions[&partition].lag), (0, Some(0)));
    assert_eq!(metrics.partitions[&partition].bytes, bytes);
    assert!(metrics.fetches >= 1 && metrics.partitions[&partition].deliveries >= 1, "{metrics:?}");
}

async fn a_group_consumer_counts_what_it_hands_out(broker: TestBroker) {
    let client = connect(&broker).await;
    let topic = broker.unique("read");
    create_topic(&client, &topic, 1).await;
    let producer = Producer::open(&client, ProducerConfig::default()).await.expect("it opens");
    for _ in 0..10 {
        producer.send(ProducerRecord::to(&topic).value("value")).await.expect("there is room").forget();
    }
    producer.close().await.expect("all are written");
    let builder = GroupConsumer::builder(broker.unique("group")).topics([topic.as_str()]);
    let builder = builder.auto_offset_reset(ResetPolicy::Earliest);
    let mut consumer = builder.build(client).await.expect("a list of topics");
    let partition = TopicPartition::new(topic.as_str(), PartitionId(0));
    for _ in 0..4 {
        consumer.next().await.expect("a record");
    }
    eventually("the lag behind the fourth record", WAIT, async || {
        let lag = consumer.metrics().partitions.get(&partition)?.lag?;
        (lag == consumer.lag(&partition)? && (6..=7).contains(&lag)).then_some(())
    })
    .await;
    assert!(consumer.metrics().partitions[&partition].bytes > 50);
    consumer.close().await.expect("it commits");
}

const WAIT: Duration = Duration::from_secs(30);
