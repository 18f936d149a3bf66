//! The list of the groups of one broker.

use crate::protocol::ErrorCode;
use crate::protocol::list_groups::{ListGroupsRequest, ListGroupsResponse};
use crate::wire::Str;

/// A group, as listed by its coordinator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its id.
    pub group_id: Str,
    /// Protocol type, such as `consumer`; empty for a group that has only offsets.
    pub protocol_type: Str,
    /// State, such as `Stable` or `Empty`; empty before v4 (Kafka 2.6).
    pub state: Str,
    /// Type, such as `classic` or `consumer`; empty before v5 (Kafka 3.8).
    pub group_type: Str,
}

/// Makes a request for all groups of a broker.
#[must_use]
pub fn request() -> ListGroupsRequest {
    ListGroupsRequest::default()
}

/// Returns the groups of one broker.
///
/// # Errors
/// The broker's code.
pub fn read(response: ListGroupsResponse) -> Result<Vec<GroupListing>, ErrorCode> {
    ErrorCode(response.error_code).ok()?;
    let groups = response.groups.into_iter().map(|group| GroupListing {
        group_id: group.group_id,
        protocol_type: group.protocol_type,
        state: group.group_state,
        group_type: group.group_type,
    });
    Ok(groups.collect())
}
