//! Committed offsets of consumer groups, and the group membership that a commit proves.
//!
//! Plain data that group members and transactional producers share.

use crate::types::{LeaderEpoch, Offset};
use crate::wire::Str;

/// The membership that an offset commit proves, so that a member that lost its partitions cannot commit.
///
/// Plain data, true at the moment at which it was read: read it again for each commit. Source: KIP-447.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// `group.id`.
    pub group_id: Str,
    /// Generation of the group, which counts its rebalances, or in the consumer protocol the epoch of the member;
    /// -1 for none.
    pub generation: i32,
    /// Member id, given by the coordinator; empty for none.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
}

impl GroupMetadata {
    /// For commits of a reader that assigns its partitions itself and belongs to no generation of the group.
    #[must_use]
    pub fn without_membership(group_id: impl Into<Str>) -> Self {
        Self { group_id: group_id.into(), generation: -1, member_id: Str::default(), instance_id: None }
    }
}

/// A committed offset of a group in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Next offset to read.
    pub offset: Offset,
    /// Epoch of the last record that was read; -1 when unknown. Source: KIP-320.
    pub leader_epoch: LeaderEpoch,
    /// Free text of the client, at most `offset.metadata.max.bytes` (4 KiB) of the broker.
    pub metadata: Str,
}

impl CommittedOffset {
    /// An offset without epoch and text.
    #[must_use]
    pub fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: LeaderEpoch(-1), metadata: Str::default() }
    }
}
