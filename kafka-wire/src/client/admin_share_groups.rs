//! Administration of share groups and streams groups: each request goes to the coordinator of the group.

use super::admin_groups::{GROUP, first};
use super::at_controller::Repetition;
use super::{Client, CoordinatorError};
use crate::admin::list_share_group_offsets::ShareOffsets;
use crate::admin::{
    ItemError, Outcomes, ShareGroupDescription, StreamsGroupDescription, alter_share_group_offsets,
    delete_share_group_offsets, describe_share_groups, describe_streams_groups, list_share_group_offsets,
};
use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::types::Offset;
use crate::wire::Str;

impl Client {
    /// Returns share groups (KIP-932) and their members, in the order of `group_ids`.
    ///
    /// [`Client::list_groups`] lists them under the type `share`, and [`Client::delete_groups`] deletes them. A group
    /// that does not exist, or is of another type, is an outcome of `GROUP_ID_NOT_FOUND`. Cancel safe.
    ///
    /// # Errors
    /// If a coordinator does not answer, is not found, or is of Kafka 4.0 or older.
    pub async fn describe_share_groups(
        &self,
        group_ids: &[Str],
    ) -> Result<Outcomes<Str, ShareGroupDescription>, CoordinatorError> {
        type Groups = crate::protocol::share_group_describe::ShareGroupDescribeResponse;

        let mut found = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let ask = || describe_share_groups::request(group_id);
            let code = |response: &_| first(response, |response: &Groups| &response.groups, |group| group.error_code);
            let response = self.at_coordinator(GROUP, group_id, Repetition::Harmless, ask, code).await?;
            found.push((group_id.clone(), describe_share_groups::read(response)));
        }
        Ok(found)
    }

    /// Returns how far a share group has come in these partitions, or in all that it has read.
    ///
    /// # Errors
    /// If the coordinator does not answer, or is not found; the inner error is the coordinator's for the whole group.
    pub async fn list_share_group_offsets(
        &self,
        group_id: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Result<ShareOffsets, ItemError>, CoordinatorError> {
        type Groups = crate::protocol::describe_share_group_offsets::DescribeShareGroupOffsetsResponse;

        let group_id = Str::from(group_id);
        let ask = || list_share_group_offsets::request(&group_id, partitions);
        let code = |response: &_| first(response, |response: &Groups| &response.groups, |group| group.error_code);
        Ok(list_share_group_offsets::read(
            self.at_coordinator(GROUP, &group_id, Repetition::Harmless, ask, code).await?,
        ))
    }

    /// Sets where a share group without members goes on (inclusive). Returns the outcome of each partition, in the
    /// order of `offsets`.
    ///
    /// # Errors
    /// If the coordinator does not answer, or is not found; the inner error is the coordinator's for the whole group:
    /// `NON_EMPTY_GROUP` while it has members.
    pub async fn alter_share_group_offsets(
        &self,
        group_id: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<Result<Outcomes<TopicPartition>, ItemError>, CoordinatorError> {
        let group_id = Str::from(group_id);
        let ask = || alter_share_group_offsets::request(&group_id, offsets);
        let response = self
            .at_coordinator(GROUP, &group_id, Repetition::Visible, ask, |response| ErrorCode(response.error_code))
            .await?;
        Ok(alter_share_group_offsets::read(offsets, response))
    }

    /// Lets a share group without members forget what it has read of topics. Returns the outcome of each, in the order
    /// of `topics`.
    ///
    /// # Errors
    /// As for [`Client::alter_share_group_offsets`].
    pub async fn delete_share_group_offsets(
        &self,
        group_id: &str,
        topics: &[Str],
    ) -> Result<Result<Outcomes<Str>, ItemError>, CoordinatorError> {
        let group_id = Str::from(group_id);
        let ask = || delete_share_group_offsets::request(&group_id, topics);
        let response = self
            .at_coordinator(GROUP, &group_id, Repetition::Visible, ask, |response| ErrorCode(response.error_code))
            .await?;
        Ok(delete_share_group_offsets::read(topics, response))
    }

    /// Returns streams groups (KIP-1071) with their topologies and members, in the order of `group_ids`.
    ///
    /// Their offsets are those of any group: [`fetch_offsets`](super::fetch_offsets),
    /// [`commit_offsets`](super::commit_offsets) and [`Client::delete_group_offsets`]; [`Client::list_groups`] lists
    /// them under the type `streams`, and [`Client::delete_groups`] deletes them. A group that does not exist, or is of
    /// another type, is an outcome of `GROUP_ID_NOT_FOUND`. Cancel safe.
    ///
    /// # Errors
    /// If a coordinator does not answer, is not found, or is of Kafka 4.0 or older.
    pub async fn describe_streams_groups(
        &self,
        group_ids: &[Str],
    ) -> Result<Outcomes<Str, StreamsGroupDescription>, CoordinatorError> {
        type Groups = crate::protocol::streams_group_describe::StreamsGroupDescribeResponse;

        let mut found = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let ask = || describe_streams_groups::request(group_id);
            let code = |response: &_| first(response, |response: &Groups| &response.groups, |group| group.error_code);
            let response = self.at_coordinator(GROUP, group_id, Repetition::Harmless, ask, code).await?;
            found.push((group_id.clone(), describe_streams_groups::read(response)));
        }
        Ok(found)
    }
}
