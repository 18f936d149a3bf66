//! Timers of a step of one's own: a million are set, and then all of them fire.

use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, BatchBuilder, RawHeaders, Seal, with_base_offset};
use kafka_wire::rng::Rng;
use kafka_wire::time::Moment;
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId, TimestampMs};
use processor::operator::{Process, Scope};
use processor::output::{OutRecord, Output};
use processor::task::{Task, TaskId};
use processor::topology::SubTopologyId;
use processor::{Clock, Owned, Rec, Topology, U64, Watermark};

use crate::state::{Figures, memory, time};

/// Sets a timer at the time that the value of a record says, and lets it fire without an output.
#[derive(Clone)]
struct Alarm;

impl Process<Owned<u64>, Owned<u64>> for Alarm {
    type Out = u64;

    fn record(&mut self, record: &Rec<'_, Owned<u64>, Owned<u64>>, scope: &mut Scope<'_, Owned<u64>, u64>) {
        scope.set_timer(Clock::Event, TimestampMs(record.value as i64));
    }

    fn timer(&mut self, key: &u64, _: Clock, at: TimestampMs, scope: &mut Scope<'_, Owned<u64>, u64>) {
        // A key in a thousand, so that the work is seen.
        if key.is_multiple_of(1_000) {
            scope.emit(at.0 as u64);
        }
    }
}

/// Counts the output.
#[derive(Default)]
struct Sink(u64);

impl Output for Sink {
    fn emit(&mut self, record: OutRecord<'_>) {
        self.0 += record.key.map_or(0, <[u8]>::len) as u64;
    }
}

pub(crate) fn measure() -> Figures {
    let mut job = Topology::builder("timers");
    job.keyed_stream("in", U64, U64)
        .watermark(Watermark::default().never_idle())
        .process("alarms", |_| Alarm)
        .to("out", U64, U64);
    let topology = job.build().expect("a sound job");
    let id = TaskId { sub_topology: SubTopologyId(0), partition: PartitionId(0) };
    let (mut task, mut rng, mut sink) = (Task::new(&topology, id, &[1]), Rng::from_seed(1), Sink::default());
    let before = memory();
    let mut setting = 0;
    for first in (0..TIMERS).step_by(BATCH) {
        let batch: Vec<_> = (first..first + BATCH as u64).map(|key| (1, key, 2 + rng.below(3_600_000))).collect();
        setting += process(&mut task, &batch, first, &mut sink);
        if first % COMMIT == 0 {
            commit(&mut task, &mut sink);
        }
    }
    commit(&mut task, &mut sink);
    let bytes = (memory() - before) / TIMERS as f64;
    let (mut firing, mut committing) = (0, 0);
    // Event time advances by a fiftieth of the hour, and so does the work of a transaction.
    for round in 1..=50_u64 {
        let last = (2 + round as i64 * 72_000, TIMERS, u64::MAX >> 1);
        firing += process(&mut task, &[last], TIMERS + round, &mut sink);
        committing += time(|| commit(&mut task, &mut sink));
    }
    let left = task.status().store_entries;
    assert_eq!(left, 1, "every timer but the last one has fired");
    std::hint::black_box(sink.0);
    vec![
        ("ns a timer to set", setting as f64 / TIMERS as f64),
        ("bytes a timer", bytes),
        ("ns a timer to fire", firing as f64 / TIMERS as f64),
        ("ns a timer in the commit after that", committing as f64 / TIMERS as f64),
    ]
}

/// Processes records of timestamp, key and value. Returns the time of the task, in nanoseconds.
fn process(task: &mut Task, records: &[(i64, u64, u64)], offset: u64, sink: &mut Sink) -> u64 {
    let offset = Offset(offset as i64);
    let mut builder = BatchBuilder::new(64);
    for (timestamp, key, value) in records {
        let (key, value) = (key.to_be_bytes(), value.to_be_bytes());
        builder.append(*timestamp, Some(&key), Some(&value), RawHeaders::EMPTY).expect("it fits");
    }
    let sealed = with_base_offset(&builder.seal(Seal::default()).expect("not compressed"), offset.0, LeaderEpoch(0));
    let batch = Batch::from_bytes(sealed).expect("just sealed");
    let mut buffer = Decompressed::default();
    let records = batch.open(&mut buffer).expect("not corrupt");
    time(|| task.process(0, records, offset, Moment::ZERO, sink).expect("nothing fails"))
}

fn commit(task: &mut Task, sink: &mut Sink) {
    task.before_commit(sink).expect("nothing fails");
    task.committed();
}

const TIMERS: u64 = 1_000_000;
const BATCH: usize = 1_000;
const COMMIT: u64 = 100_000;
