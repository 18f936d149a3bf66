//! The member of a classic group as a state machine.
//!
//! ```text
//! Unjoined --rejoin--> Joining --not leader--> Syncing --> Stable --heartbeat: REBALANCE_IN_PROGRESS--> (event) Stable
//!    ^                  |  ^ \--leader--> Electing --^       |                                  rejoin --> Joining
//!    |                  v  |                                 |
//!    |               JoinAt (back-off after an error)        v
//!    +---------------------- Lost: unknown member, stale generation, no heartbeat for a session timeout
//! ```
//! Once assigned, the machine joins again only when its owner says so: until then the owner may hold an open transaction
//! over the partitions it was given, and a JoinGroup would give them away. Before that, and after `rejoin`, errors of
//! JoinGroup and SyncGroup are worked off here, each try later than the one before, so that no error is a hot loop.
//!
//! A pending JoinGroup or SyncGroup counts as a heartbeat at the coordinator, so heartbeats run in `Stable` only.

mod call;

use std::collections::VecDeque;
use std::time::Duration;

pub use call::{Answer, Call, CallFailure, CallId, Output};

use super::assignor::PartitionCounts;
use super::blob;
use super::election::Election;
use super::verdict::{Verdict, verdict};
use super::{Assignor, GroupConfig, GroupError, GroupEvent, GroupMetadata, LostCause};
use crate::protocol::ErrorCode;
use crate::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::protocol::heartbeat::HeartbeatRequest;
use crate::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use crate::protocol::leave_group::{LeaveGroupRequest, MemberIdentity};
use crate::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use crate::time::Moment;
use crate::wire::Str;

/// A member of a classic group, without I/O.
///
/// `handle_*` takes what happened, then [`poll`](Self::poll) and [`poll_event`](Self::poll_event) are called until both
/// give `None`, and [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) has come.
#[derive(Debug)]
pub struct Membership {
    config: GroupConfig,
    state: State,
    /// Empty until the coordinator gives one, and after it forgot us.
    member_id: Str,
    /// Membership of the last assignment. Kept when the membership is lost, so that commits of work done under it are
    /// refused; without a generation and a member id the coordinator would accept them from anyone.
    proof: GroupMetadata,
    /// Tries to join since the last assignment.
    tries: u32,
    last_call: u64,
    outputs: VecDeque<Output>,
    events: VecDeque<GroupEvent>,
}

#[derive(Debug)]
enum State {
    Unjoined,
    JoinAt(Moment),
    Joining(CallId),
    Electing(CallId, Election),
    Syncing { call: CallId, generation: i32, watch: Option<Watch> },
    Stable(Stable),
    Leaving(CallId),
    Left,
    Fatal,
}

#[derive(Debug)]
struct Stable {
    /// The call and when it was made.
    heartbeat: Option<(CallId, Moment)>,
    next_heartbeat: Moment,
    session_end: Moment,
    failures: u32,
    /// The owner has been told that the group rebalances.
    is_rebalancing: bool,
    /// Only in the leader: what the assignment was made from, and the next look at it.
    watch: Option<Watch>,
}

/// The leader's eye on the topics of all members.
#[derive(Debug)]
struct Watch {
    topics: Vec<Str>,
    counts: PartitionCounts,
    call: Option<CallId>,
    next: Moment,
}

impl Membership {
    /// A member that has not joined; [`handle_rejoin`](Self::handle_rejoin) makes it join.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        let proof = GroupMetadata {
            instance_id: config.instance_id.clone(),
            ..GroupMetadata::without_membership(config.group_id.clone())
        };
        Self {
            config,
            state: State::Unjoined,
            member_id: Str::default(),
            proof,
            tries: 0,
            last_call: 0,
            outputs: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The membership of the last assignment, also after it was lost; to go with the commits of that assignment.
    #[must_use]
    pub const fn metadata(&self) -> &GroupMetadata {
        &self.proof
    }

    /// The config that the member was made with.
    #[must_use]
    pub const fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Whether the member is out of the group and will stay out: it left, or cannot go on.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        matches!(self.state, State::Left | State::Fatal)
    }

    /// The next thing to do, if any.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing that the owner has to hear, if any.
    pub fn poll_event(&mut self) -> Option<GroupEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, if nothing else happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        match &self.state {
            State::JoinAt(at) => Some(*at),
            State::Stable(stable) => {
                let heartbeat = stable.heartbeat.is_none().then_some(stable.next_heartbeat);
                let watch = stable.watch.as_ref().filter(|watch| watch.call.is_none()).map(|watch| watch.next);
                [heartbeat, watch].into_iter().flatten().chain([stable.session_end]).min()
            }
            State::Unjoined
            | State::Joining(_)
            | State::Electing(..)
            | State::Syncing { .. }
            | State::Leaving(_)
            | State::Left
            | State::Fatal => None,
        }
    }

    /// The owner has nothing open over its partitions any more: give them back and join again, or join the first time.
    ///
    /// Does nothing while the member is joining, and after it left or failed. Events not taken yet are dropped: they are
    /// about partitions that the owner has just given back.
    pub fn handle_rejoin(&mut self, now: Moment) {
        if matches!(self.state, State::Unjoined | State::Stable(_)) {
            self.events.clear();
            self.tries = 0;
            self.join(now);
        }
    }

    /// Leaves the group, also when the member is static, so that the others take over at once.
    ///
    /// A member that was fenced does not: its place belongs to another one now.
    pub fn handle_leave(&mut self, _now: Moment) {
        let may_be_member = !self.member_id.is_empty()
            || (self.config.instance_id.is_some() && !matches!(self.state, State::Unjoined | State::JoinAt(_)));
        match self.state {
            State::Fatal | State::Leaving(_) | State::Left => {}
            _ if !may_be_member => self.state = State::Left,
            _ => {
                let request = LeaveGroupRequest {
                    group_id: self.config.group_id.clone(),
                    members: vec![MemberIdentity {
                        member_id: self.member_id.clone(),
                        group_instance_id: self.config.instance_id.clone(),
                        reason: Some(Str::from_static("the member is closed")),
                        ..Default::default()
                    }],
                    ..LeaveGroupRequest::default()
                };
                self.state = State::Leaving(self.call(Call::Leave(request)));
            }
        }
    }

    /// Time has come for what [`next_timeout`](Self::next_timeout) announced; harmless when called early.
    pub fn handle_timeout(&mut self, now: Moment) {
        match &self.state {
            State::JoinAt(at) if *at <= now => self.join(now),
            State::Stable(stable) if stable.session_end <= now => self.lose(LostCause::SessionExpired),
            State::Stable(_) => {
                self.heartbeat_if_due(now);
                self.watch_if_due(now);
            }
            _ => {}
        }
    }

    /// Takes the answer to a call, or the reason why there is none.
    pub fn handle_answer(&mut self, now: Moment, id: CallId, answer: Result<Answer, CallFailure>) {
        if !self.is_awaited(id) {
            return;
        }
        match answer {
            Ok(Answer::Join(response)) => self.handle_join(now, response),
            Ok(Answer::Sync(response)) => self.handle_sync(now, response),
            Ok(Answer::Heartbeat(response)) => self.handle_heartbeat(now, ErrorCode(response.error_code)),
            Ok(Answer::Leave(_)) => self.state = State::Left,
            Ok(Answer::PartitionCounts(counts)) => self.handle_counts(now, counts),
            Err(failure) => self.handle_failure(now, id, failure),
        }
    }

    fn is_awaited(&self, id: CallId) -> bool {
        match &self.state {
            State::Joining(call) | State::Electing(call, _) | State::Leaving(call) => *call == id,
            State::Syncing { call, .. } => *call == id,
            State::Stable(stable) => {
                stable.heartbeat.is_some_and(|(call, _)| call == id)
                    || stable.watch.as_ref().is_some_and(|watch| watch.call == Some(id))
            }
            State::Unjoined | State::JoinAt(_) | State::Left | State::Fatal => false,
        }
    }

    fn call(&mut self, call: Call) -> CallId {
        self.last_call += 1;
        let id = CallId(self.last_call);
        self.outputs.push_back(Output::Call(id, call));
        id
    }

    fn fail(&mut self, error: GroupError) {
        self.state = State::Fatal;
        self.events.push_back(GroupEvent::Fatal(error));
    }

    fn lose(&mut self, cause: LostCause) {
        self.state = State::Unjoined;
        // A rebalance that was announced and not heard of yet is overtaken.
        self.events.clear();
        self.events.push_back(GroupEvent::Lost { cause });
    }
}

/// Joining: JoinGroup, the election when we lead, SyncGroup.
impl Membership {
    fn join(&mut self, _now: Moment) {
        self.tries = self.tries.saturating_add(1);
        let subscription = blob::encode_subscription(&ConsumerProtocolSubscription {
            topics: self.config.topics.clone(),
            user_data: (!self.config.user_data.is_empty()).then(|| self.config.user_data.clone()),
            ..ConsumerProtocolSubscription::default()
        });
        let protocols = self.config.assignors.iter().map(|assignor| JoinGroupRequestProtocol {
            name: self.config.protocol_name(*assignor),
            metadata: subscription.clone(),
            ..Default::default()
        });
        let request = JoinGroupRequest {
            group_id: self.config.group_id.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Str::from_static(PROTOCOL_TYPE),
            protocols: protocols.collect(),
            reason: None,
            ..Default::default()
        };
        self.state = State::Joining(self.call(Call::Join(request)));
    }

    fn join_later(&mut self, now: Moment) {
        self.state = State::JoinAt(now + retry_delay(self.tries));
    }

    fn handle_join(&mut self, now: Moment, response: JoinGroupResponse) {
        match verdict(ErrorCode(response.error_code)) {
            Verdict::Proceed => self.handle_joined(response),
            // The second step of joining follows at once; a coordinator that asks for a third has to wait.
            Verdict::AdoptMemberId => {
                let is_first = self.member_id.is_empty() && !response.member_id.is_empty();
                self.member_id = response.member_id;
                if is_first { self.join(now) } else { self.join_later(now) }
            }
            other => self.handle_join_error(now, other, ErrorCode(response.error_code)),
        }
    }

    /// Errors of JoinGroup and SyncGroup: the owner holds no partitions, so it need not hear of the temporary ones.
    fn handle_join_error(&mut self, now: Moment, verdict: Verdict, code: ErrorCode) {
        match verdict {
            Verdict::Retry | Verdict::Rejoin => self.join_later(now),
            Verdict::FindCoordinator => {
                self.outputs.push_back(Output::ForgetCoordinator);
                self.join_later(now);
            }
            Verdict::RejoinAsNew => {
                self.member_id = Str::default();
                self.join_later(now);
            }
            Verdict::Proceed | Verdict::AdoptMemberId | Verdict::Fatal => self.refuse(code),
        }
    }

    fn refuse(&mut self, code: ErrorCode) {
        let group_id = self.config.group_id.clone();
        let error = match (code, &self.config.instance_id) {
            (ErrorCode::INVALID_SESSION_TIMEOUT, _) => {
                GroupError::SessionTimeoutOutOfRange { group_id, session_timeout: self.config.session_timeout }
            }
            (ErrorCode::FENCED_INSTANCE_ID, Some(id)) => {
                GroupError::FencedInstance { group_id, instance_id: id.clone() }
            }
            (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, _) => {
                let name = |assignor: &Assignor| self.config.protocol_name(*assignor).to_string();
                let offered: Vec<String> = self.config.assignors.iter().map(name).collect();
                GroupError::NoCommonAssignor { group_id, offered: offered.join(", ") }
            }
            _ => GroupError::Refused { group_id, code },
        };
        self.fail(error);
    }

    fn handle_joined(&mut self, response: JoinGroupResponse) {
        self.member_id = response.member_id.clone();
        if response.leader != response.member_id {
            let protocol = response.protocol_name.unwrap_or_default();
            return self.sync(response.generation_id, protocol, Vec::new(), None);
        }
        match Election::new(&self.config, response) {
            Ok(election) => {
                let call = self.call(Call::PartitionCounts(election.topics()));
                self.state = State::Electing(call, election);
            }
            Err(error) => self.fail(error),
        }
    }

    fn handle_counts(&mut self, now: Moment, counts: PartitionCounts) {
        match std::mem::replace(&mut self.state, State::Unjoined) {
            State::Electing(_, election) => {
                let assignments = election.assignments(&self.config, &counts);
                let watch = Watch { topics: election.topics(), counts, call: None, next: now };
                self.sync(election.generation, election.protocol_name, assignments, Some(watch));
            }
            State::Stable(stable) => {
                self.state = State::Stable(stable);
                self.handle_watch(now, counts);
            }
            other => self.state = other,
        }
    }

    fn sync(
        &mut self,
        generation: i32,
        protocol_name: Str,
        assignments: Vec<SyncGroupRequestAssignment>,
        watch: Option<Watch>,
    ) {
        let request = SyncGroupRequest {
            group_id: self.config.group_id.clone(),
            generation_id: generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: Some(Str::from_static(PROTOCOL_TYPE)),
            protocol_name: Some(protocol_name),
            assignments,
            ..Default::default()
        };
        let call = self.call(Call::Sync(request));
        self.state = State::Syncing { call, generation, watch };
    }

    fn handle_sync(&mut self, now: Moment, response: SyncGroupResponse) {
        let code = ErrorCode(response.error_code);
        match verdict(code) {
            Verdict::Proceed => {}
            other => return self.handle_join_error(now, other, code),
        }
        match blob::decode_assignment(response.assignment) {
            Ok(assignment) => self.handle_assigned(now, assignment),
            Err(cause) => self.fail(GroupError::MalformedAssignment { group_id: self.config.group_id.clone(), cause }),
        }
    }

    fn handle_assigned(&mut self, now: Moment, assignment: ConsumerProtocolAssignment) {
        let State::Syncing { generation, ref mut watch, .. } = self.state else { return };
        let mut watch = watch.take();
        if let Some(watch) = &mut watch {
            watch.next = now + watch.interval(&self.config);
        }
        self.proof.generation = generation;
        self.proof.member_id = self.member_id.clone();
        self.tries = 0;
        self.state = State::Stable(Stable {
            heartbeat: None,
            next_heartbeat: now + self.config.heartbeat_interval,
            session_end: now + self.config.session_timeout,
            failures: 0,
            is_rebalancing: false,
            watch,
        });
        let partitions = blob::from_topics(assignment.assigned_partitions);
        let user_data = assignment.user_data.unwrap_or_default();
        self.events.push_back(GroupEvent::Assigned { generation, partitions, user_data });
    }
}

/// Staying: heartbeats, and the leader's look at the topics.
impl Membership {
    fn heartbeat_if_due(&mut self, now: Moment) {
        let State::Stable(stable) = &self.state else { return };
        if stable.heartbeat.is_some() || stable.next_heartbeat > now {
            return;
        }
        let id = self.call(Call::Heartbeat(HeartbeatRequest {
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
        match verdict(code) {
            Verdict::Proceed => self.handle_alive(now, sent),
            Verdict::Rejoin if code == ErrorCode::REBALANCE_IN_PROGRESS => {
                // The coordinator counts this heartbeat, and goes on to wait for us until the rebalance timeout.
                self.handle_alive(now, sent);
                self.announce_rebalance();
            }
            Verdict::Rejoin => self.lose(LostCause::StaleGeneration),
            Verdict::RejoinAsNew => {
                self.member_id = Str::default();
                self.lose(LostCause::Removed);
            }
            Verdict::FindCoordinator => {
                self.outputs.push_back(Output::ForgetCoordinator);
                self.heartbeat_later(now);
            }
            Verdict::Retry => self.heartbeat_later(now),
            Verdict::AdoptMemberId | Verdict::Fatal => self.refuse(code),
        }
    }

    fn handle_alive(&mut self, now: Moment, sent: Moment) {
        let State::Stable(stable) = &mut self.state else { return };
        stable.failures = 0;
        // From when it was sent: the coordinator saw it no earlier.
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
        let id = self.call(Call::PartitionCounts(topics));
        if let State::Stable(Stable { watch: Some(watch), .. }) = &mut self.state {
            watch.call = Some(id);
        }
    }

    fn handle_watch(&mut self, now: Moment, counts: PartitionCounts) {
        let State::Stable(Stable { watch: Some(watch), .. }) = &mut self.state else { return };
        watch.call = None;
        watch.next = now + watch.interval(&self.config);
        // A topic that vanishes from the metadata for a while is no reason to shake the group.
        if counts.iter().any(|(topic, count)| watch.counts.get(topic) != Some(count)) {
            watch.counts.extend(counts);
            self.announce_rebalance();
        }
    }

    fn handle_failure(&mut self, now: Moment, id: CallId, failure: CallFailure) {
        if matches!(self.state, State::Leaving(_)) {
            self.state = State::Left;
            return;
        }
        if let CallFailure::Unsupported(detail) = failure {
            return self.fail(GroupError::Unsupported { group_id: self.config.group_id.clone(), detail });
        }
        match &mut self.state {
            State::Stable(stable) if stable.heartbeat.is_some_and(|(call, _)| call == id) => {
                stable.heartbeat = None;
                self.outputs.push_back(Output::ForgetCoordinator);
                self.heartbeat_later(now);
            }
            State::Stable(Stable { watch: Some(watch), .. }) => {
                watch.call = None;
                watch.next = now + watch.interval(&self.config);
            }
            _ => {
                self.outputs.push_back(Output::ForgetCoordinator);
                self.join_later(now);
            }
        }
    }
}

impl Watch {
    /// A topic that is missing is most often one that was just created and is not known to all brokers yet.
    fn interval(&self, config: &GroupConfig) -> Duration {
        let has_all = self.topics.iter().all(|topic| self.counts.contains_key(topic));
        if has_all { config.metadata_interval } else { config.metadata_interval.min(MISSING_TOPIC_INTERVAL) }
    }
}

/// The protocol type that all consumers use, so that tools know how to read the blobs.
const PROTOCOL_TYPE: &str = "consumer";
const MISSING_TOPIC_INTERVAL: Duration = Duration::from_secs(1);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// 50 ms after the first failure, twice as long after each further one, 1 s at most.
fn retry_delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    RETRY_DELAY_MIN.saturating_mul(1 << doublings).min(RETRY_DELAY_MAX)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
