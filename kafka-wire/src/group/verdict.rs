//! What a member does about an error of its coordinator: one table for JoinGroup, SyncGroup and Heartbeat.

use crate::protocol::ErrorCode;

/// The way on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No error.
    Proceed,
    /// The same again, later.
    Retry,
    /// The same again, later, to whoever coordinates the group by then.
    FindCoordinator,
    /// Join again under the same member id: the group went on without us, or is about to.
    Rejoin,
    /// Join again as a new member: the coordinator does not know us.
    RejoinAsNew,
    /// The coordinator gave us a member id and wants to see it. KIP-394.
    AdoptMemberId,
    /// Trying again will not help.
    Fatal,
}

pub(super) fn verdict(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::NONE => Verdict::Proceed,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Verdict::FindCoordinator,
        ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::ILLEGAL_GENERATION => Verdict::Rejoin,
        ErrorCode::UNKNOWN_MEMBER_ID => Verdict::RejoinAsNew,
        ErrorCode::MEMBER_ID_REQUIRED => Verdict::AdoptMemberId,
        code if code.is_retriable() => Verdict::Retry,
        _ => Verdict::Fatal,
    }
}
