//! Why a group consumer cannot go on, and why a commit was not taken.

use std::fmt;

use crate::client::{ConnectError, MetadataError, OffsetsError};
use crate::consumer::ConsumeError;
use crate::group::GroupError;
use crate::protocol::ErrorCode;
use crate::wire::Str;

/// The reasons for which a poll fails.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum GroupConsumerError {
    /// No broker can be reached.
    Connect(ConnectError),
    /// The member is out of its group, and every further poll says so again.
    Group(GroupError),
    /// A partition stands still until it is sought; others go on with the next polls.
    Consume(ConsumeError),
    /// The committed offsets cannot be looked up; the next poll tries again.
    Offsets(OffsetsError),
    /// A topic cannot be described, for want of a permission for example; the next poll tries again.
    Metadata(MetadataError),
    /// A topic does not exist, and [`MissingTopic::Fail`](super::MissingTopic::Fail) was asked for.
    MissingTopic {
        /// Its name.
        topic: Str,
    },
}

/// Why offsets were not committed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OffsetCommitError {
    /// The group went on without this member, and the partitions may be others' by now. What was done since the last
    /// commit will be done again by whoever has them: drop it where that matters, and never commit it again. The next
    /// poll says `Lost`.
    StaleGeneration {
        /// ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
        code: ErrorCode,
    },
    /// The group is sharing anew, and takes no commits until this member has joined again: poll, then commit what is
    /// still yours.
    RebalanceInProgress,
    /// The coordinator did not answer or refuses.
    Offsets(OffsetsError),
    /// The consumer was dropped, or its runtime ended, before the commit was answered.
    Closed,
}

impl OffsetCommitError {
    /// Whether the same commit may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::RebalanceInProgress => true,
            Self::StaleGeneration { .. } | Self::Closed => false,
            Self::Offsets(error) => error.code().is_none_or(ErrorCode::is_retriable),
        }
    }
}

impl From<OffsetsError> for OffsetCommitError {
    fn from(error: OffsetsError) -> Self {
        match error.code() {
            Some(ErrorCode::REBALANCE_IN_PROGRESS) => Self::RebalanceInProgress,
            Some(code) if error.is_group_changed() => Self::StaleGeneration { code },
            _ => Self::Offsets(error),
        }
    }
}

impl From<ConsumeError> for GroupConsumerError {
    fn from(error: ConsumeError) -> Self {
        Self::Consume(error)
    }
}

impl fmt::Display for GroupConsumerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Group(error) => error.fmt(f),
            Self::Consume(error) => error.fmt(f),
            Self::Offsets(error) => error.fmt(f),
            Self::Metadata(error) => error.fmt(f),
            Self::MissingTopic { topic } => write!(f, "the topic {topic} does not exist: create it, or check its name"),
        }
    }
}

impl fmt::Display for OffsetCommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StaleGeneration { code } => write!(
                f,
                "the group went on without this consumer ({}), and its partitions may be others' by now: what was read since \
                 the last commit will be read again",
                code.name()
            ),
            Self::RebalanceInProgress => {
                f.write_str("the group is sharing its partitions anew: poll, then commit what is still assigned")
            }
            Self::Offsets(error) => error.fmt(f),
            Self::Closed => f.write_str("the consumer ended before the commit was answered"),
        }
    }
}

impl std::error::Error for GroupConsumerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Group(error) => Some(error),
            Self::Consume(error) => Some(error),
            Self::Offsets(error) => Some(error),
            Self::Metadata(error) => Some(error),
            Self::MissingTopic { .. } => None,
        }
    }
}

impl std::error::Error for OffsetCommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Offsets(error) => Some(error),
            Self::StaleGeneration { .. } | Self::RebalanceInProgress | Self::Closed => None,
        }
    }
}
