//! The assigned partitions and their positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::epochs::EpochHistory;
use super::fetched::Failure;
use crate::cluster::TopicPartition;
use crate::time::Moment;
use crate::types::{BrokerId, IsolationLevel, LeaderEpoch, Offset};
use crate::wire::Uuid;

/// The ends of a partition, as its leader last reported them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Offset after the last replicated record (exclusive).
    pub high_watermark: Offset,
    /// Offset after the last record that a `read_committed` reader may see (exclusive).
    pub last_stable_offset: Offset,
    /// The first offset in the log.
    pub log_start_offset: Offset,
}

impl Watermarks {
    /// The number of offsets between a position and the end that a reader of this isolation level comes to.
    #[must_use]
    pub fn lag(&self, isolation: IsolationLevel, position: Offset) -> u64 {
        let end = match isolation {
            IsolationLevel::ReadCommitted => self.last_stable_offset,
            IsolationLevel::ReadUncommitted => self.high_watermark,
        };
        u64::try_from(end.0.saturating_sub(position.0)).unwrap_or(0)
    }
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    /// Number of the assignment or seek; responses to requests of an earlier one are stale.
    pub(super) assignment: u64,
    /// Next offset to fetch, after everything that is parked.
    pub(super) position: i64,
    /// Next offset that a poll delivers, before everything that is parked.
    pub(super) delivered: i64,
    /// The offset below which the reader wants nothing, although it may be fetched from before it; negative if it wants
    /// all that is fetched.
    pub(super) wanted_from: i64,
    /// Epochs of the batches before `position`, by which it is noticed that a leader's log is another one (KIP-320).
    pub(super) epochs: EpochHistory,
    /// The epoch of the leader whose log is known to have the records before `position`; `None` if none was asked.
    pub(super) checked: Option<LeaderEpoch>,
    /// Whether the leader has said that `position` is outside of its log, and is to be asked for the reason.
    pub(super) is_refused: bool,
    /// The id under which the topic was first seen; all zero before that.
    pub(super) topic_id: Uuid,
    /// The replica to read instead of the leader, and until when.
    pub(super) replica: Option<(BrokerId, Moment)>,
    pub(super) is_paused: bool,
    pub(super) state: State,
    pub(super) parked_bytes: usize,
    /// Number of temporary failures in a row.
    pub(super) failures: u32,
    /// Epoch of the leader that has failed, and that the pause until the next attempt is for.
    pub(super) spares: Option<LeaderEpoch>,
    /// Number of the last response with data, counted over all partitions: the partition that was served
    /// longest ago goes first.
    pub(super) served: u64,
    pub(super) watermarks: Option<Watermarks>,
    /// When the broker that it is read from last said what comes next, be it nothing.
    pub(super) answered_at: Moment,
    pub(super) failure: Failure,
}

/// The state of a partition's fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It may be fetched from this moment on.
    Fetchable(Moment),
    /// A fetch is in flight.
    InFlight,
    /// The leader is being asked whether its log has the records before the position.
    Checking,
    /// The position is outside of the log: the offset to go on at may be looked up from this moment on.
    NeedsReset(Moment),
    /// The look-up is in flight.
    Resetting,
    /// The partition stands still: the reader has the error, or gets it after the data before it.
    Stopped,
}

/// All assigned partitions, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Positions {
    partitions: BTreeMap<TopicPartition, Assigned>,
    last_assignment: u64,
}

impl Positions {
    /// Assigns the partition, to begin where the reset policy says.
    pub(super) fn assign_unplaced(&mut self, partition: TopicPartition) {
        self.assign(partition.clone(), NOWHERE, LeaderEpoch(-1));
        if let Some(assigned) = self.partitions.get_mut(&partition) {
            assigned.state = State::NeedsReset(Moment::ZERO);
        }
    }

    /// Assigns the partition, or moves it; of an earlier assignment only the paused flag is kept.
    pub(super) fn assign(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        self.last_assignment += 1;
        let is_paused = self.partitions.get(&partition).is_some_and(|assigned| assigned.is_paused);
        let assigned = Assigned {
            assignment: self.last_assignment,
            position: offset.0,
            delivered: offset.0,
            wanted_from: NOWHERE.0,
            epochs: EpochHistory::before(offset.0, epoch),
            checked: None,
            is_refused: false,
            topic_id: Uuid::default(),
            replica: None,
            is_paused,
            state: State::Fetchable(Moment::ZERO),
            parked_bytes: 0,
            failures: 0,
            spares: None,
            served: 0,
            watermarks: None,
            answered_at: Moment::ZERO,
            failure: Arc::default(),
        };
        self.partitions.insert(partition, assigned);
    }

    pub(super) fn unassign(&mut self, partition: &TopicPartition) -> bool {
        self.partitions.remove(partition).is_some()
    }

    pub(super) fn find(&self, partition: &TopicPartition) -> Option<&Assigned> {
        self.partitions.get(partition)
    }

    pub(super) fn find_mut(&mut self, partition: &TopicPartition) -> Option<&mut Assigned> {
        self.partitions.get_mut(partition)
    }

    /// The partition, if it still has the assignment of a request.
    pub(super) fn current(&mut self, partition: &TopicPartition, assignment: u64) -> Option<&mut Assigned> {
        self.partitions.get_mut(partition).filter(|assigned| assigned.assignment == assignment)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Assigned)> {
        self.partitions.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&TopicPartition, &mut Assigned)> {
        self.partitions.iter_mut()
    }
}

impl Assigned {
    /// Returns where the next poll begins; `None` before the reset policy has determined where to begin.
    pub(super) fn next_delivered(&self) -> Option<Offset> {
        (self.delivered >= 0).then_some(Offset(self.delivered))
    }

    /// Fetches only what is wanted from now on, unless a fetch from before that is in flight or its data are parked,
    /// or records below it may be of open transactions: since 3.8, a broker answers a `read_committed` fetch above the
    /// last stable offset at once, with nothing (KAFKA-16452), so the consumer would ask in a hot loop.
    pub(super) fn pass_unwanted(&mut self) {
        let is_stable = self.watermarks.is_some_and(|ends| ends.last_stable_offset.0 >= self.wanted_from);
        if is_stable && self.parked_bytes == 0 && matches!(self.state, State::Fetchable(_)) {
            self.go_to_wanted();
        }
    }

    /// Goes on at what is wanted. Returns `false` if that is not behind the position. The epoch of the records between
    /// is not known.
    pub(super) fn go_to_wanted(&mut self) -> bool {
        let is_before = self.position < self.wanted_from;
        if is_before {
            self.position = self.wanted_from;
            self.epochs = EpochHistory::default();
            // That was about the position before.
            self.is_refused = false;
        }
        is_before
    }

    /// Fetches the data from `position` on again: as many bytes of them are not parked any more.
    pub(super) fn go_back(&mut self, position: i64, size_bytes: usize) {
        self.position = position;
        self.epochs.forget_from(position);
        // That was about the position before.
        self.is_refused = false;
        self.parked_bytes -= size_bytes;
    }

    /// Whether the leader of this epoch may be asked, if it is fetchable from `from` on: the pause after a failure is
    /// for the leader that has failed, not for its successor.
    pub(super) fn is_due(&self, from: Moment, epoch: LeaderEpoch, now: Moment) -> bool {
        from <= now || self.spares.is_some_and(|failed| epoch > failed)
    }

    /// Notes that a request is under way.
    pub(super) const fn asked(&mut self, state: State) {
        self.spares = None;
        self.state = state;
    }

    /// Notes an answer, of which nothing failed.
    pub(super) const fn answered(&mut self, now: Moment) {
        self.failures = 0;
        self.answered_at = now;
        self.state = State::Fetchable(now);
    }

    /// Whether an error in delivered data forbids reading on.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }
}

/// The value of a position before the reset policy has determined where to begin.
pub(super) const NOWHERE: Offset = Offset(-1);
