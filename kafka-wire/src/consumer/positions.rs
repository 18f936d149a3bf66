//! The assigned partitions and where each of them stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fetched::Failure;
use crate::cluster::TopicPartition;
use crate::time::Moment;
use crate::types::{LeaderEpoch, Offset};
use crate::wire::Uuid;

/// The ends of a partition, as its leader last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Offset after the last replicated record (exclusive).
    pub high_watermark: Offset,
    /// Offset after the last record that a `read_committed` reader may see (exclusive).
    pub last_stable_offset: Offset,
    /// The first offset that the log has.
    pub log_start_offset: Offset,
}

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    /// Which assignment or seek this is; answers to requests of an earlier one are stale.
    pub(super) assignment: u64,
    /// Next offset to fetch: behind everything that is parked.
    pub(super) position: i64,
    /// Next offset that a poll hands out: before everything that is parked.
    pub(super) delivered: i64,
    /// Epoch of the last batch before `position`, by which the leader sees that its log is another one. KIP-320.
    pub(super) fetched_epoch: LeaderEpoch,
    /// The id under which the topic was first seen; all zero before.
    pub(super) topic_id: Uuid,
    pub(super) is_paused: bool,
    pub(super) state: State,
    pub(super) parked_bytes: usize,
    /// Temporary failures in a row.
    pub(super) failures: u32,
    /// Counts up with each answer that had data, over all partitions: who was served longest ago is asked for first.
    pub(super) served: u64,
    pub(super) watermarks: Option<Watermarks>,
    pub(super) failure: Failure,
}

/// What the fetcher may do with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Fetch it, from this moment on.
    Fetchable(Moment),
    /// A fetch is under way.
    InFlight,
    /// The position is outside of the log: look up where to go on, from this moment on.
    NeedsReset(Moment),
    /// The look-up is under way.
    Resetting,
    /// It stands still: the reader has been told why, or will be when it gets there.
    Stopped,
}

/// All assigned partitions, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Positions {
    partitions: BTreeMap<TopicPartition, Assigned>,
    last_assignment: u64,
}

impl Positions {
    /// Assigns the partition to begin where the reset policy says.
    pub(super) fn assign_unplaced(&mut self, partition: TopicPartition) {
        self.assign(partition.clone(), NOWHERE, LeaderEpoch(-1));
        if let Some(assigned) = self.partitions.get_mut(&partition) {
            assigned.state = State::NeedsReset(Moment::ZERO);
        }
    }

    /// Assigns the partition, or moves it; nothing of an earlier assignment is left but whether it is paused.
    pub(super) fn assign(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        self.last_assignment += 1;
        let is_paused = self.partitions.get(&partition).is_some_and(|assigned| assigned.is_paused);
        let assigned = Assigned {
            assignment: self.last_assignment,
            position: offset.0,
            delivered: offset.0,
            fetched_epoch: epoch,
            topic_id: Uuid::default(),
            is_paused,
            state: State::Fetchable(Moment::ZERO),
            parked_bytes: 0,
            failures: 0,
            served: 0,
            watermarks: None,
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

    /// The partition, if it still has the assignment that a request was made for.
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
    /// Where the next poll begins; `None` before the reset policy has said where to begin.
    pub(super) fn next_delivered(&self) -> Option<Offset> {
        (self.delivered >= 0).then_some(Offset(self.delivered))
    }

    /// What an error in the data that was handed out says about reading on.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }
}

/// The position before the reset policy has said where to begin.
pub(super) const NOWHERE: Offset = Offset(-1);
