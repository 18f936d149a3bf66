//! Membership of a consumer group, without I/O: members, assignments, committed offsets.
//!
//! A program that reads in a group needs `client::GroupConsumer`; from here it may choose an
//! [`Assignor`], or bring one of its own ([`assignor::PartitionAssignor`]), and the [`GroupProtocol`].
//!
//! A member speaks one of two protocols, and [`membership::Membership`] is one of either.
//! [`classic::Membership`] joins, syncs and sends heartbeats: one member leads and assigns, by an [`assignor`], and
//! [`blob`] is the data that members exchange through JoinGroup and SyncGroup. [`consumer::Membership`] only sends
//! heartbeats: the coordinator assigns (KIP-848). [`commit`] has the formats of offset commits and look-ups.
//! [`ownership::Ownership`] holds the partitions of a group consumer, how far each is read, and how a rebalance affects
//! them; [`Succession`] tells which of them stay with it. The handles that users hold are in `client`.
//!
//! Deliberately absent: clocks.

pub mod assignor;
pub mod blob;
pub mod classic;
pub mod commit;
pub mod consumer;
mod election;
mod error;
pub mod membership;
pub mod ownership;
mod reaction;
pub mod request;
mod succession;

use std::time::Duration;

use bytes::Bytes;

pub use self::assignor::Assignor;
pub use self::error::{GroupError, LostCause};
pub use self::succession::{Reassignment, Succession};
use crate::cluster::TopicPartition;
pub use crate::cluster::{CommittedOffset, GroupMetadata};
use crate::wire::Str;

/// The manner in which partitions change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Members give everything up before they join again.
    Eager,
    /// Members give up what the next assignment takes from them, and join again when they have (KIP-429).
    Cooperative,
    /// As cooperative, and members report after every assignment what they have (KIP-848).
    Acknowledged,
}

/// The protocol between a member and its coordinator (`group.protocol`).
///
/// Members of both may be in one group while it changes over: restart them one by one with the other protocol. A broker
/// allows that by `group.consumer.migration.policy`, in both directions by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// One of the members leads and assigns the partitions.
    #[default]
    Classic,
    /// The coordinator assigns the partitions, and moves them one by one: only members that give partitions up or get
    /// some take part in a rebalance. Brokers have it from Kafka 4.0 on. Source: KIP-848.
    Consumer,
}

/// The settings of a member.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.id`: members with the same id share the partitions.
    pub group_id: Str,
    /// `group.protocol`. With [`GroupProtocol::Consumer`] the broker's settings count in place of `session_timeout`,
    /// `heartbeat_interval`, `assignors`, `together`, `protocol_prefix`, `user_data` and `leader_user_data`.
    pub protocol: GroupProtocol,
    /// `group.remote.assignor`: the assignor that the coordinator is to use, such as `uniform` or `range`. `None`: its
    /// own choice. Only with [`GroupProtocol::Consumer`].
    pub remote_assignor: Option<Str>,
    /// A regular expression in the syntax of RE2/J, evaluated by the coordinator: topics whose whole names match are
    /// read beside `topics`. Only with [`GroupProtocol::Consumer`].
    pub pattern: Option<Str>,
    /// `client.rack`: the rack of the member, for assignors that keep reads inside a rack.
    pub rack: Option<Str>,
    /// `group.instance.id`: makes the member static, so that a restart within `session_timeout` keeps its partitions
    /// without a rebalance. It must be unique in the group; a second member with the same id fences the first. KIP-345.
    pub instance_id: Option<Str>,
    /// Time without a heartbeat after which the coordinator removes the member. Default 45 s; the broker accepts values
    /// from its `group.min.session.timeout.ms` (6 s) to its `group.max.session.timeout.ms` (30 min).
    pub session_timeout: Duration,
    /// Time for which a rebalance waits for members to finish their work and rejoin. Default 60 s.
    pub rebalance_timeout: Duration,
    /// Time between heartbeats, and so until a member learns of a rebalance. Default 3 s. One that is not below
    /// `session_timeout` counts as a third of it.
    pub heartbeat_interval: Duration,
    /// Topics to read; a topic that does not exist has no partitions until it is created.
    pub topics: Vec<Str>,
    /// Assignors that this member can run, preferred first. All members need one in common. If all of them are
    /// [cooperative](Assignor::is_cooperative), the member may keep partitions through a rebalance.
    pub assignors: Vec<Assignor>,
    /// Sets of topics whose partitions with equal numbers go to one member, whatever the assignor; the leader's setting
    /// counts. Empty by default. See [`Assignor::assign_together`].
    pub together: Vec<Vec<Str>>,
    /// Whether a static leader that comes back within its session, and is told to leave the assignment as it is
    /// (KIP-814), begins a rebalance at once: it may know of topics that have come meanwhile. Default: no, as in the
    /// Java consumer.
    pub rebalances_on_return: bool,
    /// Prefix of the assignors' names in the group protocol. With a prefix of its own, a program keeps its members
    /// apart from ordinary consumers: the coordinator refuses a member that offers none of these names with
    /// INCONSISTENT_GROUP_PROTOCOL. Default: none, as in the Java consumer.
    pub protocol_prefix: &'static str,
    /// Bytes that this member gives to the leader with its subscription; if empty, they are sent as null.
    pub user_data: Bytes,
    /// Makes the bytes that every member gets with its assignment; called in the leader. `None`: no bytes.
    pub leader_user_data: Option<LeaderUserData>,
    /// Interval at which the leader checks whether topics were created or got more partitions. Default 5 min.
    pub metadata_interval: Duration,
    /// `max.poll.interval.ms`: an owner that does not poll for this long loses its partitions, so that other members
    /// can go on with them. `None`, the default, for owners that do not poll.
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
            protocol: GroupProtocol::Classic,
            remote_assignor: None,
            pattern: None,
            rack: None,
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(3),
            topics,
            assignors: vec![Assignor::Range, Assignor::RoundRobin],
            together: Vec::new(),
            rebalances_on_return: false,
            protocol_prefix: "",
            user_data: Bytes::new(),
            leader_user_data: None,
            metadata_interval: Duration::from_secs(300),
            poll_interval: None,
        }
    }

    /// Returns whether the member keeps partitions through a rebalance, because all of its assignors allow
    /// it. Source: KIP-429.
    #[must_use]
    pub fn is_cooperative(&self) -> bool {
        !self.assignors.is_empty() && self.assignors.iter().all(Assignor::is_cooperative)
    }

    /// Returns the manner in which members of this group exchange partitions.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        match self.protocol {
            GroupProtocol::Consumer => Exchange::Acknowledged,
            GroupProtocol::Classic if self.is_cooperative() => Exchange::Cooperative,
            GroupProtocol::Classic => Exchange::Eager,
        }
    }

    /// The name of an assignor in the group protocol.
    #[must_use]
    pub fn protocol_name(&self, assignor: &Assignor) -> Str {
        match self.protocol_prefix {
            "" => Str::from(assignor.name()),
            prefix => Str::from(format!("{prefix}{}", assignor.name())),
        }
    }

    /// The assignor with this name in the group protocol, if this member offers it.
    #[must_use]
    pub fn offered_assignor(&self, protocol_name: &str) -> Option<Assignor> {
        self.assignors.iter().find(|assignor| *self.protocol_name(assignor) == *protocol_name).cloned()
    }
}

/// The facts about a member that the leader knows besides its topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Member id, given by the coordinator.
    pub member_id: Str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Str>,
    /// The member's [`GroupConfig::user_data`].
    pub user_data: Bytes,
}

/// An event of a membership, to which the owner of the partitions has to react.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupEvent {
    /// From now on these partitions, perhaps none, are assigned to this member.
    Assigned {
        /// The generation that the assignment belongs to, or the member epoch.
        generation: i32,
        /// Sorted, without repetition.
        partitions: Vec<TopicPartition>,
        /// The bytes that the leader's [`GroupConfig::leader_user_data`] made; empty if it made none.
        user_data: Bytes,
    },
    /// The group wants to rebalance. The member still has its partitions: finish and commit the work that is begun,
    /// stop reading, then `rejoin`, all within [`GroupConfig::rebalance_timeout`]. A cooperative member may rejoin at
    /// once and go on reading.
    Rebalancing,
    /// The partitions no longer belong to this member and commits will be refused: drop the open work, then `rejoin`.
    Lost {
        /// The cause.
        cause: LostCause,
    },
    /// The member cannot go on; the only useful call is `leave`.
    Fatal(GroupError),
}
