//! The requests of a membership, of either protocol, to its driver, and their responses.

use std::collections::BTreeMap;

use super::assignor::{PartitionCounts, PartitionRacks};
use crate::protocol::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use crate::protocol::join_group::{JoinGroupRequest, JoinGroupResponse};
use crate::protocol::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use crate::protocol::sync_group::{SyncGroupRequest, SyncGroupResponse};
use crate::wire::{Str, Uuid};

/// An instruction to the driver.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a member has a handful at a time")]
pub enum MemberAction {
    /// Send the request, and pass the response with this id
    /// to `Membership::handle_answer`.
    Request(MemberRequestId, MemberRequest),
    /// The coordinator has moved or is unreachable: look it up again before the next request.
    ForgetCoordinator,
}

/// Identifies a request, so that the response to one that no longer matters is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MemberRequestId(pub(super) u64);

/// A request of the member. All but the last two go to the group's coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberRequest {
    /// Answered when all members have joined, which may take
    /// [`GroupConfig::rebalance_timeout`](crate::group::GroupConfig::rebalance_timeout).
    Join(JoinGroupRequest),
    /// Answered when the leader has assigned, which may take
    /// [`GroupConfig::rebalance_timeout`](crate::group::GroupConfig::rebalance_timeout).
    Sync(SyncGroupRequest),
    /// Answered at once.
    Heartbeat(HeartbeatRequest),
    /// Answered at once. It must not wait behind a pending Join or Sync: use a connection of its own.
    Leave(LeaveGroupRequest),
    /// Answered at once. One request follows the other, in order, also that by which the member leaves.
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    /// The numbers of partitions of these topics, and the racks of their replicas, from the cluster's present metadata.
    PartitionCounts(Vec<Str>),
    /// The names of the topics with these ids, from the cluster's present metadata.
    TopicNames(Vec<Uuid>),
}

/// The response to the [`MemberRequest`] of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberResponse {
    /// To [`MemberRequest::Join`].
    Join(JoinGroupResponse),
    /// To [`MemberRequest::Sync`].
    Sync(SyncGroupResponse),
    /// To [`MemberRequest::Heartbeat`].
    Heartbeat(HeartbeatResponse),
    /// To [`MemberRequest::Leave`].
    Leave(LeaveGroupResponse),
    /// To [`MemberRequest::ConsumerHeartbeat`].
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    /// To [`MemberRequest::PartitionCounts`]; topics that do not exist are missing.
    PartitionCounts(PartitionCounts, PartitionRacks),
    /// To [`MemberRequest::TopicNames`]; topics that do not exist, or that the broker does not know yet, are missing.
    TopicNames(BTreeMap<Uuid, Str>),
}

/// The reason why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// No coordinator, no connection, or no answer in time.
    Unreachable,
    /// The request cannot be encoded, or its response cannot be decoded: a retry will not help.
    Unsupported(String),
}
