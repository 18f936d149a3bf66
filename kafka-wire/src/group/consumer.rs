//! The member of a group whose coordinator assigns the partitions (KIP-848), as a state machine.
//!
//! ```text
//! Unjoined --rejoin--> Joining --epoch--> Joined --leave--> Leaving --> Left
//!    ^                    |                 |
//!    +--------------------+-----------------+   Lost: FENCED_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, owner does not poll
//! ```
//! There is one request, ConsumerGroupHeartbeat, and one of it at a time. It tells the coordinator what has changed on
//! this side since the last one that was answered; after an error it tells everything. The response tells the member's
//! epoch and, if that has changed, its assignment.
//!
//! An assignment becomes an event as soon as the names of its topics are known. The owner gives up what is not in it,
//! takes what is new, and calls `handle_rejoin_keeping` with what it has: the next heartbeat, which is sent at once,
//! acknowledges this. The coordinator gives a partition to another member only when its former owner has acknowledged
//! without it, so that the steps are: revoke, acknowledge, assign.
//!
//! The machine takes its own member id, random and kept for as long as it lives (KIP-1082): a request that was not
//! answered can be repeated, and a member that leaves before it knows that it has joined is removed all the same.

mod target;

use std::collections::VecDeque;
use std::time::Duration;

use target::Target;

use super::reaction::{millis, retry_delay};
use super::request::{MemberAction, MemberRequest, MemberRequestId, MemberResponse, RequestFailure};
use super::{GroupConfig, GroupError, GroupEvent, GroupMetadata, LostCause};
use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::time::Moment;
use crate::wire::Str;

/// The number of times that a member has given partitions up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Releases {
    /// Losses of the membership.
    pub losses: u64,
    /// Assignments without a partition of the last one, which the owner has acknowledged.
    pub revocations: u64,
}

/// A member of a group whose coordinator assigns, without I/O.
///
/// Call `handle_*` with each event, then [`poll`](Self::poll) and [`poll_event`](Self::poll_event) until both return
/// `None`, and [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) is due.
#[derive(Debug)]
pub struct Membership {
    config: GroupConfig,
    state: State,
    member_id: Str,
    /// Epoch of the member; 0 before the first response.
    epoch: i32,
    /// Membership for commits. It is kept when the membership is lost, so that commits of work done under it are
    /// refused.
    proof: GroupMetadata,
    releases: Releases,
    /// The heartbeat in flight.
    heartbeat: Option<MemberRequestId>,
    next_heartbeat: Moment,
    failures: u32,
    /// The subscription that the last heartbeat told; `None` if the next one has to tell everything.
    told: Option<Told>,
    /// Whether the owner has something to tell at once: the partitions that it has, or another subscription.
    is_due: bool,
    /// Partitions that the owner has.
    owned: Vec<TopicPartition>,
    target: Target,
    look_up: Option<MemberRequestId>,
    next_look_up: Option<Moment>,
    /// The time until which an instance id that another member still has is asked for.
    patience_end: Option<Moment>,
    /// The time by which the owner has to have polled; `None` while it polls, and if polls are not watched.
    poll_deadline: Option<Moment>,
    last_call: u64,
    actions: VecDeque<MemberAction>,
    events: VecDeque<GroupEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unjoined,
    Joining,
    Joined,
    Leaving(MemberRequestId),
    Left,
    Fatal,
}

/// The subscription of a heartbeat, which the coordinator keeps until another heartbeat changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    topics: Vec<Str>,
    pattern: Option<Str>,
}

/// The manner in which a member leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// Other members get the partitions at once.
    ForGood,
    /// A static member keeps its partitions for a session timeout, for the process that comes back under its instance
    /// id.
    ToReturn,
}

impl Leave {
    const fn epoch(self) -> i32 {
        match self {
            Self::ForGood => -1,
            Self::ToReturn => -2,
        }
    }
}

impl Membership {
    /// Makes a member that has not joined; [`handle_rejoin`](Self::handle_rejoin) makes it join. `member_id` has to
    /// be random, as a UUID is.
    #[must_use]
    pub fn new(config: GroupConfig, member_id: Str) -> Self {
        let proof = GroupMetadata {
            instance_id: config.instance_id.clone(),
            ..GroupMetadata::without_membership(config.group_id.clone())
        };
        Self {
            config,
            state: State::Unjoined,
            member_id,
            epoch: 0,
            proof,
            releases: Releases::default(),
            heartbeat: None,
            next_heartbeat: Moment::ZERO,
            failures: 0,
            told: None,
            is_due: false,
            owned: Vec::new(),
            target: Target::default(),
            look_up: None,
            next_look_up: None,
            patience_end: None,
            poll_deadline: None,
            last_call: 0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The membership for commits: its generation is the member's present epoch. It stays the same after the membership
    /// was lost.
    #[must_use]
    pub const fn metadata(&self) -> &GroupMetadata {
        &self.proof
    }

    /// The number of times that partitions were given up. Work that was done before must not be committed, although the
    /// member id is the same.
    #[must_use]
    pub const fn releases(&self) -> Releases {
        self.releases
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
        if !self.is_active() {
            return None;
        }
        let heartbeat = self.heartbeat.is_none().then_some(self.next_heartbeat);
        let look_up = self.next_look_up.filter(|_| self.look_up.is_none());
        [heartbeat, look_up, self.poll_deadline].into_iter().flatten().min()
    }

    /// Joins for the first time, or gives all partitions back; the next assignment has what the group has for this
    /// member.
    ///
    /// Does nothing after the member has left or failed.
    pub fn handle_rejoin(&mut self, now: Moment) {
        self.handle_rejoin_keeping(now, Vec::new());
        if self.state == State::Joined {
            self.target.forget_announced();
            self.announce();
        }
    }

    /// Tells the coordinator that the owner has the partitions `kept`, sorted: it has given up what the last assignment
    /// did not have, and taken what was new in it. If the member has not joined, it joins.
    ///
    /// If the partitions were lost already, and the owner has not taken that event, does nothing: its commits must not
    /// get the epoch of another membership. The owner takes the event, and rejoins without them.
    pub fn handle_rejoin_keeping(&mut self, now: Moment, kept: Vec<TopicPartition>) {
        if !kept.is_empty() && self.events.iter().any(|event| matches!(event, GroupEvent::Lost { .. })) {
            return;
        }
        match self.state {
            State::Unjoined => {
                self.state = State::Joining;
                // After a loss it waits a little, so that a coordinator that fences every time is not asked in a loop.
                self.next_heartbeat = if self.failures == 0 { now } else { now + retry_delay(self.failures) };
            }
            State::Joined => {
                if self.owned.iter().any(|owned| kept.binary_search(owned).is_err()) {
                    self.releases.revocations += 1;
                }
                self.owned = kept;
                self.is_due = true;
                self.next_heartbeat = now;
            }
            State::Joining | State::Leaving(_) | State::Left | State::Fatal => {}
        }
        self.heartbeat_if_due(now);
    }

    /// Subscribes to other topics. The coordinator learns of it with the next heartbeat: see
    /// [`handle_rejoin_keeping`](Self::handle_rejoin_keeping).
    pub fn set_topics(&mut self, topics: Vec<Str>, pattern: Option<Str>) {
        self.config.topics = topics;
        self.config.pattern = pattern;
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
    pub fn handle_leave(&mut self, _now: Moment) {
        self.leave(Leave::ForGood);
    }

    /// Stops, and lets a static member's partitions wait for the process that comes back under its instance id.
    /// A member without an instance id leaves.
    pub fn handle_leave_to_return(&mut self, _now: Moment) {
        let is_static = self.config.instance_id.is_some();
        self.leave(if is_static { Leave::ToReturn } else { Leave::ForGood });
    }

    fn leave(&mut self, how: Leave) {
        match self.state {
            State::Leaving(_) | State::Left | State::Fatal => {}
            State::Unjoined => self.state = State::Left,
            State::Joining if self.heartbeat.is_none() && self.told.is_none() && self.failures == 0 => {
                self.state = State::Left;
            }
            State::Joining | State::Joined => self.state = State::Leaving(self.send_leave(how)),
        }
    }

    fn send_leave(&mut self, how: Leave) -> MemberRequestId {
        self.call(MemberRequest::ConsumerHeartbeat(ConsumerGroupHeartbeatRequest {
            group_id: self.config.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: how.epoch(),
            instance_id: self.config.instance_id.clone(),
            ..Default::default()
        }))
    }

    /// Handles the timeout that [`next_timeout`](Self::next_timeout) announced; harmless if called early.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.is_active() && self.poll_deadline.is_some_and(|deadline| deadline <= now) {
            return self.leave_unpolled();
        }
        self.heartbeat_if_due(now);
        if self.next_look_up.is_some_and(|due| due <= now) {
            self.look_up();
        }
    }

    /// Leaves because the owner did not poll in time. A static member is expected to come back, and so leaves as one
    /// that does, as in the Java client.
    fn leave_unpolled(&mut self) {
        self.poll_deadline = None;
        let how = if self.config.instance_id.is_some() { Leave::ToReturn } else { Leave::ForGood };
        // Nobody waits for the answer.
        self.send_leave(how);
        self.lose(LostCause::PollIntervalExceeded);
    }

    /// Handles the response to a request, or the reason why there is none.
    pub fn handle_answer(&mut self, now: Moment, id: MemberRequestId, answer: Result<MemberResponse, RequestFailure>) {
        if self.state == State::Leaving(id) {
            self.state = State::Left;
        } else if self.is_active() && self.heartbeat == Some(id) {
            self.heartbeat = None;
            match answer {
                Ok(MemberResponse::ConsumerHeartbeat(response)) => self.handle_heartbeat(now, response),
                Ok(_) => {}
                Err(failure) => self.handle_failure(now, failure),
            }
            self.heartbeat_if_due(now);
        } else if self.is_active() && self.look_up == Some(id) {
            self.look_up = None;
            if let Ok(MemberResponse::TopicNames(names)) = answer {
                self.target.learn(names);
            }
            self.resolve(now);
        }
    }

    const fn is_active(&self) -> bool {
        matches!(self.state, State::Joining | State::Joined)
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
        self.epoch = 0;
        self.releases.losses += 1;
        self.told = None;
        self.is_due = false;
        self.heartbeat = None;
        self.look_up = None;
        self.next_look_up = None;
        self.owned.clear();
        self.target.clear();
        // An assignment that the owner has not been told of yet is obsolete.
        self.events.clear();
        self.events.push_back(GroupEvent::Lost { cause });
    }
}

/// Heartbeats.
impl Membership {
    fn heartbeat_if_due(&mut self, now: Moment) {
        if !self.is_active() || self.heartbeat.is_some() || self.next_heartbeat > now {
            return;
        }
        let request = self.request();
        self.is_due = false;
        self.told = Some(Told { topics: self.config.topics.clone(), pattern: self.config.pattern.clone() });
        self.heartbeat = Some(self.call(MemberRequest::ConsumerHeartbeat(request)));
    }

    /// The next heartbeat: what the coordinator does not know yet, or everything.
    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let config = &self.config;
        let told = self.told.as_ref();
        let is_full = told.is_none();
        let has_new_topics = told.is_none_or(|told| told.topics != config.topics);
        // An empty pattern takes back the one that was told.
        let pattern = match told {
            Some(told) if told.pattern == config.pattern => None,
            Some(_) => Some(config.pattern.clone().unwrap_or_default()),
            None => config.pattern.clone(),
        };
        ConsumerGroupHeartbeatRequest {
            group_id: config.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: config.instance_id.clone(),
            rack_id: config.rack.clone().filter(|_| is_full),
            rebalance_timeout_ms: if is_full { millis(config.rebalance_timeout) } else { -1 },
            subscribed_topic_names: has_new_topics.then(|| config.topics.clone()),
            subscribed_topic_regex: pattern,
            server_assignor: config.remote_assignor.clone().filter(|_| is_full),
            // The coordinator takes partitions as given up only if a heartbeat tells those that are left.
            topic_partitions: (is_full || self.is_due).then(|| self.target.with_ids(&self.owned)),
            ..Default::default()
        }
    }

    fn handle_heartbeat(&mut self, now: Moment, response: ConsumerGroupHeartbeatResponse) {
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => self.handle_alive(now, response),
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => {
                self.actions.push_back(MemberAction::ForgetCoordinator);
                self.heartbeat_later(now);
            }
            // There is nothing to lose before the member has joined.
            ErrorCode::FENCED_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID if self.epoch == 0 => {
                self.heartbeat_later(now);
            }
            ErrorCode::FENCED_MEMBER_EPOCH => self.lose_by_refusal(LostCause::Fenced),
            ErrorCode::UNKNOWN_MEMBER_ID => self.lose_by_refusal(LostCause::Removed),
            // The group lost all of its members, and was deleted.
            ErrorCode::GROUP_ID_NOT_FOUND if self.epoch > 0 => self.lose_by_refusal(LostCause::Removed),
            // A process that was killed is still a member until its session times out.
            ErrorCode::UNRELEASED_INSTANCE_ID if self.is_patient(now) => self.heartbeat_later(now),
            code if code.is_retriable() => self.heartbeat_later(now),
            code => self.refuse(code),
        }
    }

    fn handle_alive(&mut self, now: Moment, response: ConsumerGroupHeartbeatResponse) {
        // A join alone proves little: a coordinator that fences right after it would be asked in a loop.
        if self.epoch > 0 {
            self.failures = 0;
        }
        self.patience_end = None;
        self.state = State::Joined;
        self.epoch = response.member_epoch;
        // Coordinators before Kafka 4.0 may give an id of their own.
        if let Some(id) = response.member_id.filter(|id| !id.is_empty()) {
            self.member_id = id.detached();
        }
        self.proof.generation = self.epoch;
        self.proof.member_id = self.member_id.clone();
        let interval = u64::try_from(response.heartbeat_interval_ms).unwrap_or(0);
        if !self.is_due {
            self.next_heartbeat = now + Duration::from_millis(interval).max(HEARTBEAT_INTERVAL_MIN);
        }
        if let Some(assignment) = response.assignment {
            self.target.set(assignment);
            self.resolve(now);
        }
    }

    fn heartbeat_later(&mut self, now: Moment) {
        self.told = None;
        self.failures = self.failures.saturating_add(1);
        self.next_heartbeat = now + retry_delay(self.failures);
    }

    fn handle_failure(&mut self, now: Moment, failure: RequestFailure) {
        match failure {
            RequestFailure::Unreachable => {
                self.actions.push_back(MemberAction::ForgetCoordinator);
                self.heartbeat_later(now);
            }
            RequestFailure::Unsupported(detail) => {
                let group_id = self.config.group_id.clone();
                self.fail(GroupError::Unsupported { group_id, detail });
            }
        }
    }

    fn lose_by_refusal(&mut self, cause: LostCause) {
        self.failures = self.failures.saturating_add(1);
        self.lose(cause);
    }

    fn is_patient(&mut self, now: Moment) -> bool {
        let end = self.patience_end.get_or_insert(now + self.config.session_timeout);
        now < *end
    }

    fn refuse(&mut self, code: ErrorCode) {
        let group_id = self.config.group_id.clone();
        let config = &self.config;
        let error = match (code, &config.instance_id, &config.remote_assignor, &config.pattern) {
            (ErrorCode::FENCED_INSTANCE_ID, Some(id), ..) => {
                GroupError::FencedInstance { group_id, instance_id: id.clone() }
            }
            (ErrorCode::UNRELEASED_INSTANCE_ID, Some(id), ..) => {
                GroupError::InstanceInUse { group_id, instance_id: id.clone() }
            }
            (ErrorCode::UNSUPPORTED_ASSIGNOR, _, Some(name), _) => {
                GroupError::UnsupportedAssignor { group_id, name: name.clone() }
            }
            (ErrorCode::INVALID_REGULAR_EXPRESSION, .., Some(pattern)) => {
                GroupError::InvalidPattern { group_id, pattern: pattern.clone() }
            }
            (ErrorCode::GROUP_ID_NOT_FOUND, ..) => GroupError::ClassicGroup { group_id },
            _ => GroupError::Refused { group_id, code },
        };
        self.fail(error);
    }
}

/// Assignments.
impl Membership {
    /// Tells the owner of the assignment, as far as the names of its topics are known, and asks for the others.
    fn resolve(&mut self, now: Moment) {
        self.next_look_up = None;
        if !self.target.has_unknown() {
            return self.announce();
        }
        if self.look_up.is_none() {
            if self.target.is_asked() {
                // A topic that was just created is not known to every broker yet, and a deleted one never will be.
                self.announce();
                self.next_look_up = Some(now + UNKNOWN_TOPIC_INTERVAL);
            } else {
                self.look_up();
            }
        }
    }

    fn look_up(&mut self) {
        self.next_look_up = None;
        let unknown = self.target.ask();
        self.look_up = Some(self.call(MemberRequest::TopicNames(unknown)));
    }

    fn announce(&mut self) {
        for partitions in self.target.announce() {
            self.events.push_back(GroupEvent::Assigned {
                generation: self.epoch,
                partitions,
                user_data: bytes::Bytes::new(),
            });
        }
    }
}

/// Coordinators ask for 5 s by default (`group.consumer.heartbeat.interval.ms`). One that asks for less than this, or
/// for no pause at all, does not get more heartbeats for it.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(20);
const UNKNOWN_TOPIC_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
