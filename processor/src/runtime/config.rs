//! The configuration of a job: typed fields, and the same by Kafka's names for files and command lines.

mod streams;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use kafka_wire::client::{ClientConfig, Key, Properties, PropertiesError, nearest};
/// Compression of the batches that a job writes: the codecs of Kafka.
pub use kafka_wire::compression::Compression as CompressionType;

use self::streams::StreamsKey;
use crate::error::{ErrorKind, ErrorPolicy};
use crate::topology::ResetPolicy;
pub use crate::worker::{ForeignOffsets, MissingTopic};

/// The configuration of a job. [`Config::new`] has defaults for exactly-once; [`Config::set`] accepts Kafka's names.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// `bootstrap.servers`: `HOST:PORT` pairs to learn the cluster from.
    pub bootstrap_servers: Vec<String>,
    /// `num.workers`: threads of this process that take partitions, each with its own transaction. Kafka Streams
    /// calls it `num.stream.threads`.
    pub workers: usize,
    /// `partition.assignment.strategy`: how the partitions are spread over the workers of all processes.
    pub assignment: AssignmentStrategy,
    /// `session.timeout.ms`: a worker that sends no heartbeat for so long loses its partitions to the others. Brokers
    /// refuse less than `group.min.session.timeout.ms`, 6 s by default.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`: how often a worker says that it is alive, and learns of a rebalance.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long a rebalance waits for a worker to finish its transaction and rejoin.
    pub rebalance_timeout: Duration,
    /// `transaction.timeout.ms`: the broker aborts a transaction that stays open for so long. It bounds how long the
    /// transaction of a process that died, and was not replaced, holds readers up.
    pub transaction_timeout: Duration,
    /// `commit.interval.min.ms`: with its input drained, a worker commits once so much time has passed since the
    /// previous commit.
    pub commit_interval_min: Duration,
    /// `commit.interval.max.ms`: under load a worker commits this often. Output is visible to a `read_committed`
    /// reader after its commit.
    pub commit_interval_max: Duration,
    /// `max.task.idle.ms`, as in Kafka Streams: how long a join that has read one of its inputs to the end waits for
    /// more records of it, before it processes those of the others. 0 waits only for records that are in the topics
    /// already, so that these are joined in the order of their event time; -1 (`None`) waits for nothing.
    pub task_idle_max: Option<Duration>,
    /// `repartition.purge.interval.ms`: how often what is committed is deleted from the repartition topics,
    /// which have no retention of their own.
    pub purge_interval: Duration,
    /// `replication.factor`: of the topics that a job creates (repartition, changelog); -1 takes the broker's
    /// default.
    pub replication_factor: i16,
    /// `topic.KEY`, as in Kafka Streams: topic configuration of the topics that a job creates, such as
    /// `topic.max.message.bytes`. The broker judges keys and values.
    pub topic_configs: BTreeMap<String, String>,
    /// `compression.type`: `none`, `gzip`, `snappy`, `lz4` or `zstd`, of everything a job writes.
    pub compression: CompressionType,
    /// `deserialization.exception.handler`: what happens to a record that the serde refuses; `continue` counts,
    /// reports and skips it, `fail` stops the job and names topic, partition and offset. `None`, here and for the
    /// three that follow: as the topology says; by default `fail`, and `continue` where there are dead letters.
    pub undecodable: Option<ErrorPolicy>,
    /// `processing.exception.handler`: what happens to a record for which the job's code panics or returns an error;
    /// `continue` counts and reports it and leaves it out with all of its effects, `fail` stops the job.
    pub failed: Option<ErrorPolicy>,
    /// `production.exception.handler`: what happens to an output record that its topic does not take (too large, a
    /// timestamp out of bounds, no key in a compacted topic) or that cannot be encoded; `continue` counts and reports
    /// it and leaves it out, `fail` stops the job.
    pub unproducible: Option<ErrorPolicy>,
    /// `errors.dead.letter.queue.topic.name`: the topic of the records that are left out because they fail, written
    /// in the same transaction, with headers that describe the error. It must exist. `None`: as the topology says.
    pub dead_letters: Option<String>,
    /// `metadata.max.age.ms`: how often it is looked whether the topics that the job reads are there,
    /// and have more partitions. New partitions of topics that it writes get records from then on.
    pub metadata_max_age: Duration,
    /// `start.timeout.ms`: how long a start waits for brokers that are down or moving.
    pub start_timeout: Duration,
    /// `partition.discovery.interval.ms`: how often a job looks for topics that have come to match a pattern, and at
    /// most how long for partitions that were added to a topic. What is found starts at its first record.
    pub partition_discovery_interval: Duration,
    /// `auto.offset.reset`: where an input starts that does not say it itself, in a partition for which the group has
    /// no offset: `earliest`, `latest`, `by_duration:PT1H` (the first record that is at most an hour old), or `none`,
    /// which is an error that names the partition. A position that was deleted while the job runs is always an error.
    pub auto_offset_reset: ResetPolicy,
    /// `missing.topic.policy`: what happens when a topic that the job reads is deleted; `warn` reports it and goes on
    /// with the others, `fail` ends the job. A bounded run that has not read the topic to its end always ends with an
    /// error.
    pub missing_topic: MissingTopic,
    /// `foreign.offsets`: what becomes of offsets in the job's group that the job did not commit:
    /// `refuse` ends it and names the place, `accept` goes on from them, as after they were set on purpose.
    pub foreign_offsets: ForeignOffsets,
    /// `timestamp.policy`: what happens to a record whose event time is negative, as that of one without a timestamp
    /// is; `skip` counts and reports it and leaves it out, `fail` stops the job and names topic, partition and
    /// offset. A timestamp extractor in the job gives such records a time instead. `None`: as the topology says.
    pub untimed: Option<ErrorPolicy>,
    /// `client.rack`: the rack, or availability zone, in which this process runs. Inputs and changelogs are read from
    /// the replica there that their leader names, if the brokers have racks and a `replica.selector.class`.
    pub rack: Option<String>,
    /// `state.dir`: where a process keeps the id that tells its workers from those of other processes. Default:
    /// `waterwheel` in the system's directory for temporary files.
    pub state_dir: PathBuf,
    /// `group.instance.id`: the id of this process, in place of one kept in `state.dir`. Two running processes must
    /// not share it.
    pub instance_id: Option<String>,
    /// `fetch.max.bytes`: upper bound of one fetch, and of what a worker holds in fetched, unprocessed bytes.
    pub fetch_max_bytes: usize,
    /// `decompression.limit.bytes`: most bytes that one batch of input may take when it is decompressed; a larger one
    /// ends the job, and names its place.
    pub decompression_limit: usize,
    /// `buffer.memory`: bytes of output that may wait for acknowledgement before a worker stops taking input.
    pub buffer_memory: usize,
    /// `request.timeout.ms`: how long an answer may take before it counts as lost.
    pub request_timeout: Duration,
    /// `security.protocol` and the other keys of a [client](../../docs/reference/client-config.md): TLS, SASL,
    /// `client.id`, pauses between attempts. Those that this table has itself go to their fields.
    pub client: Properties,
}

/// The assignment of partitions to the workers of a group; both strategies give the same result as the Java client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignmentStrategy {
    /// Consecutive partitions of each topic to each worker; topics of equal size are co-partitioned.
    Range,
    /// All partitions of all topics dealt in turn.
    RoundRobin,
}

/// A configuration key or value that cannot be used.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such key.
    UnknownKey {
        /// The key as it was given.
        key: String,
        /// The known key that was probably meant, if one is near.
        nearest: Option<&'static str>,
    },
    /// The key belongs to producers or consumers, and a job sets it itself.
    Decided {
        /// The key.
        key: &'static str,
    },
    /// The key is one of Kafka Streams, and its place is not in the configuration here.
    Elsewhere {
        /// The key.
        key: &'static str,
        /// The place.
        instead: &'static str,
    },
    /// A key of the client has an invalid value, or keys of security contradict each other.
    Client(PropertiesError),
    /// The key is known, but the value is not of its kind.
    InvalidValue {
        /// The key.
        key: &'static str,
        /// The value as it was given.
        value: String,
        /// The values that the key accepts.
        expected: &'static str,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, nearest: Some(nearest) } => {
                write!(f, "unknown configuration key `{key}`: did you mean `{nearest}`?")
            }
            Self::UnknownKey { key, nearest: None } => {
                write!(f, "unknown configuration key `{key}`; the keys are {}, and topic.KEY", KEYS.join(", "))
            }
            Self::Decided { key } => {
                write!(f, "`{key}` is not for the user of a job to set: exactly-once processing decides it")
            }
            Self::Elsewhere { key, instead } => write!(f, "`{key}` is not set here: {instead}"),
            Self::Client(error) => error.fmt(f),
            Self::InvalidValue { key, value, expected } => write!(f, "`{key}` takes {expected}, not `{value}`"),
        }
    }
}

debug_as_text!(ConfigError);

impl std::error::Error for ConfigError {}

impl Config {
    /// Defaults for an exactly-once job on the cluster at `bootstrap_servers` (`HOST:PORT`, comma separated).
    #[must_use]
    pub fn new(bootstrap_servers: &str) -> Self {
        Self {
            bootstrap_servers: servers(bootstrap_servers),
            workers: 1,
            assignment: AssignmentStrategy::Range,
            session_timeout: Duration::from_secs(6),
            heartbeat_interval: Duration::from_millis(500),
            rebalance_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(10),
            commit_interval_min: Duration::from_millis(5),
            commit_interval_max: Duration::from_millis(100),
            task_idle_max: Some(Duration::ZERO),
            purge_interval: Duration::from_secs(30),
            replication_factor: -1,
            topic_configs: BTreeMap::new(),
            compression: CompressionType::None,
            undecodable: None,
            failed: None,
            unproducible: None,
            dead_letters: None,
            metadata_max_age: Duration::from_secs(5),
            start_timeout: Duration::from_secs(60),
            partition_discovery_interval: Duration::from_secs(30),
            auto_offset_reset: ResetPolicy::Earliest,
            missing_topic: MissingTopic::Warn,
            foreign_offsets: ForeignOffsets::Refuse,
            untimed: None,
            rack: None,
            state_dir: std::env::temp_dir().join("waterwheel"),
            instance_id: None,
            fetch_max_bytes: 4 << 20,
            decompression_limit: 128 << 20,
            buffer_memory: 8 << 20,
            request_timeout: Duration::from_secs(30),
            client: Properties::new(),
        }
    }

    /// Sets one value by Kafka's name for it, as in a properties file. Keys of the client, those of TLS and SASL
    /// among them, are accepted too, also by librdkafka's names.
    ///
    /// So are those of Kafka Streams, for a file that is there: `num.stream.threads` and `commit.interval.ms` stand for
    /// `num.workers` and `commit.interval.max.ms`, `processing.guarantee` takes `exactly_once_v2`, `producer.` and
    /// `consumer.` before a key are left out, and keys that have no effect here, such as `num.standby.replicas`, are
    /// accepted with a warning.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`] names the key that was probably meant, [`ConfigError::InvalidValue`] the values
    /// that the key accepts, [`ConfigError::Elsewhere`] the place of what the topology says here.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        // No setting of a topic begins with `metadata`; keys of librdkafka do, behind `topic`.
        let is_of_topic = |key: &&str| !key.is_empty() && !key.starts_with("metadata.");
        if let Some(of_topic) = key.strip_prefix("topic.").filter(is_of_topic) {
            self.topic_configs.insert(of_topic.to_owned(), value.trim().to_owned());
            return Ok(());
        }
        let key = match StreamsKey::of(key, value.trim()) {
            StreamsKey::Here(key) => key,
            StreamsKey::WithoutEffect => {
                tracing::warn!(key, "this key of Kafka Streams has no effect here");
                return Ok(());
            }
            StreamsKey::Elsewhere { key, instead } => return Err(ConfigError::Elsewhere { key, instead }),
            StreamsKey::Refused { key, expected } => {
                return Err(ConfigError::InvalidValue { key, value: value.to_owned(), expected });
            }
        };
        let Some(&known) = KEYS.iter().find(|known| **known == key) else {
            return self.set_of_client(key, value);
        };
        self.apply(known, value.trim()).map_err(|expected| ConfigError::InvalidValue {
            key: known,
            value: value.to_owned(),
            expected,
        })
    }

    /// Makes the configuration of a client for the cluster of the job, for a program that does other work there.
    ///
    /// # Errors
    /// [`ConfigError::Client`] if keys of security contradict each other, or one needs another one that is missing.
    pub fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        let mut client = self.client.client().map_err(ConfigError::Client)?;
        client.bootstrap_servers.clone_from(&self.bootstrap_servers);
        client.request_timeout = self.request_timeout;
        Ok(client)
    }

    /// Sets every pair of a Java properties file.
    ///
    /// # Errors
    /// If the file cannot be read, or as for [`Config::set`].
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<(), ConfigError> {
        Properties::pairs(path).map_err(ConfigError::Client)?.iter().try_for_each(|(key, value)| self.set(key, value))
    }

    /// How often the topics of the job are looked at, at least 100 ms apart.
    pub(super) fn inspection_interval(&self) -> Duration {
        self.metadata_max_age.min(self.partition_discovery_interval).max(Duration::from_millis(100))
    }

    /// Sets a key that is not one of the job itself.
    fn set_of_client(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        match Properties::keys().find(|known| known.is_named(key)) {
            // The key is in the table of a job under another name.
            Some(Key { name, .. }) if KEYS.contains(&name) => self.set(name, value),
            Some(Key { group: "client" | "security", .. }) => self.client.set(key, value).map_err(ConfigError::Client),
            Some(Key { name, .. }) if DECIDED.contains(&(name, value.trim())) => Ok(()),
            // Transactions keep the order of their records with any number.
            Some(Key { name: "max.in.flight.requests.per.connection", .. }) => Ok(()),
            Some(Key { name, .. }) => Err(ConfigError::Decided { key: name }),
            None => self.client.set(key, value).map_err(|error| {
                // It keeps what may be a part of a secret out of its text.
                let PropertiesError::UnknownKey { key: Some(key), .. } = error else {
                    return ConfigError::Client(error);
                };
                let of_client = Properties::keys().filter(|key| matches!(key.group, "client" | "security"));
                let known = KEYS.iter().copied().chain(of_client.map(|key| key.name));
                let nearest = nearest(&key, known);
                ConfigError::UnknownKey { key, nearest }
            }),
        }
    }

    fn apply(&mut self, key: &'static str, value: &str) -> Result<(), &'static str> {
        match key {
            "bootstrap.servers" => self.bootstrap_servers = servers(value),
            "num.workers" => self.workers = number(value)?,
            "partition.assignment.strategy" => self.assignment = assignment(value)?,
            "session.timeout.ms" => self.session_timeout = positive_millis(value)?,
            "heartbeat.interval.ms" => self.heartbeat_interval = positive_millis(value)?,
            "max.poll.interval.ms" => self.rebalance_timeout = positive_millis(value)?,
            "transaction.timeout.ms" => self.transaction_timeout = positive_millis(value)?,
            "commit.interval.min.ms" => self.commit_interval_min = millis(value)?,
            "commit.interval.max.ms" => self.commit_interval_max = millis(value)?,
            "max.task.idle.ms" => self.task_idle_max = idle(value)?,
            "repartition.purge.interval.ms" => self.purge_interval = millis(value)?,
            "replication.factor" => self.replication_factor = replicas(value)?,
            "compression.type" => self.compression = compression(value)?,
            "deserialization.exception.handler" => self.undecodable = Some(handler(value)?),
            "processing.exception.handler" => self.failed = Some(handler(value)?),
            "production.exception.handler" => self.unproducible = Some(handler(value)?),
            "errors.dead.letter.queue.topic.name" => self.dead_letters = Some(value.to_owned()),
            "metadata.max.age.ms" => self.metadata_max_age = millis(value)?,
            "start.timeout.ms" => self.start_timeout = positive_millis(value)?,
            "partition.discovery.interval.ms" => self.partition_discovery_interval = positive_millis(value)?,
            "auto.offset.reset" => self.auto_offset_reset = offset_reset(value)?,
            "missing.topic.policy" => self.missing_topic = missing_topic(value)?,
            "foreign.offsets" => self.foreign_offsets = foreign_offsets(value)?,
            "timestamp.policy" => self.untimed = Some(timestamp_policy(value)?),
            "client.rack" => self.rack = (!value.is_empty()).then(|| value.to_owned()),
            "state.dir" => self.state_dir = PathBuf::from(value),
            "group.instance.id" => self.instance_id = Some(value.to_owned()),
            "fetch.max.bytes" => self.fetch_max_bytes = number(value)?,
            "decompression.limit.bytes" => self.decompression_limit = positive(value)?,
            "buffer.memory" => self.buffer_memory = number(value)?,
            "request.timeout.ms" => self.request_timeout = positive_millis(value)?,
            _ => unreachable!("`apply` has an arm for every key of `KEYS`"),
        }
        Ok(())
    }

    /// The reactions to records that fail which are set here, and not left to the topology.
    pub(super) fn policies(&self) -> impl Iterator<Item = (ErrorKind, ErrorPolicy)> {
        let of = |kind, policy: Option<ErrorPolicy>| policy.map(|policy| (kind, policy));
        let policies = [
            of(ErrorKind::Decode, self.undecodable),
            of(ErrorKind::Timestamp, self.untimed),
            of(ErrorKind::Process, self.failed),
            of(ErrorKind::Produce, self.unproducible),
        ];
        policies.into_iter().flatten()
    }

    /// Checks that the fields fit each other.
    ///
    /// # Errors
    /// [`ConfigError::InvalidValue`] for the first value that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |key, value: String, expected| Err(ConfigError::InvalidValue { key, value, expected });
        if self.bootstrap_servers.is_empty() {
            return invalid("bootstrap.servers", String::new(), "at least one HOST:PORT");
        }
        if self.workers == 0 {
            return invalid("num.workers", "0".to_owned(), "1 or more");
        }
        if self.commit_interval_max * 3 > self.transaction_timeout {
            return invalid(
                "transaction.timeout.ms",
                self.transaction_timeout.as_millis().to_string(),
                "at least three times commit.interval.max.ms, else the broker aborts healthy transactions",
            );
        }
        if self.heartbeat_interval * 2 > self.session_timeout {
            return invalid(
                "heartbeat.interval.ms",
                self.heartbeat_interval.as_millis().to_string(),
                "at most half of session.timeout.ms",
            );
        }
        self.client_config().map(drop)
    }
}

/// Settings with the values that every job has, for files that ask for them.
const DECIDED: [(&str, &str); 3] =
    [("acks", "all"), ("enable.idempotence", "true"), ("isolation.level", "read_committed")];

/// Every key that [`Config::set`] accepts, in the order of the fields.
pub const KEYS: &[&str] = &[
    "bootstrap.servers",
    "num.workers",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "transaction.timeout.ms",
    "commit.interval.min.ms",
    "commit.interval.max.ms",
    "max.task.idle.ms",
    "repartition.purge.interval.ms",
    "replication.factor",
    "compression.type",
    "deserialization.exception.handler",
    "processing.exception.handler",
    "production.exception.handler",
    "errors.dead.letter.queue.topic.name",
    "metadata.max.age.ms",
    "start.timeout.ms",
    "partition.discovery.interval.ms",
    "auto.offset.reset",
    "missing.topic.policy",
    "foreign.offsets",
    "timestamp.policy",
    "client.rack",
    "state.dir",
    "group.instance.id",
    "fetch.max.bytes",
    "decompression.limit.bytes",
    "buffer.memory",
    "request.timeout.ms",
];

fn servers(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|server| !server.is_empty()).map(str::to_owned).collect()
}

fn number<T: FromStr>(value: &str) -> Result<T, &'static str> {
    value.parse().map_err(|_| "a whole number in its range")
}

fn positive(value: &str) -> Result<usize, &'static str> {
    number(value).ok().filter(|bytes| *bytes > 0).ok_or("a whole number of bytes, 1 or more")
}

fn replicas(value: &str) -> Result<i16, &'static str> {
    let count = value.parse().ok().filter(|count| *count == -1 || *count > 0);
    count.ok_or("-1 for the broker's default, or a whole number from 1 to 32767")
}

fn positive_millis(value: &str) -> Result<Duration, &'static str> {
    millis(value).ok().filter(|time| !time.is_zero()).ok_or("a whole number of milliseconds, 1 or more")
}

fn millis(value: &str) -> Result<Duration, &'static str> {
    value.parse().map(Duration::from_millis).map_err(|_| "a whole number of milliseconds")
}

fn idle(value: &str) -> Result<Option<Duration>, &'static str> {
    if value == "-1" {
        return Ok(None);
    }
    millis(value).map(Some).map_err(|_| "-1, or a whole number of milliseconds")
}

/// Accepts the short names, and the Java class names that people paste.
fn assignment(value: &str) -> Result<AssignmentStrategy, &'static str> {
    match value {
        "range" | "org.apache.kafka.clients.consumer.RangeAssignor" => Ok(AssignmentStrategy::Range),
        "roundrobin" | "org.apache.kafka.clients.consumer.RoundRobinAssignor" => Ok(AssignmentStrategy::RoundRobin),
        _ => Err("`range` or `roundrobin`"),
    }
}

fn compression(value: &str) -> Result<CompressionType, &'static str> {
    CompressionType::from_name(value).ok_or("`none`, `gzip`, `snappy`, `lz4` or `zstd`")
}

fn offset_reset(value: &str) -> Result<ResetPolicy, &'static str> {
    let mut consumer = Properties::new();
    let set = consumer.set("auto.offset.reset", value).and_then(|()| consumer.consumer());
    let expected = "`earliest`, `latest`, `none` or `by_duration:` and a duration such as `PT1H`";
    set.map(|consumer| consumer.reset).map_err(|_| expected)
}

fn missing_topic(value: &str) -> Result<MissingTopic, &'static str> {
    match value {
        "warn" => Ok(MissingTopic::Warn),
        "fail" => Ok(MissingTopic::Fail),
        _ => Err("`warn` or `fail`"),
    }
}

fn foreign_offsets(value: &str) -> Result<ForeignOffsets, &'static str> {
    match value {
        "refuse" => Ok(ForeignOffsets::Refuse),
        "accept" => Ok(ForeignOffsets::Accept),
        _ => Err("`refuse` or `accept`"),
    }
}

/// Accepts the words, and the classes of Kafka Streams that people paste.
fn handler(value: &str) -> Result<ErrorPolicy, &'static str> {
    match value.rsplit('.').next().unwrap_or_default() {
        "continue" | "LogAndContinueExceptionHandler" | "LogAndContinueProcessingExceptionHandler" => {
            Ok(ErrorPolicy::Skip)
        }
        "fail"
        | "LogAndFailExceptionHandler"
        | "LogAndFailProcessingExceptionHandler"
        | "DefaultProductionExceptionHandler" => Ok(ErrorPolicy::Fail),
        _ => Err("`continue` or `fail`"),
    }
}

fn timestamp_policy(value: &str) -> Result<ErrorPolicy, &'static str> {
    match value {
        "skip" => Ok(ErrorPolicy::Skip),
        "fail" => Ok(ErrorPolicy::Fail),
        _ => Err("`skip` or `fail`"),
    }
}
