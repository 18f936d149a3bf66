//! The operators of a stage, one file each.
//!
//! A stage is everything between two shuffles. Its operators push: each calls the next with a borrowed record, and a chain of
//! operators is one type, so that it compiles to one loop. It is erased where the graph makes that necessary, see [`Stage`].
//!
//! A chain is declared from the source on and built from the sink on. [`Chain`] is the declared half (cheap to clone, shared
//! by all tasks), [`Operator`] the built half (one per task). State is in neither: it is in the stores of the task, which
//! operators reach by handles.

mod aggregate;
mod context;
mod filter;
mod flat_map;
mod key_by;
mod map;
mod merge;
mod process;
mod source;
mod stage;
mod to;

use std::any::Any;

use crate::error::ProcessError;
use crate::types::{Rec, View};

pub use aggregate::{Aggregate, AggregateSpec, Emit, WindowAggregate};
pub use context::{Context, Counters, Input, Place, Undecodable};
pub use filter::{Filter, FilterOperator};
pub use flat_map::{FlatMap, FlatMapOperator, Outputs};
pub use key_by::KeyBy;
pub use map::{Map, MapOperator};
pub use merge::{Inlet, Merge};
pub use process::{Process, ProcessOperator, ProcessSpec, Processing, Scope};
pub use source::{EventTime, RecordTime, Source, SourceOperator};
pub use stage::{Arm, Head, Joint, Joints, Junction, NodeId, Stage, StageBuilder, TeeMaker, tee};
pub use to::To;

/// A chain of operators, declared: where it ends, records of these types come out.
pub trait Chain: Clone + Send + Sync + 'static {
    /// Key of the records that come out.
    type Key: View;
    /// Value of the records that come out.
    type Value: View;

    /// Builds the chain for one task, `next` being what follows it.
    fn build<N: Operator<Self::Key, Self::Value>>(&self, next: N, stage: &mut StageBuilder<'_>);
}

/// An operator in its place: takes records, pushes to the next.
pub trait Operator<K: View, V: View>: Signals + Any {
    /// Takes one record.
    ///
    /// # Errors
    /// When the job has to stop: see [`ProcessError`].
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError>;
}

/// What passes through a stage besides records. An operator that has something to do at a signal does it, and then hands
/// the signal on: what it pushes in response goes first, so that the next one sees it before the signal.
pub trait Signals: Send {
    /// The operator that follows; `None` at the end of a chain.
    fn next(&mut self) -> Option<&mut dyn Signals>;

    /// [`Context::watermark`] has advanced: do what is due in event time.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.watermark(context))
    }

    /// [`Context::wall`] has advanced: do what is due by the time of day.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.tick(context))
    }

    /// The transaction is about to be committed: put out what is due with it. Stores write their changes after that.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.before_commit(context))
    }
}
