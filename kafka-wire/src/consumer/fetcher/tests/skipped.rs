//! Records that the reader has from elsewhere.

use super::*;

/// Offset and epoch at which the next fetch goes on.
fn goes_on_at(script: &mut Script) -> (i64, i32) {
    let (request, _) = script.fetch();
    let asked = &request.topics[0].partitions[0];
    (asked.fetch_offset, asked.last_fetched_epoch)
}

#[test]
fn a_fetch_in_flight_brings_only_the_rest() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    let (_, ticket) = script.fetch();
    script.fetcher.skip_to(&tp(0), Offset(8));
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(8)));
    assert_eq!(script.poll(), None, "the fetch goes on");
    script.answer(ticket, vec![holding(vec![batch(5, 3), batch(8, 2)])]);
    let mut fetched = script.take();
    assert_eq!(delivered(&mut fetched), [(8, 9)]);
    assert_eq!((fetched.next_offset(), fetched.leader_epoch()), (Offset(10), LeaderEpoch(3)));
    assert_eq!(goes_on_at(&mut script), (10, 3));
}

#[test]
fn nothing_is_left_of_a_fetch_that_brings_what_is_known() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    let (_, ticket) = script.fetch();
    script.fetcher.skip_to(&tp(0), Offset(8));
    script.answer(ticket, vec![holding(vec![batch_of(9, true, 5, 3), commit(9, 8)])]);
    let mut fetched = script.take();
    assert_eq!(delivered(&mut fetched), []);
    assert_eq!(fetched.next_offset(), Offset(9), "behind the marker");
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(9)));
}

#[test]
fn parked_data_go_as_far_as_they_are_known() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.receive(holding(vec![batch(5, 3), batch(8, 4)]));
    script.fetcher.skip_to(&tp(0), Offset(10));
    assert_eq!(delivered(&mut script.take()), [(10, 11)]);
}

#[test]
fn the_next_fetch_begins_behind_with_an_unknown_epoch() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.receive(holding(vec![batch(5, 3)]));
    script.take();
    script.fetcher.skip_to(&tp(0), Offset(12));
    assert_eq!(goes_on_at(&mut script), (12, -1));
}

#[test]
fn a_fetch_that_fails_is_repeated_behind() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.receive(holding(vec![]));
    let (_, ticket) = script.fetch();
    script.fetcher.skip_to(&tp(0), Offset(8));
    script.fetcher.handle_fetched(script.now, ticket, Err(FetchFailure::Unreachable));
    script.now = script.now + Duration::from_secs(5);
    script.fetcher.handle_refreshed(script.now);
    assert_eq!(goes_on_at(&mut script), (8, -1));
}

#[test]
fn nothing_is_fetched_above_what_is_stable() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.receive(PartitionData { high_watermark: 8, last_stable_offset: 5, ..holding(vec![]) });
    script.fetcher.skip_to(&tp(0), Offset(8));
    let (request, ticket) = script.fetch();
    assert_eq!(request.topics[0].partitions[0].fetch_offset, 5);
    script.answer(ticket, vec![holding(vec![batch_of(9, true, 5, 3), commit(9, 8)])]);
    assert_eq!(delivered(&mut script.take()), []);
    assert_eq!(goes_on_at(&mut script), (9, 3));
}

#[test]
fn what_is_skipped_may_be_deleted_while_it_is_asked_for() {
    let deleted = || PartitionData { error_code: ErrorCode::OFFSET_OUT_OF_RANGE.0, ..Default::default() };
    for epoch in [-1, 3] {
        let mut script = Script::new(ConsumerConfig::default());
        script.fetcher.assign(tp(0), Offset(5), LeaderEpoch(epoch));
        let (_, ticket) = script.fetch();
        script.fetcher.skip_to(&tp(0), Offset(8));
        script.answer(ticket, vec![deleted()]);
        let (request, ticket) = script.fetch();
        assert_eq!(request.topics[0].partitions[0].fetch_offset, 8);
        script.answer(ticket, vec![holding(vec![commit(9, 8)])]);
        assert_eq!(delivered(&mut script.take()), []);
        assert_eq!(goes_on_at(&mut script), (9, 3), "nothing has to be checked");
    }

    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.receive(holding(vec![batch(5, 3)]));
    let (_, ticket) = script.fetch();
    script.fetcher.skip_to(&tp(0), Offset(10));
    script.answer(ticket, vec![deleted()]);
    assert_eq!(goes_on_at(&mut script), (10, -1), "whatever has come before");
    let mut fetched = script.take();
    assert_eq!((delivered(&mut fetched), fetched.next_offset()), (vec![], Offset(10)));
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(10)));
}

#[test]
fn a_marker_that_is_skipped_ends_its_transaction() {
    let config = ConsumerConfig { isolation: IsolationLevel::ReadCommitted, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 0);
    let (_, ticket) = script.fetch();
    script.fetcher.skip_to(&tp(0), Offset(4));
    let records = vec![batch_of(9, true, 0, 3), abort(9, 3), batch_of(9, true, 4, 3), commit(9, 7)];
    let aborted = AbortedTransaction { producer_id: 9, first_offset: 0, ..Default::default() };
    let data = PartitionData { aborted_transactions: Some(vec![aborted]), ..holding(records) };
    script.answer(ticket, vec![data]);
    assert_eq!(delivered(&mut script.take()), [(4, 6)]);
}

#[test]
fn a_log_that_begins_anew_has_been_read_from_its_beginning() {
    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut script = Script::reading(config, 50);
    script.receive(holding(vec![batch(50, 3)]));
    let new = Uuid([8; 16]);
    script.cluster = cluster(new, &[1]);
    assert_eq!(script.poll(), None, "the position belongs to the former topic");
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Found(Offset(0))]);
    assert_eq!(delivered(&mut script.take()), [(50, 52)]);
    let (_, ticket) = script.fetch();
    let topic =
        FetchableTopicResponse { topic_id: new, partitions: vec![holding(vec![batch(0, 5)])], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((17, response)));
    assert_eq!(delivered(&mut script.take()), [(0, 4)]);
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(5)));
}

#[test]
fn what_lies_behind_already_is_left_alone() {
    let mut script = Script::reading(ConsumerConfig::default(), 5);
    script.fetcher.skip_to(&tp(0), Offset(3));
    script.fetcher.skip_to(&tp(2), Offset(3));
    assert_eq!((script.fetcher.position(&tp(0)), script.fetcher.is_assigned(&tp(2))), (Some(Offset(5)), false));
    script.fetcher.assign(tp(0), Offset(0), LeaderEpoch(-1));
    assert_eq!(goes_on_at(&mut script), (0, -1), "a seek goes back, whatever was known");
}
