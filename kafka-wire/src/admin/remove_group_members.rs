//! Removal of static members from a classic group (KIP-345).

use super::{ItemError, Outcomes};
use crate::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use crate::wire::Str;

/// Makes a request that removes the members with these instance ids from a group; `reason` is for the broker's log.
#[must_use]
pub fn request(group_id: &Str, instance_ids: &[Str], reason: &Str) -> LeaveGroupRequest {
    let members = instance_ids.iter().map(|instance_id| MemberIdentity {
        group_instance_id: Some(instance_id.clone()),
        reason: Some(reason.clone()),
        ..Default::default()
    });
    LeaveGroupRequest { group_id: group_id.clone(), members: members.collect(), ..Default::default() }
}

/// Returns the outcome of each member, in the order of `instance_ids`.
///
/// # Errors
/// The coordinator's error for the whole group.
pub fn read(instance_ids: &[Str], response: LeaveGroupResponse) -> Result<Outcomes<Str>, ItemError> {
    ItemError::check(response.error_code, None)?;
    let answers = response.members.into_iter();
    let answers = answers.filter_map(|one| Some((one.group_instance_id?, ItemError::check(one.error_code, None))));
    Ok(super::outcomes_by(instance_ids, Str::clone, answers))
}
