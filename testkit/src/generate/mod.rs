//! Generators of workloads; the same seed gives the same workload.

mod lines;

pub use lines::{Line, Lines, LinesConfig};
