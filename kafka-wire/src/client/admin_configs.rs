//! Administration of settings, partitions, access control entries and users: the broker to ask, and the request.

use std::collections::{BTreeMap, BTreeSet};

use super::at_controller::{Repetition, code_of};
use super::{CallOptions, Client, Lane, Node, RequestError};
#[cfg(feature = "sasl")]
use crate::admin::ScramMechanism;
use crate::admin::{
    Acl, AclFilter, ConfigChange, ConfigEntry, ConfigResource, ItemError, NewPartitions, Outcomes, ScramChange,
    ScramUser,
};
use crate::admin::{
    acls, alter_configs, alter_scram_users, create_partitions, describe_configs, describe_scram_users, outcomes_by,
};
use crate::protocol::alter_user_scram_credentials::AlterUserScramCredentialsResponse;
use crate::protocol::create_acls::CreateAclsResponse;
use crate::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
use crate::protocol::delete_acls::DeleteAclsResponse;
use crate::types::BrokerId;
use crate::wire::Str;

impl Client {
    /// Raises the number of partitions of topics, each to a new total. Returns the outcome of each,
    /// in the order of `topics`.
    ///
    /// A total that is not above the present number is an outcome of `INVALID_PARTITIONS`. Not retried once it was
    /// sent.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost.
    pub async fn create_partitions(&self, topics: &[(Str, i32)]) -> Result<Outcomes<Str>, RequestError> {
        let new = topics.iter();
        let new =
            new.map(|(topic, total)| NewPartitions { topic: topic.clone(), total: *total, assignments: Vec::new() });
        self.create_assigned_partitions(&new.collect::<Vec<_>>()).await
    }

    /// As [`Client::create_partitions`], on brokers of the caller's choice. A broker that does not exist, or a number
    /// of assignments that does not fit the total, is an outcome of `INVALID_REPLICA_ASSIGNMENT`.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost.
    pub async fn create_assigned_partitions(&self, new: &[NewPartitions]) -> Result<Outcomes<Str>, RequestError> {
        let response = self.ask_for_partitions(new, false).await?;
        new.iter().for_each(|new| self.invalidate(&new.topic));
        Ok(response)
    }

    /// Checks whether partitions could be created, and creates none. Returns the outcome of each, in order.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn validate_partitions(&self, new: &[NewPartitions]) -> Result<Outcomes<Str>, RequestError> {
        self.ask_for_partitions(new, true).await
    }

    async fn ask_for_partitions(
        &self,
        new: &[NewPartitions],
        validate_only: bool,
    ) -> Result<Outcomes<Str>, RequestError> {
        let (broker_ms, _) = self.slow_options();
        let request = CreatePartitionsRequest { validate_only, ..create_partitions::request(new, broker_ms) };
        let code = |response: &CreatePartitionsResponse| code_of(response.results.first().map(|one| one.error_code));
        let response = self.at_controller(Repetition::Visible, request, code).await?;
        let names: Vec<_> = new.iter().map(|new| new.topic.clone()).collect();
        Ok(create_partitions::read(&names, response))
    }

    /// Returns the settings of topics, brokers and other resources, in the order of `resources`.
    ///
    /// Each broker is asked for its own, at its new address if it has moved, and not asked again if it does not answer;
    /// for others, another one is.
    ///
    /// # Errors
    /// If a broker does not answer.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
    ) -> Result<Outcomes<ConfigResource, Vec<ConfigEntry>>, RequestError> {
        let mut found = Vec::with_capacity(resources.len());
        let asked: BTreeSet<_> = resources.iter().collect();
        for (broker, resources) in by_broker(asked.into_iter(), |resource| resource) {
            let resources: Vec<_> = resources.into_iter().cloned().collect();
            let request = describe_configs::request(&resources);
            let response = match broker {
                Some(id) => self.at_broker(id, request).await?,
                None => self.ask(request).await?,
            };
            found.extend(describe_configs::read(&resources, response));
        }
        Ok(in_order(resources, found))
    }

    /// Changes single settings and leaves the others. Returns the outcome of each resource, in the order of `changes`.
    ///
    /// A resource is changed as a whole or not at all. Not retried, because an append to a list that is done
    /// twice has another effect.
    ///
    /// # Errors
    /// If a broker does not answer. Resources of other brokers may have been changed before.
    pub async fn alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<ConfigChange>)],
    ) -> Result<Outcomes<ConfigResource>, RequestError> {
        let mut found = Vec::with_capacity(changes.len());
        for (broker, changes) in by_broker(changes.iter(), |(resource, _)| resource) {
            let changes: Vec<_> = changes.into_iter().cloned().collect();
            let resources: Vec<_> = changes.iter().map(|(resource, _)| resource.clone()).collect();
            let request = alter_configs::request(&changes);
            let response = match broker {
                Some(id) => self.at_broker(id, request).await?,
                // With KRaft any broker passes changes on to the controller.
                None => self.request(Node::Any, Lane::General, request, CallOptions::default()).await?,
            };
            found.extend(alter_configs::read(&resources, response));
        }
        let asked: Vec<_> = changes.iter().map(|(resource, _)| resource.clone()).collect();
        Ok(in_order(&asked, found))
    }

    /// Returns the access control entries that match a filter, sorted.
    ///
    /// # Errors
    /// If no broker answers; the inner error is the broker's: `SECURITY_DISABLED` if it has no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Result<Vec<Acl>, ItemError>, RequestError> {
        let request = acls::describe_request(filter);
        let response = self.ask(request).await?;
        Ok(acls::read_described(response))
    }

    /// Adds access control entries. Returns the outcome of each, in order. An entry that exists already is no error.
    ///
    /// # Errors
    /// If no broker answers, or the answer is lost; a repetition does no harm.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<Outcomes<Acl>, RequestError> {
        let request = acls::create_request(acls);
        let code = |response: &CreateAclsResponse| code_of(response.results.first().map(|one| one.error_code));
        let response = self.at_controller(Repetition::Visible, request, code).await?;
        Ok(acls::read_created(acls, response))
    }

    /// Deletes the access control entries that match a filter. Returns the outcome of each.
    ///
    /// # Errors
    /// If no broker answers, or the answer is lost; the inner error is the broker's about the filter.
    pub async fn delete_acls(&self, filter: &AclFilter) -> Result<Result<Outcomes<Acl>, ItemError>, RequestError> {
        let request = acls::delete_request(filter);
        let code = |response: &DeleteAclsResponse| code_of(response.filter_results.first().map(|one| one.error_code));
        let response = self.at_controller(Repetition::Visible, request, code).await?;
        Ok(acls::read_deleted(response))
    }

    /// Returns the SCRAM credentials of these users, or of all users if `users` is empty: mechanisms and iterations.
    ///
    /// A user without credentials is an outcome of `RESOURCE_NOT_FOUND`.
    ///
    /// # Errors
    /// If no broker answers; the inner error is the broker's.
    pub async fn describe_scram_users(&self, users: &[Str]) -> Result<Result<Vec<ScramUser>, ItemError>, RequestError> {
        let request = describe_scram_users::request(users);
        let response = self.ask(request).await?;
        Ok(describe_scram_users::read(response))
    }

    /// Sets and deletes SCRAM credentials of users. Returns the outcome of each change, in the order of `changes`.
    ///
    /// Brokers get a new credential a moment later. Not retried once it was sent.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost.
    pub async fn alter_scram_users(&self, changes: &[ScramChange]) -> Result<Outcomes<Str>, RequestError> {
        let request = alter_scram_users::request(changes);
        let code =
            |response: &AlterUserScramCredentialsResponse| code_of(response.results.first().map(|one| one.error_code));
        let response = self.at_controller(Repetition::Visible, request, code).await?;
        Ok(alter_scram_users::read(changes, response))
    }

    /// Sets a user's password for a mechanism of SCRAM, with a new random salt and 8,192 iterations.
    ///
    /// The password stays in this process: the broker gets its salted hash. Brokers get it a moment later.
    ///
    /// # Errors
    /// As for [`Client::alter_scram_users`]. If this machine has no random numbers, the outcome is
    /// `UNKNOWN_SERVER_ERROR`, as if from the broker.
    #[cfg(feature = "sasl")]
    pub async fn set_scram_password(
        &self,
        user: &str,
        mechanism: ScramMechanism,
        password: &str,
    ) -> Result<Result<(), ItemError>, RequestError> {
        use crate::protocol::ErrorCode;
        use crate::sasl::ScramHash;

        let failure = |message| Err(ItemError { code: ErrorCode::UNKNOWN_SERVER_ERROR, message });
        let mut salt = [0; SALT_BYTES];
        if getrandom::fill(&mut salt).is_err() {
            return Ok(failure(Some(Str::from_static("this machine gives no random numbers"))));
        }
        let hash = match mechanism {
            ScramMechanism::Sha256 => ScramHash::Sha256,
            ScramMechanism::Sha512 => ScramHash::Sha512,
        };
        let change = ScramChange::Upsert {
            user: Str::from(user),
            mechanism,
            iterations: ITERATIONS.cast_signed(),
            salt: salt.to_vec().into(),
            salted_password: hash.salted_password(password, &salt, ITERATIONS).into(),
        };
        let outcomes = self.alter_scram_users(&[change]).await?;
        Ok(outcomes.into_iter().next().map_or_else(|| failure(None), |(_, outcome)| outcome))
    }
}

/// Returns the items by the broker that has to be asked for them.
fn by_broker<T>(
    items: impl Iterator<Item = T>,
    resource: impl Fn(&T) -> &ConfigResource,
) -> BTreeMap<Option<BrokerId>, Vec<T>> {
    let mut found: BTreeMap<_, Vec<T>> = BTreeMap::new();
    for item in items {
        found.entry(resource(&item).broker()).or_default().push(item);
    }
    found
}

/// Sorts the outcomes of several brokers into the order of the request.
fn in_order<T: Clone>(asked: &[ConfigResource], found: Outcomes<ConfigResource, T>) -> Outcomes<ConfigResource, T> {
    outcomes_by(asked, ConfigResource::clone, found.into_iter())
}

#[cfg(feature = "sasl")]
const SALT_BYTES: usize = 24;
#[cfg(feature = "sasl")]
const ITERATIONS: u32 = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_several_brokers_are_in_the_order_of_the_request() {
        let [a, b] = ["a", "b"].map(|name| ConfigResource::Topic(Str::from(name)));
        let broker = ConfigResource::Broker(BrokerId(1));
        let found = vec![(a.clone(), Ok(1)), (b.clone(), Ok(2)), (broker.clone(), Ok(3))];
        let asked = [broker.clone(), b.clone(), a.clone(), b.clone()];
        assert_eq!(in_order(&asked, found), [(broker, Ok(3)), (b.clone(), Ok(2)), (a, Ok(1)), (b, Ok(2))]);
    }
}
