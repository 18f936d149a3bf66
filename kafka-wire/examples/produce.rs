//! Writes two records and prints their places: `cargo run --example produce -- 127.0.0.1:9092 orders`.
#![allow(clippy::print_stdout, reason = "a program that tells what it did")]

use std::error::Error;

use kafka_wire::client::{Client, ClientConfig, Producer};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};

/// Writes to `topic` of the cluster at `servers`.
pub(crate) async fn produce(servers: &str, topic: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::new(servers)).await?;
    let producer = Producer::open(&client, ProducerConfig::default()).await?;

    let paid = ProducerRecord::to(topic).key("4711").value("paid").header("trace", "a1");
    let delivery = producer.send(paid).await?; // The record is in a batch, which is sent within linger (5 ms).
    let written = delivery.await?; // All in-sync replicas have acknowledged it.
    println!("partition {} offset {:?}", written.partition, written.offset);

    // A caller who does not need the outcome forgets the delivery; the record is sent all the same.
    producer.send(ProducerRecord::to(topic).value("no key: any partition")).await?.forget();
    producer.close().await?; // Waits for records in flight, and returns how many were lost.
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests run the function above")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    produce(&servers, &arguments.next().unwrap_or_else(|| "orders".to_owned())).await
}
