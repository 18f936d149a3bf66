//! The greatest two of each window, of records of which only the first of each id counts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inputs, Job, Line, Results, SECOND, THREE, gathered, number, part};
use crate::operator::Emit;
use crate::serde::{Json, Text, Utf8};
use crate::topology::Builder;
use crate::window::Tumbling;

pub(super) const JOB: Job = Job { has_copies: true, ..Job::new("dedup", declare, expected) };

fn declare(_: &mut Builder, inputs: Inputs) {
    inputs
        .a
        .merge(inputs.b)
        .key_by("by-id", THREE, (Utf8, Utf8), |line| (part(line.value, 1), line.value))
        .dedup("seen", 20 * SECOND)
        .key_by("by-key", THREE, (Utf8, Json::<(i64, String)>::new()), |line| {
            (part(line.value, 0), (number(line.value), line.key.to_owned()))
        })
        .window(Tumbling::of(5 * SECOND))
        .top_n("top", Emit::OnClose, 2, |line| line.value.clone())
        .map(|top| format!("{} {:?}", top.window.start, top.value))
        .to("out", Utf8, Text);
}

fn expected(lines: &[Line]) -> Results {
    let mut windows = BTreeMap::<_, BTreeSet<_>>::new();
    for line in lines {
        let start = line.at.div_euclid(5_000) * 5_000;
        windows.entry((&line.key, start)).or_default().insert((line.number, line.id.clone()));
    }
    gathered(windows.into_iter().map(|((key, start), all)| {
        let top: Vec<_> = all.into_iter().rev().take(2).collect();
        (key, format!("{start} {top:?}"))
    }))
}
