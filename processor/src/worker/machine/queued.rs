//! The turns of tasks whose steps care for the order between inputs: which of the queued records are processed next.

use std::time::Duration;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::Worker;
use crate::task::TaskId;
use crate::worker::action::Action;
use crate::worker::outbox::Outbox;
use crate::worker::queue::{Turn, UpTo};

impl Worker {
    /// Whether it has tasks that order their inputs, so that [`Worker::process_queued`] may have work.
    #[must_use]
    pub const fn orders_inputs(&self) -> bool {
        self.tasks.orders_inputs()
    }

    /// Processes records that [`Worker::process`] has queued, as far as no earlier record can come from another input.
    /// `log_end` is the end of an input's log for a reader of committed records, as of the last fetch, also of one that
    /// brought nothing; `None` before the first. Call it after each call of another method, and at
    /// [`Worker::next_timeout`]. Returns whether there is more to be processed at once.
    pub fn process_queued(
        &mut self,
        now: Moment,
        log_end: &dyn Fn(&TopicPartition) -> Option<Offset>,
        outbox: &mut dyn Outbox,
    ) -> bool {
        self.queue_timeout = None;
        let mut goes_on = false;
        for id in self.tasks.with_queues() {
            goes_on |= self.take_turns(now, id, log_end, outbox);
        }
        goes_on
    }

    /// Sets another time for which tasks wait for an input that is at the end of its log.
    pub const fn set_task_idle_max(&mut self, idle_max: Option<Duration>) {
        self.settings.task_idle_max = idle_max;
    }

    /// Lets a task take turns. Returns whether it has more of them.
    fn take_turns(
        &mut self,
        now: Moment,
        id: TaskId,
        log_end: &dyn Fn(&TopicPartition) -> Option<Offset>,
        outbox: &mut dyn Outbox,
    ) -> bool {
        for _ in 0..TURNS_MAX {
            if !self.accepts_records() {
                return false;
            }
            let missing = &self.inspection.missing;
            // A topic that was deleted will not bring anything.
            let end =
                |input: &TopicPartition| if missing.is_gone(&input.topic) { Some(Offset(0)) } else { log_end(input) };
            let Some(held) = self.tasks.get_mut(id) else { return false };
            match held.next_turn(now, self.settings.task_idle_max, &end) {
                Turn::Nothing => return false,
                Turn::Wait(until) => {
                    self.queue_timeout = self.queue_timeout.into_iter().chain([until]).min();
                    return false;
                }
                Turn::Run { index, up_to } => self.take_turn(now, (id, index, up_to), outbox),
            }
        }
        true
    }

    fn take_turn(&mut self, now: Moment, (id, index, up_to): (TaskId, usize, UpTo), outbox: &mut dyn Outbox) {
        if !self.begin(now, outbox) {
            return;
        }
        let Some(held) = self.tasks.get_mut(id) else { return };
        let lag_before = held.lag(index);
        let taken = held.take_turn((index, up_to), now, outbox);
        let has_passed_failure = held.task.has_passed_failure();
        let (lag, bytes_max) = (held.lag(index), self.settings.queue_bytes_max);
        let resumed = held.resume_if_room(index, bytes_max).map(|(input, position)| Action::Seek { input, position });
        self.actions.extend(resumed);
        self.tasks.note_lag(lag_before, lag);
        match taken.map_err(Into::into).and_then(|is_at_end| outbox.check().map(|()| is_at_end)) {
            Ok(is_at_end) => {
                self.may_be_at_end |= is_at_end;
                self.note_work(outbox);
            }
            Err(failure) => self.stumble(failure),
        }
        if has_passed_failure {
            self.commit.request_commit();
        }
    }
}

/// Most turns of a task in one call, so that a commit that is due begins in time.
const TURNS_MAX: usize = 256;
