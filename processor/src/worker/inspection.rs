//! The regular inspection of the topics that a worker's tasks read.

use std::collections::BTreeSet;

use kafka_wire::time::Moment;

use super::action::OperationId;

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
    /// Topics that the last inspection did not find: one miss may be a broker with outdated metadata.
    pub(super) missing: BTreeSet<String>,
    /// Topics that the last two inspections did not find.
    pub(super) lost: BTreeSet<String>,
}

impl Inspection {
    pub(super) const fn new(now: Moment) -> Self {
        Self { operation: None, asked: BTreeSet::new(), next: now, missing: BTreeSet::new(), lost: BTreeSet::new() }
    }

    pub(super) fn waits_for(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }
}
