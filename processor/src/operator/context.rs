//! The operator traits, and the context that operators work in.

use std::any::Any;

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use super::calls::Calls;
use super::failures::{Failure, Failures};
use crate::error::{ErrorKind, Origin, ProcessError};
use crate::output::{OutRecord, Output, StoreId};
use crate::serde::SerdeError;
use crate::state::{Handle, Store, Stores};
use crate::types::{Rec, View, Window};
use crate::watermark::NO_WATERMARK;

/// A built operator: takes records, and pushes to the next one.
pub trait Operator<K: View, V: View>: Signals + Any {
    /// Takes one record.
    ///
    /// # Errors
    /// If the job has to stop: see [`ProcessError`].
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError>;
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

    /// Whether it pays to announce records, by [`Signals::expect`]. It never changes.
    fn looks_ahead(&mut self) -> bool {
        self.next().is_some_and(|next| next.looks_ahead())
    }

    /// Announces the next records, which come if nothing fails before. An operator with state brings what it will
    /// need into the cache, for all of them together: one wait for memory instead of one for each.
    /// It must have no other effect.
    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        if let Some(next) = self.next() {
            next.expect(ahead, context);
        }
    }

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

    /// Calls to the outside may have ended: put out their results. The calls of [`Context::calls`] go on meanwhile.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn resume(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.resume(context))
    }

    /// The transaction was aborted: drop the calls to the outside that it has begun, and what it has written there.
    fn forget_calls(&mut self) {
        if let Some(next) = self.next() {
            next.forget_calls();
        }
    }

    /// The transaction is committed, and so are the stores: make final what it has written to the outside.
    fn committed(&mut self, stores: &mut Stores) {
        if let Some(next) = self.next() {
            next.committed(stores);
        }
    }

    /// The run ends with the next commit: the input of a bounded one has ended, and everything that it leads to has
    /// been put out; or the job is stopped. The next run may be long in coming.
    ///
    /// # Errors
    /// As [`Operator::push`].
    fn run_ended(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next().map_or(Ok(()), |next| next.run_ended(context))
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
    /// The calls to the outside that the task has begun.
    pub calls: &'a mut Calls,
    /// The place of the record that is being processed; at a signal, that of the last record.
    pub place: Place<'a>,
    /// The watermark of this task.
    pub watermark: TimestampMs,
    /// The greatest time that an input of the task has reached; not before the watermark.
    pub reached: TimestampMs,
    /// Whether all inputs have ended, in a bounded run.
    pub is_ending: bool,
    /// The worker's clock.
    pub now: Moment,
    /// The time of day, as of the batch or signal. In tests it is virtual: that of [`Context::now`].
    pub wall: TimestampMs,
    /// The greatest timestamp of the records since the task last read it.
    pub max_timestamp: Option<TimestampMs>,
    /// Counters of the task.
    pub counters: Counters,
    /// The failures of the task.
    pub failures: &'a mut Failures,
    /// The offset of the first record that was taken and not pushed to the end.
    pub resume_at: Offset,
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
    /// Records written to topics that are not changelogs, marks not included, and those given to outputs outside of
    /// Kafka.
    pub records_out: u64,
    /// Records left out because their window was closed.
    pub late: u64,
    /// The greatest difference between the watermark and the timestamp of such a record, in milliseconds.
    pub lateness_max_ms: i64,
    /// Records left out by steps that need event time, because they had no timestamp.
    pub untimed: u64,
    /// Records left out because they could not be decoded.
    pub undecodable: u64,
    /// Records and results left out because the code of the user failed.
    pub failed: u64,
    /// Output records left out because their topics do not take them.
    pub unproducible: u64,
}

impl Context<'_> {
    /// The event time of work that the time of day brings about, with no record at hand: the watermark; until that is
    /// known, because an input has had no record yet, the greatest of an input's. `None` if none is known.
    #[must_use]
    pub fn known_time(&self) -> Option<TimestampMs> {
        [self.watermark, self.reached].into_iter().find(|time| *time > NO_WATERMARK)
    }

    /// As [`Context::known_time`], for a result: [`Context::wall`] if no time is known.
    #[must_use]
    pub fn event_time(&self) -> TimestampMs {
        self.known_time().unwrap_or(self.wall)
    }

    /// Counts a record that a step leaves out because it has no timestamp.
    ///
    /// # Errors
    /// [`ProcessError::Untimed`] if the job is configured to stop then.
    #[cold]
    pub fn leave_out_untimed(&mut self, timestamp: TimestampMs) -> Result<(), ProcessError> {
        self.leave_out(ProcessError::Untimed { origin: self.place.origin(), timestamp })
    }

    /// Counts the record at hand, which is left out for this error.
    ///
    /// # Errors
    /// The error, if the job stops at it.
    #[cold]
    pub fn leave_out(&mut self, error: ProcessError) -> Result<(), ProcessError> {
        let Some(kind) = error.kind().filter(|_| self.failures.skips(&error)) else { return Err(error) };
        self.counters.count_failure(kind);
        let offset = self.record().map(|origin| origin.offset);
        self.failures.note(Failure { offset, key: None, error, is_told: false });
        Ok(())
    }

    /// The record at hand; `None` at a signal.
    #[must_use]
    pub fn record(&self) -> Option<Origin> {
        (!self.place.topic.is_empty()).then(|| self.place.origin())
    }

    /// Offers a record to a topic of the user's or of a shuffle, whose name is `topic`. It counts as an effect of the
    /// record at hand.
    ///
    /// # Errors
    /// [`ProcessError::Unproducible`] if the topic does not take it, and the job stops then.
    #[inline]
    pub fn emit(&mut self, topic: &str, record: OutRecord<'_>) -> Result<(), ProcessError> {
        self.stores.note_effect();
        match self.output.offer(record) {
            Ok(()) => {
                self.counters.records_out += 1;
                Ok(())
            }
            Err(refused) => self.leave_out_refused(topic, refused.0),
        }
    }

    /// Leaves out an output record that the serde of `topic` cannot encode.
    ///
    /// # Errors
    /// [`ProcessError::Unproducible`] if the job stops then; [`ProcessError::Encode`] if the cause is temporary.
    #[cold]
    pub fn leave_out_unencodable(&mut self, topic: &str, cause: SerdeError) -> Result<(), ProcessError> {
        if matches!(cause, SerdeError::Unavailable(_)) {
            return Err(ProcessError::Encode { to: topic.to_owned(), cause });
        }
        self.leave_out_refused(topic, cause.to_string())
    }

    /// Leaves out an output record that cannot be written.
    #[cold]
    pub(super) fn leave_out_refused(&mut self, topic: &str, cause: String) -> Result<(), ProcessError> {
        self.leave_out(ProcessError::Unproducible { origin: self.record(), topic: topic.to_owned(), cause })
    }

    /// Begins to process the record at `offset`, which has no effects yet.
    #[inline]
    pub(super) fn begin_record(&mut self, offset: Offset) {
        self.place.offset = offset;
        self.stores.forget_effects();
    }

    /// Notes at a signal which result is put out next: that of a window or time of a key. Returns whether to put
    /// it out: one that failed before is left out.
    #[inline]
    pub(super) fn begin_result(&mut self, store: StoreId, window: Window, key: &[u8]) -> bool {
        if !self.place.topic.is_empty() {
            return true;
        }
        let is_wanted = self.failures.begin_result(store, window, key);
        self.counters.failed += u64::from(!is_wanted);
        is_wanted
    }

    /// Works with a store, while the context is used as well.
    pub(super) fn with_store<S: Store, R>(
        &mut self,
        handle: Handle<S>,
        work: impl FnOnce(&mut S, &mut Self) -> R,
    ) -> R {
        let store = self.stores.take(handle);
        let mut lent = LentStore { store: Some(store), handle, context: self };
        let store = lent.store.as_deref_mut().expect("it is put back by the drop");
        work(store, lent.context)
    }

    /// Works with an operator after a merge or a further output, while the context is used as well.
    pub(super) fn with_joint<R>(&mut self, index: usize, work: impl FnOnce(&mut dyn Joint, &mut Self) -> R) -> R {
        let joint = self.joints.take(index);
        let mut lent = LentJoint { joint: Some(joint), index, context: self };
        let joint = lent.joint.as_deref_mut().expect("it is put back by the drop");
        work(joint, lent.context)
    }
}

/// A store that is at work, put back by the drop: also when the code of the user panics.
struct LentStore<'c, 'a, S: Store> {
    store: Option<Box<S>>,
    handle: Handle<S>,
    context: &'c mut Context<'a>,
}

impl<S: Store> Drop for LentStore<'_, '_, S> {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            self.context.stores.put_back(self.handle, store);
        }
    }
}

/// An operator of the joints that is at work, put back by the drop.
struct LentJoint<'c, 'a> {
    joint: Option<Box<dyn Joint>>,
    index: usize,
    context: &'c mut Context<'a>,
}

impl Drop for LentJoint<'_, '_> {
    fn drop(&mut self) {
        if let Some(joint) = self.joint.take() {
            self.context.joints.put_back(self.index, joint);
        }
    }
}

impl Place<'_> {
    fn origin(&self) -> Origin {
        Origin { topic: self.topic.to_owned(), partition: self.partition, offset: self.offset }
    }
}

impl Counters {
    /// Counts a record that came after its window was closed at `watermark`.
    pub fn count_late(&mut self, timestamp: TimestampMs, watermark: TimestampMs) {
        self.late += 1;
        self.lateness_max_ms = self.lateness_max_ms.max(watermark.0.saturating_sub(timestamp.0));
    }

    /// Counts a record or result that is left out.
    pub const fn count_failure(&mut self, kind: ErrorKind) {
        match kind {
            ErrorKind::Decode => self.undecodable += 1,
            ErrorKind::Timestamp => self.untimed += 1,
            ErrorKind::Process => self.failed += 1,
            ErrorKind::Produce => self.unproducible += 1,
        }
    }
}

/// The origin of a batch's records.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Its number among the inputs of the task.
    pub index: usize,
    /// The watermark that it has reached before this batch, if it is a source partition and that is known.
    pub watermark: Option<TimestampMs>,
    /// First offset to take: a fetch may begin in the middle of a batch.
    pub position: Offset,
    /// Whether it is a repartition topic of the job.
    pub is_internal: bool,
    /// Whether its records are counted, which only one of the streams that read them does.
    pub is_counted: bool,
    /// The offset of a record that is left out, and at which the head stops.
    pub excluded: Option<Offset>,
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
