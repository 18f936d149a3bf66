//! Sums of windows, of records of which some are far ahead of all others and must make none of them late.

use super::{Inputs, Job, Line, Results, SECOND, gathered, numbers_by_key, sums};
use crate::operator::Emit;
use crate::serde::{Text, Utf8};
use crate::topology::Builder;
use crate::window::Tumbling;

pub(super) const JOB: Job = Job { has_strays: true, ..Job::new("jump_max", declare, expected) };

fn declare(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (inputs.a.jump_max(600 * SECOND), inputs.b.jump_max(600 * SECOND));
    numbers_by_key(Inputs { a, b, ..inputs })
        .window(Tumbling::of(2 * SECOND))
        .sum("sums", Emit::OnClose, |line| line.value)
        .map(|sum| format!("{} {}", sum.window.start, sum.value))
        .to("out", Utf8, Text);
}

fn expected(lines: &[Line]) -> Results {
    gathered(sums(lines, 2_000).into_iter().map(|((key, start), sum)| (key, format!("{start} {sum}"))))
}
