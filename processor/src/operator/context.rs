//! An operator: what it takes, and what it has at hand while it works.

use std::any::Any;

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::error::{Origin, ProcessError};
use crate::output::Output;
use crate::state::Stores;
use crate::types::{Rec, View};

/// An operator in its place: takes records, pushes to the next.
pub trait Operator<K: View, V: View>: Signals + Any {
    /// Takes one record.
    ///
    /// # Errors
    /// When the job has to stop: see [`ProcessError`].
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError>;

    /// Whether it pays to tell the operator ahead what comes, by [`Operator::expect`]. Always the same.
    fn looks_ahead(&self) -> bool {
        false
    }

    /// These records come next, if nothing goes wrong before. An operator with state brings what it will need into the
    /// cache, for all of them together: one wait for memory instead of one for each. Nothing else may follow from it.
    fn expect(&self, _ahead: &[Expected<'_>], _context: &mut Context<'_>) {}
}

/// A record that is about to be pushed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Its key as it is in the log.
    pub key: &'a [u8],
    /// Its event time.
    pub timestamp: TimestampMs,
}

/// What passes through a stage besides records. An operator that has something to do at a signal does it, and then
/// hands the signal on: what it pushes in response goes first, so that the next one sees it before the signal.
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

/// What an operator has at hand while it works.
pub struct Context<'a> {
    /// Where output goes.
    pub output: &'a mut dyn Output,
    /// The stores of the task.
    pub stores: &'a mut Stores,
    /// The record that is being processed; the last one, at a signal.
    pub place: Place<'a>,
    /// How far event time has come for this task.
    pub watermark: TimestampMs,
    /// The worker's clock.
    pub now: Moment,
    /// The time of day, as of the batch or signal. In tests it is virtual: that of [`Context::now`].
    pub wall: TimestampMs,
    /// The greatest timestamp of the records taken since the task last looked.
    pub max_timestamp: Option<TimestampMs>,
    /// What has happened.
    pub counters: Counters,
    /// What a step that needs event time does with a record that has none.
    pub untimed: Untimed,
    /// What follows where streams merge.
    pub joints: Joints,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic; empty at a signal, when there is no record.
    pub topic: &'a str,
    /// The partition: the task's.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
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
    /// The greatest distance of such a record behind the watermark, in milliseconds.
    pub lateness_max_ms: i64,
    /// Records left out by steps that need event time, because they had no timestamp.
    pub untimed: u64,
    /// Records left out because they could not be decoded.
    pub undecodable: u64,
}

impl Context<'_> {
    /// Counts a record that a step leaves out because it has no timestamp.
    ///
    /// # Errors
    /// [`ProcessError::Untimed`] when the job is told to stop at that.
    #[cold]
    pub fn leave_out_untimed(&mut self, timestamp: TimestampMs) -> Result<(), ProcessError> {
        let Place { topic, partition, offset } = self.place;
        if self.untimed == Untimed::Fail {
            let origin = Origin { topic: topic.to_owned(), partition, offset };
            return Err(ProcessError::Untimed { origin, timestamp });
        }
        self.counters.untimed += 1;
        tracing::debug!(topic, %partition, %offset, timestamp = timestamp.0, "record skipped: it has no timestamp");
        Ok(())
    }
}

impl Counters {
    /// Counts a record that came after its window was closed at `watermark`.
    pub fn count_late(&mut self, timestamp: TimestampMs, watermark: TimestampMs) {
        self.late += 1;
        self.lateness_max_ms = self.lateness_max_ms.max(watermark.0.saturating_sub(timestamp.0));
    }
}

/// Where the records of a batch come from.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// First offset to take: a fetch may begin in the middle of a batch.
    pub position: Offset,
    /// Whether it is a repartition topic of the job.
    pub is_internal: bool,
    /// Whether its records are counted: by one of the streams that read them.
    pub is_counted: bool,
    /// What to do with what cannot be decoded. An internal topic always fails.
    pub undecodable: Undecodable,
}

/// What a window does with a record whose event time is negative: -1 is how Kafka says that a record has no timestamp, and to
/// take it for a time would put the record into a window of 1969. Steps that do not ask for the time take such records as any
/// other, and a timestamp extractor gives them a time of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Untimed {
    /// Count it, report it, go on.
    #[default]
    Skip,
    /// Stop the job, with topic, partition and offset.
    Fail,
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

/// What follows where streams merge: it takes the records of several chains.
pub trait Joint: Signals + Any {}

impl<N: Signals + Any> Joint for N {}

/// What follows each place where streams merge; empty while it is at work.
#[derive(Default)]
pub struct Joints {
    pub(super) slots: Vec<Option<Box<dyn Joint>>>,
}

impl Joints {
    /// Takes what follows a place out, to use it.
    ///
    /// # Panics
    /// When it is out: it pushes into itself, which a graph without circles cannot.
    #[inline]
    pub(super) fn take(&mut self, index: usize) -> Box<dyn Joint> {
        self.slots[index].take().expect("no record passes a merge inside of another one's")
    }

    #[inline]
    pub(super) fn put_back(&mut self, index: usize, joint: Box<dyn Joint>) {
        self.slots[index] = Some(joint);
    }
}
