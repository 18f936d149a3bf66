//! Apache Kafka itself, started for the suites: one node of any version from 2.1 on, a cluster of several, and the
//! console tools of the newest.
//!
//! The jars come from Maven once and stay in `kafka-VERSION/` of Cargo's target directory; after that a start takes
//! about two seconds and 200 MB. A node ends when its value is dropped, and with the process if that is killed.
//! Where no JDK or no Maven is installed, everything here returns [`Unavailable`] with the reason.

mod cluster;
mod config;
mod error;
mod jars;
mod node;
mod properties;
mod tool;
mod version;

pub use cluster::RealCluster;
pub use config::RealConfig;
pub use error::Unavailable;
pub use node::RealKafka;
pub use tool::{java_command, java_source, java_tool};
pub use version::{KafkaVersion, NotAVersion};
