//! Simple jobs without brokers: the least that a record costs in the processor.

use std::time::{Duration, Instant};

use kafka_wire::record::Batch;
use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;
use processor::topology::Builder;
use processor::{Emit, I64, Raw, SessionWindow, Sliding, Topology, U64, Watermark};

use crate::machine::{Batches, INPUT, Machine};
use crate::state::time;

/// A job over records with a key and a value of 8 bytes each.
struct Case {
    title: &'static str,
    keys: u64,
    declare: fn(&mut Builder),
}

const CASES: &[Case] = &[
    Case { title: "chain of five steps without state, numbers to numbers", keys: 1_000_000, declare: chain },
    Case { title: "count of 1 M keys, out at commits", keys: 1_000_000, declare: |job| count(job, Emit::OnUpdate) },
    Case {
        title: "count of 1 M keys, every update out",
        keys: 1_000_000,
        declare: |job| count(job, Emit::EveryUpdate),
    },
    Case { title: "sessions of 100 K keys, gap 30 s", keys: 100_000, declare: sessions },
    Case { title: "sums of 10 min by 1 min, 100 keys", keys: 100, declare: |job| sliding(job, 60) },
    Case { title: "sums of 10 min by 1 s, 100 keys", keys: 100, declare: |job| sliding(job, 1) },
];

fn chain(job: &mut Builder) {
    job.keyed_stream(INPUT, Raw, U64)
        .map(|record| record.value.wrapping_mul(3))
        .filter(|record| record.value != 1)
        .map(|record| record.value + 1)
        .filter(|record| record.value % 1_000 != 0)
        .map(|record| record.value ^ 5)
        .to("results", Raw, U64);
}

fn count(job: &mut Builder, emit: Emit) {
    job.keyed_stream(INPUT, Raw, Raw).count("counts", emit).to("results", Raw, U64);
}

fn sessions(job: &mut Builder) {
    job.keyed_stream(INPUT, Raw, Raw)
        .watermark(Watermark::default())
        .window(SessionWindow::gap(Duration::from_secs(30)))
        .count("sessions", Emit::OnClose)
        .map(|session| *session.value)
        .to("results", Raw, U64);
}

fn sliding(job: &mut Builder, slide: u64) {
    job.keyed_stream(INPUT, Raw, I64)
        .window(Sliding::of(Duration::from_secs(600)).every(Duration::from_secs(slide)))
        .sum("sums", Emit::OnClose, |record| record.value)
        .map(|sum| *sum.value)
        .to("results", Raw, I64);
}

/// Measures the cases whose titles have this part with this number of records, several times; the least time is shown.
pub(crate) fn run(records: u64, part: &str) {
    for case in CASES.iter().filter(|case| case.title.contains(part)) {
        let runs = (0..RUNS).map(|_| measure(case, records));
        let (least, results) = runs.min_by(|one, other| one.0.total_cmp(&other.0)).expect("there are runs");
        let rate = 1e9 / least;
        println!("{:56} {least:>8.1} ns/record {rate:>12.0} records/s a core {results:>10} results", case.title);
    }
}

/// Returns nanoseconds for a record, and the number of results.
fn measure(case: &Case, records: u64) -> (f64, u64) {
    let mut builder = Topology::builder("alone");
    (case.declare)(&mut builder);
    let mut machine = Machine::new(&builder.build().expect("a sound job"), records);
    let (mut rng, started, mut nanos) = (Rng::from_seed(1), Instant::now(), 0);
    let now = || Moment::from_millis(started.elapsed().as_millis() as u64);
    for first in (0..records).step_by(TRANSACTION as usize) {
        let batches = generate(&mut rng, case.keys, first..records.min(first + TRANSACTION));
        nanos += time(|| machine.turn(now(), batches));
    }
    nanos += time(|| machine.end(now()));
    (nanos as f64 / records as f64, machine.results())
}

/// Makes records of random keys, 5 M an hour.
fn generate(rng: &mut Rng, keys: u64, indexes: std::ops::Range<u64>) -> Vec<Batch> {
    let mut batches = Batches::new();
    for index in indexes {
        let (key, value) = (rng.below(keys).to_be_bytes(), rng.below(1_000_000).to_be_bytes());
        batches.push((index * 18 / 25) as i64, Some(&key), &value);
    }
    batches.finish()
}

const RUNS: usize = 3;
/// Records of a transaction.
const TRANSACTION: u64 = 100_000;
