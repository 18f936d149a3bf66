//! What a membership asks of its driver, and what it is answered.

use crate::group::assignor::PartitionCounts;
use crate::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use crate::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};
use crate::wire::Str;

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a member has a handful at a time")]
pub enum Output {
    /// Ask, and hand the answer to [`Membership::handle_answer`](super::Membership::handle_answer) with this id.
    Call(CallId, Call),
    /// The coordinator moved or is unreachable: look it up again before the next call.
    ForgetCoordinator,
}

/// Ties an answer to its call; answers to calls that no longer matter are ignored by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub(super) u64);

/// A question of the member. All but the last go to the group's coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Answered when all members have joined: may take [`GroupConfig::rebalance_timeout`](crate::group::GroupConfig::rebalance_timeout).
    Join(JoinGroupRequest),
    /// Answered when the leader has assigned: may take [`GroupConfig::rebalance_timeout`](crate::group::GroupConfig::rebalance_timeout).
    Sync(SyncGroupRequest),
    /// Answered at once.
    Heartbeat(HeartbeatRequest),
    /// Answered at once. Must not wait behind a pending Join or Sync: use a connection of its own.
    Leave(LeaveGroupRequest),
    /// How many partitions these topics have, as the cluster's metadata says now.
    PartitionCounts(Vec<Str>),
}

/// The answer to the [`Call`] of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Call::Join`].
    Join(JoinGroupResponse),
    /// To [`Call::Sync`].
    Sync(SyncGroupResponse),
    /// To [`Call::Heartbeat`].
    Heartbeat(HeartbeatResponse),
    /// To [`Call::Leave`].
    Leave(LeaveGroupResponse),
    /// To [`Call::PartitionCounts`]; topics that do not exist are missing.
    PartitionCounts(PartitionCounts),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// No coordinator, no connection, or no answer in time.
    Unreachable,
    /// The request cannot be made, or its answer cannot be read: trying again will not help.
    Unsupported(String),
}
