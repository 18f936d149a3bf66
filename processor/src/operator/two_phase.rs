//! The end of a stream in an output outside of Kafka that is written in two phases, such as files: what a transaction
//! writes is prepared before its commit, and made final after it.
//!
//! # The algorithm
//! - Records are passed to a [`SinkWriter`] as they come, in their order. What it writes must not be visible yet.
//! - Before a commit the writer makes everything durable, and returns its state as bytes. The state is kept in a store
//!   of the task, so its changelog has it in the same transaction as the offsets of the records.
//! - After the commit the writer makes final what the state says; after an abort it discards the rest.
//! - The next owner of the task, after a crash or a rebalance, gets the state of the last commit: it makes final what
//!   that says, and discards what else it finds. So the state decides, and it is committed or not.
//!
//! So each record is in the output once, whatever dies and when. The worker's thread waits for the writer.

use kafka_wire::types::{PartitionId, TimestampMs};

use super::{Context, Operator, Signals};
use crate::error::{ProcessError, SinkError};
use crate::serde::{Encode, SerdeError};
use crate::state::{AT_ONCE, Handle, SingleStore, Stores};
use crate::types::{Rec, View};

/// An output outside of Kafka that is written in two phases. The module describes how.
pub trait TwoPhaseSink: Clone + Send + Sync + 'static {
    /// Writes the records of one task.
    type Writer: SinkWriter;

    /// The writer for a task. It does nothing until it is opened.
    fn writer(&self, place: &SinkPlace) -> Self::Writer;

    /// The form of the writer's state, which the changelog remembers: a job that finds another one is refused.
    fn format(&self) -> String;
}

/// The task that an output belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlace {
    /// The job.
    pub application_id: String,
    /// The step.
    pub step: String,
    /// The task: of all its writers that live, one at most can commit.
    pub partition: PartitionId,
}

/// Writes the records of one task, in two phases. After an error it is not used again: a new writer takes over.
pub trait SinkWriter: Send + 'static {
    /// Takes over from the last writer of the task. `committed` is the state that it has committed, `None` if there is
    /// none: everything that this says is made final, everything else is discarded. It may be called again with
    /// the same state, by another writer. The last writer may be alive, and find out later that it lost the task.
    ///
    /// # Errors
    /// If the output is not available, or is not the one that the state is about.
    fn open(&mut self, committed: Option<&[u8]>) -> Result<(), SinkError>;

    /// Checks that the output can have this record. One that it cannot is left out, as the policy for records that
    /// cannot be written says.
    ///
    /// # Errors
    /// If it cannot; the reason.
    fn check(&self, _value: &[u8]) -> Result<(), SerdeError> {
        Ok(())
    }

    /// Takes a record of the open transaction, which has passed the check; `wall` is the time of day.
    ///
    /// # Errors
    /// As [`SinkWriter::open`].
    fn write(&mut self, value: &[u8], wall: TimestampMs) -> Result<(), SinkError>;

    /// Makes the records of the open transaction durable. Returns the state with them.
    ///
    /// # Errors
    /// As [`SinkWriter::open`].
    fn prepare(&mut self, wall: TimestampMs) -> Result<Vec<u8>, SinkError>;

    /// The transaction is committed: makes final what the prepared state says.
    ///
    /// # Errors
    /// As [`SinkWriter::open`]. The next writer does then what was not done.
    fn committed(&mut self) -> Result<(), SinkError>;

    /// The transaction is aborted: discards what was written since the last commit.
    ///
    /// # Errors
    /// As [`SinkWriter::open`].
    fn rolled_back(&mut self) -> Result<(), SinkError>;

    /// The time of day at which a commit is needed though no record comes.
    fn due(&self) -> Option<TimestampMs> {
        None
    }

    /// The run ends with the next commit: it is bounded, or the job is stopped. Returns whether there is anything to
    /// make final with it: then there is a commit even if no record has come since the last one.
    fn run_ended(&mut self) -> bool {
        false
    }
}

/// The end of a stream in an output that is written in two phases, declared.
#[derive(Clone)]
pub(crate) struct TwoPhaseSpec<S, VS> {
    pub(crate) application_id: String,
    pub(crate) step: String,
    pub(crate) store: Handle<SingleStore>,
    pub(crate) value_serde: VS,
    pub(crate) sink: S,
}

/// The same, built.
pub(crate) struct ToTwoPhase<S: TwoPhaseSink, VS> {
    spec: TwoPhaseSpec<S, VS>,
    writer: Option<S::Writer>,
    /// An error of the writer at a time at which it could not be told.
    error: Option<SinkError>,
    scratch: Vec<u8>,
}

impl<S: TwoPhaseSink, VS> ToTwoPhase<S, VS> {
    pub(crate) const fn new(spec: TwoPhaseSpec<S, VS>) -> Self {
        Self { spec, writer: None, error: None, scratch: Vec::new() }
    }

    /// Opens the writer, if it is not open.
    fn open(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if let Some(cause) = self.error.take() {
            return Err(not_taken(&self.spec.step, cause));
        }
        if self.writer.is_some() {
            return Ok(());
        }
        let (application_id, step) = (self.spec.application_id.clone(), self.spec.step.clone());
        let place = SinkPlace { application_id, step, partition: context.place.partition };
        let mut writer = self.spec.sink.writer(&place);
        let opened = writer.open(context.stores.get_mut(self.spec.store).get());
        opened.map_err(|cause| not_taken(&self.spec.step, cause))?;
        self.writer = Some(writer);
        Ok(())
    }
}

impl<S: TwoPhaseSink, VS: Send> Signals for ToTwoPhase<S, VS> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let wall = context.wall;
        let is_due = context.stores.get_mut(self.spec.store).due().is_some_and(|due| due <= wall);
        if !is_due {
            return Ok(());
        }
        // The commit that follows a tick does the work, and sets the next time. Until then the work stays due, because
        // the transaction may be rolled back before the store has changed.
        self.open(context)
    }

    fn run_ended(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // The last owner of the task may have left something to be made final.
        if context.stores.get_mut(self.spec.store).due() == Some(AT_ONCE) {
            self.open(context)?;
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let (has_work, due) = (writer.run_ended(), writer.due());
        context.stores.get_mut(self.spec.store).set_due(if has_work { Some(AT_ONCE) } else { due });
        Ok(())
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if let Some(cause) = self.error.take() {
            return Err(not_taken(&self.spec.step, cause));
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let state = writer.prepare(context.wall).map_err(|cause| not_taken(&self.spec.step, cause))?;
        let due = writer.due();
        let store = context.stores.get_mut(self.spec.store);
        store.set(state);
        store.set_due(due);
        Ok(())
    }

    fn committed(&mut self, stores: &mut Stores) {
        if let Some(Err(cause)) = self.writer.as_mut().map(SinkWriter::committed) {
            self.error = Some(cause);
            stores.get_mut(self.spec.store).make_due();
        }
    }

    fn forget_calls(&mut self) {
        if let Some(Err(cause)) = self.writer.as_mut().map(SinkWriter::rolled_back) {
            self.error = Some(cause);
        }
    }
}

impl<K, V, S, VS> Operator<K, V> for ToTwoPhase<S, VS>
where
    K: View,
    V: View,
    S: TwoPhaseSink,
    VS: Encode<V>,
{
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.scratch.clear();
        let is_null = self.spec.value_serde.writes_null(&record.value);
        let encoded =
            if is_null { Err(SerdeError::Null) } else { self.spec.value_serde.write(&record.value, &mut self.scratch) };
        if let Err(cause) = encoded {
            return context.leave_out_unencodable(&self.spec.step, cause);
        }
        self.open(context)?;
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if let Err(cause) = writer.check(&self.scratch) {
            return context.leave_out_unencodable(&self.spec.step, cause);
        }
        context.stores.note_effect();
        writer.write(&self.scratch, context.wall).map_err(|cause| not_taken(&self.spec.step, cause))?;
        context.counters.records_out += 1;
        Ok(())
    }
}

fn not_taken(step: &str, cause: SinkError) -> ProcessError {
    ProcessError::NotTaken { step: step.to_owned(), attempts: 1, cause }
}
