//! What a worker tells those who watch it.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

use super::held::Life;
use crate::task::{TaskId, TaskStatus};

/// How one task is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// The task.
    pub id: TaskId,
    /// Where it is in its life.
    pub life: Life,
    /// What it reads.
    pub inputs: Vec<InputReport>,
    /// Event time, counters and sizes; `None` until the task's place is known.
    pub status: Option<TaskStatus>,
}

/// How far an input of a task is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InputReport {
    /// The input.
    pub partition: TopicPartition,
    /// The next offset to process; -1 until it is known.
    pub position: Offset,
    /// Records, markers included, between the position and the end of the log as of the last fetch; `None` before that.
    pub lag: Option<i64>,
}

/// What a worker has done since it began, rolled back or not, and what it holds.
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
    /// Whether a bounded run is over for every task, and what follows from it committed.
    pub is_finished: bool,
    /// Whether every task that is assigned runs.
    pub is_running: bool,
}
