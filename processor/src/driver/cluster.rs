//! A cluster in memory: logs, the group coordinator, the transaction coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::group::assignor::PartitionCounts;
use kafka_wire::time::Moment;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use kafka_wire::wire::Str;

use super::group::Group;
use super::logs::Logs;
use super::transactions::{Offsets, Transactions};
use crate::output::TopicLimits;
use crate::task::SourcePartitions;
use crate::topology::{SinkKind, Topology};
use crate::worker::{Ends, end_of};

/// The state that outlives a worker.
pub(super) struct Cluster {
    pub(super) logs: Logs,
    pub(super) group: Group,
    pub(super) transactions: Transactions,
    /// Committed offsets of the group.
    pub(super) offsets: Offsets,
    /// Whether dead workers can be fenced.
    pub(super) can_fence: bool,
    /// The records that topics take; any, for a topic that is not among them.
    pub(super) limits: BTreeMap<String, TopicLimits>,
    /// Topics that the group reads.
    topics: Vec<Str>,
    /// The changelogs, which are compacted.
    changelogs: Vec<String>,
}

impl Cluster {
    /// Makes a cluster with the topics of a job; the user's topics have one partition each, or as many
    /// as `partitions` says.
    pub(super) fn new(topology: &Topology, partitions: &[(&str, i32)]) -> Self {
        let mut logs = Logs::default();
        for (topic, partition_count) in partitions {
            logs.create(topic, *partition_count);
        }
        for source in topology.external_sources() {
            logs.create(&source.topic, 1);
        }
        for global in topology.globals() {
            logs.create(&global.topic, 1);
        }
        for sink in topology.sinks() {
            match sink.kind {
                SinkKind::External => logs.create(&sink.topic, 1),
                SinkKind::Repartition { partitions } | SinkKind::Changelog { partitions: Some(partitions) } => {
                    logs.create(&sink.topic, partitions.0);
                }
                SinkKind::Changelog { partitions: None } => {}
            }
        }
        let counts = topology.external_sources().map(|source| &source.topic);
        let counts = counts.map(|topic| (topic.clone(), logs.partition_count(topic))).collect();
        topology.check_partitions(&counts).expect("numbers of partitions that the topology can work with");
        let mut changelogs = Vec::new();
        for store in topology.stores() {
            if let Some(changelog) = store.own_changelog() {
                let task_count = topology.task_count(store.sub_topology, &counts);
                let topic = &topology.sinks()[changelog.0].topic;
                logs.create(topic, task_count);
                changelogs.push(topic.clone());
            }
        }
        let sources = topology.sub_topologies().iter().flat_map(|sub_topology| sub_topology.sources());
        let topics = sources.map(|source| Str::from(source.topic.as_str())).collect();
        let together = topology.together().into_iter().map(|group| group.into_iter().map(Str::from).collect());
        let group = Group::new(together.collect());
        let (transactions, offsets) = (Transactions::default(), Offsets::new());
        let limits = BTreeMap::new();
        Self { logs, group, transactions, offsets, can_fence: true, limits, topics, changelogs }
    }

    /// Lets the group read the topics of a worker that starts.
    pub(super) fn share_topics_of(&mut self, topology: &Topology, now: Moment) {
        let sources = topology.sub_topologies().iter().flat_map(|sub_topology| sub_topology.sources());
        let topics = sources.map(|source| source.topic.clone()).collect();
        let together = topology.together().into_iter().map(|group| group.into_iter().map(str::to_owned).collect());
        self.share_topics(topics, together.collect(), now);
    }

    /// Lets the group read other topics; it rebalances if these are new to it.
    pub(super) fn share_topics(&mut self, topics: Vec<String>, together: Vec<Vec<String>>, now: Moment) {
        let names = |topics: Vec<String>| topics.into_iter().map(Str::from).collect::<Vec<_>>();
        let topics = names(topics);
        // A worker that has found less does not take topics away from the others.
        if topics.iter().any(|topic| !self.topics.contains(topic)) {
            self.topics = topics;
            self.group.set_together(together.into_iter().map(names).collect());
            self.group.rebalance(now);
        }
    }

    /// Handles timeouts that are due: sessions and transactions end, a rebalance completes.
    pub(super) fn handle_time(&mut self, now: Moment) {
        self.transactions.expire(now, TRANSACTION_TIMEOUT, &mut self.logs);
        let count = |topic: &Str| (topic.clone(), u32::try_from(self.logs.partition_count(topic)).unwrap_or(0));
        let counts: PartitionCounts = self.topics.iter().map(count).collect();
        self.group.handle_time(now, &self.topics, &counts);
    }

    /// From now on the markers of transactions are written some time after their end, by [`Cluster::write_markers`];
    /// or at once again.
    pub(super) fn delay_markers(&mut self, is_slow: bool) {
        self.transactions.delay_markers(is_slow, &mut self.logs, &mut self.offsets);
    }

    /// Makes half of one decided end visible, if there is one; `index` selects it.
    pub(super) fn write_markers(&mut self, index: usize) {
        self.transactions.write_markers(index, &mut self.logs, &mut self.offsets);
    }

    /// Compacts a partition of a changelog up to an offset; the numbers select them, modulo how many there are.
    pub(super) fn compact(&mut self, changelog: usize, partition: usize, before: usize) {
        let Some(topic) = self.changelogs.get(changelog % self.changelogs.len().max(1)) else { return };
        let count = usize::try_from(self.logs.partition_count(topic)).unwrap_or_default();
        let partition = PartitionId(i32::try_from(partition % count.max(1)).unwrap_or_default());
        let end = usize::try_from(self.logs.end_offset(topic, partition).0).unwrap_or_default();
        let before = Offset(i64::try_from(before % (end + 1)).unwrap_or_default());
        self.logs.compact(topic, partition, before);
    }

    /// The sum of the end offsets of a source's partitions, each limited to the end of a bounded run.
    pub(super) fn source_end(&self, source: &SourcePartitions, run_ends: Option<&Ends>) -> Offset {
        let all = (0..self.logs.partition_count(&source.topic)).map(PartitionId);
        let ends = all.filter(|id| source.partition.is_none_or(|only| only == *id)).map(|id| {
            let partition = TopicPartition::new(source.topic.as_str(), id);
            let run_end = run_ends.and_then(|ends| end_of(ends, &partition));
            let end = self.logs.end_offset(&source.topic, id);
            run_end.map_or(end, |run_end| end.min(run_end)).0
        });
        Offset(ends.sum())
    }

    /// The committed offsets of partitions; `None` while a transaction is about to change a stable one.
    pub(super) fn read_offsets(
        &self,
        partitions: Vec<TopicPartition>,
        is_stable: bool,
    ) -> Option<Vec<(TopicPartition, Option<CommittedOffset>)>> {
        if is_stable && partitions.iter().any(|partition| self.transactions.is_unstable(partition)) {
            return None;
        }
        let found = |partition: TopicPartition| {
            let committed = self.offsets.get(&partition).cloned();
            (partition, committed)
        };
        Some(partitions.into_iter().map(found).collect())
    }

    pub(super) fn list(
        &self,
        partition: &TopicPartition,
        spec: OffsetSpec,
        isolation: IsolationLevel,
    ) -> Option<Offset> {
        let TopicPartition { topic, partition } = partition;
        match spec {
            OffsetSpec::Earliest => Some(self.logs.start_offset(topic, *partition)),
            OffsetSpec::Latest if isolation == IsolationLevel::ReadCommitted => {
                Some(self.logs.last_stable_offset(topic, *partition))
            }
            OffsetSpec::Latest => Some(self.logs.end_offset(topic, *partition)),
            OffsetSpec::Timestamp(timestamp) => self.logs.first_at(topic, *partition, timestamp),
            // A job asks for none of these.
            OffsetSpec::MaxTimestamp
            | OffsetSpec::EarliestLocal
            | OffsetSpec::LatestTiered
            | OffsetSpec::EarliestPendingUpload => None,
        }
    }
}

const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
