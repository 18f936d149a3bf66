//! The reasons why a job cannot start or go on.

use std::fmt;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

use super::config::ConfigError;
use crate::error::ProcessError;
use crate::topology::NotCopartitioned;
use crate::worker::Fatal;

/// The reason why a job cannot start or go on. Temporary failures (a broker that restarts, a lost answer) are not among
/// them: a worker starts over then, and counts it.
#[derive(Clone)]
#[non_exhaustive]
pub enum RunError {
    /// A setting cannot work.
    Config(ConfigError),
    /// There is no cluster at the bootstrap addresses, or no connection to it; the text lists the attempts.
    Connect(String),
    /// The brokers lack a version of an API that exactly-once needs.
    BrokersTooOld {
        /// Kafka's name of the API.
        api: &'static str,
        /// The newest version that they have; `None` if they do not serve the API.
        offered: Option<i16>,
        /// The version that is needed.
        needed: i16,
        /// The first release of Apache Kafka that has it.
        since: &'static str,
        /// The purpose of that version.
        why: &'static str,
    },
    /// A topic that the job reads or writes does not exist; the job only creates its own topics.
    TopicMissing {
        /// The topic.
        topic: String,
        /// The bootstrap addresses of the cluster.
        bootstrap_servers: String,
    },
    /// No topic matches a pattern whose records reach steps with state without a shuffle: the number of partitions of
    /// that state is not known.
    NoTopicMatches {
        /// The pattern, between slashes.
        pattern: String,
    },
    /// A topic of the job's own does not have the number of partitions in the topology.
    PartitionsDiffer {
        /// The topic.
        topic: String,
        /// Number of its partitions.
        found: usize,
        /// Number in the topology.
        expected: usize,
    },
    /// A topic that is the changelog of a table is not compacted: old rows would be lost with it.
    NotCompacted {
        /// The topic.
        topic: String,
        /// Its `cleanup.policy`.
        policy: String,
    },
    /// Topics that reach one step with state have different numbers of partitions.
    NotCopartitioned(NotCopartitioned),
    /// A topic of the job's own could not be created.
    CreateTopic {
        /// The topic.
        topic: String,
        /// The error of the cluster.
        cause: String,
    },
    /// The topology cannot process a record.
    Process(ProcessError),
    /// The bytes of a partition are corrupt; no record was skipped.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// First offset that cannot be read.
        offset: Offset,
        /// The error at that offset.
        cause: String,
    },
    /// The cluster refuses the job for a reason that a retry does not change.
    Refused(String),
    /// A worker thread could not be started, or panicked.
    Worker(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(cause) => cause.fmt(f),
            Self::Connect(cause) | Self::Refused(cause) | Self::Worker(cause) => f.write_str(cause),
            Self::BrokersTooOld { api, offered, needed, since, why } => {
                match offered {
                    Some(offered) => write!(f, "the brokers speak {api} only up to v{offered}")?,
                    None => write!(f, "the brokers serve no {api}")?,
                }
                write!(
                    f,
                    ", and exactly-once needs v{needed} ({why}), which Kafka has since {since}: upgrade the brokers"
                )
            }
            Self::TopicMissing { topic, bootstrap_servers } => write!(
                f,
                "topic `{topic}` does not exist at {bootstrap_servers}; create it, for example with\n  \
                 kafka-topics.sh --bootstrap-server {bootstrap_servers} --create --topic {topic} --partitions 6"
            ),
            Self::NoTopicMatches { pattern } => write!(
                f,
                "no topic matches {pattern}, and the state behind it needs as many partitions as they have: create the first \
                 topic, or put a key_by before the state"
            ),
            Self::PartitionsDiffer { topic, found, expected } => write!(
                f,
                "topic `{topic}` has {found} partitions and the program says {expected}: state lives per partition, so let the \
                 program say {found} again, or take another application id"
            ),
            Self::NotCompacted { topic, policy } => write!(
                f,
                "topic `{topic}` is the changelog of a compacted_table, and its cleanup.policy is `{policy}`: old rows would be \
                 lost; set it to compact, or let the job keep the rows itself (table)"
            ),
            Self::NotCopartitioned(cause) => cause.fmt(f),
            Self::CreateTopic { topic, cause } => write!(f, "topic `{topic}` cannot be created: {cause}"),
            Self::Process(cause) => cause.fmt(f),
            Self::Corrupt { partition, offset, cause } => write!(
                f,
                "topic {}, partition {}, offset {offset}: {cause}; nothing was skipped",
                partition.topic, partition.partition
            ),
        }
    }
}

debug_as_text!(RunError);

impl std::error::Error for RunError {}

impl From<ConfigError> for RunError {
    fn from(cause: ConfigError) -> Self {
        Self::Config(cause)
    }
}

impl From<NotCopartitioned> for RunError {
    fn from(cause: NotCopartitioned) -> Self {
        Self::NotCopartitioned(cause)
    }
}

impl From<Fatal> for RunError {
    fn from(cause: Fatal) -> Self {
        match cause {
            Fatal::Process(cause) => Self::Process(cause),
            Fatal::NotCopartitioned(cause) => Self::NotCopartitioned(cause),
            Fatal::Corrupt { partition, offset, cause } => Self::Corrupt { partition, offset, cause },
            cause => Self::Refused(cause.to_string()),
        }
    }
}

impl From<ProcessError> for RunError {
    fn from(cause: ProcessError) -> Self {
        Self::Process(cause)
    }
}
