//! One input of a task, and its position.

use kafka_wire::cluster::{Progress, TopicPartition};
use kafka_wire::record::{Record, Records};
use kafka_wire::types::Offset;

use super::place::Position;

/// One input of a task.
pub(super) struct Input {
    pub(super) partition: TopicPartition,
    /// The place at which it goes on, and the committed one, to which a rollback goes back.
    pub(super) progress: Progress<Position>,
    /// Number of partitions of the topic, if that must not change.
    pub(super) partitions: Option<i32>,
    /// Whether the topic is one of the job's own, which is purged up to the committed offset.
    pub(super) is_internal: bool,
    /// The end of a source partition, if it has one.
    pub(super) end: Option<Offset>,
    pub(super) has_ended: bool,
    /// Offsets from the position to the end of the log, or of the bounded run, as of the last fetch.
    pub(super) lag: Option<i64>,
    /// The end of the records that were processed within the transaction that wrote them: in the open one, and in the
    /// one before, whose marker comes next.
    pub(super) own_end: Option<Offset>,
    pub(super) marked_end: Option<Offset>,
}

/// Whether a record of an input is a mark.
pub(super) const fn is_mark(input: &Input, record: &Record<'_>) -> bool {
    input.is_internal && record.key.is_none()
}

impl Input {
    /// Whether the position is another one than the group has.
    pub(super) fn has_moved(&self) -> bool {
        self.position() > self.progress.settled.offset
    }

    pub(super) const fn place(&self) -> Position {
        self.progress.position
    }

    /// The next offset to process.
    pub(super) const fn position(&self) -> Offset {
        self.progress.position.offset
    }

    /// Moves the position forward.
    pub(super) fn move_to(&mut self, position: Position) {
        if position.offset > self.position() {
            self.progress.position = position;
        }
    }

    /// The position, or the end of the input if that comes first: what lies behind it does not count.
    pub(super) fn reached(&self) -> Offset {
        self.end.map_or(self.position(), |end| end.min(self.position()))
    }

    /// The part of a batch before the end of the input, and the offset after it. The end of a log lies between two
    /// batches, but one that was chosen may lie within.
    pub(super) fn up_to_end<'r>(&self, records: Records<'r>, next: Offset) -> (Records<'r>, Offset) {
        match self.end {
            Some(end) if end < next => (records.before(end.0), end),
            Some(_) | None => (records, next),
        }
    }

    pub(super) fn is_past_end(&self, position: Offset) -> bool {
        self.end.is_some_and(|end| position >= end)
    }

    pub(super) fn is_at_end(&self) -> bool {
        !self.has_ended && self.is_past_end(self.position())
    }
}
