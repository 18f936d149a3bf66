//! Reads a topic in a group and writes another one, each record exactly once:
//! `cargo run --example transform -- 127.0.0.1:9092 orders bills`. Start it twice, with two ids, to share the work.

use std::error::Error;

use kafka_wire::client::{Client, ClientConfig, GroupConsumer, GroupTransactSession, ResetPolicy};
use kafka_wire::producer::{ProducerConfig, ProducerRecord};

/// Carries over `count` records in upper case. A crash in between repeats nothing and loses nothing.
pub(crate) async fn transform(
    servers: &str,
    (input, output): (&str, &str),
    id: &str,
    count: usize,
) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(ClientConfig::new(servers)).await?;
    let group = GroupConsumer::builder("transform").topics([input]).auto_offset_reset(ResetPolicy::Earliest);
    let mut session = GroupTransactSession::open(client, group, ProducerConfig::transactional(id)).await?;
    for _ in 0..count {
        let record = session.next().await?; // Commits, too, ten times a second.
        let value = record.value.as_deref().unwrap_or_default().to_ascii_uppercase();
        let mut result = ProducerRecord::to(output).value(&value);
        if let Some(key) = &record.key {
            result = result.key(key);
        }
        session.send(result).await?;
    }
    session.close().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests run the function above")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or_else(|| default.to_owned());
    let topics = (argument(1, "orders"), argument(2, "bills"));
    transform(&argument(0, "127.0.0.1:9092"), (&topics.0, &topics.1), &argument(3, "transform-1"), usize::MAX).await
}
