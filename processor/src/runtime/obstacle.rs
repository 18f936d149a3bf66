//! Failures that prevent a start.

use super::error::RunError;
use super::remedy::{Failure, Remedy};

/// A failure that prevents a start.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// A failure that may pass in a moment.
    Passes(RunError),
    /// A failure that needs a person.
    Stays(RunError),
}

impl Obstacle {
    /// The meaning of a failure for the start; `tell` makes the error for the user from its text.
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
