//! State: memory first, with an undo log per transaction, made durable by a changelog topic.
//!
//! # The algorithm
//! - A task has its stores in a list ([`Stores`]); operators reach theirs by typed [`Handle`]s. To the task a store is
//!   a [`Store`]: it restores entries, writes changes, commits, rolls back, says how large it is. A new kind of store
//!   is a file here and an operator that asks for it.
//! - The first touch of an entry in a transaction pushes the entry's place and its old value to an undo log; that log
//!   is the list of changed entries at the same time.
//! - Before a commit each changed entry is written once into the changelog, however often it changed, and a tombstone
//!   for each entry that is gone and that the changelog has. An entry born and removed in one transaction leaves no
//!   trace there.
//! - After a commit the undo log is dropped; a rollback plays it back, last first. Nothing is wiped or read again.
//!
//! Only what a commit has made durable is in the changelog, so a restore is: read it, committed records only, to its
//! end.

mod changelog;
mod index;
mod key_value;
mod open_windows;
mod order;
mod slab;
mod sorted;
mod store;
mod table;
mod timers;
mod window_store;

pub use changelog::ChangelogKey;
pub use index::AHEAD;
pub use key_value::KeyValueStore;
pub use sorted::SortedStore;
pub use store::{Changelog, Handle, RestoreError, Store, StoreSizes, Stores, Visit};
pub use timers::{Clock, Timer, TimerStore};
pub use window_store::WindowStore;

#[cfg(test)]
mod tests;
