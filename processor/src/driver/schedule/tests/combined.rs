//! Steps that pass their results on to each other, over two topics of different numbers of partitions, written partly
//! in transactions of which some are aborted: whatever happens, the results are those of a plain computation over the
//! records.
//!
//! Each file below has jobs, and their models.

mod called;
mod deduped;
mod distinct;
mod expiring;
mod feed;
mod guarded;
mod outside;
mod pairs;
mod regions;
mod ruled;
mod tables;
mod timers;
mod two_phase;
mod wall_windows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kafka_wire::rng::Rng;

use self::feed::Feed;
use super::super::{Faults, TestDriver};
use super::{SECOND, finish, millis, seeds};
use crate::driver::TestClock;
use crate::operator::{RecordTime, Source};
use crate::serde::Utf8;
use crate::topology::{Builder, Stream, Topology, ValueStream};
use crate::types::Partitions;
use crate::watermark::Watermark;

/// A job.
#[derive(Clone, Copy)]
struct Job {
    name: &'static str,
    /// Declares it.
    declare: fn(&mut Builder, Inputs),
    /// Computes its results from the records.
    expected: fn(&[Line]) -> Results,
    /// Reads the results of a key from its values, which are in the order of the log.
    gather: fn(Vec<String>) -> Vec<String>,
    /// Whether records come in copies that do not count.
    has_copies: bool,
    /// Whether a record may be far ahead of all others.
    has_strays: bool,
}

impl Job {
    /// A job whose results may come in any order.
    const fn new(name: &'static str, declare: fn(&mut Builder, Inputs), expected: fn(&[Line]) -> Results) -> Self {
        Self { name, declare, expected, gather: sorted, has_copies: false, has_strays: false }
    }
}

const JOBS: [Job; 17] = [
    pairs::OUTER,
    deduped::JOB,
    timers::JOB,
    called::JOB,
    regions::JOB,
    wall_windows::JOB,
    ruled::JOB,
    distinct::JOB,
    pairs::INNER,
    pairs::LEFT,
    tables::INNER,
    tables::LEFT,
    tables::OUTER,
    guarded::JOB,
    outside::JOB,
    two_phase::JOB,
    expiring::JOB,
];

/// The streams that a job may use.
struct Inputs {
    a: ValueStream<Utf8>,
    b: ValueStream<Utf8>,
    clock: TestClock,
    outside: Outside,
}

/// Results that are not in a topic: values by key.
type Outside = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// The topics, with the numbers of their partitions.
const TOPICS: [(&str, usize); 2] = [("a", 3), ("b", 2)];
const KEYS: u64 = 5;
const THREE: Partitions = Partitions(3);

/// A record. Its value in the topic is text: key, id, number.
#[derive(Clone, Debug)]
struct Line {
    topic: usize,
    key: String,
    id: String,
    number: i64,
    at: i64,
    /// The transaction that it was written in.
    transaction: Option<usize>,
}

impl Line {
    fn value(&self) -> String {
        format!("{} {} {}", self.key, self.id, self.number)
    }
}

/// A part of the value of a record.
fn part(value: &str, index: usize) -> &str {
    value.split(' ').nth(index).unwrap_or_default()
}

fn number(value: &str) -> i64 {
    part(value, 2).parse().expect("a number")
}

/// The records of a stream, behind a shuffle by key, with their ids.
fn ids_by_key(lines: ValueStream<Utf8>, name: &str) -> Stream<Utf8, Source<Utf8, crate::serde::Text, RecordTime>> {
    let select = (Utf8, crate::serde::Text);
    lines.key_by(name, THREE, select, |line| (part(line.value, 0), part(line.value, 1).to_owned()))
}

/// The records of both topics, behind a shuffle by key, with their numbers.
fn numbers_by_key(inputs: Inputs) -> Stream<Utf8, Source<Utf8, crate::serde::I64, RecordTime>> {
    let select = (Utf8, crate::serde::I64);
    inputs.a.merge(inputs.b).key_by("by-key", THREE, select, |line| (part(line.value, 0), number(line.value)))
}

/// The results of a job: the values of each key, sorted, or what is made of them.
type Results = BTreeMap<String, Vec<String>>;

/// Puts results by key together.
fn gathered<K: AsRef<str>>(results: impl IntoIterator<Item = (K, String)>) -> Results {
    let mut by_key = Results::new();
    for (key, value) in results {
        by_key.entry(key.as_ref().to_owned()).or_default().push(value);
    }
    by_key.values_mut().for_each(|values| values.sort());
    by_key
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

/// The last value, unless it says that there is nothing any more.
fn last(values: Vec<String>, nothing: &str) -> Vec<String> {
    values.into_iter().next_back().filter(|last| last != nothing).into_iter().collect()
}

fn summed(values: Vec<String>) -> Vec<String> {
    let sum: i64 = values.iter().map(|value| value.parse::<i64>().expect("a number")).sum();
    vec![sum.to_string()]
}

/// The sums of the numbers by key and start of the window.
fn sums(lines: &[Line], size: i64) -> BTreeMap<(&str, i64), i64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        *sums.entry((line.key.as_str(), line.at.div_euclid(size).saturating_mul(size))).or_insert(0) += line.number;
    }
    sums
}

/// The results that came out.
fn found(job: &Job, driver: &TestDriver, outside: &Outside) -> Results {
    let mut found = outside.lock().expect("no test has panicked").clone();
    for record in driver.read("out") {
        found.entry(record.key_str().to_owned()).or_default().push(record.value_str().to_owned());
    }
    for values in found.values_mut() {
        *values = (job.gather)(std::mem::take(values));
    }
    found.retain(|_, values| !values.is_empty());
    found
}

fn topology(job: &Job, watermark: Watermark, inputs: (&TestClock, &Outside)) -> Topology {
    let mut builder = Topology::builder("job");
    let a = builder.stream("a", Utf8).watermark(watermark);
    let b = builder.stream("b", Utf8).watermark(watermark);
    (job.declare)(&mut builder, Inputs { a, b, clock: inputs.0.clone(), outside: Arc::clone(inputs.1) });
    builder.build().expect("a valid job")
}

fn check(seed: u64) {
    let index = seed % u64::try_from(JOBS.len()).expect("small");
    let job = &JOBS[usize::try_from(index).expect("small")];
    let mut rng = Rng::from_seed(seed);
    // No line is late: no partition moves the watermark beyond any line in another's log.
    let disorder = Watermark::bounded(4 * SECOND);
    let idle_after = Duration::from_millis(rng.below(1_000));
    let watermark = if rng.below(3) == 0 { disorder.never_idle() } else { disorder.idle_after(idle_after) };
    let (clock, outside) = (TestClock::default(), Outside::default());
    let topics = [("a", 3), ("b", 2), ("out", 2)];
    let mut driver = TestDriver::unstarted(topology(job, watermark, (&clock, &outside)), &topics);
    driver.use_clock(&clock);
    driver.set_can_fence(rng.below(2) == 0);
    driver.set_mark_interval_min(Duration::from_millis(rng.below(2) * rng.below(300)));
    driver.set_purge_interval(Duration::from_millis(rng.below(3_000)));
    (0..=rng.below(3)).for_each(|_| _ = driver.add_worker());
    let mut feed = Feed::new(*job, rng.below(2) == 0);
    for step in 0..100 + rng.below(400) {
        feed.step(&mut driver, &mut rng, step);
        driver.step(&mut rng, Faults::All);
    }
    let lines = feed.end(&mut driver, &mut rng);
    let replay = format!("{}: replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib combined", job.name);
    finish(&mut driver, &replay);
    // The last windows and timers by the time of day.
    driver.advance_wall(SECOND);
    driver.settle();
    let late: u64 = driver.status().iter().map(|(_, status)| status.counters.late).sum();
    assert_eq!(late, 0, "{replay}");
    assert_eq!(found(job, &driver, &outside), (job.expected)(&lines), "{replay}");
}

#[test]
fn under_random_schedules_steps_that_are_combined_agree_with_a_plain_computation() {
    seeds(140_000, 1_700).for_each(check);
}
