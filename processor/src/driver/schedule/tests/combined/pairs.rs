//! Pairs of records of both topics; those without a partner come out alone, by the kind of join.

use super::{Inputs, Job, Line, Results, gathered, ids_by_key, millis};
use crate::serde::{Text, Utf8};
use crate::topology::Builder;
use crate::window::JoinWindow;

pub(super) const INNER: Job = Job::new("inner join", inner, |lines| expected(lines, [false, false]));
pub(super) const LEFT: Job = Job::new("left join", left, |lines| expected(lines, [true, false]));
pub(super) const OUTER: Job = Job::new("outer join", outer, |lines| expected(lines, [true, true]));

const WITHIN_MS: i64 = 1_500;

fn inner(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (ids_by_key(inputs.a, "a"), ids_by_key(inputs.b, "b"));
    let window = JoinWindow::within(millis(WITHIN_MS));
    a.join("pairs", b, window, (Text, Text), |a, b| format!("{a} {b}")).to("out", Utf8, Text);
}

fn left(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (ids_by_key(inputs.a, "a"), ids_by_key(inputs.b, "b"));
    let window = JoinWindow::within(millis(WITHIN_MS));
    a.left_join("pairs", b, window, (Text, Text), |a, b| format!("{a} {}", show(b))).to("out", Utf8, Text);
}

fn outer(_: &mut Builder, inputs: Inputs) {
    let (a, b) = (ids_by_key(inputs.a, "a"), ids_by_key(inputs.b, "b"));
    let window = JoinWindow::within(millis(WITHIN_MS));
    let pairs = a.outer_join("pairs", b, window, (Text, Text), |a, b| format!("{} {}", show(a), show(b)));
    pairs.to("out", Utf8, Text);
}

fn show(side: Option<&String>) -> &str {
    side.map_or("-", String::as_str)
}

/// The pairs, and the records that come out alone: those of `a`, of `b`.
fn expected(lines: &[Line], come_alone: [bool; 2]) -> Results {
    let mut results = Vec::new();
    let are_near = |one: &Line, other: &Line| {
        one.topic != other.topic && one.key == other.key && (one.at - other.at).abs() <= WITHIN_MS
    };
    for line in lines {
        let mut partners = lines.iter().filter(|other| are_near(line, other)).peekable();
        match (line.topic, partners.peek().is_some()) {
            (0, true) => partners.for_each(|other| results.push((&line.key, format!("{} {}", line.id, other.id)))),
            (0, false) if come_alone[0] => results.push((&line.key, format!("{} -", line.id))),
            (1, false) if come_alone[1] => results.push((&line.key, format!("- {}", line.id))),
            _ => {}
        }
    }
    gathered(results)
}
