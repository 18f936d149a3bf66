//! Reads topics with our own consumer: once to the end, or continuously beside a running job.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kafka_wire::admin::{NewTopic, OffsetSpec};
use kafka_wire::client::{Client, Consumer, MetadataError};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumerConfig, Fetched, IsolationLevel};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::within;

/// A record, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRecord {
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl KeptRecord {
    /// Key and value as text, for records that have both.
    ///
    /// # Panics
    /// If one is missing or not UTF-8.
    #[must_use]
    pub fn text(&self) -> (&str, &str) {
        match (self.key.as_deref().map(str::from_utf8), self.value.as_deref().map(str::from_utf8)) {
            (Some(Ok(key)), Some(Ok(value))) => (key, value),
            _ => panic!("not text: {self:?}"),
        }
    }
}

/// Creates a topic and waits until every partition has a leader.
///
/// It keeps records for ever: the suites write event times of years ago, which retention by time deletes at once.
///
/// # Panics
/// If it exists already or cannot be created.
pub async fn create_topic(client: &Client, name: &str, partitions: i32) {
    let configs = vec![("retention.ms".into(), "-1".into())];
    let topic = NewTopic { configs, ..NewTopic::new(name, partitions) };
    let outcomes = client.create_topics(&[topic]).await.expect("the cluster answers");
    for (topic, outcome) in outcomes {
        outcome.unwrap_or_else(|error| panic!("cannot create {topic:?}: {error}"));
    }
    for partition in 0..partitions {
        client.leader(name, PartitionId(partition)).await.expect("a new topic gets leaders");
    }
}

/// All records from the start of the log to the present end at this isolation level: partitions in order, each in
/// the order of its log.
///
/// # Panics
/// If the cluster does not answer, a batch is corrupt, or the end is not reached within a minute.
pub async fn read_to_end(client: &Client, topic: &str, isolation: IsolationLevel) -> Vec<KeptRecord> {
    try_read_to_end(client, topic, isolation).await.expect("the leaders answer")
}

/// As [`read_to_end`], while leaders may be away.
///
/// # Errors
/// If no leader says where a log begins and ends.
///
/// # Panics
/// As [`read_to_end`], once they have.
pub async fn try_read_to_end(
    client: &Client,
    topic: &str,
    isolation: IsolationLevel,
) -> Result<Vec<KeptRecord>, MetadataError> {
    let partitions = partitions_of(client, topic).await;
    let ask = async |spec: OffsetSpec| {
        let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        client.list_offsets(&wanted, isolation).await
    };
    let (starts, ends) = (ask(OffsetSpec::Earliest).await?, ask(OffsetSpec::Latest).await?);
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig { isolation, ..ConsumerConfig::default() });
    let mut missing = 0;
    for end in &ends {
        let start = starts.iter().find(|start| start.partition == end.partition).and_then(|start| start.offset);
        if let Some(start) = start.filter(|&start| end.offset.is_some_and(|end| end > start)) {
            consumer.assign(end.partition.clone(), start);
            missing += 1;
        }
    }
    let mut records = Vec::new();
    while missing > 0 {
        let polled = within("the end of a topic", READ_DURATION_MAX, consumer.poll()).await;
        let mut fetched = polled.expect("the topic can be read");
        keep(&mut fetched, &mut records);
        let end = ends.iter().find(|end| end.partition == *fetched.partition()).and_then(|end| end.offset);
        if end.is_some_and(|end| fetched.next_offset() >= end) && consumer.unassign(fetched.partition()) {
            missing -= 1;
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

/// Waits until no transaction is open on the topic. EndTxn is answered before the markers are written (KIP-98),
/// so records that were committed a moment ago may not be visible yet.
///
/// # Panics
/// If one stays open for a minute, or the cluster does not answer.
pub async fn until_stable(client: &Client, topic: &str) {
    let latest: Vec<_> = partitions_of(client, topic).await.into_iter().map(|it| (it, OffsetSpec::Latest)).collect();
    crate::eventually("the end of every transaction on a topic", READ_DURATION_MAX, async || {
        let stable = client.list_offsets(&latest, IsolationLevel::ReadCommitted).await.expect("the leaders answer");
        let written = client.list_offsets(&latest, IsolationLevel::ReadUncommitted).await.expect("the leaders answer");
        stable.iter().zip(&written).all(|(stable, written)| stable.offset == written.offset).then_some(())
    })
    .await;
}

/// Reads a topic from its beginning for as long as the value lives, and records the time at which each record arrived.
#[derive(Debug)]
pub struct Tail {
    arrived: Arc<Mutex<Vec<Arrival>>>,
    task: JoinHandle<()>,
}

/// A record and the time at which a reader got it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The time.
    pub at: Instant,
    /// The record.
    pub record: KeptRecord,
}

impl Tail {
    /// Starts to read all present partitions of the topic.
    pub async fn start(client: &Client, topic: &str, isolation: IsolationLevel) -> Self {
        let mut consumer = Consumer::new(client.clone(), ConsumerConfig { isolation, ..ConsumerConfig::default() });
        for partition in partitions_of(client, topic).await {
            consumer.assign(partition, Offset(0));
        }
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&arrived);
        let task = tokio::spawn(async move {
            loop {
                let mut fetched = consumer.poll().await.expect("the topic can be read");
                let mut records = Vec::new();
                keep(&mut fetched, &mut records);
                let at = Instant::now();
                let arrivals = records.into_iter().map(|record| Arrival { at, record });
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend(arrivals);
            }
        });
        Self { arrived, task }
    }

    /// Calls `look` with the records so far, in the order of each partition.
    ///
    /// # Panics
    /// If reading failed: a reader that stopped must not be mistaken for one that found nothing.
    pub fn look<T>(&self, look: impl FnOnce(&[Arrival]) -> T) -> T {
        assert!(!self.task.is_finished(), "the reader failed, see its panic above");
        look(&self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn partitions_of(client: &Client, topic: &str) -> Vec<TopicPartition> {
    let topic = client.topic(topic).await.expect("the topic is there");
    topic.partitions.iter().map(|partition| TopicPartition::new(topic.name.clone(), partition.id)).collect()
}

fn keep(fetched: &mut Fetched, records: &mut Vec<KeptRecord>) {
    let partition = fetched.partition().partition;
    let mut buffer = Decompressed::default();
    while let Some(batch) = fetched.next_batch() {
        let batch = batch.expect("a batch of the topic is whole");
        for record in batch.open(&mut buffer).expect("a batch of the topic is whole") {
            let record = record.expect("a record of the topic is whole");
            if record.offset < batch.position.0 {
                continue;
            }
            let headers = record.headers.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
            records.push(KeptRecord {
                partition,
                offset: Offset(record.offset),
                timestamp: TimestampMs(record.timestamp),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            });
        }
    }
}

/// Longest wait for a response with records.
const READ_DURATION_MAX: Duration = Duration::from_secs(60);
