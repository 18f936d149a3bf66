//! Access control entries: kept and shown, never asked. Everybody may do everything, as a superuser of Kafka may.
//!
//! Source: KIP-11, KIP-140, KIP-290; the rules are those of Kafka's `AclControlManager`.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;

/// What entries are about: a resource by its name, or all whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Kafka's number for the kind of resource.
    pub resource_type: i8,
    /// Name or prefix.
    pub name: Str,
    /// Kafka's number for how the name is meant: [`LITERAL`] or [`PREFIXED`].
    pub pattern_type: i8,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// What it is about.
    pub pattern: Pattern,
    /// Who, as `User:alice`.
    pub principal: Str,
    /// From where; `*` for anywhere.
    pub host: Str,
    /// Kafka's number for what they want to do.
    pub operation: i8,
    /// Kafka's number for whether they may.
    pub permission_type: i8,
}

/// Which entries somebody means. `None` means any, and so does [`ANY`].
#[derive(Clone, Debug)]
pub struct AclFilter<'a> {
    /// Kind of resource.
    pub resource_type: i8,
    /// Name of the resource.
    pub name: Option<&'a str>,
    /// How names of entries are compared with it: [`LITERAL`], [`PREFIXED`], [`MATCH`] or [`ANY`].
    pub pattern_type: i8,
    /// Who.
    pub principal: Option<&'a str>,
    /// From where.
    pub host: Option<&'a str>,
    /// What they want to do.
    pub operation: i8,
    /// Whether they may.
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
    /// `INVALID_REQUEST` for numbers that name nothing or anything, an empty name, a name of the cluster that is not
    /// its own, a very long name, a principal without a type. `POLICY_VIOLATION` beyond [`ENTRIES_MAX`].
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

    /// The entries that a filter means, in the order of what they are about.
    pub fn find<'a>(&'a self, filter: &'a AclFilter<'a>) -> impl Iterator<Item = &'a Acl> {
        self.entries.iter().filter(|acl| filter.admits(acl))
    }

    /// Takes an entry away.
    pub fn delete(&mut self, acl: &Acl) {
        self.entries.remove(acl);
    }
}

impl AclFilter<'_> {
    /// Whether each of its numbers names something.
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

/// Entries in the whole cluster.
pub const ENTRIES_MAX: usize = 10_000;

const NAME_LIMIT_BYTES: usize = 2048;

/// In a filter: any.
pub const ANY: i8 = 1;
/// In a filter: entries that apply to the name, whatever their own pattern.
pub const MATCH: i8 = 2;
/// The name is that of the resource; `*` is every resource.
pub const LITERAL: i8 = 3;
/// The names of the resources begin with it.
pub const PREFIXED: i8 = 4;

const DENY: i8 = 2;
const ALLOW: i8 = 3;
const CLUSTER: i8 = 4;
const CLUSTER_NAME: &str = "kafka-cluster";
const EVERYTHING: &str = "*";
/// Topic to user.
const RESOURCE_TYPES: std::ops::RangeInclusive<i8> = 2..=7;
/// All to two-phase commit.
const OPERATIONS: std::ops::RangeInclusive<i8> = 2..=15;
