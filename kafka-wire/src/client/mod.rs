//! The async client: connections to the brokers of a cluster, and the requests on them.
#![expect(
    dead_code,
    clippy::unused_async,
    unused_variables,
    clippy::unimplemented,
    reason = "signatures first: the bodies land next"
)]

mod backoff;
mod config;
mod consumer;
mod error;
mod group;
mod offsets;
mod producer;
mod transport;

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use backoff::Backoff;
pub use config::{Address, ClientConfig};
pub use consumer::Consumer;
pub use error::{
    ConnectError, ConnectFailure, ConnectStage, CoordinatorError, Endpoint, MetadataError, NotSentCause, RequestError,
};
pub use group::GroupMember;
pub use offsets::{OffsetsError, commit_offsets, fetch_offsets};
pub use producer::{GroupOffsets, Producer, fence};
pub use transport::{BoxFuture, Connector, DialError, TcpConnector, Transport};

use crate::admin::{ListedOffset, NewTopic, OffsetSpec, TopicOutcomes};
use crate::cluster::{Cluster, CoordinatorKind, Topic, TopicPartition};
pub use crate::consumer::{ConsumeError, ConsumerConfig, Fetched, FetchedBatch, ResetPolicy};
pub use crate::group::{Assignor, GroupConfig, GroupError, GroupEvent, LostCause, MemberInfo};
use crate::protocol::Request;
use crate::session::BrokerVersions;
use crate::time::Moment;
use crate::types::{BrokerId, IsolationLevel, LeaderEpoch, PartitionId};
use crate::wire::Str;

/// A handle on a cluster: opens connections when they are needed, and shares them among its clones.
#[derive(Clone, Debug)]
pub struct Client(Arc<()>);

/// Which broker a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// Any broker that can be reached.
    Any,
    /// This broker.
    Broker(BrokerId),
}

/// Which of the connections to a broker a request takes.
///
/// A broker works on one request of a connection at a time, so a long poll on one lane does not delay the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Metadata, administration, look-ups: whatever is answered at once.
    General,
    /// Produce.
    Produce,
    /// Fetch: waits at the broker until there is data.
    Fetch,
    /// Group membership and offset commits.
    Group,
    /// The transaction coordinator.
    Transaction,
}

/// What may differ from request to request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Highest version to use, if lower than what both sides speak.
    pub max_version: Option<i16>,
    /// Instead of `request_timeout`. Must exceed the time that the broker may take by intention, as in JoinGroup.
    pub timeout: Option<Duration>,
}

/// An answer and the version it came at.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered<T> {
    /// The answer.
    pub response: T,
    /// Version of request and answer.
    pub version: i16,
}

/// The answer to a request that is on its way. Dropping it discards the answer, not the request.
#[must_use = "futures do nothing unless polled"]
pub struct Reply<R: Request>(PhantomData<fn() -> R>);

impl<R: Request> Future for Reply<R> {
    type Output = Result<Answered<R::Response>, RequestError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}

impl Client {
    /// Connects over TCP.
    pub async fn connect(config: ClientConfig) -> Result<Self, ConnectError> {
        unimplemented!()
    }

    /// Connects through `connector`.
    pub async fn connect_with(config: ClientConfig, connector: Arc<dyn Connector>) -> Result<Self, ConnectError> {
        unimplemented!()
    }

    /// The configuration it was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        unimplemented!()
    }

    /// The client's clock.
    #[must_use]
    pub fn now(&self) -> Moment {
        unimplemented!()
    }

    /// Sends a request and waits for its answer. The first poll enqueues it.
    pub async fn request<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        request: R,
        options: CallOptions,
    ) -> Result<R::Response, RequestError> {
        unimplemented!()
    }

    /// As [`Client::request`], and tells the version.
    pub async fn request_versioned<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        request: R,
        options: CallOptions,
    ) -> Result<(R::Response, i16), RequestError> {
        unimplemented!()
    }

    /// As [`Client::request_versioned`], for a request that says the same thing in other fields at other versions.
    pub async fn request_by_version<R: Request>(
        &self,
        to: Node,
        lane: Lane,
        build: impl Fn(i16) -> R + Send + Sync + 'static,
        options: CallOptions,
    ) -> Result<(R::Response, i16), RequestError> {
        unimplemented!()
    }

    /// Enqueues a request at once (if the broker's address is known), and returns its answer as a future.
    pub fn start<R: Request>(&self, to: Node, lane: Lane, request: R, options: CallOptions) -> Reply<R> {
        unimplemented!()
    }

    /// What is known about the cluster.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        unimplemented!()
    }

    /// Asks for the metadata of `topics` (none: only the brokers) and merges it. Topics may be in error: see `Topic::error`.
    pub async fn metadata(&self, topics: &[Str]) -> Result<Arc<Cluster>, RequestError> {
        unimplemented!()
    }

    /// A topic that exists, with its partitions; asks until it does or `missing_topic_timeout` is over.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, MetadataError> {
        unimplemented!()
    }

    /// The leader of a partition; asks until there is one or `request_timeout` is over.
    pub async fn leader(&self, topic: &str, partition: PartitionId) -> Result<(BrokerId, LeaderEpoch), MetadataError> {
        unimplemented!()
    }

    /// Marks what is known about a topic as stale: the next [`Client::leader`] asks again.
    pub fn invalidate(&self, topic: &str) {
        unimplemented!()
    }

    /// The coordinator of a group or transactional id; cached until forgotten.
    pub async fn coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<BrokerId, CoordinatorError> {
        unimplemented!()
    }

    /// Forgets a coordinator: it said that it is not, or cannot be reached.
    pub fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        unimplemented!()
    }

    /// Finalized level of a feature, such as `transaction.version`; `None` when the cluster has none.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<i16> {
        unimplemented!()
    }

    /// What a broker speaks; asks it.
    pub async fn api_versions(&self, broker: BrokerId) -> Result<BrokerVersions, RequestError> {
        unimplemented!()
    }

    /// Pauses for an operation that retries, by this client's configuration.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        unimplemented!()
    }

    /// Creates topics; the outcome of each, in order.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<TopicOutcomes, RequestError> {
        unimplemented!()
    }

    /// Deletes topics; the outcome of each, in order.
    pub async fn delete_topics(&self, topics: &[Str]) -> Result<TopicOutcomes, RequestError> {
        unimplemented!()
    }

    /// Looks up offsets at the leaders; in the order in which they were asked for.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> Result<Vec<ListedOffset>, MetadataError> {
        unimplemented!()
    }
}
