//! A limit on the step by which a single record may move event time.
//!
//! A record that is further ahead of the earlier ones than the limit, such as one of a device whose clock is wrong, is
//! processed like any other, but event time does not follow it until the next record of the partition is as far ahead.
//! So a gap in the data costs the delay of one record, and a stray record makes no other one late. Only the timestamps
//! decide, not the clock, so that a replay has the same result. A restart goes on from the watermark of
//! the partition, and a partition without one from that of its task.

use kafka_wire::types::TimestampMs;

use super::{Context, Input};

/// The knowledge of a source about the times of its records, which may come from several partitions of one number.
#[derive(Clone, Debug)]
pub(super) struct JumpGuard {
    jump_max_ms: i64,
    /// The knowledge about each partition, by the index of the input.
    partitions: Vec<Known>,
    /// The same at the last commit.
    committed: Vec<Known>,
}

/// The knowledge about a partition.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// The greatest time that is trusted.
    reached: TimestampMs,
    /// A time that a later record may confirm, with the offset of its record, which may come again.
    doubted: Option<(TimestampMs, i64)>,
}

/// The value for no limit.
pub(crate) const ANY_JUMP: i64 = i64::MAX;

impl JumpGuard {
    pub(super) const fn new(jump_max_ms: i64) -> Self {
        Self { jump_max_ms, partitions: Vec::new(), committed: Vec::new() }
    }

    /// Returns whether event time may follow a record.
    #[inline]
    pub(super) fn believes(&mut self, record: (TimestampMs, i64), input: &Input, context: &Context<'_>) -> bool {
        self.jump_max_ms == ANY_JUMP || self.judge(record, input, context)
    }

    /// The transaction is committed.
    pub(super) fn committed(&mut self) {
        self.committed.clone_from(&self.partitions);
    }

    /// The transaction is rolled back: its records come again, and are judged again.
    pub(super) fn rolled_back(&mut self) {
        self.partitions.clone_from(&self.committed);
    }

    fn judge(&mut self, (timestamp, offset): (TimestampMs, i64), input: &Input, context: &Context<'_>) -> bool {
        let Self { jump_max_ms, partitions, .. } = self;
        if partitions.len() <= input.index {
            partitions.resize(input.index + 1, Known { reached: NOTHING, doubted: None });
        }
        let known = &mut partitions[input.index];
        let reached = known.reached.max(input.watermark.unwrap_or(NOTHING)).max(context.watermark);
        let is_near = timestamp.0.saturating_sub(reached.0) <= *jump_max_ms;
        let is_confirmed = known
            .doubted
            .is_some_and(|(doubted, at)| at < offset && timestamp.0.abs_diff(doubted.0) <= jump_max_ms.unsigned_abs());
        if reached == NOTHING || is_near || is_confirmed {
            *known = Known { reached: reached.max(timestamp), doubted: None };
            return true;
        }
        known.doubted = Some((timestamp, offset));
        let (place, ahead_ms) = (context.place, timestamp.0.saturating_sub(reached.0));
        let (topic, partition) = (place.topic, place.partition.0);
        tracing::warn!(topic, partition, offset, ahead_ms, "a record is far ahead; event time waits for a second one");
        false
    }
}

/// The time that a partition without records has reached.
const NOTHING: TimestampMs = TimestampMs(i64::MIN);
