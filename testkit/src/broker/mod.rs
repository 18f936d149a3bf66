//! An in-process Kafka broker: one node, real protocol, logs in memory.
//!
//! [`Core`] is the broker as a sans-IO machine; [`Broker`] runs it, reachable over TCP on 127.0.0.1 and over an
//! in-memory pipe at the same time.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use testkit::broker::{Broker, BrokerConfig};
//! let broker = Broker::start(BrokerConfig::default()).await?;
//! println!("bootstrap.servers={}", broker.address());
//! # Ok(()) }
//! ```

mod call;
mod config;
mod core;
mod frames;
pub mod groups;
mod handlers;
pub mod log;
pub mod partition;
pub mod producer_state;
mod server;
pub mod state;
pub mod topic_configs;
pub mod topics;
pub mod transactions;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use self::call::Call;
pub use self::config::BrokerConfig;
pub use self::core::{ConnectionId, Core, Output};
use self::server::Server;
use crate::fault::Rule;

/// A running broker. Dropping it stops it: its connections close and everything it held is gone.
#[derive(Debug)]
pub struct Broker {
    server: Arc<Server>,
    port: u16,
    /// Its end tells every task to stop.
    stop: watch::Sender<()>,
}

impl Broker {
    /// Starts a broker on 127.0.0.1 whose tasks run on the caller's tokio runtime (`tokio::spawn`).
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(config: BrokerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let port = listener.local_addr()?.port();
        let server = Arc::new(Server::new(config, HOST, port));
        let (stop, stopped) = watch::channel(());
        tokio::spawn(Arc::clone(&server).run_timers(stopped.clone()));
        tokio::spawn(Arc::clone(&server).accept(listener, stopped));
        Ok(Self { server, port, stop })
    }

    /// Starts a broker on a thread and runtime of its own, so that neither can starve the other. Blocks until it listens.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started, or the port cannot be bound.
    pub fn start_on_thread(config: BrokerConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (started, start) = std_mpsc::sync_channel(1);
        std::thread::Builder::new().name("broker".into()).spawn(move || {
            runtime.block_on(async move {
                let broker = Self::start(config).await;
                let stopped = broker.as_ref().ok().map(|broker| broker.stop.subscribe());
                // The end of this future ends the runtime, and with it every task of the broker.
                if started.send(broker).is_ok()
                    && let Some(mut stopped) = stopped
                {
                    let _ = stopped.changed().await;
                }
            });
        })?;
        start.recv().map_err(io::Error::other)?
    }

    /// `host:port` for `bootstrap.servers`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{HOST}:{}", self.port)
    }

    /// Adds a fault; its count starts now.
    pub fn inject(&self, rule: Rule) {
        self.server.with_core(|core| core.inject(rule));
    }

    /// Whether every fault given so far has been applied.
    #[must_use]
    pub fn faults_are_spent(&self) -> bool {
        self.server.with_core(|core| core.faults_are_spent())
    }

    /// Stops the broker and waits until its connections and its listener are closed, so that the port is free again.
    pub async fn shutdown(self) {
        let Self { server, stop, .. } = self;
        stop.send_replace(());
        drop(server);
        stop.closed().await;
    }
}

const HOST: &str = "127.0.0.1";
