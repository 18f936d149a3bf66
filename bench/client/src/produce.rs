//! The rows that produce with our client.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kafka_wire::client::{Client, ExclusiveProducer, Producer};
use kafka_wire::producer::{AppendError, Delivery, NewRecord, ProducerConfig, ProducerRecord, RunsOn, TopicHandle};
use kafka_wire::types::{PartitionId, TimestampMs};

use crate::Fallible;
use crate::measured::{Counter, Measured, percentiles_us};
use crate::rows::{Api, IN_TRANSACTION, OUTSTANDING, Row, Task, Way};

/// The settings of the row's producer.
pub(crate) fn config(row: &Row, way: Way) -> ProducerConfig {
    let runs_on = if way.threads == 1 { RunsOn::CallersRuntime } else { RunsOn::OwnThread };
    ProducerConfig { runs_on, compression: row.codec, ..ProducerConfig::default() }
}

/// Produces the records of a row. A tenth of them go before, uncounted, until connections, buffers and
/// batch sizes have settled.
pub(crate) async fn measure(row: &Row, way: Way, client: &Client, topic: &str) -> Fallible<Measured> {
    let values = row.values();
    if way.api == Api::Append {
        let mut producer = ExclusiveProducer::open(client, config(row, way)).await?;
        append(row, &mut producer, topic, &values, row.records / 10).await?;
        let counter = Counter::start();
        append(row, &mut producer, topic, &values, row.records).await?;
        let measured = counter.stop(row.records);
        producer.close().await?;
        Ok(measured)
    } else {
        let producer = Producer::open(client, config(row, way)).await?;
        let load = Load { row, way, topic, values: &values };
        load.send(&producer, row.records / 10).await?;
        let counter = Counter::start();
        load.send(&producer, row.records).await?;
        let measured = counter.stop(row.records);
        producer.close().await?;
        Ok(measured)
    }
}

/// The records of a row that are sent.
struct Load<'a> {
    row: &'a Row,
    way: Way,
    topic: &'a str,
    values: &'a [Vec<u8>],
}

impl Load<'_> {
    async fn send(&self, producer: &Producer, records: u64) -> Fallible<()> {
        let Self { row, way, topic, values } = *self;
        let mut under_way: VecDeque<Delivery> = VecDeque::with_capacity(OUTSTANDING);
        let mut partition = 0;
        for value in values.iter().cycle().take(usize::try_from(records)?) {
            let record = || {
                let record = ProducerRecord::to(topic).value(value);
                if row.task == Task::Spread { record.partition(PartitionId(partition)) } else { record }
            };
            if row.task == Task::Awaited {
                if under_way.len() == OUTSTANDING
                    && let Some(oldest) = under_way.pop_front()
                {
                    oldest.await?;
                }
                under_way.push_back(producer.send(record()).await?);
            } else if way.api != Api::TrySend || producer.try_send(record()).is_err() {
                producer.send(record()).await?.forget();
            }
            partition = if partition + 1 < row.partitions { partition + 1 } else { 0 };
        }
        producer.flush().await?;
        for delivery in under_way {
            delivery.await?;
        }
        Ok(())
    }
}

async fn append(
    row: &Row,
    producer: &mut ExclusiveProducer,
    topic: &str,
    values: &[Vec<u8>],
    records: u64,
) -> Fallible<()> {
    let topic = producer.topic(topic).await?;
    append_all(row, producer, topic, values, records).await?;
    Ok(producer.flush().await?)
}

/// Appends records, to the partitions in turn.
pub(crate) async fn append_all(
    row: &Row,
    producer: &mut ExclusiveProducer,
    topic: TopicHandle,
    values: &[Vec<u8>],
    records: u64,
) -> Fallible<()> {
    let mut next = 0;
    for value in values.iter().cycle().take(usize::try_from(records)?) {
        next = if next + 1 < row.partitions { next + 1 } else { 0 };
        let record = NewRecord { timestamp: TimestampMs(1_000), ..NewRecord::of(value) };
        while let Err(error) = producer.append(topic, PartitionId(next), record) {
            match error {
                AppendError::Full { .. } => producer.ready().await?,
                error => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Writes the records of a row in transactions, and times the commits.
pub(crate) async fn transact(row: &Row, way: Way, client: &Client, topic: &str) -> Fallible<Measured> {
    let values = row.values();
    let transactional_id = Some(format!("bench-client-{topic}").into());
    let config = ProducerConfig { transactional_id, ..config(row, way) };
    let mut producer = ExclusiveProducer::open(client, config).await?;
    let handle = producer.topic(topic).await?;
    commit(row, &mut producer, handle, &values, row.records / 10).await?;
    let counter = Counter::start();
    let took = commit(row, &mut producer, handle, &values, row.records).await?;
    let measured = counter.stop(row.records);
    producer.close().await?;
    Ok(Measured { percentiles_us: percentiles_us(took), ..measured })
}

async fn commit(
    row: &Row,
    producer: &mut ExclusiveProducer,
    topic: TopicHandle,
    values: &[Vec<u8>],
    records: u64,
) -> Fallible<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..records / IN_TRANSACTION {
        producer.begin()?;
        append_all(row, producer, topic, values, IN_TRANSACTION).await?;
        let began = Instant::now();
        producer.commit(None).await?;
        took.push(began.elapsed());
    }
    Ok(took)
}
