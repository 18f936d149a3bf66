//! The row that writes and reads a record each millisecond with our client.

use std::time::{Duration, Instant};

use kafka_wire::client::{Client, Producer};
use kafka_wire::compression::Decompressed;
use kafka_wire::producer::{ProducerConfig, ProducerRecord};

use crate::Fallible;
use crate::consume::assigned;
use crate::measured::{Counter, Measured, percentiles_us};
use crate::produce::config;
use crate::rows::{Row, Way};

/// Each record holds the time at which it was made; the consumer is in this process. The topic is new.
pub(crate) async fn measure(row: &Row, way: Way, client: &Client, topic: &str) -> Fallible<Measured> {
    let began = Instant::now();
    let warm = row.records / 10;
    let all = usize::try_from(warm + row.records)?;
    let mut consumer = assigned(row, client, topic);
    let reader = tokio::spawn(async move {
        let mut took = Vec::with_capacity(all);
        let mut buffer = Decompressed::default();
        while took.len() < all {
            let mut fetched = consumer.poll().await.map_err(|error| error.to_string())?;
            while let Some(batch) = fetched.next_batch() {
                let batch = batch.map_err(|error| error.to_string())?;
                for record in batch.open(&mut buffer).map_err(|error| error.to_string())? {
                    let value = record.map_err(|cause| cause.to_string())?.value.unwrap_or_default();
                    let made = value.first_chunk().map_or(0, |made| u64::from_be_bytes(*made));
                    took.push(began.elapsed().saturating_sub(Duration::from_nanos(made)));
                }
            }
        }
        Ok::<_, String>(took)
    });
    let producer = Producer::open(client, ProducerConfig { linger: Duration::ZERO, ..config(row, way) }).await?;
    let mut value = vec![0; row.value_bytes];
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut counter = Counter::start();
    for index in 0..warm + row.records {
        ticks.tick().await;
        if index == warm {
            counter = Counter::start();
        }
        let made = u64::try_from(began.elapsed().as_nanos())?;
        value[..8].copy_from_slice(&made.to_be_bytes());
        producer.send(ProducerRecord::to(topic).value(&value)).await?.forget();
    }
    let took = reader.await??;
    let measured = counter.stop(row.records);
    producer.close().await?;
    Ok(Measured { percentiles_us: percentiles_us(took.into_iter().skip(usize::try_from(warm)?).collect()), ..measured })
}

const INTERVAL: Duration = Duration::from_millis(1);
