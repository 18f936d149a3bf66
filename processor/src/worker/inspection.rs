//! What is known of the looks at the topics that a worker's tasks read.

use std::collections::BTreeSet;

use kafka_wire::time::Moment;

use super::action::OperationId;

/// What becomes of a job whose input is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingTopic {
    /// It is reported, again and again; the other inputs go on.
    #[default]
    Warn,
    /// The job ends.
    Fail,
}

/// The looks at the topics.
#[derive(Debug)]
pub(super) struct Inspection {
    pub(super) operation: Option<OperationId>,
    /// Topics that the look under way asks for.
    pub(super) asked: BTreeSet<String>,
    pub(super) next: Moment,
    /// Topics that the last look missed: one miss may be a broker that does not know better yet.
    pub(super) missing: BTreeSet<String>,
}

impl Inspection {
    pub(super) const fn new(now: Moment) -> Self {
        Self { operation: None, asked: BTreeSet::new(), next: now, missing: BTreeSet::new() }
    }

    pub(super) fn waits_for(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }
}
