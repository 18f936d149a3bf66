//! Speed and allocations of reading and writing one uncompressed batch.

use std::hint::black_box;

use bytes::Bytes;
use kafka_wire::compression::{Compression, Decompressed};
use kafka_wire::record::{Batch, Seal};

use crate::counted::counted;
use crate::harness::{Contender, Measure, OURS, Table, Target, Unit, contender};
use crate::shapes::{Shape, touch};
use crate::{floor, peers};

const COLUMNS: &[&str] = &[OURS, "floor", peers::krafka::NAME, peers::kafka_protocol::NAME, peers::rskafka::NAME];

/// Nanoseconds per record.
pub(crate) fn times(filter: &str, rounds: usize) {
    let mut table = Table::new("records, ns each", COLUMNS, filter, rounds);
    for (index, shape) in Shape::plain().iter().enumerate() {
        // The most common shape has the strictest target.
        let limit = if index == 0 { 1.10 } else { 1.15 };
        let fixture = Fixture::new(shape);
        for (work, contenders) in [("decode + CRC", fixture.readers()), ("encode + CRC", fixture.writers())] {
            table.measure(Measure {
                name: format!("{work}, {}", shape.name),
                unit: Unit::NsEach(shape.record_count),
                target: Target::TimeAtMost(limit, "floor"),
                contenders,
            });
        }
    }
}

/// Allocations per batch, and allocated bytes per record.
pub(crate) fn allocations(filter: &str) {
    const PER_BATCH_MAX: u64 = 2;
    let mut table = Table::new("allocations of a batch / bytes a record", COLUMNS, filter, 0);
    for shape in &Shape::plain() {
        let fixture = Fixture::new(shape);
        for (work, mut contenders) in [("read", fixture.readers()), ("write", fixture.writers())] {
            let name = format!("allocations, {work}, {}", shape.name);
            if !table.wants(&name) {
                continue;
            }
            let mut ours = 0;
            let cells: Vec<String> = contenders
                .iter_mut()
                .map(|contender| {
                    contender.run(); // This run allocates the buffers that are kept from batch to batch.
                    let allocations = counted(|| contender.run());
                    if contender.name == OURS {
                        ours = allocations.count;
                    }
                    format!("{} / {:.0}", allocations.count, allocations.bytes as f64 / shape.record_count as f64)
                })
                .collect();
            let met = if ours <= PER_BATCH_MAX { "met" } else { "MISSED" };
            table.row(&name, &cells, &format!("        at most {PER_BATCH_MAX} of ours a batch: {met}"));
        }
    }
}

/// The shape as bytes, and as the structs of each crate.
struct Fixture<'a> {
    shape: &'a Shape,
    bytes: Bytes,
}

impl<'a> Fixture<'a> {
    fn new(shape: &'a Shape) -> Self {
        Self { shape, bytes: shape.build(0).seal(Seal::default()).expect("no codec") }
    }

    /// The contenders that read, in the order of the columns; each is checked to read the same.
    fn readers(&self) -> Vec<Contender<'a>> {
        let batch = Batch::from_bytes(self.bytes.clone()).expect("a good batch");
        let mut buffer = Decompressed::default();
        let [floor, krafka, kafka_protocol, rskafka] = [(); 4].map(|()| self.bytes.clone());
        let mut readers = vec![
            contender(OURS, move || read_ours(black_box(&batch), &mut buffer)),
            contender("floor", move || floor::read(black_box(&floor))),
            contender(peers::krafka::NAME, move || peers::krafka::read(black_box(&krafka))),
            contender(peers::kafka_protocol::NAME, move || peers::kafka_protocol::read(black_box(&kafka_protocol))),
            contender(peers::rskafka::NAME, move || peers::rskafka::read(black_box(&rskafka))),
        ];
        let expected = readers[0].run();
        for reader in &mut readers {
            assert_eq!(reader.run(), expected, "{} reads the same", reader.name);
        }
        readers
    }

    /// The contenders that write, in the order of the columns; each is checked to write bytes that read the same.
    fn writers(&self) -> Vec<Contender<'a>> {
        let shape = self.shape;
        let capacity_bytes = self.bytes.len() + 64;
        let krafka = peers::krafka::records(shape, Compression::None).expect("no codec");
        let kafka_protocol = peers::kafka_protocol::records(shape);
        let rskafka = peers::rskafka::records(shape);
        assert_eq!(floor::write(shape, capacity_bytes), self.bytes, "the floor writes the same bytes");
        let expected = floor::read(&self.bytes);
        for (name, bytes) in [
            (peers::krafka::NAME, peers::krafka::write(&krafka)),
            (peers::kafka_protocol::NAME, peers::kafka_protocol::write(&kafka_protocol, Compression::None, 0)),
            (peers::rskafka::NAME, peers::rskafka::write(&rskafka, 0)),
        ] {
            assert_eq!(floor::read(&bytes), expected, "{name} writes the same records");
        }
        let len = |bytes: Bytes| bytes.len() as u64;
        vec![
            contender(OURS, move || {
                len(black_box(shape).build(capacity_bytes).seal(Seal::default()).expect("no codec"))
            }),
            contender("floor", move || len(floor::write(black_box(shape), capacity_bytes))),
            contender(peers::krafka::NAME, move || len(peers::krafka::write(black_box(&krafka)))),
            contender(peers::kafka_protocol::NAME, move || {
                len(peers::kafka_protocol::write(black_box(&kafka_protocol), Compression::None, capacity_bytes))
            }),
            contender(peers::rskafka::NAME, move || len(peers::rskafka::write(black_box(&rskafka), capacity_bytes))),
        ]
    }
}

/// Opens a batch and looks at each record.
pub(crate) fn read_ours(batch: &Batch, buffer: &mut Decompressed) -> u64 {
    let mut sum = 0_u64;
    for record in batch.open(buffer).expect("a good batch") {
        let record = record.expect("a good record");
        let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
        let touched = touch(record.offset, record.timestamp, key, value, record.headers.count());
        sum = sum.wrapping_add(black_box(touched));
    }
    sum
}
