//! Logs that part from what was read (KIP-320): what fetches say, and what leaders are asked.

use super::*;
use crate::protocol::fetch::EpochEndOffset as Diverging;
use crate::protocol::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

const WITHOUT_EPOCHS: i16 = 11;

fn diverging(epoch: i32, end_offset: i64) -> PartitionData {
    PartitionData { diverging_epoch: Diverging { epoch, end_offset }, ..Default::default() }
}

fn out_of_range() -> PartitionData {
    PartitionData { error_code: ErrorCode::OFFSET_OUT_OF_RANGE.0, ..Default::default() }
}

/// Partition, leader epoch, and the epoch whose end is asked for.
fn check(script: &mut Script) -> (Vec<(i32, i32, i32)>, Ticket) {
    match script.poll() {
        Some(FetcherAction::Check { request, ticket, .. }) => {
            let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
            let asked = asked.map(|one| (one.partition, one.current_leader_epoch, one.leader_epoch)).collect();
            (asked, ticket)
        }
        other => panic!("{other:?} instead of a check"),
    }
}

fn answer_check(script: &mut Script, ticket: Ticket, leader_epoch: i32, end_offset: i64) {
    let end = EpochEndOffset { leader_epoch, end_offset, ..Default::default() };
    answer_check_with(script, ticket, end);
}

fn answer_check_with(script: &mut Script, ticket: Ticket, end: EpochEndOffset) {
    let topic = OffsetForLeaderTopicResult { topic: Str::from("t"), partitions: vec![end], ..Default::default() };
    let response = OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() };
    script.fetcher.handle_checked(script.now, ticket, Ok(response));
}

/// Answers a fetch as a broker does that knows no epochs in fetches.
fn answer_old(script: &mut Script, ticket: Ticket, partitions: Vec<PartitionData>) {
    let topic = FetchableTopicResponse { topic: Str::from("t"), partitions, ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    script.fetcher.handle_fetched(script.now, ticket, Ok((WITHOUT_EPOCHS, response)));
}

fn with_policy() -> ConsumerConfig {
    ConsumerConfig { reset: ResetPolicy::Latest, ..ConsumerConfig::default() }
}

/// A reader of partition 0 from offset 5 on, the record before which is of epoch 2.
fn reading_after_epoch_2(config: ConsumerConfig) -> Script {
    let mut script = Script::new(config);
    script.fetcher.assign(tp(0), Offset(5), LeaderEpoch(2));
    script
}

/// A reader that has read the records 5 to 7 from a leader of epoch 3, which another one follows in epoch 4.
fn reading_from_a_new_leader(config: ConsumerConfig) -> Script {
    let mut script = reading_after_epoch_2(config);
    script.receive(holding(vec![batch(5, 3)]));
    script.take();
    script.cluster = led_in_epoch(4);
    script
}

/// The topic, led by broker 2 in this epoch.
fn led_in_epoch(leader_epoch: i32) -> Cluster {
    let mut cluster = cluster(TOPIC_ID, &[1]);
    let hint = LeaderHint { partition: tp(0), leader: BrokerId(2), epoch: LeaderEpoch(leader_epoch) };
    assert!(cluster.learn_leader(&hint));
    cluster
}

fn parted(offset: i64, epoch: i32, end_offset: i64) -> ConsumeError {
    ConsumeError::Diverged {
        partition: tp(0),
        offset: Offset(offset),
        epoch: LeaderEpoch(epoch),
        end_offset: Offset(end_offset),
    }
}

/// Position and epoch of the next fetch.
fn next_fetch(script: &mut Script) -> (i64, i32) {
    script.now = script.now + Duration::from_secs(1);
    let (request, _) = script.fetch();
    let asked = &request.topics[0].partitions[0];
    (asked.fetch_offset, asked.last_fetched_epoch)
}

#[test]
fn a_log_that_parts_before_the_position_stops_a_reader_without_policy() {
    let mut script = reading_after_epoch_2(ConsumerConfig::default());
    script.receive(diverging(2, 4));
    assert_eq!(script.take_error(), parted(5, 2, 4));
    assert_eq!(script.take_error(), parted(5, 2, 4), "it is said again");
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(5)));
    script.now = script.now + Duration::from_secs(9);
    assert_eq!(script.poll(), None);
    // A seek reads the log as it is, from wherever it is told.
    script.fetcher.assign(tp(0), Offset(4), LeaderEpoch(-1));
    assert!(script.fetcher.take().is_none());
    assert_eq!(next_fetch(&mut script), (4, -1));
}

#[test]
fn with_a_policy_reading_goes_on_where_the_logs_part_and_the_reader_is_told_once() {
    for reset in [ResetPolicy::Earliest, ResetPolicy::Latest, ResetPolicy::ByDuration(Duration::from_secs(1))] {
        let mut script = reading_after_epoch_2(ConsumerConfig { reset, ..ConsumerConfig::default() });
        script.receive(diverging(2, 4));
        assert_eq!(script.take_error(), parted(5, 2, 4));
        assert!(script.fetcher.take().is_none());
        assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(4)));
        assert_eq!(next_fetch(&mut script), (4, 2));
    }
}

#[test]
fn what_was_fetched_ahead_is_dropped_in_silence_when_it_is_gone() {
    for config in [ConsumerConfig::default(), with_policy()] {
        let mut script = Script::reading(config, 5);
        script.receive(holding(vec![batch(5, 3)]));
        assert!(script.fetcher.parked_bytes() > 0);
        script.receive(diverging(3, 6));
        assert!(script.fetcher.take().is_none(), "nobody has seen what is gone");
        assert_eq!(script.fetcher.parked_bytes(), 0);
        assert_eq!(next_fetch(&mut script), (5, 3), "from the first record that was not handed out");
    }
}

#[test]
fn a_leader_that_repeats_that_its_log_parts_is_not_asked_in_a_hot_loop() {
    let mut script = reading_after_epoch_2(ConsumerConfig::default());
    let (end, mut asked) = (Moment::from_millis(10_000), 0);
    while script.now < end {
        match script.poll() {
            Some(FetcherAction::Fetch { ticket, .. }) => {
                asked += 1;
                script.answer(ticket, vec![diverging(2, 50)]);
            }
            Some(other) => panic!("{other:?}"),
            None => script.now = script.fetcher.next_timeout(script.now).unwrap_or(end),
        }
    }
    assert!((5..=20).contains(&asked), "{asked} fetches in 10 s");
}

#[test]
fn an_old_leader_is_asked_before_it_is_read_from() {
    let mut script = reading_after_epoch_2(ConsumerConfig::default());
    let (_, ticket) = script.fetch();
    answer_old(&mut script, ticket, vec![holding(vec![batch(5, 3)])]);
    assert!(script.fetcher.take().is_none(), "the leader did not know what was read before");
    let (asked, ticket) = check(&mut script);
    assert_eq!(asked, [(0, 3, 2)]);
    assert_eq!(script.poll(), None);
    answer_check(&mut script, ticket, 2, 5);
    let (_, ticket) = script.fetch();
    answer_old(&mut script, ticket, vec![holding(vec![batch(5, 3)])]);
    assert_eq!(delivered(&mut script.take()), [(5, 7)]);
    script.fetch();
}

#[test]
fn an_old_leader_whose_log_parts_is_an_error_or_read_from_there() {
    for (config, next) in [(ConsumerConfig::default(), None), (with_policy(), Some((3, -1)))] {
        let mut script = reading_after_epoch_2(config);
        let (_, ticket) = script.fetch();
        answer_old(&mut script, ticket, vec![holding(vec![batch(5, 3)])]);
        let (_, ticket) = check(&mut script);
        answer_check(&mut script, ticket, 2, 3);
        assert_eq!(script.take_error(), parted(5, 2, 3));
        script.now = script.now + Duration::from_secs(1);
        let Some(next) = next else {
            assert_eq!(script.poll(), None);
            continue;
        };
        let (asked, ticket) = check(&mut script);
        assert_eq!(asked, [(0, 3, 2)], "the record before that may be another one, too");
        answer_check(&mut script, ticket, 2, 3);
        assert_eq!(next_fetch(&mut script), next);
    }
}

#[test]
fn every_leader_that_follows_another_one_is_asked() {
    let mut script = reading_from_a_new_leader(ConsumerConfig::default());
    let (asked, ticket) = check(&mut script);
    assert_eq!(asked, [(0, 4, 3)]);
    answer_check(&mut script, ticket, 3, 8);
    assert_eq!(next_fetch(&mut script), (8, 3));

    let mut script = reading_from_a_new_leader(ConsumerConfig::default());
    let (_, ticket) = check(&mut script);
    answer_check(&mut script, ticket, 3, 6);
    assert_eq!(script.take_error(), parted(8, 3, 6));

    // It has nothing of epoch 3, of which the records from 5 on are.
    let mut script = reading_from_a_new_leader(with_policy());
    let (_, ticket) = check(&mut script);
    answer_check(&mut script, ticket, 2, 9);
    assert_eq!(script.take_error(), parted(8, 2, 5));
    assert_eq!(script.fetcher.position(&tp(0)), Some(Offset(5)));
}

#[test]
fn a_check_that_fails_is_repeated_and_one_that_cannot_be_made_passes() {
    let mut script = reading_from_a_new_leader(ConsumerConfig::default());
    let (_, ticket) = check(&mut script);
    let fenced = EpochEndOffset { error_code: ErrorCode::FENCED_LEADER_EPOCH.0, ..Default::default() };
    answer_check_with(&mut script, ticket, fenced);
    assert!(matches!(script.poll(), Some(FetcherAction::Refresh(_))));
    script.now = script.now + Duration::from_secs(1);
    let (_, ticket) = check(&mut script);
    script.fetcher.handle_checked(script.now, ticket, Err(FetchFailure::Unreachable));
    script.now = script.now + Duration::from_secs(1);
    let (_, ticket) = check(&mut script);
    let refused = EpochEndOffset { error_code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED.0, ..Default::default() };
    answer_check_with(&mut script, ticket, refused);
    assert_eq!(next_fetch(&mut script), (8, 3));

    let mut script = reading_from_a_new_leader(ConsumerConfig::default());
    let (_, ticket) = check(&mut script);
    script.fetcher.handle_checked(script.now, ticket, Err(FetchFailure::Unsupported("old".to_owned())));
    assert_eq!(next_fetch(&mut script), (8, 3));

    let mut script = reading_from_a_new_leader(ConsumerConfig::default());
    let (_, ticket) = check(&mut script);
    let code = ErrorCode::UNKNOWN_SERVER_ERROR;
    answer_check_with(&mut script, ticket, EpochEndOffset { error_code: code.0, ..Default::default() });
    assert!(script.fetcher.take().is_none(), "whatever it was, it may pass");
    script.now = script.now + Duration::from_secs(1);
    let (_, ticket) = check(&mut script);
    let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    answer_check_with(&mut script, ticket, EpochEndOffset { error_code: code.0, ..Default::default() });
    assert_eq!(script.take_error(), ConsumeError::Refused { partition: tp(0), offset: Offset(8), code });
}

#[test]
fn the_answer_to_a_check_before_a_seek_changes_nothing() {
    let mut script = reading_from_a_new_leader(ConsumerConfig::default());
    let (_, ticket) = check(&mut script);
    script.fetcher.assign(tp(0), Offset(7), LeaderEpoch(-1));
    answer_check(&mut script, ticket, 3, 6);
    assert!(script.fetcher.take().is_none());
    assert_eq!(next_fetch(&mut script), (7, -1));
}

#[test]
fn a_log_that_was_cut_is_told_from_records_that_were_deleted() {
    let out_of_range_at = |offset| ConsumeError::OffsetOutOfRange { partition: tp(0), offset: Offset(offset) };
    let mut script = reading_after_epoch_2(ConsumerConfig::default());
    script.receive(out_of_range());
    let (asked, ticket) = check(&mut script);
    assert_eq!(asked, [(0, 3, 2)]);
    answer_check(&mut script, ticket, 2, 4);
    assert_eq!(script.take_error(), parted(5, 2, 4));

    // The leader has them, or does not know the epoch any more: the policy decides.
    for (epoch, end_offset) in [(2, 5), (2, 40), (-1, -1)] {
        let mut script = reading_after_epoch_2(ConsumerConfig::default());
        script.receive(out_of_range());
        let (_, ticket) = check(&mut script);
        answer_check(&mut script, ticket, epoch, end_offset);
        assert_eq!(script.take_error(), out_of_range_at(5));

        let mut script = reading_after_epoch_2(with_policy());
        script.receive(out_of_range());
        let (_, ticket) = check(&mut script);
        answer_check(&mut script, ticket, epoch, end_offset);
        let Some(FetcherAction::Lookup(lookup)) = script.poll() else { panic!("a look-up") };
        script.fetcher.handle_lookup(script.now, &lookup, &[Looked::Found(Offset(30))]);
        assert_eq!(next_fetch(&mut script), (30, -1));
    }
}

#[test]
fn a_refused_position_that_is_skipped_since_is_no_error() {
    for (epoch, end_offset) in [(2, 5), (-1, -1)] {
        let mut script = reading_after_epoch_2(ConsumerConfig::default());
        script.receive(out_of_range());
        let (_, ticket) = check(&mut script);
        script.fetcher.skip_to(&tp(0), Offset(8));
        answer_check(&mut script, ticket, epoch, end_offset);
        assert_eq!(next_fetch(&mut script), (8, -1));
        assert!(script.fetcher.take().is_none());
    }
}
