//! Event time: watermarks per partition, and across the shuffle.
//!
//! A watermark of `w` means that no record with a timestamp below `w` is expected any more; a window is closed when
//! its end is at or below the watermark. Each source partition has a [`Generator`], each repartition topic carries
//! the watermarks of the upstream tasks ([`Progress`]), and each task takes the minimum of its inputs ([`TaskTime`]).
//!
//! # What late means
//! A record is late only if it lay in the log behind records that had moved the watermark of its own partition past its
//! window, or came into the log after its window was closed. So a partition without records, which must not hold the
//! others back for ever, is passed by only if its log has nothing that has not been read: [`TaskTime`] describes how.
//!
//! # How watermarks cross a repartition topic
//! Watermarks are sent in band. Before a commit, a worker collects the marks ([`Mark`]) of those of its tasks whose
//! watermark, idleness or end has changed, and writes them as one record into every partition of the repartition topic,
//! in the same transaction as the tasks' data and after it. A reader that has read a mark has therefore read everything
//! that it covers, an aborted transaction takes its marks away with its data, and a replay finds both again in the same
//! order. There is nothing to look up, and no position to keep besides the one in the topic.
//!
//! A mark may be delayed: it is then still true, but not the latest. So marks that only advance the watermark wait for
//! each other ([`mark_interval`]), longer if there are more sources and targets, because each round is a record for
//! every target with a mark for every source. Changes that other tasks wait for are sent at once:
//! that a task has become idle or active again, and that its input has ended.
//!
//! The rejected alternative was a separate topic for progress, tailed by every instance, with the offsets that a mark
//! covers. It needs the offsets of the acknowledgements before the transaction can end, a second consumer in every
//! instance, and a rule for applying each mark at the right place.

mod generator;
mod mark;
mod progress;
mod task_time;

use std::time::Duration;

use kafka_wire::types::TimestampMs;

pub use generator::{Generator, Watermark};
pub use mark::{IdleAt, Mark, decode_marks, encode_marks};
pub use progress::Progress;
pub use task_time::{Contributor, InputKind, TaskTime};

/// The watermark before anything is known: no window is closed, and no record is late.
pub const NO_WATERMARK: TimestampMs = TimestampMs(i64::MIN);

/// The shortest time between two marks that only advance the watermark, by the number of tasks that write marks and
/// of partitions that each mark goes to.
#[must_use]
pub fn mark_interval(sources: i32, targets: i32) -> Duration {
    let marks = u64::from(sources.unsigned_abs()) * u64::from(targets.unsigned_abs());
    Duration::from_micros(marks * 10).min(MARK_INTERVAL_MAX)
}

/// By default, Flink writes a watermark at the same interval.
const MARK_INTERVAL_MAX: Duration = Duration::from_millis(200);
