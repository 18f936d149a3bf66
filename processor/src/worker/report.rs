//! The reports of a worker to its observers.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

use super::commit_times::CommitTimes;
use super::held::Life;
use crate::task::{HeldBack, TaskId, TaskStatus};

/// The report about one task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// The task.
    pub id: TaskId,
    /// Its stage of life.
    pub life: Life,
    /// The inputs that it reads.
    pub inputs: Vec<InputReport>,
    /// Event time, counters and sizes; `None` until the take-over of the task is complete.
    pub status: Option<TaskStatus>,
    /// The contributor that holds its watermark back; `None` if all contributors have the same watermark.
    pub held_back: Option<HeldBack>,
    /// Transactions that the task was part of.
    pub commits: CommitTimes,
}

/// The progress of an input of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputReport {
    /// The input.
    pub partition: TopicPartition,
    /// The next offset to process; -1 until it is known.
    pub position: Offset,
    /// Number of offsets, markers included, between the position and the end of the log as of the last
    /// fetch; `None` before that.
    pub lag: Option<i64>,
}

/// Totals of a worker since its start, rolled back or not, and its present state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Records read from source topics.
    pub records_in: u64,
    /// Records written to sink and repartition topics.
    pub records_out: u64,
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
    /// Changelog records read.
    pub restored: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions aborted.
    pub aborts: u64,
    /// Tasks held, those that are being taken over included.
    pub tasks: u64,
    /// Records between the positions and the ends of the logs.
    pub lag: i64,
    /// Whether a bounded run has ended for every task, and all its results are committed.
    pub is_finished: bool,
    /// Whether every assigned task runs.
    pub is_running: bool,
}

impl Totals {
    /// Adds the numbers of another worker, or of an earlier life of this one.
    pub fn add(&mut self, other: &Self) {
        let Self {
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
            is_finished,
            is_running,
        } = other;
        self.records_in += records_in;
        self.records_out += records_out;
        self.late += late;
        self.undecodable += undecodable;
        self.untimed += untimed;
        self.failed += failed;
        self.unproducible += unproducible;
        self.restored += restored;
        self.commits += commits;
        self.aborts += aborts;
        self.tasks += tasks;
        self.lag += lag;
        self.is_finished &= is_finished;
        self.is_running &= is_running;
    }

    /// Returns the part that remains when a worker has ended: its work, and not its state.
    #[must_use]
    pub const fn without_holdings(self) -> Self {
        Self { tasks: 0, lag: 0, is_finished: false, is_running: false, ..self }
    }
}
