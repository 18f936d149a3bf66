//! Scripts against the coordinator, in virtual time; `model` has random schedules.

mod model;

use super::*;
use crate::protocol::consumer_group_heartbeat::{Assignment, ConsumerGroupHeartbeatResponseTopicPartitions};
use crate::types::PartitionId;
use crate::wire::Uuid;

/// Id of the topic of this name.
fn id_of(topic: &str) -> Uuid {
    let mut id = [0; 16];
    id[..topic.len()].copy_from_slice(topic.as_bytes());
    Uuid(id)
}

fn assignment(topics: &[(&str, &[i32])]) -> Assignment {
    let topics = topics.iter().map(|(topic, partitions)| ConsumerGroupHeartbeatResponseTopicPartitions {
        topic_id: id_of(topic),
        partitions: partitions.to_vec(),
        ..Default::default()
    });
    Assignment { topic_partitions: topics.collect(), ..Default::default() }
}

fn partitions(topic: &'static str, indexes: &[i32]) -> Vec<TopicPartition> {
    indexes.iter().map(|index| TopicPartition::new(topic, PartitionId(*index))).collect()
}

fn assigned(generation: i32, partitions: Vec<TopicPartition>) -> GroupEvent {
    GroupEvent::Assigned { generation, partitions, user_data: bytes::Bytes::new() }
}

/// A member, its clock, and its requests so far.
struct Script {
    member: Membership,
    now: Moment,
    calls: VecDeque<(MemberRequestId, MemberRequest)>,
    forgotten: u32,
}

impl Script {
    fn new(config: GroupConfig) -> Self {
        let mut member = Membership::new(config, Str::from("me"));
        member.handle_rejoin(Moment::ZERO);
        let mut script = Self { member, now: Moment::ZERO, calls: VecDeque::new(), forgotten: 0 };
        script.drain();
        script
    }

    fn dynamic() -> Self {
        Self::new(GroupConfig::new("g", vec![Str::from("t")]))
    }

    fn fixed() -> Self {
        Self::new(GroupConfig { instance_id: Some(Str::from("i")), ..GroupConfig::new("g", vec![Str::from("t")]) })
    }

    /// A member that has partitions 0 and 1 at epoch 1.
    fn with_two() -> Self {
        let mut script = Self::dynamic();
        script.respond(1, Some(assignment(&[("t", &[0, 1])])));
        script.answer_names();
        assert_eq!(script.events(), [assigned(1, partitions("t", &[0, 1]))]);
        script.keep(&[0, 1]);
        script.respond(1, None);
        script
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

    #[track_caller]
    fn heartbeat(&self) -> ConsumerGroupHeartbeatRequest {
        match &self.calls.front().expect("the member asks").1 {
            MemberRequest::ConsumerHeartbeat(request) => request.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, answer: Result<MemberResponse, RequestFailure>) {
        let (id, _) = self.calls.pop_front().expect("the member asks");
        self.member.handle_answer(self.now, id, answer);
        self.drain();
    }

    fn respond(&mut self, member_epoch: i32, assignment: Option<Assignment>) {
        self.answer(Ok(MemberResponse::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
            member_epoch,
            heartbeat_interval_ms: 5_000,
            assignment,
            ..Default::default()
        })));
    }

    fn refuse(&mut self, code: ErrorCode) {
        self.answer(Ok(MemberResponse::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
            error_code: code.0,
            ..Default::default()
        })));
    }

    /// Answers a look-up: the name of a topic is in its id.
    fn answer_names(&mut self) {
        let Some((_, MemberRequest::TopicNames(ids))) = self.calls.front() else { panic!("{:?}", self.calls) };
        let name = |id: &Uuid| std::str::from_utf8(&id.0).unwrap().trim_end_matches('\0').to_owned();
        let names = ids.iter().map(|id| (*id, Str::from(name(id)))).collect();
        self.answer(Ok(MemberResponse::TopicNames(names)));
    }

    fn keep(&mut self, indexes: &[i32]) {
        self.member.handle_rejoin_keeping(self.now, partitions("t", indexes));
        self.drain();
    }

    fn events(&mut self) -> Vec<GroupEvent> {
        std::iter::from_fn(|| self.member.poll_event()).collect()
    }
}

fn owned(request: &ConsumerGroupHeartbeatRequest) -> Option<Vec<(Uuid, Vec<i32>)>> {
    let topics = request.topic_partitions.as_ref()?;
    Some(topics.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect())
}

#[test]
fn the_first_heartbeat_tells_everything_and_later_ones_only_what_is_new() {
    let mut config = GroupConfig::new("g", vec![Str::from("t")]);
    config.remote_assignor = Some(Str::from("range"));
    config.rack = Some(Str::from("west"));
    let mut script = Script::new(config);
    let join = script.heartbeat();
    assert_eq!((&*join.group_id, &*join.member_id, join.member_epoch), ("g", "me", 0));
    assert_eq!(join.subscribed_topic_names, Some(vec![Str::from("t")]));
    assert_eq!((join.server_assignor.as_deref(), join.rack_id.as_deref()), (Some("range"), Some("west")));
    assert_eq!((join.rebalance_timeout_ms, owned(&join)), (60_000, Some(vec![])));
    assert_eq!(join.subscribed_topic_regex, None);
    script.respond(3, Some(assignment(&[("t", &[1, 0])])));
    assert_eq!(script.events(), [], "the name of the topic is not known yet");
    script.answer_names();
    assert_eq!(script.events(), [assigned(3, partitions("t", &[0, 1]))]);
    assert_eq!((script.member.metadata().generation, &*script.member.metadata().member_id), (3, "me"));
    script.keep(&[0, 1]);
    let acknowledgement = script.heartbeat();
    assert_eq!(owned(&acknowledgement), Some(vec![(id_of("t"), vec![0, 1])]));
    script.respond(3, None);
    script.wait();
    assert_eq!(script.now, Moment::from_millis(5_000));
    for request in [acknowledgement, script.heartbeat()] {
        assert_eq!((request.member_epoch, request.rebalance_timeout_ms), (3, -1));
        assert_eq!((request.subscribed_topic_names, request.server_assignor, request.rack_id), (None, None, None));
    }
    assert_eq!(owned(&script.heartbeat()), None);
}

#[test]
fn partitions_are_given_up_before_they_are_acknowledged_and_only_then_new_ones_come() {
    let mut script = Script::with_two();
    script.wait();
    script.respond(1, Some(assignment(&[("t", &[0])])));
    assert_eq!(script.events(), [assigned(1, partitions("t", &[0]))]);
    // The owner takes its time; the coordinator learns nothing meanwhile.
    script.wait();
    assert_eq!(owned(&script.heartbeat()), None);
    // It is done while that heartbeat is under way: the acknowledgement follows at once.
    script.keep(&[0]);
    assert_eq!(script.calls.len(), 1, "one at a time");
    script.respond(1, None);
    assert_eq!(owned(&script.heartbeat()), Some(vec![(id_of("t"), vec![0])]));
    script.respond(2, Some(assignment(&[("t", &[0, 2])])));
    assert_eq!(script.events(), [assigned(2, partitions("t", &[0, 2]))]);
    assert_eq!(script.member.metadata().generation, 2);
}

#[test]
fn an_assignment_that_is_told_again_is_no_event() {
    let mut script = Script::with_two();
    script.wait();
    script.respond(2, Some(assignment(&[("t", &[0, 1])])));
    assert_eq!(script.events(), []);
    assert_eq!(script.member.metadata().generation, 2, "commits need the present epoch");
}

#[test]
fn after_an_error_everything_is_told_again() {
    let retriable = Ok(MemberResponse::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse {
        error_code: ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0,
        ..Default::default()
    }));
    for answer in [Err(RequestFailure::Unreachable), retriable] {
        let mut script = Script::with_two();
        script.wait();
        script.answer(answer);
        script.wait();
        let request = script.heartbeat();
        assert_eq!((request.member_epoch, request.rebalance_timeout_ms), (1, 60_000));
        assert_eq!(request.subscribed_topic_names, Some(vec![Str::from("t")]));
        assert_eq!(owned(&request), Some(vec![(id_of("t"), vec![0, 1])]));
    }
}

#[test]
fn a_fenced_member_loses_everything_and_joins_again_under_its_id() {
    let table =
        [(ErrorCode::FENCED_MEMBER_EPOCH, LostCause::Fenced), (ErrorCode::UNKNOWN_MEMBER_ID, LostCause::Removed)];
    for (code, cause) in table {
        let mut script = Script::with_two();
        script.wait();
        // An assignment that the owner has not seen yet is lost with the rest.
        script.respond(2, Some(assignment(&[("t", &[0])])));
        script.wait();
        script.refuse(code);
        assert_eq!(script.events(), [GroupEvent::Lost { cause }]);
        assert_eq!((script.member.metadata().generation, script.member.releases().losses), (2, 1));
        assert_eq!(script.member.next_timeout(), None, "nothing happens until the owner has dropped its work");
        script.member.handle_rejoin_keeping(script.now, Vec::new());
        script.wait();
        let join = script.heartbeat();
        assert_eq!((&*join.member_id, join.member_epoch, owned(&join)), ("me", 0, Some(vec![])));
        script.respond(5, Some(assignment(&[("t", &[1])])));
        script.answer_names();
        assert_eq!(script.events(), [assigned(5, partitions("t", &[1]))]);
    }
}

/// The owner acknowledges an assignment, and does not know yet that it was lost: it must not have the epoch of the next
/// membership, under which a commit would be taken.
#[test]
fn a_member_that_was_lost_does_not_join_with_what_it_had() {
    let mut script = Script::with_two();
    script.wait();
    script.refuse(ErrorCode::FENCED_MEMBER_EPOCH);
    script.member.handle_rejoin_keeping(script.now, partitions("t", &[0, 1]));
    script.drain();
    assert!(script.calls.is_empty());
    assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::Fenced }]);
    script.member.handle_rejoin_keeping(script.now, Vec::new());
    script.wait();
    assert_eq!(script.heartbeat().member_epoch, 0);
}

#[test]
fn a_member_leaves_with_the_epoch_that_says_how() {
    for (instance_id, is_to_return, epoch) in
        [(None, false, -1), (None, true, -1), (Some("i"), false, -1), (Some("i"), true, -2)]
    {
        let mut script = if instance_id.is_some() { Script::fixed() } else { Script::dynamic() };
        if is_to_return {
            script.member.handle_leave_to_return(script.now);
        } else {
            script.member.handle_leave(script.now);
        }
        script.drain();
        // The answer to the join does not matter any more.
        script.respond(1, Some(assignment(&[("t", &[0])])));
        let request = script.heartbeat();
        assert_eq!((request.member_epoch, request.instance_id.as_deref()), (epoch, instance_id));
        script.answer(Err(RequestFailure::Unreachable));
        assert!(script.member.is_finished());
        script.member.handle_rejoin(script.now);
        assert_eq!((script.member.poll(), script.member.next_timeout()), (None, None));
    }
    let mut member = Membership::new(GroupConfig::new("g", Vec::new()), Str::from("me"));
    member.handle_leave(Moment::ZERO);
    assert!(member.is_finished() && member.poll().is_none(), "nobody knows it");
}

#[test]
fn an_owner_that_does_not_poll_in_time_loses_its_partitions() {
    for (instance_id, epoch) in [(None, -1), (Some(Str::from("i")), -2)] {
        let poll_interval = Some(Duration::from_secs(10));
        let config = GroupConfig { instance_id, poll_interval, ..GroupConfig::new("g", vec![Str::from("t")]) };
        let mut script = Script::new(config);
        script.respond(1, Some(assignment(&[("t", &[0])])));
        script.answer_names();
        script.events();
        script.member.handle_poll_begun();
        script.member.handle_timeout(Moment::from_millis(11_000));
        assert!(script.events().is_empty(), "an owner that waits in a poll lives");
        script.member.handle_poll_ended(Moment::from_millis(11_000));
        script.drain();
        script.calls.clear();
        script.member.handle_timeout(Moment::from_millis(21_000));
        script.drain();
        assert_eq!(script.heartbeat().member_epoch, epoch);
        assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::PollIntervalExceeded }]);
        script.calls.clear();
        script.now = Moment::from_millis(21_000);
        script.member.handle_rejoin(script.now);
        script.drain();
        assert_eq!(script.heartbeat().member_epoch, 0, "it joins again when its owner polls");
    }
}

#[test]
fn refusals_name_the_setting_to_change() {
    let table = [
        (ErrorCode::FENCED_INSTANCE_ID, "group.instance.id i"),
        (ErrorCode::UNSUPPORTED_ASSIGNOR, "group.remote.assignor"),
        (ErrorCode::INVALID_REGULAR_EXPRESSION, "RE2/J"),
        (ErrorCode::GROUP_ID_NOT_FOUND, "group.consumer.migration.policy"),
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, "GROUP_AUTHORIZATION_FAILED"),
        (ErrorCode::GROUP_MAX_SIZE_REACHED, "GROUP_MAX_SIZE_REACHED"),
    ];
    for (code, expected) in table {
        let mut config = GroupConfig::new("g", Vec::new());
        config.instance_id = Some(Str::from("i"));
        config.remote_assignor = Some(Str::from("mine"));
        config.pattern = Some(Str::from("(x"));
        let mut script = Script::new(config);
        script.refuse(code);
        let events = script.events();
        let [GroupEvent::Fatal(error)] = &events[..] else { panic!("{events:?}") };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(script.member.is_finished());
    }
    let mut script = Script::dynamic();
    script.answer(Err(RequestFailure::Unsupported("too old".to_owned())));
    let error = GroupError::Unsupported { group_id: Str::from("g"), detail: "too old".to_owned() };
    assert_eq!(script.events(), [GroupEvent::Fatal(error)]);
}

#[test]
fn an_instance_id_of_a_killed_process_is_waited_for_but_not_for_ever() {
    let mut script = Script::fixed();
    while script.events().is_empty() && script.now < Moment::from_millis(30_000) {
        script.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
        script.wait();
    }
    script.respond(1, Some(assignment(&[("t", &[0])])));
    script.answer_names();
    assert_eq!(script.events(), [assigned(1, partitions("t", &[0]))]);

    let mut script = Script::fixed();
    loop {
        script.refuse(ErrorCode::UNRELEASED_INSTANCE_ID);
        let events = script.events();
        if let [GroupEvent::Fatal(error)] = &events[..] {
            assert!(error.to_string().contains("group.instance.id i"), "{error}");
            break;
        }
        script.wait();
    }
    assert!((Moment::from_millis(45_000)..Moment::from_millis(47_000)).contains(&script.now), "{:?}", script.now);
}

#[test]
fn topics_whose_names_are_not_known_yet_come_later() {
    let mut script = Script::dynamic();
    script.respond(1, Some(assignment(&[("t", &[0]), ("u", &[0])])));
    let names = [(id_of("t"), Str::from("t"))].into();
    script.answer(Ok(MemberResponse::TopicNames(names)));
    assert_eq!(script.events(), [assigned(1, partitions("t", &[0]))]);
    script.keep(&[0]);
    script.respond(1, None);
    script.wait();
    assert_eq!(script.now, Moment::from_millis(500));
    assert_eq!(script.calls.front().map(|(_, call)| call), Some(&MemberRequest::TopicNames(vec![id_of("u")])));
    script.answer(Err(RequestFailure::Unreachable));
    script.wait();
    script.answer_names();
    let both = [partitions("t", &[0]), partitions("u", &[0])].concat();
    assert_eq!(script.events(), [assigned(1, both)]);
}

#[test]
fn a_topic_that_was_made_anew_is_given_up_first() {
    let mut script = Script::with_two();
    script.wait();
    script.respond(2, Some(assignment(&[("t2", &[0]), ("u", &[0])])));
    // The new topic has the name of the former one, but another id.
    let names = [(id_of("t2"), Str::from("t")), (id_of("u"), Str::from("u"))].into();
    script.answer(Ok(MemberResponse::TopicNames(names)));
    let first = partitions("u", &[0]);
    let second = [partitions("t", &[0]), partitions("u", &[0])].concat();
    assert_eq!(script.events(), [assigned(2, first), assigned(2, second)]);
    script.member.handle_rejoin_keeping(script.now, [partitions("t", &[0]), partitions("u", &[0])].concat());
    script.drain();
    assert_eq!(owned(&script.heartbeat()), Some(vec![(id_of("t2"), vec![0]), (id_of("u"), vec![0])]));
}

#[test]
fn another_subscription_is_told_and_a_pattern_taken_back() {
    let mut script = Script::with_two();
    let told = |script: &mut Script, topics: Vec<Str>, pattern: Option<&'static str>| {
        script.member.set_topics(topics, pattern.map(Str::from));
        script.keep(&[0, 1]);
        let request = script.heartbeat();
        script.respond(1, None);
        (request.subscribed_topic_names, request.subscribed_topic_regex)
    };
    assert_eq!(told(&mut script, vec![Str::from("u")], None), (Some(vec![Str::from("u")]), None));
    assert_eq!(told(&mut script, vec![], Some("o.*")), (Some(vec![]), Some(Str::from("o.*"))));
    assert_eq!(told(&mut script, vec![], Some("o.*")), (None, None));
    assert_eq!(told(&mut script, vec![Str::from("t")], None), (Some(vec![Str::from("t")]), Some(Str::EMPTY)));
}

#[test]
fn an_owner_that_gives_everything_back_is_told_its_partitions_again() {
    let mut script = Script::with_two();
    script.member.handle_rejoin(script.now);
    script.drain();
    assert_eq!(owned(&script.heartbeat()), Some(vec![]));
    assert_eq!(script.events(), [assigned(1, partitions("t", &[0, 1]))]);
}

/// For every error code, before and after the member has joined, it ends up joined, failed or waiting for its owner,
/// and sends few requests on the way.
#[test]
fn no_error_is_a_hot_loop_or_a_dead_end() {
    for code in (-1..150).map(ErrorCode).filter(|code| !code.is_none()) {
        for is_joined in [false, true] {
            let script = if is_joined { Script::with_two() } else { Script::fixed() };
            let asked = insist(script, is_joined, code);
            assert!(asked <= 200, "{} after joining: {is_joined}: {asked} requests in a minute", code.name());
        }
    }
}

/// Answers heartbeats with the error for a minute, joins only if `with_join`, then with success; returns the number of
/// requests in that minute.
fn insist(mut script: Script, is_after_join: bool, code: ErrorCode) -> u32 {
    let end = Moment::from_millis(60_000);
    let mut asked = 0;
    loop {
        let is_over = script.now >= end;
        while let Some((_, call)) = script.calls.front() {
            asked += u32::from(!is_over);
            assert!(asked < 10_000, "{} never waits", code.name());
            match call {
                MemberRequest::TopicNames(_) => script.answer_names(),
                MemberRequest::ConsumerHeartbeat(request)
                    if request.member_epoch == 0 && (is_after_join || is_over) =>
                {
                    script.respond(1, Some(assignment(&[("t", &[0])])));
                }
                MemberRequest::ConsumerHeartbeat(_) if is_over => script.respond(1, None),
                MemberRequest::ConsumerHeartbeat(_) => script.refuse(code),
                other => panic!("{other:?}"),
            }
        }
        let events = script.events();
        if events.iter().any(|event| matches!(event, GroupEvent::Fatal(_))) || (is_over && asked > 0) {
            return asked;
        }
        for event in events {
            match event {
                GroupEvent::Lost { .. } => script.member.handle_rejoin_keeping(script.now, Vec::new()),
                GroupEvent::Assigned { partitions, .. } => script.member.handle_rejoin_keeping(script.now, partitions),
                other => panic!("{other:?}"),
            }
        }
        script.drain();
        if script.calls.is_empty() {
            script.wait();
        }
    }
}
