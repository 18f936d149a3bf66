//! The client for programs without async: each call blocks its thread until it is done.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use kafka_wire::blocking::Client;
//! use kafka_wire::client::{ClientConfig, GroupConsumer, ResetPolicy};
//! use kafka_wire::producer::{ProducerConfig, ProducerRecord};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::connect(ClientConfig::new("127.0.0.1:9092"))?;
//!     let producer = client.producer(ProducerConfig::default())?;
//!     let written = producer.send(ProducerRecord::to("orders").key("4711").value("paid"))?.wait()?;
//!     println!("partition {} offset {:?}", written.partition, written.offset);
//!     producer.close()?;
//!
//!     let orders = GroupConsumer::builder("billing").topics(["orders"]).auto_offset_reset(ResetPolicy::Earliest);
//!     let mut consumer = client.group_consumer(orders)?;
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
mod exclusive;
mod partitions;
mod producer;
mod session;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub use admin::Admin;
pub use consumer::GroupConsumer;
pub use exclusive::ExclusiveProducer;
pub use partitions::Consumer;
pub use producer::{PendingDelivery, Producer};
pub use session::GroupTransactSession;

use crate::client::{
    self, ClientConfig, ConnectError, Connector, GroupConsumerBuilder, GroupConsumerConfig, GroupConsumerError,
    GroupTransactError, ReadToEndError,
};
use crate::cluster::TopicPartition;
use crate::consumer::ConsumerConfig;
use crate::metrics::ClientMetrics;
use crate::producer::{OpenError, ProducerConfig};
use crate::record::Record;

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
        Self::start(client::Client::connect(config))
    }

    /// As [`Client::connect`], over the streams that `connector` opens; see [`client::Client::connect_with`].
    ///
    /// # Errors
    /// As for [`Client::connect`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn connect_with(config: ClientConfig, connector: Arc<dyn Connector>) -> Result<Self, StartError> {
        Self::start(client::Client::connect_with(config, connector))
    }

    #[track_caller]
    fn start(connect: impl Future<Output = Result<client::Client, ConnectError>>) -> Result<Self, StartError> {
        let runtime = Runtime::start().map_err(|error| StartError::NoThread(error.kind()))?;
        let client = runtime.block_on(connect).map_err(StartError::Connect)?;
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

    /// Opens a producer with one owner, as [`client::ExclusiveProducer::open`] does.
    ///
    /// # Errors
    /// As for [`client::ExclusiveProducer::open`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn exclusive_producer(&self, config: ProducerConfig) -> Result<ExclusiveProducer, OpenError> {
        let opened = self.runtime.block_on(client::ExclusiveProducer::open(&self.client, config))?;
        Ok(ExclusiveProducer::new(self.runtime.clone(), opened))
    }

    /// Makes a consumer without a group and without assigned partitions, as [`client::Consumer::new`] does.
    ///
    /// # Panics
    /// If it is called by async code.
    #[must_use]
    #[track_caller]
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        let made = self.runtime.block_on(async { client::Consumer::new(self.client.clone(), config) });
        Consumer::new(self.runtime.clone(), made)
    }

    /// Passes every record that the partitions have now to `handle`, as [`client::read_to_end`] does.
    ///
    /// # Errors
    /// As for [`client::read_to_end`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn read_to_end(
        &self,
        partitions: &[TopicPartition],
        config: ConsumerConfig,
        handle: impl FnMut(&TopicPartition, Record<'_>),
    ) -> Result<(), ReadToEndError> {
        self.runtime.block_on(client::read_to_end(&self.client, partitions, config, handle))
    }

    /// Opens a session that reads and writes in transactions, as [`client::GroupTransactSession::open`] does.
    ///
    /// # Errors
    /// As for [`client::GroupTransactSession::open`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn group_transact_session(
        &self,
        consumer: GroupConsumerBuilder,
        producer: ProducerConfig,
    ) -> Result<GroupTransactSession, GroupTransactError> {
        let opened = client::GroupTransactSession::open(self.client.clone(), consumer, producer);
        Ok(GroupTransactSession::new(self.runtime.clone(), self.runtime.block_on(opened)?))
    }

    /// Makes a consumer that begins to join its group, as [`client::GroupConsumer::new`] does. `config` is a
    /// [`GroupConsumerConfig`], or the [builder](client::GroupConsumer::builder) of one.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::new`].
    ///
    /// # Panics
    /// If it is called by async code.
    #[track_caller]
    pub fn group_consumer(&self, config: impl Into<GroupConsumerConfig>) -> Result<GroupConsumer, GroupConsumerError> {
        let made = self.runtime.block_on(client::GroupConsumer::new(self.client.clone(), config.into()))?;
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

    /// Returns the name of the function that begins in this line, and whether it is public.
    fn function(line: &str) -> Option<(&str, bool)> {
        let line = line.trim_start();
        let of_public = line.strip_prefix("pub ");
        let rest = of_public.unwrap_or(line);
        let rest = rest.strip_prefix("const ").or_else(|| rest.strip_prefix("async ")).unwrap_or(rest);
        let name = rest.strip_prefix("fn ")?.split(['(', '<']).next()?;
        Some((name, of_public.is_some()))
    }

    /// Checks that all public functions of the async texts are among those of the text here, where a macro makes some.
    fn check(texts: &[&str], here: &str) {
        let known: Vec<&str> = here.lines().filter_map(function).map(|(name, _)| name).collect();
        let public = |line| function(line).filter(|(_, is_public)| *is_public).map(|(name, _)| name);
        for name in texts.iter().flat_map(|text| text.lines().filter_map(public)) {
            // Handles are made by methods of the client here, and errors are the same.
            let is_elsewhere = ["new", "open", "builder", "fence", "is_retriable"].contains(&name);
            assert!(is_elsewhere || known.contains(&name), "there is no blocking `{name}`");
        }
    }

    #[test]
    fn everything_that_is_async_is_here_too() {
        let admin = [
            include_str!("../client/admin.rs"),
            include_str!("../client/admin_cluster.rs"),
            include_str!("../client/admin_configs.rs"),
            include_str!("../client/admin_groups.rs"),
            include_str!("../client/admin_partitions.rs"),
            include_str!("../client/admin_share_groups.rs"),
            include_str!("../client/admin_transactions.rs"),
            "pub fn fetch_offsets()\npub fn fetch_all_offsets()\npub fn fetch_unstable_offsets()\npub fn commit_offsets()",
            "pub fn metadata()\npub fn user_topics()\npub fn topic()\npub fn leader()\npub fn coordinator()",
        ];
        check(&admin, include_str!("admin.rs"));
        check(&[include_str!("../client/producer/handle.rs")], include_str!("producer.rs"));
        check(&[include_str!("../client/producer/exclusive.rs")], include_str!("exclusive.rs"));
        check(&[include_str!("../client/group_consumer/mod.rs")], include_str!("consumer.rs"));
        check(&[include_str!("../client/consumer.rs")], include_str!("partitions.rs"));
        check(&[include_str!("../client/group_transact_session.rs")], include_str!("session.rs"));
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
