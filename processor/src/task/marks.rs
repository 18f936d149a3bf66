//! The marks that tell downstream tasks about event time: one record for all of a worker's tasks that write a topic.

use kafka_wire::record::RawHeaders;
use kafka_wire::types::{PartitionId, TimestampMs};

use super::{Shuffle, Task};
use crate::output::{OutRecord, Output, Route};
use crate::watermark::{IdleAt, Mark, NO_WATERMARK, encode_marks};

/// Writes the new marks of the tasks of one sub-topology into every partition that the tasks write to.
/// Call it after [`Task::before_commit`] of each task in the transaction: a mark is true because it comes after
/// the data that it covers.
pub fn write_marks<'t>(tasks: impl IntoIterator<Item = &'t mut Task>, output: &mut dyn Output) {
    let mut marks = Vec::new();
    let mut timestamp = TimestampMs(0);
    let mut shuffles: Vec<Shuffle> = Vec::new();
    for task in tasks {
        let Some(mark) = task.due_mark() else { continue };
        marks.push(mark);
        timestamp = timestamp.max(task.state.seen);
        shuffles.clone_from(&task.shuffles);
        task.state.sent = Some(mark);
        task.is_touched = true;
    }
    let mut value = Vec::new();
    for marks in marks.chunks(MARKS_MAX) {
        encode_marks(marks, &mut value);
        for Shuffle { sink, partitions } in &shuffles {
            for partition in (0..*partitions).map(PartitionId) {
                let (route, value, headers) = (Route::Partition(partition), Some(value.as_slice()), RawHeaders::EMPTY);
                output.emit(OutRecord { sink: *sink, route, timestamp, key: None, value, headers });
            }
        }
    }
}

impl Task {
    /// Whether there is a mark to write, because event time, idleness or the end of the input differs from the last
    /// mark.
    #[must_use]
    pub fn has_mark(&self) -> bool {
        self.due_mark().is_some()
    }

    /// Whether that mark must not wait: the task has become idle or active again, or its input has ended.
    #[must_use]
    pub fn has_urgent_mark(&self) -> bool {
        let is_urgent = |mark: Mark| match self.state.sent {
            None => mark.idle.is_some() || mark.ended.is_some(),
            Some(sent) => !mark.has_state_of(&sent),
        };
        self.due_mark().is_some_and(is_urgent)
    }

    /// Number of tasks of its sub-topology, and number of partitions that each mark goes to.
    #[must_use]
    pub fn fan_out(&self) -> (i32, i32) {
        let targets = self.shuffles.iter().fold(0_i32, |sum, shuffle| sum.saturating_add(shuffle.partitions));
        (self.task_count, targets)
    }

    /// The mark to write now, if it differs from the last one.
    fn due_mark(&self) -> Option<Mark> {
        if self.shuffles.is_empty() {
            return None;
        }
        let mark = Mark {
            upstream: self.id.partition,
            upstream_count: self.task_count,
            watermark: self.state.time.watermark(),
            idle: self.idle_at(),
            ended: self.whole_end(),
        };
        let says_something = mark.watermark > NO_WATERMARK || mark.idle.is_some() || mark.ended.is_some();
        (says_something && self.state.sent != Some(mark)).then_some(mark)
    }

    /// The end offsets of the sources, if the task is idle: no record for a while, or the end of its input.
    pub(super) fn idle_at(&self) -> Option<IdleAt> {
        let time = &self.state.time;
        time.idle_at().or_else(|| self.whole_end().is_some().then(|| time.position()))
    }
}

/// Most marks in one record, which keeps it far below the smallest usable `max.message.bytes`.
const MARKS_MAX: usize = 1_000;
