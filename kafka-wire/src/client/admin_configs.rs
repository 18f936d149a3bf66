//! Administration of settings, partitions and users: whom to ask.

use std::collections::BTreeMap;

use super::{CallOptions, Client, Lane, Node, RequestError};
#[cfg(feature = "sasl")]
use crate::admin::ScramMechanism;
use crate::admin::{
    Acl, AclFilter, ConfigChange, ConfigEntry, ConfigResource, ItemError, Outcomes, ScramChange, ScramUser,
};
use crate::admin::{acls, alter_configs, alter_scram_users, create_partitions, describe_configs, describe_scram_users};
use crate::types::BrokerId;
use crate::wire::Str;

impl Client {
    /// Raises the number of partitions of topics, each to so many in all; the outcome of each, in the order of
    /// `topics`.
    ///
    /// A count that is not above the present one is an outcome of `INVALID_PARTITIONS`. Not retried.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost.
    pub async fn create_partitions(&self, topics: &[(Str, i32)]) -> Result<Outcomes<Str>, RequestError> {
        let (broker_ms, options) = self.slow_options();
        let request = create_partitions::request(topics, broker_ms);
        let response = self.request(self.controller(), Lane::General, request, options).await?;
        let names: Vec<_> = topics.iter().map(|(name, _)| name.clone()).collect();
        names.iter().for_each(|name| self.invalidate(name));
        Ok(create_partitions::read(&names, response))
    }

    /// The settings of topics, brokers and other resources, in the order of `resources`.
    ///
    /// Each broker is asked for its own. Not retried; asking again is harmless.
    ///
    /// # Errors
    /// A broker did not answer.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
    ) -> Result<Outcomes<ConfigResource, Vec<ConfigEntry>>, RequestError> {
        let mut found = Vec::with_capacity(resources.len());
        for (broker, resources) in by_broker(resources.iter(), |resource| resource) {
            let resources: Vec<_> = resources.into_iter().cloned().collect();
            let request = describe_configs::request(&resources);
            let response = self.request(node(broker), Lane::General, request, CallOptions::default()).await?;
            found.extend(describe_configs::read(&resources, response));
        }
        Ok(in_order(resources, found))
    }

    /// Changes single settings and leaves the others; the outcome of each resource, in the order of `changes`.
    ///
    /// A resource is changed as a whole or not at all. Not retried: appending to a list twice would do more than
    /// once.
    ///
    /// # Errors
    /// A broker did not answer. Resources of other brokers may have been changed before.
    pub async fn alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<ConfigChange>)],
    ) -> Result<Outcomes<ConfigResource>, RequestError> {
        let mut found = Vec::with_capacity(changes.len());
        for (broker, changes) in by_broker(changes.iter(), |(resource, _)| resource) {
            let changes: Vec<_> = changes.into_iter().cloned().collect();
            let resources: Vec<_> = changes.iter().map(|(resource, _)| resource.clone()).collect();
            let request = alter_configs::request(&changes);
            let response = self.request(node(broker), Lane::General, request, CallOptions::default()).await?;
            found.extend(alter_configs::read(&resources, response));
        }
        let asked: Vec<_> = changes.iter().map(|(resource, _)| resource.clone()).collect();
        Ok(in_order(&asked, found))
    }

    /// The access control entries that match a filter, sorted.
    ///
    /// # Errors
    /// No broker answered; inside, the broker refuses: `SECURITY_DISABLED` where it has no authorizer.
    pub async fn describe_acls(&self, filter: &AclFilter) -> Result<Result<Vec<Acl>, ItemError>, RequestError> {
        let request = acls::describe_request(filter);
        let response = self.request(Node::Any, Lane::General, request, CallOptions::default()).await?;
        Ok(acls::read_described(response))
    }

    /// Adds access control entries; the outcome of each, in order. One that is there already is no error.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost; doing it again is harmless.
    pub async fn create_acls(&self, acls: &[Acl]) -> Result<Outcomes<Acl>, RequestError> {
        let request = acls::create_request(acls);
        let response = self.request(self.controller(), Lane::General, request, CallOptions::default()).await?;
        Ok(acls::read_created(acls, response))
    }

    /// Deletes the access control entries that match a filter; the outcome of each.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost; inside, the broker refuses the filter.
    pub async fn delete_acls(&self, filter: &AclFilter) -> Result<Result<Outcomes<Acl>, ItemError>, RequestError> {
        let request = acls::delete_request(filter);
        let response = self.request(self.controller(), Lane::General, request, CallOptions::default()).await?;
        Ok(acls::read_deleted(response))
    }

    /// The SCRAM credentials of these users, of all with none: mechanisms and iterations.
    ///
    /// A user without credentials is an outcome of `RESOURCE_NOT_FOUND`.
    ///
    /// # Errors
    /// No broker answered, or the broker refuses.
    pub async fn describe_scram_users(&self, users: &[Str]) -> Result<Result<Vec<ScramUser>, ItemError>, RequestError> {
        let request = describe_scram_users::request(users);
        let response = self.request(Node::Any, Lane::General, request, CallOptions::default()).await?;
        Ok(describe_scram_users::read(response))
    }

    /// Sets and deletes SCRAM credentials of users; the outcome of each change, in the order of `changes`.
    ///
    /// Brokers learn of a new credential a moment later. Not retried.
    ///
    /// # Errors
    /// No broker answered, or the answer got lost.
    pub async fn alter_scram_users(&self, changes: &[ScramChange]) -> Result<Outcomes<Str>, RequestError> {
        let request = alter_scram_users::request(changes);
        let response = self.request(self.controller(), Lane::General, request, CallOptions::default()).await?;
        Ok(alter_scram_users::read(changes, response))
    }

    /// Sets a user's password for a mechanism of SCRAM, with a new random salt and 8,192 iterations.
    ///
    /// The password stays here: the broker gets its salted hash. Brokers learn of it a moment later.
    ///
    /// # Errors
    /// As [`Client::alter_scram_users`]; also when this machine gives no random numbers, which is told as the
    /// broker's `UNKNOWN_SERVER_ERROR`.
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

/// Items by the broker that has to be asked for them.
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

/// With KRaft any broker passes changes on to the controller.
fn node(broker: Option<BrokerId>) -> Node {
    broker.map_or(Node::Any, Node::Broker)
}

/// Puts the outcomes of several brokers into the order of the questions.
fn in_order<T>(asked: &[ConfigResource], found: Outcomes<ConfigResource, T>) -> Outcomes<ConfigResource, T> {
    let mut found = found;
    found.sort_by_key(|(resource, _)| asked.iter().position(|asked| asked == resource));
    found
}

#[cfg(feature = "sasl")]
const SALT_BYTES: usize = 24;
#[cfg(feature = "sasl")]
const ITERATIONS: u32 = 8_192;
