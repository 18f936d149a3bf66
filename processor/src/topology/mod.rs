//! A job as data: declared by a typed builder, checked by `build()`, printed by `describe()`, run by the
//! runtime or the test driver.
//!
//! A *sub-topology* is everything between two shuffles, with one or more source topics. A *task* is a sub-topology on
//! one partition number of these topics. Only repartition topics connect sub-topologies.

mod aggregated;
mod broadcast;
mod builder;
mod cogroup;
mod describe;
mod detected;
mod error;
mod foreign;
mod global;
mod graph;
mod inputs;
mod intervals;
mod joined;
mod offsets;
mod outputs;
mod patterns;
mod process;
mod stateless;
mod stream;
mod table;
mod topics;
mod versioned;
mod windowed;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use kafka_wire::types::Offset;

use crate::error::{ErrorKind, ErrorPolicies, ErrorPolicy};
use crate::operator::{NodeId, Stage, StageBuilder, TeeMaker};
use crate::output::{SinkId, StoreId};
use crate::state::{GlobalRows, Store};
use crate::types::Partitions;
use crate::watermark::Watermark;

pub use aggregated::Updates;
pub use broadcast::{Broadcast, Ruled};
pub use builder::{Builder, ValueStream};
pub use cogroup::Cogrouped;
pub use detected::PatternStream;
pub use error::{BuildError, BuildErrors, NotCopartitioned};
pub use global::GlobalTable;
pub use offsets::{Extent, ResetPolicy, StartingOffsets, StoppingOffsets};
pub use patterns::ReadTwice;
pub use process::{Connected, Declare};
pub use stream::{Predicate, Stream};
pub use table::{Table, TopicTable};
pub use topics::Topics;
pub use versioned::VersionedTable;
pub use windowed::{Gathered, KeptOf, WindowedBy, WindowedStream};

/// A job that has been checked. It is shared by all workers, and has no state of a run.
pub struct Topology {
    application_id: String,
    sub_topologies: Vec<SubTopology>,
    sinks: Vec<SinkSpec>,
    stores: Arc<Vec<StoreSpec>>,
    patterns: Vec<patterns::PatternSpec>,
    policies: ErrorPolicies,
    dead_letters: Option<SinkId>,
    globals: Arc<Vec<GlobalSpec>>,
}

impl fmt::Debug for Topology {
    /// The name of the job and the size of its parts; [`Topology::describe`] tells its steps.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("application_id", &self.application_id)
            .field("sub_topologies", &self.sub_topologies.len())
            .field("stores", &self.stores.len())
            .finish_non_exhaustive()
    }
}

impl Topology {
    /// Starts to declare a job. Its consumer group, its transactional ids and its internal topics are named after
    /// the application id: two jobs must not share one, and a job that changes it starts anew.
    #[must_use]
    pub fn builder(application_id: &str) -> Builder {
        Builder::new(application_id)
    }

    /// The application id.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// The sub-topologies; a [`SubTopologyId`] is an index of it.
    #[must_use]
    pub fn sub_topologies(&self) -> &[SubTopology] {
        &self.sub_topologies
    }

    /// Every topic that the job writes; a [`SinkId`] is an index of it.
    #[must_use]
    pub fn sinks(&self) -> &[SinkSpec] {
        &self.sinks
    }

    /// The topic of a store's changelog.
    #[must_use]
    pub fn changelog_topic(&self, store: StoreId) -> &str {
        match &self.stores[store.0].changelog {
            ChangelogTopic::Own(sink) => &self.sinks[sink.0].topic,
            ChangelogTopic::Source(topic) => topic,
        }
    }

    /// The topics of the job's own that it writes: repartition and changelog topics.
    pub(crate) fn own_topics(&self) -> BTreeSet<String> {
        let own = self.sinks.iter().filter(|sink| sink.kind != SinkKind::External);
        own.map(|sink| sink.topic.clone()).collect()
    }

    /// Every store of the job; a [`StoreId`] is an index of it.
    #[must_use]
    pub fn stores(&self) -> &[StoreSpec] {
        &self.stores
    }

    /// The global tables of the job, which each worker makes for its tasks.
    #[must_use]
    pub fn globals(&self) -> &[GlobalSpec] {
        &self.globals
    }

    /// The sub-topology that reads `topic`.
    #[must_use]
    pub fn reader_of(&self, topic: &str) -> Option<&SubTopology> {
        self.sub_topologies.iter().find(|sub_topology| sub_topology.sources.iter().any(|source| source.topic == topic))
    }

    /// The topics of each sub-topology that reads several: partitions with equal numbers belong to one task,
    /// and so to one worker.
    #[must_use]
    pub fn together(&self) -> Vec<Vec<&str>> {
        let several = self.sub_topologies.iter().filter(|sub_topology| sub_topology.sources.len() > 1);
        several.map(|one| one.sources.iter().map(|source| source.topic.as_str()).collect()).collect()
    }

    /// The source of that name.
    #[must_use]
    pub fn source(&self, topic: &str) -> Option<&SourceSpec> {
        self.reader_of(topic)?.sources.iter().find(|source| source.topic == topic)
    }

    /// The topics of the user's that the job reads.
    pub fn external_sources(&self) -> impl Iterator<Item = &SourceSpec> {
        let sources = self.sub_topologies.iter().flat_map(|sub_topology| &sub_topology.sources);
        sources.filter(|source| source.kind == SourceKind::External)
    }

    /// The topics of the user's that a sub-topology reads itself.
    pub fn own_sources(&self, id: SubTopologyId) -> impl Iterator<Item = &str> {
        let sources = self.sub_topologies[id.0].sources.iter();
        sources.filter(|source| source.kind == SourceKind::External).map(|source| source.topic.as_str())
    }

    /// The topics of the user's that all sub-topologies upstream of one read; a topic that reaches it in
    /// two ways occurs twice.
    #[must_use]
    pub fn sources_above(&self, id: SubTopologyId) -> Vec<&str> {
        let mut topics = Vec::new();
        for source in &self.sub_topologies[id.0].sources {
            if let SourceKind::Repartition { upstream, .. } = source.kind {
                topics.extend(self.own_sources(upstream));
                topics.extend(self.sources_above(upstream));
            }
        }
        topics
    }

    /// The ends of a bounded run for a reader of `source`: for each upstream task, the end that its marks will state.
    /// `None` for a source of the user's, which has no upstream tasks, and if one of the topics above has no end.
    ///
    /// `ends` has the end offset of each partition of the source topics of the user's that have ends. A task that reads
    /// several partitions states the sum of their ends, and a task downstream of a shuffle the sum of the ends
    /// that it expects itself.
    #[must_use]
    pub fn expected_ends(&self, source: &SourceSpec, ends: &BTreeMap<String, Vec<Offset>>) -> Option<Vec<Offset>> {
        let SourceKind::Repartition { upstream, .. } = source.kind else { return None };
        let mut sums = Vec::new();
        for source in &self.sub_topologies[upstream.0].sources {
            let of_source = match source.kind {
                SourceKind::External => ends.get(&source.topic)?.clone(),
                SourceKind::Repartition { partitions, .. } => {
                    let sum =
                        self.expected_ends(source, ends)?.iter().fold(0_i64, |sum, end| sum.saturating_add(end.0));
                    vec![Offset(sum); usize::try_from(partitions.0).unwrap_or_default()]
                }
            };
            sums.resize(sums.len().max(of_source.len()), Offset(0));
            sums.iter_mut().zip(of_source).for_each(|(sum, end)| *sum = Offset(sum.0.saturating_add(end.0)));
        }
        Some(sums)
    }

    /// The number of tasks of a sub-topology, which is that of the partitions of its largest source.
    /// `counts` has the numbers of partitions of the user's topics; a missing one counts as 0.
    #[must_use]
    pub fn task_count(&self, id: SubTopologyId, counts: &BTreeMap<String, i32>) -> i32 {
        self.sub_topologies[id.0].sources.iter().map(|source| source.partition_count(counts)).max().unwrap_or(0)
    }

    /// Checks, once the numbers of partitions are known, that all records of a key reach the same task of a step with
    /// state: the topics that reach it without a shuffle must have equal numbers.
    ///
    /// # Errors
    /// The first step for which they have different numbers.
    pub fn check_partitions(&self, counts: &BTreeMap<String, i32>) -> Result<(), NotCopartitioned> {
        self.stores.iter().try_for_each(|store| {
            let sources = self.sub_topologies[store.sub_topology.0].sources.iter();
            let reaching = sources.filter(|source| store.is_reached_by(source));
            store.check_counts(reaching.map(|source| (source.topic.clone(), source.partition_count(counts))).collect())
        })
    }

    /// As [`Topology::check_partitions`], for one sub-topology, with the topics that `counts` has.
    ///
    /// # Errors
    /// As there.
    pub fn check_partitions_of(
        &self,
        id: SubTopologyId,
        counts: &BTreeMap<String, i32>,
    ) -> Result<(), NotCopartitioned> {
        self.stores.iter().filter(|store| store.sub_topology == id).try_for_each(|store| {
            let sources = self.sub_topologies[id.0].sources.iter().filter(|source| store.is_reached_by(source));
            let counted = sources.map(|source| (source.topic.clone(), source.partition_count(counts)));
            store.check_counts(counted.filter(|(_, count)| *count > 0).collect())
        })
    }

    /// The reactions to records that fail.
    #[must_use]
    pub const fn policies(&self) -> ErrorPolicies {
        self.policies
    }

    /// Returns the topic of the records that are left out because they fail, if there is one.
    #[must_use]
    pub const fn dead_letters(&self) -> Option<SinkId> {
        self.dead_letters
    }

    /// The same job with another reaction to one kind of failure, which configuration may set.
    #[must_use]
    pub const fn with_policy(mut self, kind: ErrorKind, policy: ErrorPolicy) -> Self {
        self.policies.set(kind, policy);
        self
    }

    /// The same job with another topic of dead letters, which configuration may set.
    #[must_use]
    pub fn with_dead_letters(mut self, topic: &str) -> Self {
        let sink = SinkSpec { topic: topic.to_owned(), kind: SinkKind::External };
        let known = self.sinks.iter().position(|known| *known == sink);
        let index = known.unwrap_or_else(|| {
            self.sinks.push(sink);
            self.sinks.len() - 1
        });
        self.dead_letters = Some(SinkId(index));
        self
    }

    /// Prints sub-topologies, sources, steps with their stores, and sinks, in the manner of Kafka Streams'
    /// `describe()`.
    #[must_use]
    pub fn describe(&self) -> String {
        describe::describe(self)
    }
}

/// Index of a sub-topology in [`Topology::sub_topologies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubTopologyId(pub usize);

/// Everything between two shuffles.
#[derive(Clone)]
pub struct SubTopology {
    id: SubTopologyId,
    sources: Vec<SourceSpec>,
    stores: Vec<StoreId>,
    shuffles: Vec<SinkId>,
    heads: Vec<HeadSpec>,
    steps: Vec<StepText>,
    ends: Arc<Vec<graph::EndBuilder>>,
    /// The number of steps that follow each step, in the whole job.
    uses: Arc<Vec<usize>>,
    /// The name of each step, in the whole job.
    names: Arc<Vec<String>>,
    tees: Arc<BTreeMap<NodeId, TeeMaker>>,
}

/// A stream that reads a source of its sub-topology.
#[derive(Clone, Debug)]
pub(crate) struct HeadSpec {
    /// The step.
    node: NodeId,
    /// Indexes into [`SubTopology::sources`].
    pub(crate) inputs: Vec<usize>,
}

/// A step, for `describe()`.
#[derive(Clone, Debug)]
struct StepText {
    kind: &'static str,
    name: String,
    detail: String,
    /// The names of the steps before and after it.
    before: String,
    after: String,
}

impl SubTopology {
    /// Its index.
    #[must_use]
    pub const fn id(&self) -> SubTopologyId {
        self.id
    }

    /// The topics that it reads. It has as many tasks as the largest of them has partitions.
    #[must_use]
    pub fn sources(&self) -> &[SourceSpec] {
        &self.sources
    }

    /// Its stores, to be restored from their changelogs before a task's first record.
    #[must_use]
    pub fn stores(&self) -> &[StoreId] {
        &self.stores
    }

    /// The repartition topics that its tasks write: data, and marks.
    #[must_use]
    pub fn shuffles(&self) -> &[SinkId] {
        &self.shuffles
    }

    /// The streams that read its sources, in the order of [`Stage::heads`].
    pub(crate) fn heads(&self) -> &[HeadSpec] {
        &self.heads
    }

    /// The names of the steps, by [`NodeId`].
    pub(crate) fn names(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.names)
    }

    /// A stage for one task.
    pub(crate) fn stage(&self) -> Stage {
        let uses = |node: NodeId| self.uses[node.0];
        let mut stage = StageBuilder::new(&uses, &self.tees);
        self.ends.iter().for_each(|end| end(&mut stage));
        stage.finish()
    }
}

/// A topic that a sub-topology reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its name.
    pub topic: String,
    /// The owner of the topic.
    pub kind: SourceKind,
    /// The watermark policy of its partitions; no effect on a repartition topic, which carries its watermarks.
    pub watermark: Watermark,
    /// For a topic of the job's own, the version in which its records are written. Readers remember it,
    /// and refuse another one.
    pub version: String,
    /// The name under which steps know the input: the topic, or the pattern that it matches.
    pub(crate) declared: String,
    /// The part of the topic that is read.
    pub extent: Extent,
}

impl SourceSpec {
    /// Whether the topic was found by a pattern.
    pub(crate) fn is_found(&self) -> bool {
        self.declared != self.topic
    }

    /// Its number of partitions; that of a topic of the user's is in `counts`, or 0.
    fn partition_count(&self, counts: &BTreeMap<String, i32>) -> i32 {
        match self.kind {
            SourceKind::External => counts.get(&self.topic).copied().unwrap_or(0),
            SourceKind::Repartition { partitions, .. } => partitions.0,
        }
    }
}

/// The owner of a source topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The user: the topic must exist, and has any number of partitions.
    External,
    /// The job: the topic is read committed, and its records are deleted once their offsets are committed.
    Repartition {
        /// The sub-topology that writes it.
        upstream: SubTopologyId,
        /// Number of its partitions.
        partitions: Partitions,
    },
}

/// A topic that the job writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSpec {
    /// Its name.
    pub topic: String,
    /// Its purpose.
    pub kind: SinkKind,
}

/// The purpose of a topic that the job writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// An output of the user's; the topic must exist.
    External,
    /// A shuffle; the job creates the topic.
    Repartition {
        /// Number of its partitions.
        partitions: Partitions,
    },
    /// State; the job creates the topic, with `cleanup.policy=compact`.
    Changelog {
        /// Number of its partitions; `None` for as many as its sub-topology has tasks, see [`Topology::task_count`].
        partitions: Option<Partitions>,
    },
}

/// A store and the topic that makes it durable.
pub struct StoreSpec {
    /// Its name.
    pub name: String,
    /// Its changelog: partition `p` belongs to the task of partition `p`.
    pub changelog: ChangelogTopic,
    /// The sub-topology that has it.
    pub sub_topology: SubTopologyId,
    /// The version in which its entries are written, with their windows. The changelog remembers it,
    /// and another one is refused.
    pub version: String,
    /// The step that has it.
    node: NodeId,
    /// The topics whose records reach it without a shuffle in between.
    sources: Vec<String>,
    /// Makes the store; `None` for one that only has the progress of event time, which the task writes itself.
    make: Option<StoreMaker>,
}

/// A global table.
pub struct GlobalSpec {
    /// The topic that it comes from.
    pub topic: String,
    /// Makes an empty table.
    pub make: GlobalMaker,
}

/// Makes an empty global table.
pub type GlobalMaker = Box<dyn Fn() -> Arc<dyn GlobalRows> + Send + Sync>;

/// The changelog of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangelogTopic {
    /// A topic that the job writes for it.
    Own(SinkId),
    /// The compacted source topic that the store has its entries from. It is read from its beginning to the committed
    /// offset, and nothing is written.
    Source(String),
}

/// Makes an empty store.
pub type StoreMaker = Box<dyn Fn() -> Box<dyn Store> + Send + Sync>;

impl StoreSpec {
    /// The store of one task, empty.
    pub(crate) fn make(&self) -> Option<Box<dyn Store>> {
        self.make.as_ref().map(|make| make())
    }

    /// The changelog, if it is one of the job's own.
    pub(crate) const fn own_changelog(&self) -> Option<SinkId> {
        match self.changelog {
            ChangelogTopic::Own(sink) => Some(sink),
            ChangelogTopic::Source(_) => None,
        }
    }

    /// The source topic that is its changelog, if one is.
    pub(crate) fn source_changelog(&self) -> Option<&str> {
        match &self.changelog {
            ChangelogTopic::Own(_) => None,
            ChangelogTopic::Source(topic) => Some(topic),
        }
    }

    /// Whether records of a source reach it without a shuffle in between.
    fn is_reached_by(&self, source: &SourceSpec) -> bool {
        self.sources.contains(&source.declared)
    }

    /// Checks the partition counts of topics that reach the store.
    fn check_counts(&self, topics: Vec<(String, i32)>) -> Result<(), NotCopartitioned> {
        match topics.first() {
            Some((_, first)) if self.make.is_some() && topics.iter().any(|(_, count)| count != first) => {
                Err(NotCopartitioned { step: self.name.clone(), topics })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for StoreSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSpec").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}
