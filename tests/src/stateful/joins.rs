//! Joins of each kind, and the tables that they look rows up in.

use std::collections::BTreeMap;
use std::time::Duration;

use processor::operator::{CoProcess, Scope, ValueState};
use processor::{I64, JoinWindow, Nullable, Owned, Partitions, Rec, Text, Topology, Utf8, Watermark};

use super::{
    Expected, Input, Job, KEYS, NAMES, Number, PARTITIONS, REMAINDERS, Results, Row, Topics, disordered, put_out,
};

pub(super) const JOB: Job = Job { name: "joins", declare, expected };

/// The joins by foreign keys. Their tables must not meet before the shuffle.
pub(super) const FOREIGN: Job = Job { name: "foreign", declare: declare_foreign, expected: expected_foreign };

const WITHIN_MS: i64 = 2_000;

/// Keeps the last row of a key, and puts it beside each number.
#[derive(Clone)]
struct Beside {
    row: ValueState<String>,
}

impl CoProcess<Utf8, Owned<i64>, Nullable<Owned<String>>> for Beside {
    type Out = String;

    fn left(&mut self, number: &Rec<'_, Utf8, Owned<i64>>, scope: &mut Scope<'_, Utf8, String>) {
        let row = self.row.get(scope).cloned();
        scope.emit(beside(number.value, row.as_deref()));
    }

    fn right(&mut self, row: &Rec<'_, Utf8, Nullable<Owned<String>>>, scope: &mut Scope<'_, Utf8, String>) {
        match &row.value {
            Some(row) => self.row.put(scope, row.clone()),
            None => _ = self.row.clear(scope),
        }
    }
}

fn beside(number: i64, row: Option<&str>) -> String {
    format!("{number} {}", row.unwrap_or("-"))
}

fn declare(application_id: &str, topics: &Topics) -> Topology {
    let (mut job, output) = (Topology::builder(application_id), &topics.output);
    // As with the disordered numbers, which one of these would pass by that is active first.
    let never_idle = Watermark::default().never_idle();
    let numbers = job.keyed_stream(&topics.numbers, Utf8, I64).watermark(never_idle);
    let row_changes = job.keyed_stream(&topics.rows, Utf8, Nullable(Text)).watermark(never_idle);
    let rows = job.table(&topics.rows, "rows", Utf8, Text);
    let compacted = job.compacted_table(&topics.compacted, "compacted", Utf8, Text);
    let versions = job.versioned_table(&topics.rows, "versions", (Utf8, Text), Duration::from_secs(100));
    let names = job.global_table(&topics.names, Utf8, Text);
    let of = || numbers.clone();
    let disordered = disordered(&mut job, topics);

    put_out("table", of().left_join_table(&rows, |number, row| beside(number.value, row.map(String::as_str))), output);
    put_out("inner-table", of().join_table(&rows, |number, row| beside(number.value, Some(row))), output);
    let with_compacted = of().left_join_table(&compacted, |number, row| beside(number.value, row.map(String::as_str)));
    put_out("compacted", with_compacted, output);
    let late = || disordered.clone();
    let with_version =
        late().left_join_versioned(&versions, |number, row| beside(number.value, row.map(String::as_str)));
    put_out("versioned", with_version, output);
    let with_version = late().join_versioned(&versions, |number, row| beside(number.value, Some(row)));
    put_out("inner-versioned", with_version, output);
    let with_name = of().left_join_global(
        &names,
        |number| usize::try_from(number.value % 3).ok().map(|remainder| REMAINDERS[remainder]),
        |number, name| beside(number.value, name.map(String::as_str)),
    );
    put_out("global", with_name, output);
    let with_name = of().join_global(
        &names,
        |number| usize::try_from(number.value % 5).ok().map(|remainder| *REMAINDERS.get(remainder).unwrap_or(&"none")),
        |number, name| beside(number.value, Some(name)),
    );
    put_out("inner-global", with_name, output);
    let connected = of().connect(row_changes.clone());
    put_out("connect", connected.process("connect", |uses| Beside { row: uses.value("row", Text) }), output);

    let texts = row_changes.filter_map(|row| row.value.clone());
    let window = JoinWindow::within(Duration::from_millis(2_000));
    let inner = late().join("inner", texts.clone(), window, (I64, Text), |number, row| beside(*number, Some(row)));
    put_out("inner", inner, output);
    let left = late()
        .left_join("left", texts.clone(), window, (I64, Text), |number, row| beside(*number, row.map(String::as_str)));
    put_out("left", left, output);
    let outer = late().outer_join("outer", texts, window, (I64, Text), pair);
    put_out("outer", outer, output);

    let latest = of().to_table("latest", I64);
    let tables = latest.outer_join(&rows, pair);
    put_out("tables", tables.map(|change| or_gone(&change.value)), output);
    let tables = latest.join(&rows, |number, row| beside(*number, Some(row)));
    put_out("inner-tables", tables.map(|change| or_gone(&change.value)), output);
    let tables = latest.left_join(&rows, |number, row| beside(*number, row.map(String::as_str)));
    put_out("left-tables", tables.map(|change| or_gone(&change.value)), output);
    job.build().expect("the topology is sound")
}

/// Declares the joins of the latest numbers with the rows to which they point.
fn declare_foreign(application_id: &str, topics: &Topics) -> Topology {
    let (mut job, output) = (Topology::builder(application_id), &topics.output);
    let latest = job.keyed_stream(&topics.numbers, Utf8, I64).to_table("latest", I64);
    let rows = job.table(&topics.rows, "rows", Utf8, Text);
    let across = (Partitions(PARTITIONS), I64, Text);
    let foreign = latest.join_foreign(
        "foreign",
        &rows,
        across,
        |number| Some(foreign_key(*number)),
        |number, row| beside(*number, Some(row)),
    );
    put_out("foreign", foreign.map(|change| or_gone(&change.value)), output);
    let left = latest.left_join_foreign(
        "left-foreign",
        &rows,
        across,
        |number| Some(foreign_key(*number)),
        |number, row| beside(*number, row.map(String::as_str)),
    );
    put_out("left-foreign", left.map(|change| or_gone(&change.value)), output);
    job.build().expect("the topology is sound")
}

/// The key of the row to which a number points.
fn foreign_key(number: i64) -> &'static str {
    KEYS[usize::try_from(number).unwrap_or_default() % KEYS.len()]
}

fn pair(number: Option<&i64>, row: Option<&String>) -> String {
    format!("{number:?} {row:?}")
}

fn or_gone(row: &Option<String>) -> String {
    row.clone().unwrap_or_else(|| "-".to_owned())
}

fn expected(input: &Input) -> Expected {
    let mut expected = Expected::new();
    let mut in_order = BTreeMap::<String, Vec<String>>::new();
    for Number { key, value, at, disordered_at } in &input.numbers {
        let row_at = |at: i64| {
            let before = input.rows.iter().rev().find(|row| row.key == *key && row.at < at);
            before.and_then(|row| row.value.as_deref())
        };
        let (row, version) = (row_at(*at), row_at(*disordered_at));
        let mut put_out = |name: &str, result| in_order.entry(format!("{name} {key}")).or_default().push(result);
        for name in ["table", "compacted", "connect"] {
            put_out(name, beside(*value, row));
        }
        put_out("versioned", beside(*value, version));
        for (name, row) in [("inner-table", row), ("inner-versioned", version)] {
            if row.is_some() {
                put_out(name, beside(*value, row));
            }
        }
        let name = usize::try_from(value % 5).ok().and_then(|remainder| NAMES.get(remainder));
        if let Some(name) = name {
            put_out("inner-global", beside(*value, Some(name)));
        }
        put_out("global", beside(*value, usize::try_from(value % 3).ok().map(|remainder| NAMES[remainder])));
    }
    expected.extend(in_order.into_iter().map(|(key, results)| (key, Results::InOrder(results))));
    pairs(input, &mut expected);

    let (latest, rows) = last(input);
    for key in KEYS {
        let (number, row) = (latest.get(key), rows.get(key).copied().flatten());
        let both = (number.is_some() || row.is_some()).then(|| pair(number, row));
        expected.insert(format!("tables {key}"), Results::EndsWith(both));
        let both = number.zip(row).map(|(number, row)| beside(*number, Some(row)));
        expected.insert(format!("inner-tables {key}"), Results::EndsWith(both));
        let left = number.map(|number| beside(*number, row.map(String::as_str)));
        expected.insert(format!("left-tables {key}"), Results::EndsWith(left));
    }
    expected
}

/// The last number and the last row of each key.
fn last(input: &Input) -> (BTreeMap<&str, i64>, BTreeMap<&str, Option<&String>>) {
    let latest = input.numbers.iter().map(|number| (&*number.key, number.value)).collect();
    (latest, input.rows.iter().map(|row| (&*row.key, row.value.as_ref())).collect())
}

fn expected_foreign(input: &Input) -> Expected {
    let mut expected = Expected::new();
    let (latest, rows) = last(input);
    for key in KEYS {
        let number = latest.get(key);
        let of_other = number.and_then(|number| rows.get(foreign_key(*number)).copied().flatten());
        let foreign = number.zip(of_other).map(|(number, row)| beside(*number, Some(row)));
        expected.insert(format!("foreign {key}"), Results::EndsWith(foreign));
        let left = number.map(|number| beside(*number, of_other.map(String::as_str)));
        expected.insert(format!("left-foreign {key}"), Results::EndsWith(left));
    }
    expected
}

/// The pairs of numbers and rows with the same key that lie near each other, and those that have no partner.
fn pairs(input: &Input, expected: &mut Expected) {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    let rows: Vec<(&Row, &String)> = input.rows.iter().filter_map(|row| Some((row, row.value.as_ref()?))).collect();
    let is_pair = |number: &Number, row: &Row| {
        number.key == row.key && number.disordered_at.abs_diff(row.at) <= WITHIN_MS.unsigned_abs()
    };
    for number in &input.numbers {
        let partners: Vec<_> = rows.iter().filter(|(row, _)| is_pair(number, row)).map(|(_, text)| *text).collect();
        let mut put_out = |name: &str, result| found.entry(format!("{name} {}", number.key)).or_default().push(result);
        for text in &partners {
            put_out("inner", beside(number.value, Some(text)));
            put_out("left", beside(number.value, Some(text)));
            put_out("outer", pair(Some(&number.value), Some(text)));
        }
        if partners.is_empty() {
            put_out("left", beside(number.value, None));
            put_out("outer", pair(Some(&number.value), None));
        }
    }
    for (row, text) in &rows {
        if !input.numbers.iter().any(|number| is_pair(number, row)) {
            found.entry(format!("outer {}", row.key)).or_default().push(pair(None, Some(text)));
        }
    }
    for (key, mut results) in found {
        results.sort();
        expected.insert(key, Results::InAnyOrder(results));
    }
}
