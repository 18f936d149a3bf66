//! The test driver: a topology without a broker, under a virtual clock, that can crash at any step of a commit.
//!
//! It runs what the runtime runs (every task of every partition, the exactly-once machine, restores from changelogs) on
//! topics in memory, so that a test sees what a `read_committed` reader would see. Nothing in it depends on time or chance.
//!
//! ```
//! use std::time::Duration;
//! use processor::driver::TestDriver;
//! use processor::operator::Emit;
//! use processor::serde::{U64, Utf8};
//! use processor::topology::Topology;
//! use processor::types::Partitions;
//! use processor::window::Tumbling;
//!
//! let mut job = Topology::builder("hits");
//! job.stream("clicks", Utf8)
//!     .key_by("by-page", Partitions(2), (Utf8, ()), |click| (click.value, ()))
//!     .window(Tumbling::of(Duration::from_secs(1)))
//!     .count("hits", Emit::OnClose)
//!     .map(|hits| *hits.value)
//!     .to("hits-per-second", Utf8, U64);
//!
//! let mut driver = TestDriver::new(job.build().unwrap());
//! driver.pipe("clicks", None, "/start", 100);
//! driver.pipe("clicks", None, "/start", 200);
//! driver.end_of_input();
//! let hits = driver.read("hits-per-second");
//! assert_eq!(hits[0].key_str(), "/start");
//! assert_eq!(hits[0].value.as_deref(), Some(&2_u64.to_be_bytes()[..]));
//! ```

mod logs;
mod worker;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::record::RawHeaders;
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use self::logs::{Logs, Pending};
use self::worker::Worker;
use crate::commit::CommitPolicy;
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId};
use crate::task::{TaskId, TaskStatus};
use crate::topology::{SinkKind, SourceSpec, Topology};
use crate::types::Window;

pub use logs::TestRecord;

/// Where in a commit the job dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitPoint {
    /// Part of the output has been sent, none of it acknowledged.
    BeforeFlush,
    /// All output is in the logs.
    AfterFlush,
    /// The offsets are in the transaction too.
    AfterOffsets,
    /// The transaction is committed, but the job has not heard of it.
    AfterEndTxnSent,
    /// The job has heard of it.
    AfterCommit,
}

impl CommitPoint {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::BeforeFlush, Self::AfterFlush, Self::AfterOffsets, Self::AfterEndTxnSent, Self::AfterCommit];
}

/// What is planned for the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Crash(CommitPoint),
    /// The answer to EndTxn is lost; the tasks live.
    Unanswered {
        landed: bool,
    },
}

/// An entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEntry {
    /// The task that has it.
    pub partition: PartitionId,
    /// The window.
    pub window: Window,
    /// The key.
    pub key: Vec<u8>,
    /// The value, by the store's serde.
    pub value: Vec<u8>,
}

/// A topology without a broker. All tasks are in one worker, with one transactional producer.
///
/// After a [`ProcessError`] the job has stopped, see [`TestDriver::failure`]. Naming a topic or a store that the topology does
/// not have panics: it is a mistake of the test.
pub struct TestDriver {
    topology: Topology,
    logs: Logs,
    /// Offsets of the group, with their metadata.
    committed: BTreeMap<(String, PartitionId), (Offset, String)>,
    worker: Worker,
    now: Moment,
    plan: Option<Plan>,
    crash_count: u64,
    /// In a bounded run, the end of each partition of each source topic.
    ends: Option<BTreeMap<String, Vec<Offset>>>,
}

impl TestDriver {
    /// Starts the job; each source topic has one partition.
    #[must_use]
    pub fn new(topology: Topology) -> Self {
        Self::with_partitions(topology, &[])
    }

    /// Starts the job; source and output topics have as many partitions as given here, the others one.
    #[must_use]
    pub fn with_partitions(topology: Topology, partitions: &[(&str, i32)]) -> Self {
        let mut logs = Logs::default();
        for (topic, partition_count) in partitions {
            logs.create(topic, *partition_count);
        }
        for source in topology.external_sources() {
            logs.create(&source.topic, 1);
        }
        for sink in topology.sinks() {
            match sink.kind {
                SinkKind::External => logs.create(&sink.topic, 1),
                SinkKind::Repartition { partitions } | SinkKind::Changelog { partitions: Some(partitions) } => {
                    logs.create(&sink.topic, partitions.0);
                }
                SinkKind::Changelog { partitions: None } => {}
            }
        }
        for store in topology.stores() {
            let sources = topology.sub_topologies()[store.sub_topology.0].sources();
            let task_count = sources.iter().map(|source| logs.partition_count(&source.topic)).max();
            logs.create(&topology.sinks()[store.changelog.0].topic, task_count.unwrap_or(0));
        }
        let committed = BTreeMap::new();
        let worker = Worker::start(&topology, &logs, &committed, None);
        let (now, plan, crash_count, ends) = (Moment::ZERO, None, 0, None);
        Self { topology, logs, committed, worker, now, plan, crash_count, ends }
    }

    /// Writes a record to a topic, into the partition of its key (0 when that is null), and lets the job process it.
    pub fn pipe(&mut self, topic: &str, key: Option<&str>, value: &str, timestamp: i64) {
        self.pipe_to(topic, Route::ByKey, key.map(str::as_bytes), Some(value.as_bytes()), timestamp);
    }

    /// As [`TestDriver::pipe`], into the given partition.
    pub fn pipe_partition(&mut self, topic: &str, partition: i32, key: Option<&str>, value: &str, timestamp: i64) {
        let route = Route::Partition(PartitionId(partition));
        self.pipe_to(topic, route, key.map(str::as_bytes), Some(value.as_bytes()), timestamp);
    }

    /// As [`TestDriver::pipe`], any bytes.
    pub fn pipe_to(&mut self, topic: &str, route: Route, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) {
        self.pipe_record(
            topic,
            &OutRecord {
                sink: SinkId(0),
                route,
                timestamp: TimestampMs(timestamp),
                key,
                value,
                headers: RawHeaders::EMPTY,
            },
        );
    }

    /// As [`TestDriver::pipe`], with headers; `record.sink` has no meaning here.
    pub fn pipe_record(&mut self, topic: &str, record: &OutRecord<'_>) {
        let pending = Pending::new(topic, self.logs.partition_count(topic), record);
        self.logs.append(pending, None);
        self.run();
    }

    /// Lets the tasks process all that they can see, within the open transaction.
    pub fn run(&mut self) {
        self.worker.run(&mut self.logs, self.now, self.ends.as_ref());
        if self.failure().is_some() {
            self.drive();
        }
    }

    /// Lets time pass: idle partitions, and commits that become due on the way.
    pub fn advance_wall(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.run();
            let due = self.worker.next_timeout().filter(|due| *due <= end && self.failure().is_none());
            let Some(due) = due else { break };
            self.now = self.now.max(due);
            self.run();
            self.drive();
        }
        self.now = end;
    }

    /// Commits the open transaction, or crashes in it as planned; does nothing when there is none.
    ///
    /// What it made visible in repartition topics is then processed, within the next transaction.
    pub fn commit(&mut self) {
        if self.worker.request_commit(&mut self.logs, self.now) {
            self.drive();
        }
        self.run();
    }

    /// Processes and commits until nothing is left to do.
    pub fn settle(&mut self) {
        self.run();
        while self.failure().is_none() && self.worker.has_uncommitted() {
            self.commit();
        }
    }

    /// Ends the input where it is now, and settles: every window is closed. Input that is piped later starts another run.
    pub fn end_of_input(&mut self) {
        let mut ends = BTreeMap::new();
        for SourceSpec { topic, .. } in self.topology.external_sources() {
            let partitions = (0..self.logs.partition_count(topic)).map(PartitionId);
            let end = |partition| self.logs.last_stable_offset(topic, partition);
            ends.insert(topic.clone(), partitions.map(end).collect());
        }
        self.worker.expect_ends(&self.topology, &ends);
        self.ends = Some(ends);
        self.settle();
    }

    /// Whether every task has reached the end of its input, and committed what follows from it.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ends.is_some() && self.worker.is_finished()
    }

    /// The committed records of a topic: by partition, within one in the order of the log.
    #[must_use]
    pub fn read(&self, topic: &str) -> Vec<TestRecord> {
        let partitions = (0..self.logs.partition_count(topic)).map(PartitionId);
        partitions.flat_map(|partition| self.logs.read_committed(topic, partition, Offset(0))).cloned().collect()
    }

    /// The entries of a store as they are in memory, uncommitted changes included: by partition and window.
    ///
    /// # Panics
    /// When there is no such store, or its values cannot be encoded.
    pub fn store(&mut self, name: &str) -> Vec<StoreEntry> {
        let store = self.topology.stores().iter().position(|store| store.name == name);
        let store = store.unwrap_or_else(|| panic!("no store `{name}` in this topology"));
        self.worker.entries(crate::output::StoreId(store), self.topology.stores()[store].sub_topology)
    }

    /// How each task is doing.
    pub fn status(&mut self) -> Vec<(TaskId, TaskStatus)> {
        self.worker.status()
    }

    /// Crashes the job at this point of its next commit, and starts it anew.
    pub const fn crash_at(&mut self, point: CommitPoint) {
        self.plan = Some(Plan::Crash(point));
    }

    /// Loses the answer to the next EndTxn: the job has to find out whether it landed.
    pub const fn lose_answer(&mut self, landed: bool) {
        self.plan = Some(Plan::Unanswered { landed });
    }

    /// Crashes the job right now, in the middle of its transaction, and starts it anew.
    pub fn crash(&mut self) {
        self.crash_count += 1;
        self.worker.abandon(&mut self.logs);
        self.worker = Worker::start(&self.topology, &self.logs, &self.committed, Some(&self.worker));
        if let Some(ends) = &self.ends {
            self.worker.expect_ends(&self.topology, ends);
        }
        self.run();
    }

    /// How often it has crashed.
    #[must_use]
    pub const fn crash_count(&self) -> u64 {
        self.crash_count
    }

    /// What stopped the job, if it has stopped.
    #[must_use]
    pub const fn failure(&self) -> Option<&ProcessError> {
        self.worker.failure()
    }

    /// Commits by another policy than the default.
    pub const fn set_commit_policy(&mut self, policy: CommitPolicy) {
        self.worker.set_policy(policy);
    }

    /// Does the steps that are due.
    fn drive(&mut self) {
        while let Some(step) = self.worker.poll(self.now) {
            if self.worker.perform(step, &mut self.logs, &mut self.committed, &mut self.plan).is_err() {
                self.crash();
                return;
            }
        }
    }
}
