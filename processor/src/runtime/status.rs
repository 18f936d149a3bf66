//! What a running job counts: plain numbers that workers add to and anybody reads.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Counters of one worker slot; they go on over a restart of the worker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records_in: AtomicU64,
    pub(crate) records_out: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) aborts: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) kills: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) undecodable: AtomicU64,
    pub(crate) restored: AtomicU64,
    /// Gauges: they tell of now, and are overwritten.
    pub(crate) lag: AtomicI64,
    pub(crate) tasks: AtomicU64,
    pub(crate) is_running: AtomicBool,
    pub(crate) is_finished: AtomicBool,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// What a job has done since this process started, summed over its workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Records read from source topics, committed or not; records of repartition topics are not counted.
    pub records_in: u64,
    /// Records written to sink and repartition topics, committed or not; changelogs and marks are not counted.
    pub records_out: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted by a worker that lived.
    pub aborts: u64,
    /// Times that a worker started over after an error that passes.
    pub restarts: u64,
    /// Workers killed by [`crate::Running::kill_worker`].
    pub kills: u64,
    /// Records that came after their window had closed.
    pub late: u64,
    /// Records that their serde refused.
    pub undecodable: u64,
    /// Changelog records read to restore state.
    pub restored: u64,
    /// Records between the workers' positions and the ends of their partitions, as of the last fetch; repartition topics included.
    pub lag: u64,
    /// Tasks (sub-topology and partition) that the workers hold.
    pub tasks: u64,
    /// Workers that have their partitions and process them.
    pub running_workers: usize,
}

impl Status {
    pub(crate) fn sum<'a>(workers: impl IntoIterator<Item = &'a Counters>) -> Self {
        let mut status = Self::default();
        for worker in workers {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            status.records_in += read(&worker.records_in);
            status.records_out += read(&worker.records_out);
            status.commits += read(&worker.commits);
            status.aborts += read(&worker.aborts);
            status.restarts += read(&worker.restarts);
            status.kills += read(&worker.kills);
            status.late += read(&worker.late);
            status.undecodable += read(&worker.undecodable);
            status.restored += read(&worker.restored);
            status.tasks += read(&worker.tasks);
            status.lag += u64::try_from(worker.lag.load(Ordering::Relaxed)).unwrap_or_default();
            status.running_workers += usize::from(worker.is_running.load(Ordering::Relaxed));
        }
        status
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            records_in, records_out, commits, aborts, restarts, late, undecodable, restored, lag, tasks, ..
        } = self;
        write!(
            f,
            "records in {records_in}, out {records_out}, lag {lag}; commits {commits}, aborts {aborts}, restarts {restarts}; \
             tasks {tasks}, restored {restored}; late {late}, undecodable {undecodable}"
        )
    }
}
