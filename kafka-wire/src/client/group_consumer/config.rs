//! The settings of a group consumer, with the names that users of Kafka know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{GroupConsumer, GroupConsumerError};
use crate::client::{Client, ClientConfig};
use crate::consumer::{ConsumerConfig, ResetPolicy};
use crate::group::{Assignor, GroupConfig, GroupProtocol};
use crate::types::IsolationLevel;
use crate::wire::Str;

/// The topics that a group consumer reads.
#[derive(Clone, Debug)]
pub enum Subscription {
    /// These topics. A topic that does not exist is read as soon as it does.
    Topics(Vec<Str>),
    /// All topics whose names match, including later ones: they are looked up every
    /// [`metadata_max_age`](ClientConfig::metadata_max_age). Kafka's own topics are left out.
    Pattern(TopicPattern),
    /// All topics whose names match, including later ones, as the broker finds them: only
    /// with [`GroupProtocol::Consumer`], and brokers from Kafka 4.0 on.
    BrokerPattern(SubscriptionPattern),
}

/// A regular expression for topic names in the syntax of RE2/J, which the broker evaluates. It has to match a name as a
/// whole. Source: KIP-848.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionPattern {
    text: Str,
}

/// A test of topic names, made by the client and not by the broker.
#[derive(Clone)]
pub struct TopicPattern {
    text: String,
    matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// The treatment of a topic that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingTopic {
    /// The consumer waits for it, after a warning in the log.
    #[default]
    Wait,
    /// Polls fail with [`GroupConsumerError::MissingTopic`] while it is missing.
    Fail,
}

/// The settings of a group consumer. Start from [`GroupConsumerConfig::new`] and change what differs,
/// or use [`GroupConsumer::builder`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupConsumerConfig {
    /// `group.id`: consumers with the same id share the partitions.
    pub group_id: Str,
    /// `group.instance.id`: makes the member static, so that a restart within `session_timeout` keeps its partitions
    /// without a rebalance. Default: none.
    pub instance_id: Option<Str>,
    /// `group.protocol`: the protocol of the group. With [`GroupProtocol::Consumer`] the coordinator assigns the
    /// partitions, and the broker's settings count in place of `assignors`, `session_timeout` and `heartbeat_interval`.
    /// Default: classic, as in Kafka.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`: the assignor of the coordinator, such as `uniform` or `range`. Default: its own choice.
    pub remote_assignor: Option<Str>,
    /// `client.rack`: where this consumer runs, for assignors that keep reads inside a rack, and for leaders that name
    /// a replica there, from which it then reads ([`Consumer::set_rack`](crate::client::Consumer::set_rack)).
    /// Default: none.
    pub rack: Option<Str>,
    /// The topics to read.
    pub subscription: Subscription,
    /// `auto.offset.reset`: where reading begins in a partition for which the group has committed nothing, and where it
    /// goes on when the next records were deleted. When records that were read are gone after an unclean election,
    /// reading goes on where the logs part, with any policy but [`ResetPolicy::None`], which makes both an error
    /// ([`ConsumeError`](crate::consumer::ConsumeError)). Default: at the end, as in Kafka.
    pub auto_offset_reset: ResetPolicy,
    /// `auto.commit.interval.ms`: the interval at which offsets of records that were handed out are committed.
    /// Commits are made by polls, in the background, and also before partitions are given up and at the close.
    /// `None` (`enable.auto.commit=false`): only by `commit`. Less than 10 ms counts as 10 ms. Default 5 s.
    pub auto_commit_interval: Option<Duration>,
    /// `isolation.level`. Default: read uncommitted, as in Kafka.
    pub isolation: IsolationLevel,
    /// `partition.assignment.strategy`, preferred first. Default: range and cooperative sticky, as in the Java client.
    pub assignors: Vec<Assignor>,
    /// `session.timeout.ms`. Default 45 s.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`, below `session_timeout`, at most a third of it. Default 3 s.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: a consumer whose owner does not poll for this long leaves the group, and the next
    /// poll returns [`Lost`](super::AssignmentChange::Lost). It also bounds how long a rebalance waits for this
    /// member. Default 5 min.
    pub max_poll_interval: Duration,
    /// The treatment of a topic that does not exist.
    pub missing_topic: MissingTopic,
    /// `fetch.min.bytes` and the like. Its `isolation` and `reset` are ignored.
    pub fetch: ConsumerConfig,
    /// `decompression.limit.bytes`: most bytes that one batch may take when it is decompressed; a larger one is
    /// an error, [`DecompressionLimit`](crate::consumer::ConsumeError::DecompressionLimit). Default 128 MiB.
    pub decompression_limit_bytes: usize,
}

impl GroupConsumerConfig {
    /// Makes settings with Kafka's defaults.
    #[must_use]
    pub fn new(group_id: impl Into<Str>, subscription: Subscription) -> Self {
        Self {
            group_id: group_id.into(),
            instance_id: None,
            group_protocol: GroupProtocol::Classic,
            remote_assignor: None,
            rack: None,
            subscription,
            auto_offset_reset: ResetPolicy::Latest,
            auto_commit_interval: Some(Duration::from_secs(5)),
            isolation: IsolationLevel::ReadUncommitted,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            missing_topic: MissingTopic::Wait,
            fetch: ConsumerConfig::default(),
            decompression_limit_bytes: 128 << 20,
        }
    }

    pub(super) fn group(&self, client: &Client, topics: Vec<Str>) -> GroupConfig {
        GroupConfig {
            protocol: self.group_protocol,
            remote_assignor: self.remote_assignor.clone(),
            pattern: self.broker_pattern(),
            rack: self.rack.clone(),
            instance_id: self.instance_id.clone(),
            session_timeout: self.session_timeout,
            rebalance_timeout: self.max_poll_interval,
            heartbeat_interval: self.heartbeat_interval,
            assignors: self.assignors.clone(),
            metadata_interval: client.config().metadata_max_age,
            poll_interval: Some(self.max_poll_interval),
            ..GroupConfig::new(self.group_id.clone(), topics)
        }
    }

    /// The pattern that the broker evaluates.
    pub(super) fn broker_pattern(&self) -> Option<Str> {
        match &self.subscription {
            Subscription::BrokerPattern(pattern) => Some(pattern.text.clone()),
            Subscription::Topics(_) | Subscription::Pattern(_) => None,
        }
    }

    pub(super) fn consumer(&self) -> ConsumerConfig {
        ConsumerConfig { isolation: self.isolation, reset: self.auto_offset_reset, ..self.fetch }
    }
}

/// A builder of a group consumer. Its methods are named after Kafka's settings; the fields of [`GroupConsumerConfig`]
/// say more about each.
#[derive(Clone, Debug)]
#[must_use]
pub struct GroupConsumerBuilder {
    config: GroupConsumerConfig,
}

impl GroupConsumerBuilder {
    pub(super) fn new(group_id: Str) -> Self {
        Self { config: GroupConsumerConfig::new(group_id, Subscription::Topics(Vec::new())) }
    }

    /// Sets the topics to read.
    pub fn topics<T: Into<Str>>(self, topics: impl IntoIterator<Item = T>) -> Self {
        self.subscription(Subscription::Topics(topics.into_iter().map(Into::into).collect()))
    }

    /// Sets the topics to read, as a list or a pattern.
    pub fn subscription(mut self, subscription: Subscription) -> Self {
        self.config.subscription = subscription;
        self
    }

    /// `group.instance.id`.
    pub fn instance_id(mut self, instance_id: impl Into<Str>) -> Self {
        self.config.instance_id = Some(instance_id.into());
        self
    }

    /// `group.protocol`.
    pub fn group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.config.group_protocol = protocol;
        self
    }

    /// `group.remote.assignor`, for [`GroupProtocol::Consumer`].
    pub fn remote_assignor(mut self, name: impl Into<Str>) -> Self {
        self.config.remote_assignor = Some(name.into());
        self
    }

    /// `client.rack`.
    pub fn rack(mut self, rack: impl Into<Str>) -> Self {
        self.config.rack = Some(rack.into());
        self
    }

    /// `auto.offset.reset`.
    pub fn auto_offset_reset(mut self, reset: ResetPolicy) -> Self {
        self.config.auto_offset_reset = reset;
        self
    }

    /// `auto.commit.interval.ms`.
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.config.auto_commit_interval = Some(interval);
        self
    }

    /// `enable.auto.commit=false`: offsets are committed only by `commit`.
    pub fn manual_commit(mut self) -> Self {
        self.config.auto_commit_interval = None;
        self
    }

    /// `isolation.level=read_committed`.
    pub fn read_committed(mut self) -> Self {
        self.config.isolation = IsolationLevel::ReadCommitted;
        self
    }

    /// `partition.assignment.strategy`.
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Assignor>) -> Self {
        self.config.assignors = assignors.into_iter().collect();
        self
    }

    /// `session.timeout.ms` and `heartbeat.interval.ms`; the second should be at most a third of the first.
    pub fn session_timeout(mut self, session_timeout: Duration, heartbeat_interval: Duration) -> Self {
        (self.config.session_timeout, self.config.heartbeat_interval) = (session_timeout, heartbeat_interval);
        self
    }

    /// `max.poll.interval.ms`.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.config.max_poll_interval = interval;
        self
    }

    /// Sets the treatment of a topic that does not exist.
    pub fn missing_topic(mut self, missing_topic: MissingTopic) -> Self {
        self.config.missing_topic = missing_topic;
        self
    }

    /// `fetch.min.bytes`, `fetch.max.bytes` and the like.
    pub fn fetch(mut self, fetch: ConsumerConfig) -> Self {
        self.config.fetch = fetch;
        self
    }

    /// `decompression.limit.bytes`.
    pub fn decompression_limit_bytes(mut self, limit_bytes: usize) -> Self {
        self.config.decompression_limit_bytes = limit_bytes;
        self
    }

    /// Makes a consumer with a client of its own; `bootstrap_servers` is a list separated by commas.
    ///
    /// # Errors
    /// If no broker can be reached, or as for [`build`](Self::build).
    pub async fn connect(self, bootstrap_servers: &str) -> Result<GroupConsumer, GroupConsumerError> {
        let client =
            Client::connect(ClientConfig::new(bootstrap_servers)).await.map_err(GroupConsumerError::Connect)?;
        self.build(client).await
    }

    /// Makes a consumer on an existing client. It begins to join the group; polls tell the rest.
    ///
    /// # Errors
    /// If the topics of a pattern cannot be looked up.
    pub async fn build(self, client: Client) -> Result<GroupConsumer, GroupConsumerError> {
        GroupConsumer::new(client, self.config).await
    }
}

impl From<GroupConsumerBuilder> for GroupConsumerConfig {
    fn from(builder: GroupConsumerBuilder) -> Self {
        builder.config
    }
}

impl SubscriptionPattern {
    /// Makes a pattern; the broker checks its syntax.
    #[must_use]
    pub fn new(text: impl Into<Str>) -> Self {
        Self { text: text.into() }
    }
}

impl TopicPattern {
    /// Makes a pattern of the names for which `matches` returns `true`; `text` stands for it in messages.
    #[must_use]
    pub fn new(text: impl Into<String>, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { text: text.into(), matches: Arc::new(matches) }
    }

    /// Makes a pattern of the names that a regular expression matches as a whole, as in the Java client.
    ///
    /// # Errors
    /// If the text is not a regular expression.
    #[cfg(feature = "pattern")]
    pub fn regex(text: &str) -> Result<Self, InvalidPattern> {
        let regex = regex_lite::Regex::new(&format!("^(?:{text})$"));
        let regex = regex.map_err(|error| InvalidPattern { text: text.to_owned(), detail: error.to_string() })?;
        Ok(Self::new(text, move |name| regex.is_match(name)))
    }

    /// The text that stands for it in messages: the regular expression, if it is one.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether a topic of that name is read.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        (self.matches)(topic)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicPattern").field(&self.text).finish()
    }
}

/// The error of a text that is not a regular expression.
#[cfg(feature = "pattern")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPattern {
    /// The text.
    pub text: String,
    /// The parser's message.
    pub detail: String,
}

#[cfg(feature = "pattern")]
impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no regular expression: {}", self.text, self.detail)
    }
}

#[cfg(feature = "pattern")]
impl std::error::Error for InvalidPattern {}
