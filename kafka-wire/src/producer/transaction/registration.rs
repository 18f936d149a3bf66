//! The partitions and the group that are registered in a transaction, or have to be.
//!
//! A transaction registers what it uses, and once it has records also what the last ones have used: then nothing is
//! left to be registered between its last record and its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::usual::Usual;
use crate::cluster::TopicPartition;
use crate::producer::accumulator::Slot;
use crate::protocol::ErrorCode;
use crate::wire::Str;

/// The registrations of the open transaction.
#[derive(Debug)]
pub(super) struct Registration {
    /// Whether a batch or the commit waits for a registration.
    pub(super) is_urgent: bool,
    /// Time after the first records at which to register what is not urgent. The coordinator refuses it while it ends
    /// the transaction before, so this follows how long that takes.
    pause: Duration,
    /// Partitions with records, or expected to get some, that are not registered yet.
    pub(super) unregistered: BTreeMap<TopicPartition, Slot>,
    registered: BTreeSet<Slot>,
    usual: Usual,
    /// The group whose offsets the last transaction has committed, if it has.
    last_group: Option<Str>,
    /// The group whose offsets this transaction is expected to commit.
    expected_group: Option<Str>,
    /// The group in the AddOffsetsToTxn that is in flight.
    asked_group: Option<Str>,
    /// The group that is registered by a request of its own.
    registered_group: Option<Str>,
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            is_urgent: false,
            pause: PAUSE_MIN,
            unregistered: BTreeMap::new(),
            registered: BTreeSet::new(),
            usual: Usual::default(),
            last_group: None,
            expected_group: None,
            asked_group: None,
            registered_group: None,
        }
    }
}

impl Registration {
    /// Begins with the next transaction.
    pub(super) fn begin(&mut self) {
        self.usual.begin();
    }

    /// Clears the state of the last transaction, but for the memory of what it has used.
    pub(super) fn clear(&mut self) {
        self.unregistered.clear();
        self.registered.clear();
        (self.expected_group, self.registered_group, self.is_urgent) = (None, None, false);
    }

    /// Notes records for a partition.
    pub(super) fn touch(&mut self, slot: Slot, partition: impl FnOnce() -> TopicPartition) {
        if self.usual.is_in_use(slot) {
            return;
        }
        let partition = partition();
        self.usual.note(slot, partition.clone());
        if !self.registered.contains(&slot) {
            self.unregistered.insert(partition, slot);
        }
    }

    /// Notes that a batch is to be sent to a partition. Returns whether it is the first one that waits for its
    /// registration.
    pub(super) fn waits_for(&mut self, slot: Slot) -> bool {
        let is_first = !self.is_urgent && !self.registered.contains(&slot);
        self.is_urgent |= is_first;
        is_first
    }

    /// Time after the first records at which to register what is not urgent.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    /// Notes that the coordinator was still ending the transaction before. Returns the pause before the next attempt.
    pub(super) fn note_early(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    /// Notes that the first attempt to register was no longer too early.
    pub(super) fn note_in_time(&mut self) {
        self.pause = (self.pause - self.pause / 8).max(PAUSE_MIN);
    }

    /// Expects the transaction to write to the partitions that most of the last ones have written to.
    pub(super) fn expect_partitions(&mut self) {
        for (slot, partition) in self.usual.expected() {
            if !self.registered.contains(&slot) {
                self.unregistered.insert(partition, slot);
            }
        }
    }

    /// Expects the transaction to commit offsets of the same group as the last one.
    pub(super) fn expect_group(&mut self) {
        self.expected_group.clone_from(&self.last_group);
    }

    /// Whether a partition is registered.
    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.registered.contains(&slot)
    }

    /// Notes that a partition is registered.
    pub(super) fn add(&mut self, partition: &TopicPartition) {
        self.registered.extend(self.unregistered.remove(partition));
    }

    /// Whether a partition has been refused that the transaction was only expected to use.
    pub(super) fn is_mistaken(&self, partition: &TopicPartition, code: ErrorCode) -> bool {
        let is_unused = |slot: &Slot| !self.usual.is_in_use(*slot);
        is_of_partition(code) && self.unregistered.get(partition).is_some_and(is_unused)
    }

    /// Leaves out the partitions that are not registered and that the transaction does not use so far.
    pub(super) fn keep_used(&mut self) {
        let Self { usual, unregistered, .. } = self;
        unregistered.retain(|_, slot| usual.is_in_use(*slot));
    }

    /// Expects no more than what the transaction uses so far, also of the next ones.
    pub(super) fn expect_nothing(&mut self) {
        self.usual.forget_others();
        self.keep_used();
    }

    /// Notes the group whose offsets the transaction commits.
    pub(super) fn note_group(&mut self, group: Option<Str>) {
        self.last_group = group;
    }

    /// The group to be registered: `committed`, or else the one that is expected.
    pub(super) fn missing_group<'a>(&'a self, committed: Option<&'a Str>) -> Option<&'a Str> {
        committed.or(self.expected_group.as_ref()).filter(|group| self.registered_group.as_ref() != Some(group))
    }

    /// Notes that a request to register a group is being sent.
    pub(super) fn ask_for_group(&mut self, committed: Option<Str>) {
        self.asked_group = committed.or_else(|| self.expected_group.clone());
    }

    /// The group in the request that is in flight.
    pub(super) fn asked_group(&self) -> Option<&Str> {
        self.asked_group.as_ref()
    }

    /// Notes that the group in the request is registered.
    pub(super) fn add_group(&mut self) {
        self.registered_group = self.asked_group.take();
    }

    /// Expects no offsets to be committed.
    pub(super) fn expect_no_group(&mut self) {
        self.expected_group = None;
    }
}

/// Bounds of the time after the first records at which to register what is not urgent.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// Whether a refusal of AddPartitionsToTxn is about one partition, or about another partition of the same request.
fn is_of_partition(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::OPERATION_NOT_ATTEMPTED
    )
}
