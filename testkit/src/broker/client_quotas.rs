//! Quotas of users, clients and addresses. They are stored and listed, but no client is throttled.
//!
//! Source: KIP-546, KIP-612; the rules are those of Kafka's `ClientQuotaControlManager`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;

/// The entity that a quota applies to: names by their kinds, which are `user` or `client-id` or both, or `ip`.
/// `None` for the name stands for the default entity of the kind.
pub type Entity = BTreeMap<Str, Option<Str>>;

/// The quotas of an entity, by name.
pub type Quotas = BTreeMap<Str, f64>;

/// Every quota of the cluster.
#[derive(Clone, Debug, Default)]
pub struct ClientQuotas {
    by_entity: BTreeMap<Entity, Quotas>,
}

/// A condition on one part of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The part has this name; `None` means the default entity of its kind.
    Is(Option<Str>),
    /// The part is present.
    Any,
}

/// A filter of entities: conditions by the kinds of the parts.
#[derive(Clone, Debug, Default)]
pub struct QuotaFilter {
    /// The conditions, all of which have to hold.
    pub conditions: BTreeMap<Str, Condition>,
    /// Whether entities with parts beyond those in `conditions` are left out.
    pub is_strict: bool,
}

impl ClientQuotas {
    /// Sets the quotas of an entity that have a value here, and removes those that have none.
    /// With `is_trial`, it only checks.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for an entity that cannot exist, or a quota that it cannot have; `POLICY_VIOLATION` beyond
    /// [`ENTITIES_MAX`]. On an error nothing is changed.
    pub fn alter(
        &mut self,
        entity: &Entity,
        changes: &BTreeMap<Str, Option<f64>>,
        is_trial: bool,
    ) -> Result<(), ErrorCode> {
        let kind = kind_of(entity)?;
        for (name, value) in changes {
            if let Some(value) = *value {
                check(kind, name, value)?;
            }
        }
        let is_new = changes.values().any(Option::is_some) && !self.by_entity.contains_key(entity);
        if is_new && self.by_entity.len() >= ENTITIES_MAX {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        if is_trial {
            return Ok(());
        }
        let mut quotas = self.by_entity.remove(entity).unwrap_or_default();
        for (name, value) in changes {
            match *value {
                Some(value) => quotas.insert(name.detached(), value),
                None => quotas.remove(name),
            };
        }
        if !quotas.is_empty() {
            let detached = entity.iter().map(|(kind, name)| (kind.detached(), name.as_ref().map(Str::detached)));
            self.by_entity.insert(detached.collect(), quotas);
        }
        Ok(())
    }

    /// The entities that match a filter, with their quotas.
    pub fn find<'a>(&'a self, filter: &'a QuotaFilter) -> impl Iterator<Item = (&'a Entity, &'a Quotas)> {
        self.by_entity.iter().filter(|(entity, _)| filter.admits(entity))
    }
}

impl QuotaFilter {
    fn admits(&self, entity: &Entity) -> bool {
        let holds = |(kind, condition): (&Str, &Condition)| match (entity.get(kind), condition) {
            (Some(name), Condition::Is(wanted)) => name == wanted,
            (Some(_), Condition::Any) => true,
            (None, _) => false,
        };
        (!self.is_strict || entity.len() == self.conditions.len()) && self.conditions.iter().all(holds)
    }
}

/// The kinds of entities, which decide the quotas that an entity can have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    UserOrClient,
    Address,
}

fn kind_of(entity: &Entity) -> Result<Kind, ErrorCode> {
    let is_known = |kind: &Str| [USER, CLIENT_ID, IP].contains(&kind.as_str());
    let is_named = |name: &Option<Str>| name.as_ref().is_none_or(|name| (1..=NAME_LIMIT_BYTES).contains(&name.len()));
    if entity.is_empty() || !entity.iter().all(|(kind, name)| is_known(kind) && is_named(name)) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    match entity.get(IP) {
        None => Ok(Kind::UserOrClient),
        Some(name) if entity.len() == 1 && name.as_ref().is_none_or(is_address) => Ok(Kind::Address),
        Some(_) => Err(ErrorCode::INVALID_REQUEST),
    }
}

/// Whether this is an IP address. Kafka also accepts any host name that it can resolve; nothing is resolved here.
fn is_address(name: &Str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

fn check(kind: Kind, name: &str, value: f64) -> Result<(), ErrorCode> {
    let (is_whole, limit) = match (kind, name) {
        (Kind::UserOrClient, "producer_byte_rate" | "consumer_byte_rate") => (true, 2f64.powi(63)),
        (Kind::UserOrClient, "request_percentage" | "controller_mutation_rate") => (false, f64::INFINITY),
        (Kind::Address, "connection_creation_rate") => (true, f64::from(i32::MAX)),
        _ => return Err(ErrorCode::INVALID_REQUEST),
    };
    let is_legal = value > 0.0 && value <= limit && (!is_whole || (value % 1.0).abs() <= 1e-6);
    if is_legal { Ok(()) } else { Err(ErrorCode::INVALID_REQUEST) }
}

/// Most entities with quotas in the whole cluster.
pub const ENTITIES_MAX: usize = 10_000;

const NAME_LIMIT_BYTES: usize = 2048;

/// The kind of a part that names a user.
pub const USER: &str = "user";
/// The kind of a part that names a client.
pub const CLIENT_ID: &str = "client-id";
/// The kind of a part that names an address.
pub const IP: &str = "ip";
