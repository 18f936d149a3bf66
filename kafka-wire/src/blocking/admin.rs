//! Administration whose calls block.

use std::sync::Arc;
use std::time::Duration;

use super::Client;
#[cfg(feature = "sasl")]
use crate::admin::ScramMechanism;
use crate::admin::{
    Acl, AclFilter, ActiveProducer, ClusterDescription, ConfigChange, ConfigEntry, ConfigResource, ConfigResourceKind,
    ConsumerGroupDescription, ElectionType, EntityQuotas, FeatureUpdate, Features, GroupDescription, GroupFilter,
    GroupListing, ItemError, ListedOffset, LogDir, NewPartitions, NewTopic, OffsetSpec, OngoingReassignment,
    OpenTransaction, Outcomes, QuorumDescription, QuotaChange, QuotaEntity, QuotaFilter, Reassignment, ReplicaLogDirs,
    ScramChange, ScramUser, ShareGroupDescription, ShareOffsets, StreamsGroupDescription, TopicDescription,
    TopicListing, TopicOutcomes, TransactionDescription, TransactionFilter, TransactionListing, TransactionToAbort,
    Voter, VoterEndpoint,
};
use crate::client::{self, AdminError, CoordinatorError, MetadataError, OffsetsError, RequestError};
use crate::cluster::{Cluster, CommittedOffset, CoordinatorKind, GroupMetadata, Topic, TopicPartition};
use crate::producer::OpenError;
use crate::types::{BrokerId, IsolationLevel, LeaderEpoch, Offset, PartitionId};
use crate::wire::{Str, Uuid};

/// The administration of a cluster: each method is that of [`client::Client`] with the same name, or the function of
/// [`client`](crate::client), and blocks. It panics if async code calls it.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

type AdminResult<T> = Result<T, AdminError>;
type RefusableResult<T> = Result<Result<T, ItemError>, RequestError>;
type PerBroker<T> = Vec<(BrokerId, Result<T, AdminError>)>;

/// Makes a method of each signature that waits for the async one.
macro_rules! blocking {
    ($($(#[$attribute:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {
        impl Admin {
            $(
                #[doc = concat!(
                    "See [`Client::", stringify!($name), "`](crate::client::Client::", stringify!($name), ")."
                )]
                ///
                /// # Errors
                /// As there.
                $(#[$attribute])*
                #[track_caller]
                pub fn $name(&self, $($argument: $type),*) -> $result {
                    self.client.block_on(self.client.get().$name($($argument),*))
                }
            )+
        }
    };
}

blocking! {
    fn create_topics(topics: &[NewTopic]) -> Result<TopicOutcomes, RequestError>;
    fn validate_topics(topics: &[NewTopic]) -> Result<TopicOutcomes, RequestError>;
    fn delete_topics(names: &[Str]) -> Result<TopicOutcomes, RequestError>;
    fn delete_topics_by_id(ids: &[Uuid]) -> Result<Outcomes<Uuid>, RequestError>;
    fn metadata(topics: &[Str]) -> Result<Arc<Cluster>, RequestError>;
    fn topic(name: &str) -> Result<Arc<Topic>, MetadataError>;
    fn leader(topic: &str, partition: PartitionId) -> Result<(BrokerId, LeaderEpoch), MetadataError>;
    fn coordinator(kind: CoordinatorKind, key: &str) -> Result<BrokerId, CoordinatorError>;
    fn user_topics() -> Result<Vec<Str>, RequestError>;
    fn list_topics() -> AdminResult<Vec<TopicListing>>;
    fn describe_topics(names: &[Str]) -> AdminResult<Outcomes<Str, TopicDescription>>;
    fn describe_topics_by_id(ids: &[Uuid]) -> AdminResult<Outcomes<Uuid, TopicDescription>>;
    fn create_partitions(topics: &[(Str, i32)]) -> Result<Outcomes<Str>, RequestError>;
    fn create_assigned_partitions(new: &[NewPartitions]) -> Result<Outcomes<Str>, RequestError>;
    fn validate_partitions(new: &[NewPartitions]) -> Result<Outcomes<Str>, RequestError>;
    fn list_offsets(
        partitions: &[(TopicPartition, OffsetSpec)], isolation: IsolationLevel
    ) -> Result<Vec<ListedOffset>, MetadataError>;
    fn delete_records(partitions: &[(TopicPartition, Offset)]) -> Result<Vec<Offset>, MetadataError>;

    fn describe_cluster() -> AdminResult<ClusterDescription>;
    fn unregister_broker(broker: BrokerId) -> AdminResult<()>;
    fn describe_features() -> AdminResult<Features>;
    fn update_features(updates: &[FeatureUpdate]) -> AdminResult<Outcomes<Str>>;
    fn validate_features(updates: &[FeatureUpdate]) -> AdminResult<Outcomes<Str>>;
    fn describe_quorum() -> AdminResult<QuorumDescription>;
    fn add_voter(voter: Voter, endpoints: &[VoterEndpoint]) -> AdminResult<()>;
    fn remove_voter(voter: Voter) -> AdminResult<()>;

    fn describe_client_quotas(filter: &QuotaFilter) -> AdminResult<Vec<EntityQuotas>>;
    fn alter_client_quotas(changes: &[(QuotaEntity, Vec<QuotaChange>)]) -> AdminResult<Outcomes<QuotaEntity>>;
    fn list_config_resources(kinds: &[ConfigResourceKind]) -> AdminResult<Vec<ConfigResource>>;
    fn describe_configs(
        resources: &[ConfigResource]
    ) -> Result<Outcomes<ConfigResource, Vec<ConfigEntry>>, RequestError>;
    fn alter_configs(
        changes: &[(ConfigResource, Vec<ConfigChange>)]
    ) -> Result<Outcomes<ConfigResource>, RequestError>;

    fn describe_acls(filter: &AclFilter) -> RefusableResult<Vec<Acl>>;
    fn create_acls(acls: &[Acl]) -> Result<Outcomes<Acl>, RequestError>;
    fn delete_acls(filter: &AclFilter) -> RefusableResult<Outcomes<Acl>>;
    fn describe_scram_users(users: &[Str]) -> RefusableResult<Vec<ScramUser>>;
    fn alter_scram_users(changes: &[ScramChange]) -> Result<Outcomes<Str>, RequestError>;
    #[cfg(feature = "sasl")]
    fn set_scram_password(user: &str, mechanism: ScramMechanism, password: &str) -> RefusableResult<()>;

    fn alter_partition_reassignments(moves: &[(TopicPartition, Reassignment)]) -> AdminResult<Outcomes<TopicPartition>>;
    fn list_partition_reassignments(partitions: &[TopicPartition]) -> AdminResult<Vec<OngoingReassignment>>;
    fn elect_leaders(
        election: ElectionType, partitions: Option<&[TopicPartition]>
    ) -> AdminResult<Outcomes<TopicPartition>>;
    fn describe_log_dirs(brokers: &[BrokerId]) -> PerBroker<Vec<LogDir>>;
    fn describe_replica_log_dirs(
        replicas: &[(BrokerId, TopicPartition)]
    ) -> Vec<((BrokerId, TopicPartition), Result<ReplicaLogDirs, AdminError>)>;
    fn alter_replica_log_dirs(
        moves: &[(BrokerId, TopicPartition, Str)]
    ) -> Vec<((BrokerId, TopicPartition), Result<(), AdminError>)>;

    fn list_groups(filter: &GroupFilter) -> Result<Vec<GroupListing>, CoordinatorError>;
    fn describe_groups(group_ids: &[Str]) -> Result<Outcomes<Str, GroupDescription>, CoordinatorError>;
    fn describe_consumer_groups(
        group_ids: &[Str]
    ) -> Result<Outcomes<Str, ConsumerGroupDescription>, CoordinatorError>;
    fn describe_share_groups(group_ids: &[Str]) -> Result<Outcomes<Str, ShareGroupDescription>, CoordinatorError>;
    fn list_share_group_offsets(
        group_id: &str, partitions: Option<&[TopicPartition]>
    ) -> Result<Result<ShareOffsets, ItemError>, CoordinatorError>;
    fn alter_share_group_offsets(
        group_id: &str, offsets: &[(TopicPartition, Offset)]
    ) -> Result<Result<Outcomes<TopicPartition>, ItemError>, CoordinatorError>;
    fn delete_share_group_offsets(
        group_id: &str, topics: &[Str]
    ) -> Result<Result<Outcomes<Str>, ItemError>, CoordinatorError>;
    fn describe_streams_groups(group_ids: &[Str]) -> Result<Outcomes<Str, StreamsGroupDescription>, CoordinatorError>;
    fn delete_groups(group_ids: &[Str]) -> Result<Outcomes<Str>, CoordinatorError>;
    fn delete_group_offsets(
        group_id: &str, partitions: &[TopicPartition]
    ) -> Result<Result<Outcomes<TopicPartition>, ItemError>, CoordinatorError>;
    fn remove_group_members(
        group_id: &str, instance_ids: &[Str], reason: &str
    ) -> Result<Result<Outcomes<Str>, ItemError>, CoordinatorError>;

    fn describe_producers(
        partitions: &[TopicPartition]
    ) -> Vec<(TopicPartition, Result<Vec<ActiveProducer>, MetadataError>)>;
    fn list_transactions(filter: &TransactionFilter) -> Result<Vec<TransactionListing>, CoordinatorError>;
    fn describe_transactions(
        transactional_ids: &[Str]
    ) -> Result<Outcomes<Str, TransactionDescription>, CoordinatorError>;
    fn find_hanging_transactions(
        partitions: &[TopicPartition], max_transaction_timeout: Duration
    ) -> AdminResult<Vec<OpenTransaction>>;
    fn abort_transaction(transaction: &TransactionToAbort) -> AdminResult<()>;
}

/// The offsets that groups have committed, and fencing: functions of [`client`](crate::client) there.
impl Admin {
    /// See [`client::fetch_offsets`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn fetch_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
        self.client.block_on(client::fetch_offsets(self.client.get(), group_id, partitions))
    }

    /// See [`client::fetch_unstable_offsets`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn fetch_unstable_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
        self.client.block_on(client::fetch_unstable_offsets(self.client.get(), group_id, partitions))
    }

    /// See [`client::fetch_all_offsets`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn fetch_all_offsets(&self, group_id: &str) -> Result<Vec<(TopicPartition, CommittedOffset)>, OffsetsError> {
        self.client.block_on(client::fetch_all_offsets(self.client.get(), group_id))
    }

    /// See [`client::commit_offsets`]. For a group without members, `group` is
    /// [`GroupMetadata::without_membership`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn commit_offsets(
        &self,
        group: &GroupMetadata,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Result<(), OffsetsError> {
        self.client.block_on(client::commit_offsets(self.client.get(), group, offsets))
    }

    /// See [`client::fence`].
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn fence(&self, transactional_id: &str) -> Result<(), OpenError> {
        self.client.block_on(client::fence(self.client.get(), transactional_id))
    }

    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }
}
