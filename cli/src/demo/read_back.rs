//! Reads the job's output as any consumer would, and checks that records of aborted transactions stayed hidden.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::{Client, Consumer};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::ConsumerConfig;
use kafka_wire::record::{Batch, ControlRecord};
use kafka_wire::types::{IsolationLevel, Offset};
use serde::Deserialize;

use super::audit::WindowCount;
use super::raw_log;

/// Records of aborted transactions in the output topic.
#[derive(Debug, Default)]
pub(crate) struct AbortedRecords {
    /// Number of such records in the log; kills leave them behind.
    pub(crate) in_log: u64,
    /// Number of those that the `read_committed` reader got. One is too many.
    pub(crate) seen: u64,
}

/// The value of an output record, as the job writes it.
#[derive(Debug, Deserialize)]
struct Value {
    window_start: i64,
    count: u64,
}

/// Reads the topic twice: the committed records, which `take` gets, and everything, to find the aborted records.
///
/// The second reading does not use the consumer's own filter: it pairs records and markers by producer, so that
/// a filter that lets an aborted record through is detected.
pub(crate) async fn read(
    client: &Client,
    topic: &str,
    mut take: impl FnMut(WindowCount),
) -> Result<AbortedRecords, Box<dyn Error>> {
    until_stable(client, topic).await?;
    let mut aborted = AbortedRecords::default();
    let mut seen: BTreeSet<(i32, i64)> = BTreeSet::new();
    each_batch(client, topic, IsolationLevel::ReadCommitted, |partition, batch, position, buffer| {
        seen.insert((partition.partition.0, batch.header.base_offset));
        for record in batch.open(buffer)? {
            let record = record?;
            if record.offset >= position.0 {
                let value: Value = serde_json::from_slice(record.value.unwrap_or_default())?;
                let word = String::from_utf8(record.key.unwrap_or_default().to_vec())?;
                let partition = partition.partition.0;
                take(WindowCount { word, window_start: value.window_start, count: value.count, partition });
            }
        }
        Ok(())
    })
    .await?;
    for (partition, offset, records) in aborted_batches(client, topic).await? {
        aborted.in_log += records;
        aborted.seen += if seen.contains(&(partition, offset)) { records } else { 0 };
    }
    Ok(aborted)
}

/// Waits until no transaction is open on the topic, for some seconds: EndTxn is answered before the markers are
/// written, so the last commit may not be visible yet. A transaction that stays open after that shows in the audit.
async fn until_stable(client: &Client, topic: &str) -> Result<(), Box<dyn Error>> {
    let latest = latest(client, topic).await?;
    for _ in 0..200 {
        let stable = client.list_offsets(&latest, IsolationLevel::ReadCommitted).await?;
        let written = client.list_offsets(&latest, IsolationLevel::ReadUncommitted).await?;
        if stable.iter().zip(&written).all(|(stable, written)| stable.offset == written.offset) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Batches of aborted transactions: partition, base offset, number of records. A marker decides about all records that
/// its producer wrote to the partition since the previous marker.
async fn aborted_batches(client: &Client, topic: &str) -> Result<Vec<(i32, i64, u64)>, Box<dyn Error>> {
    let mut open: BTreeMap<(i32, i64), Vec<(i64, u64)>> = BTreeMap::new();
    let mut aborted = Vec::new();
    let topic = client.topic(topic).await?;
    for partition in &topic.partitions {
        let mut handle = |batch: &Batch| -> Result<(), Box<dyn Error>> {
            let header = &batch.header;
            let producer = (partition.id.0, header.producer_id.0);
            if !header.is_control() {
                let records = u64::try_from(header.record_count)?;
                open.entry(producer).or_default().push((header.base_offset, records));
            } else if let Some(batches) = open.remove(&producer)
                && is_abort(batch)?
            {
                aborted.extend(batches.into_iter().map(|(offset, records)| (partition.id.0, offset, records)));
            }
            Ok(())
        };
        raw_log::each(client, &TopicPartition::new(topic.name.clone(), partition.id), &mut handle).await?;
    }
    Ok(aborted)
}

fn is_abort(batch: &Batch) -> Result<bool, Box<dyn Error>> {
    let mut buffer = Decompressed::default();
    let marker = batch.open(&mut buffer)?.next().ok_or("a control batch without a record")??;
    Ok(matches!(ControlRecord::decode(&marker)?, ControlRecord::Abort { .. }))
}

/// Calls `handle` with every batch that a reader of this isolation gets, up to the present ends of the partitions.
async fn each_batch(
    client: &Client,
    topic: &str,
    isolation: IsolationLevel,
    mut handle: impl FnMut(&TopicPartition, &Batch, Offset, &mut Decompressed) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut ends = BTreeMap::new();
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig { isolation, ..ConsumerConfig::default() });
    for listed in client.list_offsets(&latest(client, topic).await?, isolation).await? {
        let end = listed.offset.unwrap_or_default();
        if end > Offset(0) {
            consumer.assign(listed.partition.clone(), Offset(0));
            ends.insert(listed.partition, end);
        }
    }
    let mut buffer = Decompressed::default();
    while !ends.is_empty() {
        let mut fetched = consumer.poll().await?;
        while let Some(batch) = fetched.next_batch() {
            let batch = batch?;
            handle(fetched.partition(), &batch.batch, batch.position, &mut buffer)?;
        }
        if ends.get(fetched.partition()).is_some_and(|&end| fetched.next_offset() >= end) {
            ends.remove(fetched.partition());
            consumer.unassign(fetched.partition());
        }
    }
    Ok(())
}

/// A query for the end offset of every partition of the topic.
async fn latest(client: &Client, topic: &str) -> Result<Vec<(TopicPartition, OffsetSpec)>, Box<dyn Error>> {
    let found = client.topic(topic).await?;
    Ok(found.partitions.iter().map(|it| (TopicPartition::new(topic, it.id), OffsetSpec::Latest)).collect())
}
