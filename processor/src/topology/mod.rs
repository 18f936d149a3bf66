//! A job as data: declared by a typed builder, checked by `build()`, printed by `describe()`, run by the runtime or the
//! test driver.
//!
//! A *sub-topology* is everything between two shuffles, with one source topic. A *task* is a sub-topology on one partition
//! of that topic. Sub-topologies are joined by repartition topics only.

mod builder;
mod describe;
mod error;
mod stream;
mod windowed;

#[cfg(test)]
mod tests;

use crate::operator::{Stage, Undecodable};
use crate::output::{SinkId, StoreId};
use crate::types::Partitions;
use crate::watermark::Watermark;

pub use builder::{Builder, ValueStream};
pub use error::{BuildError, BuildErrors};
pub use stream::Stream;
pub use windowed::{WindowedBy, WindowedStream};

/// A job that has been checked. Shared by all workers; it holds no state of a run.
pub struct Topology {
    application_id: String,
    sub_topologies: Vec<SubTopology>,
    sinks: Vec<SinkSpec>,
    stores: Vec<StoreSpec>,
    undecodable: Undecodable,
}

impl Topology {
    /// Starts to declare a job. The application id names its consumer group, its transactional ids and its internal topics:
    /// two jobs must not share one, and a job that changes it starts anew.
    #[must_use]
    pub fn builder(application_id: &str) -> Builder {
        Builder::new(application_id)
    }

    /// The application id.
    #[must_use]
    pub fn application_id(&self) -> &str {
        &self.application_id
    }

    /// The sub-topologies; [`SubTopologyId`] is the index.
    #[must_use]
    pub fn sub_topologies(&self) -> &[SubTopology] {
        &self.sub_topologies
    }

    /// Every topic that the job writes; [`SinkId`] is the index.
    #[must_use]
    pub fn sinks(&self) -> &[SinkSpec] {
        &self.sinks
    }

    /// Every store of the job; [`StoreId`] is the index.
    #[must_use]
    pub fn stores(&self) -> &[StoreSpec] {
        &self.stores
    }

    /// The sub-topology that reads `topic`.
    #[must_use]
    pub fn reader_of(&self, topic: &str) -> Option<&SubTopology> {
        self.sub_topologies.iter().find(|sub_topology| sub_topology.source.topic == topic)
    }

    /// What happens to records that cannot be decoded.
    #[must_use]
    pub const fn undecodable(&self) -> Undecodable {
        self.undecodable
    }

    /// The same job with another rule for records that cannot be decoded: a rule that configuration may set.
    #[must_use]
    pub fn with_undecodable(self, undecodable: Undecodable) -> Self {
        Self { undecodable, ..self }
    }

    /// Prints sub-topologies, sources, steps with their stores, and sinks, in the manner of Kafka Streams' `describe()`.
    #[must_use]
    pub fn describe(&self) -> String {
        describe::describe(self)
    }
}

/// Index of a sub-topology in [`Topology::sub_topologies`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubTopologyId(pub usize);

/// Everything between two shuffles.
pub struct SubTopology {
    id: SubTopologyId,
    source: SourceSpec,
    stores: Vec<StoreId>,
    shuffle: Option<SinkId>,
    watermark: Watermark,
    nodes: Vec<Node>,
    stage: StageBuilder,
}

/// Builds the stage of one task.
type StageBuilder = Box<dyn Fn() -> Box<dyn Stage> + Send + Sync>;

impl SubTopology {
    /// Its index.
    #[must_use]
    pub const fn id(&self) -> SubTopologyId {
        self.id
    }

    /// The topic that it reads: one task per partition of it.
    #[must_use]
    pub const fn source(&self) -> &SourceSpec {
        &self.source
    }

    /// Its stores, to be restored from their changelogs before a task's first record.
    #[must_use]
    pub fn stores(&self) -> &[StoreId] {
        &self.stores
    }

    /// The repartition topic at its end, into which its tasks write marks.
    #[must_use]
    pub const fn shuffle(&self) -> Option<SinkId> {
        self.shuffle
    }

    /// How its source makes watermarks; without effect on a repartition topic, whose watermarks come in it.
    #[must_use]
    pub const fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// A stage for one task, without state.
    pub(crate) fn stage(&self) -> Box<dyn Stage> {
        (self.stage)()
    }
}

/// A topic that a sub-topology reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its name.
    pub topic: String,
    /// Whose it is.
    pub kind: SourceKind,
}

/// Whose topic a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The user's: it must be there, with as many partitions as it has.
    External,
    /// The job's own: read committed, and deleted behind the commits only.
    Repartition {
        /// The sub-topology that writes it.
        upstream: SubTopologyId,
        /// How many partitions it has.
        partitions: Partitions,
    },
}

/// A topic that the job writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSpec {
    /// Its name.
    pub topic: String,
    /// What it is for.
    pub kind: SinkKind,
}

/// What a topic that the job writes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// The user's: it must be there.
    External,
    /// A shuffle; the job makes it.
    Repartition {
        /// How many partitions it has.
        partitions: Partitions,
    },
    /// State; the job makes it, with `cleanup.policy=compact`.
    Changelog {
        /// How many partitions it has; `None` for as many as the source topic of its sub-topology.
        partitions: Option<Partitions>,
    },
}

/// A store and the topic that makes it durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSpec {
    /// Its name.
    pub name: String,
    /// Its changelog: partition `p` belongs to the task of partition `p`.
    pub changelog: SinkId,
    /// The sub-topology that has it.
    pub sub_topology: SubTopologyId,
}

/// A step, for `describe()`.
#[derive(Clone, Debug)]
struct Node {
    kind: NodeKind,
    name: String,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeKind {
    Source,
    Processor,
    Sink,
}
