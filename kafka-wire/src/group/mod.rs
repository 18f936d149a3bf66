//! Membership of a classic consumer group, without I/O: who is in, who reads what, what has been read.
//!
//! [`classic::Membership`] is the member's state machine (join, sync, heartbeat, leave), [`assignor`] decides who reads
//! which partition, [`blob`] is what members tell each other through JoinGroup and SyncGroup, [`commit`] is the shape
//! of offset commits and look-ups. [`ownership::Ownership`] is what a group consumer has: its partitions, how far each
//! is read, and what a rebalance does to them. The handles that users hold are in `client`.
//!
//! Deliberately absent: the next-generation protocol (KIP-848), and clocks.

pub mod assignor;
pub mod blob;
pub mod classic;
pub mod commit;
mod election;
mod error;
pub mod ownership;
mod verdict;

use std::time::Duration;

use bytes::Bytes;

pub use self::assignor::Assignor;
pub use self::error::{GroupError, LostCause};
use crate::cluster::TopicPartition;
pub use crate::cluster::{CommittedOffset, GroupMetadata};
use crate::wire::Str;

/// How a member takes part in its group.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.id`: members with the same one share the partitions.
    pub group_id: Str,
    /// `group.instance.id`: makes the member static, so that a restart within `session_timeout` keeps its partitions
    /// without a rebalance. Must be unique in the group; a second member with the same one fences the first. KIP-345.
    pub instance_id: Option<Str>,
    /// Without a heartbeat for this long the coordinator removes the member. Default 45 s; the broker accepts what lies
    /// between its `group.min.session.timeout.ms` (6 s) and `group.max.session.timeout.ms` (30 min).
    pub session_timeout: Duration,
    /// How long a rebalance waits for members to finish their work and rejoin. Default 60 s.
    pub rebalance_timeout: Duration,
    /// Time between heartbeats, and so the time until a member hears of a rebalance. Default 3 s.
    pub heartbeat_interval: Duration,
    /// Topics to read; a topic that does not exist has no partitions until it is created.
    pub topics: Vec<Str>,
    /// Assignors that this member can run, preferred first. All members need one in common. Where all of them are
    /// [cooperative](Assignor::is_cooperative), the member may keep partitions through a rebalance.
    pub assignors: Vec<Assignor>,
    /// Groups of topics of which partitions of equal numbers go to one member, whatever the assignor; those of the
    /// member that leads count. Empty by default. See [`Assignor::assign_together`].
    pub together: Vec<Vec<Str>>,
    /// Put before the names of the assignors when members agree on one. A program whose members must not share
    /// partitions with ordinary consumers has names of its own by it: the coordinator refuses whoever offers none of
    /// them with INCONSISTENT_GROUP_PROTOCOL. Default: none, as the Java consumer.
    pub protocol_prefix: &'static str,
    /// Free bytes that this member gives to the leader with its subscription; empty is sent as null.
    pub user_data: Bytes,
    /// Makes the bytes that every member gets with its assignment, called in the member that leads. `None`: no bytes.
    pub leader_user_data: Option<LeaderUserData>,
    /// How often the leader looks whether topics were created or got more partitions. Default 5 min.
    pub metadata_interval: Duration,
    /// `max.poll.interval.ms`: an owner that does not poll for so long has its partitions taken away, so that others
    /// can go on with them. `None`, the default: nobody watches; for owners that do not poll.
    pub poll_interval: Option<Duration>,
}

/// Makes, in the leader, the bytes that every member receives; its argument has all members, sorted by member id.
pub type LeaderUserData = fn(&[MemberInfo]) -> Bytes;

impl GroupConfig {
    /// Kafka's defaults, range before round-robin as assignors.
    #[must_use]
    pub fn new(group_id: impl Into<Str>, topics: Vec<Str>) -> Self {
        Self {
            group_id: group_id.into(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(3),
            topics,
            assignors: vec![Assignor::Range, Assignor::RoundRobin],
            together: Vec::new(),
            protocol_prefix: "",
            user_data: Bytes::new(),
            leader_user_data: None,
            metadata_interval: Duration::from_secs(300),
            poll_interval: None,
        }
    }

    /// Whether the member keeps partitions through a rebalance: all of its assignors allow it. Source: KIP-429.
    #[must_use]
    pub fn is_cooperative(&self) -> bool {
        !self.assignors.is_empty() && self.assignors.iter().all(Assignor::is_cooperative)
    }

    /// The name by which members agree on an assignor.
    #[must_use]
    pub fn protocol_name(&self, assignor: &Assignor) -> Str {
        match self.protocol_prefix {
            "" => Str::from(assignor.name()),
            prefix => Str::from(format!("{prefix}{}", assignor.name())),
        }
    }

    /// The assignor that members agreed on by name, if this member offers it.
    #[must_use]
    pub fn offered_assignor(&self, protocol_name: &str) -> Option<Assignor> {
        self.assignors.iter().find(|assignor| *self.protocol_name(assignor) == *protocol_name).cloned()
    }
}

/// What the leader knows of a member besides its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Id that the coordinator gave to the member.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
    /// The member's [`GroupConfig::user_data`].
    pub user_data: Bytes,
}

/// What happened to a member; the owner of the partitions has to act on each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// These partitions, and no others, are ours from now on; perhaps none.
    Assigned {
        /// The generation that the assignment belongs to.
        generation: i32,
        /// Sorted, without repetition.
        partitions: Vec<TopicPartition>,
        /// What the leader's [`GroupConfig::leader_user_data`] made; empty when it made nothing.
        user_data: Bytes,
    },
    /// The group wants to share anew. The partitions are still ours: finish and commit what is begun, stop reading,
    /// then `rejoin`, all within [`GroupConfig::rebalance_timeout`]. A cooperative member may rejoin at once and read
    /// on.
    Rebalancing,
    /// The partitions are no longer ours and commits will be refused: drop what is begun, then `rejoin`.
    Lost {
        /// Why.
        cause: LostCause,
    },
    /// The member cannot go on, and no call but `leave` makes sense.
    Fatal(GroupError),
}
