//! Administration of groups: each request goes to the coordinator, and is repeated if that has moved.

use super::at_controller::Repetition;
use super::{CallOptions, Client, CoordinatorError, Lane, Node};
use crate::admin::{ConsumerGroupDescription, GroupDescription, GroupFilter, GroupListing, ItemError, Outcomes};
use crate::admin::{
    delete_group_offsets, delete_groups, describe_consumer_groups, describe_groups, list_groups, remove_group_members,
};
use crate::cluster::{CoordinatorKind, TopicPartition};
use crate::protocol::{ErrorCode, Request};
use crate::wire::Str;

impl Client {
    /// Returns the groups of the cluster that match a filter, in the order of their ids.
    ///
    /// Every broker is asked for the groups that it coordinates. Cancel safe.
    ///
    /// ```no_run
    /// use kafka_wire::admin::GroupFilter;
    ///
    /// # async fn run(client: kafka_wire::client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let filter = GroupFilter { states: vec!["Empty".into()], ..GroupFilter::default() };
    /// for group in client.list_groups(&filter).await? {
    ///     println!("{} has no members", group.group_id);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a broker does not answer or refuses, since some groups would be missing then.
    pub async fn list_groups(&self, filter: &GroupFilter) -> Result<Vec<GroupListing>, CoordinatorError> {
        let cluster = self.metadata(&[]).await?;
        let mut found = Vec::new();
        for broker in cluster.brokers() {
            let request = list_groups::request(filter);
            let asked = self.at_broker(broker.id, request);
            let refused = |code| CoordinatorError::Refused { kind: CoordinatorKind::Group, key: Str::EMPTY, code };
            found.extend(list_groups::read(filter, asked.await?).map_err(refused)?);
        }
        found.sort();
        found.dedup_by(|one, other| one.group_id == other.group_id);
        Ok(found)
    }

    /// Returns classic groups and their members, in the order of `group_ids`.
    ///
    /// A group that does not exist has the state `Dead`, or, since Kafka 4.0, an outcome of `GROUP_ID_NOT_FOUND`.
    /// If a coordinator has moved, its successor is asked, until `request_timeout` is over. Cancel safe.
    ///
    /// # Errors
    /// If a coordinator does not answer, or is not found.
    pub async fn describe_groups(
        &self,
        group_ids: &[Str],
    ) -> Result<Outcomes<Str, GroupDescription>, CoordinatorError> {
        let mut found = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let ask = || describe_groups::request(group_id);
            let code =
                |response: &_| first(response, |response: &Described| &response.groups, |group| group.error_code);
            let response = self.at_coordinator(GROUP, group_id, Repetition::Harmless, ask, code).await?;
            found.push((group_id.clone(), describe_groups::read(response)));
        }
        Ok(found)
    }

    /// Returns groups whose broker assigns the partitions (KIP-848) and their members, in the order of `group_ids`.
    ///
    /// A group that does not exist, or is of another type, is an outcome of `GROUP_ID_NOT_FOUND`. Cancel safe.
    ///
    /// # Errors
    /// If a coordinator does not answer, is not found, or is of Kafka 3.6 or older.
    pub async fn describe_consumer_groups(
        &self,
        group_ids: &[Str],
    ) -> Result<Outcomes<Str, ConsumerGroupDescription>, CoordinatorError> {
        type Groups = crate::protocol::consumer_group_describe::ConsumerGroupDescribeResponse;

        let mut found = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let ask = || describe_consumer_groups::request(group_id);
            let code = |response: &_| first(response, |response: &Groups| &response.groups, |group| group.error_code);
            let response = self.at_coordinator(GROUP, group_id, Repetition::Harmless, ask, code).await?;
            found.push((group_id.clone(), describe_consumer_groups::read(response)));
        }
        Ok(found)
    }

    /// Deletes groups that have no members, with their offsets. Returns the outcome of each, in the
    /// order of `group_ids`.
    ///
    /// Retried if the coordinator has moved, and if the request was certainly not sent.
    ///
    /// # Errors
    /// If a coordinator does not answer, or is not found. The groups before that one are deleted.
    pub async fn delete_groups(&self, group_ids: &[Str]) -> Result<Outcomes<Str>, CoordinatorError> {
        let mut found = Vec::with_capacity(group_ids.len());
        for group_id in group_ids {
            let ask = || delete_groups::request(group_id);
            let code = |response: &_| first(response, |response: &Deleted| &response.results, |group| group.error_code);
            let response = self.at_coordinator(GROUP, group_id, Repetition::Visible, ask, code).await?;
            found.push((group_id.clone(), delete_groups::read(response)));
        }
        Ok(found)
    }

    /// Deletes committed offsets of a group. Returns the outcome of each partition, in the order of `partitions`.
    ///
    /// A topic to which a member subscribes is an outcome of `GROUP_SUBSCRIBED_TO_TOPIC`. Retried as
    /// by [`Client::delete_groups`].
    ///
    /// # Errors
    /// If the coordinator does not answer, or is not found; the inner error is the coordinator's for the whole group.
    pub async fn delete_group_offsets(
        &self,
        group_id: &str,
        partitions: &[TopicPartition],
    ) -> Result<Result<Outcomes<TopicPartition>, ItemError>, CoordinatorError> {
        let group_id = Str::from(group_id);
        let ask = || delete_group_offsets::request(&group_id, partitions);
        let response = self
            .at_coordinator(GROUP, &group_id, Repetition::Visible, ask, |response| ErrorCode(response.error_code))
            .await?;
        Ok(delete_group_offsets::read(partitions, response))
    }

    /// Removes static members from a classic group, by their `group.instance.id`. Returns the outcome of each,
    /// in order.
    ///
    /// A member that does not exist is an outcome of `UNKNOWN_MEMBER_ID`. `reason` is for the broker's log.
    /// Retried as by [`Client::delete_groups`].
    ///
    /// # Errors
    /// If the coordinator does not answer, or is not found; the inner error is the coordinator's for the whole group.
    pub async fn remove_group_members(
        &self,
        group_id: &str,
        instance_ids: &[Str],
        reason: &str,
    ) -> Result<Result<Outcomes<Str>, ItemError>, CoordinatorError> {
        let (group_id, reason) = (Str::from(group_id), Str::from(reason));
        let ask = || remove_group_members::request(&group_id, instance_ids, &reason);
        let response = self
            .at_coordinator(GROUP, &group_id, Repetition::Visible, ask, |response| ErrorCode(response.error_code))
            .await?;
        Ok(remove_group_members::read(instance_ids, response))
    }

    /// Asks the coordinator until it does not answer that it is not the coordinator, or not ready.
    pub(super) async fn at_coordinator<R: Request>(
        &self,
        kind: CoordinatorKind,
        key: &Str,
        repetition: Repetition,
        ask: impl Fn() -> R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, CoordinatorError> {
        let deadline = self.now() + self.config().request_timeout;
        let mut backoff = self.backoff();
        loop {
            let coordinator = self.coordinator(kind, key).await?;
            let asked = self.request(Node::Broker(coordinator), Lane::General, ask(), CallOptions::default()).await;
            let error = match asked {
                Ok(response) => match code(&response) {
                    code if has_moved(code) => CoordinatorError::Refused { kind, key: key.clone(), code },
                    _ => return Ok(response),
                },
                Err(error) => CoordinatorError::Request(error),
            };
            self.forget_coordinator(kind, key);
            let is_unclear = repetition == Repetition::Visible
                && matches!(&error, CoordinatorError::Request(error) if error.is_possibly_written());
            if is_unclear || !error.is_retriable() || self.now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
    }
}

pub(super) const GROUP: CoordinatorKind = CoordinatorKind::Group;

type Described = crate::protocol::describe_groups::DescribeGroupsResponse;
type Deleted = crate::protocol::delete_groups::DeleteGroupsResponse;

/// Returns the code of the first item in a response.
pub(super) fn first<R, T>(response: &R, items: impl Fn(&R) -> &Vec<T>, code: impl Fn(&T) -> i16) -> ErrorCode {
    items(response).first().map_or(ErrorCode::NONE, |item| ErrorCode(code(item)))
}

const fn has_moved(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::COORDINATOR_NOT_AVAILABLE
    )
}
