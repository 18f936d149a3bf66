//! Reading and writing one record batch, beside a hand-written loop that does only what the format demands.
//!
//! `cargo bench -p kafka-wire` prints, for each shape of record, nanoseconds per record of the floor loop and of this
//! crate, their ratio, and the allocations of ours for the whole batch; and for each codec the megabytes of records per
//! second of the bare codec and of this crate. A plain harness, not criterion: floor and ours
//! take turns within one run, so that a noisy machine disturbs both alike and the ratio stays true.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, BatchBuilder, HeadersBuf, RawHeaders, Seal};

mod codecs;
mod floor;

/// A batch to measure with.
struct Shape {
    name: &'static str,
    record_count: usize,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: HeadersBuf,
}

impl Shape {
    fn new(name: &'static str, record_count: usize, value_bytes: usize, header_count: usize) -> Self {
        let mut headers = HeadersBuf::new();
        for _ in 0..header_count {
            headers.push(b"trace-id", Some(b"0123456789"));
        }
        Self { name, record_count, key: b"key-0001".to_vec(), value: vec![b'v'; value_bytes], headers }
    }

    fn headers(&self) -> RawHeaders<'_> {
        self.headers.as_raw()
    }

    fn build(&self, capacity_bytes: usize) -> BatchBuilder {
        let mut builder = BatchBuilder::new(capacity_bytes);
        for index in 0..self.record_count {
            let timestamp = timestamp_of(index);
            builder.append(timestamp, Some(&self.key), Some(&self.value), self.headers()).expect("a batch below 2 GiB");
        }
        builder
    }
}

/// Ten records a millisecond: deltas of one and of two bytes.
fn timestamp_of(index: usize) -> i64 {
    1_700_000_000_000 + index as i64 / 10
}

/// What a reader does at the very least with a record: it looks at where things are. The same for floor and ours.
fn touch(offset: i64, timestamp: i64, key: &[u8], value: &[u8], headers: &[u8]) -> i64 {
    let lengths = key.len() + value.len() + headers.len();
    let first = i64::from(*value.first().unwrap_or(&0));
    offset.wrapping_add(timestamp).wrapping_add(lengths as i64).wrapping_add(first)
}

fn read_ours(batch: &Batch, buffer: &mut Decompressed) -> i64 {
    let mut sum = 0_i64;
    for record in batch.open(buffer).expect("a good batch") {
        let record = record.expect("a good record");
        let key = record.key.unwrap_or_default();
        let value = record.value.unwrap_or_default();
        let touched = touch(record.offset, record.timestamp, key, value, record.headers.as_bytes());
        sum = sum.wrapping_add(black_box(touched));
    }
    sum
}

fn main() {
    let shapes = [
        Shape::new("8 B key + 100 B value", 10_000, 100, 0),
        Shape::new("8 B key + 10 B value", 10_000, 10, 0),
        Shape::new("8 B key + 1 KB value", 10_000, 1_000, 0),
        Shape::new("100 B value, 10 headers", 10_000, 100, 10),
    ];
    println!("{:<34}{:>10}{:>10}{:>8}{:>14}", "ns per record", "floor", "ours", "ratio", "allocations");
    for shape in &shapes {
        decode(shape);
        encode(shape);
    }
    codecs::run();
}

fn decode(shape: &Shape) {
    let bytes = shape.build(0).seal(Seal::default()).expect("no codec");
    let batch = Batch::from_bytes(bytes.clone()).expect("a good batch");
    let mut buffer = Decompressed::default();
    assert_eq!(floor::read(&bytes), read_ours(&batch, &mut buffer), "both read the same");
    let allocations = allocation_counter::measure(|| {
        black_box(read_ours(black_box(&batch), &mut buffer));
    });
    let (floor, ours) = take_turns(
        || black_box(floor::read(black_box(&bytes))),
        || black_box(read_ours(black_box(&batch), &mut buffer)),
    );
    report("decode + CRC", shape, floor, ours, allocations.count_total);
}

fn encode(shape: &Shape) {
    let sealed = shape.build(0).seal(Seal::default()).expect("no codec");
    let capacity_bytes = sealed.len() + 64;
    assert_eq!(floor::write(shape, capacity_bytes), sealed, "both write the same");
    let write = || shape.build(capacity_bytes).seal(Seal::default()).expect("no codec");
    let allocations = allocation_counter::measure(|| {
        black_box(write());
    });
    let (floor, ours) =
        take_turns(|| floor::write(black_box(shape), capacity_bytes).len() as i64, || write().len() as i64);
    report("encode + CRC", shape, floor, ours, allocations.count_total);
}

fn report(what: &str, shape: &Shape, floor: Duration, ours: Duration, allocations: u64) {
    let each = |time: Duration| time.as_nanos() as f64 / shape.record_count as f64;
    println!(
        "{:<34}{:>10.1}{:>10.1}{:>8.2}{:>14}",
        format!("{what}, {}", shape.name),
        each(floor),
        each(ours),
        ours.as_secs_f64() / floor.as_secs_f64(),
        allocations
    );
}

/// The median time of each over many turns.
fn take_turns(mut floor: impl FnMut() -> i64, mut ours: impl FnMut() -> i64) -> (Duration, Duration) {
    const TURNS: usize = 401;
    let mut times = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        times.0.push(time(&mut floor));
        times.1.push(time(&mut ours));
    }
    (median(times.0), median(times.1))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn time(work: &mut impl FnMut() -> i64) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
