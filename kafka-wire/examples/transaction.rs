//! Writes to two topics in one transaction: `cargo run --example transaction -- 127.0.0.1:9092 orders payments`.

use std::error::Error;

use kafka_wire::client::{Client, ClientConfig, Producer};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};

/// Writes an order and its payment, both or neither, for readers with `isolation.level=read_committed`.
pub(crate) async fn transaction(servers: &str, orders: &str, payments: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::new(servers)).await?;
    // A producer that opens the same transactional id later fences this one, and aborts its open transaction.
    let producer = Producer::open(&client, ProducerConfig::transactional("shop-1")).await?;

    producer.begin_transaction()?;
    producer.send(ProducerRecord::to(orders).key("4711").value("3 cups")).await?.forget();
    producer.send(ProducerRecord::to(payments).key("4711").value("12.60")).await?.forget();
    match producer.commit_transaction().await {
        Ok(()) => {}
        Err(error) if error.requires_abort() => producer.abort_transaction().await?,
        // Either the outcome is unknown, and `recover_transaction` determines it; or this producer was fenced.
        Err(error) => return Err(error.into()),
    }
    producer.close().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests run the function above")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.to_owned());
    transaction(&argument(0, "127.0.0.1:9092"), &argument(1, "orders"), &argument(2, "payments")).await
}
