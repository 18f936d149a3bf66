//! The events in a topic of Kafka.

use std::error::Error;

use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::producer::ProducerConfig;
use kafka_wire::types::PartitionId;

use super::Query;
use super::generator::Generator;
use super::plain::{self, Recorded};
use crate::check::Expected;
use crate::kafka::{PARTITIONS, Record, append, now_ms};
use crate::rows::Column;

/// Writes the events into all partitions of a topic by turns, and returns the expected results of `query`.
pub(crate) async fn load(client: &Client, topic: &str, query: Query, events: u64) -> Result<Expected, Box<dyn Error>> {
    let mut producer = ExclusiveProducer::open(client, ProducerConfig::default()).await?;
    let topic = producer.topic(topic).await?;
    // All event times lie in the past: brokers refuse timestamps far ahead of their clock.
    let mut generator = Generator::new(now_ms()? - 3_600_000);
    let mut recorded = Recorded::default();
    for number in 0..events {
        let event = generator.next();
        let mut value = Vec::new();
        event.write(&mut value);
        recorded.push(&event);
        let record = Record { key: Vec::new(), value, timestamp_ms: event.date_time() };
        let partition = PartitionId((number % PARTITIONS.unsigned_abs() as u64) as i32);
        append(&mut producer, topic, partition, &record).await?;
    }
    producer.flush().await?;
    Ok(plain::expected(query, &recorded))
}
