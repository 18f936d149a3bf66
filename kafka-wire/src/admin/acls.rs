//! Access control entries: to describe, create and delete them (KIP-140).

use super::{ItemError, Outcomes};
use crate::protocol::create_acls::{AclCreation, CreateAclsRequest, CreateAclsResponse};
use crate::protocol::delete_acls::{DeleteAclsFilter, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse};
use crate::protocol::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
use crate::wire::Str;

/// Makes an enum with Kafka's numbers.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A number that this crate does not know.
            Other(i8),
        }

        impl $name {
            const fn number(self) -> i8 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(number) => number,
                }
            }

            const fn from_number(number: i8) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }
        }
    };
}

numbers! {
    /// The kind of resource that an entry is about.
    AclResource {
        /// Topics.
        Topic = 2,
        /// Groups.
        Group = 3,
        /// The cluster; its name is `kafka-cluster`.
        Cluster = 4,
        /// Transactional ids.
        TransactionalId = 5,
        /// Delegation tokens.
        DelegationToken = 6,
        /// Users.
        User = 7,
    }
}

numbers! {
    /// The operation that an entry allows or denies.
    AclOperation {
        /// Every operation.
        All = 2,
        /// Reading.
        Read = 3,
        /// Writing.
        Write = 4,
        /// Creating.
        Create = 5,
        /// Deleting.
        Delete = 6,
        /// Changing.
        Alter = 7,
        /// Describing.
        Describe = 8,
        /// Actions between brokers.
        ClusterAction = 9,
        /// Describing settings.
        DescribeConfigs = 10,
        /// Changing settings.
        AlterConfigs = 11,
        /// Idempotent writing.
        IdempotentWrite = 12,
        /// Creating delegation tokens.
        CreateTokens = 13,
        /// Describing delegation tokens.
        DescribeTokens = 14,
        /// Transactions with a second phase of their own (KIP-939).
        TwoPhaseCommit = 15,
    }
}

impl AclOperation {
    /// Returns the operations of a bit set, in which bit `n` stands for the operation of the number `n` (KIP-430);
    /// `None` if the broker did not tell.
    #[must_use]
    pub(super) fn from_bits(bits: i32) -> Option<Vec<Self>> {
        let numbers = (0..31).filter(|number| bits & (1 << number) != 0);
        (bits != i32::MIN).then(|| numbers.map(Self::from_number).collect())
    }
}

numbers! {
    /// The way in which the name of an entry is matched.
    AclPattern {
        /// Exactly this name; `*` stands for any.
        Literal = 3,
        /// Names with this prefix.
        Prefixed = 4,
    }
}

numbers! {
    /// Whether an entry allows or denies.
    AclPermission {
        /// Denied, even if another entry allows it.
        Deny = 2,
        /// Allowed, unless another entry denies it.
        Allow = 3,
    }
}

/// An access control entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acl {
    /// Kind of resource.
    pub resource: AclResource,
    /// Name or prefix of the resource; `*` for any.
    pub name: Str,
    /// Match of the name.
    pub pattern: AclPattern,
    /// Principal, such as `User:alice`; `User:*` for everybody.
    pub principal: Str,
    /// Address of the client; `*` for any.
    pub host: Str,
    /// Operation.
    pub operation: AclOperation,
    /// Allowed or denied.
    pub permission: AclPermission,
}

impl Acl {
    /// Makes an entry that allows `principal` (`User:alice`) an operation on the resource of exactly this
    /// name, from any host.
    #[must_use]
    pub fn allow(
        principal: impl Into<Str>,
        operation: AclOperation,
        resource: AclResource,
        name: impl Into<Str>,
    ) -> Self {
        Self {
            resource,
            name: name.into(),
            pattern: AclPattern::Literal,
            principal: principal.into(),
            host: Str::from_static("*"),
            operation,
            permission: AclPermission::Allow,
        }
    }
}

/// A filter of entries: all conditions that are set must hold. The default matches every entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclFilter {
    /// Kind of resource.
    pub resource: Option<AclResource>,
    /// Name of the resource, as the entry has it.
    pub name: Option<Str>,
    /// Match of the name.
    pub pattern: Option<AclPattern>,
    /// Principal.
    pub principal: Option<Str>,
    /// Address of the client.
    pub host: Option<Str>,
    /// Operation.
    pub operation: Option<AclOperation>,
    /// Allowed or denied.
    pub permission: Option<AclPermission>,
}

/// The number that stands for any value.
const ANY: i8 = 1;

/// Makes a request for the entries that match a filter.
#[must_use]
pub fn describe_request(filter: &AclFilter) -> DescribeAclsRequest {
    DescribeAclsRequest {
        resource_type_filter: filter.resource.map_or(ANY, AclResource::number),
        resource_name_filter: filter.name.clone(),
        pattern_type_filter: filter.pattern.map_or(ANY, AclPattern::number),
        principal_filter: filter.principal.clone(),
        host_filter: filter.host.clone(),
        operation: filter.operation.map_or(ANY, AclOperation::number),
        permission_type: filter.permission.map_or(ANY, AclPermission::number),
        ..Default::default()
    }
}

/// Returns the entries that were found, sorted.
///
/// # Errors
/// The broker's error; `SECURITY_DISABLED` if it has no authorizer.
pub fn read_described(response: DescribeAclsResponse) -> Result<Vec<Acl>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let mut found = Vec::new();
    for resource in response.resources {
        found.extend(resource.acls.into_iter().map(|acl| Acl {
            resource: AclResource::from_number(resource.resource_type),
            name: resource.resource_name.clone(),
            pattern: AclPattern::from_number(resource.pattern_type),
            principal: acl.principal,
            host: acl.host,
            operation: AclOperation::from_number(acl.operation),
            permission: AclPermission::from_number(acl.permission_type),
        }));
    }
    found.sort();
    Ok(found)
}

/// Makes a request to add entries.
#[must_use]
pub fn create_request(acls: &[Acl]) -> CreateAclsRequest {
    let creations = acls.iter().map(|acl| AclCreation {
        resource_type: acl.resource.number(),
        resource_name: acl.name.clone(),
        resource_pattern_type: acl.pattern.number(),
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: acl.operation.number(),
        permission_type: acl.permission.number(),
        ..Default::default()
    });
    CreateAclsRequest { creations: creations.collect(), ..Default::default() }
}

/// Returns the outcome of each entry, in the order of `acls`.
#[must_use]
pub fn read_created(acls: &[Acl], response: CreateAclsResponse) -> Outcomes<Acl> {
    let mut results = response.results.into_iter();
    let mut outcome = || {
        results
            .next()
            .map_or_else(|| Err(ItemError::missing()), |one| ItemError::check(one.error_code, one.error_message))
    };
    acls.iter().map(|acl| (acl.clone(), outcome())).collect()
}

/// Makes a request to delete the entries that match a filter.
#[must_use]
pub fn delete_request(filter: &AclFilter) -> DeleteAclsRequest {
    let described = describe_request(filter);
    let filter = DeleteAclsFilter {
        resource_type_filter: described.resource_type_filter,
        resource_name_filter: described.resource_name_filter,
        pattern_type_filter: described.pattern_type_filter,
        principal_filter: described.principal_filter,
        host_filter: described.host_filter,
        operation: described.operation,
        permission_type: described.permission_type,
        ..Default::default()
    };
    DeleteAclsRequest { filters: vec![filter], ..Default::default() }
}

/// Returns the outcome of each entry that matched.
///
/// # Errors
/// The broker's error about the filter.
pub fn read_deleted(response: DeleteAclsResponse) -> Result<Outcomes<Acl>, ItemError> {
    let result = response.filter_results.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(result.error_code, result.error_message)?;
    Ok(result.matching_acls.into_iter().map(deleted).collect())
}

fn deleted(matching: DeleteAclsMatchingAcl) -> (Acl, Result<(), ItemError>) {
    let acl = Acl {
        resource: AclResource::from_number(matching.resource_type),
        name: matching.resource_name,
        pattern: AclPattern::from_number(matching.pattern_type),
        principal: matching.principal,
        host: matching.host,
        operation: AclOperation::from_number(matching.operation),
        permission: AclPermission::from_number(matching.permission_type),
    };
    (acl, ItemError::check(matching.error_code, matching.error_message))
}
