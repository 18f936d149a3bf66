//! State: in memory, with an undo log per transaction, made durable by a changelog topic.
//!
//! # The algorithm
//! - A task has its stores in a list ([`Stores`]); operators reach theirs by typed [`Handle`]s. To the task a store is
//!   a [`Store`]: it restores entries, writes changes, commits, rolls back, and reports its size.
//!   A new kind of store is a file here and an operator that uses it.
//! - The first change of an entry in a transaction pushes the entry's place and its old value to an undo log;
//!   that log is also the list of changed entries.
//! - Before a commit each changed entry is written once into the changelog, however often it changed, and a tombstone
//!   for each removed entry that the changelog has. An entry that is created and removed in one transaction is
//!   not written at all.
//! - Some stores forget entries some time after they were written ([`Ttl`]): they do not show what is over, and remove
//!   it later, by ordinary removals.
//! - After a commit the undo log is dropped; a rollback applies it in reverse order. Nothing is wiped or read again.
//!
//! The changelog has only what a commit has made durable, so a restore reads its committed records to its end.

mod changelog;
mod clock;
mod closed_by;
mod due;
mod expiry;
mod free_list;
mod global;
mod globals;
mod index;
mod key_value;
mod open_windows;
mod order;
mod ordered;
mod paged;
mod pattern_store;
mod single;
mod slab;
mod small_key;
mod sorted;
mod store;
mod sums;
mod table;
mod timed;
mod timers;
mod window_store;

pub use changelog::ChangelogKey;
pub use clock::{Clock, Ttl};
pub use closed_by::{ClosedBy, Closing};
pub use global::{Global, GlobalHandle};
pub use globals::{GlobalRows, Globals, VisitRow};
pub use index::AHEAD;
pub use key_value::KeyValueStore;
pub use pattern_store::{Due, PatternStore};
pub use single::{AT_ONCE, SingleStore};
pub use sorted::SortedStore;
pub use store::{Changelog, Handle, RestoreError, Store, StoreSizes, Stores, Visit};
pub use timed::{At, Item, TimedStore, Timing};
pub(crate) use timers::Set;
pub use timers::{Timer, TimerStore};
pub use window_store::WindowStore;

#[cfg(test)]
mod tests;
