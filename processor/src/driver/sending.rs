//! The producer's side of a transaction on the cluster in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use kafka_wire::compression::Compression;
use kafka_wire::types::{PartitionId, TimestampMs};

use super::cluster::Cluster;
use super::logs::{Pending, TopicCounts};
use crate::output::{OutRecord, Output, Refused, Route, SinkId, TopicLimits};
use crate::topology::Topology;
use crate::worker::{End, Fatal, Outbox};

/// Output that has not been sent yet.
pub(super) struct Sending {
    /// Topics by sink, with their numbers of partitions.
    sinks: Vec<(String, i32)>,
    records: Vec<Pending>,
    /// Next partition for records without a key, which go to the partitions in turn.
    next_partition: i32,
    /// Number of records since the last check.
    written: u64,
    /// Most records that may wait.
    room: usize,
    /// The records that each topic takes; any, if it is not among them.
    limits: BTreeMap<String, TopicLimits>,
    /// The topics of the cluster, with their numbers of partitions.
    topics: TopicCounts,
    /// The topics of the job's own.
    own: BTreeSet<String>,
    /// Whether a transaction is open: as with a producer, there is no output without one.
    is_open: bool,
    /// The virtual time of day.
    pub(super) wall: TimestampMs,
}

impl Sending {
    /// The output of a worker with room for so many records.
    pub(super) fn new(topology: &Topology, cluster: &Cluster, room: usize) -> Self {
        let count = |topic: &String| (topic.clone(), cluster.logs.partition_count(topic));
        let sinks = topology.sinks().iter().map(|sink| count(&sink.topic)).collect();
        let (topics, limits, own) = (cluster.logs.counts(), cluster.limits.clone(), topology.own_topics());
        let (is_open, wall) = (false, TimestampMs(0));
        Self { sinks, records: Vec::new(), next_partition: 0, written: 0, room, limits, topics, own, is_open, wall }
    }

    pub(super) const fn len(&self) -> usize {
        self.records.len()
    }

    /// Removes the first waiting records.
    pub(super) fn take(&mut self, count: usize) -> Vec<Pending> {
        self.records.drain(..count).collect()
    }

    /// Ends the transaction; what has not been sent is not in it.
    pub(super) fn end(&mut self) {
        self.records.clear();
        self.is_open = false;
    }
}

impl Output for Sending {
    fn emit(&mut self, record: OutRecord<'_>) {
        assert!(self.is_open, "output without a transaction");
        let (topic, partition_count) = &self.sinks[record.sink.0];
        if record.key.is_none() && record.route == Route::ByKey {
            self.next_partition = (self.next_partition + 1) % *partition_count;
        }
        let keyless = PartitionId(self.next_partition);
        self.written += 1;
        self.records.push(Pending::new(topic, *partition_count, &record, keyless));
    }

    fn named(&mut self, topic: &str) -> Result<SinkId, Refused> {
        if self.own.contains(topic) {
            return Err(Refused("it is the job's own".to_owned()));
        }
        if let Some(known) = self.sinks.iter().position(|(known, _)| known == topic) {
            return Ok(SinkId(known));
        }
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let count = topics.get(topic).ok_or_else(|| Refused("it does not exist".to_owned()))?;
        self.sinks.push((topic.to_owned(), *count));
        Ok(SinkId(self.sinks.len() - 1))
    }

    fn offer(&mut self, record: OutRecord<'_>) -> Result<(), Refused> {
        if let Some(limits) = self.limits.get(&self.sinks[record.sink.0].0) {
            limits.check(&record, self.wall, Compression::None)?;
        }
        self.emit(record);
        Ok(())
    }
}

impl Outbox for Sending {
    fn begin(&mut self) -> Result<(), End> {
        self.is_open = true;
        Ok(())
    }

    fn check(&mut self) -> Result<(), Fatal> {
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.records.len() <= self.room
    }

    fn take_written(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.written), 0)
    }
}
