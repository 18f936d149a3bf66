//! The operator traits, and the context that operators work in.

use std::any::Any;

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use crate::error::{Origin, ProcessError};
use crate::output::{Output, SinkId};
use crate::state::Stores;
use crate::types::{Rec, View};

/// A built operator: takes records, and pushes to the next one.
pub trait Operator<K: View, V: View>: Signals + Any {
    /// Takes one record.
    ///
    /// # Errors
    /// If the job has to stop: see [`ProcessError`].
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError>;

    /// Whether it pays to announce records to the operator, by [`Operator::expect`]. It never changes.
    fn looks_ahead(&self) -> bool {
        false
    }

    /// Announces the next records, which come if nothing fails before. An operator with state brings what it will
    /// need into the cache, for all of them together: one wait for memory instead of one for each.
    /// It must have no other effect.
    fn expect(&self, _ahead: &[Expected<'_>], _context: &mut Context<'_>) {}
}

/// A record that will be pushed soon.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The key, as it is in the log.
    pub key: &'a [u8],
    /// Its event time.
    pub timestamp: TimestampMs,
}

/// The signals that pass through a stage besides records. An operator that has work to do at a signal does it,
/// and then passes the signal on: the records that it pushes in response go first, so that the next operator sees
/// them before the signal.
pub trait Signals: Send {
    /// The next operator; `None` at the end of a chain.
    fn next(&mut self) -> Option<&mut dyn Signals>;

    /// [`Context::watermark`] has advanced: do the work that is due in event time.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.watermark(context))
    }

    /// [`Context::wall`] has advanced: do the work that is due by the time of day.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.tick(context))
    }

    /// The transaction is about to be committed: put out the results that belong to it. Stores write their changes
    /// after that.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.before_commit(context))
    }
}

/// The context of an operator's work.
pub struct Context<'a> {
    /// The destination of output records.
    pub output: &'a mut dyn Output,
    /// The stores of the task.
    pub stores: &'a mut Stores,
    /// The place of the record that is being processed; at a signal, that of the last record.
    pub place: Place<'a>,
    /// The watermark of this task.
    pub watermark: TimestampMs,
    /// The worker's clock.
    pub now: Moment,
    /// The time of day, as of the batch or signal. In tests it is virtual: that of [`Context::now`].
    pub wall: TimestampMs,
    /// The greatest timestamp of the records since the task last read it.
    pub max_timestamp: Option<TimestampMs>,
    /// Counters of the task.
    pub counters: Counters,
    /// The reaction of a step that needs event time to a record that has none.
    pub untimed: Untimed,
    /// The operators after merges, and after second outputs of steps.
    pub joints: Joints,
}

/// The place of a record in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic; empty at a signal, which has no record.
    pub topic: &'a str,
    /// The partition, which is the task's.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// Counts of what a task has done since it started; a rollback restores them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken, marks not included.
    pub records_in: u64,
    /// Records written to topics that are not changelogs, marks not included.
    pub records_out: u64,
    /// Records left out because their window was closed.
    pub late: u64,
    /// The greatest difference between the watermark and the timestamp of such a record, in milliseconds.
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
    /// [`ProcessError::Untimed`] if the job is configured to stop then.
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

/// The origin of a batch's records.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// First offset to take: a fetch may begin in the middle of a batch.
    pub position: Offset,
    /// Whether it is a repartition topic of the job.
    pub is_internal: bool,
    /// Whether its records are counted, which only one of the streams that read them does.
    pub is_counted: bool,
    /// The reaction to a record that cannot be decoded. An internal topic always fails.
    pub undecodable: Undecodable,
    /// The output for records that are left out because they cannot be decoded; by default there is none.
    pub dead_letters: Option<SinkId>,
}

/// The reaction of a window to a record with a negative event time: with -1, Kafka says that a record has no timestamp,
/// and taken as a time it would put the record into a window of 1969. Steps that do not need the time take such records
/// like any other, and a timestamp extractor gives them an event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Untimed {
    /// Count it, report it, go on.
    #[default]
    Skip,
    /// Stop the job, with topic, partition and offset.
    Fail,
}

/// The reaction to a record whose key or value the serde cannot decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Undecodable {
    /// Count it, report it, go on.
    #[default]
    Skip,
    /// Stop the job, with topic, partition and offset.
    Fail,
}

/// An operator after a merge, which takes the records of several chains.
pub trait Joint: Signals + Any {}

impl<N: Signals + Any> Joint for N {}

/// The operators after merges and second outputs, by index; a slot is empty while its operator is at work.
#[derive(Default)]
pub struct Joints {
    pub(super) slots: Vec<Option<Box<dyn Joint>>>,
}

impl Joints {
    /// Removes an operator from its slot, to use it.
    ///
    /// # Panics
    /// If the slot is empty: the operator pushes into itself, which is impossible in a graph without circles.
    #[inline]
    pub(super) fn take(&mut self, index: usize) -> Box<dyn Joint> {
        self.slots[index].take().expect("no record passes a merge inside of another one's")
    }

    #[inline]
    pub(super) fn put_back(&mut self, index: usize, joint: Box<dyn Joint>) {
        self.slots[index] = Some(joint);
    }
}
