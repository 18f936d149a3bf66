//! Jobs with the operators that have state, each beside a plain computation of its results. `tests/tests/stateful.rs`
//! runs the jobs in processes that are killed.
//!
//! A job has many rows: a row is an operator over the input that all rows share. Its results go into the one output,
//! under keys that begin with the name of the row. A new operator takes a row in `declare` and one in `expected` of the
//! job where it belongs.

mod aggregations;
mod chains;
mod joins;
mod steps;
mod windows;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use processor::operator::{Chain, RecordTime, Source};
use processor::topology::{Builder, Stream, WindowedStream};
use processor::types::InWindow;
use processor::{I64, Owned, Text, Topology, Utf8, Watermark};

/// The topics of the jobs.
#[derive(Clone, Debug)]
pub struct Topics {
    /// Numbers (eight bytes, big endian) by key.
    pub numbers: String,
    /// The same numbers, with the event times [`Number::disordered_at`].
    pub disordered: String,
    /// Rows by key: text, or null for a row that is deleted.
    pub rows: String,
    /// The same as `rows`, in a compacted topic.
    pub compacted: String,
    /// The [`NAMES`] by [`REMAINDERS`], written before the jobs start.
    pub names: String,
    /// The results.
    pub output: String,
}

/// Number of the partitions of each topic.
pub const PARTITIONS: i32 = 2;

/// The keys of the input.
pub const KEYS: [&str; 10] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"];

/// The keys of the global table, and its rows: the name of a number is that of its remainder.
pub const REMAINDERS: [&str; 3] = ["0", "1", "2"];
/// See [`REMAINDERS`].
pub const NAMES: [&str; 3] = ["zero", "one", "two"];

/// A number, and its event time.
#[derive(Clone, Debug)]
pub struct Number {
    /// Its key.
    pub key: String,
    /// The number; no two are the same.
    pub value: i64,
    /// Its event time; no two numbers or rows have the same.
    pub at: i64,
    /// Its event time in the other topic: earlier than `at` by less than [`DISORDER_MS`], and no row has the same.
    pub disordered_at: i64,
}

/// A row, and its event time.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// The text; `None` deletes the row.
    pub value: Option<String>,
    /// Its event time.
    pub at: i64,
}

/// The bound of the disorder of event times.
pub const DISORDER_MS: i64 = 4_000;

/// The step of event time in the middle of the input, which is long beside everything before it and behind it.
pub const JUMP_MS: i64 = 60 * 60 * 1_000;

/// The input, in the order in which it is written: that of its times, but for the disordered ones.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The numbers.
    pub numbers: Vec<Number>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// The values that have to be in the output under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Results {
    /// These values, in this order.
    InOrder(Vec<String>),
    /// These values, sorted.
    InAnyOrder(Vec<String>),
    /// Any values, the last of which is this one; `None` if there need not be any, and the last one is `-`.
    EndsWith(Option<String>),
    /// Any numbers with this sum.
    SumsUpTo(i64),
    /// This many numbers, each of which is 1 or one more than the one before it.
    CountsUp(usize),
}

/// The results by the keys of the output.
pub type Expected = BTreeMap<String, Results>;

/// A job.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Its name.
    pub name: &'static str,
    /// Declares the job.
    pub declare: fn(&str, &Topics) -> Topology,
    /// Computes its results.
    pub expected: fn(&Input) -> Expected,
}

/// The jobs.
pub const JOBS: [Job; 6] = [windows::JOB, aggregations::JOB, joins::JOB, joins::FOREIGN, steps::JOB, chains::JOB];

/// The row whose store forgets by the time of day, [`FORGOTTEN_AFTER`] a record, and the name of its job.
pub const FORGOTTEN: (&str, &str) = ("forgotten-by-clock", "steps");
/// See [`FORGOTTEN`].
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);

/// The beginning of the keys of the records that end all windows, which have no part in the results.
pub const END: &str = "end";

impl Results {
    /// Whether these values are the results, in the order of the log.
    #[must_use]
    pub fn are(&self, found: &[String]) -> bool {
        match self {
            Self::InOrder(expected) => expected == found,
            Self::InAnyOrder(expected) => {
                let mut found = found.to_vec();
                found.sort();
                *expected == found
            }
            Self::EndsWith(Some(expected)) => found.last() == Some(expected),
            Self::EndsWith(None) => found.last().is_none_or(|last| last == "-"),
            Self::SumsUpTo(expected) => {
                found.iter().map(|value| value.parse::<i64>()).sum::<Result<i64, _>>() == Ok(*expected)
            }
            Self::CountsUp(expected) => {
                let steps = std::iter::once("0").chain(found.iter().map(String::as_str)).zip(found);
                let is_next = |(before, now): (&str, &String)| {
                    now == "1" || before.parse().is_ok_and(|before: u64| *now == (before + 1).to_string())
                };
                found.len() == *expected && steps.into_iter().all(is_next)
            }
        }
    }
}

impl Input {
    /// The numbers of each key, with their times, in the order in which they are written.
    fn by_key(&self) -> BTreeMap<&str, Vec<(i64, i64)>> {
        self.numbers_by_key(|number| number.at)
    }

    /// As [`Input::by_key`], with the disordered times.
    fn disordered_by_key(&self) -> BTreeMap<&str, Vec<(i64, i64)>> {
        self.numbers_by_key(|number| number.disordered_at)
    }

    fn numbers_by_key(&self, at: impl Fn(&Number) -> i64) -> BTreeMap<&str, Vec<(i64, i64)>> {
        let mut by_key = BTreeMap::<&str, Vec<_>>::new();
        for number in &self.numbers {
            by_key.entry(&*number.key).or_default().push((number.value, at(number)));
        }
        by_key
    }
}

/// Declares the stream of the numbers with disordered times. It is never idle: event time would reach the greatest of
/// all inputs in a silence, and numbers with times before that may follow.
fn disordered(job: &mut Builder, topics: &Topics) -> Stream<Utf8, Source<Utf8, I64, RecordTime>> {
    let bound = Duration::from_millis(DISORDER_MS.unsigned_abs());
    job.keyed_stream(&topics.disordered, Utf8, I64).watermark(Watermark::bounded(bound).never_idle())
}

/// Sends the results of a row to the output.
fn put_out<C>(row: &'static str, results: Stream<Utf8, C>, output: &str)
where
    C: Chain<Key = Utf8, Value = Owned<String>>,
{
    results.select_key(Text, move |result| format!("{row} {}", result.key)).to(output, Text, Text);
}

/// Sends the results of a row with windows to the output: the start of the window is in the key.
fn put_windows_out<C, A>(row: &'static str, results: WindowedStream<Utf8, C>, output: &str)
where
    C: Chain<Key = Utf8, Value = InWindow<A>>,
    A: Display + 'static,
{
    results
        .map(|result| (result.window.start, result.value.to_string()))
        .select_key(Text, move |result| format!("{row} {} {}", result.key, result.value.0))
        .map(|result| result.value.1.clone())
        .to(output, Text, Text);
}

/// Adds the sums that come out for each window of a key.
fn sums(expected: &mut Expected, row: &str, key: &str, windows: &BTreeMap<i64, Vec<i64>>) {
    for (start, numbers) in windows {
        let sum: i64 = numbers.iter().sum();
        expected.insert(format!("{row} {key} {start}"), Results::InOrder(vec![sum.to_string()]));
    }
}
