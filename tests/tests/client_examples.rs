//! The programs of `kafka-wire/examples`, run unchanged.

#[path = "../../kafka-wire/examples/produce.rs"]
mod produce;
#[path = "../../kafka-wire/examples/transaction.rs"]
mod transaction;

use std::time::Duration;

use conformance::reader::{create_topic, read_to_end};
use conformance::{TestBroker, on_both_brokers, within};
use kafka_wire::client::{Client, ClientConfig};
use kafka_wire::consumer::IsolationLevel::ReadCommitted;

on_both_brokers!(produce_writes_its_records, transaction_commits_to_both_topics);

/// The values in a topic, in arbitrary order.
async fn values(client: &Client, topic: &str) -> Vec<String> {
    let records = read_to_end(client, topic, ReadCommitted).await;
    let mut values: Vec<_> = records.into_iter().filter_map(|record| String::from_utf8(record.value?).ok()).collect();
    values.sort_unstable();
    values
}

async fn client_with(broker: &TestBroker, topics: &[&str]) -> Client {
    let client = Client::connect(ClientConfig::new(broker.bootstrap())).await.expect("the broker listens");
    for topic in topics {
        create_topic(&client, topic, 3).await;
    }
    client
}

async fn produce_writes_its_records(broker: TestBroker) {
    let topic = broker.unique("orders");
    let client = client_with(&broker, &[&topic]).await;
    within("the example", WAIT, produce::produce(broker.bootstrap(), &topic)).await.expect("it writes");
    assert_eq!(values(&client, &topic).await, ["no key: any partition", "paid"]);
}

async fn transaction_commits_to_both_topics(broker: TestBroker) {
    let (orders, payments) = (broker.unique("orders"), broker.unique("payments"));
    let client = client_with(&broker, &[&orders, &payments]).await;
    let run = transaction::transaction(broker.bootstrap(), &orders, &payments);
    within("the example", WAIT, run).await.expect("it commits");
    assert_eq!(values(&client, &orders).await, ["3 cups"]);
    assert_eq!(values(&client, &payments).await, ["12.60"]);
}

const WAIT: Duration = Duration::from_secs(60);
