//! What a worker knows of its group.

use kafka_wire::cluster::TopicPartition;

/// What the group gave to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Counts the group's assignments.
    pub generation: i32,
    /// The partitions that are the worker's from now on, and no others.
    pub partitions: Vec<TopicPartition>,
    /// Transactional ids of all members; empty when they are not known.
    pub live_ids: Vec<String>,
}

/// A worker's place in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No partition is ours: before the first assignment, and between giving back and the next.
    Joining,
    /// The partitions are ours.
    Assigned,
    /// The group wants them back: what is begun is committed first.
    Returning,
}

/// The group as of the last assignment.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) phase: Phase,
    generation: Option<i32>,
    live_ids: Vec<String>,
}

impl Membership {
    pub(super) const fn new() -> Self {
        Self { phase: Phase::Joining, generation: None, live_ids: Vec::new() }
    }

    /// Takes the generation of an assignment. Whether one went by without us: others may then have had any of our
    /// partitions in it.
    pub(super) fn enter(&mut self, generation: i32) -> bool {
        self.phase = Phase::Assigned;
        self.generation.replace(generation).is_some_and(|last| generation > last + 1)
    }

    /// Takes the members of an assignment; returns those of the last one that are gone.
    pub(super) fn replace_members(&mut self, live_ids: Vec<String>) -> Vec<String> {
        let before = std::mem::replace(&mut self.live_ids, live_ids);
        if self.live_ids.is_empty() {
            return Vec::new();
        }
        before.into_iter().filter(|id| !self.live_ids.contains(id)).collect()
    }

    /// Whether a worker is surely no member: nobody is fenced on a guess, and a member that lives never.
    pub(super) fn is_gone(&self, transactional_id: &str) -> bool {
        !self.live_ids.is_empty() && !self.live_ids.iter().any(|id| id == transactional_id)
    }

    /// Whether the members are known.
    pub(super) fn knows_members(&self) -> bool {
        !self.live_ids.is_empty()
    }
}
