//! Every operator with state, in processes that are killed. Two processes run all jobs of [`conformance::stateful`].
//! In turns they are killed with SIGKILL and started again, or stand still for longer than their session, while input
//! keeps coming. The output, as a `read_committed` reader finds it, must be what a plain computation over the input
//! says, for each row and key. Event times of windows, timers, patterns and joins of streams are out of order within
//! the bound, and take one great step in between.
//!
//! Other suites kill in the same way: sessions, timers, tables, foreign keys, dead letters and patterns, with times out
//! of order, in `operators.rs`; windowed counts in `exactly_once.rs`; the application of Kafka's smoke test in
//! `streams_smoke.rs`; outputs outside of Kafka in `sinks.rs`.
//!
//! A run prints its seed; `WATERWHEEL_SEED` repeats it, as far as the machine's timing allows.

#[path = "stateful/run.rs"]
mod run;

use std::io::Write as _;

use conformance::reader::KeptRecord;
use conformance::stateful::{Expected, Results};
use conformance::{TestBroker, on_both_brokers};
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use run::{Run, seed, wrong};

on_both_brokers!(every_operator_with_state_survives_kills);

async fn every_operator_with_state_survives_kills(broker: TestBroker) {
    let mut run = Run::start(broker.bootstrap(), |name| broker.unique(name), seed()).await;
    run.work().await;
    let summary = run.check().await;
    // Written past the test harness, which hides the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "{}: {summary}", broker.kind().label());
}

#[test]
fn results_that_are_missing_doubled_moved_or_foreign_are_found() {
    let expected = Expected::from([
        ("sum k0".to_owned(), Results::InOrder(vec!["1".to_owned(), "3".to_owned()])),
        ("last k0".to_owned(), Results::EndsWith(Some("7".to_owned()))),
        ("clock k0".to_owned(), Results::SumsUpTo(5)),
        ("forgotten k0".to_owned(), Results::CountsUp(3)),
    ]);
    let record = |(key, value): &(&str, &str)| KeptRecord {
        partition: PartitionId(0),
        offset: Offset(0),
        timestamp: TimestampMs(0),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: Vec::new(),
    };
    let right = [
        ("sum k0", "1"),
        ("sum k0", "3"),
        ("last k0", "7"),
        ("clock k0", "2"),
        ("clock k0", "3"),
        ("forgotten k0", "1"),
        ("forgotten k0", "2"),
        ("forgotten k0", "1"),
        ("sum end1", "0"),
    ];
    let count = |records: &[(&str, &str)]| {
        let records: Vec<_> = records.iter().map(record).collect();
        wrong(&expected, records.iter()).len()
    };
    assert_eq!(count(&right), 0);
    for missing in 0..8 {
        let rest: Vec<_> = (0..9).filter(|index| *index != missing).map(|index| right[index]).collect();
        assert_eq!(count(&rest), 1, "without {:?}", right[missing]);
    }
    for more in [("sum k0", "3"), ("last k0", "6"), ("clock k0", "3"), ("forgotten k0", "2"), ("other k0", "1")] {
        assert_eq!(count(&[&right[..], &[more]].concat()), 1, "{more:?} too much");
    }
    assert_eq!(count(&[&right[1..2], &right[..1], &right[2..]].concat()), 1, "in another order");
    assert_eq!(count(&[&right[..6], &[("forgotten k0", "3")], &right[7..]].concat()), 1, "a count leaves one out");
}
