//! The group coordinator: consumer groups of the classic and of the consumer protocol, and their offsets.
//!
//! `consumer` and `heartbeats` are the consumer protocol (KIP-848). The rest of this module is the classic one:
//!
//! ```text
//! Empty --join--> PreparingRebalance --all joined--> CompletingRebalance --leader's sync--> Stable
//!                        ^-------- a member comes, goes or changes ---------------------------'
//! ```
//! `membership` handles the requests of members, `rebalance` moves the group between its states, `offsets` keeps
//! the committed offsets. JoinGroup and SyncGroup are answered through [`Groups::poll`], the others at once.
//!
//! Source: KIP-62, KIP-345, KIP-394, KIP-447; the rules are those of Kafka's `GroupMetadataManager`.

mod consumer;
mod forget;
mod heartbeats;
mod member;
mod membership;
mod offsets;
mod rebalance;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;
use kafka_wire::types::ProducerId;
use kafka_wire::wire::Str;

use self::consumer::ConsumerGroup;
pub use self::consumer::{Catalog, ConsumerHeartbeat, ConsumerMember, HeartbeatResult, Partitions};
pub use self::member::Member;
use self::offsets::Offsets;
pub use self::offsets::{Commit, CommittedOffset, Fetched};
use super::BrokerConfig;
use super::connection::RequestContext;
use super::partition::PartitionName;

/// A JoinGroup request.
#[derive(Clone, Debug)]
pub struct Join {
    /// The group.
    pub group_id: Str,
    /// Member id; empty for a member that has none yet.
    pub member_id: Str,
    /// Its static name, if it has one.
    pub instance_id: Option<Str>,
    /// Client id; member ids begin with it.
    pub client_id: Str,
    /// The host that it connected from.
    pub client_host: Str,
    /// Session timeout.
    pub session_timeout: Duration,
    /// Rebalance timeout: the time for which the others wait until it rejoins.
    pub rebalance_timeout: Duration,
    /// Protocol type, `consumer` for consumers; all members of a group have the same.
    pub protocol_type: Str,
    /// The assignors that it supports, the preferred one first, each with metadata.
    pub protocols: Vec<(Str, Bytes)>,
    /// Whether a new member is told its id first and comes back with it (version 4 and later, KIP-394).
    pub is_id_required: bool,
    /// Whether a static leader that returns can be told to leave the assignment as it is (version 9
    /// and later, KIP-814).
    pub may_skip_assignment: bool,
}

/// A SyncGroup request.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The group.
    pub group_id: Str,
    /// The member that asks.
    pub caller: Caller,
    /// The protocol type that the member believes was agreed on; not checked if absent (before version 5).
    pub protocol_type: Option<Str>,
    /// The assignor that it believes was agreed on; likewise.
    pub protocol: Option<Str>,
    /// The assignment of each member, if the leader asks.
    pub assignments: Vec<(Str, Bytes)>,
}

/// A member as it names itself in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Member id; empty for none.
    pub member_id: Str,
    /// Its static name, if it has one.
    pub instance_id: Option<Str>,
    /// The generation that it believes to be in; negative for none.
    pub generation: i32,
}

/// The result of a request that had to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberResult {
    /// Result of JoinGroup.
    Join(Joined),
    /// Result of SyncGroup.
    Sync(Synced),
}

/// The result of a JoinGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// `NONE`, or the reason for the refusal.
    pub error: ErrorCode,
    /// The generation joined; -1 with an error.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<Str>,
    /// The assignor that was agreed on.
    pub protocol: Option<Str>,
    /// Member id of the leader.
    pub leader: Str,
    /// The member's own id.
    pub member_id: Str,
    /// Whether the leader is to leave the assignment as it is.
    pub skip_assignment: bool,
    /// For the leader, every member: member id, static name, metadata.
    pub members: Vec<(Str, Option<Str>, Bytes)>,
}

/// The result of a SyncGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// `NONE`, or the reason for the refusal.
    pub error: ErrorCode,
    /// The group's protocol type.
    pub protocol_type: Option<Str>,
    /// The assignor that was agreed on.
    pub protocol: Option<Str>,
    /// The member's assignment from the leader.
    pub assignment: Bytes,
}

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No members; there may be offsets.
    Empty,
    /// The group waits until its members have joined.
    PreparingRebalance {
        /// Earliest end of this state, so that more members of a new group can join.
        earliest: Option<Moment>,
        /// The time at which members that have not joined are dropped.
        deadline: Moment,
    },
    /// The group waits for the leader's assignment.
    CompletingRebalance,
    /// Every member has an assignment.
    Stable,
}

impl Phase {
    /// Kafka's name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance { .. } => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One group.
#[derive(Clone, Debug)]
pub struct Group {
    /// State of the group.
    pub phase: Phase,
    /// Number of its rebalances; 0 before the first.
    pub generation: i32,
    /// Protocol type of its members, or of the last ones that it had; `None` before the first.
    pub protocol_type: Option<Str>,
    /// The assignor that was agreed on.
    pub protocol: Option<Str>,
    /// Member id of the leader.
    pub leader: Option<Str>,
    /// Members by member id.
    pub members: BTreeMap<Str, Member>,
    /// Member id of each static member, by its static name.
    instances: BTreeMap<Str, Str>,
    /// Ids that were given to members that have not come back with them yet, each with its deadline.
    pending: BTreeMap<Str, Moment>,
    /// Members of this generation that have not asked for their assignment.
    unsynced: BTreeSet<Str>,
    /// The time at which members that have not asked for it are removed.
    sync_deadline: Moment,
    /// Time for which a new group waits for further members.
    initial_delay: Duration,
    /// The members of the consumer protocol; `None` for a group of the classic protocol.
    consumer: Option<ConsumerGroup>,
    offsets: Offsets,
    results: VecDeque<(RequestContext, MemberResult)>,
}

/// Every group of the broker.
#[derive(Clone, Debug)]
pub struct Groups {
    by_id: BTreeMap<Str, Group>,
    limits: Limits,
    rng: Rng,
    results: VecDeque<(RequestContext, MemberResult)>,
}

#[derive(Clone, Debug)]
struct Limits {
    session_timeout_min: Duration,
    session_timeout_max: Duration,
    size_max: usize,
    initial_delay: Duration,
    consumer_session_timeout: Duration,
}

impl Groups {
    /// Makes the coordinator without groups; limits come from the configuration.
    #[must_use]
    pub fn new(config: &BrokerConfig, rng: Rng) -> Self {
        let limits = Limits {
            session_timeout_min: config.group_session_timeout_min,
            session_timeout_max: config.group_session_timeout_max,
            size_max: config.group_size_max,
            initial_delay: config.group_initial_rebalance_delay,
            consumer_session_timeout: config.group_consumer_session_timeout,
        };
        Self { by_id: BTreeMap::new(), limits, rng, results: VecDeque::new() }
    }

    /// Handles the JoinGroup of a member; answered through [`Groups::poll`], perhaps much later.
    pub fn join(&mut self, now: Moment, context: RequestContext, join: &Join) {
        let id_for_new = new_member_id(&mut self.rng, join);
        if let Err(error) = self.try_join(now, context, join, id_for_new) {
            let joined = Joined::refused(error, join.member_id.clone());
            self.results.push_back((context, MemberResult::Join(joined)));
        }
    }

    fn try_join(
        &mut self,
        now: Moment,
        context: RequestContext,
        join: &Join,
        id_for_new: Str,
    ) -> Result<(), ErrorCode> {
        if join.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        if !(self.limits.session_timeout_min..=self.limits.session_timeout_max).contains(&join.session_timeout) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if !join.member_id.is_empty() && !self.by_id.contains_key(&join.group_id) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let size_max = self.limits.size_max;
        let group = group_or_new(&mut self.by_id, &join.group_id, &self.limits);
        if !group.is_empty() && group.consumer.is_some() {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        group.consumer = None;
        if join.member_id.is_empty() && group.members.len() + group.pending.len() >= size_max {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        let result = group.join(now, context, join, id_for_new);
        self.results.append(&mut group.results);
        result
    }

    /// Handles the SyncGroup of a member; answered through [`Groups::poll`].
    pub fn sync(&mut self, now: Moment, context: RequestContext, sync: &Sync) {
        let result = self.existing(&sync.group_id, |group| group.sync(now, context, sync));
        if let Err(error) = result {
            self.results.push_back((context, MemberResult::Sync(Synced { error, ..Synced::default() })));
        }
    }

    /// Handles the heartbeat of a member.
    ///
    /// # Errors
    /// `REBALANCE_IN_PROGRESS` if the member should rejoin; `UNKNOWN_MEMBER_ID`, `ILLEGAL_GENERATION`,
    /// `FENCED_INSTANCE_ID`.
    pub fn heartbeat(&mut self, now: Moment, group_id: &str, caller: &Caller) -> Result<(), ErrorCode> {
        self.existing(group_id, |group| group.heartbeat(now, caller))
    }

    /// Removes members, each named by its id or its static name; the generation is not checked.
    /// Returns one result for each.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`.
    pub fn leave(&mut self, now: Moment, group_id: &str, callers: &[Caller]) -> Vec<Result<(), ErrorCode>> {
        let results = self.existing(group_id, |group| Ok(group.leave(now, callers)));
        results.unwrap_or_else(|error| vec![Err(error); callers.len()])
    }

    /// Commits offsets, all of them or none. With `producer`, they take effect when its transaction commits.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, which older versions of the requests call `ILLEGAL_GENERATION`; `UNKNOWN_MEMBER_ID`,
    /// `ILLEGAL_GENERATION`, `FENCED_INSTANCE_ID`; `REBALANCE_IN_PROGRESS` outside a transaction
    /// while the leader's assignment is awaited; `STALE_MEMBER_EPOCH` in a group of the consumer protocol.
    pub fn commit(&mut self, now: Moment, commit: &Commit) -> Result<(), ErrorCode> {
        if commit.caller.generation >= 0 && !self.by_id.contains_key(&commit.group_id) {
            return Err(ErrorCode::GROUP_ID_NOT_FOUND);
        }
        group_or_new(&mut self.by_id, &commit.group_id, &self.limits).commit(now, commit)
    }

    /// Ends the transaction of a producer: its offsets take effect or are dropped.
    pub fn end_transaction(&mut self, group_id: &str, producer_id: ProducerId, is_commit: bool) {
        if let Some(group) = self.by_id.get_mut(group_id) {
            group.offsets.end_transaction(producer_id, is_commit);
        }
    }

    /// The group of this id, if it exists.
    #[must_use]
    pub fn group(&self, group_id: &str) -> Option<&Group> {
        self.by_id.get(group_id)
    }

    /// Every group, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&Str, &Group)> {
        self.by_id.iter()
    }

    /// Deletes a group and its offsets.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`; `NON_EMPTY_GROUP` while it has members.
    pub fn delete(&mut self, group_id: &str) -> Result<(), ErrorCode> {
        let group = self.by_id.get(group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        if !group.is_empty() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        self.by_id.remove(group_id);
        Ok(())
    }

    /// Removes the offsets committed for a topic that was deleted.
    pub fn forget_topic(&mut self, topic: &str) {
        self.by_id.values_mut().for_each(|group| group.offsets.forget_topic(topic));
    }

    /// Ends sessions, rebalances and waits that are due by `now`.
    pub fn handle_timeout(&mut self, now: Moment) {
        for group in self.by_id.values_mut() {
            group.handle_timeout(now);
            if let Some(consumer) = &mut group.consumer {
                consumer.handle_timeout(now);
            }
            self.results.append(&mut group.results);
        }
    }

    /// Returns the time at which [`Groups::handle_timeout`] is due. Looks at every member.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let classic = self.by_id.values().filter_map(Group::next_timeout);
        let consumer = self.by_id.values().filter_map(|group| group.consumer.as_ref()?.next_timeout());
        classic.chain(consumer).min()
    }

    /// The next result of a JoinGroup or SyncGroup, with its request.
    pub fn poll(&mut self) -> Option<(RequestContext, MemberResult)> {
        self.results.pop_front()
    }

    fn existing<T>(
        &mut self,
        group_id: &str,
        change: impl FnOnce(&mut Group) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let group = self.by_id.get_mut(group_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let result = change(group);
        self.results.append(&mut group.results);
        result
    }
}

impl Group {
    fn new(initial_delay: Duration) -> Self {
        Self {
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            sync_deadline: Moment::ZERO,
            initial_delay,
            consumer: None,
            offsets: Offsets::default(),
            results: VecDeque::new(),
        }
    }

    /// The offset committed for a partition.
    ///
    /// # Errors
    /// `UNSTABLE_OFFSET_COMMIT` with `require_stable`, while an open transaction is about to change
    /// the offset (KIP-447).
    pub fn committed(&self, partition: &PartitionName, require_stable: bool) -> Fetched<'_> {
        self.offsets.fetch(partition, require_stable)
    }

    /// The partitions that have a committed offset, in order.
    pub fn committed_partitions(&self) -> impl Iterator<Item = &PartitionName> {
        self.offsets.partitions()
    }
}

impl Join {
    fn detached_protocols(&self) -> Vec<(Str, Bytes)> {
        self.protocols.iter().map(|(name, metadata)| (name.detached(), Bytes::copy_from_slice(metadata))).collect()
    }
}

impl Joined {
    fn refused(error: ErrorCode, member_id: Str) -> Self {
        Self { error, generation: -1, member_id, ..Self::default() }
    }
}

fn group_or_new<'a>(by_id: &'a mut BTreeMap<Str, Group>, group_id: &Str, limits: &Limits) -> &'a mut Group {
    if !by_id.contains_key(group_id) {
        by_id.insert(group_id.detached(), Group::new(limits.initial_delay));
    }
    by_id.get_mut(group_id).expect("just inserted")
}

/// A new member id: the client id and a random UUID, as in Kafka.
fn new_member_id(rng: &mut Rng, join: &Join) -> Str {
    let name = join.instance_id.as_ref().unwrap_or(&join.client_id);
    Str::from(format!("{}-{}", name.as_str(), random_member_id(rng).as_str()))
}

/// A random UUID.
fn random_member_id(rng: &mut Rng) -> Str {
    let (high, low) = (rng.next_u64(), rng.next_u64());
    Str::from(format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    ))
}

#[cfg(test)]
mod tests;
