//! Apache Kafka itself, started for the suites: one KRaft node of version 4.3.1, and Kafka's own console tools.
//!
//! The jars come from Maven once and stay in `kafka-4.3.1/` of Cargo's target directory; after that a start takes about
//! two seconds and 200 MB. A node ends with the value that stands for it, and with the process if that is killed.
//! Where no JDK or no Maven is installed, everything here answers [`Unavailable`] with the reason.

mod error;
mod jars;
mod node;
mod tool;

pub use error::Unavailable;
pub use node::{RealConfig, RealKafka};
pub use tool::{java_command, java_tool};

/// The version of Apache Kafka that this module starts.
pub const KAFKA_VERSION: &str = "4.3.1";
