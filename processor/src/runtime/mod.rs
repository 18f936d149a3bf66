//! Running a job on a cluster: workers, rebalances, restore, commits. The only async code of the crate.
//!
//! [`App`] starts one thread per worker (`worker`), each of which is a member of the job's consumer group for the length of a
//! session (`session`): it takes partitions over (`takeover`), processes, and commits (`commit`).
//!
//! Deliberately absent: standbys, state on disk, and any knowledge of operators; a task is a box to it.

mod app;
mod commit;
mod config;
mod error;
mod instance;
mod membership;
mod open;
mod output;
mod requirements;
mod session;
mod status;
mod takeover;
mod topics;
mod worker;

pub use app::{App, Running, terminated};
pub use config::{AssignmentStrategy, CompressionType, Config, ConfigError, KEYS};
pub use error::RunError;
pub use requirements::check_brokers;
pub use status::Status;
