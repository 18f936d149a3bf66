//! The configuration of a node of Apache Kafka.

use super::version::KafkaVersion;

/// How to start a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealConfig {
    /// The release to start.
    pub version: KafkaVersion,
    /// Finalized level of the feature `transaction.version`: 1 is the protocol of KIP-98, 2 that of KIP-890.
    /// Versions without the feature always use that of KIP-98.
    pub transaction_version: i16,
    /// `HOST:PORT` that the broker tells clients to use; by default the address that it listens on.
    pub advertised_address: Option<String>,
    /// More lines of `server.properties`, after the launcher's own: a repeated key overrides.
    pub properties: Vec<(String, String)>,
    /// Heap of the JVM in MiB; from 96 on it survives any load of the suites.
    pub heap_mib: u32,
}

impl Default for RealConfig {
    fn default() -> Self {
        Self {
            version: KafkaVersion::LATEST,
            transaction_version: 2,
            advertised_address: None,
            properties: Vec::new(),
            heap_mib: 192,
        }
    }
}
