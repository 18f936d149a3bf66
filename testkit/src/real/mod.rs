//! Apache Kafka itself, started for the suites: one node of any version from 2.1 on, and the newest one's console tools.
//!
//! The jars come from Maven once and stay in `kafka-VERSION/` of Cargo's target directory; after that a start takes about
//! two seconds and 200 MB. A node ends with the value that stands for it, and with the process if that is killed.
//! Where no JDK or no Maven is installed, everything here answers [`Unavailable`] with the reason.

mod config;
mod error;
mod jars;
mod node;
mod properties;
mod tool;
mod version;

pub use config::RealConfig;
pub use error::Unavailable;
pub use node::RealKafka;
pub use tool::{java_command, java_tool};
pub use version::{KafkaVersion, NotAVersion};
