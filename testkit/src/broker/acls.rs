//! Access control entries (ACLs). They are stored and listed but never enforced: every client may do everything,
//! as a superuser of Kafka may.
//!
//! Source: KIP-11, KIP-140, KIP-290; the rules are those of Kafka's `AclControlManager`.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;

/// The resources that an entry applies to: one by its name, or all whose names begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Kafka's number for the kind of resource.
    pub resource_type: i8,
    /// The name, or the prefix.
    pub name: Str,
    /// Kafka's number for how the name is matched: [`LITERAL`] or [`PREFIXED`].
    pub pattern_type: i8,
}

/// One access control entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// The resources that it applies to.
    pub pattern: Pattern,
    /// The principal, such as `User:alice`.
    pub principal: Str,
    /// The host that requests come from; `*` for any host.
    pub host: Str,
    /// Kafka's number for the operation.
    pub operation: i8,
    /// Kafka's number for the permission: allow or deny.
    pub permission_type: i8,
}

/// A filter of entries. `None` matches any value, and so does [`ANY`].
#[derive(Clone, Debug)]
pub struct AclFilter<'a> {
    /// Kind of resource.
    pub resource_type: i8,
    /// Name of the resource.
    pub name: Option<&'a str>,
    /// How names of entries are compared with it: [`LITERAL`], [`PREFIXED`], [`MATCH`] or [`ANY`].
    pub pattern_type: i8,
    /// The principal.
    pub principal: Option<&'a str>,
    /// The host that requests come from.
    pub host: Option<&'a str>,
    /// Kafka's number for the operation.
    pub operation: i8,
    /// Kafka's number for the permission.
    pub permission_type: i8,
}

/// Every entry of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Acls {
    entries: BTreeSet<Acl>,
}

impl Acls {
    /// Adds an entry, unless it is there.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for a number that Kafka does not define or that only a filter can have, an empty name,
    /// a cluster resource with another name than Kafka's, a very long name, or a principal without a type.
    /// `POLICY_VIOLATION` beyond [`ENTRIES_MAX`].
    pub fn create(&mut self, acl: Acl) -> Result<(), ErrorCode> {
        let Acl { pattern, principal, host, operation, permission_type } = &acl;
        let is_legal = RESOURCE_TYPES.contains(&pattern.resource_type)
            && matches!(pattern.pattern_type, LITERAL | PREFIXED)
            && OPERATIONS.contains(operation)
            && matches!(*permission_type, DENY | ALLOW)
            && !pattern.name.is_empty()
            && [&pattern.name, principal, host].iter().all(|name| name.len() <= NAME_LIMIT_BYTES)
            && (pattern.resource_type != CLUSTER || pattern.name == CLUSTER_NAME)
            && principal.split_once(':').is_some_and(|(kind, _)| !kind.is_empty());
        if !is_legal {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains(&acl) {
            return Err(ErrorCode::POLICY_VIOLATION);
        }
        self.entries.insert(acl);
        Ok(())
    }

    /// The entries that a filter matches, sorted by the resources that they apply to.
    pub fn find<'a>(&'a self, filter: &'a AclFilter<'a>) -> impl Iterator<Item = &'a Acl> {
        self.entries.iter().filter(|acl| filter.admits(acl))
    }

    /// Removes an entry.
    pub fn delete(&mut self, acl: &Acl) {
        self.entries.remove(acl);
    }
}

impl AclFilter<'_> {
    /// Whether Kafka defines each of its numbers.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let is = |known: &std::ops::RangeInclusive<i8>, number| number == ANY || known.contains(&number);
        is(&RESOURCE_TYPES, self.resource_type)
            && matches!(self.pattern_type, ANY | MATCH | LITERAL | PREFIXED)
            && is(&OPERATIONS, self.operation)
            && matches!(self.permission_type, ANY | DENY | ALLOW)
    }

    fn admits(&self, acl: &Acl) -> bool {
        let is = |wanted: i8, number: i8| wanted == ANY || wanted == number;
        let is_named = |wanted: Option<&str>, name: &Str| wanted.is_none_or(|wanted| name == wanted);
        is(self.resource_type, acl.pattern.resource_type)
            && self.covers(&acl.pattern)
            && is_named(self.principal, &acl.principal)
            && is_named(self.host, &acl.host)
            && is(self.operation, acl.operation)
            && is(self.permission_type, acl.permission_type)
    }

    fn covers(&self, pattern: &Pattern) -> bool {
        let is_kind = matches!(self.pattern_type, ANY | MATCH) || self.pattern_type == pattern.pattern_type;
        let Some(name) = self.name else { return is_kind };
        let is_named = match self.pattern_type {
            MATCH if pattern.pattern_type == PREFIXED => name.starts_with(pattern.name.as_str()),
            MATCH => pattern.name == name || pattern.name == EVERYTHING,
            _ => pattern.name == name,
        };
        is_kind && is_named
    }
}

/// Most entries in the whole cluster.
pub const ENTRIES_MAX: usize = 10_000;

const NAME_LIMIT_BYTES: usize = 2048;

/// In a filter: any value.
pub const ANY: i8 = 1;
/// In a filter: every entry that applies to a resource of this name, whatever the entry's own pattern type.
pub const MATCH: i8 = 2;
/// The resource with exactly this name; the name `*` stands for every resource.
pub const LITERAL: i8 = 3;
/// Every resource whose name begins with this name.
pub const PREFIXED: i8 = 4;

const DENY: i8 = 2;
const ALLOW: i8 = 3;
const CLUSTER: i8 = 4;
const CLUSTER_NAME: &str = "kafka-cluster";
const EVERYTHING: &str = "*";
/// From topic to user.
const RESOURCE_TYPES: std::ops::RangeInclusive<i8> = 2..=7;
/// From all to two-phase commit.
const OPERATIONS: std::ops::RangeInclusive<i8> = 2..=15;
