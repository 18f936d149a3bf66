//! A job without brokers: records go through its tasks, with their state, undo logs, shuffles and changelogs; results
//! are encoded and dropped.
//!
//! Everything is done that a worker does with records, but for the brokers: shuffled records and changelogs are written
//! into batches, with checksums, and the tasks behind a shuffle read the batches once they are committed. There is one
//! task for each sub-topology, and one thread.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;

use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, BatchBuilder, RawHeaders, Seal};
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};
use processor::operator::CallHub;
use processor::output::{OutRecord, Output, Route, SinkId};
use processor::task::{Task, TaskId, write_marks};
use processor::topology::{SinkKind, SubTopologyId, Topology};

/// A job without brokers.
pub(crate) struct Machine {
    tasks: Vec<Task>,
    /// Number of records in the whole run.
    records: u64,
    /// Wakes the job when a call to the outside can go on.
    hub: Arc<CallHub>,
    room: Room,
}

/// The place of all that the tasks write.
struct Room {
    /// By the number of the sink.
    sinks: Vec<Sink>,
    /// Committed batches for each task, each with the input that reads it.
    waiting: Vec<VecDeque<(usize, Batch)>>,
    results: u64,
    /// The results, if they are wanted.
    kept: Option<Vec<Kept>>,
}

/// Key and value of a result.
pub(crate) type Kept = (Vec<u8>, Vec<u8>);

/// The fate of the records of a topic.
enum Sink {
    Results,
    Changelog(BatchBuilder),
    Shuffle {
        open: BatchBuilder,
        /// Batches of the open transaction.
        sealed: Vec<Batch>,
        /// The task and the input that read the topic.
        reader: (usize, usize),
    },
}

impl Machine {
    /// Makes the tasks of a job that reads this number of records from [`INPUT`].
    pub(crate) fn new(topology: &Topology, records: u64) -> Self {
        let ends = BTreeMap::from([(INPUT.to_owned(), vec![Offset(records.cast_signed())])]);
        let hub = Arc::default();
        let tasks = topology.sub_topologies().iter().map(|sub_topology| {
            let id = TaskId { sub_topology: sub_topology.id(), partition: PartitionId(0) };
            let mut task = Task::new(topology, id, &vec![1; sub_topology.sources().len()]);
            task.set_call_hub(&hub);
            for (input, source) in sub_topology.sources().iter().enumerate() {
                if let Some(ends) = topology.expected_ends(source, &ends) {
                    task.expect_ends(input, ends);
                }
            }
            task
        });
        let reader = |topic: &str| {
            let SubTopologyId(task) = topology.reader_of(topic)?.id();
            let sources = topology.sub_topologies()[task].sources();
            Some((task, sources.iter().position(|source| source.topic == topic)?))
        };
        let sinks = topology.sinks().iter().map(|sink| match sink.kind {
            SinkKind::External => Sink::Results,
            SinkKind::Changelog { .. } => Sink::Changelog(BatchBuilder::new(BATCH_BYTES)),
            SinkKind::Repartition { .. } => Sink::Shuffle {
                open: BatchBuilder::new(BATCH_BYTES),
                sealed: Vec::new(),
                reader: reader(&sink.topic).expect("each shuffle is read"),
            },
        });
        let (tasks, sinks): (Vec<_>, Vec<_>) = (tasks.collect(), sinks.collect());
        let waiting = tasks.iter().map(|_| VecDeque::new()).collect();
        Self { tasks, records, hub, room: Room { sinks, waiting, results: 0, kept: None } }
    }

    /// Keeps the results from now on.
    pub(crate) fn keep(&mut self) {
        self.room.kept = Some(Vec::new());
    }

    /// Key and value of each result, if they are kept.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.room.kept.iter().flatten()
    }

    /// Number of results.
    pub(crate) const fn results(&self) -> u64 {
        self.room.results
    }

    /// One transaction: the tasks take these batches of the input, and what the last transaction has shuffled.
    pub(crate) fn turn(&mut self, now: Moment, input: Vec<Batch>) {
        self.take(now, input);
        let Self { tasks, room, .. } = self;
        for (index, task) in tasks.iter_mut().enumerate() {
            for (input, batch) in std::mem::take(&mut room.waiting[index]) {
                process(task, (input, &batch), now, room);
            }
            task.tick(now, room).expect("nothing fails");
        }
        self.commit();
    }

    /// A part of a transaction, before [`Machine::turn`]: the first task takes these batches of the input.
    pub(crate) fn take(&mut self, now: Moment, input: Vec<Batch>) {
        let Self { tasks, room, .. } = self;
        input.iter().for_each(|batch| process(&mut tasks[0], (0, batch), now, room));
    }

    /// One transaction of a job that makes calls to the outside and has no shuffle.
    pub(crate) async fn turn_with_calls(&mut self, clock: &impl Fn() -> Moment, input: Vec<Batch>) {
        let Self { tasks, room, hub, .. } = self;
        let task = &mut tasks[0];
        let ready = || poll_fn(|context| hub.poll_ready(context));
        // As in a worker: all calls share one budget of the runtime otherwise.
        let turn = tokio::task::unconstrained(async {
            for batch in input {
                process(task, (0, &batch), clock(), room);
                // The next records are taken when none waits any more.
                while task.calls().waiting > 0 {
                    ready().await;
                    task.resume_calls(clock(), room).expect("nothing fails");
                }
            }
            while task.calls().outstanding > 0 {
                ready().await;
                task.resume_calls(clock(), room).expect("nothing fails");
            }
        });
        turn.await;
        self.commit();
    }

    fn commit(&mut self) {
        let Self { tasks, room, .. } = self;
        for task in &mut *tasks {
            task.before_commit(room).expect("nothing fails");
        }
        for task in &mut *tasks {
            write_marks([&mut *task], room);
        }
        tasks.iter_mut().for_each(Task::committed);
        for sink in &mut room.sinks {
            match sink {
                Sink::Results => {}
                Sink::Changelog(open) => _ = seal(open),
                Sink::Shuffle { open, sealed, reader: (task, input) } => {
                    let committed = std::mem::take(sealed).into_iter().chain(seal(open));
                    room.waiting[*task].extend(committed.map(|batch| (*input, batch)));
                }
            }
        }
    }

    /// Ends the input, closes all windows, and lets the results through all shuffles.
    pub(crate) fn end(&mut self, now: Moment) {
        let end = Offset(self.records.cast_signed());
        self.tasks[0].end_of_input(0, end, &mut self.room).expect("nothing fails");
        self.commit();
        while self.tasks.iter().any(Task::has_uncommitted)
            || self.room.waiting.iter().any(|waiting| !waiting.is_empty())
        {
            self.turn(now, Vec::new());
        }
    }
}

/// Lets a task process a batch of an input.
fn process(task: &mut Task, (input, batch): (usize, &Batch), now: Moment, room: &mut Room) {
    let mut buffer = Decompressed::default();
    let records = batch.open(&mut buffer).expect("not corrupt");
    task.process(input, records, Offset(0), now, room).expect("nothing fails");
}

impl Output for Room {
    #[inline]
    fn emit(&mut self, record: OutRecord<'_>) {
        match &mut self.sinks[record.sink.0] {
            Sink::Results => {
                self.results += 1;
                if let Some(kept) = &mut self.kept {
                    let owned = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                    kept.push((owned(record.key), owned(record.value)));
                }
            }
            Sink::Changelog(open) => _ = append(open, &record),
            Sink::Shuffle { open, sealed, .. } => sealed.extend(append(open, &record)),
        }
    }
}

/// Writes a record into the open batch. Returns the batch when it is full.
#[inline]
fn append(open: &mut BatchBuilder, record: &OutRecord<'_>) -> Option<Batch> {
    open.append(record.timestamp.0, record.key, record.value, record.headers).expect("far below 2 GiB");
    if open.size_bytes() < BATCH_BYTES { None } else { seal(open) }
}

fn seal(open: &mut BatchBuilder) -> Option<Batch> {
    let full = std::mem::replace(open, BatchBuilder::new(BATCH_BYTES));
    let bytes = full.seal(Seal::default()).expect("not compressed");
    (!bytes.is_empty()).then(|| Batch::from_bytes(bytes).expect("just sealed"))
}

/// Records on their way into batches, as they would lie in a log.
pub(crate) struct Batches {
    open: BatchBuilder,
    full: Vec<Batch>,
}

impl Batches {
    pub(crate) fn new() -> Self {
        Self { open: BatchBuilder::new(BATCH_BYTES), full: Vec::new() }
    }

    pub(crate) fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: &[u8]) {
        let (timestamp, value, headers) = (TimestampMs(timestamp), Some(value), RawHeaders::EMPTY);
        let record = OutRecord { sink: SinkId(0), route: Route::ByKey, timestamp, key, value, headers };
        self.full.extend(append(&mut self.open, &record));
    }

    pub(crate) fn finish(mut self) -> Vec<Batch> {
        self.full.extend(seal(&mut self.open));
        self.full
    }
}

/// The topic that is read.
pub(crate) const INPUT: &str = "input";
/// Bytes of a batch.
const BATCH_BYTES: usize = 256 << 10;
