//! Reports for observers of a worker: totals that only grow, and the status of each task.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, TimestampMs};
use tracing::{info, warn};

use super::Worker;
use crate::operator::Counters;
use crate::task::{TaskId, TaskStatus};
use crate::worker::commit_times::CommitTimes;
use crate::worker::held::{Held, Life};
use crate::worker::membership::Phase;
use crate::worker::report::{InputReport, TaskReport, Totals};

/// Counts the work of the tasks, rolled back or not: for observers it has happened.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) commits: u64,
    pub(super) aborts: u64,
    pub(super) restored: u64,
    /// Whether there may be news.
    pub(super) is_due: bool,
    sums: Counters,
    records_in: u64,
    /// The part of the totals that is from each task.
    counted: BTreeMap<TaskId, Counters>,
    /// The worker's clock.
    pub(super) now: Moment,
    /// Records that were left out and not reported yet, by task.
    left_out: BTreeMap<TaskId, LeftOut>,
    /// Tasks whose event time is watched.
    waiting: BTreeMap<TaskId, Waiting>,
    /// Time of the next check.
    next_look: Moment,
}

/// The time for which the event time of a task has stood still.
#[derive(Debug)]
struct Waiting {
    watermark: TimestampMs,
    since: Moment,
    is_told: bool,
}

/// Records that a task has left out since the last warning.
#[derive(Debug, Default)]
struct LeftOut {
    late: u64,
    untimed: u64,
    undecodable: u64,
    failed: u64,
    unproducible: u64,
    /// Time of the last warning.
    told: Option<Moment>,
}

impl Watch {
    /// Adds the work of the task since the last call.
    pub(super) fn count(&mut self, held: &Held) {
        let now = held.task.counters();
        let before = self.counted.insert(held.id, now).unwrap_or_default();
        let grown = |now: u64, before: u64| now.saturating_sub(before);
        if held.is_external() {
            self.records_in += grown(now.records_in, before.records_in);
        }
        self.sums.records_out += grown(now.records_out, before.records_out);
        self.sums.late += grown(now.late, before.late);
        self.sums.undecodable += grown(now.undecodable, before.undecodable);
        self.sums.untimed += grown(now.untimed, before.untimed);
        self.sums.failed += grown(now.failed, before.failed);
        self.sums.unproducible += grown(now.unproducible, before.unproducible);
        let left_out = self.left_out.entry(held.id).or_default();
        left_out.late += grown(now.late, before.late);
        left_out.untimed += grown(now.untimed, before.untimed);
        left_out.undecodable += grown(now.undecodable, before.undecodable);
        left_out.failed += grown(now.failed, before.failed);
        left_out.unproducible += grown(now.unproducible, before.unproducible);
        left_out.tell(self.now, held);
    }

    /// Resets the counters of a task after a rollback.
    pub(super) fn recount(&mut self, held: &Held) {
        self.counted.insert(held.id, held.task.counters());
    }

    pub(super) fn forget(&mut self, id: TaskId) {
        self.counted.remove(&id);
        self.left_out.remove(&id);
        self.waiting.remove(&id);
    }

    /// Reports once for each task that holds results back because its event time stands still, and what would end that.
    pub(super) fn tell_waiting<'h>(&mut self, now: Moment, tasks: impl Iterator<Item = &'h mut Held>) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOK_INTERVAL;
        for held in tasks {
            let TaskStatus { watermark, open_windows, .. } = held.task.status();
            let waiting = self.waiting.entry(held.id).or_insert(Waiting { watermark, since: now, is_told: false });
            if waiting.watermark != watermark {
                *waiting = Waiting { watermark, since: now, is_told: false };
            }
            if open_windows > 0 && !waiting.is_told && now.since(waiting.since) >= STANDSTILL {
                waiting.is_told = true;
                let (task, waits_for) = (held.id, held.task.waits_for());
                info!(%task, open_windows, waits_for, "windows stay open, because event time stands still");
            }
        }
    }
}

impl LeftOut {
    /// Warns of records that were left out, with a pause between two warnings.
    fn tell(&mut self, now: Moment, held: &Held) {
        let is_due = self.told.is_none_or(|told| now.since(told) >= WARN_INTERVAL);
        if !is_due || self.late + self.untimed + self.undecodable + self.failed + self.unproducible == 0 {
            return;
        }
        for input in held.progress() {
            let (partition, position) = (input.partition, input.position);
            if self.late > 0 {
                let (late, lateness_max_ms) = (self.late, held.task.counters().lateness_max_ms);
                warn!(%partition, %position, late, lateness_max_ms, "records came after their window was closed and were left out");
            }
            if self.untimed > 0 {
                let untimed = self.untimed;
                warn!(%partition, %position, untimed, "records before this position have no timestamp and were left out");
            }
            if self.undecodable > 0 {
                let skipped = self.undecodable;
                warn!(%partition, %position, skipped, "records before this position could not be decoded and were left out");
            }
            if self.failed + self.unproducible > 0 {
                let (failed, unproducible) = (self.failed, self.unproducible);
                warn!(%partition, %position, failed, unproducible, "records before this position failed and were left out");
            }
        }
        *self = Self { told: Some(now), ..Self::default() };
    }
}

/// Interval of the checks whether event time stands still, and the time after which that is reported.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const STANDSTILL: Duration = Duration::from_secs(5);

/// Shortest time between two warnings of records that a task left out.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

impl Worker {
    /// The work of the worker, if there may be news since the last call: after commits, rollbacks and ticks.
    pub fn take_totals(&mut self) -> Option<Totals> {
        if !std::mem::take(&mut self.watch.is_due) {
            return None;
        }
        for held in self.tasks.iter() {
            self.watch.count(held);
        }
        let lag = self.tasks.iter().flat_map(Held::progress).filter_map(|input| input.lag).sum();
        let is_running = self.membership.phase == Phase::Assigned && self.is_settled();
        let taken_over: usize = self.takeovers.iter().map(|takeover| takeover.claims().len()).sum();
        Some(Totals {
            records_in: self.watch.records_in,
            records_out: self.watch.sums.records_out,
            late: self.watch.sums.late,
            undecodable: self.watch.sums.undecodable,
            untimed: self.watch.sums.untimed,
            failed: self.watch.sums.failed,
            unproducible: self.watch.sums.unproducible,
            restored: self.watch.restored,
            commits: self.watch.commits,
            aborts: self.watch.aborts,
            tasks: (self.tasks.len() + taken_over) as u64,
            lag,
            is_running,
            is_finished: self.is_finished(),
        })
    }

    /// The report of each task, those that are being taken over included.
    pub fn report(&mut self) -> Vec<TaskReport> {
        let is_assigned = self.membership.phase == Phase::Assigned;
        let is_closing = self.is_stopping || self.failure.is_some();
        let report = |held: &mut Held| {
            let life = match held.restore_progress() {
                (done, end) if !held.is_restored() => Life::Restoring { done, end },
                _ if is_closing => Life::Closing,
                _ if is_assigned => Life::Running,
                _ => Life::Suspended,
            };
            let status = Some(held.task.status());
            let inputs = held.progress().map(|input| InputReport {
                partition: input.partition.clone(),
                position: input.position,
                lag: input.lag,
            });
            let (held_back, commits) = (held.task.held_back(), held.commits);
            TaskReport { id: held.id, life, inputs: inputs.collect(), status, held_back, commits }
        };
        let mut reports: Vec<TaskReport> = self.tasks.iter_mut().map(report).collect();
        for claim in self.takeovers.iter().flat_map(|takeover| takeover.claims()) {
            let input = |partition: &kafka_wire::cluster::TopicPartition| InputReport {
                partition: partition.clone(),
                position: Offset(-1),
                lag: None,
            };
            let inputs = claim.inputs.iter().map(input).collect();
            let (id, life, commits) = (claim.id, Life::Created, CommitTimes::default());
            reports.push(TaskReport { id, life, inputs, status: None, held_back: None, commits });
        }
        reports.sort_unstable_by_key(|report| report.id);
        reports
    }

    /// Whether the bounded run has ended for every task of this worker, and all its results are committed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ends.is_some()
            && self.membership.phase == Phase::Assigned
            && self.is_settled()
            && self.commit.is_idle()
            && self.tasks.iter().all(|held| held.task.is_finished())
    }

    /// Number of transactions that it has committed.
    #[must_use]
    pub const fn commit_count(&self) -> u64 {
        self.watch.commits
    }

    /// Whether no transaction is open.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.commit.is_idle()
    }

    /// Whether every assigned task is restored.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.takeovers.is_empty() && self.tasks.iter().all(Held::is_restored)
    }
}
