//! The rows that consume with our client.

use kafka_wire::client::{Client, Consumer, ConsumerConfig, GroupConsumer, ResetPolicy};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};

use crate::Fallible;
use crate::measured::{Counter, Measured};
use crate::rows::{Api, Row, Way};

/// Reads the records of a row, and counts from the first tenth on.
pub(crate) async fn measure(row: &Row, way: Way, client: &Client, topic: &str) -> Fallible<Measured> {
    let mut reading = Reading { row, records: 0, bytes: 0, counter: None };
    if way.api == Api::Group {
        let group = format!("bench-client-{}", std::process::id());
        let builder = GroupConsumer::builder(group).topics([topic]).manual_commit().read_committed();
        let mut consumer = builder.auto_offset_reset(ResetPolicy::Earliest).build(client.clone()).await?;
        while !reading.is_complete() {
            for record in consumer.next_batch().await? {
                reading.take(record?.value);
            }
            reading.end_batch();
        }
        let measured = reading.complete()?;
        consumer.close().await?;
        return Ok(measured);
    }
    let mut consumer = assigned(row, client, topic);
    let mut buffer = Decompressed::default();
    while !reading.is_complete() {
        let mut fetched = consumer.poll().await?;
        while let Some(batch) = fetched.next_batch() {
            // The topic is read from its start, so no batch begins before the position.
            for record in batch?.open(&mut buffer)? {
                reading.take(record?.value);
            }
            reading.end_batch();
        }
    }
    reading.complete()
}

/// A consumer of all partitions of a topic, from their start.
pub(crate) fn assigned(row: &Row, client: &Client, topic: &str) -> Consumer {
    let isolation = IsolationLevel::ReadCommitted;
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig { isolation, ..ConsumerConfig::default() });
    for partition in 0..row.partitions {
        consumer.assign(TopicPartition::new(topic, PartitionId(partition)), Offset(0));
    }
    consumer
}

struct Reading<'a> {
    row: &'a Row,
    records: u64,
    bytes: usize,
    /// With the number of records that were read before.
    counter: Option<(Counter, u64)>,
}

impl Reading<'_> {
    #[inline]
    fn take(&mut self, value: Option<&[u8]>) {
        self.records += 1;
        self.bytes += value.unwrap_or_default().len();
    }

    fn end_batch(&mut self) {
        if self.counter.is_none() && self.records >= self.row.records / 10 {
            self.counter = Some((Counter::start(), self.records));
        }
    }

    fn is_complete(&self) -> bool {
        self.records >= self.row.records
    }

    fn complete(self) -> Fallible<Measured> {
        let (counter, before) = self.counter.ok_or("there was no more than one batch")?;
        let measured = counter.stop(self.records - before);
        let expected = usize::try_from(self.records)? * self.row.value_bytes;
        if self.bytes != expected {
            return Err(format!("{} bytes of values, and not {expected}", self.bytes).into());
        }
        Ok(measured)
    }
}
