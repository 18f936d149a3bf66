//! Deletion of groups that have no members, with their offsets.

use super::ItemError;
use crate::protocol::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use crate::wire::Str;

/// Makes a request to delete one group.
#[must_use]
pub fn request(group_id: &Str) -> DeleteGroupsRequest {
    DeleteGroupsRequest { groups_names: vec![group_id.clone()], ..Default::default() }
}

/// Returns the outcome for the one group of the request.
///
/// # Errors
/// The coordinator's error: `NON_EMPTY_GROUP`, `GROUP_ID_NOT_FOUND`, or another.
pub fn read(response: DeleteGroupsResponse) -> Result<(), ItemError> {
    let result = response.results.into_iter().next().ok_or_else(ItemError::missing)?;
    ItemError::check(result.error_code, result.error_message)
}
