//! A stream that is joined with rows, both written before the job starts: whatever happens, the outcome is that of
//! one merge by event time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kafka_wire::rng::Rng;

use super::super::{Faults, TestDriver};
use super::{SECOND, finish, seeds};
use crate::operator::{CoProcess, Scope, ValueState};
use crate::serde::{Text, Utf8};
use crate::topology::Topology;
use crate::types::{Owned, Rec};

const PARTITIONS: usize = 3;

/// The ways to keep the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// In a table with a changelog of its own.
    Table,
    /// In a table of a topic that is its own changelog.
    Compacted,
    /// In a store of a step that takes the records of both topics.
    Connected,
    /// In a table that knows the rows of earlier times.
    Versioned,
}

fn topology(kept: Kept) -> Topology {
    let mut job = Topology::builder("job");
    let join = |line: &Rec<'_, Utf8, Utf8>, row: Option<&String>| {
        format!("{} {}", line.value, row.map_or("-", String::as_str))
    };
    match kept {
        Kept::Table => {
            let rows = job.table("rows", "rows", Utf8, Text);
            job.keyed_stream("lines", Utf8, Utf8).left_join_table(&rows, join).to("out", Utf8, Utf8);
        }
        Kept::Compacted => {
            let rows = job.compacted_table("rows", "rows", Utf8, Text);
            job.keyed_stream("lines", Utf8, Utf8).left_join_table(&rows, join).to("out", Utf8, Utf8);
        }
        Kept::Connected => {
            let rows = job.keyed_stream("rows", Utf8, Text);
            let lines = job.keyed_stream("lines", Utf8, Utf8);
            rows.connect(lines).process("both", |uses| Last { row: uses.value("row", Text) }).to("out", Utf8, Utf8);
        }
        Kept::Versioned => {
            let rows = job.versioned_table("rows", "rows", (Utf8, Text), 100 * SECOND);
            job.keyed_stream("lines", Utf8, Utf8).left_join_versioned(&rows, join).to("out", Utf8, Utf8);
        }
    }
    job.build().expect("a valid job")
}

/// Keeps the last row of a key.
#[derive(Clone)]
struct Last {
    row: ValueState<String>,
}

impl CoProcess<Utf8, Owned<String>, Utf8> for Last {
    type Out = String;

    fn left(&mut self, row: &Rec<'_, Utf8, Owned<String>>, scope: &mut Scope<'_, Utf8, String>) {
        self.row.put(scope, row.value.clone());
    }

    fn right(&mut self, line: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        let row = self.row.get(scope).map_or("-", String::as_str).to_owned();
        scope.emit(format!("{} {row}", line.value));
    }
}

/// The records of a partition that have not been merged yet: event time, key, value.
type Records = VecDeque<(i64, String, String)>;

/// Writes records of a topic in no particular order of time. Returns them by partition.
fn write(driver: &mut TestDriver, rng: &mut Rng, topic: &str) -> Vec<Records> {
    let mut written = vec![Records::new(); PARTITIONS];
    for number in 0..rng.below(120) {
        let partition = usize::try_from(rng.below(3)).expect("small");
        let time = i64::try_from(number * 10 + rng.below(60)).expect("small");
        let (key, value) = (format!("k{}", rng.below(4)), format!("{topic}{number}"));
        let to = i32::try_from(partition).expect("small");
        driver.write_partition(topic, to, Some(&key), &value, time);
        written[partition].push_back((time, key, value));
    }
    written
}

/// The results of a partition: the least first record of both topics is processed next, of equal times the row.
fn merge(kept: Kept, mut rows: Records, mut lines: Records, results: &mut Vec<String>) {
    // The rows by key and time; a table that knows only the last row puts all of them at the same time.
    let mut table = BTreeMap::new();
    let of = |time| if kept == Kept::Versioned { time } else { 0 };
    while !lines.is_empty() {
        let is_row = rows.front().is_some_and(|row| lines.front().is_some_and(|line| row.0 <= line.0));
        if is_row {
            let (time, key, value) = rows.pop_front().expect("there is one");
            table.insert((key, of(time)), value);
        } else if let Some((time, key, value)) = lines.pop_front() {
            let row = table.range((key.clone(), 0)..=(key, of(time))).next_back();
            results.push(format!("{value} {}", row.map_or("-", |(_, row)| row.as_str())));
        }
    }
}

fn check(seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let topics = [("rows", 3), ("lines", 3), ("out", 2)];
    let kinds = [Kept::Table, Kept::Compacted, Kept::Connected, Kept::Versioned];
    let kept = kinds[usize::try_from(seed % 4).expect("small")];
    let mut driver = TestDriver::with_partitions(topology(kept), &topics);
    driver.set_max_task_idle(Some(Duration::from_millis(rng.below(2) * rng.below(500))));
    driver.set_can_fence(rng.below(2) == 0);
    let (rows, lines) = (write(&mut driver, &mut rng, "rows"), write(&mut driver, &mut rng, "lines"));
    (0..rng.below(3)).for_each(|_| _ = driver.add_worker());
    for _ in 0..100 + rng.below(400) {
        driver.step(&mut rng, Faults::All);
    }
    let replay = format!("{kept:?}: replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib ordered");
    finish(&mut driver, &replay);
    let mut results: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    let mut expected = Vec::new();
    rows.into_iter().zip(lines).for_each(|(rows, lines)| merge(kept, rows, lines, &mut expected));
    results.sort_unstable();
    expected.sort_unstable();
    assert_eq!(results, expected, "{replay}");
}

#[test]
fn under_random_schedules_a_stream_finds_the_rows_of_its_time() {
    seeds(70_000, 800).for_each(check);
}
