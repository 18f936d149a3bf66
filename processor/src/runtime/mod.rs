//! Running of a job on a cluster: workers, rebalances, restore, commits. The only async code of the crate.
//!
//! [`App`] starts one thread per worker slot (`thread`), which runs one incarnation of a worker after the other
//! (`wiring`): the machine of [`crate::worker`] with a client, a membership and a producer. `operations` carries out
//! what the machine asks for, `remedy` has the meaning of each failure.
//!
//! Deliberately absent: standbys, state on disk, and any rule of what to do when, which belongs to the machine.

mod app;
mod config;
mod connect;
mod control;
mod error;
mod feed;
mod global_reader;
mod inputs;
mod instance;
mod kill;
mod limits;
mod membership;
mod named;
mod obstacle;
mod operations;
mod reader;
mod remedy;
mod requirements;
mod source_ends;
mod spec;
mod start;
mod status;
mod thread;
mod topics;
mod transaction;
mod wiring;

pub use app::{App, Running, terminated};
pub use config::{AssignmentStrategy, CompressionType, Config, ConfigError, ForeignOffsets, KEYS, MissingTopic};
pub use error::RunError;
pub use feed::{Feed, FileFormat, FileRecords};
pub use global_reader::GlobalReader;
pub use kill::Deaths;
pub use reader::{Entry, ReadError, StoreReader};
pub use requirements::check_brokers;
pub use status::Status;
