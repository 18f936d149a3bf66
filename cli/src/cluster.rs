//! The Kafka cluster that a command talks to.

use std::path::PathBuf;

use clap::Args;
use processor::Config;

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
    /// Java properties file with settings of the connection, TLS and SASL among them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting by Kafka's name, such as security.protocol=SASL_SSL; it wins over --config. May be repeated.
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE")]
    properties: Vec<String>,
}

impl Cluster {
    /// The servers of the flag, or else of the environment; `None` if neither names a cluster.
    pub(crate) fn bootstrap_servers(&self) -> Option<String> {
        let from_environment = || std::env::var(VARIABLE).ok();
        self.bootstrap_servers.clone().or_else(from_environment).filter(|servers| !servers.trim().is_empty())
    }

    /// Puts the settings of the flags on top of `config`, except for the servers, which are a flag of their own.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), String> {
        let servers = config.bootstrap_servers.clone();
        if let Some(file) = &self.config {
            config.load(file).map_err(|error| format!("--config: {error}"))?;
        }
        for property in &self.properties {
            // The error does not show the whole text, since there may be a password behind a mistyped `=`.
            let (key, value) = property.split_once('=').ok_or("-X takes KEY=VALUE, with a `=` between the two")?;
            config.set(key.trim(), value).map_err(|error| format!("-X: {error}"))?;
        }
        config.bootstrap_servers = servers;
        Ok(())
    }

    /// The source of the cluster's address, for users who have forgotten that they set the variable.
    pub(crate) fn origin(&self) -> &'static str {
        if self.bootstrap_servers.is_some() { "" } else { "  (from KAFKA_BOOTSTRAP_SERVERS)" }
    }
}

const VARIABLE: &str = "KAFKA_BOOTSTRAP_SERVERS";
