//! Why a job cannot start or go on.

use std::fmt;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::Offset;

use super::config::ConfigError;
use crate::error::ProcessError;
use crate::topology::NotCopartitioned;
use crate::worker::Fatal;

/// Why a job cannot start or go on. What passes by itself (a broker that restarts, a lost answer) is not here: a worker
/// starts over then, and counts it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A setting that cannot work.
    Config(ConfigError),
    /// No cluster at the bootstrap addresses, or one that cannot be spoken to; the text says what was tried.
    Connect(String),
    /// The brokers lack a version of an API that exactly-once cannot do without.
    BrokersTooOld {
        /// Kafka's name of the API.
        api: &'static str,
        /// The newest version that they speak; `None` when they do not serve the API.
        offered: Option<i16>,
        /// The version that is needed.
        needed: i16,
        /// The first release of Apache Kafka that has it.
        since: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// A topic that the job reads or writes does not exist; the job creates none but its own.
    TopicMissing {
        /// The topic.
        topic: String,
        /// The addresses it was looked for at.
        bootstrap_servers: String,
    },
    /// A topic of the job's own has another number of partitions than the topology says.
    PartitionsDiffer {
        /// The topic.
        topic: String,
        /// What it has.
        found: usize,
        /// What the topology says.
        expected: usize,
    },
    /// Topics that reach one step with state have different numbers of partitions.
    NotCopartitioned(NotCopartitioned),
    /// A topic of the job's own could not be created.
    CreateTopic {
        /// The topic.
        topic: String,
        /// The cluster's answer.
        cause: String,
    },
    /// A record that the topology cannot process.
    Process(ProcessError),
    /// The bytes of a partition are corrupt; nothing was skipped.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// First offset that cannot be read.
        offset: Offset,
        /// What is wrong there.
        cause: String,
    },
    /// The cluster refuses the job for a reason that trying again does not mend.
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
            Self::PartitionsDiffer { topic, found, expected } => write!(
                f,
                "topic `{topic}` has {found} partitions and the program says {expected}: state lives per partition, so let the \
                 program say {found} again, or take another application id"
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
