//! The way of records and time through the tasks into the open transaction.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::record::Records;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::{TICK_INTERVAL, Worker};
use crate::worker::action::{Action, Operation};
use crate::worker::end::Fatal;
use crate::worker::held::Held;
use crate::worker::outbox::Outbox;
use crate::worker::place::{Position, Span};

impl Worker {
    /// Processes a batch of an input: its records within `span`. If steps of the task care for the order between
    /// inputs, it is only queued, for [`Worker::process_queued`].
    /// Call it only while [`Worker::accepts_records`]; a batch of an input that is not read is ignored.
    pub fn process(
        &mut self,
        now: Moment,
        input: &TopicPartition,
        records: Records<'_>,
        span: Span,
        outbox: &mut dyn Outbox,
    ) {
        debug_assert!(self.accepts_records(), "records are taken between commits");
        let Some((held, index)) = self.tasks.reader_mut(input) else { return };
        if held.is_past_end(index, span.start) {
            return;
        }
        if held.orders_inputs() {
            return held.enqueue(index, &records, span);
        }
        if !self.begin(now, outbox) {
            return;
        }
        let Some((held, index)) = self.tasks.reader_mut(input) else { return };
        let processed = held.process(index, records, span, now, outbox);
        let has_passed_failure = held.task.has_passed_failure();
        match processed.map_err(Into::into).and_then(|()| outbox.check()) {
            Ok(()) => self.note_work(outbox),
            Err(failure) => self.stumble(failure),
        }
        if has_passed_failure {
            self.commit.request_commit();
        }
    }

    /// Advances an input to `next`: everything below was processed or is to be skipped. `log_end` is the end of its log
    /// for a reader of committed records. Call it only while [`Worker::accepts_records`].
    pub fn advance(
        &mut self,
        now: Moment,
        input: &TopicPartition,
        (next, log_end): (Position, Offset),
        outbox: &mut dyn Outbox,
    ) {
        let Some((held, index)) = self.tasks.reader_mut(input) else { return };
        let lag_before = held.lag(index);
        self.may_be_at_end |= held.advance(index, next, log_end);
        let lag = held.lag(index);
        let full = held.stop_if_full(index, self.settings.queue_bytes_max);
        self.actions.extend(full.map(|offset| Action::Stop { input: input.clone(), offset }));
        self.tasks.note_lag(lag_before, lag);
        self.tell_ends(outbox, now);
    }

    /// Tells whether more records are at hand to be processed at once. With none at hand, and every input at the end
    /// of its log, a commit need not wait.
    pub const fn handle_at_hand(&mut self, is_more_at_hand: bool) {
        self.commit.handle_drained(!is_more_at_hand && !self.tasks.is_lagging());
    }

    /// Tells the tasks of inputs that have reached the end of a bounded run.
    pub(super) fn tell_ends(&mut self, outbox: &mut dyn Outbox, now: Moment) {
        if !self.may_be_at_end {
            return;
        }
        self.may_be_at_end = false;
        if self.tasks.restored_mut().any(|held| held.is_at_end()) && !self.begin(now, outbox) {
            return;
        }
        let mut failed = None;
        for held in self.tasks.restored_mut().filter(|held| held.is_at_end()) {
            match held.end_of_input(outbox) {
                Ok(ended) => {
                    let stop = |(input, offset)| Action::Stop { input, offset };
                    self.actions.extend(ended.into_iter().map(stop));
                }
                Err(failure) => failed = Some(failure),
            }
        }
        if let Some(failure) = failed {
            self.stumble(failure.into());
        }
    }

    pub(super) fn tick(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK_INTERVAL;
        self.watch.tell_waiting(now, self.tasks.restored_mut());
        let is_due = |timeout: Option<Moment>| timeout.is_some_and(|timeout| timeout <= now);
        if self.tasks.restored_mut().any(|held| is_due(held.task.next_timeout()) || held.has_doubts()) {
            if !self.begin(now, outbox) {
                return;
            }
            let is_due = |held: &&mut Held| is_due(held.task.next_timeout());
            let tick = |held: &mut Held| held.task.tick(now, outbox);
            let ticked = self.tasks.restored_mut().filter(is_due).try_for_each(tick);
            if let Err(failure) = ticked.map_err(Into::into).and_then(|()| outbox.check()) {
                return self.stumble(failure);
            }
        }
        self.watch.is_due = true;
    }

    /// Handles an error of a task: aborts the transaction, to do it again without what has failed, or to end.
    pub(super) fn stumble(&mut self, failure: Fatal) {
        if !self.take_retry() {
            self.failure.get_or_insert(failure);
        }
        self.abandon();
    }

    /// Whether a task has failed for a record or result that the next attempt leaves out.
    pub(super) fn take_retry(&mut self) -> bool {
        // Every task is asked, so that none has an old answer left.
        self.tasks.iter_mut().filter_map(|held| held.task.take_retry().then_some(())).count() > 0
    }

    /// Begins a transaction unless one is open. `false` if the worker has ended instead.
    pub(super) fn begin(&mut self, now: Moment, outbox: &mut dyn Outbox) -> bool {
        if self.commit.begin(now)
            && let Err(end) = outbox.begin()
        {
            self.over(end);
            return false;
        }
        true
    }

    /// Records the growth of the transaction, and whether the outbox is full.
    pub(super) fn note_work(&mut self, outbox: &mut dyn Outbox) {
        let (records, bytes) = outbox.take_written();
        self.commit.handle_work(records, bytes);
        if !outbox.has_room() {
            self.start(Operation::MakeRoom);
        }
    }
}
