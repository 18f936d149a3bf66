//! A worker's knowledge of its group.

use kafka_wire::cluster::TopicPartition;
use kafka_wire::group::{Exchange, Reassignment, Succession};

/// The assignment of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Generation, which counts the group's assignments.
    pub generation: i32,
    /// The partitions that are the worker's from now on, and no others.
    pub partitions: Vec<TopicPartition>,
    /// Transactional ids of all members; empty if they are unknown.
    pub live_ids: Vec<String>,
}

/// The state of a worker in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The worker has no partitions: before the first assignment, and between giving back and the next.
    Joining,
    /// The worker has its partitions.
    Assigned,
    /// The group rebalances: the open transaction is committed first.
    Returning,
}

/// The state of the group as of the last assignment.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) phase: Phase,
    succession: Succession,
    live_ids: Vec<String>,
}

impl Membership {
    pub(super) const fn new() -> Self {
        Self { phase: Phase::Joining, succession: Succession::new(Exchange::Eager), live_ids: Vec::new() }
    }

    /// Enters the generation of an assignment, with these partitions. Returns how it differs from those that the worker
    /// `has`: it keeps tasks through an eager rebalance, but not through a generation that it has missed.
    pub(super) fn enter<'p>(
        &mut self,
        (generation, partitions): (i32, &[TopicPartition]),
        has: impl Iterator<Item = &'p TopicPartition>,
    ) -> Reassignment {
        self.phase = Phase::Assigned;
        self.succession.follow(generation, partitions, has)
    }

    /// Takes the members of an assignment; returns those of the last one that are gone.
    pub(super) fn replace_members(&mut self, live_ids: Vec<String>) -> Vec<String> {
        let before = std::mem::replace(&mut self.live_ids, live_ids);
        if self.live_ids.is_empty() {
            return Vec::new();
        }
        before.into_iter().filter(|id| !self.live_ids.contains(id)).collect()
    }

    /// Whether a worker is certainly not a member: workers are not fenced on a guess, and live members never.
    pub(super) fn is_gone(&self, transactional_id: &str) -> bool {
        !self.live_ids.is_empty() && !self.live_ids.iter().any(|id| id == transactional_id)
    }

    /// Whether the members are known.
    pub(super) fn knows_members(&self) -> bool {
        !self.live_ids.is_empty()
    }
}
