//! What consumer groups remember at the cluster: committed offsets, and who may commit them.
//!
//! Plain data that both group members and transactional producers speak of.

use crate::types::{LeaderEpoch, Offset};
use crate::wire::Str;

/// Proof of membership that goes with offset commits, so that a member that lost its partitions cannot commit.
///
/// Plain data, true at the moment it was read: read it afresh for each commit. Source: KIP-447.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: Str,
    /// Counts the group's rebalances; -1 when not a member.
    pub generation: i32,
    /// Id that the coordinator gave to the member; empty when not a member.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
}

impl GroupMetadata {
    /// For commits of a reader that assigns its partitions itself and is in no generation of the group.
    #[must_use]
    pub fn without_membership(group_id: impl Into<Str>) -> Self {
        Self { group_id: group_id.into(), generation: -1, member_id: Str::default(), instance_id: None }
    }
}

/// How far a group has read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Next offset to read.
    pub offset: Offset,
    /// Epoch of the last record that was read; -1 when unknown. Source: KIP-320.
    pub leader_epoch: LeaderEpoch,
    /// Free text of the committer, at most `offset.metadata.max.bytes` (4 KiB) of the broker.
    pub metadata: Str,
}

impl CommittedOffset {
    /// The offset alone: no epoch, no text.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch(-1), metadata: Str::default() }
    }
}
