//! The regular inspection of the topics that a worker's tasks read.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_wire::cluster::MissingTopics;
use kafka_wire::time::Moment;

use super::action::OperationId;
use crate::task::TaskId;

/// The reaction of a job to the deletion of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingTopic {
    /// It is reported repeatedly; the other inputs go on.
    #[default]
    Warn,
    /// The job ends.
    Fail,
}

/// The state of the inspection.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) operation: Option<OperationId>,
    /// Topics of the inspection in progress.
    pub(super) asked: BTreeSet<String>,
    pub(super) next: Moment,
    /// Whether the inspection in progress is an additional one, which does not count for topics that are missing.
    pub(super) is_hurried: bool,
    wants_hurry: bool,
    /// Inputs whose upstream tasks were more, at the last inspection, than there can be.
    pub(super) crowded: BTreeSet<(TaskId, usize)>,
    /// Topics that the last inspection did not find; those that the one before it did not find either are gone.
    pub(super) missing: MissingTopics,
}

impl Inspection {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            operation: None,
            asked: BTreeSet::new(),
            next: now,
            is_hurried: false,
            wants_hurry: false,
            crowded: BTreeSet::new(),
            missing: MissingTopics::new(Duration::ZERO),
        }
    }

    /// Requests an additional inspection, for the numbers of partitions.
    pub(super) const fn hurry(&mut self) {
        self.wants_hurry = true;
    }

    /// Whether an inspection is due; if it is a regular one, the next one is due after `interval`.
    pub(super) fn begin_if_due(&mut self, now: Moment, interval: Duration) -> bool {
        if self.operation.is_some() || (now < self.next && !self.wants_hurry) {
            return false;
        }
        self.wants_hurry = false;
        self.is_hurried = now < self.next;
        if !self.is_hurried {
            self.next = now + interval;
        }
        true
    }

    pub(super) fn waits_for(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }
}
