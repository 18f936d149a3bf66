//! Writes a record and reads it in a group, without async: `cargo run --example blocking -- 127.0.0.1:9092 orders`.
#![allow(clippy::print_stdout, reason = "a program that tells what it did")]

use std::error::Error;
use std::time::Duration;

use kafka_wire::admin::NewTopic;
use kafka_wire::blocking::Client;
use kafka_wire::client::{ClientConfig, GroupConsumer, ResetPolicy};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};

pub(crate) fn blocking(servers: &str, topic: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::new(servers))?;
    client.admin().create_topics(&[NewTopic::new(topic, 1)])?;
    let producer = client.producer(ProducerConfig::default())?;
    let written = producer.send(ProducerRecord::to(topic).key("4711").value("paid"))?.wait()?;
    println!("partition {} offset {:?}", written.partition, written.offset);
    producer.close()?;

    let readers = GroupConsumer::builder(format!("readers-of-{topic}")).topics([topic]);
    let mut consumer = client.group_consumer(readers.auto_offset_reset(ResetPolicy::Earliest))?;
    if let Some(record) = consumer.next(Duration::from_secs(30))? {
        println!("{} @ {}: {:?}", record.partition, record.offset, record.value);
    }
    consumer.close()?;
    Ok(())
}

#[allow(dead_code, reason = "the tests run the function above")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    blocking(&servers, &arguments.next().unwrap_or_else(|| "orders".to_owned()))
}
