//! Fetch sessions: what requests name, and the way back from every error.

use super::*;

const SESSION: i32 = 77;

/// A reader of partitions 0 and 1, which broker 1 leads, after the answer to its first request.
fn opened() -> Script {
    let mut script = Script::new(ConsumerConfig::default());
    for index in [0, 1] {
        script.fetcher.assign(tp(index), Offset(0), LeaderEpoch(-1));
    }
    let (request, ticket) = script.fetch();
    assert_eq!((request.session_id, request.session_epoch, named(&request)), (0, 0, vec![(0, 0), (1, 0)]));
    answer_in(&mut script, SESSION, ticket, vec![]);
    script
}

/// Partitions and offsets that a request names.
fn named(request: &FetchRequest) -> Vec<(i32, i64)> {
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
}

fn forgotten(request: &FetchRequest) -> Vec<(Uuid, i32)> {
    let topics = request.forgotten_topics_data.iter();
    topics.flat_map(|topic| topic.partitions.iter().map(|&partition| (topic.topic_id, partition))).collect()
}

fn answer_in(script: &mut Script, session_id: i32, ticket: Ticket, partitions: Vec<PartitionData>) {
    let topic = FetchableTopicResponse { topic_id: TOPIC_ID, partitions, ..Default::default() };
    let response = FetchResponse { session_id, responses: vec![topic], ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((17, response)));
}

fn refuse(script: &mut Script, ticket: Ticket, code: ErrorCode) {
    let response = FetchResponse { error_code: code.0, ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((17, response)));
}

/// Session, epoch and partitions of the next request.
fn next(script: &mut Script) -> ((i32, i32, Vec<(i32, i64)>), Ticket) {
    let (request, ticket) = script.fetch();
    ((request.session_id, request.session_epoch, named(&request)), ticket)
}

#[test]
fn requests_of_a_session_name_only_what_has_changed() {
    let mut script = opened();
    let (asked, ticket) = next(&mut script);
    assert_eq!(asked, (SESSION, 1, vec![]));
    let data = PartitionData { partition_index: 1, ..holding(vec![batch(0, 3)]) };
    answer_in(&mut script, SESSION, ticket, vec![data]);
    let (asked, ticket) = next(&mut script);
    assert_eq!(asked, (SESSION, 2, vec![(1, 3)]), "its position has moved");
    answer_in(&mut script, SESSION, ticket, vec![]);
    assert_eq!(next(&mut script).0, (SESSION, 3, vec![]));
}

#[test]
fn partitions_that_are_not_wanted_any_more_are_forgotten_and_come_back() {
    let mut script = opened();
    script.fetcher.set_paused(&tp(1), true);
    let (request, ticket) = script.fetch();
    assert_eq!((named(&request), forgotten(&request)), (vec![], vec![(TOPIC_ID, 1)]));
    answer_in(&mut script, SESSION, ticket, vec![]);
    script.fetcher.set_paused(&tp(1), false);
    let (request, ticket) = script.fetch();
    assert_eq!((named(&request), forgotten(&request)), (vec![(1, 0)], vec![]));
    answer_in(&mut script, SESSION, ticket, vec![]);
    script.fetcher.assign(tp(0), Offset(9), LeaderEpoch(-1));
    assert_eq!(next(&mut script).0, (SESSION, 3, vec![(0, 9)]), "a sought one is named with its new position");
}

#[test]
fn a_topic_that_was_created_again_replaces_the_one_before_it() {
    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    let (_, ticket) = script.fetch();
    answer_in(&mut script, SESSION, ticket, vec![]);
    let new = Uuid([8; 16]);
    script.cluster = cluster(new, &[1]);
    assert_eq!(script.poll(), None, "the position belongs to the former topic");
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Found(Offset(0))]);
    let (request, _) = script.fetch();
    assert_eq!((request.topics[0].topic_id, named(&request)), (new, vec![(0, 0)]));
    assert_eq!(forgotten(&request), [(TOPIC_ID, 0)]);
}

#[test]
fn every_error_of_the_session_is_followed_by_a_full_request_at_once() {
    let all = vec![(0, 0), (1, 0)];
    for (code, id) in [
        (ErrorCode::FETCH_SESSION_ID_NOT_FOUND, 0),
        (ErrorCode::INVALID_FETCH_SESSION_EPOCH, SESSION),
        (ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR, SESSION),
    ] {
        let mut script = opened();
        let (_, ticket) = script.fetch();
        refuse(&mut script, ticket, code);
        let (asked, ticket) = next(&mut script);
        assert_eq!(asked, (id, 0, all.clone()), "{}", code.name());
        answer_in(&mut script, 78, ticket, vec![]);
        assert_eq!(next(&mut script).0, (78, 1, vec![]), "{}", code.name());
    }
}

#[test]
fn an_error_of_the_session_to_a_full_request_is_retried_later() {
    let mut script = Script::reading(ConsumerConfig::default(), 0);
    let (_, ticket) = script.fetch();
    refuse(&mut script, ticket, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    assert_eq!(script.poll(), None, "not in a hot loop");
}

#[test]
fn without_an_answer_the_next_request_is_full_and_closes_the_session() {
    let mut script = opened();
    let (_, ticket) = script.fetch();
    script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    assert_eq!(next(&mut script).0, (SESSION, 0, vec![(0, 0), (1, 0)]));
}

#[test]
fn a_leader_that_keeps_no_session_gets_full_requests() {
    let mut script = opened();
    let (_, ticket) = script.fetch();
    answer_in(&mut script, 0, ticket, vec![]);
    for _ in 0..2 {
        let (asked, ticket) = next(&mut script);
        assert_eq!(asked, (0, 0, vec![(0, 0), (1, 0)]));
        answer_in(&mut script, 0, ticket, vec![]);
    }
}

#[test]
fn a_session_does_not_mix_ids_and_names() {
    let mut script = opened();
    let (_, ticket) = script.fetch();
    let response = FetchResponse { session_id: SESSION, ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((12, response)));
    let (asked, ticket) = next(&mut script);
    assert_eq!(asked, (SESSION, 0, vec![(0, 0), (1, 0)]), "the leader was replaced by one that knows names only");
    let response = FetchResponse { session_id: 78, ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((12, response)));
    assert_eq!(next(&mut script).0, (78, 1, vec![]));
}

#[test]
fn a_version_without_sessions_has_no_place_for_forgotten_partitions() {
    let mut script = opened();
    script.fetcher.unassign(&tp(1));
    let (request, _) = script.fetch();
    assert_eq!(forgotten(&request).len(), 1);
    assert_eq!(forgotten(&at_version(&request, 7)).len(), 1);
    assert!(forgotten(&at_version(&request, 6)).is_empty());
}
