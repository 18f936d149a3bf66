//! The choice of places, by scripts.

use std::time::Duration;

use kafka_wire::types::PartitionId;

use super::*;
use crate::serde::{Raw, Utf8};

fn input() -> TopicPartition {
    TopicPartition::new("t", PartitionId(0))
}

#[track_caller]
fn check(start: StartingOffsets, expected: &[OffsetSpec], listed: &[Option<i64>], found: Result<i64, &str>) {
    assert_eq!(queries(&start, TimestampMs(5_000)), expected);
    let listed: Vec<_> = listed.iter().map(|offset| offset.map(Offset)).collect();
    match (offset(&start, "group", &input(), &listed), found) {
        (Ok(offset), Ok(expected)) => assert_eq!(offset, Offset(expected)),
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
        (found, expected) => panic!("{found:?} is not {expected:?}"),
    }
}

#[test]
fn each_place_is_found_by_its_queries() {
    use OffsetSpec::{Earliest, Latest, Timestamp};
    check(StartingOffsets::Earliest, &[Earliest], &[Some(3)], Ok(3));
    check(StartingOffsets::Latest, &[Latest], &[Some(9)], Ok(9));
    let at = StartingOffsets::Timestamp(TimestampMs(7));
    check(at.clone(), &[Timestamp(TimestampMs(7)), Latest], &[Some(4), Some(9)], Ok(4));
    check(at, &[Timestamp(TimestampMs(7)), Latest], &[None, Some(9)], Ok(9));
    let by_age = StartingOffsets::Committed(ResetPolicy::ByDuration(Duration::from_secs(2)));
    check(by_age, &[Timestamp(TimestampMs(3_000)), Latest], &[Some(5), Some(9)], Ok(5));
    let long_ago = StartingOffsets::Committed(ResetPolicy::ByDuration(Duration::MAX));
    check(long_ago, &[Timestamp(TimestampMs(0)), Latest], &[None, Some(9)], Ok(9));
    check(StartingOffsets::Committed(ResetPolicy::None), &[], &[], Err("group group has no offset"));
}

#[test]
fn an_exact_offset_outside_of_the_log_is_an_error_or_goes_by_the_policy() {
    use OffsetSpec::{Earliest, Latest};
    let exact = |offset, policy| StartingOffsets::offsets([("t", 0, offset)], policy);
    let strict = ResetPolicy::None;
    let bounds = [Some(3), Some(9)];
    for offset in [3, 5, 9] {
        check(exact(offset, strict), &[Earliest, Latest], &bounds, Ok(offset));
    }
    for offset in [2, 10] {
        check(exact(offset, strict), &[Earliest, Latest], &bounds, Err("from 3 to 9"));
    }
    let lenient = exact(2, ResetPolicy::Earliest);
    check(lenient, &[Earliest, Latest, Earliest], &[Some(3), Some(9), Some(3)], Ok(3));
    let of_another = StartingOffsets::offsets([("t", 1, 5)], strict);
    check(of_another, &[Earliest, Latest], &bounds, Err("has no offset"));
}

/// A job that reads `t`, from a place on, and `u` from its first record.
fn job(start: StartingOffsets) -> Topology {
    let mut job = Topology::builder("job");
    job.stream("t", Utf8).starting_offsets(start).to("out", Raw, Utf8);
    job.stream("u", Utf8).to("out", Raw, Utf8);
    job.build().expect("a valid job")
}

fn starting(start: StartingOffsets) -> Option<Starting> {
    let counts = BTreeMap::from([("t".to_owned(), 2), ("u".to_owned(), 2)]);
    Starting::new(&job(start), &counts, ResetPolicy::Earliest, ForeignOffsets::Refuse, TimestampMs(0))
}

fn committed(offsets: [Option<CommittedOffset>; 2]) -> Completion {
    let partition = |(id, offset)| (TopicPartition::new("t", PartitionId(id)), offset);
    Completion::Offsets((0..).zip(offsets).map(partition).collect())
}

fn ours(offset: i64) -> Option<CommittedOffset> {
    let metadata = Str::from_static("ww1;txn=job-x-0;seq=1");
    Some(CommittedOffset { metadata, ..CommittedOffset::new(Offset(offset)) })
}

const DONE: Completion = Completion::Transaction(Outcome::Done);

#[test]
fn all_partitions_of_an_input_get_their_places_in_one_commit() {
    let mut starting = starting(StartingOffsets::Latest).expect("a place to choose");
    assert_eq!(starting.transactional_id(), "job-start");
    for completion in [committed([None, None]), DONE, committed([None, None])] {
        starting.handle(completion).expect("it goes on");
    }
    let Some(Operation::ListOffsets { wanted, .. }) = starting.next() else { panic!("{:?}", starting.next()) };
    assert_eq!(wanted.len(), 2, "the input that starts at its first record needs no place");
    starting.handle(Completion::Listed(vec![Some(Offset(5)), Some(Offset(7))])).expect("it goes on");
    let Some(Operation::Commit { offsets }) = starting.next() else { panic!("{:?}", starting.next()) };
    assert_eq!(offsets.iter().map(|(_, committed)| committed.offset.0).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(&*offsets[0].1.metadata, "ww1;txn=job-start;seq=0");
    starting.handle(DONE).expect("it is committed");
    assert_eq!(starting.next(), None);
}

#[test]
fn the_ends_of_logs_are_chosen_with_the_places() {
    for start in [StartingOffsets::Earliest, StartingOffsets::Timestamp(TimestampMs(3))] {
        let mut job = Topology::builder("job");
        let lines = job.stream("t", Utf8).starting_offsets(start.clone()).bounded(StoppingOffsets::Latest);
        lines.partitions([1]).to("out", Raw, Utf8);
        let (job, counts) = (job.build().expect("a valid job"), BTreeMap::from([("t".to_owned(), 2)]));
        let starting = Starting::new(&job, &counts, ResetPolicy::Earliest, ForeignOffsets::Refuse, TimestampMs(0));
        let mut starting = starting.expect("an end to choose");
        for completion in [committed([None, None]), DONE, committed([None, None])] {
            starting.handle(completion).expect("it goes on");
        }
        let Some(Operation::ListOffsets { wanted, .. }) = starting.next() else { panic!("{:?}", starting.next()) };
        let places = wanted.iter().map(|_| Some(Offset(3))).collect();
        starting.handle(Completion::Listed(places)).expect("it goes on");
        let wanted = vec![(TopicPartition::new("t", PartitionId(1)), OffsetSpec::Latest)];
        let isolation = IsolationLevel::ReadCommitted;
        assert_eq!(starting.next(), Some(Operation::ListOffsets { wanted, isolation }), "of what is read");
        starting.handle(Completion::Listed(vec![Some(Offset(7))])).expect("it goes on");
        let Some(Operation::Commit { offsets }) = starting.next() else { panic!("{:?}", starting.next()) };
        let committed: Vec<_> = offsets.iter().map(|(_, place)| (place.offset.0, &*place.metadata)).collect();
        assert_eq!(committed, [(3, "ww1;txn=job-start;seq=0"), (3, "ww1;txn=job-start;seq=0;end=7")], "{start:?}");
    }
}

#[test]
fn what_another_process_has_chosen_stays() {
    let mut first = starting(StartingOffsets::Latest).expect("a place to choose");
    first.handle(committed([ours(5), None])).expect("it goes on");
    assert_eq!(first.next(), None, "the partition without an offset was added later");
    let mut second = starting(StartingOffsets::Latest).expect("a place to choose");
    for completion in [committed([None, None]), DONE, committed([ours(5), ours(7)])] {
        second.handle(completion).expect("it goes on");
    }
    assert_eq!(second.next(), None, "the other process was faster");
    assert!(starting(StartingOffsets::Earliest).is_none(), "nothing to choose");
}

#[test]
fn offsets_of_another_program_are_places_where_the_input_says_so() {
    let foreign = || [Some(CommittedOffset::new(Offset(3))), None];
    let mut strict = starting(StartingOffsets::Latest).expect("a place to choose");
    strict.handle(committed(foreign())).expect("it goes on");
    assert_eq!(strict.next(), None, "the take-over judges them");
    let mut lenient = starting(StartingOffsets::Committed(ResetPolicy::Latest)).expect("a place to choose");
    for completion in [committed(foreign()), DONE, committed(foreign()), Completion::Listed(vec![Some(Offset(9))])] {
        lenient.handle(completion).expect("it goes on");
    }
    let Some(Operation::Commit { offsets }) = lenient.next() else { panic!("{:?}", lenient.next()) };
    assert_eq!(offsets.iter().map(|(_, committed)| committed.offset.0).collect::<Vec<_>>(), [3, 9]);
}

#[test]
fn offsets_of_another_program_are_judged_where_the_input_says_nothing() {
    let foreign = || [Some(CommittedOffset::new(Offset(3))), None];
    let mut job = Topology::builder("job");
    job.stream("t", Utf8).to("out", Raw, Utf8);
    let job = job.build().expect("a valid job");
    let counts = BTreeMap::from([("t".to_owned(), 2)]);
    for policy in [ResetPolicy::Latest, ResetPolicy::None, ResetPolicy::ByDuration(Duration::from_secs(1))] {
        let starting =
            |foreign| Starting::new(&job, &counts, policy, foreign, TimestampMs(0)).expect("places to choose");
        let mut strict = starting(ForeignOffsets::Refuse);
        strict.handle(committed(foreign())).expect("it goes on");
        assert_eq!(strict.next(), None, "the take-over refuses them");
        let mut lenient = starting(ForeignOffsets::Accept);
        lenient.handle(committed(foreign())).expect("it goes on");
        assert_eq!(lenient.next(), Some(Operation::Recover), "the other partition needs a place");
    }
}

#[test]
fn a_commit_that_fails_is_tried_anew() {
    for outcome in [Outcome::Unknown, Outcome::MustAbort, Outcome::Fatal] {
        let mut starting = starting(StartingOffsets::Latest).expect("a place to choose");
        let listed = Completion::Listed(vec![Some(Offset(5)), Some(Offset(7))]);
        for completion in [committed([None, None]), DONE, committed([None, None]), listed] {
            starting.handle(completion).expect("it goes on");
        }
        let end = starting.handle(Completion::Transaction(outcome)).expect_err("it may not be committed");
        assert!(matches!(end, End::Restart(_)), "{end:?}");
    }
}
