//! The open transaction as the tasks see it: a destination of records.

use std::sync::Arc;

use kafka_wire::client::ExclusiveProducer;
use kafka_wire::producer::{AppendError, NewRecord, TopicHandle, partition_for_key};
use kafka_wire::types::PartitionId;

use super::remedy::Failure;
use crate::output::{OutRecord, Output, Route};
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
}

struct Sink {
    topic: TopicHandle,
    partitions: i32,
}

impl Transaction {
    /// Finds the topics that the topology writes to.
    pub(super) async fn open(mut producer: ExclusiveProducer, topology: &Arc<Topology>) -> Result<Self, End> {
        let mut sinks = Vec::new();
        for sink in topology.sinks() {
            let topic = producer.topic(&sink.topic).await.map_err(|error| error.end())?;
            let partitions = producer.partition_count(topic);
            sinks.push(Sink { topic, partitions });
        }
        Ok(Self { producer, sinks, refused: None, written: (0, 0), next_partition: 0 })
    }
}

impl Outbox for Transaction {
    fn begin(&mut self) -> Result<(), End> {
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
}
