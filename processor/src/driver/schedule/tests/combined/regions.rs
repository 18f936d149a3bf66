//! Rows of a table joined with the rows that they point to, and counted by what these say: a row of `a` points to one
//! of `b`, whose number is a region.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inputs, Job, KEYS, Line, Results, THREE, gathered, last, number, part};
use crate::operator::Emit;
use crate::serde::{I64, Text, Utf8};
use crate::topology::Builder;
use crate::types::{Owned, Partitions};

// A region to which nothing points any more has a count of zero.
pub(super) const JOB: Job = Job { gather: |values| last(values, "0"), ..Job::new("foreign join", declare, expected) };

fn declare(_: &mut Builder, inputs: Inputs) {
    let Inputs { a, b, .. } = inputs;
    let points = a.key_by("a", THREE, (Utf8, Text), |line| (part(line.value, 0), region(number(line.value))));
    let regions = b.key_by("b", THREE, (Utf8, Text), |line| (part(line.value, 0), region(number(line.value))));
    let (points, regions) = (points.to_table("points", Text), regions.to_table("regions", Text));
    points
        .join_foreign("both", &regions, (THREE, Text, Text), pointed_to, |_, region| region.clone())
        .to_table("joined", Text)
        .changes()
        .flat_map(Owned::<(String, i64)>::new(), |change, out| {
            change.value.old.iter().for_each(|old| out.push((old.clone(), -1)));
            change.value.new.iter().for_each(|new| out.push((new.clone(), 1)));
        })
        .key_by("by-region", Partitions(2), (Text, I64), |change| change.value)
        .sum("counts", Emit::OnUpdate, |change| change.value)
        .map(|count| count.value.to_string())
        .to("out", Text, Text);
}

/// The key to which a row points, or the region that a row names: both are small numbers with a prefix.
fn region(number: i64) -> String {
    format!("k{}", number.unsigned_abs() % KEYS)
}

#[expect(clippy::ptr_arg, reason = "it is called with the rows of a table, which are strings")]
fn pointed_to(row: &String) -> Option<&str> {
    Some(row)
}

fn expected(lines: &[Line]) -> Results {
    let last = |topic, key: &str| lines.iter().rev().find(|line| line.topic == topic && line.key == key);
    let mut counts = BTreeMap::new();
    for key in lines.iter().map(|line| &line.key).collect::<BTreeSet<_>>() {
        let row = last(0, key).and_then(|row| last(1, &region(row.number)));
        row.into_iter().for_each(|row| *counts.entry(region(row.number)).or_insert(0) += 1);
    }
    gathered(counts.into_iter().map(|(region, count)| (region, count.to_string())))
}
