//! The open transaction as the tasks see it: a destination of records.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::compression::Compression as CompressionType;
use kafka_wire::producer::{AppendError, NewRecord, TopicHandle, partition_for_key};
use kafka_wire::types::{PartitionId, TimestampMs};

use super::limits::{self, time_of_day};
use super::remedy::Failure;
use crate::error::{ErrorKind, ErrorPolicy};
use crate::output::{OutRecord, Output, Refused, Route, TopicLimits, numbered};
use crate::topology::Topology;
use crate::worker::{End, Fatal, Outbox};

/// A worker's producer, with the topics that the topology writes to.
pub(super) struct Transaction {
    pub(super) producer: ExclusiveProducer,
    sinks: Vec<Sink>,
    /// The first record that could not be taken; the transaction must not be committed then.
    refused: Option<AppendError>,
    /// Number of records and their bytes since the last call.
    written: (u64, u64),
    /// Next partition for records without a key, which go to the partitions in turn.
    next_partition: i32,
    /// The time of day at the begin of the transaction.
    wall: TimestampMs,
    compression: CompressionType,
}

struct Sink {
    topic: TopicHandle,
    partitions: i32,
    /// The records that the topic takes, if the job leaves others out.
    limits: Option<TopicLimits>,
}

impl Transaction {
    /// Finds the topics that the topology writes to. If the job leaves out records that a topic does not take, also
    /// looks up which ones it takes.
    pub(super) async fn open(
        mut producer: ExclusiveProducer,
        topology: &Arc<Topology>,
        client: &Client,
        compression: CompressionType,
    ) -> Result<Self, End> {
        let policy = topology.policies().of(ErrorKind::Produce, topology.dead_letters().is_some());
        let mut limits = match policy {
            ErrorPolicy::Fail => BTreeMap::new(),
            ErrorPolicy::Skip => limits::look_up(client, topology).await?,
        };
        let mut sinks = Vec::new();
        for sink in topology.sinks() {
            let topic = producer.topic(&sink.topic).await.map_err(|error| error.end())?;
            let partitions = producer.partition_count(topic);
            sinks.push(Sink { topic, partitions, limits: limits.remove(sink.topic.as_str()) });
        }
        let (written, wall) = ((0, 0), TimestampMs(0));
        Ok(Self { producer, sinks, refused: None, written, next_partition: 0, wall, compression })
    }
}

impl Outbox for Transaction {
    fn begin(&mut self) -> Result<(), End> {
        self.wall = time_of_day();
        self.producer.begin().map_err(|error| error.end())
    }

    fn check(&mut self) -> Result<(), Fatal> {
        self.refused.take().map_or(Ok(()), |error| Err(error.fatal()))
    }

    fn has_room(&self) -> bool {
        self.producer.has_room()
    }

    fn take_written(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.written)
    }
}

impl Output for Transaction {
    #[inline]
    fn emit(&mut self, record: OutRecord<'_>) {
        let sink = &self.sinks[record.sink.0];
        let partition = match (record.route, record.key) {
            (Route::Partition(partition), _) => partition,
            (Route::Number(number), _) => numbered(number, sink.partitions),
            (Route::ByKey, Some(key)) => partition_for_key(key, sink.partitions),
            (Route::ByKey, None) => {
                self.next_partition = (self.next_partition + 1) % sink.partitions;
                PartitionId(self.next_partition)
            }
        };
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.written = (self.written.0 + 1, self.written.1 + size as u64);
        let appended = self.producer.append(
            sink.topic,
            partition,
            NewRecord { timestamp: record.timestamp, key: record.key, value: record.value, headers: record.headers },
        );
        if let Err(error) = appended {
            self.refused.get_or_insert(error);
        }
    }

    #[inline]
    fn offer(&mut self, record: OutRecord<'_>) -> Result<(), Refused> {
        if let Some(limits) = &self.sinks[record.sink.0].limits {
            limits.check(&record, self.wall, self.compression)?;
        }
        self.emit(record);
        Ok(())
    }
}
