//! Sums by timers of event time, and counts by timers of the time of day.

use kafka_wire::types::TimestampMs;

use super::{Inputs, Job, Line, Results, gathered, numbers_by_key, sorted, summed, sums};
use crate::operator::{MapState, Output, Process, Scope, ValueState};
use crate::serde::{I64, Text, Utf8};
use crate::state::Clock;
use crate::topology::Builder;
use crate::types::{Owned, Rec};

pub(super) const JOB: Job = Job { gather, ..Job::new("timers", declare, expected) };

fn declare(_: &mut Builder, inputs: Inputs) {
    let (sums, counts) = numbers_by_key(inputs).process_with("timers", |uses| {
        let (counts, stream) = uses.output("counts");
        (Timers { sums: uses.map("sums", I64, I64), since: uses.value("since", I64), counts }, stream)
    });
    sums.to("out", Utf8, Text);
    counts.map(|count| count.value.to_string()).select_key(Text, |_| "counts".to_owned()).to("out", Text, Text);
}

/// Adds the numbers of a key up in spans of two seconds, and counts its records in spans of the time of day.
#[derive(Clone)]
struct Timers {
    sums: MapState<I64, i64>,
    since: ValueState<i64>,
    counts: Output<i64>,
}

impl Process<Utf8, Owned<i64>> for Timers {
    type Out = String;

    fn record(&mut self, line: &Rec<'_, Utf8, Owned<i64>>, scope: &mut Scope<'_, Utf8, String>) {
        let end = line.timestamp.0.div_euclid(2_000) * 2_000 + 2_000;
        let sum = self.sums.get(scope, &end).copied().unwrap_or(0) + line.value;
        self.sums.put(scope, &end, sum);
        scope.set_timer(Clock::Event, TimestampMs(end));
        let since = self.since.get(scope).copied();
        self.since.put(scope, since.unwrap_or(0) + 1);
        if since.is_none() {
            scope.set_timer(Clock::Wall, TimestampMs(scope.wall().0 + 150));
        }
    }

    fn timer(&mut self, _: &&str, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        match clock {
            Clock::Event => {
                let sum = self.sums.remove(scope, &at.0).expect("a timer fires once");
                scope.emit(format!("{} {sum}", at.0));
            }
            Clock::Wall => {
                let count = self.since.get(scope).copied().expect("a timer fires once");
                self.since.clear(scope);
                self.counts.emit(scope, count);
            }
        }
    }
}

/// The sums are as they are, and the counts add up to all records.
fn gather(values: Vec<String>) -> Vec<String> {
    let are_counts = values.iter().all(|value| !value.contains(' '));
    if are_counts { summed(values) } else { sorted(values) }
}

fn expected(lines: &[Line]) -> Results {
    let sums = sums(lines, 2_000).into_iter().map(|((key, start), sum)| (key, format!("{} {sum}", start + 2_000)));
    let count = (!lines.is_empty()).then(|| ("counts", lines.len().to_string()));
    gathered(sums.chain(count))
}
