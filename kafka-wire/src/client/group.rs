//! The handle of a group member, and the offsets of a group.

use std::fmt;

use super::{Client, CoordinatorError, RequestError};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::group::{GroupConfig, GroupEvent};
use crate::protocol::ErrorCode;
use crate::wire::Str;

/// A member of a classic consumer group: tells its owner which partitions to read, and when to give them back.
///
/// A task in the background joins and heartbeats, on a connection of its own, whatever the owner does meanwhile.
/// Dropping the member ends the task without leaving the group: the coordinator then waits for a session timeout
/// before others get the partitions. [`leave`](Self::leave) hands them over at once.
#[derive(Debug)]
pub struct GroupMember {}

impl GroupMember {
    /// Begins to join the group; the first event tells the outcome. Spawns the member's task, so it has to be called in
    /// a Tokio runtime.
    #[must_use]
    pub fn join(client: Client, config: GroupConfig) -> Self {
        unimplemented!()
    }

    /// Waits for what the owner has to act on next; after `Fatal`, forever. Cancel safe.
    pub async fn next_event(&mut self) -> GroupEvent {
        unimplemented!()
    }

    /// Gives all partitions back and joins again; the next event is the new assignment, if nothing goes wrong. To be
    /// called when nothing is open over the partitions any more: after `Rebalancing`, after `Lost`, and when a commit was
    /// refused because the group has moved on. Does nothing while the member is joining.
    pub fn rejoin(&mut self) {
        unimplemented!()
    }

    /// What goes with the commits of the last assignment. After the membership was lost it stays what it was, so that
    /// the coordinator refuses those commits.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        unimplemented!()
    }

    /// Leaves the group, static members too, so that the others take over at once. Takes 1 s at most; when the
    /// coordinator cannot be reached by then, it notices by the session timeout.
    pub async fn leave(self) {
        unimplemented!()
    }
}

/// Why offsets could not be looked up or committed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OffsetsError {
    /// The coordinator was not found.
    Coordinator(CoordinatorError),
    /// It did not answer.
    Request(RequestError),
    /// It refuses for the whole group.
    Group {
        /// The group.
        group_id: Str,
        /// Why. A retriable code stands for one that stayed until the time was up.
        code: ErrorCode,
    },
    /// It refuses for this partition, and perhaps for others.
    Partition {
        /// The partition.
        partition: TopicPartition,
        /// Why. A retriable code stands for one that stayed until the time was up.
        code: ErrorCode,
    },
}

impl OffsetsError {
    /// The coordinator's refusal, if that is what it is.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Group { code, .. } | Self::Partition { code, .. } => Some(*code),
            Self::Coordinator(_) | Self::Request(_) => None,
        }
    }

    /// Whether the group has moved on without the committer: drop the work and rejoin, never commit it again.
    #[must_use]
    pub const fn is_group_changed(&self) -> bool {
        matches!(
            self.code(),
            Some(
                ErrorCode::ILLEGAL_GENERATION
                    | ErrorCode::UNKNOWN_MEMBER_ID
                    | ErrorCode::FENCED_INSTANCE_ID
                    | ErrorCode::REBALANCE_IN_PROGRESS
            )
        )
    }
}

impl fmt::Display for OffsetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Group { group_id, code } => write!(f, "offsets of group {group_id:?}: {code}"),
            Self::Partition { partition, code } => write!(f, "offset of {partition}: {code}"),
        }
    }
}

impl std::error::Error for OffsetsError {}

/// Looks up how far a group has read these partitions; in the order of `partitions`, `None` where it has committed
/// nothing.
///
/// Offsets that an open transaction is about to change are waited for (UNSTABLE_OFFSET_COMMIT), because a reader that
/// starts from the old ones would do the transaction's work twice. Source: KIP-447.
///
/// # Errors
/// When the coordinator is not found, does not answer or refuses; temporary failures are retried for
/// [`request_timeout`](super::ClientConfig::request_timeout), unstable offsets for as long as they are unstable.
pub async fn fetch_offsets(
    client: &Client,
    group_id: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
    unimplemented!()
}

/// Commits offsets outside of a transaction: to be read next, for a member or for nobody (`without_membership`).
///
/// # Errors
/// As for [`fetch_offsets`]. [`OffsetsError::is_group_changed`] errors are returned at once: such a commit must not be
/// repeated. After an unanswered request the commit may have happened; doing it again is harmless.
pub async fn commit_offsets(
    client: &Client,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, CommittedOffset)],
) -> Result<(), OffsetsError> {
    unimplemented!()
}
