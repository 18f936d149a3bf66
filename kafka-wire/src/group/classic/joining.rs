//! The steps by which a member joins: JoinGroup, the election if it leads, SyncGroup.

use bytes::Bytes;

use super::{Membership, Stable, State, Watch};
use crate::group::assignor::{PartitionCounts, PartitionRacks, Previous};
use crate::group::election::Election;
use crate::group::reaction::{Reaction, millis, reaction, retry_delay};
use crate::group::request::{MemberAction, MemberRequest};
use crate::group::{Assignor, GroupError, GroupEvent, LostCause, blob};
use crate::protocol::ErrorCode;
use crate::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::protocol::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use crate::protocol::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use crate::time::Moment;
use crate::wire::Str;

/// Joining: JoinGroup, the election when we lead, SyncGroup.
impl Membership {
    pub(super) fn join(&mut self, _now: Moment) {
        self.tries = self.tries.saturating_add(1);
        self.subscribed.clone_from(&self.config.topics);
        let protocols = self.config.assignors.iter().map(|assignor| JoinGroupRequestProtocol {
            name: self.config.protocol_name(assignor),
            metadata: self.subscription(assignor),
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
        self.state = State::Joining(self.call(MemberRequest::Join(request)));
    }

    /// Returns the member's bytes for the leader, for the case that the group agrees on this assignor.
    fn subscription(&self, assignor: &Assignor) -> Bytes {
        let previous = Previous { partitions: &self.assigned, generation: self.proof.generation };
        let of_assignor = assignor.user_data(&self.config.topics, previous);
        let user_data = if of_assignor.is_empty() { self.config.user_data.clone() } else { of_assignor };
        blob::encode_subscription(&ConsumerProtocolSubscription {
            topics: self.config.topics.clone(),
            user_data: (!user_data.is_empty()).then_some(user_data),
            owned_partitions: blob::by_topic(self.kept.clone()),
            generation_id: self.proof.generation,
            rack_id: self.config.rack.clone(),
            ..ConsumerProtocolSubscription::default()
        })
    }

    pub(super) fn join_later(&mut self, now: Moment) {
        self.state = State::JoinAt(now + retry_delay(self.tries));
    }

    pub(super) fn handle_join(&mut self, now: Moment, response: JoinGroupResponse) {
        // The request was answered, so the coordinator counts the member as alive.
        self.kept_until = None;
        match reaction(ErrorCode(response.error_code)) {
            Reaction::Proceed => self.handle_joined(response),
            // The second step of joining follows at once; if the coordinator asks for a third, that has to wait.
            Reaction::AdoptMemberId => {
                let is_first = self.member_id.is_empty() && !response.member_id.is_empty();
                self.member_id = response.member_id;
                if is_first { self.join(now) } else { self.join_later(now) }
            }
            other => self.handle_join_error(now, other, ErrorCode(response.error_code)),
        }
    }

    /// Handles errors of JoinGroup and SyncGroup. An owner that holds no partitions need not know of temporary ones.
    fn handle_join_error(&mut self, now: Moment, reaction: Reaction, code: ErrorCode) {
        match reaction {
            Reaction::Retry | Reaction::Rejoin => self.join_later(now),
            Reaction::FindCoordinator => {
                self.actions.push_back(MemberAction::ForgetCoordinator);
                self.join_later(now);
            }
            Reaction::RejoinAsNew => {
                self.member_id = Str::default();
                if self.kept.is_empty() { self.join_later(now) } else { self.lose(LostCause::Removed) }
            }
            Reaction::Proceed | Reaction::AdoptMemberId | Reaction::Fatal => self.refuse(code),
        }
    }

    pub(super) fn refuse(&mut self, code: ErrorCode) {
        let group_id = self.config.group_id.clone();
        let error = match (code, &self.config.instance_id) {
            (ErrorCode::INVALID_SESSION_TIMEOUT, _) => {
                GroupError::SessionTimeoutOutOfRange { group_id, session_timeout: self.config.session_timeout }
            }
            (ErrorCode::FENCED_INSTANCE_ID, Some(id)) => {
                GroupError::FencedInstance { group_id, instance_id: id.clone() }
            }
            (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, _) => {
                let name = |assignor: &Assignor| self.config.protocol_name(assignor).to_string();
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
                let call = self.call(MemberRequest::PartitionCounts(election.topics()));
                self.state = State::Electing(call, election);
            }
            Err(error) => self.fail(error),
        }
    }

    pub(super) fn handle_counts(&mut self, now: Moment, counts: PartitionCounts, racks: &PartitionRacks) {
        match std::mem::replace(&mut self.state, State::Unjoined) {
            State::Electing(_, election) => {
                let assignments = election.assignments(&self.config, &counts, racks);
                let is_of_return = election.keeps_assignment();
                let watch = Watch::new(election.topics(), counts, now, is_of_return);
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
        let call = self.call(MemberRequest::Sync(request));
        self.state = State::Syncing { call, generation, watch };
    }

    pub(super) fn handle_sync(&mut self, now: Moment, response: SyncGroupResponse) {
        let code = ErrorCode(response.error_code);
        match reaction(code) {
            Reaction::Proceed => {}
            // The group rebalanced without this member, so another member may have the partitions that it kept.
            _ if code == ErrorCode::ILLEGAL_GENERATION && !self.kept.is_empty() => {
                return self.lose(LostCause::StaleGeneration);
            }
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
        let is_of_return = watch.as_ref().is_some_and(|watch| watch.is_of_return);
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
        self.assigned.clone_from(&partitions);
        self.kept.clear();
        let user_data = assignment.user_data.unwrap_or_default();
        self.events.push_back(GroupEvent::Assigned { generation, partitions, user_data });
        if self.subscribed != self.config.topics || (is_of_return && self.config.rebalances_on_return) {
            self.announce_rebalance();
        }
    }
}

/// The protocol type that all consumers use, so that tools know how to read the blobs.
const PROTOCOL_TYPE: &str = "consumer";
