//! Quotas of users, clients and addresses: descriptions and changes (KIP-546).

use std::collections::BTreeMap;
use std::fmt;

use super::{ItemError, Outcomes, outcomes_by};
use crate::protocol::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, OpData,
};
use crate::protocol::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};
use crate::wire::Str;

/// A kind of names that quotas are for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum QuotaKind {
    /// Users, by their principal's name.
    User,
    /// Clients, by `client.id`.
    ClientId,
    /// Addresses that clients connect from.
    Ip,
    /// A kind that this crate does not know, by Kafka's name.
    Other(Str),
}

impl QuotaKind {
    fn name(&self) -> Str {
        match self {
            Self::User => Str::from_static("user"),
            Self::ClientId => Str::from_static("client-id"),
            Self::Ip => Str::from_static("ip"),
            Self::Other(name) => name.clone(),
        }
    }

    fn from_name(name: Str) -> Self {
        match &*name {
            "user" => Self::User,
            "client-id" => Self::ClientId,
            "ip" => Self::Ip,
            _ => Self::Other(name),
        }
    }
}

/// The clients that a quota is for: a user, a client id, both together, or an address.
///
/// ```
/// use kafka_wire::admin::{QuotaEntity, QuotaKind};
///
/// let app_of_alice = QuotaEntity::user("alice").with(QuotaKind::ClientId, "app");
/// assert_eq!(app_of_alice.to_string(), "user=alice, client-id=app");
/// let everybody_else = QuotaEntity::default().with_default(QuotaKind::User);
/// assert_eq!(everybody_else.to_string(), "user=<default>");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuotaEntity {
    /// Names by their kind; `None` stands for all names of the kind that have no quota of their own.
    pub parts: BTreeMap<QuotaKind, Option<Str>>,
}

impl QuotaEntity {
    /// Makes the entity of a user.
    #[must_use]
    pub fn user(name: impl Into<Str>) -> Self {
        Self::default().with(QuotaKind::User, name)
    }

    /// Makes the entity of a client id.
    #[must_use]
    pub fn client_id(name: impl Into<Str>) -> Self {
        Self::default().with(QuotaKind::ClientId, name)
    }

    /// Makes the entity of an address.
    #[must_use]
    pub fn ip(address: impl Into<Str>) -> Self {
        Self::default().with(QuotaKind::Ip, address)
    }

    /// Adds a name.
    #[must_use]
    pub fn with(mut self, kind: QuotaKind, name: impl Into<Str>) -> Self {
        self.parts.insert(kind, Some(name.into()));
        self
    }

    /// Adds all names of a kind that have no quota of their own.
    #[must_use]
    pub fn with_default(mut self, kind: QuotaKind) -> Self {
        self.parts.insert(kind, None);
        self
    }

    fn read(parts: impl Iterator<Item = (Str, Option<Str>)>) -> Self {
        Self { parts: parts.map(|(kind, name)| (QuotaKind::from_name(kind), name)).collect() }
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, name)) in self.parts.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            write!(f, "{}={}", kind.name(), name.as_deref().unwrap_or("<default>"))?;
        }
        Ok(())
    }
}

/// A filter of entities: they have a part for each condition. The default matches every entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFilter {
    /// The conditions, all of which have to hold.
    pub conditions: Vec<(QuotaKind, QuotaMatch)>,
    /// Whether entities with parts of other kinds are left out.
    pub is_strict: bool,
}

/// A condition on the name in an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// It is this name.
    Name(Str),
    /// It stands for all names without a quota of their own.
    Default,
    /// It is any name, or stands for all.
    Any,
}

/// An entity and its quotas by name, such as `producer_byte_rate`.
pub type EntityQuotas = (QuotaEntity, Vec<(Str, f64)>);

/// The change of one quota of an entity.
#[derive(Clone, Debug, PartialEq)]
pub enum QuotaChange {
    /// Sets a quota: `producer_byte_rate`, `consumer_byte_rate`, `request_percentage`, `controller_mutation_rate`
    /// for users and clients, `connection_creation_rate` for addresses.
    Set(Str, f64),
    /// Removes a quota.
    Remove(Str),
}

/// Makes a request for the quotas of the entities that match a filter.
#[must_use]
pub fn describe_request(filter: &QuotaFilter) -> DescribeClientQuotasRequest {
    let components = filter.conditions.iter().map(|(kind, condition)| {
        let (match_type, match_) = match condition {
            QuotaMatch::Name(name) => (0, Some(name.clone())),
            QuotaMatch::Default => (1, None),
            QuotaMatch::Any => (2, None),
        };
        ComponentData { entity_type: kind.name(), match_type, match_, ..Default::default() }
    });
    DescribeClientQuotasRequest { components: components.collect(), strict: filter.is_strict, ..Default::default() }
}

/// Returns the entities that were found with their quotas, sorted.
///
/// # Errors
/// The broker's error.
pub fn read_described(response: DescribeClientQuotasResponse) -> Result<Vec<EntityQuotas>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let entries = response.entries.unwrap_or_default().into_iter().map(|entry| {
        let parts = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
        let values = entry.values.into_iter().map(|value| (value.key, value.value));
        (QuotaEntity::read(parts), values.collect())
    });
    let mut entries: Vec<EntityQuotas> = entries.collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}

/// Makes a request for changes of the quotas of entities.
#[must_use]
pub fn alter_request(changes: &[(QuotaEntity, Vec<QuotaChange>)]) -> AlterClientQuotasRequest {
    let entries = changes.iter().map(|(entity, changes)| {
        let parts = entity.parts.iter().map(|(kind, name)| EntityData {
            entity_type: kind.name(),
            entity_name: name.clone(),
            ..Default::default()
        });
        let ops = changes.iter().map(|change| match change {
            QuotaChange::Set(key, value) => OpData { key: key.clone(), value: *value, ..Default::default() },
            QuotaChange::Remove(key) => OpData { key: key.clone(), remove: true, ..Default::default() },
        });
        EntryData { entity: parts.collect(), ops: ops.collect(), ..Default::default() }
    });
    AlterClientQuotasRequest { entries: entries.collect(), ..Default::default() }
}

/// Returns the outcome of each entity, in the order of `entities`.
#[must_use]
pub fn read_altered(entities: &[QuotaEntity], response: AlterClientQuotasResponse) -> Outcomes<QuotaEntity> {
    let answers = response.entries.into_iter().map(|entry| {
        let parts = entry.entity.into_iter().map(|part| (part.entity_type, part.entity_name));
        (QuotaEntity::read(parts), ItemError::check(entry.error_code, entry.error_message))
    });
    outcomes_by(entities, QuotaEntity::clone, answers)
}
