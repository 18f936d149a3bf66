//! State: memory first, with an undo log per transaction, made durable by a changelog topic.
//!
//! # The algorithm
//! - A windowed store holds one hash table per window start, so that closing a window drops a table.
//! - A transaction is an *epoch*. The first touch of an entry in an epoch pushes its slot and old value to the table's undo
//!   log; that log is the list of dirty entries at the same time.
//! - Before a commit each dirty entry is written once into the changelog, however often it changed, and a tombstone for each
//!   entry of a closed window that the changelog has. An entry born and closed in one epoch leaves no trace there.
//! - After a commit the logs are dropped; a rollback plays them back, last first. Nothing is wiped or read again.
//!
//! Only what a commit has made durable is in the changelog, so a restore is: read it, committed records only, to its end.

mod changelog;
mod table;
mod window_store;

pub use changelog::ChangelogKey;
pub use window_store::WindowStore;

#[cfg(test)]
mod tests;
