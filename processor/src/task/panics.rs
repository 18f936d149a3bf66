//! Panics of the user's code.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Origin, ProcessError};
use crate::operator::Place;

/// Catches a panic, and returns its message. The job ends after it, because the task stopped in the middle of a record.
pub(super) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
    })
}

/// Makes the error for a panic at a record.
pub(super) fn panicked(Place { topic, partition, offset }: Place<'_>, message: String) -> ProcessError {
    ProcessError::Panicked { origin: Some(Origin { topic: topic.to_owned(), partition, offset }), message }
}
