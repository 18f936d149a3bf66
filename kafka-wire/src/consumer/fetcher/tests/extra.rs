//! Partitions that come up while a fetch waits, and look-ups of many partitions.

use super::*;

/// Kind, wait, session epoch and partitions of the next fetch.
fn next(script: &mut Script) -> ((FetchKind, i32, i32, Vec<i32>), Ticket) {
    match script.poll() {
        Some(FetcherAction::Fetch { kind, request, ticket, .. }) => {
            let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
            let indexes = partitions.map(|partition| partition.partition).collect();
            ((kind, request.max_wait_ms, request.session_epoch, indexes), ticket)
        }
        other => panic!("{other:?} instead of a fetch"),
    }
}

fn answer(script: &mut Script, ticket: Ticket, partitions: Vec<PartitionData>) {
    let topic = FetchableTopicResponse { topic_id: TOPIC_ID, partitions, ..Default::default() };
    let response = FetchResponse { session_id: 77, responses: vec![topic], ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((17, response)));
}

/// A reader of partition 0, whose fetch waits for records at broker 1.
fn waiting(config: ConsumerConfig) -> (Script, Ticket) {
    let mut script = Script::reading(config, 0);
    let (asked, ticket) = next(&mut script);
    assert_eq!(asked, (FetchKind::Regular, 500, 0, vec![0]));
    script.now = script.now + Duration::from_millis(100);
    (script, ticket)
}

#[test]
fn a_partition_that_comes_up_while_a_fetch_waits_goes_by_an_extra_one() {
    let (mut script, regular) = waiting(ConsumerConfig::default());
    script.fetcher.assign(tp(1), Offset(5), LeaderEpoch(-1));
    let (asked, extra) = next(&mut script);
    assert_eq!(asked, (FetchKind::Extra, 10, -1, vec![1]), "without a session");
    assert_eq!(script.poll(), None, "one of each kind");
    let data = PartitionData { partition_index: 1, ..holding(vec![batch(5, 2)]) };
    answer(&mut script, extra, vec![data]);
    assert_eq!(delivered(&mut script.take()), [(5, 6)]);
    let (asked, extra) = next(&mut script);
    assert_eq!(asked, (FetchKind::Extra, 20, -1, vec![1]), "and again until the regular one ends");
    answer(&mut script, regular, vec![]);
    let (asked, regular) = next(&mut script);
    assert_eq!(asked, (FetchKind::Regular, 20, 1, vec![]), "which then ends with the extra one");
    answer(&mut script, extra, vec![]);
    answer(&mut script, regular, vec![]);
    let (asked, _) = next(&mut script);
    assert_eq!(asked, (FetchKind::Regular, 500, 2, vec![1]), "from then on all go by one fetch");
}

#[test]
fn a_sought_partition_and_a_resumed_one_do_not_wait() {
    let (mut script, regular) = waiting(ConsumerConfig::default());
    script.fetcher.assign(tp(0), Offset(9), LeaderEpoch(-1));
    let (asked, extra) = next(&mut script);
    assert_eq!((asked.0, asked.3), (FetchKind::Extra, vec![0]));
    answer(&mut script, regular, vec![holding(vec![batch(0, 9)])]);
    assert!(script.fetcher.take().is_none(), "that was before the seek");
    answer(&mut script, extra, vec![holding(vec![batch(9, 1)])]);
    assert_eq!(delivered(&mut script.take()), [(9, 9)]);

    let (mut script, _) = waiting(ConsumerConfig::default());
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    script.fetcher.set_paused(&tp(1), true);
    assert_eq!(script.poll(), None);
    script.fetcher.set_paused(&tp(1), false);
    assert_eq!(next(&mut script).0.3, [1]);
}

#[test]
fn a_fetch_that_is_about_to_end_is_waited_for() {
    let (mut script, regular) = waiting(ConsumerConfig::default());
    script.now = script.now + Duration::from_millis(395);
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    assert_eq!(script.poll(), None);
    answer(&mut script, regular, vec![]);
    assert_eq!(next(&mut script).0, (FetchKind::Regular, 500, 1, vec![1]));
}

#[test]
fn an_extra_fetch_has_room_although_all_is_promised_to_the_regular_one() {
    let config = ConsumerConfig { buffer_limit_bytes: 100, ..ConsumerConfig::default() };
    let (mut script, regular) = waiting(config);
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    let Some(FetcherAction::Fetch { request, ticket, .. }) = script.poll() else { panic!("a fetch") };
    assert_eq!(request.max_bytes, 100);
    answer(&mut script, regular, vec![holding(vec![batch(0, 1), batch(1, 1)])]);
    assert!(script.fetcher.parked_bytes() > 100);
    answer(&mut script, ticket, vec![]);
    assert_eq!(script.poll(), None, "a full buffer pauses both");
}

#[test]
fn a_lost_extra_fetch_leaves_the_session_alone() {
    let (mut script, regular) = waiting(ConsumerConfig::default());
    script.fetcher.assign(tp(1), Offset(0), LeaderEpoch(-1));
    let (_, extra) = next(&mut script);
    script.fetcher.handle_fetched(script.now, extra, Err(FetchFailure::Unreachable));
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    assert_eq!(script.poll(), None, "not in a hot loop");
    answer(&mut script, regular, vec![]);
    let ((kind, _, epoch, _), _) = next(&mut script);
    assert_eq!((kind, epoch), (FetchKind::Regular, 1));
}

#[test]
fn partitions_without_a_position_are_looked_up_by_one_request_for_each_leader() {
    let config = ConsumerConfig { reset: ResetPolicy::Earliest, ..ConsumerConfig::default() };
    let mut script = Script::new(config);
    for index in [0, 1, 2] {
        script.fetcher.assign_unplaced(tp(index));
    }
    script.fetcher.assign_unplaced(TopicPartition::new("unknown", PartitionId(0)));
    let mut lookups = Vec::new();
    while let Some(FetcherAction::Lookup(lookup)) = script.poll() {
        lookups.push(lookup);
    }
    let asked = |lookup: &Lookup| -> Vec<_> {
        lookup.partitions.iter().map(|(partition, epoch)| (partition.to_string(), epoch.0)).collect()
    };
    let named = |name: &str, epoch| (name.to_owned(), epoch);
    assert_eq!((lookups[0].leader, asked(&lookups[0])), (Some(BrokerId(1)), vec![named("t-0", 3), named("t-1", 3)]));
    assert_eq!((lookups[1].leader, asked(&lookups[1])), (Some(BrokerId(2)), vec![named("t-2", 3)]));
    assert_eq!((lookups[2].leader, asked(&lookups[2])), (None, vec![named("unknown-0", -1)]));
    let results = [Looked::Found(Offset(4)), Looked::Refused(ErrorCode::NOT_LEADER_OR_FOLLOWER)];
    script.fetcher.handle_lookup(script.now, &lookups[0], &results);
    let (asked, _) = next(&mut script);
    assert_eq!(asked.3, [0], "a failure holds up no other");
    assert_eq!(script.poll(), Some(FetcherAction::Refresh(vec![Str::from("t")])));
}

#[test]
fn a_leader_that_becomes_known_is_asked_at_once_and_not_in_a_hot_loop() {
    let config = ConsumerConfig { reset: ResetPolicy::Latest, ..ConsumerConfig::default() };
    let mut script = Script::new(config);
    script.cluster = Cluster::default();
    script.fetcher.assign_unplaced(tp(0));
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    assert_eq!(lookup.leader, None);
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Led]);
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Led]);
    assert_eq!(script.poll(), None, "it was not known after all");
    script.cluster = cluster(TOPIC_ID, &[2]);
    script.now = script.fetcher.next_timeout(script.now).unwrap();
    let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
    assert_eq!(lookup.leader, Some(BrokerId(2)));
}
