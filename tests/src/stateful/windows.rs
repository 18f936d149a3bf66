//! Windows of each kind, and each choice of when their results come out.

use std::collections::BTreeMap;
use std::time::Duration;

use processor::{
    Count, Days, Emit, I64, ProcessingTime, SessionWindow, Sliding, SlidingByRecord, Topology, Trigger, TriggerResult,
    TriggerScope, Tumbling,
};

use super::{Expected, Input, Job, Results, Topics, disordered, put_out, put_windows_out, sums};

pub(super) const JOB: Job = Job { name: "windows", declare, expected };

const SECOND: Duration = Duration::from_secs(1);
const SIZE_MS: i64 = 10_000;
const SLIDING_MS: i64 = 20_000;
const SLIDE_MS: i64 = 5_000;
const GAP_MS: i64 = 3_000;
const DIFFERENCE_MS: i64 = 2_000;
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
    let numbers = disordered(&mut job, topics);
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
    let around = || numbers.clone().window(SlidingByRecord::within(2 * SECOND));
    put_windows_out("around", around().sum("around", Emit::OnClose, |number| number.value), output);
    put_windows_out("around-update", around().sum("around-update", Emit::OnUpdate, |number| number.value), output);
    let sliding = numbers.clone().window(Sliding::of(20 * SECOND).every(5 * SECOND));
    let squares = sliding.aggregate_merged(
        "squares",
        I64,
        Emit::OnClose,
        || 0,
        |sum, number| *sum += number.value * number.value,
        |sum, later| *sum += later,
    );
    put_windows_out("squares", squares, output);
    let sessions = numbers.clone().window(SessionWindow::gap(3 * SECOND));
    let squares = sessions.aggregate_merged(
        "session-squares",
        I64,
        Emit::OnClose,
        || 0,
        |sum, number| *sum += number.value * number.value,
        |sum, later| *sum += later,
    );
    put_windows_out("session-squares", squares, output);
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
    for (key, numbers) in input.disordered_by_key() {
        let (mut tens, mut sliding, mut days) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (number, at) in &numbers {
            tens.entry(at - at % SIZE_MS).or_insert_with(Vec::new).push(*number);
            days.entry(at - at % DAY_MS).or_insert_with(Vec::new).push(*number);
            for start in (at - SLIDING_MS + 1..=*at).filter(|start| start % SLIDE_MS == 0) {
                sliding.entry(start).or_insert_with(Vec::new).push(*number);
            }
        }
        let (sessions, around) = (sessions(&numbers), around(&numbers));
        for (row, windows) in [("sliding", &sliding), ("session", &sessions), ("day", &days), ("around", &around)] {
            sums(&mut expected, row, key, windows);
        }
        for (start, numbers) in &around {
            let sum = numbers.iter().sum::<i64>().to_string();
            expected.insert(format!("around-update {key} {start}"), Results::EndsWith(Some(sum)));
        }
        for (row, windows) in [("squares", sliding), ("session-squares", sessions)] {
            let square = |numbers: Vec<i64>| numbers.into_iter().map(|number| number * number).collect::<Vec<_>>();
            let windows = windows.into_iter().map(|(start, numbers)| (start, square(numbers)));
            sums(&mut expected, row, key, &windows.collect());
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

/// The sessions of some numbers.
fn sessions(numbers: &[(i64, i64)]) -> BTreeMap<i64, Vec<i64>> {
    let mut numbers = numbers.to_vec();
    numbers.sort_by_key(|(_, at)| *at);
    let (mut sessions, mut session) = (BTreeMap::new(), None::<(i64, i64)>);
    for (number, at) in numbers {
        let start = session.filter(|(_, last)| at - last <= GAP_MS).map_or(at, |(start, _)| start);
        session = Some((start, at));
        sessions.entry(start).or_insert_with(Vec::new).push(number);
    }
    sessions
}

/// The windows that some numbers end and begin.
fn around(numbers: &[(i64, i64)]) -> BTreeMap<i64, Vec<i64>> {
    let starts = numbers.iter().flat_map(|(_, at)| [at - DIFFERENCE_MS, at + 1]);
    let inside = |start: i64| {
        let numbers = numbers.iter().filter(move |(_, at)| (start..=start + DIFFERENCE_MS).contains(at));
        numbers.map(|(number, _)| *number).collect::<Vec<_>>()
    };
    starts.map(|start| (start, inside(start))).filter(|(_, numbers)| !numbers.is_empty()).collect()
}
