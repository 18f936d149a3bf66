//! Sums of windows by the time of day.

use super::{Inputs, Job, Line, Results, gathered, millis, numbers_by_key, summed, sums};
use crate::operator::Emit;
use crate::serde::{Text, Utf8};
use crate::topology::Builder;
use crate::window::{ProcessingTime, Tumbling};

pub(super) const JOB: Job = Job { gather: summed, ..Job::new("processing time", declare, expected) };

fn declare(_: &mut Builder, inputs: Inputs) {
    numbers_by_key(inputs)
        .window(ProcessingTime(Tumbling::of(millis(300))))
        .sum("sums", Emit::OnClose, |line| line.value)
        .map(|sum| sum.value.to_string())
        .to("out", Utf8, Text);
}

/// The windows depend on the schedule, but what is in all of them does not.
fn expected(lines: &[Line]) -> Results {
    gathered(sums(lines, i64::MAX).into_iter().map(|((key, _), sum)| (key, sum.to_string())))
}
