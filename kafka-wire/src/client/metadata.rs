//! Metadata of the cluster: requests for it, and the answers so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lock::lock;
use super::pool::{Submission, Target};
use super::request::Delivered;
use super::{
    Address, CallOptions, Client, ConnectError, ConnectFailure, Endpoint, Lane, MetadataError, NotSentCause,
    RequestError,
};
use crate::cluster::{Broker, Cluster, LeaderHint, Topic, TopicPartition};
use crate::protocol::ErrorCode;
use crate::protocol::api_versions::ApiVersionsRequest;
use crate::protocol::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use crate::session::{ByVersion, CloseCause};
use crate::time::Moment;
use crate::types::{BrokerId, LeaderEpoch, PartitionId};
use crate::wire::{Str, Uuid};

/// The known state of the cluster, and the time at which each topic was last described.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    cluster: Arc<Cluster>,
    /// The merged responses so far.
    answer_count: u64,
    /// Topics by name; those that are missing here are stale.
    described: BTreeMap<Str, Described>,
    /// Address of the broker that named the brokers' addresses.
    told_by: Option<Address>,
}

/// The last description of a topic: its time, and the number of the response.
#[derive(Clone, Copy, Debug)]
struct Described {
    at: Moment,
    answer: u64,
}

impl Metadata {
    /// The address of a broker, if it is known.
    pub(super) fn endpoint(&self, id: BrokerId) -> Option<Endpoint> {
        self.cluster.broker(id).map(|broker| self.endpoint_of(broker))
    }

    /// Adds a broker that another response named.
    pub(super) fn learn_broker(&mut self, broker: Broker) {
        if self.cluster.broker(broker.id).is_none() {
            Arc::make_mut(&mut self.cluster).learn_broker(broker);
        }
    }

    /// Whether a broker is known at another address than at this one.
    pub(super) fn is_elsewhere(&self, told: &Broker) -> bool {
        self.cluster.broker(told.id).is_some_and(|known| (&known.host, known.port) != (&told.host, told.port))
    }

    /// Takes leaders that a broker has named in a response, and the addresses of theirs that are not known.
    fn learn_leaders(&mut self, brokers: Vec<Broker>, hints: &[LeaderHint]) {
        brokers.into_iter().for_each(|broker| self.learn_broker(broker));
        let cluster = Arc::make_mut(&mut self.cluster);
        for hint in hints {
            if cluster.learn_leader(hint) {
                tracing::debug!(partition = %hint.partition, leader = hint.leader.0, "a broker named the new leader");
            }
        }
    }

    /// The address of every broker, by broker id.
    fn endpoints(&self) -> Vec<(BrokerId, Endpoint)> {
        self.cluster.brokers().map(|broker| (broker.id, self.endpoint_of(broker))).collect()
    }

    fn endpoint_of(&self, broker: &Broker) -> Endpoint {
        let address = Address { host: broker.host.clone(), port: broker.port };
        Endpoint { broker: Some(broker.id), address, told_by: self.told_by.clone() }
    }

    fn merge(&mut self, response: &MetadataResponse, topics: &[Str], told_by: &Address, now: Moment) {
        Arc::make_mut(&mut self.cluster).merge(response);
        self.told_by = Some(told_by.clone());
        self.answer_count += 1;
        let described = Described { at: now, answer: self.answer_count };
        self.described.extend(topics.iter().map(|topic| (topic.clone(), described)));
    }
}

impl Client {
    /// The present known state of the cluster. It is a snapshot: it does not change any more.
    #[must_use]
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&lock(&self.shared.metadata).cluster)
    }

    /// Requests the description of `topics` (if empty, only of the brokers), merges it, and returns the whole.
    ///
    /// Retries until a broker answers or `request_timeout` is over; while one is silent, others are asked, a second
    /// apart. A topic that does not exist is no error of this method, but of [`Topic::error`]. The request never
    /// creates topics. Cancel safe.
    ///
    /// # Errors
    /// No broker answered; this is the last failure.
    pub async fn metadata(&self, topics: &[Str]) -> Result<Arc<Cluster>, RequestError> {
        let deadline = self.now() + self.config().request_timeout;
        let mut backoff = self.backoff();
        loop {
            match self.refresh(topics).await {
                Ok(()) => return Ok(self.cluster()),
                Err(error) if error.is_retriable() && self.now() < deadline => {
                    tracing::debug!(?topics, %error, "metadata: trying again");
                    tokio::time::sleep(backoff.next_pause()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the names of all topics but Kafka's own, sorted: those that this client may describe. Not
    /// retried.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn user_topics(&self) -> Result<Vec<Str>, RequestError> {
        let build = |version| MetadataRequest {
            // Asks for all topics: an empty list in version 0, `None` from version 1 on.
            topics: (version == 0).then(Vec::new),
            allow_auto_topic_creation: version < 4,
            ..MetadataRequest::default()
        };
        let (response, _) = self.ask_any(build).await?;
        let topics = response.topics.into_iter().filter(|topic| !topic.is_internal && topic.error_code == 0);
        let mut names: Vec<Str> = topics.filter_map(|topic| topic.name.map(|name| name.detached())).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Asks one broker for the names of topics by their ids. Topics that it does not know are missing in the result.
    pub(super) async fn topic_names(&self, ids: &[Uuid]) -> Result<BTreeMap<Uuid, Str>, RequestError> {
        let topics: Vec<_> =
            ids.iter().map(|id| MetadataRequestTopic { topic_id: *id, name: None, ..Default::default() }).collect();
        let build = move |_| MetadataRequest {
            topics: Some(topics.clone()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let (response, _) = self.ask_any(build).await?;
        let known = response.topics.into_iter().filter(|topic| ErrorCode(topic.error_code).is_none());
        Ok(known.filter_map(|topic| Some((topic.topic_id, topic.name?.detached()))).collect())
    }

    /// A topic that exists, with its partitions.
    ///
    /// Answers from memory if possible; otherwise requests metadata until the topic exists. A topic that stays unknown
    /// for `missing_topic_timeout` is missing. Cancel safe.
    ///
    /// # Errors
    /// The topic is missing, the cluster refuses to describe it, or no broker answered for `request_timeout`.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, MetadataError> {
        self.await_topic(self.now(), name, |topic| topic.error.is_none().then(|| Arc::clone(topic))).await
    }

    /// The leader of a partition, and the leader epoch.
    ///
    /// Answers from memory unless the topic is stale (see [`Client::invalidate`]) or its description is older than
    /// `metadata_max_age`; otherwise requests metadata until there is a leader. Many callers at once cause one
    /// request. Cancel safe.
    ///
    /// # Errors
    /// The topic or the partition is missing, or no broker answered or led it for `request_timeout`.
    pub async fn leader(&self, topic: &str, partition: PartitionId) -> Result<(BrokerId, LeaderEpoch), MetadataError> {
        self.leader_since(self.now(), topic, partition).await
    }

    /// The leader of a partition and its epoch, if memory has them and they are not to be doubted.
    pub(super) fn known_leader(&self, partition: &TopicPartition) -> Option<(BrokerId, LeaderEpoch)> {
        let topic = self.recent_topic(&partition.topic)?;
        let found = topic.partition(partition.partition)?;
        Some((found.leader?, found.leader_epoch))
    }

    /// As [`Client::leader`], for a caller that waits since `start`, be it for another partition. It always looks once.
    pub(super) async fn leader_since(
        &self,
        start: Moment,
        topic: &str,
        partition: PartitionId,
    ) -> Result<(BrokerId, LeaderEpoch), MetadataError> {
        let found = self.await_topic(start, topic, |topic| match topic.partition(partition) {
            Some(found) => found.leader.map(|leader| Ok((leader, found.leader_epoch))),
            None if !topic.error.is_none() => None,
            None => Some(Err(MetadataError::UnknownPartition {
                partition: TopicPartition::new(topic.name.clone(), partition),
                count: topic.partitions.len(),
            })),
        });
        match found.await {
            Ok(leader) => leader,
            Err(MetadataError::Topic { topic, code }) if code.is_none() => {
                let partition = TopicPartition::new(topic, partition);
                Err(MetadataError::NoLeader { code: ErrorCode::LEADER_NOT_AVAILABLE, partition })
            }
            Err(error) => Err(error),
        }
    }

    /// Takes leaders that a broker has named in a response. Source: KIP-951.
    pub(super) fn learn_leaders(&self, brokers: Vec<Broker>, hints: &[LeaderHint]) {
        lock(&self.shared.metadata).learn_leaders(brokers, hints);
    }

    /// Marks the metadata of a topic as stale, because a broker's answer says so: the next [`Client::leader`]
    /// refreshes it.
    pub fn invalidate(&self, topic: &str) {
        lock(&self.shared.metadata).described.remove(topic);
    }

    /// Waits until `look` finds what it needs in the description of a topic. The times for that began at `start`.
    ///
    /// An error of the topic with the code `NONE` means that it was described, but `look` never found what it needs.
    async fn await_topic<T>(
        &self,
        start: Moment,
        name: &str,
        look: impl Fn(&Arc<Topic>) -> Option<T>,
    ) -> Result<T, MetadataError> {
        let (deadline, missing) = (start + self.config().request_timeout, start + self.config().missing_topic_timeout);
        let mut backoff = self.backoff();
        let name = Str::from(name);
        if let Some(found) = self.recent_topic(&name).as_ref().and_then(&look) {
            return Ok(found);
        }
        loop {
            let outcome = self.refresh_once(std::slice::from_ref(&name)).await;
            let known = self.cluster().shared_topic(&name);
            // A leader that may be outdated is better than none, if no broker answers.
            if let Some(found) = known.as_ref().and_then(&look) {
                return Ok(found);
            }
            let now = self.now();
            match (outcome, known) {
                (Err(error), _) if !error.is_retriable() || now >= deadline => return Err(error.into()),
                (Ok(()), Some(topic)) => wait_or_fail(&topic, now, deadline, missing)?,
                (Ok(()), None) if now >= missing => return Err(MetadataError::UnknownTopic(name)),
                (Ok(()), None) | (Err(_), _) => {}
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }

    /// The topic, if it is not stale and was described within `metadata_max_age`.
    fn recent_topic(&self, name: &Str) -> Option<Arc<Topic>> {
        let metadata = lock(&self.shared.metadata);
        let described = metadata.described.get(name)?;
        let is_recent = described.at + self.config().metadata_max_age > self.now();
        metadata.cluster.shared_topic(name).filter(|_| is_recent)
    }

    /// Requests topics, but those of which somebody else got a description while this call waited for its turn.
    pub(super) async fn refresh_once(&self, names: &[Str]) -> Result<(), RequestError> {
        let seen = lock(&self.shared.metadata).answer_count;
        let _turn = self.shared.refreshing.lock().await;
        let left: Vec<Str> = {
            let metadata = lock(&self.shared.metadata);
            let is_new = |name: &&Str| metadata.described.get(*name).is_some_and(|described| described.answer > seen);
            names.iter().filter(|name| !is_new(name)).cloned().collect()
        };
        if left.is_empty() { Ok(()) } else { self.refresh(&left).await }
    }

    /// Sends a request to one broker, or more if that is silent, and merges the first response.
    ///
    /// The request always has the whole `request_timeout`: a shorter one would end a connection that others use.
    pub(super) async fn refresh(&self, topics: &[Str]) -> Result<(), RequestError> {
        let submission = self.submission(Arc::new(ByVersion(question(topics))), CallOptions::default());
        let delivered = self.inquire(&submission).await?;
        self.merge(topics, delivered)?;
        // A cluster that has this client start over has left no broker to go on with.
        match self.cluster().brokers().len() {
            0 => Err(RequestError::NotSent { to: None, cause: NotSentCause::NoBrokers }),
            _ => Ok(()),
        }
    }

    fn merge(&self, topics: &[Str], delivered: Delivered) -> Result<(), RequestError> {
        let endpoint = Arc::clone(&delivered.endpoint);
        let response = delivered.open::<MetadataRequest>()?.response;
        let now = self.now();
        let mut metadata = lock(&self.shared.metadata);
        if ErrorCode(response.error_code) == ErrorCode::REBOOTSTRAP_REQUIRED {
            // The cluster demands that this client starts over; the next request finds only the bootstrap addresses.
            Arc::make_mut(&mut metadata.cluster).forget_brokers();
            return Ok(());
        }
        metadata.merge(&response, topics, &endpoint.address, now);
        Ok(())
    }

    /// Learns the brokers from the bootstrap servers, and checks that one of them can be reached.
    pub(super) async fn bootstrap(&self) -> Result<(), ConnectError> {
        if let Some(sasl) = &self.config().sasl
            && let Err(error) = sasl.prepare().await
        {
            let to = self.endpoint(Target::Bootstrap(0)).map(Arc::new);
            let cause = NotSentCause::Connect(ConnectFailure::Negotiation(CloseCause::Sasl(error)));
            return Err(ConnectError::Unreachable { attempts: vec![RequestError::NotSent { to, cause }] });
        }
        let deadline = self.now() + self.config().bootstrap_timeout;
        let told_by = self.ask_bootstrap(deadline).await?;
        let brokers = lock(&self.shared.metadata).endpoints();
        if brokers.is_empty() {
            return Err(ConnectError::NoBrokers { told_by });
        }
        self.shared.pool.adopt(&brokers);
        let mut attempts = Vec::new();
        for (tried, (id, _)) in brokers.iter().enumerate() {
            let share = self.share(deadline, brokers.len() - tried);
            match self.knock(*id, share).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.push(error),
            }
        }
        Err(ConnectError::AdvertisedUnreachable { attempts })
    }

    /// Gets the list of brokers from the first bootstrap server that answers, and returns that server.
    async fn ask_bootstrap(&self, deadline: Moment) -> Result<Address, ConnectError> {
        let servers = &self.shared.bootstrap;
        let mut attempts = Vec::new();
        for (index, server) in servers.iter().enumerate() {
            // Half of the time is left for the brokers that the servers name.
            let share = self.share(deadline, servers.len() - index + 1);
            let submission =
                Submission { message: Arc::new(ByVersion(question(&[]))), max_version: None, deadline: share };
            let Some(submitted) = self.submit(Target::Bootstrap(index), Lane::General, &submission) else { continue };
            let asked = async { self.merge(&[], super::request::deliver(submitted?).await?) };
            match asked.await {
                Ok(()) => return Ok(server.clone()),
                Err(error) => attempts.push(error),
            }
        }
        Err(ConnectError::Unreachable { attempts })
    }

    /// Opens the general connection to a broker, if it is not open.
    async fn knock(&self, id: BrokerId, deadline: Moment) -> Result<(), RequestError> {
        let message = Arc::new(ApiVersionsRequest::default());
        let submission = Submission { message, max_version: Some(0), deadline };
        match self.submit(Target::Broker(id), Lane::General, &submission) {
            Some(pending) => super::request::deliver(pending?).await.map(drop),
            None => Err(RequestError::NotSent { to: None, cause: NotSentCause::UnknownBroker(id) }),
        }
    }

    /// A fair share of the time until `deadline` for one of `left` attempts.
    fn share(&self, deadline: Moment, left: usize) -> Moment {
        let now = self.now();
        now + deadline.since(now) / u32::try_from(left.max(1)).unwrap_or(u32::MAX)
    }
}

/// Returns `Ok` if it is worth waiting for a topic that does not have what is needed, and otherwise the error.
fn wait_or_fail(topic: &Topic, now: Moment, deadline: Moment, missing: Moment) -> Result<(), MetadataError> {
    let is_missing = topic.error == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let is_hopeless = !topic.error.is_none() && !topic.error.is_retriable();
    let is_over = now >= if is_missing { missing } else { deadline };
    match (is_over || is_hopeless, is_missing) {
        (false, _) => Ok(()),
        (true, true) => Err(MetadataError::UnknownTopic(topic.name.clone())),
        (true, false) => Err(MetadataError::Topic { topic: topic.name.clone(), code: topic.error }),
    }
}

/// A request for `topics`, by name, which does not create them if its version can say so (v4+).
fn question(topics: &[Str]) -> impl Fn(i16) -> MetadataRequest + Send + Sync + 'static {
    let topics: Vec<_> = topics
        .iter()
        .map(|name| MetadataRequestTopic { name: Some(name.clone()), ..MetadataRequestTopic::default() })
        .collect();
    move |version| MetadataRequest {
        topics: Some(topics.clone()),
        allow_auto_topic_creation: version < 4,
        ..MetadataRequest::default()
    }
}
