//! The operators of a stage, one file each.
//!
//! A stage is everything between two shuffles. Its operators push: each calls the next with a borrowed record, and the whole
//! chain is one type, so that it compiles to one loop. It is erased once, behind [`Stage`], whose calls are per batch.
//!
//! A chain is declared from the source on and built from the sink on. [`Chain`] is the declared half (cheap to clone, shared
//! by all tasks), [`Operator`] the built half (owns state, one per task).

mod aggregate;
mod filter;
mod flat_map;
mod key_by;
mod map;
mod source;
mod to;

use kafka_wire::record::{Record, Records};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::error::ProcessError;
use crate::output::{Output, StoreId};
use crate::types::{Rec, View, Window};

pub use aggregate::{Aggregate, AggregateSpec, Emit, WindowAggregate};
pub use filter::{Filter, FilterOperator};
pub use flat_map::{FlatMap, FlatMapOperator, Outputs};
pub use key_by::KeyBy;
pub use map::{Map, MapOperator};
pub use source::{EventTime, RecordTime, Source, SourceOperator};
pub use to::To;

/// A chain of operators, declared: where it ends, records of these types come out.
pub trait Chain: Clone + Send + Sync + 'static {
    /// Key of the records that come out.
    type Key: View;
    /// Value of the records that come out.
    type Value: View;
    /// The chain with `N` at its end.
    type Built<N: Operator<Self::Key, Self::Value>>: Stage;

    /// Builds the chain for one task, `next` being what follows it.
    fn build<N: Operator<Self::Key, Self::Value>>(&self, next: N) -> Self::Built<N>;
}

/// An operator in its place: takes records, pushes to the next.
pub trait Operator<K: View, V: View>: Send + 'static {
    /// Takes one record.
    ///
    /// # Errors
    /// When the job has to stop: see [`ProcessError`].
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError>;

    /// Takes what is not a record, and hands it on. What an operator pushes in response goes first, so that the next one
    /// sees it before the signal.
    ///
    /// # Errors
    /// As `push`.
    fn control(&mut self, control: &mut Control<'_>, context: &mut Context<'_>) -> Result<(), ProcessError>;
}

/// A built chain, whole: from bytes in, to an [`Output`].
pub trait Stage: Send {
    /// Takes records until they are over (`None`), or until one without a key in a repartition topic, which is returned:
    /// it is for the task, a watermark mark.
    ///
    /// # Errors
    /// When the job has to stop; the records taken so far have then had their effect, for a rollback to undo.
    fn run<'r>(
        &mut self,
        records: &mut Records<'r>,
        input: &Input<'_>,
        context: &mut Context<'_>,
    ) -> Result<Option<Record<'r>>, ProcessError>;

    /// Tells each operator in turn.
    ///
    /// # Errors
    /// As [`Operator::control`].
    fn control(&mut self, control: &mut Control<'_>, context: &mut Context<'_>) -> Result<(), ProcessError>;
}

/// Where the records of a batch come from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: PartitionId,
    /// First offset to take: a fetch may begin in the middle of a batch.
    pub position: Offset,
    /// Whether it is a repartition topic of the job.
    pub is_internal: bool,
    /// What to do with what cannot be decoded. An internal topic always fails.
    pub undecodable: Undecodable,
}

/// What to do with a record whose key or value is not what the serde reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecodable {
    /// Count it, report it, go on.
    #[default]
    Skip,
    /// Stop the job, with topic, partition and offset.
    Fail,
}

/// What an operator has at hand while it works.
pub struct Context<'a> {
    /// Where output goes.
    pub output: &'a mut dyn Output,
    /// Partition of the task: that of its changelogs too.
    pub partition: PartitionId,
    /// How far event time has come for this task.
    pub watermark: TimestampMs,
    /// The greatest timestamp of the records taken since the task last looked.
    pub max_timestamp: Option<TimestampMs>,
    /// What has happened.
    pub counters: Counters,
}

/// What a task has done since it started; a rollback takes back what was undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken, marks not included.
    pub records_in: u64,
    /// Records written to topics that are not changelogs, marks not included.
    pub records_out: u64,
    /// Records left out because their window was closed.
    pub late: u64,
    /// Records left out because they could not be decoded.
    pub undecodable: u64,
}

/// What passes through a stage besides records.
pub enum Control<'a> {
    /// [`Context::watermark`] has advanced: close what ends there.
    Watermark,
    /// The transaction is about to be committed: put out what is due, write changes to the changelog.
    BeforeCommit,
    /// It was committed.
    Committed,
    /// It was not: be as before it.
    RolledBack,
    /// An entry of a store as its changelog has it; null takes it away.
    Restore {
        /// The store.
        store: StoreId,
        /// Start of the window.
        start: i64,
        /// The key.
        key: &'a [u8],
        /// The value, by the store's serde.
        value: Option<&'a [u8]>,
    },
    /// Asks for the greatest end of an open window.
    LastWindowEnd(&'a mut Option<i64>),
    /// Asks for sizes, to be added up.
    Sizes(&'a mut StateSizes),
    /// Asks for the entries of a store, in a stable order.
    Entries {
        /// The store.
        store: StoreId,
        /// Gets window, key, and value by the store's serde.
        visit: &'a mut Visit<'a>,
    },
}

/// Gets one entry of a store.
pub type Visit<'a> = dyn FnMut(Window, &[u8], &[u8]) + 'a;

/// How much state there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSizes {
    /// Windows that are open.
    pub open_windows: usize,
    /// Entries in them.
    pub store_entries: usize,
    /// Whether the open transaction has changed any.
    pub is_dirty: bool,
}
