//! The async client: producers, consumers and the administration, and the requests below them.
//!
//! | to | use |
//! |---|---|
//! | connect, look at the cluster and administer it | [`Client`], with a [`ClientConfig`] |
//! | write records, from any number of tasks | [`Producer`] |
//! | read topics as a member of a group | [`GroupConsumer`] |
//! | read, transform and write in transactions | [`GroupTransactSession`] |
//! | read partitions of your choice, without a group | [`Consumer`], [`read_to_end`] |
//! | write millions of records a second from one task | [`ExclusiveProducer`] |
//! | read settings from a properties file or the environment | [`Properties`] |
//! | connect with TLS and a user | [`TlsConfig`], [`Sasl`] |
//! | look at or set the committed offsets of a group | [`fetch_all_offsets`], [`fetch_offsets`], [`commit_offsets`] |
//! | send a request of the protocol itself | [`Client::request`], with [`Node`] and [`Lane`] |
//!
//! ```no_run
//! use kafka_wire::client::{Client, Producer, Properties};
//! use kafka_wire::producer::ProducerRecord;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Properties::load("client.properties")?;
//! let client = Client::connect(settings.client()?).await?;
//! let producer = Producer::open(&client, settings.producer()?).await?;
//! producer.send(ProducerRecord::to("orders").value("paid")).await?.await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Client`] is the handle that everything else is built on. It opens one connection per broker and [`Lane`] when that
//! is first needed, and again after it broke; it knows leaders and coordinators, and finds new ones when a broker goes
//! away. It never repeats a request by itself once any byte of it may have been written: only the caller knows whether
//! a repetition is harmless. Operations whose documentation says that they retry (metadata, coordinators, offsets) are
//! harmless to repeat.
//!
//! The files: `transport` opens byte streams, `tls` (with the feature of that name) encrypts them, `connection` drives
//! one [`Session`](crate::session::Session), `pool` keeps the connections, `request` routes a request to one of them.

mod address;
mod admin;
mod admin_cluster;
mod admin_configs;
mod admin_error;
mod admin_groups;
mod admin_partitions;
mod admin_share_groups;
mod admin_transactions;
mod at_controller;
mod backoff;
mod batch_reader;
mod clock;
mod config;
mod connection;
mod consumer;
mod coordinator;
mod error;
mod features;
mod group;
mod group_consumer;
mod group_transact_session;
mod inquiry;
mod lane;
mod leader_round;
mod lock;
mod lookup;
mod metadata;
#[cfg(feature = "oauth")]
mod oauth;
mod offsets;
mod pool;
mod producer;
mod properties;
mod read_to_end;
mod request;
mod sasl;
mod secret;
#[cfg(feature = "tls")]
mod tls;
mod transport;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use address::Address;
pub use admin_error::AdminError;
pub use backoff::Backoff;
pub use batch_reader::BatchReader;
pub use config::ClientConfig;
pub use consumer::Consumer;
pub use error::{
    ConnectError, ConnectFailure, ConnectStage, CoordinatorError, Endpoint, MetadataError, NotSentCause, RequestError,
};
pub use group::GroupMember;
#[cfg(feature = "pattern")]
pub use group_consumer::InvalidPattern;
pub use group_consumer::{
    AssignmentChange, GroupConsumer, GroupConsumerBuilder, GroupConsumerConfig, GroupConsumerError, MissingTopic,
    OffsetCommitError, PendingCommit, Polled, Subscription, SubscriptionPattern, TopicPattern,
};
pub use group_transact_session::{GroupTransactError, GroupTransactSession};
pub use lane::{Lane, OwnLane};
#[cfg(feature = "oauth")]
pub use oauth::{ClientCredentials, OAuthConfigError};
pub use offsets::{OffsetsError, commit_offsets, fetch_all_offsets, fetch_offsets, fetch_unstable_offsets};
pub use producer::{ExclusiveProducer, GroupOffsets, Producer, SendError, fence};
pub use properties::{Key, Properties, PropertiesError, nearest};
pub use read_to_end::{ReadToEndError, read_to_end};
pub use request::ResponseFuture;
pub use sasl::{Mechanism, Sasl};
pub use secret::Secret;
#[cfg(feature = "tls")]
pub use tls::{Keystore, Pem, TlsConfig, TlsConfigError, TlsConnector, Truststore};
pub use transport::{BoxFuture, Connector, DialError, TcpConnector, TlsProblem, Transport};

pub use crate::consumer::{
    BatchRecords, ConsumeError, ConsumerConfig, ConsumerRecord, Fetched, FetchedBatch, ResetPolicy,
};
pub use crate::group::{Assignor, GroupConfig, GroupError, GroupEvent, GroupProtocol, LostCause, MemberInfo};
use crate::metrics::ClientMetrics;
use crate::time::Moment;
use crate::types::BrokerId;
use clock::Clock;
use coordinator::Coordinators;
use metadata::Metadata;
use pool::Pool;

/// A handle on a cluster. Clones share everything; connections close when the last clone is dropped.
///
/// It works on tokio's current-thread and multi-thread runtimes, and belongs to the one it was made on.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    /// The configured addresses, kept for the case that no known broker can be reached.
    bootstrap: Vec<Address>,
    /// Shared with the forks of this client.
    metadata: Arc<Mutex<Metadata>>,
    /// Held while metadata of a topic is requested, so that many waiters cause one request.
    refreshing: tokio::sync::Mutex<()>,
    coordinators: Mutex<Coordinators>,
}

/// The broker that a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// Any broker that can be reached. If one cannot, the next one gets the request, as long as it was certainly
    /// not sent.
    Any,
    /// This broker. If its address is unknown, metadata is requested for it, once.
    Broker(BrokerId),
}

/// Options of a single request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Highest version to use, if lower than the highest that both sides have.
    pub max_version: Option<i16>,
    /// Timeout in place of `request_timeout`. It must exceed the time for which the broker is meant to wait,
    /// as in JoinGroup and Fetch, because a request without an answer ends its connection.
    pub timeout: Option<Duration>,
}

/// An answer with its version.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered<T> {
    /// The answer.
    pub response: T,
    /// Version of request and answer.
    pub version: i16,
}

impl Client {
    /// Connects to a cluster over TCP, with TLS and SASL if the configuration says so, and asks it for its brokers.
    ///
    /// [`Mechanism::prepare`] goes first: a token is waited for. The bootstrap servers are tried in order, within
    /// `bootstrap_timeout` together. Then one of the brokers that they named has to answer at the address that it
    /// advertises, because all other requests go there.
    ///
    /// # Errors
    /// If an address is malformed, a certificate or key cannot be used, no bootstrap server answers,
    /// or no broker can be reached at its advertised address. The text of the error names each address, what was tried
    /// there, and what to do.
    pub async fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &config.tls {
            let connector = TlsConnector::new(tls).map_err(ConnectError::Tls)?;
            return Self::connect_with(config, Arc::new(connector)).await;
        }
        Self::connect_with(config, Arc::new(TcpConnector)).await
    }

    /// As [`Client::connect`], over the streams that `connector` opens. TLS is then up to the connector, and the TLS
    /// of the configuration is ignored.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(config: ClientConfig, connector: Arc<dyn Connector>) -> Result<Self, ConnectError> {
        let parse = |text: &String| Address::parse(text).ok_or_else(|| ConnectError::BadAddress { text: text.clone() });
        let bootstrap = config.bootstrap_servers.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if bootstrap.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let shared = Shared {
            pool: Pool::new(config.bounded(), connector, Clock::start()),
            bootstrap,
            metadata: Arc::default(),
            refreshing: tokio::sync::Mutex::new(()),
            coordinators: Mutex::new(Coordinators::default()),
        };
        let client = Self { shared: Arc::new(shared) };
        client.bootstrap().await?;
        Ok(client)
    }

    /// Another client of the same cluster, with connections of its own, which belong to the runtime of the caller.
    ///
    /// Both share what they learn of the cluster. Neither waits for the other: one goes on while the runtime
    /// of the other is busy.
    pub(crate) fn fork(&self) -> Self {
        let shared = Shared {
            pool: self.shared.pool.fork(),
            bootstrap: self.shared.bootstrap.clone(),
            metadata: Arc::clone(&self.shared.metadata),
            refreshing: tokio::sync::Mutex::new(()),
            coordinators: Mutex::new(Coordinators::default()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The configuration it was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        self.shared.pool.config()
    }

    /// The time on this client's clock, which began when the client was made.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.shared.pool.now()
    }

    /// Pauses for an operation that retries, by this client's configuration.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        self.shared.pool.backoff()
    }

    /// Finalized level of a feature of the cluster, such as `transaction.version`.
    ///
    /// `None` if the cluster has not finalized it, or its brokers do not report it (before ApiVersions v3).
    /// Brokers announce it when a connection is made, so a change is seen after the next connection. Source: KIP-584.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<i16> {
        self.shared.pool.feature(name)
    }

    /// The numbers of its connections and requests so far, with those of its clones, producers and consumers.
    #[must_use]
    pub fn metrics(&self) -> ClientMetrics {
        self.shared.pool.metrics()
    }

    /// Number of bytes after the last field of answers so far. They are ignored, as Apache Kafka's clients do;
    /// more than zero means that a broker's encoding of some message differs from its schema.
    #[must_use]
    pub fn ignored_bytes(&self) -> u64 {
        self.shared.pool.ignored_bytes()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bootstrap", &self.shared.bootstrap).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
