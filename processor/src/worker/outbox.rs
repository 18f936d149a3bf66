//! The open transaction, as a worker fills it.

use super::end::{End, Fatal};
use crate::output::Output;

/// The destination of the tasks' output: the producer's side of the open transaction.
pub trait Outbox: Output {
    /// Opens a transaction; from now on output goes into it.
    ///
    /// # Errors
    /// The producer cannot go on, and a new worker has to take over.
    fn begin(&mut self) -> Result<(), End>;

    /// Checks that every record since the last check was accepted.
    ///
    /// # Errors
    /// The first record that was not: the transaction must not be committed then.
    fn check(&mut self) -> Result<(), Fatal>;

    /// Whether the output of another batch fits.
    fn has_room(&self) -> bool;

    /// Numbers of records and bytes that were taken since the last call.
    fn take_written(&mut self) -> (u64, u64);
}
