//! The programs of `kafka-wire/examples`, run as they are.

#[path = "../../kafka-wire/examples/produce.rs"]
mod produce;
#[path = "../../kafka-wire/examples/transaction.rs"]
mod transaction;
#[path = "../../kafka-wire/examples/transform.rs"]
mod transform;

use std::time::Duration;

use conformance::reader::{create_topic, read_to_end};
use conformance::{TestBroker, client_config, eventually, on_both_brokers, within};
use kafka_wire::client::Client;
use kafka_wire::consumer::IsolationLevel::ReadCommitted;

on_both_brokers!(produce_writes_its_records, transaction_commits_to_both_topics, transform_carries_records_over);

/// Waits until the committed values of a topic are these, in any order. A commit is answered before its markers are
/// written.
async fn await_values(client: &Client, topic: &str, expected: &[&str]) {
    eventually("the committed values", WAIT, async || {
        let records = read_to_end(client, topic, ReadCommitted).await;
        let mut values: Vec<_> =
            records.into_iter().filter_map(|record| String::from_utf8(record.value?).ok()).collect();
        values.sort_unstable();
        (values == expected).then_some(())
    })
    .await;
}

async fn client_with(broker: &TestBroker, topics: &[&str]) -> Client {
    let client = Client::connect(client_config(broker.bootstrap())).await.expect("the broker listens");
    for topic in topics {
        create_topic(&client, topic, 3).await;
    }
    client
}

async fn produce_writes_its_records(broker: TestBroker) {
    let topic = broker.unique("orders");
    let client = client_with(&broker, &[&topic]).await;
    within("the example", WAIT, produce::produce(broker.bootstrap(), &topic)).await.expect("it writes");
    await_values(&client, &topic, &["no key: any partition", "paid"]).await;
}

async fn transaction_commits_to_both_topics(broker: TestBroker) {
    let (orders, payments) = (broker.unique("orders"), broker.unique("payments"));
    let client = client_with(&broker, &[&orders, &payments]).await;
    let run = transaction::transaction(broker.bootstrap(), &orders, &payments);
    within("the example", WAIT, run).await.expect("it commits");
    await_values(&client, &orders, &["3 cups"]).await;
    await_values(&client, &payments, &["12.60"]).await;
}

async fn transform_carries_records_over(broker: TestBroker) {
    let (orders, bills) = (broker.unique("orders"), broker.unique("bills"));
    let client = client_with(&broker, &[&orders, &bills]).await;
    within("records", WAIT, produce::produce(broker.bootstrap(), &orders)).await.expect("it writes");
    let id = broker.unique("transform");
    let run = transform::transform(broker.bootstrap(), (&orders, &bills), &id, 2);
    within("the example", WAIT, run).await.expect("it commits");
    await_values(&client, &bills, &["NO KEY: ANY PARTITION", "PAID"]).await;
}

const WAIT: Duration = Duration::from_secs(60);
