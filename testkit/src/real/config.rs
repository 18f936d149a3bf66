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
    /// More options of the JVM, after the launcher's own: a later one overrides. The launcher's are for a quick start
    /// in little memory: the serial collector, and only the first of the two compilers.
    pub jvm_options: Vec<String>,
}

impl RealConfig {
    /// A node to measure on, whose JVM compiles what it runs often with both compilers, as every broker in production
    /// does: with the first alone the broker takes up to twice the CPU time.
    ///
    /// The young generation is 2 GiB of 3, so that the broker's collections do not dominate the slowest answers. The
    /// collector stays the serial one: others have threads of their own, which on a small machine take their time from
    /// what is measured.
    pub fn for_measuring() -> Self {
        let jvm_options = ["-XX:TieredStopAtLevel=4", "-Xms3072m", "-Xmn2048m"].map(str::to_owned).into();
        Self { heap_mib: 3_072, jvm_options, ..Self::default() }
    }
}

impl Default for RealConfig {
    fn default() -> Self {
        Self {
            version: KafkaVersion::LATEST,
            transaction_version: 2,
            advertised_address: None,
            properties: Vec::new(),
            heap_mib: 192,
            jvm_options: Vec::new(),
        }
    }
}
