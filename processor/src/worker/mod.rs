//! The complete logic of a worker, without I/O.
//!
//! A worker holds a share of a job's tasks, and one transaction at a time for all of them. [`Worker`] is the machine:
//! events go in by `handle_*`, [`Worker::process`] and [`Worker::restore`]; instructions come out of [`Worker::poll`]
//! as [`Action`]s. The runtime connects it to a cluster and to real time, the test driver to logs in memory and
//! to a virtual clock. Both run the same rules for assignment, take-over, restore, commit and rollback.
//!
//! ```text
//! Starting: before the first worker of a process, choose the places at which inputs start
//! handle_assigned --> take-over: count partitions, fence the gone, read offsets, list the ends of changelogs
//!                       --> restore: changelogs to their ends, beside everything else
//!                             --> running: process, advance, commit
//! handle_rebalancing --> commit what is begun --> Rejoin --> handle_assigned
//! ```
//! An [`Operation`] takes time; its [`Completion`] comes back by [`Worker::handle_done`], and the machine works on
//! meanwhile. Only the operations on the transaction itself (flush, commit, abort, recover, make room) stop records
//! from being processed, because there is one transaction and one undo log.

mod action;
mod bounds;
mod commit_times;
mod end;
mod globals;
mod held;
mod input;
mod inspection;
mod machine;
mod membership;
mod outbox;
mod place;
mod queue;
mod report;
mod starts;
mod takeover;
mod tasks;

pub use action::{Action, Completion, Operation, OperationId};
pub use bounds::{Ends, UNBOUNDED, end_of};
pub use commit_times::CommitTimes;
pub use end::{End, Fatal};
pub use held::Life;
pub use inspection::MissingTopic;
pub use machine::{Reading, Settings, VisitPartition, Worker};
pub use membership::Assignment;
pub use outbox::Outbox;
pub use place::{Position, Span};
pub use report::{InputReport, TaskReport, Totals};
pub use starts::{ForeignOffsets, Starting};
