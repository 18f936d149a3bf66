//! The reaction of a member to an error code of its coordinator: one table for JoinGroup, SyncGroup and Heartbeat.
//! Members of both protocols wait alike after a failure.

use std::time::Duration;

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

const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// 50 ms after the first failure, twice as long after each further one, 1 s at most.
pub(super) fn retry_delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    RETRY_DELAY_MIN.saturating_mul(1 << doublings).min(RETRY_DELAY_MAX)
}

/// A duration as requests have it: in milliseconds, at most 24 days.
pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
