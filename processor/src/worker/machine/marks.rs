//! The time at which tasks send their marks downstream.
//!
//! A round of marks writes into every partition of the repartition topic, and every downstream task reads it,
//! so there is a pause between two rounds that only advance watermarks ([`mark_interval`]). Waiting marks are written
//! by the next commit after that pause; if there is none, because there is nothing else to commit, one is made
//! for them. A worker that gives its tasks back or ends leaves no mark unwritten, because the next owner may have
//! forgotten the watermarks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_wire::time::Moment;

use super::Worker;
use crate::error::ProcessError;
use crate::task::{TaskId, write_marks};
use crate::topology::SubTopologyId;
use crate::watermark::mark_interval;
use crate::worker::held::Held;
use crate::worker::membership::Phase;
use crate::worker::outbox::Outbox;

/// The marks of a worker's tasks, by sub-topology.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// The earliest time of the next round.
    next: BTreeMap<SubTopologyId, Moment>,
    /// Those whose marks the commit in progress writes.
    writing: BTreeSet<SubTopologyId>,
    /// The time at which the waiting marks are due.
    waiting: Option<Moment>,
}

impl Marks {
    /// The time at which a transaction has to be begun for the waiting marks, if none has been begun before.
    pub(super) const fn next_timeout(&self) -> Option<Moment> {
        self.waiting
    }

    /// Forgets what waited for this commit.
    pub(super) fn begin_commit(&mut self) {
        (self.writing, self.waiting) = (BTreeSet::new(), None);
    }

    /// Notes that a task may have a mark to be written at this time, though it takes no record: such as one that its
    /// last owner may not have sent.
    pub(super) fn wake(&mut self, at: Moment) {
        self.waiting = Some(self.waiting.map_or(at, |waiting| waiting.min(at)));
    }
}

impl Worker {
    /// Begins a transaction for marks that have waited long enough, or that must not stay unwritten.
    pub(super) fn begin_for_marks(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        let Some(due) = self.marks.waiting.filter(|_| self.commit.is_idle() && self.failure.is_none()) else { return };
        let is_leaving = self.is_stopping || self.membership.phase == Phase::Returning;
        if (due > now && !is_leaving) || !self.begin(now, outbox) {
            return;
        }
        self.marks.waiting = None;
        if is_leaving {
            self.commit.request_commit();
        }
    }

    /// Lets marks be written that a rollback may have taken back, though no record comes. A worker that leaves its
    /// tasks does not try again: the group may refuse its commits for good.
    pub(super) fn wake_marks(&mut self, now: Moment) {
        if self.is_stopping || self.membership.phase != Phase::Assigned {
            return;
        }
        let Self { tasks, marks, .. } = self;
        for held in tasks.restored_mut().filter(|held| held.task.has_mark()) {
            let next = marks.next.get(&held.id.sub_topology).copied().filter(|_| !held.task.has_urgent_mark());
            marks.wake(next.unwrap_or(now));
        }
    }

    /// Lets outputs outside of Kafka end what they have begun, such as a file, with the last commit of a worker that
    /// stops. If they have anything to end, there is one, also without an open transaction.
    pub(super) fn end_outputs(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        let is_between_steps = self.commit.accepts_work() && self.preparation.is_none();
        if !self.is_stopping || self.has_ended_outputs || self.failure.is_some() || !is_between_steps {
            return;
        }
        self.has_ended_outputs = true;
        self.last_attempts += 1;
        let mut has_work = false;
        let ended = self.tasks.restored_mut().try_for_each(|held| {
            has_work |= held.task.end_outputs(outbox)?;
            Ok::<(), ProcessError>(())
        });
        match ended {
            Ok(()) if has_work && self.begin(now, outbox) => self.commit.request_commit(),
            Ok(()) => {}
            Err(failure) => self.stumble(failure.into()),
        }
    }

    /// Chooses the tasks in the commit, of the stage that is prepared: those that have changed, and those whose marks
    /// are written with it.
    pub(super) fn choose_committing(&mut self, now: Moment) -> Vec<TaskId> {
        let Self { tasks, marks, settings, commit, stages, .. } = self;
        let is_chosen = |held: &&Held| held.is_restored() && stages.has(held.id.sub_topology);
        let restored = || tasks.iter().filter(is_chosen);
        let with_marks = || restored().filter(|held| held.task.has_mark());
        let mut fan_outs = BTreeMap::new();
        for held in with_marks() {
            let (id, urgent) = (held.id.sub_topology, held.task.has_urgent_mark());
            let due = urgent || commit.is_requested() || marks.next.get(&id).is_none_or(|next| *next <= now);
            let (_, is_due) = fan_outs.entry(id).or_insert((held.task.fan_out(), false));
            *is_due |= due;
        }
        for (id, ((sources, targets), is_due)) in fan_outs {
            if is_due {
                let interval = mark_interval(sources, targets).max(settings.mark_interval_min);
                marks.next.insert(id, now + interval);
                marks.writing.insert(id);
            } else {
                let next = marks.next.get(&id).copied();
                marks.waiting = marks.waiting.into_iter().chain(next).min();
            }
        }
        let is_marked = |held: &Held| marks.writing.contains(&held.id.sub_topology) && held.task.has_mark();
        restored().filter(|held| held.has_changed() || is_marked(held)).map(|held| held.id).collect()
    }

    /// Writes the marks that are due, after everything else in the transaction.
    pub(super) fn write_marks(&mut self, outbox: &mut dyn Outbox) {
        for id in std::mem::take(&mut self.marks.writing) {
            let of_sub_topology = self.tasks.restored_mut().filter(|held| held.id.sub_topology == id);
            write_marks(of_sub_topology.map(|held| &mut held.task), outbox);
        }
    }

    /// Sets another shortest time between two rounds of marks, for tests. A large fan-out still lengthens it.
    pub const fn set_mark_interval_min(&mut self, interval: Duration) {
        self.settings.mark_interval_min = interval;
    }
}
