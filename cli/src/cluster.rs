//! The Kafka cluster that a command talks to.

use clap::Args;

/// The flags of every command that talks to brokers.
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// Brokers of an Apache Kafka to begin with, comma separated; any one that answers is enough. Without the flag:
    /// the environment variable KAFKA_BOOTSTRAP_SERVERS.
    #[arg(
        short,
        long = "bootstrap-server",
        visible_alias = "bootstrap-servers",
        alias = "brokers",
        value_name = "HOST:PORT"
    )]
    bootstrap_servers: Option<String>,
}

impl Cluster {
    /// The servers of the flag, or else of the environment; `None` if neither names a cluster.
    pub(crate) fn bootstrap_servers(&self) -> Option<String> {
        let from_environment = || std::env::var(VARIABLE).ok();
        self.bootstrap_servers.clone().or_else(from_environment).filter(|servers| !servers.trim().is_empty())
    }

    /// The source of the cluster's address, for users who have forgotten that they set the variable.
    pub(crate) fn origin(&self) -> &'static str {
        if self.bootstrap_servers.is_some() { "" } else { "  (from KAFKA_BOOTSTRAP_SERVERS)" }
    }
}

const VARIABLE: &str = "KAFKA_BOOTSTRAP_SERVERS";
