//! The queries without brokers.

use std::error::Error;
use std::time::{Duration, Instant};

use kafka_wire::record::Batch;
use kafka_wire::time::Moment;

use super::generator::Generator;
use super::plain::{self, Recorded};
use super::queries::Query;
use crate::check::Seen;
use crate::machine::{Batches, INPUT, Machine};
use crate::rows::Column;
use crate::state::time;

/// Nanoseconds of CPU time for an event.
pub(crate) struct Speed {
    /// In the generator.
    pub(crate) generating: f64,
    /// In the processor.
    pub(crate) processing: f64,
    /// Results that came out.
    pub(crate) results: u64,
}

/// Runs a query with this number of events.
pub(crate) fn measure(query: Query, events: u64) -> Speed {
    let mut generator = Generator::new(BASE_MS);
    let mut machine = Machine::new(&query.topology("nexmark", (INPUT, "results"), 1), events);
    let started = Instant::now();
    let now = || Moment::from_millis(started.elapsed().as_millis() as u64);
    let (mut generating, mut processing) = (0, 0);
    for first in (0..events).step_by(TRANSACTION as usize) {
        let end = events.min(first + TRANSACTION);
        for part in (first..end).step_by(PART as usize) {
            let mut batches = Vec::new();
            generating += time(|| batches = generate(&mut generator, PART.min(end - part)));
            processing += time(|| machine.take(now(), batches));
        }
        processing += time(|| machine.turn(now(), Vec::new()));
    }
    processing += time(|| machine.end(now()));
    // Windows by the time of day end later than a run without brokers, which takes less than a second.
    processing += time(|| machine.turn(now() + WINDOWS_OVER, Vec::new()));
    let each = |nanos: u64| nanos as f64 / events as f64;
    Speed { generating: each(generating), processing: each(processing), results: machine.results() }
}

/// Compares the results of a query with those of the plain computation, at a rate at which many windows close.
///
/// # Errors
/// The difference.
pub(crate) fn check(query: Query, events: u64) -> Result<(), Box<dyn Error>> {
    let rate = events.cast_signed() / CHECKED_SECONDS;
    let (mut generator, mut recorded) = (Generator::with_rate(BASE_MS, rate), Recorded::default());
    (0..events).for_each(|_| recorded.push(&generator.next()));
    let mut generator = Generator::with_rate(BASE_MS, rate);
    let mut machine = Machine::new(&query.topology("nexmark", (INPUT, "results"), 1), events);
    machine.keep();
    let mut now = Moment::ZERO;
    for first in (0..events).step_by(CHECKED_TRANSACTION as usize) {
        let batches = generate(&mut generator, CHECKED_TRANSACTION.min(events - first));
        // As fast as event time, so that windows by the time of day close in between as well.
        now = now + Duration::from_millis(CHECKED_TRANSACTION * 1_000 / rate.unsigned_abs());
        machine.turn(now, batches);
    }
    machine.end(now);
    machine.turn(now + WINDOWS_OVER, Vec::new());
    if machine.results() == 0 {
        return Err(format!("{}: no results", query.name()).into());
    }
    let expected = plain::expected(query, &recorded);
    let mut seen = Seen::nothing(&expected);
    machine.kept().for_each(|(key, value)| seen.take(key, value));
    seen.verdict().map_err(|wrong| format!("{}: {wrong}", query.name()).into())
}

/// Makes the next events, in batches.
fn generate(generator: &mut Generator, count: u64) -> Vec<Batch> {
    let (mut batches, mut value) = (Batches::new(), Vec::new());
    for _ in 0..count {
        let event = generator.next();
        value.clear();
        event.write(&mut value);
        batches.push(event.date_time(), None, &value);
    }
    batches.finish()
}

/// The time of the first event: 2015-07-15, as in Beam.
const BASE_MS: i64 = 1_436_918_400_000;
/// Events of a transaction: a tenth of a second at a million events a second.
const TRANSACTION: u64 = 100_000;
/// Events that are generated before they are processed: as many as the cache of a core holds.
const PART: u64 = 2_000;
/// Events of a transaction in checks, in which there are several of them.
const CHECKED_TRANSACTION: u64 = 1_000;
/// By then windows by the time of day are over, whose length is half of it.
const WINDOWS_OVER: Duration = Duration::from_secs(20);
/// Length of a check, in event time.
const CHECKED_SECONDS: i64 = 40;
