//! `waterwheel broker`: the embedded broker alone.

use std::error::Error;
use std::process::ExitCode;

use clap::Args;
use testkit::broker::{Broker, BrokerConfig};

use crate::output::note;
use crate::signal::Stop;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// Partitions of a topic that a client's first use creates.
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Finalized level of the feature transaction.version: 2 has KIP-890.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(i16).range(1..=2))]
    transaction_version: i16,
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut stop = Stop::listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = BrokerConfig {
            port: options.port,
            default_partitions: options.partitions,
            transaction_version: options.transaction_version,
            ..BrokerConfig::default()
        };
        let broker = Broker::start(config)
            .await
            .map_err(|error| format!("cannot listen on 127.0.0.1:{}: {error}; choose another --port", options.port))?;
        note!("broker  {}  (embedded, in memory; attach: kcat -b {0} -L; stop: Ctrl-C)", broker.address());
        stop.wait().await;
        broker.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}
