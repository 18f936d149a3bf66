//! Calls to the outside without brokers: each takes a millisecond, by the timer of the runtime, and a thousand are
//! outstanding.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use kafka_wire::record::Batch;
use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;
use processor::operator::CallOptions;
use processor::{Raw, Topology, U64};

use crate::machine::{Batches, INPUT, Machine};
use crate::state::cpu_nanos;

/// Measures calls with this number of records, several times; the least CPU time and the best rate are shown.
pub(crate) async fn run(records: u64) {
    let cases = [
        ("in the order of 1 M keys", CallOptions::ordered_by_key(OUTSTANDING)),
        ("side by side", CallOptions::unordered(OUTSTANDING)),
    ];
    for (title, options) in cases {
        let (mut rate, mut nanos) = (0.0, f64::MAX);
        for _ in 0..RUNS {
            let run = measure(options, records).await;
            (rate, nanos) = (f64::max(rate, run.0), f64::min(nanos, run.1));
        }
        println!(
            "calls of 1 ms, {OUTSTANDING} outstanding, {title:26} {rate:>10.0} records/s {nanos:>8.0} CPU ns/record"
        );
    }
}

/// Returns records a second, and nanoseconds of CPU time for a record.
async fn measure(options: CallOptions, records: u64) -> (f64, f64) {
    let mut job = Topology::builder("calls");
    let call = |value: u64| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<u64, Infallible>(value + 1)
    };
    job.keyed_stream(INPUT, Raw, U64).async_map("calls", options, call).to("results", Raw, U64);
    let mut machine = Machine::new(&job.build().expect("a sound job"), records);
    let (mut rng, started) = (Rng::from_seed(1), Instant::now());
    let clock = || Moment::from_millis(started.elapsed().as_millis() as u64);
    let (mut elapsed, mut nanos) = (Duration::ZERO, 0);
    for first in (0..records).step_by(TRANSACTION as usize) {
        let batches = generate(&mut rng, TRANSACTION.min(records - first));
        let (began, before) = (Instant::now(), cpu_nanos());
        machine.turn_with_calls(&clock, batches).await;
        (elapsed, nanos) = (elapsed + began.elapsed(), nanos + cpu_nanos() - before);
    }
    assert_eq!(machine.results(), records, "each record has a result");
    (records as f64 / elapsed.as_secs_f64(), nanos as f64 / records as f64)
}

fn generate(rng: &mut Rng, count: u64) -> Vec<Batch> {
    let mut batches = Batches::new();
    for _ in 0..count {
        batches.push(1, Some(&rng.below(KEYS).to_be_bytes()), &rng.below(1_000_000).to_be_bytes());
    }
    batches.finish()
}

const OUTSTANDING: usize = 1_000;
const KEYS: u64 = 1_000_000;
const TRANSACTION: u64 = 100_000;
const RUNS: usize = 5;
