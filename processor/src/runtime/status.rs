//! The counters of a running job: plain numbers that workers add to and anybody reads.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::worker::{TaskReport, Totals};

/// The counters of one worker slot; the sums go on when its worker is restarted.
#[derive(Debug, Default)]
pub(super) struct Board {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    /// Totals of the incarnations that have ended.
    before: Totals,
    /// Totals of the present incarnation.
    now: Totals,
    tasks: Vec<TaskReport>,
    restarts: u64,
    kills: u64,
}

impl Board {
    pub(super) fn publish(&self, totals: Totals) {
        self.notes().now = totals;
    }

    pub(super) fn report(&self, tasks: Vec<TaskReport>) {
        self.notes().tasks = tasks;
    }

    /// Ends an incarnation of the worker. Returns whether it had committed anything.
    pub(super) fn end_life(&self) -> bool {
        let mut notes = self.notes();
        let now = std::mem::take(&mut notes.now);
        notes.tasks.clear();
        notes.before.add(&now.without_holdings());
        now.commits > 0
    }

    pub(super) fn count_restart(&self) {
        self.notes().restarts += 1;
    }

    pub(super) fn count_kill(&self) {
        self.notes().kills += 1;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.notes().now.is_finished
    }

    pub(super) fn has_tasks(&self) -> bool {
        self.notes().now.tasks > 0
    }

    pub(super) fn tasks(&self) -> Vec<TaskReport> {
        self.notes().tasks.clone()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Totals of a job since this process started, summed over its workers, and its present state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Records read from source topics, committed or not; records of repartition topics are not counted.
    pub records_in: u64,
    /// Records written to sink and repartition topics, committed or not; changelogs and marks are not counted.
    pub records_out: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted by a worker that went on after that.
    pub aborts: u64,
    /// Number of times that a worker started over after a temporary failure.
    pub restarts: u64,
    /// Workers killed by [`Deaths`](super::Deaths).
    pub kills: u64,
    /// Records that came after their window had closed.
    pub late: u64,
    /// Records that their serde refused.
    pub undecodable: u64,
    /// Records left out by steps that need event time, because they had no timestamp.
    pub untimed: u64,
    /// Records and results left out because the code of the user failed.
    pub failed: u64,
    /// Output records left out because their topics do not take them.
    pub unproducible: u64,
    /// Changelog records read to restore state.
    pub restored: u64,
    /// Records between the workers' positions and the ends of their partitions, as of the last fetch;
    /// repartition topics included.
    pub lag: u64,
    /// Tasks (sub-topology and partition) that the workers hold.
    pub tasks: u64,
    /// Workers that have their partitions and process them.
    pub running_workers: usize,
}

impl Status {
    pub(super) fn sum<'a>(workers: impl IntoIterator<Item = &'a Board>) -> Self {
        let (mut all, mut restarts, mut kills, mut running_workers) = (Totals::default(), 0, 0, 0);
        for board in workers {
            let notes = board.notes();
            all.add(&notes.before);
            all.add(&notes.now);
            restarts += notes.restarts;
            kills += notes.kills;
            running_workers += usize::from(notes.now.is_running);
        }
        let Totals { records_in, records_out, late, restored, commits, aborts, tasks, lag, .. } = all;
        let Totals { undecodable, untimed, failed, unproducible, .. } = all;
        let lag = u64::try_from(lag).unwrap_or_default();
        Self {
            records_in,
            records_out,
            late,
            undecodable,
            untimed,
            failed,
            unproducible,
            restored,
            commits,
            aborts,
            tasks,
            lag,
            restarts,
            kills,
            running_workers,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            records_in,
            records_out,
            commits,
            aborts,
            restarts,
            late,
            undecodable,
            failed,
            restored,
            lag,
            tasks,
            ..
        } = self;
        write!(
            f,
            "records in {records_in}, out {records_out}, lag {lag}; commits {commits}, aborts {aborts}, restarts {restarts}; \
             tasks {tasks}, restored {restored}; late {late}, undecodable {undecodable}, failed {failed}"
        )
    }
}
