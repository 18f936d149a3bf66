//! Event time: how far it has come, per partition, and across the shuffle.
//!
//! A watermark of `w` says that no record with a timestamp below `w` is expected any more; a window is closed when its end
//! is at or below it. Each source partition has a [`Generator`], each repartition topic tells the watermarks of the tasks
//! above it ([`Progress`]), and each task takes the least of what its inputs say ([`TaskTime`]).
//!
//! # What late means
//! A record is late only when it lay in the log behind records that had moved the watermark of its own partition past its
//! window, or came into the log after its window was closed. So a partition without records, which must not hold the others
//! back for ever, is passed by only when nothing lies in its log that has not been read: [`TaskTime`] tells how.
//!
//! # How watermarks cross a repartition topic
//! In band. Before a commit, a task whose watermark, idleness or end changed writes one [`Mark`] into every partition of its
//! repartition topic, in the same transaction as its data and behind it. A reader that has read the mark has therefore read
//! everything that it speaks of, an aborted transaction takes its marks away with its data, and a replay finds both again in
//! the same order. There is nothing to look up, and no position to keep besides the one in the topic.
//!
//! The alternative was a topic of its own for progress, tailed by every instance, with the offsets that a mark speaks of.
//! It writes one record per task and commit where this writes one per task, partition and commit; but it needs the offsets of the acks before the transaction can end, a second consumer in every instance, and a rule for
//! applying each mark at the right place. Here the cost is some 40 bytes times tasks times partitions per commit: 36 records
//! for 6 tasks and 6 partitions, at most ten times a second under load.

mod generator;
mod mark;
mod progress;
mod task_time;

use kafka_wire::types::TimestampMs;

pub use generator::{Generator, Watermark};
pub use mark::{IdleAt, Mark};
pub use progress::Progress;
pub use task_time::{Contributor, InputKind, TaskTime};

/// Before anything is known: no window is closed, nothing is late.
pub const NO_WATERMARK: TimestampMs = TimestampMs(i64::MIN);
