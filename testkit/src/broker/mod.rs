//! An in-process Kafka broker: one node, real protocol, logs in memory.
//!
//! [`Core`] is the broker as a sans-IO machine; [`Broker`] runs it, reachable over TCP (on 127.0.0.1 unless told
//! otherwise) and over an in-memory pipe at the same time.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use testkit::broker::{Broker, BrokerConfig};
//! let broker = Broker::start(BrokerConfig::default()).await?;
//! println!("bootstrap.servers={}", broker.address());
//! # Ok(()) }
//! ```

pub mod acls;
mod authorized_operations;
mod broker_configs;
pub mod client_quotas;
mod config;
mod connection;
mod core;
pub mod dynamic_configs;
mod dynamic_rules;
pub mod fetch_sessions;
mod frame_room;
mod frames;
pub mod groups;
mod handlers;
pub mod internal_topics;
pub mod log;
pub mod partition;
mod patterns;
mod pipe;
pub mod producer_state;
mod record_rules;
pub mod sasl;
pub mod scram;
mod server;
pub mod state;
pub mod topic_configs;
pub mod topics;
pub mod transactions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use tokio::net::TcpListener;
use tokio::runtime::Handle;

pub use self::config::BrokerConfig;
pub use self::connection::{ConnectionId, Peer, RequestContext};
pub use self::core::{Core, CoreAction};
pub use self::pipe::Pipe;
pub use self::sasl::{SaslConfig, SaslMechanism};
use self::server::Server;
pub use self::state::State;
use crate::fault::Rule;

/// A running broker. Dropping it stops it: its connections close and its data is gone.
#[derive(Debug)]
pub struct Broker {
    server: Arc<Server>,
    /// The address that it listens on.
    local: SocketAddr,
    /// The address for clients on this machine.
    address: String,
    runtime: Handle,
}

impl Broker {
    /// Starts a broker, on 127.0.0.1 unless `config` says otherwise. Its tasks run on the caller's tokio runtime
    /// (`tokio::spawn`).
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn start(config: BrokerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((config.host.as_str(), config.port)).await?;
        let local = listener.local_addr()?;
        let loopback = if local.is_ipv4() { "127.0.0.1" } else { "::1" };
        let host = if local.ip().is_unspecified() { loopback } else { &config.host };
        let (host, port) = config.advertised.clone().unwrap_or_else(|| (host.to_owned(), local.port()));
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let server = Arc::new(Server::new(config, &host, port));
        tokio::spawn(Arc::clone(&server).run_timers());
        tokio::spawn(Arc::clone(&server).accept(listener));
        Ok(Self { server, local, address, runtime: Handle::current() })
    }

    /// Starts a broker on a thread and runtime of its own, so that the broker and the caller's runtime cannot starve
    /// each other. Blocks until it listens.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be started, or the port cannot be bound.
    pub fn start_on_thread(config: BrokerConfig) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (started, start) = std_mpsc::sync_channel(1);
        std::thread::Builder::new().name("broker".into()).spawn(move || {
            runtime.block_on(async move {
                let broker = Self::start(config).await;
                let server = broker.as_ref().ok().map(|broker| Arc::clone(&broker.server));
                // When this future ends, the runtime ends, and with it every task of the broker.
                if started.send(broker).is_ok()
                    && let Some(server) = server
                {
                    server.stopped().await;
                }
            });
        })?;
        start.recv().map_err(io::Error::other)?
    }

    /// `host:port` for `bootstrap.servers`: the advertised address or, if none is configured, the one for
    /// a client on this machine.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn listens_on(&self) -> SocketAddr {
        self.local
    }

    /// Returns whether only programs on this machine can connect to it. Without [`BrokerConfig::sasl`] it
    /// asks for no password.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local.ip().to_canonical().is_loopback()
    }

    /// Returns a connector for clients of this process that needs no socket: pass it to `Client::connect_with`.
    #[must_use]
    pub fn pipe(&self) -> Pipe {
        Pipe::new(&self.server, self.runtime.clone())
    }

    /// Adds a fault rule, which counts requests from now on.
    pub fn inject(&self, rule: Rule) {
        self.server.with_core(|core| core.inject(rule));
    }

    /// Whether every fault rule given so far has been applied.
    #[must_use]
    pub fn faults_are_spent(&self) -> bool {
        self.server.with_core(|core| core.faults_are_spent())
    }

    /// Calls `look` with the state of the broker, which serves no request meanwhile.
    pub fn inspect<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.server.with_core(|core| look(core.state()))
    }

    /// Stops the broker and waits until its connections and its listener are closed, so that the port is free again.
    pub async fn shutdown(self) {
        self.server.stop();
        self.server.ended().await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.server.stop();
    }
}

#[cfg(test)]
mod tests;
