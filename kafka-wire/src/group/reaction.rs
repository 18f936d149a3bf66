//! The reaction of a member to an error code of its coordinator: one table for JoinGroup, SyncGroup and Heartbeat.

use crate::protocol::ErrorCode;

/// The next step after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// No error: go on.
    Proceed,
    /// Send the same request again, later.
    Retry,
    /// Look up the coordinator again, then send the same request.
    FindCoordinator,
    /// Join again under the same member id: the group has gone on without this member, or is about to.
    Rejoin,
    /// Join again as a new member: the coordinator does not know this one.
    RejoinAsNew,
    /// Join again with the member id that the coordinator has just given (KIP-394).
    AdoptMemberId,
    /// Give up: a retry will not help.
    Fatal,
}

pub(super) fn reaction(code: ErrorCode) -> Reaction {
    match code {
        ErrorCode::NONE => Reaction::Proceed,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Reaction::FindCoordinator,
        ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => Reaction::Rejoin,
        ErrorCode::UNKNOWN_MEMBER_ID => Reaction::RejoinAsNew,
        ErrorCode::MEMBER_ID_REQUIRED => Reaction::AdoptMemberId,
        code if code.is_retriable() => Reaction::Retry,
        _ => Reaction::Fatal,
    }
}
