//! The client for programs without async: each call blocks its thread until it is done.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kafka_wire::blocking::Client;
//! use kafka_wire::client::{ClientConfig, GroupConsumerConfig, Subscription};
//! use kafka_wire::producer::{ProducerConfig, ProducerRecord};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(ClientConfig::new("127.0.0.1:9092"))?;
//!     let producer = client.producer(ProducerConfig::default())?;
//!     let written = producer.send(ProducerRecord::to("orders").key("4711").value("paid"))?.wait()?;
//!     println!("partition {} offset {:?}", written.partition, written.offset);
//!     producer.close()?;
//!
//!     let topics = Subscription::Topics(vec!["orders".into()]);
//!     let mut consumer = client.group_consumer(GroupConsumerConfig::new("billing", topics))?;
//!     while let Some(record) = consumer.next(Duration::from_secs(10))? {
//!         println!("{} @ {}: {:?}", record.partition, record.offset, record.value);
//!     }
//!     consumer.close()?;
//!     Ok(())
//! }
//! ```
//!
//! A thread of its own runs the connections of a client and of everything that was made of it; it ends with the last of
//! them. Handles may be used from any thread, but not by async code: a call would keep its runtime from going on,
//! and therefore panics there. Async code uses [`client`], or `spawn_blocking` of its runtime.

mod admin;
mod consumer;
mod producer;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub use admin::Admin;
pub use consumer::GroupConsumer;
pub use producer::{PendingDelivery, Producer};

use crate::client::{self, ClientConfig, ConnectError, GroupConsumerConfig, GroupConsumerError};
use crate::metrics::ClientMetrics;
use crate::producer::{OpenError, ProducerConfig};

/// A client, from which producers, consumers and the administration are made. Clones share everything.
#[derive(Clone)]
pub struct Client {
    runtime: Runtime,
    client: client::Client,
}

/// The reason why there is no client.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum StartError {
    /// The cluster cannot be reached, or the configuration cannot be used.
    Connect(ConnectError),
    /// The operating system provides no thread for the connections, or no way to wait for them.
    NoThread(io::ErrorKind),
}

impl Client {
    /// Connects to a cluster, as [`client::Client::connect`] does.
    ///
    /// # Errors
    /// If the cluster cannot be reached, or there is no thread for the connections.
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn connect(config: ClientConfig) -> Result<Self, StartError> {
        let runtime = Runtime::start().map_err(|error| StartError::NoThread(error.kind()))?;
        let client = runtime.block_on(client::Client::connect(config)).map_err(StartError::Connect)?;
        Ok(Self { runtime, client })
    }

    /// Opens a producer, as [`client::Producer::open`] does.
    ///
    /// # Errors
    /// As for [`client::Producer::open`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, OpenError> {
        let opened = self.runtime.block_on(client::Producer::open(&self.client, config))?;
        Ok(Producer::new(self.runtime.clone(), opened))
    }

    /// Makes a consumer that begins to join its group, as [`client::GroupConsumer::new`] does.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::new`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn group_consumer(&self, config: GroupConsumerConfig) -> Result<GroupConsumer, GroupConsumerError> {
        let made = self.runtime.block_on(client::GroupConsumer::new(self.client.clone(), config))?;
        Ok(GroupConsumer::new(self.runtime.clone(), made))
    }

    /// Returns the administration of the cluster.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// Returns the async client, for operations that this module does not have: see [`Client::block_on`].
    #[must_use]
    pub const fn get(&self) -> &client::Client {
        &self.client
    }

    /// Waits for a future of the async client.
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The numbers of its connections and requests so far.
    #[must_use]
    pub fn metrics(&self) -> ClientMetrics {
        self.client.metrics()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

/// A runtime on a thread of its own, which ends with the last handle.
#[derive(Clone)]
struct Runtime {
    handle: Handle,
    /// Its end tells the thread to end.
    _alive: Arc<oneshot::Sender<()>>,
}

impl Runtime {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        let name = "kafka-wire".to_owned();
        thread::Builder::new().name(name).spawn(move || {
            // The other end is only ever dropped.
            let _ = runtime.block_on(ended);
            // Connections that are still being closed must not keep the process from ending.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _alive: Arc::new(alive) })
    }

    /// Runs a future on this thread; its connections and timers run on the thread of the runtime.
    #[track_caller]
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::NoThread(kind) => write!(f, "there is no thread for the connections: {kind}"),
        }
    }
}

debug_as_text!(StartError);

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::NoThread(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Result<Client, StartError> {
        // The port of a listener that is gone.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        Client::connect(ClientConfig::new(&address))
    }

    #[test]
    fn the_error_of_a_failed_start_is_that_of_the_client() {
        let error = nobody().unwrap_err();
        assert!(matches!(error, StartError::Connect(ConnectError::Unreachable { .. })), "{error}");
        assert!(format!("{error:?}").starts_with("StartError: no Kafka broker was found"), "{error:?}");
    }

    #[tokio::test]
    #[should_panic(expected = "runtime")]
    async fn async_code_is_told_that_it_must_not_block() {
        drop(nobody());
    }
}
