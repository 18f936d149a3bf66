//! The configuration of a broker; every limit has its name here.

use std::time::Duration;

use kafka_wire::types::TimestampMs;

use super::SaslConfig;
use crate::fault::Rule;

/// Settings of a [`Broker`](super::Broker) or a [`Core`](super::Core). The defaults are Apache Kafka's where it
/// has one.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Name or IP address to listen on; 127.0.0.1 by default. Without `sasl` there is no authentication:
    /// see [`Broker::is_local`](super::Broker::is_local).
    pub host: String,
    /// TCP port to listen on; 0 takes a free one.
    pub port: u16,
    /// Host and port that clients are told to connect to. `None` names the address that the broker listens on or,
    /// when it listens on every address of the machine, the one that the client has reached.
    pub advertised: Option<(String, u16)>,
    /// Finalized level of the feature `transaction.version`: 1, or 2 for KIP-890 (the default, as in Kafka 4).
    pub transaction_version: i16,
    /// Whether a Metadata request for an unknown topic creates it, if the client allows
    /// it (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Partitions of a topic that is created without a count (`num.partitions`).
    pub default_partitions: i32,
    /// Partitions of `__consumer_offsets` and of `__transaction_state` (`offsets.topic.num.partitions`,
    /// `transaction.state.log.num.partitions`).
    pub internal_partitions: i32,
    /// Most partitions in the whole broker; creating a topic that would exceed it fails with `INVALID_PARTITIONS`.
    pub partitions_max: usize,
    /// Largest request in bytes (`socket.request.max.bytes`); a connection that announces a larger one is closed.
    /// No request can be larger than all the memory for frames.
    pub frame_limit_bytes: usize,
    /// Largest record batch in bytes (`message.max.bytes`); larger ones get `MESSAGE_TOO_LARGE`. A topic's
    /// `max.message.bytes` overrides it.
    pub batch_limit_bytes: usize,
    /// Shortest time between two checks of the logs for data that `retention.ms`, `retention.bytes` or
    /// compaction removes. Kafka checks every 5 minutes (`log.retention.check.interval.ms`) and every 15 seconds
    /// (`log.cleaner.backoff.ms`), too long for a test.
    pub log_check_interval: Duration,
    /// Memory in bytes for records and for frames in flight. One eighth of it is for frames, over all connections;
    /// at that bound connections are not read, and if that lasts, the one that holds the most is closed.
    /// The rest is for records; at that bound Produce gets `KAFKA_STORAGE_ERROR` until retention or a deletion has
    /// made room. The default is 1 GiB, the heap that Apache Kafka's own script gives its broker.
    pub memory_bytes: u64,
    /// Most bytes of records in one Fetch response, whatever the client asks for (`fetch.max.bytes`).
    pub fetch_limit_bytes: usize,
    /// Most fetch sessions (`max.incremental.fetch.session.cache.slots`); a reader for whom there is no room reads
    /// without one.
    pub fetch_sessions_max: usize,
    /// Requests of one connection that may wait behind a slow one; beyond that the connection is closed.
    /// The TCP and pipe servers stop reading long before that.
    pub queued_requests_max: usize,
    /// How long the first member of an empty group waits for others (`group.initial.rebalance.delay.ms`); default 0.
    pub group_initial_rebalance_delay: Duration,
    /// Shortest session timeout that a member may ask for (`group.min.session.timeout.ms`).
    pub group_session_timeout_min: Duration,
    /// Longest session timeout that a member may ask for (`group.max.session.timeout.ms`).
    pub group_session_timeout_max: Duration,
    /// Session timeout of members of the consumer protocol (`group.consumer.session.timeout.ms`). Default 45 s.
    pub group_consumer_session_timeout: Duration,
    /// Heartbeat interval that members of the consumer protocol are told (`group.consumer.heartbeat.interval.ms`), and
    /// so the pace of their rebalances. Default 5 s.
    pub group_consumer_heartbeat_interval: Duration,
    /// Most members of one group, pending ones included; further ones get `GROUP_MAX_SIZE_REACHED`
    /// (`group.max.size`).
    pub group_size_max: usize,
    /// Longest transaction timeout that a producer may ask for (`transaction.max.timeout.ms`).
    pub transaction_timeout_max: Duration,
    /// Time after its last batch, by that batch's timestamps, after which a partition forgets a producer that has no
    /// open transaction there (`producer.id.expiration.ms`). Default one day.
    pub producer_id_expiration: Duration,
    /// Time without a transaction after which the coordinator forgets a transactional id
    /// (`transactional.id.expiration.ms`). Default seven days.
    pub transactional_id_expiration: Duration,
    /// Shortest time between two checks for producers and transactional ids to forget: the request that comes after it
    /// finds them gone. Default 10 minutes (`producer.id.expiration.check.interval.ms`).
    pub expiration_check_interval: Duration,
    /// Time between the answer to EndTxn and the writing of the markers. Zero writes them at once; with a longer time
    /// clients see `CONCURRENT_TRANSACTIONS` and `UNSTABLE_OFFSET_COMMIT`, as in a busy cluster.
    pub marker_delay: Duration,
    /// Wall clock time at the broker's [`Moment::ZERO`](kafka_wire::time::Moment::ZERO). The servers set it
    /// themselves, and again when the date jumps.
    pub start_timestamp: TimestampMs,
    /// Seed of topic ids, member ids and the cluster id. With `None`, a [`Broker`](super::Broker) draws one at its
    /// start, so that no two clusters are the same, and a [`Core`](super::Core) takes 0.
    pub seed: Option<u64>,
    /// Makes the listener one for SASL, with the users and mechanisms that it accepts. `None`: every client is accepted
    /// without authentication.
    pub sasl: Option<SaslConfig>,
    /// Faults to apply; more can be added while the broker runs.
    pub faults: Vec<Rule>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            advertised: None,
            transaction_version: 2,
            auto_create_topics: true,
            default_partitions: 1,
            internal_partitions: 50,
            partitions_max: 10_000,
            frame_limit_bytes: 100 * 1024 * 1024,
            batch_limit_bytes: 1024 * 1024 + 12,
            log_check_interval: Duration::from_secs(1),
            memory_bytes: 1024 * 1024 * 1024,
            fetch_limit_bytes: 55 * 1024 * 1024,
            fetch_sessions_max: 1_000,
            queued_requests_max: 1_000,
            group_initial_rebalance_delay: Duration::ZERO,
            group_session_timeout_min: Duration::from_secs(6),
            group_session_timeout_max: Duration::from_secs(30 * 60),
            group_consumer_session_timeout: Duration::from_secs(45),
            group_consumer_heartbeat_interval: Duration::from_secs(5),
            group_size_max: 10_000,
            transaction_timeout_max: Duration::from_secs(15 * 60),
            producer_id_expiration: Duration::from_secs(24 * 3600),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
            expiration_check_interval: Duration::from_secs(600),
            marker_delay: Duration::ZERO,
            start_timestamp: TimestampMs(0),
            seed: None,
            sasl: None,
            faults: Vec::new(),
        }
    }
}

impl BrokerConfig {
    /// The bytes of the memory that are for frames in flight.
    #[must_use]
    pub fn frame_memory_bytes(&self) -> usize {
        usize::try_from(self.memory_bytes / FRAMES_SHARE).unwrap_or(usize::MAX)
    }

    /// The bytes of the memory that are for records.
    #[must_use]
    pub fn record_memory_bytes(&self) -> u64 {
        self.memory_bytes - self.memory_bytes / FRAMES_SHARE
    }
}

const FRAMES_SHARE: u64 = 8;
