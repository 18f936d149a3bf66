//! Errors of polls and commits of a group consumer.

use std::fmt;

use crate::client::{ConnectError, MetadataError, OffsetsError};
use crate::consumer::ConsumeError;
use crate::group::GroupError;
use crate::protocol::ErrorCode;
use crate::wire::Str;

/// The reasons for which a poll fails.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum GroupConsumerError {
    /// No broker can be reached.
    Connect(ConnectError),
    /// The member is out of its group. Every further poll fails with the same error.
    Group(GroupError),
    /// A partition stops until the caller seeks in it; others go on with the next polls.
    Consume(ConsumeError),
    /// The committed offsets cannot be looked up; the next poll tries again.
    Offsets(OffsetsError),
    /// A topic cannot be described, for example because a permission is missing; the next poll tries again.
    Metadata(MetadataError),
    /// A topic does not exist, and the setting is [`MissingTopic::Fail`](super::MissingTopic::Fail).
    MissingTopic {
        /// Its name.
        topic: Str,
    },
}

/// The reason why offsets were not committed.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum OffsetCommitError {
    /// The group went on without this member, and other members may have the partitions by now. They will process
    /// everything since the last commit again: undo that work if that matters, and never commit these offsets again.
    /// The next poll returns `Lost`.
    StaleGeneration {
        /// ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
        code: ErrorCode,
    },
    /// The group is rebalancing and takes no commits until this member has joined again, or it has rebalanced since the
    /// commit was asked for: poll, then commit the offsets of the partitions that are still assigned.
    RebalanceInProgress,
    /// The coordinator did not answer or refused the commit.
    Offsets(OffsetsError),
    /// The consumer was dropped, or its runtime ended, before the commit was answered.
    Closed,
}

impl GroupConsumerError {
    /// Returns whether another poll may succeed without anybody's help.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_retriable(),
            Self::Offsets(error) => error.is_retriable(),
            Self::Metadata(error) => error.is_retriable(),
            Self::Group(_) | Self::Consume(_) => false,
            Self::MissingTopic { .. } => true,
        }
    }

    /// Returns whether polls fail until somebody changes a configuration, a permission or a position.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !self.is_retriable()
    }
}

impl OffsetCommitError {
    /// Returns whether the same commit may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::RebalanceInProgress => true,
            Self::StaleGeneration { .. } | Self::Closed => false,
            Self::Offsets(error) => error.code().is_none_or(ErrorCode::is_retriable),
        }
    }

    /// Returns whether the same commit must never be repeated, or would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !self.is_retriable()
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

debug_as_text!(GroupConsumerError, OffsetCommitError);

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
