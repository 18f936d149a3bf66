//! The identity of a task, and its status.

use std::fmt;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{PartitionId, TimestampMs};

use crate::operator::Counters;
use crate::topology::SubTopologyId;

/// Identifies a task: the same for all workers of a job, and after restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The sub-topology that it runs.
    pub sub_topology: SubTopologyId,
    /// Its partition of each of its source topics, and of each of its changelogs.
    pub partition: PartitionId,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology.0, self.partition)
    }
}

/// The contributor that holds the watermark of a task back most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBack {
    /// Its name.
    pub by: Holder,
    /// Its own watermark; `None` if none has been received.
    pub watermark: Option<TimestampMs>,
}

/// The name of a contributor to the event time of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A partition of a user's topic that the task reads.
    Input(TopicPartition),
    /// A task that writes a repartition topic that the task reads.
    Task(TaskId),
}

/// The status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// The watermark; [`NO_WATERMARK`](crate::watermark::NO_WATERMARK) while it is not known.
    pub watermark: TimestampMs,
    /// Whether the task is idle, so that it holds no other task back: no record for a while, or the end of its input.
    pub is_idle: bool,
    /// Numbers of processed, late, left out and written records, since the start of the task and without
    /// what was rolled back.
    pub counters: Counters,
    /// Number of open windows.
    pub open_windows: usize,
    /// Number of entries in all stores.
    pub store_entries: usize,
    /// Memory of the stores in bytes, as far as they know it.
    pub store_bytes: usize,
}
