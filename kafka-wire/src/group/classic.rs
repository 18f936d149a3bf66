//! The member of a classic group as a state machine.
//!
//! ```text
//! Unjoined --rejoin--> Joining --not leader--> Syncing --> Stable --heartbeat: REBALANCE_IN_PROGRESS--> (event) Stable
//!    ^                  |  ^ \--leader--> Electing --^       |                                  rejoin --> Joining
//!    |                  v  |                                 |
//!    |               JoinAt (back-off after an error)        v
//!    +---------------------- Lost: unknown member, stale generation, no heartbeat for a session timeout
//! ```
//! Once assigned, the machine joins again only when its owner says so: until then the owner may have an open
//! transaction over its partitions, and a JoinGroup would give them away. Before that, and after `rejoin`, errors of
//! JoinGroup and SyncGroup are handled here, each retry later than the one before, so that no error makes a hot loop.
//!
//! A pending JoinGroup or SyncGroup counts as a heartbeat at the coordinator, so heartbeats run in `Stable` only.
//!
//! A cooperative owner joins again while it keeps partitions (`handle_rejoin_keeping`). Then it has to know of an error
//! that takes them away, and of a coordinator that could not be reached for a session timeout: both are reported as
//! `Lost`, as in `Stable`.

mod joining;

use std::collections::VecDeque;
use std::time::Duration;

use super::assignor::PartitionCounts;
use super::election::Election;
use super::reaction::{Reaction, reaction, retry_delay};
use super::request::{MemberAction, MemberRequest, MemberRequestId, MemberResponse, RequestFailure};
use super::{GroupConfig, GroupError, GroupEvent, GroupMetadata, LostCause};
use crate::cluster::{MissingTopics, TopicPartition, UNKNOWN_TOPIC_PATIENCE};
use crate::protocol::ErrorCode;
use crate::protocol::heartbeat::HeartbeatRequest;
use crate::protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use crate::time::Moment;
use crate::wire::Str;

/// A member of a classic group, without I/O.
///
/// Call `handle_*` with each event, then [`poll`](Self::poll) and [`poll_event`](Self::poll_event) until both return
/// `None`, and [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) is due.
#[derive(Debug)]
pub struct Membership {
    config: GroupConfig,
    state: State,
    /// Member id; empty until the coordinator gives one, and after it has forgotten the member.
    member_id: Str,
    /// Membership of the last assignment. It is kept when the membership is lost, so that commits of work done under it
    /// are refused; without a generation and a member id the coordinator would accept them from anyone.
    proof: GroupMetadata,
    /// The last assignment; empty before the first.
    assigned: Vec<TopicPartition>,
    /// The topics of the last JoinGroup.
    subscribed: Vec<Str>,
    /// Partitions that the owner keeps while the member joins.
    kept: Vec<TopicPartition>,
    /// The time at which kept partitions count as lost if the coordinator cannot be reached until then.
    kept_until: Option<Moment>,
    /// The time by which the owner has to have polled; `None` while it polls, and if polls are not watched.
    poll_deadline: Option<Moment>,
    /// Attempts to join since the last assignment.
    tries: u32,
    /// Losses of the membership.
    losses: u64,
    last_call: u64,
    actions: VecDeque<MemberAction>,
    events: VecDeque<GroupEvent>,
}

#[derive(Debug)]
enum State {
    Unjoined,
    JoinAt(Moment),
    Joining(MemberRequestId),
    Electing(MemberRequestId, Election),
    Syncing {
        call: MemberRequestId,
        generation: i32,
        watch: Option<Watch>,
    },
    Stable(Stable),
    /// The member leaves as soon as it is told its id: see [`Membership::handle_leave`].
    LeavingOnceKnown(MemberRequestId),
    Leaving(MemberRequestId),
    Left,
    Fatal,
}

#[derive(Debug)]
struct Stable {
    /// The heartbeat in flight, and the time at which it was sent.
    heartbeat: Option<(MemberRequestId, Moment)>,
    next_heartbeat: Moment,
    session_end: Moment,
    failures: u32,
    /// Whether the owner has been told that the group rebalances.
    is_rebalancing: bool,
    /// Only in the leader: the partition counts that the assignment was made from, and the next check of them.
    watch: Option<Watch>,
}

/// The leader's watch over the partition counts of all members' topics.
#[derive(Debug)]
struct Watch {
    topics: Vec<Str>,
    counts: PartitionCounts,
    call: Option<MemberRequestId>,
    next: Moment,
    /// Topics of `counts` that the last checks did not find.
    missing: MissingTopics,
    /// Whether the assignment is that of an earlier election, because a static leader came back.
    is_of_return: bool,
}

impl Membership {
    /// Makes a member that has not joined; [`handle_rejoin`](Self::handle_rejoin) makes it join.
    #[must_use]
    pub fn new(mut config: GroupConfig) -> Self {
        // Otherwise the session would end before the first heartbeat.
        if config.heartbeat_interval >= config.session_timeout {
            config.heartbeat_interval = config.session_timeout / 3;
        }
        let proof = GroupMetadata {
            instance_id: config.instance_id.clone(),
            ..GroupMetadata::without_membership(config.group_id.clone())
        };
        Self {
            config,
            state: State::Unjoined,
            member_id: Str::default(),
            proof,
            assigned: Vec::new(),
            subscribed: Vec::new(),
            kept: Vec::new(),
            kept_until: None,
            poll_deadline: None,
            tries: 0,
            losses: 0,
            last_call: 0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The membership of the last assignment, also after it was lost, for the commits of that assignment.
    #[must_use]
    pub const fn metadata(&self) -> &GroupMetadata {
        &self.proof
    }

    /// The number of times that the membership was lost.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        self.losses
    }

    /// The config that the member was made with.
    #[must_use]
    pub const fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Whether the member is out of the group and will stay out: it has left, or cannot go on.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.state, State::Left | State::Fatal)
    }

    /// The next instruction for the driver, if any.
    pub fn poll(&mut self) -> Option<MemberAction> {
        self.actions.pop_front()
    }

    /// The next event for the owner, if any.
    pub fn poll_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// The time at which [`handle_timeout`](Self::handle_timeout) has something to do, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let own = match &self.state {
            State::JoinAt(at) => Some(self.kept_until.map_or(*at, |until| until.min(*at))),
            State::Stable(stable) => {
                let heartbeat = stable.heartbeat.is_none().then_some(stable.next_heartbeat);
                let watch = stable.watch.as_ref().filter(|watch| watch.call.is_none()).map(|watch| watch.next);
                [heartbeat, watch].into_iter().flatten().chain([stable.session_end]).min()
            }
            State::Unjoined
            | State::Joining(_)
            | State::Electing(..)
            | State::Syncing { .. }
            | State::LeavingOnceKnown(_)
            | State::Leaving(_)
            | State::Left
            | State::Fatal => None,
        };
        own.into_iter().chain(self.poll_deadline.filter(|_| self.is_watched())).min()
    }

    /// Joins for the first time, or gives the partitions back and joins again. The owner must not have anything open
    /// over its partitions.
    ///
    /// Does nothing while the member is joining, and after it has left or failed. Events that were not taken yet are
    /// dropped: they are about partitions that the owner has just given back.
    pub fn handle_rejoin(&mut self, now: Moment) {
        self.handle_rejoin_keeping(now, Vec::new());
    }

    /// As [`handle_rejoin`](Self::handle_rejoin), for an owner that goes on reading the partitions `kept` during
    /// the rebalance; only if [`GroupConfig::is_cooperative`]. `Lost` takes these partitions away too. Source: KIP-429.
    ///
    /// If they were lost already, and the owner has not taken that event, does nothing: others may have them, and may
    /// have read on. The owner takes the event, and rejoins without them.
    pub fn handle_rejoin_keeping(&mut self, now: Moment, kept: Vec<TopicPartition>) {
        if !kept.is_empty() && self.events.iter().any(|event| matches!(event, GroupEvent::Lost { .. })) {
            return;
        }
        if matches!(self.state, State::Unjoined | State::Stable(_)) {
            self.events.clear();
            self.tries = 0;
            self.kept = kept;
            self.kept_until = None;
            self.join(now);
        }
    }

    /// Subscribes to other topics, from the next time on that the member joins. If it is joining now,
    /// a rebalance follows.
    pub fn set_topics(&mut self, topics: Vec<Str>) {
        self.config.topics = topics;
    }

    /// As [`set_topics`](Self::set_topics), with other sets of topics that stay together. A member that leads the group
    /// announces a rebalance, in which it shares out these topics; for any other nothing changes until the next one.
    pub fn share_topics(&mut self, topics: Vec<Str>, together: Vec<Vec<Str>>) {
        self.config.topics = topics;
        self.config.together = together;
        let leads = matches!(&self.state, State::Stable(stable) if stable.watch.is_some());
        if leads && self.subscribed != self.config.topics {
            self.announce_rebalance();
        }
    }

    /// Notes that the owner begins to poll: until the poll ends, its deadline does not apply.
    pub const fn handle_poll_begun(&mut self) {
        self.poll_deadline = None;
    }

    /// Notes that the owner has polled, and has to poll again within [`GroupConfig::poll_interval`].
    pub fn handle_poll_ended(&mut self, now: Moment) {
        self.poll_deadline = self.config.poll_interval.map(|interval| now + interval);
    }

    /// Leaves the group, even if the member is static, so that the others take over at once.
    ///
    /// A fenced member does not send LeaveGroup: its place belongs to another member now. One whose first JoinGroup is
    /// on its way waits for the answer: the coordinator makes up an id, and lets a rebalance wait for the member
    /// under it, for as long as its session timeout (`ClassicGroup.hasAllMembersJoined`).
    pub fn handle_leave(&mut self, _now: Moment) {
        match self.state {
            State::Fatal | State::LeavingOnceKnown(_) | State::Leaving(_) | State::Left => {}
            _ if !self.member_id.is_empty() => self.leave(),
            State::Unjoined | State::JoinAt(_) => self.state = State::Left,
            _ if self.config.instance_id.is_some() => self.leave(),
            State::Joining(call) => self.state = State::LeavingOnceKnown(call),
            _ => self.state = State::Left,
        }
    }

    fn leave(&mut self) {
        let request = self.leave_request("the member is closed");
        self.state = State::Leaving(self.call(MemberRequest::Leave(request)));
    }

    /// Leaves under the id that the answer to the first JoinGroup has.
    fn leave_as(&mut self, member_id: Str) {
        self.member_id = member_id;
        if self.member_id.is_empty() { self.state = State::Left } else { self.leave() }
    }

    /// Stops, and lets a static member's partitions wait for the process that comes back under its instance id: there
    /// is nothing to send, because the coordinator keeps a static member for its session timeout. A dynamic one
    /// leaves.
    pub fn handle_leave_to_return(&mut self, now: Moment) {
        if self.config.instance_id.is_none() {
            return self.handle_leave(now);
        }
        if !self.is_finished() {
            self.state = State::Left;
        }
    }

    fn leave_request(&self, reason: &'static str) -> LeaveGroupRequest {
        LeaveGroupRequest {
            group_id: self.config.group_id.clone(),
            members: vec![MemberIdentity {
                member_id: self.member_id.clone(),
                group_instance_id: self.config.instance_id.clone(),
                reason: Some(Str::from_static(reason)),
                ..Default::default()
            }],
            ..LeaveGroupRequest::default()
        }
    }

    /// Returns whether an owner that does not poll delays other members.
    const fn is_watched(&self) -> bool {
        use State::{Fatal, Leaving, LeavingOnceKnown, Left, Unjoined};
        !matches!(self.state, Unjoined | LeavingOnceKnown(_) | Leaving(_) | Left | Fatal)
    }

    /// Leaves the group because the owner did not poll in time. A static member keeps its place until the session
    /// timeout, as in the Java client: it may only be slow, and comes back under the same id.
    fn leave_unpolled(&mut self) {
        self.poll_deadline = None;
        if self.config.instance_id.is_none() && !self.member_id.is_empty() {
            let request = self.leave_request("the owner did not poll in time");
            // Nobody waits for the answer.
            self.call(MemberRequest::Leave(request));
            self.member_id = Str::default();
        }
        self.lose(LostCause::PollIntervalExceeded);
    }

    /// Handles the timeout that [`next_timeout`](Self::next_timeout) announced; harmless if called early.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.is_watched() && self.poll_deadline.is_some_and(|deadline| deadline <= now) {
            return self.leave_unpolled();
        }
        match &self.state {
            State::JoinAt(_) if self.kept_until.is_some_and(|until| until <= now) => {
                self.lose(LostCause::SessionExpired);
            }
            State::JoinAt(at) if *at <= now => self.join(now),
            State::Stable(stable) if stable.session_end <= now => self.lose(LostCause::SessionExpired),
            State::Stable(_) => {
                self.heartbeat_if_due(now);
                self.watch_if_due(now);
            }
            _ => {}
        }
    }

    /// Handles the response to a request, or the reason why there is none.
    pub fn handle_answer(&mut self, now: Moment, id: MemberRequestId, answer: Result<MemberResponse, RequestFailure>) {
        if !self.is_awaited(id) {
            return;
        }
        match answer {
            Ok(MemberResponse::Join(response)) if matches!(self.state, State::LeavingOnceKnown(_)) => {
                self.leave_as(response.member_id);
            }
            Ok(MemberResponse::Join(response)) => self.handle_join(now, response),
            Ok(MemberResponse::Sync(response)) => self.handle_sync(now, response),
            Ok(MemberResponse::Heartbeat(response)) => self.handle_heartbeat(now, ErrorCode(response.error_code)),
            Ok(MemberResponse::Leave(_)) => self.state = State::Left,
            Ok(MemberResponse::PartitionCounts(counts, racks)) => self.handle_counts(now, counts, &racks),
            // This protocol does not send these requests.
            Ok(MemberResponse::ConsumerHeartbeat(_) | MemberResponse::TopicNames(_)) => {}
            Err(failure) => self.handle_failure(now, id, failure),
        }
    }

    fn is_awaited(&self, id: MemberRequestId) -> bool {
        match &self.state {
            State::Joining(call) | State::Electing(call, _) | State::LeavingOnceKnown(call) | State::Leaving(call) => {
                *call == id
            }
            State::Syncing { call, .. } => *call == id,
            State::Stable(stable) => {
                stable.heartbeat.is_some_and(|(call, _)| call == id)
                    || stable.watch.as_ref().is_some_and(|watch| watch.call == Some(id))
            }
            State::Unjoined | State::JoinAt(_) | State::Left | State::Fatal => false,
        }
    }

    fn call(&mut self, call: MemberRequest) -> MemberRequestId {
        self.last_call += 1;
        let id = MemberRequestId(self.last_call);
        self.actions.push_back(MemberAction::Request(id, call));
        id
    }

    fn fail(&mut self, error: GroupError) {
        self.state = State::Fatal;
        self.events.push_back(GroupEvent::Fatal(error));
    }

    fn lose(&mut self, cause: LostCause) {
        self.state = State::Unjoined;
        self.losses += 1;
        self.kept.clear();
        self.kept_until = None;
        // A rebalance that the owner has not been told of yet is obsolete.
        self.events.clear();
        self.events.push_back(GroupEvent::Lost { cause });
    }
}

/// Staying in the group: heartbeats, and the leader's watch over the topics.
impl Membership {
    fn heartbeat_if_due(&mut self, now: Moment) {
        let State::Stable(stable) = &self.state else { return };
        if stable.heartbeat.is_some() || stable.next_heartbeat > now {
            return;
        }
        let id = self.call(MemberRequest::Heartbeat(HeartbeatRequest {
            group_id: self.config.group_id.clone(),
            generation_id: self.proof.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            ..Default::default()
        }));
        if let State::Stable(stable) = &mut self.state {
            stable.heartbeat = Some((id, now));
        }
    }

    fn handle_heartbeat(&mut self, now: Moment, code: ErrorCode) {
        let State::Stable(stable) = &mut self.state else { return };
        let Some((_, sent)) = stable.heartbeat.take() else { return };
        match reaction(code) {
            Reaction::Proceed => self.handle_alive(now, sent),
            Reaction::Rejoin if code == ErrorCode::REBALANCE_IN_PROGRESS => {
                // The coordinator counts this heartbeat as alive, and waits for the member until the rebalance timeout.
                self.handle_alive(now, sent);
                self.announce_rebalance();
            }
            Reaction::Rejoin => self.lose(LostCause::StaleGeneration),
            Reaction::RejoinAsNew => {
                self.member_id = Str::default();
                self.lose(LostCause::Removed);
            }
            Reaction::FindCoordinator => {
                self.actions.push_back(MemberAction::ForgetCoordinator);
                self.heartbeat_later(now);
            }
            Reaction::Retry => self.heartbeat_later(now),
            Reaction::AdoptMemberId | Reaction::Fatal => self.refuse(code),
        }
    }

    fn handle_alive(&mut self, now: Moment, sent: Moment) {
        let State::Stable(stable) = &mut self.state else { return };
        stable.failures = 0;
        // The session counts from the time of sending, because the coordinator cannot have seen the heartbeat earlier.
        stable.session_end = sent + self.config.session_timeout;
        stable.next_heartbeat = now + self.config.heartbeat_interval;
    }

    fn announce_rebalance(&mut self) {
        let State::Stable(stable) = &mut self.state else { return };
        if !std::mem::replace(&mut stable.is_rebalancing, true) {
            self.events.push_back(GroupEvent::Rebalancing);
        }
    }

    fn heartbeat_later(&mut self, now: Moment) {
        let State::Stable(stable) = &mut self.state else { return };
        stable.failures = stable.failures.saturating_add(1);
        stable.next_heartbeat = now + retry_delay(stable.failures).min(self.config.heartbeat_interval);
    }

    fn watch_if_due(&mut self, now: Moment) {
        let State::Stable(Stable { watch: Some(watch), .. }) = &self.state else { return };
        if watch.call.is_some() || watch.next > now {
            return;
        }
        let topics = watch.topics.clone();
        let id = self.call(MemberRequest::PartitionCounts(topics));
        if let State::Stable(Stable { watch: Some(watch), .. }) = &mut self.state {
            watch.call = Some(id);
        }
    }

    fn handle_watch(&mut self, now: Moment, counts: PartitionCounts) {
        let State::Stable(Stable { watch: Some(watch), .. }) = &mut self.state else { return };
        watch.call = None;
        // A topic that is missing in the metadata for a while is no reason for a rebalance; one that was deleted is:
        // nobody can commit offsets of it.
        let missing: Vec<Str> = watch.counts.keys().filter(|topic| !counts.contains_key(*topic)).cloned().collect();
        let gone = watch.missing.handle_looked(now, missing);
        watch.counts.retain(|topic, _| !gone.contains(topic));
        let has_news = counts.iter().any(|(topic, count)| watch.counts.get(topic) != Some(count));
        watch.counts.extend(counts);
        watch.next = now + watch.interval(&self.config);
        if has_news || !gone.is_empty() {
            self.announce_rebalance();
        }
    }

    fn handle_failure(&mut self, now: Moment, id: MemberRequestId, failure: RequestFailure) {
        if matches!(self.state, State::LeavingOnceKnown(_) | State::Leaving(_)) {
            self.state = State::Left;
            return;
        }
        if let RequestFailure::Unsupported(detail) = failure {
            return self.fail(GroupError::Unsupported { group_id: self.config.group_id.clone(), detail });
        }
        match &mut self.state {
            State::Stable(stable) if stable.heartbeat.is_some_and(|(call, _)| call == id) => {
                stable.heartbeat = None;
                self.actions.push_back(MemberAction::ForgetCoordinator);
                self.heartbeat_later(now);
            }
            State::Stable(Stable { watch: Some(watch), .. }) => {
                watch.call = None;
                watch.next = now + watch.interval(&self.config);
            }
            _ => {
                self.actions.push_back(MemberAction::ForgetCoordinator);
                if !self.kept.is_empty() {
                    self.kept_until.get_or_insert(now + self.config.session_timeout);
                }
                self.join_later(now);
            }
        }
    }
}

impl Watch {
    fn new(topics: Vec<Str>, counts: PartitionCounts, next: Moment, is_of_return: bool) -> Self {
        let missing = MissingTopics::new(UNKNOWN_TOPIC_PATIENCE);
        Self { topics, counts, call: None, next, missing, is_of_return }
    }

    /// A missing topic has most often just been created, and not all brokers know it yet.
    fn interval(&self, config: &GroupConfig) -> Duration {
        let has_all = self.missing.is_empty() && self.topics.iter().all(|topic| self.counts.contains_key(topic));
        if has_all { config.metadata_interval } else { config.metadata_interval.min(MISSING_TOPIC_INTERVAL) }
    }
}

const MISSING_TOPIC_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
