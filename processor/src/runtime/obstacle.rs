//! What stands in the way of a start.

use super::error::RunError;
use super::remedy::{Failure, Remedy};

/// What stands in the way of a start.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// Something that may be gone a moment later.
    Passes(RunError),
    /// Something that needs a person.
    Stays(RunError),
}

impl Obstacle {
    /// What a failure means for the start; `tell` makes of its text what a person is told.
    pub(super) fn of(failure: &impl Failure, tell: impl FnOnce(String) -> RunError) -> Self {
        match failure.remedy() {
            Remedy::Retry | Remedy::Restart => Self::Passes(tell(failure.to_string())),
            Remedy::Person => Self::Stays(tell(failure.to_string())),
        }
    }
}

impl From<RunError> for Obstacle {
    fn from(error: RunError) -> Self {
        Self::Stays(error)
    }
}
