//! The ends of a membership: it is lost, or the member leaves.

use super::*;

#[test]
fn lost_partitions_are_announced_and_the_proof_of_membership_stays_stale() {
    let table = [
        (ErrorCode::UNKNOWN_MEMBER_ID, LostCause::Removed, ""),
        (ErrorCode::ILLEGAL_GENERATION, LostCause::StaleGeneration, "me"),
    ];
    for (code, cause, next_member_id) in table {
        let mut script = Script::dynamic().follow();
        script.wait();
        script.answer_heartbeat(code);
        assert_eq!(script.events(), [GroupEvent::Lost { cause }]);
        assert_eq!(script.member.next_timeout(), None, "nothing happens until the owner rejoins");
        assert_eq!((script.member.metadata().generation, &*script.member.metadata().member_id), (5, "me"));
        script.member.handle_rejoin(script.now);
        script.drain();
        assert_eq!(join_of(script.next_call()).member_id, next_member_id);
    }
}

#[test]
fn a_session_without_a_heartbeat_ends_although_nobody_says_so() {
    let mut script = Script::dynamic().follow();
    let mut heartbeats = 0;
    while script.events().is_empty() {
        script.wait();
        while !script.calls.is_empty() {
            heartbeats += 1;
            script.answer(Err(RequestFailure::Unreachable));
        }
    }
    assert_eq!(script.now, Moment::from_millis(45_000));
    assert!((10..60).contains(&heartbeats), "{heartbeats} heartbeats");
    assert_eq!(script.forgotten, heartbeats);
}

#[test]
fn a_heartbeat_that_is_never_answered_does_not_hide_the_end_of_the_session() {
    let mut script = Script::dynamic().follow();
    script.wait();
    assert!(matches!(script.next_call(), MemberRequest::Heartbeat(_)));
    script.wait();
    assert_eq!(script.now, Moment::from_millis(45_000));
    assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::SessionExpired }]);
    // The late response is about a membership that is over.
    script.answer_heartbeat(ErrorCode::NONE);
    assert_eq!(script.events(), []);
}

#[test]
fn leaving_is_asked_for_whenever_the_coordinator_may_know_the_member() {
    // A dynamic member waits for the id under which the coordinator waits for it; a static one is known by its own.
    let mut script = Script::dynamic();
    script.member.handle_leave(script.now);
    assert!(!script.member.is_finished());
    script.answer_join(ErrorCode::MEMBER_ID_REQUIRED, "");
    let MemberRequest::Leave(request) = script.next_call() else { panic!("a leave follows") };
    assert_eq!(request.members[0].member_id, "me");
    script.answer(Ok(MemberResponse::Leave(LeaveGroupResponse::default())));
    assert!(script.member.is_finished());
    for answer in [Ok(MemberResponse::Join(JoinGroupResponse::default())), Err(RequestFailure::Unreachable)] {
        let mut script = Script::dynamic();
        script.member.handle_leave(script.now);
        script.answer(answer);
        assert!(script.member.is_finished(), "there is nobody to leave");
        assert_eq!((script.calls.len(), script.events()), (0, Vec::new()));
    }
    let mut script = Script::fixed();
    script.calls.clear();
    script.member.handle_leave(script.now);
    script.drain();
    let MemberRequest::Leave(request) = script.next_call() else { panic!("a leave follows") };
    assert_eq!(request.members[0].group_instance_id.as_deref(), Some("i"));

    for answer in [Ok(MemberResponse::Leave(LeaveGroupResponse::default())), Err(RequestFailure::Unreachable)] {
        let mut script = Script::fixed().follow();
        script.member.handle_leave(script.now);
        script.drain();
        let MemberRequest::Leave(request) = script.next_call() else { panic!("a leave follows") };
        assert_eq!(request.members[0].member_id, "me");
        script.answer(answer);
        assert!(script.member.is_finished());
        script.member.handle_rejoin(script.now);
        assert_eq!(script.member.poll(), None, "who left stays out");
    }

    // The member is fenced: its place belongs to another member.
    let mut script = Script::fixed();
    script.answer_join(ErrorCode::FENCED_INSTANCE_ID, "");
    script.member.handle_leave(script.now);
    assert_eq!(script.member.poll(), None);
}

#[test]
fn an_owner_that_does_not_poll_in_time_loses_its_partitions() {
    let interval = Duration::from_secs(10);
    let config = GroupConfig { poll_interval: Some(interval), ..GroupConfig::new("g", vec![Str::from("t")]) };
    for instance_id in [None, Some(Str::from("i"))] {
        let is_static = instance_id.is_some();
        let mut script = Script::new(GroupConfig { instance_id, ..config.clone() }).follow();
        script.member.handle_poll_begun();
        script.member.handle_timeout(Moment::from_millis(11_000));
        assert!(script.events().is_empty(), "an owner that waits in a poll lives");
        script.member.handle_poll_ended(Moment::from_millis(11_000));
        script.member.handle_timeout(Moment::from_millis(21_000));
        assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::PollIntervalExceeded }]);
        script.calls.clear();
        script.drain();
        let has_left = script.calls.iter().any(|(_, call)| matches!(call, MemberRequest::Leave(_)));
        assert_eq!(has_left, !is_static, "a static member keeps its place until the session timeout");
        assert!(!script.member.is_finished(), "it may join again");
    }
}

#[test]
fn a_member_that_would_keep_lost_partitions_hears_of_the_loss_first() {
    let assignors = vec![Assignor::CooperativeSticky];
    let config = GroupConfig { assignors, ..GroupConfig::new("g", vec![Str::from("t")]) };
    let mut script = Script::new(config).follow();
    script.wait();
    script.answer_heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(script.events(), [GroupEvent::Rebalancing]);
    script.wait();
    script.answer_heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
    // The owner answers the rebalance: it does not know yet that another member may have its partition.
    script.member.handle_rejoin_keeping(script.now, vec![TopicPartition::new("t", PartitionId(1))]);
    script.drain();
    assert!(script.calls.is_empty(), "it does not join with what it has lost");
    assert_eq!(script.events(), [GroupEvent::Lost { cause: LostCause::Removed }]);
    script.member.handle_rejoin_keeping(script.now, Vec::new());
    script.drain();
    assert_eq!(join_of(script.next_call()).member_id, "");
    script.follow();
}
