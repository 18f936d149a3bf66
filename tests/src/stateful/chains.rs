//! Steps that pass their results on to each other through shuffles of different numbers of partitions: windows of
//! windows, tables of the changes of tables, windows of pairs, and windows of what calls to the outside returned.

use std::collections::BTreeMap;
use std::time::Duration;

use processor::{CallOptions, Emit, I64, JoinWindow, Json, Partitions, Text, Topology, Tumbling};
use tokio::time::sleep;

use super::{END, Expected, Input, Job, Results, Topics, disordered};

pub(super) const JOB: Job = Job { name: "chains", declare, expected };

const FIRST_MS: i64 = 10_000;
const SECOND_MS: i64 = 30_000;
const WITHIN_MS: i64 = 2_000;
const TOP: usize = 3;

fn span(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// The part of the keys that have results together. Those of the records that end all windows are by themselves.
fn half(key: &str) -> String {
    if key.starts_with(END) {
        return key.to_owned();
    }
    let is_even = key.ends_with(['0', '2', '4', '6', '8']);
    if is_even { "even".to_owned() } else { "odd".to_owned() }
}

fn declare(application_id: &str, topics: &Topics) -> Topology {
    let (mut job, output) = (Topology::builder(application_id), &topics.output);
    let numbers = disordered(&mut job, topics);

    numbers
        .clone()
        .window(Tumbling::of(span(FIRST_MS)))
        .sum("firsts", Emit::OnClose, |number| number.value)
        .map(|sum| *sum.value)
        .key_by("by-half", Partitions(3), (Text, Json::<(i64, String)>::new()), |sum| {
            (half(sum.key), (sum.value, sum.key.to_owned()))
        })
        .window(Tumbling::of(span(SECOND_MS)))
        .top_n("greatest", Emit::OnClose, TOP, |sum| sum.value.clone())
        .map(|top| (top.window.start, format!("{:?}", top.value)))
        .select_key(Text, |top| format!("greatest {} {}", top.key, top.value.0))
        .map(|top| top.value.1.clone())
        .to(output, Text, Text);

    numbers
        .clone()
        .sum("totals", Emit::OnUpdate, |number| number.value)
        .as_table()
        .changes()
        .map(|total| total.value.new.unwrap_or_default() - total.value.old.unwrap_or_default())
        .key_by("totals-by-half", Partitions(1), (Text, I64), |change| (half(change.key), change.value))
        .sum("half-totals", Emit::OnUpdate, |change| change.value)
        .map(|total| total.value.to_string())
        .select_key(Text, |total| format!("half-total {}", total.key))
        .to(output, Text, Text);

    let ones = numbers.clone().map(|_| 1_i64);
    let others = ones.clone();
    ones.join("pairs", others, JoinWindow::within(span(WITHIN_MS)), (I64, I64), |one, other| one * other)
        .key_by("pairs-by-half", Partitions(5), (Text, I64), |pair| (half(pair.key), pair.value))
        .window(Tumbling::of(span(FIRST_MS)))
        .sum("pair-sums", Emit::OnClose, |pair| pair.value)
        .map(|sum| (sum.window.start, sum.value.to_string()))
        .select_key(Text, |sum| format!("pair-sum {} {}", sum.key, sum.value.0))
        .map(|sum| sum.value.1.clone())
        .to(output, Text, Text);

    let doubled = |number: i64| async move {
        sleep(Duration::from_millis(number.unsigned_abs() % 5)).await;
        Ok::<_, String>(2 * number)
    };
    numbers
        .async_map("doubled", CallOptions::unordered(20), doubled)
        .key_by("doubled-by-half", Partitions(2), (Text, I64), |number| (half(number.key), number.value))
        .window(Tumbling::of(span(SECOND_MS)))
        .sum("doubled-sums", Emit::OnClose, |number| number.value)
        .map(|sum| (sum.window.start, sum.value.to_string()))
        .select_key(Text, |sum| format!("doubled-sum {} {}", sum.key, sum.value.0))
        .map(|sum| sum.value.1.clone())
        .to(output, Text, Text);
    job.build().expect("the topology is sound")
}

fn expected(input: &Input) -> Expected {
    let (mut firsts, mut totals) = (BTreeMap::new(), BTreeMap::new());
    let (mut pairs, mut doubled) = (BTreeMap::new(), BTreeMap::new());
    for (key, numbers) in input.disordered_by_key() {
        let half = half(key);
        for (number, at) in &numbers {
            *firsts.entry((key.to_owned(), at.div_euclid(FIRST_MS) * FIRST_MS)).or_insert(0) += number;
            *totals.entry(half.clone()).or_insert(0) += number;
            *doubled.entry((half.clone(), at.div_euclid(SECOND_MS) * SECOND_MS)).or_insert(0) += 2 * number;
            for (_, other) in numbers.iter().filter(|(_, other)| other.abs_diff(*at) <= WITHIN_MS.unsigned_abs()) {
                let start = at.max(other).div_euclid(FIRST_MS) * FIRST_MS;
                *pairs.entry((half.clone(), start)).or_insert(0) += 1;
            }
        }
    }
    // The sum of a window has the time of its last millisecond.
    let mut greatest = BTreeMap::<_, Vec<(i64, String)>>::new();
    for ((key, start), sum) in firsts {
        let second = (start + FIRST_MS - 1).div_euclid(SECOND_MS) * SECOND_MS;
        greatest.entry((half(&key), second)).or_default().push((sum, key));
    }
    // Two windows of a key may have the same sum.
    let top = |mut sums: Vec<(i64, String)>| {
        sums.sort_by(|one, other| other.cmp(one));
        sums.truncate(TOP);
        format!("{sums:?}")
    };
    let greatest = greatest.into_iter().map(|((half, start), sums)| (format!("greatest {half} {start}"), top(sums)));
    let windows = [("pair-sum", pairs), ("doubled-sum", doubled)].into_iter().flat_map(|(row, sums)| {
        sums.into_iter().map(move |((half, start), sum)| (format!("{row} {half} {start}"), sum.to_string()))
    });
    let once = greatest.chain(windows).map(|(key, value)| (key, Results::InOrder(vec![value])));
    let totals = totals
        .into_iter()
        .map(|(half, total): (_, i64)| (format!("half-total {half}"), Results::EndsWith(Some(total.to_string()))));
    once.chain(totals).collect()
}
