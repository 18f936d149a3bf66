//! Sums of windows, each passed through a call to the outside, and their sums.

use std::collections::BTreeMap;

use super::{Inputs, Job, Line, Results, SECOND, gathered, millis, numbers_by_key, sums};
use crate::operator::{CallOptions, Emit};
use crate::serde::{I64, Text};
use crate::topology::Builder;
use crate::types::Partitions;
use crate::window::Tumbling;

pub(super) const JOB: Job = Job::new("async_map", declare, expected);

fn declare(_: &mut Builder, inputs: Inputs) {
    let clock = inputs.clock.clone();
    let options = CallOptions::unordered(6).timeout(SECOND).attempts(50, millis(5));
    numbers_by_key(inputs)
        .window(Tumbling::of(2 * SECOND))
        .sum("first", Emit::OnClose, |line| line.value)
        .map(|sum| *sum.value)
        .async_map("calls", options, move |sum: i64| {
            let pause = clock.sleep(millis(sum.rem_euclid(30)));
            async move {
                pause.await;
                Ok::<_, &str>(sum)
            }
        })
        .key_by("all", Partitions(2), (Text, I64), |sum| ("all".to_owned(), sum.value))
        .window(Tumbling::of(4 * SECOND))
        .sum("second", Emit::OnClose, |sum| sum.value)
        .map(|sum| format!("{} {}", sum.window.start, sum.value))
        .to("out", Text, Text);
}

fn expected(lines: &[Line]) -> Results {
    let mut all = BTreeMap::new();
    sums(lines, 4_000).into_iter().for_each(|((_, start), sum)| *all.entry(start).or_insert(0) += sum);
    gathered(all.into_iter().map(|(start, sum)| ("all", format!("{start} {sum}"))))
}
