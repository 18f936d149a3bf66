//! Different ids in windows that overlap and close late.

use std::collections::{BTreeMap, BTreeSet};

use super::{Inputs, Job, Line, Results, SECOND, gathered, ids_by_key};
use crate::operator::Emit;
use crate::serde::{Text, Utf8};
use crate::topology::Builder;
use crate::window::Sliding;

pub(super) const JOB: Job = Job::new("distinct", declare, expected);

fn declare(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (ids_by_key(inputs.a, "a"), ids_by_key(inputs.b, "b"));
    a.merge(b)
        .window(Sliding::of(4 * SECOND).every(SECOND))
        .lateness(SECOND)
        .count_distinct("ids", Emit::OnClose, |line| line.value.clone())
        .map(|ids| format!("{} {}", ids.window.start, ids.value))
        .to("out", Utf8, Text);
}

fn expected(lines: &[Line]) -> Results {
    let mut windows = BTreeMap::<_, BTreeSet<_>>::new();
    for line in lines {
        let last = line.at.div_euclid(1_000) * 1_000;
        for start in (0..4).map(|index| last - index * 1_000) {
            windows.entry((&line.key, start)).or_default().insert(&line.id);
        }
    }
    gathered(windows.into_iter().map(|((key, start), ids)| (key, format!("{start} {}", ids.len()))))
}
