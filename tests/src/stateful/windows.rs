//! Windows of each kind, and each choice of when their results come out.

use std::collections::BTreeMap;
use std::time::Duration;

use processor::{
    Count, Days, Emit, I64, ProcessingTime, SessionWindow, Sliding, Topology, Trigger, TriggerResult, TriggerScope,
    Tumbling, Utf8,
};

use super::{Expected, Input, Job, Results, Topics, put_out, put_windows_out, sums};

pub(super) const JOB: Job = Job { name: "windows", declare, expected };

const SECOND: Duration = Duration::from_secs(1);
const SIZE_MS: i64 = 10_000;
const SLIDING_MS: i64 = 20_000;
const SLIDE_MS: i64 = 5_000;
const GAP_MS: i64 = 3_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Puts a window out at every third record and at its end, and lets it begin anew.
struct Thrice;

impl Trigger for Thrice {
    type State = u32;

    fn record(&self, scope: &mut TriggerScope<'_, u32>) -> TriggerResult {
        *scope.state += 1;
        if *scope.state < 3 { TriggerResult::Continue } else { TriggerResult::FireAndPurge }
    }
}

fn declare(application_id: &str, topics: &Topics) -> Topology {
    let (mut job, output) = (Topology::builder(application_id), &topics.output);
    let numbers = job.keyed_stream(&topics.numbers, Utf8, I64);
    let tens = || numbers.clone().window(Tumbling::of(10 * SECOND));
    put_windows_out("close", tens().sum("close", Emit::OnClose, |number| number.value), output);
    put_windows_out("end", tens().sum("end", Emit::AtEnd, |number| number.value), output);
    put_windows_out("late", tens().lateness(5 * SECOND).sum("late", Emit::OnClose, |number| number.value), output);
    put_windows_out("each", tens().sum("each", Emit::EveryUpdate, |number| number.value), output);
    let by_intervals = Emit::Every(Duration::from_millis(150));
    put_windows_out("interval", tens().sum("interval", by_intervals, |number| number.value), output);
    let updates = tens().sum("update", Emit::OnUpdate, |number| number.value);
    put_windows_out("final", updates.finals(), output);
    put_windows_out("update", updates, output);
    put_windows_out("thrice", tens().sum("thrice", Thrice, |number| number.value), output);
    let sliding = numbers.clone().window(Sliding::of(20 * SECOND).every(5 * SECOND));
    put_windows_out("sliding", sliding.sum("sliding", Emit::OnClose, |number| number.value), output);
    let sessions = numbers.clone().window(SessionWindow::gap(3 * SECOND));
    put_windows_out("session", sessions.sum("session", Emit::OnClose, |number| number.value), output);
    let days = numbers.clone().window(Days::in_zone("UTC").expect("it is in the database"));
    put_windows_out("day", days.sum("day", Emit::OnClose, |number| number.value), output);

    let threes = numbers.clone().window(Count::of(3)).sum("three", Emit::OnClose, |number| number.value);
    put_out("three", threes.map(|sum| sum.value.to_string()), output);
    let grown = numbers.clone().window(Count::of(3).accumulating()).sum("grown", Emit::OnClose, |number| number.value);
    put_out("grown", grown.map(|sum| sum.value.to_string()), output);
    let few = numbers.clone().window(Count::of(4).every(2)).sum("few", Emit::OnClose, |number| number.value);
    put_out("few", few.map(|sum| sum.value.to_string()), output);
    let clock = numbers.window(ProcessingTime(Tumbling::of(SECOND))).sum("clock", Emit::OnClose, |number| number.value);
    put_out("clock", clock.map(|sum| sum.value.to_string()), output);
    job.build().expect("the topology is sound")
}

fn expected(input: &Input) -> Expected {
    let mut expected = Expected::new();
    for (key, numbers) in input.by_key() {
        let (mut tens, mut sliding, mut sessions, mut days) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut session: Option<(i64, i64)> = None;
        for (number, at) in &numbers {
            tens.entry(at - at % SIZE_MS).or_insert_with(Vec::new).push(*number);
            days.entry(at - at % DAY_MS).or_insert_with(Vec::new).push(*number);
            for start in (at - SLIDING_MS + 1..=*at).filter(|start| start % SLIDE_MS == 0) {
                sliding.entry(start).or_insert_with(Vec::new).push(*number);
            }
            let start = session.filter(|(_, last)| at - last <= GAP_MS).map_or(*at, |(start, _)| start);
            session = Some((start, *at));
            sessions.entry(start).or_insert_with(Vec::new).push(*number);
        }
        for (row, windows) in [("sliding", &sliding), ("session", &sessions), ("day", &days)] {
            sums(&mut expected, row, key, windows);
        }
        for row in ["close", "end", "late", "final"] {
            sums(&mut expected, row, key, &tens);
        }
        for (start, numbers) in &tens {
            let running = (1..=numbers.len()).map(|count| numbers[..count].iter().sum::<i64>().to_string()).collect();
            expected.insert(format!("each {key} {start}"), Results::InOrder(running));
            let thrice = numbers.chunks(3).map(|three| three.iter().sum::<i64>().to_string()).collect();
            expected.insert(format!("thrice {key} {start}"), Results::InOrder(thrice));
            for row in ["interval", "update"] {
                let sum = numbers.iter().sum::<i64>().to_string();
                expected.insert(format!("{row} {key} {start}"), Results::EndsWith(Some(sum)));
            }
        }
        let numbers: Vec<i64> = numbers.iter().map(|(number, _)| *number).collect();
        let sum = |numbers: &[i64]| numbers.iter().sum::<i64>().to_string();
        let full = numbers.len() / 3;
        let mut in_order = |row: &str, results: Vec<String>| {
            if !results.is_empty() {
                expected.insert(format!("{row} {key}"), Results::InOrder(results));
            }
        };
        in_order("three", numbers.chunks_exact(3).map(sum).collect());
        in_order("grown", (1..=full).map(|three| sum(&numbers[..3 * three])).collect());
        in_order(
            "few",
            (1..=numbers.len() / 2).map(|pair| sum(&numbers[(2 * pair).saturating_sub(4)..2 * pair])).collect(),
        );
        expected.insert(format!("clock {key}"), Results::SumsUpTo(numbers.iter().sum()));
    }
    expected
}
