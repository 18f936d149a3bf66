//! Aggregations without windows, tables of a stream, and deduplication.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use processor::operator::Update;
use processor::{Emit, I64, Nullable, Text, Topology, Tumbling, Utf8};

use super::{Expected, Input, Job, Results, Row, Topics, put_out, put_windows_out};

pub(super) const JOB: Job = Job { name: "aggregations", declare, expected };

const WITHIN_MS: i64 = 5_000;
const SIZE_MS: i64 = 10_000;
/// The part that a row has in a sum.
const OF_ROW: i64 = 1_000_000;

fn declare(application_id: &str, topics: &Topics) -> Topology {
    let (mut job, output) = (Topology::builder(application_id), &topics.output);
    let numbers = job.keyed_stream(&topics.numbers, Utf8, I64);
    let rows = job.keyed_stream(&topics.rows, Utf8, Nullable(Text));
    let each = Emit::EveryUpdate;
    let of = || numbers.clone();
    put_out("count", of().count("count", each).map(|count| count.value.to_string()), output);
    put_out("sum", of().sum("sum", each, |number| number.value).map(|sum| sum.value.to_string()), output);
    put_out("min", of().min("min", each, |number| number.value).map(|least| least.value.to_string()), output);
    put_out("max", of().max("max", each, |number| number.value).map(|most| most.value.to_string()), output);
    put_out("avg", of().avg("avg", each, |number| number.value).map(|mean| format!("{:.3}", mean.value)), output);
    let top = of().top_n("top", each, 3, |number| score(number.value));
    put_out("top", top.map(|top| format!("{:?}", top.value)), output);
    let distinct = of().count_distinct("distinct", each, |number| number.value % 7);
    put_out("distinct", distinct.map(|count| count.value.to_string()), output);
    let reduced = of().reduce("reduce", I64, each, |kept, later| *kept = mixed(*kept, *later));
    put_out("reduce", reduced.map(|kept| kept.value.to_string()), output);
    let folded = of().aggregate("fold", I64, each, || 7, |kept, number| *kept = mixed(*kept, number.value));
    put_out("fold", folded.map(|kept| kept.value.to_string()), output);
    put_out("update", of().count("update", Emit::OnUpdate).map(|count| count.value.to_string()), output);
    let by_intervals = Emit::Every(Duration::from_millis(150));
    put_out("interval", of().count("interval", by_intervals).map(|count| count.value.to_string()), output);
    put_out("dedup", of().dedup("dedup", Duration::from_millis(5_000)).map(|first| first.value.to_string()), output);
    let changes = of().to_table("table", I64).changes();
    put_out("changes", changes.map(|change| format!("{:?} {:?}", change.value.old, change.value.new)), output);

    let changes = of().count("as-table", each).as_table().changes();
    put_out("as-table", changes.map(|change| format!("{:?} {:?}", change.value.old, change.value.new)), output);

    let gathered =
        || of().cogroup(|sum: &mut i64, number| *sum += number.value).and(rows.clone(), |sum, _| *sum += OF_ROW);
    let both = gathered().aggregate("cogroup", I64, Emit::OnUpdate, || 0);
    put_out("cogroup", both.map(|sum| sum.value.to_string()), output);
    let tens = gathered().window(Tumbling::of(Duration::from_secs(10)));
    put_windows_out(
        "cogroup-windows",
        tens.aggregate("cogroup-windows", I64, Emit::OnClose, || 0, Update::apply),
        output,
    );
    job.build().expect("the topology is sound")
}

/// A number by which the numbers are in another order.
fn score(number: i64) -> i64 {
    number * 7_919 % 1_009
}

/// Depends on the order of the two.
fn mixed(kept: i64, later: i64) -> i64 {
    (kept * 31 + later) % 1_000_003
}

fn expected(input: &Input) -> Expected {
    let mut expected = Expected::new();
    let (mut gathered, mut tens) = (BTreeMap::<&str, i64>::new(), BTreeMap::<(&str, i64), i64>::new());
    for (key, numbers) in input.by_key() {
        let (mut rows, mut so_far) = (BTreeMap::<&str, Vec<String>>::new(), Vec::new());
        let (mut reduced, mut folded, mut passed) = (None, 7, None);
        for (number, at) in numbers {
            let before = so_far.last().copied();
            so_far.push(number);
            let mut put_out = |row, result: String| rows.entry(row).or_default().push(result);
            let sum: i64 = so_far.iter().sum();
            put_out("count", so_far.len().to_string());
            let count = so_far.len();
            put_out("as-table", format!("{:?} {:?}", Some(count - 1).filter(|before| *before > 0), Some(count)));
            put_out("sum", sum.to_string());
            put_out("min", so_far.iter().min().expect("one at least").to_string());
            put_out("max", so_far.iter().max().expect("one at least").to_string());
            #[expect(clippy::cast_precision_loss, reason = "the sums are small")]
            put_out("avg", format!("{:.3}", sum as f64 / so_far.len() as f64));
            let mut scores: Vec<_> = so_far.iter().map(|number| score(*number)).collect();
            scores.sort_by_key(|score| std::cmp::Reverse(*score));
            scores.truncate(3);
            put_out("top", format!("{scores:?}"));
            let distinct: BTreeSet<_> = so_far.iter().map(|number| number % 7).collect();
            put_out("distinct", distinct.len().to_string());
            reduced = Some(reduced.map_or(number, |kept| mixed(kept, number)));
            put_out("reduce", reduced.unwrap_or_default().to_string());
            folded = mixed(folded, number);
            put_out("fold", folded.to_string());
            put_out("changes", format!("{before:?} {:?}", Some(number)));
            if passed.is_none_or(|passed| at - passed >= WITHIN_MS) {
                passed = Some(at);
                put_out("dedup", number.to_string());
            }
            *gathered.entry(key).or_default() += number;
            *tens.entry((key, at - at % SIZE_MS)).or_default() += number;
        }
        for row in ["update", "interval"] {
            expected.insert(format!("{row} {key}"), Results::EndsWith(Some(so_far.len().to_string())));
        }
        let in_order = |(row, results)| (format!("{row} {key}"), Results::InOrder(results));
        expected.extend(rows.into_iter().map(in_order));
    }
    for Row { key, at, .. } in &input.rows {
        *gathered.entry(key).or_default() += OF_ROW;
        *tens.entry((key, at - at % SIZE_MS)).or_default() += OF_ROW;
    }
    let last = |(key, sum): (&str, i64)| (format!("cogroup {key}"), Results::EndsWith(Some(sum.to_string())));
    expected.extend(gathered.into_iter().map(last));
    let once = |((key, start), sum): ((&str, i64), i64)| {
        (format!("cogroup-windows {key} {start}"), Results::InOrder(vec![sum.to_string()]))
    };
    expected.extend(tens.into_iter().map(once));
    expected
}
