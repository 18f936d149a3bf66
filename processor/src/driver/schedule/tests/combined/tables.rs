//! Tables of the last record of each key of either topic, whose rows are joined; some records delete a row.

use std::collections::BTreeSet;

use super::{Inputs, Job, Line, Results, THREE, gathered, last, number, part};
use crate::operator::{Chain, Change};
use crate::serde::{Nullable, Text, Utf8};
use crate::topology::{Builder, Table, ValueStream};
use crate::types::Owned;

pub(super) const INNER: Job = job("inner join of tables", inner, |lines| expected(lines, [false, false]));
pub(super) const LEFT: Job = job("left join of tables", left, |lines| expected(lines, [true, false]));
pub(super) const OUTER: Job = job("outer join of tables", outer, |lines| expected(lines, [true, true]));

/// The value for a row that was deleted.
const DELETED: &str = "deleted";

const fn job(name: &'static str, declare: fn(&mut Builder, Inputs), expected: fn(&[Line]) -> Results) -> Job {
    Job { gather: |values| last(values, DELETED), ..Job::new(name, declare, expected) }
}

fn inner(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (rows(inputs.a, "a"), rows(inputs.b, "b"));
    let joined = a.join(&b, |a, b| format!("{a} {b}"));
    joined.map(|row| shown(row.value.as_ref())).to("out", Utf8, Text);
}

fn left(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (rows(inputs.a, "a"), rows(inputs.b, "b"));
    let joined = a.left_join(&b, |a, b| format!("{a} {}", b.map_or("-", String::as_str)));
    joined.map(|row| shown(row.value.as_ref())).to("out", Utf8, Text);
}

fn outer(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (rows(inputs.a, "a"), rows(inputs.b, "b"));
    let show = |row: Option<&String>| row.map_or("-", String::as_str).to_owned();
    let joined = a.outer_join(&b, move |a, b| format!("{} {}", show(a), show(b)));
    joined.map(|row| shown(row.value.as_ref())).to("out", Utf8, Text);
}

fn shown(row: Option<&String>) -> String {
    row.map_or(DELETED, String::as_str).to_owned()
}

type Rows<C> = Table<Utf8, String, C>;

/// The table of the last id of each key.
fn rows(lines: ValueStream<Utf8>, name: &str) -> Rows<impl Chain<Key = Utf8, Value = Owned<Change<String>>> + use<>> {
    lines
        .key_by(name, THREE, (Utf8, Nullable(Text)), |line| {
            let id = part(line.value, 1).to_owned();
            (part(line.value, 0), Some(id).filter(|_| !deletes(number(line.value))))
        })
        .to_table(&format!("rows-{name}"), Text)
}

/// Whether a record deletes the row of its key.
const fn deletes(number: i64) -> bool {
    number % 4 == 0
}

/// The rows that are there in the end. `come_alone` says for either topic whether its rows need no partner.
fn expected(lines: &[Line], come_alone: [bool; 2]) -> Results {
    let mut results = Vec::new();
    for key in lines.iter().map(|line| &line.key).collect::<BTreeSet<_>>() {
        let row = |topic| {
            let last = lines.iter().rev().find(|line| line.topic == topic && line.key == *key);
            last.filter(|line| !deletes(line.number)).map(|line| line.id.as_str())
        };
        let is_there = match (row(0), row(1)) {
            (Some(_), Some(_)) => true,
            (Some(_), None) => come_alone[0],
            (None, Some(_)) => come_alone[1],
            (None, None) => false,
        };
        let joined = || format!("{} {}", row(0).unwrap_or("-"), row(1).unwrap_or("-"));
        results.extend(is_there.then(|| (key, joined())));
    }
    gathered(results)
}
