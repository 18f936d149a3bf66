//! The reasons why a member cannot join or stay.

use std::fmt;
use std::time::Duration;

use crate::protocol::ErrorCode;
use crate::wire::{DecodeError, Str};

/// An end of the membership that a retry cannot prevent.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupError {
    /// The coordinator refuses the member for a reason without a variant of its own.
    Refused {
        /// The group.
        group_id: Str,
        /// The error code.
        code: ErrorCode,
    },
    /// INVALID_SESSION_TIMEOUT: `session_timeout` is outside the range that the broker allows.
    SessionTimeoutOutOfRange {
        /// The group.
        group_id: Str,
        /// The requested timeout.
        session_timeout: Duration,
    },
    /// FENCED_INSTANCE_ID: another member joined with the same `group.instance.id`.
    FencedInstance {
        /// The group.
        group_id: Str,
        /// The contested id.
        instance_id: Str,
    },
    /// INCONSISTENT_GROUP_PROTOCOL: the present members share no assignor with this one.
    NoCommonAssignor {
        /// The group.
        group_id: Str,
        /// Names of the assignors that this member offered.
        offered: String,
    },
    /// The coordinator chose an assignor that this member did not offer.
    UnknownAssignor {
        /// The group.
        group_id: Str,
        /// The name of that assignor.
        name: Str,
    },
    /// Another member's subscription cannot be decoded, so this leader cannot assign the partitions.
    MalformedSubscription {
        /// The other member.
        member_id: Str,
        /// The error in its bytes.
        cause: DecodeError,
    },
    /// The assignment that the leader made for this member cannot be decoded.
    MalformedAssignment {
        /// The group.
        group_id: Str,
        /// The error in its bytes.
        cause: DecodeError,
    },
    /// UNRELEASED_INSTANCE_ID: another member has the same `group.instance.id`, and still had it after a session
    /// timeout. Only with [`GroupProtocol::Consumer`](super::GroupProtocol::Consumer).
    InstanceInUse {
        /// The group.
        group_id: Str,
        /// The contested id.
        instance_id: Str,
    },
    /// UNSUPPORTED_ASSIGNOR: the coordinator has no assignor of this name.
    UnsupportedAssignor {
        /// The group.
        group_id: Str,
        /// The name that this member asked for.
        name: Str,
    },
    /// INVALID_REGULAR_EXPRESSION: the coordinator cannot read the pattern of topics, which has the syntax of RE2/J.
    InvalidPattern {
        /// The group.
        group_id: Str,
        /// The pattern.
        pattern: Str,
    },
    /// GROUP_ID_NOT_FOUND: the group has members of the classic protocol that cannot or may not change over.
    ClassicGroup {
        /// The group.
        group_id: Str,
    },
    /// The coordinator is too old for the request, or the request cannot be encoded.
    Unsupported {
        /// The group.
        group_id: Str,
        /// The client's error, in words.
        detail: String,
    },
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { group_id, code } => {
                write!(f, "group {group_id}: {} ({}): {}", code.name(), code.0, code.meaning())
            }
            Self::SessionTimeoutOutOfRange { group_id, session_timeout } => write!(
                f,
                "group {group_id}: the broker refuses a session timeout of {session_timeout:?}: choose one between its \
                 group.min.session.timeout.ms and group.max.session.timeout.ms"
            ),
            Self::FencedInstance { group_id, instance_id } => write!(
                f,
                "group {group_id}: another member joined with group.instance.id {instance_id}: give each process its own"
            ),
            Self::NoCommonAssignor { group_id, offered } => write!(
                f,
                "group {group_id}: its members share none of {offered}: set the same partition.assignment.strategy in all"
            ),
            Self::UnknownAssignor { group_id, name } => {
                write!(f, "group {group_id}: the coordinator chose the assignor {name:?}, which was not offered")
            }
            Self::MalformedSubscription { member_id, cause } => {
                write!(f, "the subscription of member {member_id} cannot be read: {cause}")
            }
            Self::MalformedAssignment { group_id, cause } => {
                write!(f, "group {group_id}: the assignment cannot be read: {cause}")
            }
            Self::InstanceInUse { group_id, instance_id } => write!(
                f,
                "group {group_id}: another member has group.instance.id {instance_id} and has not left: give each process its \
                 own"
            ),
            Self::UnsupportedAssignor { group_id, name } => write!(
                f,
                "group {group_id}: the coordinator has no assignor {name:?}: set group.remote.assignor to one of its \
                 group.consumer.assignors, such as uniform or range"
            ),
            Self::InvalidPattern { group_id, pattern } => {
                write!(
                    f,
                    "group {group_id}: the coordinator cannot read the pattern {pattern:?}: its syntax is that of RE2/J"
                )
            }
            Self::ClassicGroup { group_id } => write!(
                f,
                "group {group_id}: its members use group.protocol=classic and cannot change over one by one: stop them first, \
                 or set the broker's group.consumer.migration.policy to bidirectional"
            ),
            Self::Unsupported { group_id, detail } => write!(f, "group {group_id}: {detail}"),
        }
    }
}

debug_as_text!(GroupError);

impl std::error::Error for GroupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::MalformedSubscription { cause, .. } | Self::MalformedAssignment { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

/// The reason why partitions were lost without a rebalance that could be answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostCause {
    /// UNKNOWN_MEMBER_ID: the coordinator removed the member, most often because its heartbeats came too late.
    Removed,
    /// ILLEGAL_GENERATION: the group went on to a generation without this member.
    StaleGeneration,
    /// FENCED_MEMBER_EPOCH: the coordinator has moved this member's partitions on without it, most often because it
    /// took longer than the rebalance timeout to give some up.
    Fenced,
    /// No heartbeat succeeded for a session timeout, so the coordinator may have removed the member.
    SessionExpired,
    /// The owner did not poll for [`GroupConfig::poll_interval`](super::GroupConfig::poll_interval)
    /// (`max.poll.interval.ms`), and the member left, so that other members can go on.
    PollIntervalExceeded,
}

impl fmt::Display for LostCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the coordinator removed the member (UNKNOWN_MEMBER_ID)",
            Self::StaleGeneration => "the group is in a later generation (ILLEGAL_GENERATION)",
            Self::Fenced => "the coordinator fenced the member (FENCED_MEMBER_EPOCH)",
            Self::SessionExpired => "no heartbeat got through for a session timeout",
            Self::PollIntervalExceeded => {
                "poll was not called for max.poll.interval.ms, so the member left: make the work between two polls shorter, or \
                 raise max.poll.interval.ms"
            }
        })
    }
}
