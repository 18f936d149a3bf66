//! Records that go into outputs outside of Kafka, straight and behind a shuffle. The outputs know ids, so that what
//! comes again is there once. They fail in the middle of a batch, and do not answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Inputs, Job, Line, Outside, Results, SECOND, THREE, gathered, millis, part};
use crate::driver::TestClock;
use crate::error::SinkError;
use crate::operator::{BatchOptions, Chain, Outgoing};
use crate::serde::{Serde, Utf8};
use crate::topology::{Builder, Stream};
use crate::types::Owned;

pub(super) const JOB: Job = Job { gather, ..Job::new("to_outside", declare, expected) };

fn declare(_: &mut Builder, inputs: Inputs) {
    let Inputs { a, b, clock, outside } = inputs;
    let lines = a.merge(b);
    put_out("straight", lines.clone().map(|line| line.value.to_owned()), (&clock, &outside));
    let shuffled = lines.key_by("by-key", THREE, (Utf8, Utf8), |line| (part(line.value, 0), line.value));
    put_out("shuffled", shuffled.map(|line| line.value.to_owned()), (&clock, &outside));
}

fn put_out<KS, C>(name: &'static str, lines: Stream<KS, C>, (clock, outside): (&TestClock, &Outside))
where
    KS: Serde,
    C: Chain<Key = KS::View, Value = Owned<String>>,
{
    let options = BatchOptions::of(3).timeout(millis(80)).attempts(4, millis(5));
    let (clock, outside, calls) = (clock.clone(), Arc::clone(outside), Arc::new(AtomicU64::new(0)));
    lines.to_outside(name, options, move |batch: Arc<[Outgoing<String>]>| {
        let (clock, outside) = (clock.clone(), Arc::clone(&outside));
        let number = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            match number % 13 {
                5 => clock.sleep(100 * SECOND).await,
                _ => clock.sleep(millis((number % 30).cast_signed())).await,
            }
            let taken = if number % 7 == 3 { batch.len() / 2 } else { batch.len() };
            for line in &batch[..taken] {
                let id = line.id.as_ref().expect("each result comes from a record");
                outside
                    .lock()
                    .expect("no test has panicked")
                    .entry(name.to_owned())
                    .or_default()
                    .push(format!("{id} {}", line.value));
            }
            if taken == batch.len() { Ok(()) } else { Err(SinkError::Unavailable("it broke off".to_owned())) }
        }
    });
}

/// Rows that are there more than once are the same ones, and the others are different records.
fn gather(rows: Vec<String>) -> Vec<String> {
    let different: BTreeSet<String> = rows.into_iter().collect();
    let mut values: Vec<_> =
        different.iter().filter_map(|row| row.split_once(' ')).map(|row| row.1.to_owned()).collect();
    values.sort();
    values
}

fn expected(lines: &[Line]) -> Results {
    gathered(lines.iter().flat_map(|line| ["straight", "shuffled"].map(|name| (name, line.value()))))
}
