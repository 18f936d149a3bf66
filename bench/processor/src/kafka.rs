//! The benchmark's own work on the cluster: topics, the records in them, and the progress of a job.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka_wire::admin::{NewTopic, OffsetSpec};
use kafka_wire::client::{Client, Consumer, ExclusiveProducer, fetch_unstable_offsets};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::ConsumerConfig;
use kafka_wire::producer::{AppendError, NewRecord, TopicHandle};
use kafka_wire::types::{IsolationLevel, Offset, PartitionId, TimestampMs};
use kafka_wire::wire::Str;

/// Creates a topic that keeps its records for ever: event times may be old.
pub(crate) async fn create_topic(client: &Client, name: &str) -> Result<(), Box<dyn Error>> {
    let configs = vec![("retention.ms".into(), "-1".into())];
    let topic = NewTopic { configs, ..NewTopic::new(name, PARTITIONS) };
    for (_, outcome) in client.create_topics(&[topic]).await? {
        outcome?;
    }
    for partition in partitions(name) {
        client.leader(name, partition.partition).await?;
    }
    Ok(())
}

/// Deletes topics; a topic that does not exist is no error.
pub(crate) async fn delete_topics(client: &Client, names: &[String]) -> Result<(), Box<dyn Error>> {
    let names: Vec<Str> = names.iter().map(|name| Str::from(name.as_str())).collect();
    client.delete_topics(&names).await?;
    Ok(())
}

/// The sum of the partitions' end offsets at this isolation level.
pub(crate) async fn ends(client: &Client, topic: &str, isolation: IsolationLevel) -> Result<i64, Box<dyn Error>> {
    let latest: Vec<_> = partitions(topic).map(|partition| (partition, OffsetSpec::Latest)).collect();
    let listed = client.list_offsets(&latest, isolation).await?;
    Ok(listed.iter().filter_map(|it| it.offset).map(|offset| offset.0).sum())
}

/// The sum of the offsets that a group has committed.
pub(crate) async fn committed(client: &Client, group: &str, topic: &str) -> Result<i64, Box<dyn Error>> {
    let partitions: Vec<_> = partitions(topic).collect();
    let found = fetch_unstable_offsets(client, group, &partitions).await?;
    Ok(found.into_iter().filter_map(|(_, committed)| committed).map(|committed| committed.offset.0).sum())
}

/// Hands every committed record of a topic to `take`, each partition in its order.
pub(crate) async fn read(
    client: &Client,
    topic: &str,
    mut take: impl FnMut(&[u8], &[u8]),
) -> Result<(), Box<dyn Error>> {
    let isolation = IsolationLevel::ReadCommitted;
    let latest: Vec<_> = partitions(topic).map(|partition| (partition, OffsetSpec::Latest)).collect();
    let mut ends = client.list_offsets(&latest, isolation).await?;
    ends.retain(|end| end.offset.is_some_and(|offset| offset > Offset(0)));
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig { isolation, ..ConsumerConfig::default() });
    for end in &ends {
        consumer.assign(end.partition.clone(), Offset(0));
    }
    let mut buffer = Decompressed::default();
    while !ends.is_empty() {
        let mut fetched = tokio::time::timeout(READ_DURATION_MAX, consumer.poll()).await??;
        while let Some(batch) = fetched.next_batch() {
            let batch = batch?;
            for record in batch.batch.open(&mut buffer)? {
                let record = record?;
                if record.offset >= batch.position.0 {
                    take(record.key.unwrap_or_default(), record.value.unwrap_or_default());
                }
            }
        }
        ends.retain(|end| {
            let is_read =
                end.partition == *fetched.partition() && end.offset.is_some_and(|end| fetched.next_offset() >= end);
            if is_read {
                consumer.unassign(&end.partition);
            }
            !is_read
        });
    }
    Ok(())
}

/// Returns the time of day, in ms.
pub(crate) fn now_ms() -> Result<i64, Box<dyn Error>> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

pub(crate) async fn append(
    producer: &mut ExclusiveProducer,
    topic: TopicHandle,
    partition: PartitionId,
    record: &Record,
) -> Result<(), Box<dyn Error>> {
    let key = (!record.key.is_empty()).then_some(record.key.as_slice());
    let timestamp = TimestampMs(record.timestamp_ms);
    loop {
        match producer.append(
            topic,
            partition,
            NewRecord { timestamp, key, value: Some(&record.value), ..NewRecord::default() },
        ) {
            Ok(()) => return Ok(()),
            Err(AppendError::Full { .. }) => producer.ready().await?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// An input record; an empty key means none.
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp_ms: i64,
}

fn partitions(topic: &str) -> impl Iterator<Item = TopicPartition> + use<'_> {
    (0..PARTITIONS).map(move |partition| TopicPartition::new(topic, PartitionId(partition)))
}

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 6;
/// Longest wait for the next records of a topic that has more.
const READ_DURATION_MAX: Duration = Duration::from_secs(60);
