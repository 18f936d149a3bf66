//! The open transaction, as a worker fills it.

use super::end::{End, Fatal};
use crate::output::Output;

/// A place for the output of tasks: the producer's side of the open transaction.
pub trait Outbox: Output {
    /// Opens a transaction; output goes into it from now on.
    ///
    /// # Errors
    /// The producer cannot, and a new worker has to take over.
    fn begin(&mut self) -> Result<(), End>;

    /// Whether every record since the last look was taken.
    ///
    /// # Errors
    /// The first that was not: the transaction must not be committed then.
    fn check(&mut self) -> Result<(), Fatal>;

    /// Whether the output of another batch fits.
    fn has_room(&self) -> bool;

    /// Records taken, and their bytes, since the last call.
    fn take_written(&mut self) -> (u64, u64);
}
