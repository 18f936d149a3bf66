//! Rows that produce: through `send` and through `append`, with and without waiting for acknowledgements.

use std::collections::VecDeque;
use std::time::Instant;

use kafka_wire::client::{Client, ExclusiveProducer, Producer};
use kafka_wire::producer::{AppendError, NewRecord, ProducerConfig, ProducerRecord, RunsOn};
use kafka_wire::types::{PartitionId, TimestampMs};

use crate::counted::{Allocations, start_counting, stop_counting};
use crate::{Fallible, cpu};

/// One way of producing.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    way: Way,
    records: u64,
    value_bytes: usize,
    pub(crate) partitions: i32,
    /// Threads of the runtime that produces.
    pub(crate) threads: usize,
}

#[derive(Clone, Copy)]
enum Way {
    /// `Producer::send`, with the deliveries dropped.
    Send,
    /// `Producer::try_send` from code that is not async; `send` if that is refused.
    TrySend,
    /// `Producer::send`, each delivery awaited once this many others are in flight.
    Awaited { outstanding: usize },
    /// `ExclusiveProducer::append`, to the partitions in turn.
    Append,
    /// The same, with sending on the caller's runtime.
    AppendHere,
}

pub(crate) const ROWS: &[Row] = &[
    row("send, 100 B", Way::Send, 4_000_000, 100),
    row("try_send, 100 B", Way::TrySend, 4_000_000, 100),
    row("append, 100 B", Way::Append, 4_000_000, 100),
    Row { threads: 1, ..row("append on one thread, 100 B", Way::AppendHere, 4_000_000, 100) },
    row("send awaited, 1000 outstanding, 100 B", Way::Awaited { outstanding: 1_000 }, 2_000_000, 100),
    row("send, 1 KB", Way::Send, 800_000, 1_000),
    row("append, 1 KB", Way::Append, 800_000, 1_000),
    row("send, 10 KB", Way::Send, 120_000, 10_000),
    row("append, 10 KB", Way::Append, 120_000, 10_000),
    Row { partitions: 1_000, ..row("append, 1000 partitions, 100 B", Way::Append, 2_000_000, 100) },
];

/// Makes a row with 6 partitions and a runtime of two threads.
const fn row(name: &'static str, way: Way, records: u64, value_bytes: usize) -> Row {
    Row { name, way, records, value_bytes, partitions: 6, threads: 2 }
}

/// Costs of one record.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) cpu_ns: f64,
    pub(crate) per_second: f64,
    pub(crate) allocations: f64,
    pub(crate) allocated_kb: f64,
}

/// Produces the records of a row. A tenth of them go before, uncounted, until connections, buffers and
/// batch sizes have settled.
pub(crate) async fn measure(row: &Row, client: &Client, topic: &str) -> Fallible<Measured> {
    let runs_on = if matches!(row.way, Way::AppendHere) { RunsOn::CallersRuntime } else { RunsOn::OwnThread };
    let config = ProducerConfig { runs_on, ..ProducerConfig::default() };
    let value = vec![b'x'; row.value_bytes];
    let counted = match row.way {
        Way::Send | Way::TrySend | Way::Awaited { .. } => {
            let producer = Producer::open(client, config).await?;
            send(row, &producer, topic, &value, row.records / 10).await?;
            let counter = Counter::start();
            send(row, &producer, topic, &value, row.records).await?;
            let counted = counter.stop();
            producer.close().await?;
            counted
        }
        Way::Append | Way::AppendHere => {
            let mut producer = ExclusiveProducer::open(client, config).await?;
            append(&mut producer, topic, &value, row.records / 10).await?;
            let counter = Counter::start();
            append(&mut producer, topic, &value, row.records).await?;
            let counted = counter.stop();
            producer.close().await?;
            counted
        }
    };
    let records = row.records as f64;
    Ok(Measured {
        cpu_ns: counted.cpu.as_nanos() as f64 / records,
        per_second: records / counted.wall.as_secs_f64(),
        allocations: counted.allocations.count as f64 / records,
        allocated_kb: counted.allocations.bytes as f64 / 1_000.0 / records,
    })
}

async fn send(row: &Row, producer: &Producer, topic: &str, value: &[u8], records: u64) -> Fallible<()> {
    match row.way {
        Way::Awaited { outstanding } => {
            let mut under_way = VecDeque::with_capacity(outstanding);
            for _ in 0..records {
                if under_way.len() == outstanding
                    && let Some(oldest) = under_way.pop_front()
                {
                    let oldest: kafka_wire::producer::Delivery = oldest;
                    oldest.await?;
                }
                under_way.push_back(producer.send(ProducerRecord::to(topic).value(value)).await?);
            }
        }
        Way::TrySend => {
            for _ in 0..records {
                if producer.try_send(ProducerRecord::to(topic).value(value)).is_err() {
                    producer.send(ProducerRecord::to(topic).value(value)).await?.forget();
                }
            }
        }
        _ => {
            for _ in 0..records {
                producer.send(ProducerRecord::to(topic).value(value)).await?.forget();
            }
        }
    }
    Ok(producer.flush().await?)
}

async fn append(producer: &mut ExclusiveProducer, topic: &str, value: &[u8], records: u64) -> Fallible<()> {
    let topic = producer.topic(topic).await?;
    let partitions = producer.partition_count(topic);
    let mut next = 0;
    for _ in 0..records {
        next = if next + 1 < partitions { next + 1 } else { 0 };
        let record = NewRecord { timestamp: TimestampMs(1_000), ..NewRecord::of(value) };
        while let Err(error) = producer.append(topic, PartitionId(next), record) {
            match error {
                AppendError::Full { .. } => producer.ready().await?,
                error => return Err(error.into()),
            }
        }
    }
    Ok(producer.flush().await?)
}

struct Counter {
    cpu: std::time::Duration,
    wall: Instant,
}

struct Counted {
    cpu: std::time::Duration,
    wall: std::time::Duration,
    allocations: Allocations,
}

impl Counter {
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
    fn start() -> Self {
        start_counting();
        Self { cpu: cpu::used(), wall: Instant::now() }
    }

    fn stop(self) -> Counted {
        let allocations = stop_counting();
        Counted { cpu: cpu::used() - self.cpu, wall: self.wall.elapsed(), allocations }
    }
}
