//! The machine, driven by hand.

use std::time::Duration;

use super::*;

fn machine() -> CommitMachine {
    CommitMachine::new(CommitPolicy::adaptive(Duration::from_millis(5), Duration::from_millis(100)), 7)
}

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

/// A machine with a transaction that is due.
fn due() -> CommitMachine {
    let mut machine = machine();
    assert!(machine.begin(at(0)));
    machine.request_commit();
    machine
}

/// Answers each step in turn, and returns the steps.
fn steps(machine: &mut CommitMachine, answers: &[Outcome]) -> Vec<Step> {
    let mut answers = answers.iter();
    let mut steps = Vec::new();
    while let Some(step) = machine.poll(at(0)) {
        assert!(machine.poll(at(0)).is_none() || matches!(step, Step::Confirm | Step::RollBack), "{step:?} came twice");
        steps.push(step);
        if !matches!(step, Step::Confirm | Step::RollBack | Step::GiveUp) {
            machine.handle(*answers.next().expect("an answer for each step"));
        }
    }
    assert!(answers.next().is_none());
    steps
}

#[test]
fn a_transaction_goes_through_its_steps() {
    let mut machine = due();
    assert!(!machine.begin(at(0)), "it is open already");
    assert!(machine.accepts_work());
    assert_eq!(machine.poll(at(0)), Some(Step::Flush));
    assert!(!machine.accepts_work());
    machine.handle(Outcome::Done);
    assert_eq!(steps(&mut machine, &[Outcome::Done]), [Step::Commit { sequence: 7 }, Step::Confirm]);
    assert!(machine.is_idle());

    assert!(machine.begin(at(1)));
    assert_eq!(machine.poll(at(1)), None, "the request was for the transaction before");
    machine.request_commit();
    assert_eq!(machine.poll(at(1)), Some(Step::Flush));
    machine.handle(Outcome::Done);
    assert_eq!(machine.poll(at(1)), Some(Step::Commit { sequence: 8 }));
}

#[test]
fn a_refused_record_or_a_changed_group_aborts() {
    let aborted = [Step::Flush, Step::Abort, Step::RollBack];
    assert_eq!(steps(&mut due(), &[Outcome::MustAbort, Outcome::Done]), aborted);
    let aborted = [Step::Flush, Step::Commit { sequence: 7 }, Step::Abort, Step::RollBack];
    assert_eq!(steps(&mut due(), &[Outcome::Done, Outcome::MustAbort, Outcome::Done]), aborted);
}

#[test]
fn an_unknown_outcome_is_looked_up() {
    let looked_up = [Step::Flush, Step::Commit { sequence: 7 }, Step::Recover, Step::ReadCommitted { sequence: 7 }];
    for (landed, end) in [(true, Step::Confirm), (false, Step::RollBack)] {
        let answers = [Outcome::Done, Outcome::Unknown, Outcome::Done, Outcome::Landed(landed)];
        assert_eq!(steps(&mut due(), &answers), [&looked_up[..], &[end]].concat());
    }
}

#[test]
fn an_abort_without_an_answer_is_made_sure_of_by_the_next_epoch() {
    let answers = [Outcome::MustAbort, Outcome::Unknown, Outcome::Done];
    assert_eq!(steps(&mut due(), &answers), [Step::Flush, Step::Abort, Step::Recover, Step::RollBack]);
}

#[test]
fn whoever_is_fenced_gives_up_once_and_for_all() {
    let mut machine = due();
    assert_eq!(steps(&mut machine, &[Outcome::Fatal]), [Step::Flush, Step::GiveUp]);
    machine.request_commit();
    machine.request_abort();
    assert_eq!(machine.poll(at(1_000)), None);
    assert!(!machine.accepts_work() && !machine.is_idle());
}

#[test]
fn an_abort_is_for_what_is_open_only() {
    let mut machine = machine();
    machine.request_abort();
    assert_eq!(machine.poll(at(0)), None);
    machine.begin(at(0));
    machine.request_abort();
    assert_eq!(steps(&mut machine, &[Outcome::Done]), [Step::Abort, Step::RollBack]);
}

#[test]
fn with_nothing_to_read_a_commit_waits_for_min_since_the_last_one() {
    let mut machine = machine();
    machine.begin(at(1_000));
    machine.handle_drained(true);
    assert_eq!(machine.next_timeout(), Some(at(1_000)));
    assert_eq!(machine.poll(at(1_000)), Some(Step::Flush));
    machine.handle(Outcome::Done);
    assert!(matches!(machine.poll(at(1_001)), Some(Step::Commit { .. })));
    machine.handle(Outcome::Done);
    assert_eq!(machine.poll(at(1_002)), Some(Step::Confirm));

    machine.begin(at(1_003));
    assert_eq!(machine.next_timeout(), Some(at(1_007)));
    assert_eq!(machine.poll(at(1_006)), None);
    assert_eq!(machine.poll(at(1_007)), Some(Step::Flush));
}

#[test]
fn under_load_a_transaction_ends_at_max_or_at_its_limits() {
    let mut machine = machine();
    machine.begin(at(1_000));
    machine.handle_drained(false);
    machine.handle_work(1_000, 1_000);
    assert_eq!(machine.next_timeout(), Some(at(1_100)));
    assert_eq!(machine.poll(at(1_099)), None);
    assert_eq!(machine.clone().poll(at(1_100)), Some(Step::Flush));
    let mut by_records = machine.clone();
    by_records.handle_work(999_000, 0);
    assert_eq!(by_records.poll(at(1_001)), Some(Step::Flush));
    machine.handle_work(0, 64 << 20);
    assert_eq!(machine.poll(at(1_001)), Some(Step::Flush));
}
