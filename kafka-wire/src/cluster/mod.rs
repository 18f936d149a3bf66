//! The known state of a cluster: brokers, topics and leaders.
//!
//! A [`Cluster`] is plain data. Metadata responses are merged into it by rules that never go back in time (`merge`);
//! the owner refreshes it when something is missing or turned out to be wrong.

mod committed;
mod merge;
mod missing;
mod offset_spec;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use committed::{CommittedOffset, GroupMetadata};
pub use missing::MissingTopics;
pub(crate) use missing::UNKNOWN_TOPIC_PATIENCE;
pub use offset_spec::OffsetSpec;
pub use progress::Progress;

use crate::protocol::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, PartitionId};
use crate::wire::{Str, Uuid};

/// A snapshot of the cluster's metadata. Cheap to clone: topics are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    cluster_id: Option<Str>,
    controller: Option<BrokerId>,
    brokers: BTreeMap<BrokerId, Broker>,
    topics: BTreeMap<Str, Arc<Topic>>,
    names_by_id: BTreeMap<Uuid, Str>,
}

/// A broker and the address that it advertises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// `node.id`.
    pub id: BrokerId,
    /// Host from the broker's `advertised.listeners`: a name or an IP address.
    pub host: Str,
    /// Port from `advertised.listeners`.
    pub port: u16,
    /// `broker.rack`.
    pub rack: Option<Str>,
}

/// A topic, as the cluster last described it.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: Str,
    /// Its id; all zero if the brokers have none (before Kafka 2.8). A topic created again under the same name
    /// has another.
    pub id: Uuid,
    /// Its partitions, sorted by id; without gaps unless the cluster left some out.
    pub partitions: Vec<Partition>,
    /// The error for which the cluster could not describe it; otherwise [`ErrorCode::NONE`].
    pub error: ErrorCode,
    /// Whether it is one of Kafka's own, such as `__consumer_offsets`.
    pub is_internal: bool,
}

/// A partition and its leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its index in the topic.
    pub id: PartitionId,
    /// The broker that leads it; `None` while there is none.
    pub leader: Option<BrokerId>,
    /// Leader epoch, which counts the leaders; -1 if the brokers do not report it (before Kafka 2.1). Source: KIP-320.
    pub leader_epoch: LeaderEpoch,
    /// The brokers that have a replica, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The error for which there is no leader; otherwise [`ErrorCode::NONE`].
    pub error: ErrorCode,
}

/// A leader that a broker named when it refused a request for not being it, which spares the look-up. Source: KIP-951.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The partition.
    pub partition: TopicPartition,
    /// Its leader.
    pub leader: BrokerId,
    /// The epoch of that leader.
    pub epoch: LeaderEpoch,
}

/// One partition of one topic, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Name of the topic.
    pub topic: Str,
    /// Index of the partition.
    pub partition: PartitionId,
}

/// The kinds of coordinators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoordinatorKind {
    /// Consumer groups, by group id.
    Group,
    /// Transactions, by transactional id.
    Transaction,
}

impl Cluster {
    /// Id of the cluster; `None` before the first response, or if the brokers do not report it (before Kafka 0.10.1).
    #[must_use]
    pub const fn cluster_id(&self) -> Option<&Str> {
        self.cluster_id.as_ref()
    }

    /// The broker for requests to the controller. With KRaft any broker will do, and this is one of them.
    #[must_use]
    pub const fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// The live brokers in the order of their ids.
    pub fn brokers(&self) -> impl ExactSizeIterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The broker of this id; `None` if the last response did not list it.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// The known topics in the order of their names: those that were requested.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = &Topic> {
        self.topics.values().map(|topic| &**topic)
    }

    /// The topic of this name; `None` if it was never requested. Look at its `error`: a missing topic
    /// is known as missing.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name).map(|topic| &**topic)
    }

    /// As [`Cluster::topic`], but shared, so that it can be kept.
    #[must_use]
    pub fn shared_topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.get(name).map(Arc::clone)
    }

    /// The topic that has this id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Topic> {
        self.topic(self.names_by_id.get(&id)?)
    }

    /// The racks of the brokers that have a replica of the partition, each once.
    #[must_use]
    pub fn racks(&self, partition: &Partition) -> Vec<Str> {
        let racks = partition.replicas.iter().filter_map(|id| self.broker(*id)?.rack.clone());
        racks.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The leader of a partition and its epoch; `None` if there is no leader or nothing is known.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: PartitionId) -> Option<(BrokerId, LeaderEpoch)> {
        let partition = self.topic(topic)?.partition(partition)?;
        Some((partition.leader?, partition.leader_epoch))
    }
}

impl Topic {
    /// The partition with this index.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        let index = self.partitions.binary_search_by_key(&id, |partition| partition.id).ok()?;
        self.partitions.get(index)
    }
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<Str>, partition: PartitionId) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Display for CoordinatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "group",
            Self::Transaction => "transaction",
        })
    }
}

#[cfg(test)]
mod tests;
