//! The name of a task, and how it is doing.

use std::fmt;

use kafka_wire::types::{PartitionId, TimestampMs};

use crate::operator::Counters;
use crate::topology::SubTopologyId;

/// Names a task: all workers of a job agree on it, over restarts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// What the task runs.
    pub sub_topology: SubTopologyId,
    /// The partition that it reads of each of its source topics, and that it has of each of its changelogs.
    pub partition: PartitionId,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology.0, self.partition)
    }
}

/// How a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// How far event time has come; [`NO_WATERMARK`](crate::watermark::NO_WATERMARK) while that is not known.
    pub watermark: TimestampMs,
    /// Whether the task holds nobody back: no record for a while, or the end of its input.
    pub is_idle: bool,
    /// Records taken, late and left out, written: since the start of the task, without what was rolled back.
    pub counters: Counters,
    /// Windows that are open.
    pub open_windows: usize,
    /// Entries in all stores.
    pub store_entries: usize,
    /// Memory that the stores take, as far as they know.
    pub store_bytes: usize,
}
