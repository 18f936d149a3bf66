//! The inputs of a job on the cluster in memory: where they start and end, and how they grow.

use std::sync::Arc;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{Offset, PartitionId};

use super::TestDriver;
use super::cluster::Cluster;
use crate::topology::{SourceSpec, StoppingOffsets, Topology};
use crate::worker::{Ends, UNBOUNDED};

impl TestDriver {
    /// Ends all inputs at their present ends, and settles: every window is closed. Input that is piped later starts
    /// another run. An input that has an end of its own keeps it.
    pub fn end_of_input(&mut self) {
        let ends = self.cluster.ends(&self.topology, true);
        self.set_ends(Some(Arc::new(ends)));
        self.settle();
    }

    /// Adds partitions to a topic; the group rebalances.
    pub fn grow_topic(&mut self, topic: &str, partition_count: i32) {
        self.cluster.logs.grow(topic, partition_count);
        self.rebalance();
    }

    /// Compacts a topic as a broker does, whatever its settings: of the records of each key only the last one stays.
    /// Tombstones stay, and records of open transactions are left alone.
    pub fn compact_topic(&mut self, topic: &str) {
        for partition in (0..self.cluster.logs.partition_count(topic)).map(PartitionId) {
            let end = self.cluster.logs.end_offset(topic, partition);
            self.cluster.logs.compact(topic, partition, end);
        }
    }

    /// Deletes a topic that the job reads. Event time goes on without it once a worker, which looks every 5 s, misses
    /// it again.
    pub fn delete_topic(&mut self, topic: &str) {
        self.cluster.logs.remove(topic);
    }

    /// Creates a topic. An input with a pattern that it matches reads it once a worker has looked for topics, which
    /// workers do every 30 s by default.
    ///
    /// # Panics
    /// If two inputs would read it.
    pub fn create_topic(&mut self, topic: &str, partition_count: i32) {
        self.cluster.logs.create(topic, partition_count);
        if let Some(found) = self.topology.with_later_topics([topic]).expect("a topic that one input reads") {
            self.topology = Arc::new(found);
        }
    }

    /// Looks up where the inputs end, as a process does at its start; before that there is no worker.
    pub(super) fn look_up_ends(&mut self) {
        if std::mem::replace(&mut self.has_ends, true) {
            return;
        }
        let own = self.cluster.ends(&self.topology, false);
        self.own_ends = (!own.is_empty()).then(|| Arc::new(own));
        self.ends.clone_from(&self.own_ends);
    }
}

impl Cluster {
    /// The ends of the inputs that have one, or of all for a run to the end.
    fn ends(&self, topology: &Topology, is_bounded: bool) -> Ends {
        let mut ends = Ends::new();
        for source in topology.external_sources() {
            let stop = source.extent.stop.as_ref().or(is_bounded.then_some(&StoppingOffsets::Latest));
            if stop.is_none() && source.extent.partitions.is_none() {
                continue;
            }
            let end = |partition: TopicPartition| match stop {
                _ if !source.extent.has(partition.partition) => Offset(0),
                None => UNBOUNDED,
                Some(stop) => self.stop(stop, &partition),
            };
            ends.insert(source.topic.clone(), self.partitions(source).map(end).collect());
        }
        ends
    }

    fn stop(&self, stop: &StoppingOffsets, partition: &TopicPartition) -> Offset {
        let TopicPartition { topic, partition: id } = partition;
        let at = match stop {
            StoppingOffsets::Latest => None,
            StoppingOffsets::Timestamp(timestamp) => self.logs.first_at(topic, *id, *timestamp),
            StoppingOffsets::Offsets(offsets) => offsets.get(partition).copied(),
        };
        at.unwrap_or_else(|| self.logs.last_stable_offset(topic, *id))
    }

    fn partitions(&self, source: &SourceSpec) -> impl Iterator<Item = TopicPartition> + use<'_> {
        let topic = source.topic.clone();
        let partitions = (0..self.logs.partition_count(&topic)).map(PartitionId);
        partitions.map(move |partition| TopicPartition::new(topic.as_str(), partition))
    }
}
