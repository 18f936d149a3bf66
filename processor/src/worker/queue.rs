//! Records that wait for their turn, in a task with steps that care for the order between its inputs.
//!
//! # The algorithm
//! Each input has a queue. The input whose first record has the least event time is processed, up to the first record
//! of the next input; of two equal times, that of the first input in the order of declaration comes first. So records
//! that are in the logs before the task reads them are processed in one order, whatever order they arrive in.
//!
//! An input without queued records may still have earlier ones. It is waited for while its log has more than was read,
//! or it is not known whether it has, and then until the input has been at the end of its log for a configured time.
//!
//! A mark at the head of a queue, and a record that cannot be read, are processed at once: they have no event time.
//!
//! Source: KIP-353 and KIP-695, for the rule; there, of two equal times either may come first.

use std::collections::VecDeque;
use std::time::Duration;

use kafka_wire::record::{OwnedRecords, Record};
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, TimestampMs};

use super::place::Position;

/// The queue of an input.
#[derive(Debug, Default)]
pub(super) struct Queue {
    batches: VecDeque<QueuedBatch>,
    size_bytes: usize,
    /// The first record that waits.
    pub(super) head: Option<Head>,
    /// The end of the last fetch, and the end of the log as of that fetch: they are reached when the queue is empty.
    pub(super) reached: Option<(Position, Offset)>,
    /// Whether the input is not read, because the queue is full.
    is_stopped: bool,
    /// The time since which the input has been at the end of its log, with an empty queue.
    dry_since: Option<Moment>,
}

/// A batch that waits.
#[derive(Debug)]
pub(super) struct QueuedBatch {
    pub(super) records: OwnedRecords,
    /// The place behind the batch.
    pub(super) end: Position,
}

/// The first record of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// A mark, an error, or the end of a batch without records: it does not wait.
    AtOnce,
    /// A record with this event time.
    At(TimestampMs),
}

/// The next step of a task that orders its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is queued.
    Nothing,
    /// Records are queued, but earlier ones may come from another input: at this time it is to be decided again.
    Wait(Moment),
    /// The first records of an input are to be processed.
    Run {
        /// The input.
        index: usize,
        /// The records that belong to the turn.
        up_to: UpTo,
    },
}

/// The end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpTo {
    /// The first record with an event time.
    Timed,
    /// The first record that comes after one with this event time, in the input with this index.
    Record(TimestampMs, usize),
    /// The end of the first batch.
    End,
}

impl UpTo {
    /// Whether a record with an event time, in the input `index`, belongs to the turn.
    pub(super) fn includes(self, index: usize, event_time: impl FnOnce() -> TimestampMs) -> bool {
        match self {
            Self::Timed => false,
            Self::Record(time, other) => (event_time(), index) < (time, other),
            Self::End => true,
        }
    }
}

impl Queue {
    pub(super) fn push(&mut self, batch: QueuedBatch) {
        self.size_bytes += batch.records.size_bytes();
        self.dry_since = None;
        self.batches.push_back(batch);
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut QueuedBatch> {
        self.batches.front_mut()
    }

    /// The first record that waits; `None` within, if there is none in the first batch that can be read.
    pub(super) fn first(&self) -> Option<Option<Record<'_>>> {
        let batch = self.batches.front()?;
        Some(batch.records.iter().next().and_then(Result::ok))
    }

    /// Removes the first batch, which has been processed.
    pub(super) fn pop(&mut self, now: Moment) {
        if let Some(batch) = self.batches.pop_front() {
            self.size_bytes -= batch.records.size_bytes();
        }
        self.dry_since = self.is_empty().then_some(now);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Stops the input if it has `bytes_max` or more. Returns the offset at which reading stops.
    pub(super) fn stop_if_full(&mut self, bytes_max: usize) -> Option<Offset> {
        if self.is_stopped || self.size_bytes < bytes_max {
            return None;
        }
        let (end, _) = self.reached?;
        self.is_stopped = true;
        Some(end.offset)
    }

    /// Resumes a stopped input if half of `bytes_max` is free. Returns whether it is resumed.
    pub(super) const fn resume_if_room(&mut self, bytes_max: usize) -> bool {
        let resumes = self.is_stopped && self.size_bytes <= bytes_max / 2;
        self.is_stopped &= !resumes;
        resumes
    }

    /// Decides whether the input, whose queue is empty, has to be waited for, and until when.
    /// `lag` is the number of offsets that have not been read, if that is known.
    pub(super) fn wait(&mut self, now: Moment, lag: Option<i64>, idle_max: Option<Duration>) -> Option<Moment> {
        let idle_max = idle_max?;
        if lag.is_none_or(|lag| lag > 0) {
            self.dry_since = None;
            return Some(now + LOOK_AGAIN_AFTER);
        }
        let until = *self.dry_since.get_or_insert(now) + idle_max;
        (until > now).then_some(until)
    }

    /// Discards everything: it will be read again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Chooses the next turn by the heads of the queues, those that are empty left out.
pub(super) fn turn(heads: impl Iterator<Item = (usize, Head)> + Clone) -> Turn {
    let at_once = heads.clone().find(|(_, head)| *head == Head::AtOnce);
    if let Some((index, _)) = at_once {
        return Turn::Run { index, up_to: UpTo::Timed };
    }
    let mut least = None;
    let mut next = None;
    for (index, head) in heads {
        let Head::At(time) = head else { continue };
        let place = Some((time, index));
        if least.is_none() || place < least {
            next = std::mem::replace(&mut least, place);
        } else if next.is_none() || place < next {
            next = place;
        }
    }
    let Some((_, index)) = least else { return Turn::Nothing };
    Turn::Run { index, up_to: next.map_or(UpTo::End, |(time, other)| UpTo::Record(time, other)) }
}

/// Time between two looks at whether an input lies at the end of its log, while nothing comes from it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: usize, time: i64) -> (usize, Head) {
        (index, Head::At(TimestampMs(time)))
    }

    #[track_caller]
    fn check(heads: &[(usize, Head)], expected: Turn) {
        assert_eq!(turn(heads.iter().copied()), expected);
    }

    #[test]
    fn the_least_head_runs_up_to_the_next() {
        check(&[], Turn::Nothing);
        check(&[at(1, 5)], Turn::Run { index: 1, up_to: UpTo::End });
        let up_to = UpTo::Record(TimestampMs(7), 0);
        check(&[at(0, 7), at(1, 9), at(2, 5)], Turn::Run { index: 2, up_to });
        check(&[at(0, 5), at(2, 5)], Turn::Run { index: 0, up_to: UpTo::Record(TimestampMs(5), 2) });
        check(&[at(0, 5), (2, Head::AtOnce)], Turn::Run { index: 2, up_to: UpTo::Timed });
    }

    #[test]
    fn a_turn_ends_before_the_head_of_the_next_input() {
        let up_to = UpTo::Record(TimestampMs(5), 1);
        let includes = |index, time| up_to.includes(index, || TimestampMs(time));
        assert!(includes(0, 4) && includes(0, 5) && !includes(0, 6));
        assert!(includes(2, 4) && !includes(2, 5));
    }

    #[test]
    fn an_input_is_waited_for_until_it_has_been_at_its_end_for_a_while() {
        let (mut queue, idle_max) = (Queue::default(), Some(Duration::from_millis(50)));
        let mut wait = |now, lag| queue.wait(Moment::from_millis(now), lag, idle_max).map(Moment::as_millis);
        assert_eq!(wait(100, None), Some(110), "it is not known whether there is more");
        assert_eq!(wait(110, Some(3)), Some(120), "there is more");
        assert_eq!(wait(120, Some(0)), Some(170));
        assert_eq!(wait(169, Some(0)), Some(170));
        assert_eq!(wait(170, Some(0)), None);
        assert_eq!(wait(500, Some(0)), None, "it is still at its end");
        assert_eq!(wait(510, Some(1)), Some(520));
        assert_eq!(wait(520, Some(0)), Some(570), "it begins anew");
        assert_eq!(queue.wait(Moment::from_millis(600), Some(9), None), None, "nothing is waited for");
    }
}
