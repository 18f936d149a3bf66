//! Requests and results of the administration: topics, settings, groups, users, transactions.
//!
//! The operations themselves are methods of `client::Client`, and of `blocking::Admin` without async. They take and
//! return the types here: [`NewTopic`], [`ConfigChange`], [`GroupListing`] and so on. What was asked for several items
//! comes back as [`Outcomes`], one for each item, with an [`ItemError`] for what was refused.
//!
//! The functions are pairs for each operation, which make the request and read the response; the client chooses the
//! broker and retries.

pub mod abort_transaction;
pub mod acls;
pub mod alter_configs;
pub mod alter_scram_users;
pub mod alter_share_group_offsets;
pub mod client_quotas;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_group_offsets;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_share_group_offsets;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_consumer_groups;
pub mod describe_groups;
pub mod describe_producers;
pub mod describe_scram_users;
pub mod describe_share_groups;
pub mod describe_streams_groups;
pub mod describe_topics;
pub mod describe_transactions;
pub mod elect_leaders;
pub mod features;
pub mod hanging;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_share_group_offsets;
pub mod list_transactions;
pub mod log_dirs;
pub mod quorum;
pub mod reassignments;
pub mod remove_group_members;
pub mod resource;

use std::collections::BTreeMap;
use std::fmt;

pub use abort_transaction::TransactionToAbort;
pub use acls::{Acl, AclFilter, AclOperation, AclPattern, AclPermission, AclResource};
pub use alter_configs::ConfigChange;
pub use alter_scram_users::ScramChange;
pub use client_quotas::{EntityQuotas, QuotaChange, QuotaEntity, QuotaFilter, QuotaKind, QuotaMatch};
pub use describe_cluster::{BrokerDescription, ClusterDescription};
pub use describe_configs::{ConfigEntry, ConfigSource};
pub use describe_consumer_groups::{ConsumerGroupDescription, ConsumerMemberDescription};
pub use describe_groups::{GroupDescription, MemberDescription};
pub use describe_producers::ActiveProducer;
pub use describe_scram_users::ScramUser;
pub use describe_share_groups::{ShareGroupDescription, ShareMemberDescription};
pub use describe_streams_groups::{
    StreamsGroupDescription, StreamsMemberDescription, StreamsSubtopology, StreamsTasks,
};
pub use describe_topics::{PartitionDescription, TopicDescription, TopicListing};
pub use describe_transactions::TransactionDescription;
pub use elect_leaders::ElectionType;
pub use features::{FeatureLevels, FeatureUpdate, Features, UpgradeType};
pub use hanging::OpenTransaction;
pub use list_config_resources::ConfigResourceKind;
pub use list_groups::{GroupFilter, GroupListing};
pub use list_share_group_offsets::{ShareOffset, ShareOffsets};
pub use list_transactions::{TransactionFilter, TransactionListing};
pub use log_dirs::{LogDir, LogDirReplica, ReplicaLogDirs};
pub use quorum::{QuorumDescription, QuorumReplica, Voter, VoterEndpoint};
pub use reassignments::{OngoingReassignment, Reassignment};
pub use resource::ConfigResource;

pub use crate::cluster::OffsetSpec;
use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Offset, PartitionId, TimestampMs};
use crate::wire::Str;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name: up to 249 letters, digits, `.`, `_` and `-`.
    pub name: Str,
    /// Partitions; -1 for the broker's `num.partitions`.
    pub partitions: i32,
    /// Copies of each partition; -1 for the broker's `default.replication.factor`.
    pub replication_factor: i16,
    /// Topic configuration that differs from the broker's, such as `cleanup.policy` = `compact`.
    pub configs: Vec<(Str, Str)>,
    /// The brokers that hold each partition, in the order of the partitions, the preferred leader first. Empty to leave
    /// the choice to the cluster; otherwise `partitions` and `replication_factor` follow from it and are ignored.
    pub assignments: Vec<Vec<BrokerId>>,
}

/// Partitions to add to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// Name of the topic.
    pub topic: Str,
    /// The number of partitions that it has then.
    pub total: i32,
    /// The brokers that hold each of the new partitions, in order, the preferred leader first. Empty to leave the
    /// choice to the cluster.
    pub assignments: Vec<Vec<BrokerId>>,
}

impl NewTopic {
    /// A topic with `partitions` partitions, and the broker's defaults for the rest.
    #[must_use]
    pub fn new(name: impl Into<Str>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: -1, configs: Vec::new(), assignments: Vec::new() }
    }
}

/// The reason why an operation on one item failed: a topic, a group, a resource, a user.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemError {
    /// The broker's code.
    pub code: ErrorCode,
    /// The broker's words, if it has any.
    pub message: Option<Str>,
}

/// The reason why an operation on one topic failed.
pub type TopicError = ItemError;

impl ItemError {
    /// Returns whether the same operation on the item may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        self.code.is_retriable()
    }

    /// Returns `Ok` for the code of success.
    pub(crate) fn check(code: i16, message: Option<Str>) -> Result<(), Self> {
        let code = ErrorCode(code);
        if code.is_none() { Ok(()) } else { Err(Self { code, message }) }
    }

    /// The error for an item that the response leaves out.
    pub(crate) const fn missing() -> Self {
        Self { code: ErrorCode::UNKNOWN_SERVER_ERROR, message: None }
    }
}

/// The outcomes of an operation for its items, in the order in which they were asked for.
pub type Outcomes<K, T = ()> = Vec<(K, Result<T, ItemError>)>;

/// A mechanism of SCRAM for which users have credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramMechanism {
    const fn number(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    const fn from_number(number: i8) -> Option<Self> {
        match number {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// The outcome of an operation, topic by topic, in the order of the request.
pub type TopicOutcomes = Vec<(Str, Result<(), TopicError>)>;

/// The result for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset; `None` if no record has the requested timestamp or a later one.
    pub offset: Option<Offset>,
    /// Timestamp of the record found; -1 if the query was not for a timestamp.
    pub timestamp: TimestampMs,
    /// Epoch of the leader that wrote it; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
}

/// Sorts outcomes into the order of the request. An item that the response leaves out counts as an unknown error; one
/// that was asked for twice has its outcome twice.
pub(crate) fn outcomes_by<K: Clone, N: Ord, T: Clone>(
    asked: &[K],
    name: impl Fn(&K) -> N,
    answers: impl Iterator<Item = (N, Result<T, ItemError>)>,
) -> Outcomes<K, T> {
    let answers: BTreeMap<_, _> = answers.collect();
    let outcome =
        |key: &K| (key.clone(), answers.get(&name(key)).cloned().unwrap_or_else(|| Err(ItemError::missing())));
    asked.iter().map(outcome).collect()
}

/// Sorts the answers into the order of the questions. A topic that the response leaves out counts as an unknown
/// error.
fn outcomes(names: &[Str], answers: Vec<(Str, TopicError)>) -> TopicOutcomes {
    let mut answers: BTreeMap<_, _> = answers.into_iter().collect();
    let missing = TopicError { code: ErrorCode::UNKNOWN_SERVER_ERROR, message: None };
    let outcome = |name: &Str| {
        let error = answers.remove(name).unwrap_or_else(|| missing.clone());
        (name.clone(), if error.code.is_none() { Ok(()) } else { Err(error) })
    };
    names.iter().map(outcome).collect()
}

/// The partitions of topics, as a broker lists them by topic, sorted.
fn sorted_partitions(topics: impl Iterator<Item = (Str, Vec<i32>)>) -> Vec<TopicPartition> {
    let of_topic = |(name, indexes): (Str, Vec<i32>)| {
        indexes.into_iter().map(move |index| TopicPartition::new(name.clone(), PartitionId(index)))
    };
    let mut partitions: Vec<_> = topics.flat_map(of_topic).collect();
    partitions.sort();
    partitions
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code.name()),
            None => self.code.fmt(f),
        }
    }
}

debug_as_text!(ItemError);

impl std::error::Error for ItemError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.code)
    }
}
