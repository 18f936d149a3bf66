//! The list of the groups of one broker (KIP-518, KIP-848).

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

/// A filter of groups. The default matches every group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// States, such as `Stable` or `Empty`; empty for any. Brokers know it since Kafka 2.6.
    pub states: Vec<Str>,
    /// Types: `classic`, `consumer`, `share`, `streams`; empty for any. Brokers know it since Kafka 3.8.
    pub types: Vec<Str>,
    /// Protocol types, such as `consumer`; empty for any. This client filters by them, not the broker.
    pub protocol_types: Vec<Str>,
}

/// Makes a request for the groups of a broker that match a filter.
#[must_use]
pub fn request(filter: &GroupFilter) -> ListGroupsRequest {
    ListGroupsRequest { states_filter: filter.states.clone(), types_filter: filter.types.clone(), ..Default::default() }
}

/// Returns the groups of one broker that match a filter.
///
/// # Errors
/// The broker's code.
pub fn read(filter: &GroupFilter, response: ListGroupsResponse) -> Result<Vec<GroupListing>, ErrorCode> {
    ErrorCode(response.error_code).ok()?;
    let groups = response.groups.into_iter().map(|group| GroupListing {
        group_id: group.group_id,
        protocol_type: group.protocol_type,
        state: group.group_state,
        group_type: group.group_type,
    });
    let is_wanted =
        |group: &GroupListing| filter.protocol_types.is_empty() || filter.protocol_types.contains(&group.protocol_type);
    Ok(groups.filter(is_wanted).collect())
}
