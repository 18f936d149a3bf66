//! Exactly-once stream processing on Kafka.
//!
//! Modules have ranks, lowest first: a module uses its own files and lower ranks, never a sibling or a higher rank. Only
//! `runtime` does I/O, reads a clock, or is async.

pub mod types;

pub mod output;
pub mod serde;
pub mod watermark;
pub mod window;

pub mod error;
pub mod state;

pub mod operator;

pub mod topology;

pub mod task;

pub mod commit;

pub mod worker;

pub mod driver;

pub mod runtime;

pub use operator::{Emit, Undecodable, Untimed};
pub use runtime::{
    App, AssignmentStrategy, CompressionType, Config, ConfigError, RunError, Running, Status, check_brokers, terminated,
};
pub use serde::{I64, Json, Nullable, Raw, Serde, SerdeError, U64, Utf8};
pub use topology::{BuildErrors, Topology};
pub use types::{Owned, Partitions, Rec, Window, Windowed};
pub use watermark::Watermark;
pub use window::Tumbling;
