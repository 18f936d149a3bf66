//! Scripts against the coordinator, in virtual time.

mod ending;

use bytes::Bytes;

use super::*;
use crate::cluster::TopicPartition;
use crate::group::assignor::PartitionRacks;
use crate::group::{Assignor, blob};
use crate::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::protocol::heartbeat::HeartbeatResponse;
use crate::protocol::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use crate::protocol::leave_group::LeaveGroupResponse;
use crate::protocol::sync_group::SyncGroupResponse;
use crate::types::PartitionId;

/// A member, its clock, and its requests and events so far.
struct Script {
    member: Membership,
    now: Moment,
    calls: VecDeque<(MemberRequestId, MemberRequest)>,
    forgotten: u32,
}

impl Script {
    fn new(config: GroupConfig) -> Self {
        let mut member = Membership::new(config);
        member.handle_rejoin(Moment::ZERO);
        let mut script = Self { member, now: Moment::ZERO, calls: VecDeque::new(), forgotten: 0 };
        script.drain();
        script
    }

    fn dynamic() -> Self {
        Self::new(GroupConfig::new("g", vec![Str::from("t")]))
    }

    fn fixed() -> Self {
        Self::new(static_config())
    }

    fn drain(&mut self) {
        while let Some(action) = self.member.poll() {
            match action {
                MemberAction::Request(id, call) => self.calls.push_back((id, call)),
                MemberAction::ForgetCoordinator => self.forgotten += 1,
            }
        }
    }

    /// Lets time pass up to the member's next timeout.
    fn wait(&mut self) {
        self.now = self.member.next_timeout().expect("the member waits for something").max(self.now);
        self.member.handle_timeout(self.now);
        self.drain();
    }

    fn next_call(&mut self) -> MemberRequest {
        self.calls.front().expect("the member asks").1.clone()
    }

    fn answer(&mut self, answer: Result<MemberResponse, RequestFailure>) {
        let (id, _) = self.calls.pop_front().expect("the member asks");
        self.member.handle_answer(self.now, id, answer);
        self.drain();
    }

    fn answer_join(&mut self, code: ErrorCode, leader: &str) {
        let member = |id: &str| JoinGroupResponseMember {
            member_id: Str::from(id),
            metadata: blob::encode_subscription(&ConsumerProtocolSubscription {
                topics: vec![Str::from("t")],
                ..ConsumerProtocolSubscription::default()
            }),
            ..JoinGroupResponseMember::default()
        };
        self.answer(Ok(MemberResponse::Join(JoinGroupResponse {
            error_code: code.0,
            generation_id: 5,
            protocol_name: Some(Str::from("range")),
            leader: Str::from(leader),
            member_id: Str::from("me"),
            members: if leader == "me" { vec![member("other"), member("me")] } else { Vec::new() },
            ..JoinGroupResponse::default()
        })));
    }

    fn answer_sync(&mut self, code: ErrorCode) {
        let assignment = blob::encode_assignment(&ConsumerProtocolAssignment {
            assigned_partitions: blob::by_topic(vec![TopicPartition::new("t", PartitionId(1))]),
            user_data: Some(Bytes::from_static(b"u")),
        });
        self.answer(Ok(MemberResponse::Sync(SyncGroupResponse {
            error_code: code.0,
            assignment,
            ..SyncGroupResponse::default()
        })));
    }

    fn answer_heartbeat(&mut self, code: ErrorCode) {
        self.answer(Ok(MemberResponse::Heartbeat(HeartbeatResponse {
            error_code: code.0,
            ..HeartbeatResponse::default()
        })));
    }

    fn events(&mut self) -> Vec<GroupEvent> {
        std::iter::from_fn(|| self.member.poll_event()).collect()
    }

    /// Follows the other member's lead until the partitions are assigned.
    fn follow(mut self) -> Self {
        self.answer_join(ErrorCode::NONE, "other");
        self.answer_sync(ErrorCode::NONE);
        assert_eq!(self.events(), [assigned()]);
        self
    }
}

fn assigned() -> GroupEvent {
    let partitions = vec![TopicPartition::new("t", PartitionId(1))];
    GroupEvent::Assigned { generation: 5, partitions, user_data: Bytes::from_static(b"u") }
}

fn counted(counts: PartitionCounts) -> MemberResponse {
    MemberResponse::PartitionCounts(counts, PartitionRacks::new())
}

fn fatal(code: ErrorCode) -> GroupEvent {
    GroupEvent::Fatal(GroupError::Refused { group_id: Str::from("g"), code })
}

fn join_of(call: MemberRequest) -> JoinGroupRequest {
    let MemberRequest::Join(request) = call else { panic!("{call:?} is no join") };
    request
}

#[test]
fn joining_takes_two_steps_when_the_coordinator_wants_to_see_the_member_id() {
    let mut script = Script::dynamic();
    let first = join_of(script.next_call());
    assert_eq!(first.member_id, "");
    assert_eq!(first.protocols.iter().map(|protocol| &*protocol.name).collect::<Vec<_>>(), ["range", "roundrobin"]);
    assert_eq!((first.session_timeout_ms, first.rebalance_timeout_ms), (45_000, 60_000));
    script.answer_join(ErrorCode::MEMBER_ID_REQUIRED, "");
    assert_eq!(join_of(script.next_call()).member_id, "me");
    assert_eq!(script.now, Moment::ZERO, "the second step follows at once");
    let script = script.follow();
    let metadata = script.member.metadata();
    assert_eq!((metadata.generation, &*metadata.member_id), (5, "me"));
}

#[test]
fn a_coordinator_that_asks_for_the_member_id_again_and_again_is_no_hot_loop() {
    let mut script = Script::dynamic();
    script.answer_join(ErrorCode::MEMBER_ID_REQUIRED, "");
    for _ in 0..10 {
        script.answer_join(ErrorCode::MEMBER_ID_REQUIRED, "");
        assert!(script.calls.is_empty());
        script.wait();
    }
    assert!(script.now >= Moment::from_millis(5_000));
}

#[test]
fn the_leader_assigns_for_all_members_and_hands_its_bytes_to_each() {
    let mut config = GroupConfig::new("g", vec![Str::from("t")]);
    config.leader_user_data =
        Some(|members| Bytes::from(members.iter().map(|member| &*member.member_id).collect::<Vec<_>>().join("+")));
    let mut script = Script::new(config);
    script.answer_join(ErrorCode::NONE, "me");
    assert_eq!(script.next_call(), MemberRequest::PartitionCounts(vec![Str::from("t")]));
    script.answer(Ok(counted([(Str::from("t"), 3)].into())));
    let MemberRequest::Sync(request) = script.next_call() else { panic!("a sync follows") };
    assert_eq!((request.generation_id, request.protocol_name.as_deref()), (5, Some("range")));
    let read = |index: usize| {
        let assignment = blob::decode_assignment(request.assignments[index].assignment.clone()).unwrap();
        let partitions = blob::from_topics(assignment.assigned_partitions);
        (request.assignments[index].member_id.to_string(), partitions.len(), assignment.user_data.unwrap())
    };
    assert_eq!(read(0), ("me".to_owned(), 2, Bytes::from_static(b"me+other")));
    assert_eq!(read(1), ("other".to_owned(), 1, Bytes::from_static(b"me+other")));
}

/// A static member that leads, came back, and is told to leave the assignment as it is; its SyncGroup is next.
fn returned(config: GroupConfig) -> Script {
    let mut script = Script::new(config);
    let (id, _) = script.calls.pop_front().unwrap();
    let response = JoinGroupResponse {
        generation_id: 5,
        protocol_name: Some(Str::from("range")),
        leader: Str::from("me"),
        member_id: Str::from("me"),
        skip_assignment: true,
        ..JoinGroupResponse::default()
    };
    script.member.handle_answer(script.now, id, Ok(MemberResponse::Join(response)));
    script.drain();
    script.answer(Ok(counted(PartitionCounts::new())));
    script
}

fn static_config() -> GroupConfig {
    GroupConfig { instance_id: Some(Str::from("i")), ..GroupConfig::new("g", vec![Str::from("t")]) }
}

#[test]
fn a_static_leader_that_came_back_leaves_the_assignment_as_it_is() {
    let mut script = returned(static_config());
    let MemberRequest::Sync(request) = script.next_call() else { panic!("a sync follows") };
    assert_eq!(request.assignments, []);
    assert_eq!(request.group_instance_id.as_deref(), Some("i"));
    script.answer_sync(ErrorCode::NONE);
    assert_eq!(script.events(), [assigned()]);
}

#[test]
fn a_static_leader_that_came_back_may_ask_for_a_new_assignment() {
    let mut script = returned(GroupConfig { rebalances_on_return: true, ..static_config() });
    script.answer_sync(ErrorCode::NONE);
    assert_eq!(script.events(), [assigned(), GroupEvent::Rebalancing]);
}

#[test]
fn the_owner_is_told_once_of_a_rebalance_and_heartbeats_go_on_until_it_rejoins() {
    let mut script = Script::dynamic().follow();
    for round in 0..4 {
        script.wait();
        script.answer_heartbeat(if round == 0 { ErrorCode::NONE } else { ErrorCode::REBALANCE_IN_PROGRESS });
    }
    assert_eq!(script.events(), [GroupEvent::Rebalancing]);
    assert_eq!(script.now, Moment::from_millis(12_000));
    script.member.handle_rejoin(script.now);
    script.drain();
    assert_eq!(join_of(script.next_call()).member_id, "me");
    script.follow();
}

#[test]
fn heartbeats_come_before_the_session_ends_whatever_their_interval() {
    let session_timeout = Duration::from_secs(6);
    let heartbeat_interval = Duration::from_secs(7);
    let config = GroupConfig { session_timeout, heartbeat_interval, ..GroupConfig::new("g", vec![Str::from("t")]) };
    let mut script = Script::new(config).follow();
    script.wait();
    assert!(matches!(script.next_call(), MemberRequest::Heartbeat(_)));
    assert_eq!((script.events(), script.now), (vec![], Moment::from_millis(2_000)));
}

#[test]
fn an_answer_that_was_overtaken_by_a_rejoin_is_ignored() {
    let mut script = Script::dynamic().follow();
    script.wait();
    let (heartbeat, _) = script.calls.pop_front().unwrap();
    script.member.handle_rejoin(script.now);
    script.drain();
    let unknown = HeartbeatResponse { error_code: ErrorCode::UNKNOWN_MEMBER_ID.0, ..HeartbeatResponse::default() };
    script.member.handle_answer(script.now, heartbeat, Ok(MemberResponse::Heartbeat(unknown)));
    assert_eq!(script.events(), []);
    script.follow();
}

#[test]
fn refusals_name_the_setting_to_change() {
    let table = [
        (ErrorCode::INVALID_SESSION_TIMEOUT, "group.min.session.timeout.ms"),
        (ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "range, roundrobin"),
        (ErrorCode::FENCED_INSTANCE_ID, "group.instance.id i"),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, "GROUP_AUTHORIZATION_FAILED"),
    ];
    for (code, expected) in table {
        let mut script = Script::fixed();
        script.answer_join(code, "");
        let events = script.events();
        let [GroupEvent::Fatal(error)] = &events[..] else { panic!("{events:?}") };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(script.member.is_finished());
    }
}

#[test]
fn members_that_cannot_be_understood_are_named() {
    let mut script = Script::dynamic();
    let (id, _) = script.calls.pop_front().unwrap();
    let garbled = JoinGroupResponseMember {
        member_id: Str::from("odd"),
        metadata: Bytes::from_static(&[0, 1, 0, 0, 0, 9]),
        ..JoinGroupResponseMember::default()
    };
    let response = JoinGroupResponse {
        protocol_name: Some(Str::from("range")),
        leader: Str::from("me"),
        member_id: Str::from("me"),
        members: vec![garbled],
        ..JoinGroupResponse::default()
    };
    script.member.handle_answer(script.now, id, Ok(MemberResponse::Join(response)));
    let events = script.events();
    assert!(
        matches!(&events[..], [GroupEvent::Fatal(GroupError::MalformedSubscription { member_id, .. })] if member_id == "odd"),
        "{events:?}"
    );

    let mut script = Script::dynamic();
    script.answer_join(ErrorCode::NONE, "other");
    let assignment = Bytes::from_static(&[0, 0, 0x7f, 0, 0, 0]);
    script.answer(Ok(MemberResponse::Sync(SyncGroupResponse { assignment, ..SyncGroupResponse::default() })));
    let events = script.events();
    assert!(matches!(events[..], [GroupEvent::Fatal(GroupError::MalformedAssignment { .. })]), "{events:?}");
}

#[test]
fn an_assignor_that_was_not_offered_is_refused() {
    let mut config = GroupConfig::new("g", vec![Str::from("t")]);
    config.assignors = vec![Assignor::RoundRobin];
    let mut script = Script::new(config);
    script.answer_join(ErrorCode::NONE, "me");
    let error = GroupError::UnknownAssignor { group_id: Str::from("g"), name: Str::from("range") };
    assert_eq!(script.events(), [GroupEvent::Fatal(error)]);
}

#[test]
fn a_member_that_the_leader_left_out_has_no_partitions() {
    let mut script = Script::dynamic();
    script.answer_join(ErrorCode::NONE, "other");
    script.answer(Ok(MemberResponse::Sync(SyncGroupResponse::default())));
    let nothing = GroupEvent::Assigned { generation: 5, partitions: Vec::new(), user_data: Bytes::new() };
    assert_eq!(script.events(), [nothing]);
}

#[test]
fn a_leader_shares_new_topics_out_and_others_wait_for_it() {
    let topics = || vec![Str::from("t"), Str::from("u")];
    let mut script = Script::dynamic();
    script.answer_join(ErrorCode::NONE, "me");
    script.answer(Ok(counted([(Str::from("t"), 3)].into())));
    script.answer_sync(ErrorCode::NONE);
    assert_eq!(script.events(), [assigned()]);
    script.member.share_topics(topics(), vec![topics()]);
    assert_eq!(script.events(), [GroupEvent::Rebalancing]);
    script.member.handle_rejoin(script.now);
    script.drain();
    while !matches!(script.next_call(), MemberRequest::Join(_)) {
        script.answer_heartbeat(ErrorCode::NONE);
    }
    script.answer_join(ErrorCode::NONE, "me");
    // The other member, which subscribes to the first topic alone, gets partitions of the second one, too.
    script.answer(Ok(counted([(Str::from("t"), 2), (Str::from("u"), 2)].into())));
    let MemberRequest::Sync(request) = script.next_call() else { panic!("the leader assigns") };
    let given = |assignment: &Bytes| {
        let assignment = blob::decode_assignment(assignment.clone()).expect("an assignment");
        blob::from_topics(assignment.assigned_partitions).len()
    };
    assert_eq!(request.assignments.iter().map(|one| given(&one.assignment)).collect::<Vec<_>>(), [2, 2]);

    let mut script = Script::dynamic().follow();
    script.member.share_topics(topics(), Vec::new());
    assert_eq!(script.events(), [], "a member that does not lead waits for the next rebalance");
    script.member.handle_rejoin(script.now);
    script.drain();
    script.calls.retain(|(_, call)| matches!(call, MemberRequest::Join(_)));
    let metadata = join_of(script.next_call()).protocols[0].metadata.clone();
    assert_eq!(blob::decode_subscription(metadata).expect("a subscription").topics, topics());
}

#[test]
fn a_leader_sees_topics_grow_and_waits_less_for_missing_ones() {
    let lead = |counts: &[(&str, u32)]| {
        let mut script = Script::dynamic();
        script.answer_join(ErrorCode::NONE, "me");
        let counts = counts.iter().map(|&(topic, count)| (Str::from(topic), count)).collect();
        script.answer(Ok(counted(counts)));
        script.answer_sync(ErrorCode::NONE);
        script.events();
        script
    };
    let looks_after = |script: &mut Script, grown: u32| loop {
        if script.calls.is_empty() {
            script.wait();
        }
        match script.next_call() {
            MemberRequest::Heartbeat(_) => script.answer_heartbeat(ErrorCode::NONE),
            _ => return script.answer(Ok(counted([(Str::from("t"), grown)].into()))),
        }
    };
    let mut script = lead(&[("t", 3)]);
    looks_after(&mut script, 3);
    assert_eq!((script.now, script.events()), (Moment::from_millis(300_000), vec![]));
    looks_after(&mut script, 4);
    assert_eq!((script.now, script.events()), (Moment::from_millis(600_000), vec![GroupEvent::Rebalancing]));

    let mut script = lead(&[]);
    looks_after(&mut script, 1);
    assert_eq!((script.now, script.events()), (Moment::from_millis(1_000), vec![GroupEvent::Rebalancing]));
}

#[test]
fn a_leader_announces_that_a_topic_is_gone() {
    let mut script = Script::dynamic();
    script.answer_join(ErrorCode::NONE, "me");
    let both: PartitionCounts = [(Str::from("t"), 3), (Str::from("u"), 1)].into();
    let left: PartitionCounts = [(Str::from("t"), 3)].into();
    script.answer(Ok(counted(both.clone())));
    script.answer_sync(ErrorCode::NONE);
    script.events();
    let mut look = |counts: &PartitionCounts| loop {
        if script.calls.is_empty() {
            script.wait();
        }
        match script.next_call() {
            MemberRequest::Heartbeat(_) => script.answer_heartbeat(ErrorCode::NONE),
            _ => {
                script.answer(Ok(counted(counts.clone())));
                return (script.now, script.events());
            }
        }
    };
    let at = Moment::from_millis;
    assert_eq!(look(&left), (at(300_000), vec![]), "not all brokers may know it");
    assert_eq!(look(&left), (at(301_000), vec![]));
    assert_eq!(look(&both), (at(302_000), vec![]), "it was there all the time");
    assert_eq!(look(&left), (at(602_000), vec![]));
    for second in 603..607 {
        assert_eq!(look(&left), (at(second * 1_000), vec![]));
    }
    assert_eq!(look(&left), (at(607_000), vec![GroupEvent::Rebalancing]));
}

/// For every error code in every state, the member ends up stable, failed or waiting for its owner, and sends few
/// requests on the way.
#[test]
fn no_error_in_any_state_is_a_hot_loop_or_a_dead_end() {
    for code in (-1..150).map(ErrorCode).filter(|code| !code.is_none()) {
        for stage in ["join", "sync", "heartbeat"] {
            for is_static in [false, true] {
                let script = if is_static { Script::fixed() } else { Script::dynamic() };
                let asked = insist(script, stage, code);
                assert!(asked <= 200, "{} in {stage}: {asked} requests in a minute", code.name());
            }
        }
    }
}

/// Answers the stage with the error for a minute, then with success; returns the number of requests in that minute.
fn insist(mut script: Script, stage: &str, code: ErrorCode) -> u32 {
    let end = Moment::from_millis(60_000);
    let mut asked = 0;
    loop {
        let is_over = script.now >= end;
        while let Some((_, call)) = script.calls.front() {
            asked += u32::from(!is_over);
            assert!(asked < 10_000, "{} in {stage} never waits", code.name());
            let pick = |name| if stage == name && !is_over { code } else { ErrorCode::NONE };
            match call {
                MemberRequest::Join(_) => script.answer_join(pick("join"), "other"),
                MemberRequest::Sync(_) => script.answer_sync(pick("sync")),
                MemberRequest::Heartbeat(_) => script.answer_heartbeat(pick("heartbeat")),
                other => panic!("a follower does not ask that: {other:?}"),
            }
        }
        let events = script.events();
        if events.iter().any(|event| matches!(event, GroupEvent::Fatal(_))) {
            assert!(script.member.is_finished());
            return asked;
        }
        if is_over && events.contains(&assigned()) {
            return asked;
        }
        if is_over && matches!(script.member.state, State::Stable(_)) {
            return asked;
        }
        if events.iter().any(|event| matches!(event, GroupEvent::Rebalancing | GroupEvent::Lost { .. })) {
            script.member.handle_rejoin(script.now);
            script.drain();
        } else {
            script.wait();
        }
    }
}

#[test]
fn a_request_that_cannot_be_made_is_fatal_and_one_without_answer_is_tried_again() {
    let mut script = Script::dynamic();
    script.answer(Err(RequestFailure::Unreachable));
    assert_eq!(script.forgotten, 1);
    script.wait();
    assert_eq!(script.now, Moment::from_millis(50));
    script.answer(Err(RequestFailure::Unsupported("too old".to_owned())));
    let error = GroupError::Unsupported { group_id: Str::from("g"), detail: "too old".to_owned() };
    assert_eq!(script.events(), [GroupEvent::Fatal(error)]);
}

#[test]
fn unknown_codes_are_fatal_and_shown_as_numbers() {
    let mut script = Script::dynamic();
    script.answer_join(ErrorCode(12_345), "");
    assert_eq!(script.events(), [fatal(ErrorCode(12_345))]);
}

#[test]
fn a_member_that_keeps_partitions_says_so_and_hears_when_they_are_gone() {
    let cooperative = || {
        let assignors = vec![Assignor::CooperativeSticky];
        Script::new(GroupConfig { assignors, ..GroupConfig::new("g", vec![Str::from("t")]) }).follow()
    };
    let kept = vec![TopicPartition::new("t", PartitionId(1))];
    let mut script = cooperative();
    script.member.handle_rejoin_keeping(script.now, kept.clone());
    script.drain();
    let MemberRequest::Join(request) = script.next_call() else { panic!("it joins") };
    let told = blob::decode_subscription(request.protocols[0].metadata.clone()).unwrap();
    assert_eq!((blob::from_topics(told.owned_partitions), told.generation_id), (kept.clone(), 5));
    script.answer_join(ErrorCode::UNKNOWN_MEMBER_ID, "other");
    assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::Removed }]);

    let mut script = cooperative();
    script.member.handle_rejoin_keeping(script.now, kept.clone());
    script.drain();
    script.answer_join(ErrorCode::NONE, "other");
    script.answer_sync(ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::StaleGeneration }]);

    let mut script = cooperative();
    script.member.handle_rejoin_keeping(script.now, kept);
    script.drain();
    let start = script.now;
    while script.events().is_empty() {
        if !script.calls.is_empty() {
            script.answer(Err(RequestFailure::Unreachable));
        }
        if script.member.next_timeout().is_none() {
            break;
        }
        script.wait();
    }
    assert_eq!(
        script.now,
        start + GroupConfig::new("g", Vec::new()).session_timeout,
        "for a session timeout it is still its own"
    );
}

#[test]
fn members_tell_their_racks_and_a_leader_looks_at_them() {
    let rack = |name: &str| Some(Str::from(name));
    let mut script = Script::new(GroupConfig { rack: rack("west"), ..GroupConfig::new("g", vec![Str::from("t")]) });
    let told = blob::decode_subscription(join_of(script.next_call()).protocols[0].metadata.clone()).unwrap();
    assert_eq!(told.rack_id, rack("west"));
    let member = |id: &str, name: &str| JoinGroupResponseMember {
        member_id: Str::from(id),
        metadata: blob::encode_subscription(&ConsumerProtocolSubscription {
            topics: vec![Str::from("t")],
            rack_id: rack(name),
            ..ConsumerProtocolSubscription::default()
        }),
        ..JoinGroupResponseMember::default()
    };
    script.answer(Ok(MemberResponse::Join(JoinGroupResponse {
        generation_id: 5,
        protocol_name: Some(Str::from("range")),
        leader: Str::from("me"),
        member_id: Str::from("me"),
        members: vec![member("me", "west"), member("other", "east")],
        ..JoinGroupResponse::default()
    })));
    let racks = ["east", "west"].map(|name| vec![Str::from(name)]).to_vec();
    let counts = [(Str::from("t"), 2)].into();
    script.answer(Ok(MemberResponse::PartitionCounts(counts, [(Str::from("t"), racks)].into())));
    let MemberRequest::Sync(request) = script.next_call() else { panic!("the leader assigns") };
    let shares = request.assignments.iter().map(|share| {
        let assignment = blob::decode_assignment(share.assignment.clone()).unwrap();
        (&*share.member_id, blob::from_topics(assignment.assigned_partitions)[0].partition.0)
    });
    assert_eq!(shares.collect::<Vec<_>>(), [("me", 1), ("other", 0)]);
}

#[test]
fn topics_that_change_while_a_member_joins_are_followed_by_a_rebalance() {
    let mut script = Script::dynamic();
    script.member.set_topics(vec![Str::from("t"), Str::from("u")]);
    script.answer_join(ErrorCode::NONE, "other");
    script.answer_sync(ErrorCode::NONE);
    assert_eq!(script.events(), [assigned(), GroupEvent::Rebalancing]);
}
