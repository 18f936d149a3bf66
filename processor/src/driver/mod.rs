//! The test driver: a topology without a broker, under a virtual clock, that can crash at any step of a commit.
//!
//! It runs the same [`Worker`](crate::worker::Worker) machine as the runtime, with its take-overs, restores and
//! commits, on a cluster in memory: logs, a group coordinator and a transaction coordinator. A test sees what
//! a `read_committed` reader would see. Nothing in it depends on time or chance, except what [`TestDriver::step`] draws
//! from the test's seed.
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

mod batches;
mod clock;
mod cluster;
mod group;
mod inputs;
mod limits;
mod logs;
mod member;
mod plan;
mod reading;
mod schedule;
mod sending;
mod settings;
mod starter;
mod starts;
mod transactions;
mod typed;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_wire::record::RawHeaders;
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use self::cluster::Cluster;
use self::logs::Pending;
use self::member::Member;
use self::plan::{Died, Plan};
use self::starter::Starter;
use crate::commit::CommitPolicy;
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId, StoreId};
use crate::task::{TaskId, TaskStatus};
use crate::topology::{ResetPolicy, Topology};
use crate::types::Window;
use crate::worker::{End, Ends, Fatal, MissingTopic, TaskReport};

pub use clock::TestClock;
pub use logs::TestRecord;
pub use plan::CommitPoint;
pub use schedule::Faults;
pub use typed::TestTopic;

/// An entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreEntry {
    /// The task whose store it is in.
    pub partition: PartitionId,
    /// The window.
    pub window: Window,
    /// The key.
    pub key: Vec<u8>,
    /// The value, encoded by the store's serde.
    pub value: Vec<u8>,
}

/// A topology without a broker. All tasks are in one worker, with one transactional producer, until
/// [`TestDriver::add_worker`] adds others.
///
/// After an error that needs a person the job has stopped, see [`TestDriver::failure`] and [`TestDriver::fatal`].
/// Naming a topic or a store that the topology does not have panics, because it is a mistake of the test.
pub struct TestDriver {
    topology: Arc<Topology>,
    cluster: Cluster,
    slots: Vec<Slot>,
    policy: CommitPolicy,
    missing_topic: MissingTopic,
    mark_interval_min: Duration,
    task_idle_max: Option<Duration>,
    clock: TestClock,
    now: Moment,
    plan: Option<Plan>,
    crash_count: u64,
    /// The ends of the inputs; `None` if none has any.
    ends: Option<Arc<Ends>>,
    /// The ends that inputs name themselves, and whether they have been looked up.
    own_ends: Option<Arc<Ends>>,
    has_ends: bool,
    discovery_interval: Duration,
    purge_interval: Duration,
    /// `auto.offset.reset`.
    offset_reset: ResetPolicy,
    fatal: Option<Fatal>,
    /// Records of each changelog that a worker reads between two steps of time; `None` for all of them.
    restore_pace: Option<usize>,
}

/// A place for a worker, which may die and start again.
struct Slot {
    /// The choice of the places at which inputs start, which comes before the worker.
    starter: Option<Starter>,
    member: Option<Member>,
    /// Number of times that it has been started.
    incarnation: u32,
    is_paused: bool,
}

impl TestDriver {
    /// Starts the job; each source topic has one partition.
    #[must_use]
    pub fn new(topology: Topology) -> Self {
        Self::with_partitions(topology, &[])
    }

    /// Starts the job; source and output topics have the given numbers of partitions, the others one.
    ///
    /// # Panics
    /// If topics that reach one step with state have different numbers of partitions.
    #[must_use]
    pub fn with_partitions(topology: Topology, partitions: &[(&str, i32)]) -> Self {
        let mut driver = Self::unstarted(topology, partitions);
        driver.add_worker();
        driver.pump();
        driver
    }

    /// As [`TestDriver::with_partitions`], without a worker: the job starts with the first one that is added, and
    /// finds the records that were written before.
    ///
    /// # Panics
    /// As [`TestDriver::with_partitions`].
    #[must_use]
    pub fn unstarted(topology: Topology, partitions: &[(&str, i32)]) -> Self {
        let found = topology.with_topics(partitions.iter().map(|(topic, _)| *topic));
        let topology = found.expect("topics that one input reads").unwrap_or(topology);
        let cluster = Cluster::new(&topology, partitions);
        Self {
            topology: Arc::new(topology),
            cluster,
            slots: Vec::new(),
            policy: CommitPolicy::default(),
            missing_topic: MissingTopic::Warn,
            mark_interval_min: Duration::ZERO,
            task_idle_max: Some(Duration::ZERO),
            clock: TestClock::default(),
            now: Moment::ZERO,
            plan: None,
            crash_count: 0,
            ends: None,
            own_ends: None,
            has_ends: false,
            discovery_interval: Duration::from_secs(30),
            purge_interval: Duration::from_secs(30),
            offset_reset: ResetPolicy::Earliest,
            fatal: None,
            restore_pace: None,
        }
    }

    /// Writes a record to a topic, into the partition of its key (0 if that is null), and lets the job process it.
    pub fn pipe(&mut self, topic: &str, key: Option<&str>, value: &str, timestamp: i64) {
        self.pipe_to(topic, Route::ByKey, key.map(str::as_bytes), Some(value.as_bytes()), timestamp);
    }

    /// As [`TestDriver::pipe`], into the given partition.
    pub fn pipe_partition(&mut self, topic: &str, partition: i32, key: Option<&str>, value: &str, timestamp: i64) {
        let route = Route::Partition(PartitionId(partition));
        self.pipe_to(topic, route, key.map(str::as_bytes), Some(value.as_bytes()), timestamp);
    }

    /// Writes a record as [`TestDriver::pipe_partition`] does, but does not let the job process it yet.
    pub fn write_partition(&mut self, topic: &str, partition: i32, key: Option<&str>, value: &str, timestamp: i64) {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        let (route, headers) = (Route::Partition(PartitionId(partition)), RawHeaders::EMPTY);
        let timestamp = TimestampMs(timestamp);
        self.append(topic, &OutRecord { sink: SinkId(0), route, timestamp, key, value, headers });
    }

    /// As [`TestDriver::pipe`], with arbitrary bytes.
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
        self.append(topic, record);
        self.run();
    }

    /// Lets the tasks process all visible input, within the open transaction.
    pub fn run(&mut self) {
        self.pump();
        for index in 0..self.slots.len() {
            let Some(member) = self.active(index) else { continue };
            member.worker.handle_at_hand(true);
            // An input that waits for another one with a full queue goes on later.
            while self.feed(index, usize::MAX) {}
        }
        self.pump();
        for slot in &mut self.slots {
            if let Some(member) = slot.active() {
                member.send_half(&mut self.cluster, self.now);
            }
        }
    }

    /// Lets time pass: partitions become idle, sessions end, and commits that become due on the way are made.
    pub fn advance_wall(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.run();
            self.pump_drained();
            let members = self.slots.iter_mut().filter_map(Slot::active);
            let due = members.filter_map(|member| member.worker.next_timeout()).chain(self.clock.next()).min();
            let due = due.unwrap_or(end).max(self.now + SHORTEST_STEP).min(self.now + LONGEST_STEP);
            if due > end || self.fatal.is_some() {
                break;
            }
            self.pass(due);
        }
        self.pass(end);
    }

    /// Commits the open transactions, or crashes in one as planned; does nothing if there is none.
    ///
    /// Records that this makes visible in repartition topics are then processed, within the next transaction.
    pub fn commit(&mut self) {
        for index in 0..self.slots.len() {
            let now = self.now;
            if self.active(index).is_some_and(|member| member.request_commit(now)) {
                self.pump();
            }
        }
        self.run();
    }

    /// Processes and commits until nothing is left to do.
    pub fn settle(&mut self) {
        self.run();
        while self.fatal.is_none()
            && self.slots.iter_mut().filter_map(Slot::active).any(|member| member.worker.is_ready_to_commit())
        {
            self.commit();
        }
    }

    /// Whether every task has reached the end of its input, and has committed the results.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let mut members = self.slots.iter().filter_map(|slot| slot.member.as_ref()).peekable();
        self.ends.is_some() && members.peek().is_some() && members.all(|member| member.worker.is_finished())
    }

    /// The committed records of a topic, by partition, and within one in the order of the log.
    #[must_use]
    pub fn read(&self, topic: &str) -> Vec<TestRecord> {
        let logs = &self.cluster.logs;
        let partitions = (0..logs.partition_count(topic)).map(PartitionId);
        partitions.flat_map(|partition| logs.read_committed(topic, partition, Offset(0))).cloned().collect()
    }

    /// The entries of a store as they are in memory, uncommitted changes included, by partition and window.
    ///
    /// # Panics
    /// If there is no such store, or its values cannot be encoded.
    pub fn store(&mut self, name: &str) -> Vec<StoreEntry> {
        let store = self.topology.stores().iter().position(|store| store.name == name);
        let store = StoreId(store.unwrap_or_else(|| panic!("no store `{name}` in this topology")));
        let sub_topology = self.topology.stores()[store.0].sub_topology;
        let mut entries = Vec::new();
        for member in self.slots.iter_mut().filter_map(|slot| slot.member.as_mut()) {
            for task in member.worker.tasks_mut().filter(|task| task.id().sub_topology == sub_topology) {
                let partition = task.id().partition;
                let mut visit = |window, key: &[u8], value: &[u8]| {
                    entries.push(StoreEntry { partition, window, key: key.to_vec(), value: value.to_vec() });
                };
                task.entries(store, None, &mut visit).expect("what is in a store can be encoded");
            }
        }
        entries.sort_by_key(|entry| entry.partition);
        entries
    }

    /// The status of each task, by sub-topology and partition.
    pub fn status(&mut self) -> Vec<(TaskId, TaskStatus)> {
        let members = self.slots.iter_mut().filter_map(|slot| slot.member.as_mut());
        let mut statuses: BTreeMap<_, _> = BTreeMap::new();
        members.for_each(|member| statuses.extend(member.worker.status()));
        statuses.into_iter().collect()
    }

    /// The reports of each worker about its tasks.
    pub fn reports(&mut self) -> Vec<Vec<TaskReport>> {
        let report = |slot: &mut Slot| slot.member.as_mut().map(|member| member.worker.report()).unwrap_or_default();
        self.slots.iter_mut().map(report).collect()
    }

    /// Crashes the job at this point of its next commit, and starts it again.
    pub const fn crash_at(&mut self, point: CommitPoint) {
        self.plan = Some(Plan::Crash(point));
    }

    /// Loses the answer to the next EndTxn: the job has to find out whether it was carried out.
    pub const fn lose_answer(&mut self, landed: bool) {
        self.plan = Some(Plan::Unanswered { landed });
    }

    /// Crashes the job at once, in the middle of its transaction, and starts it again.
    pub fn crash(&mut self) {
        self.crash_count += 1;
        for index in 0..self.slots.len() {
            if self.slots[index].is_alive() {
                self.start_worker(index);
            }
        }
        self.run();
    }

    /// Number of crashes so far.
    #[must_use]
    pub const fn crash_count(&self) -> u64 {
        self.crash_count
    }

    /// The record error that stopped the job, if one did.
    #[must_use]
    pub const fn failure(&self) -> Option<&ProcessError> {
        match &self.fatal {
            Some(Fatal::Process(failure)) => Some(failure),
            _ => None,
        }
    }

    /// The error that stopped the job, if it has stopped.
    #[must_use]
    pub const fn fatal(&self) -> Option<&Fatal> {
        self.fatal.as_ref()
    }
}

/// Several workers.
impl TestDriver {
    /// Starts another worker; the group rebalances. Returns its number.
    pub fn add_worker(&mut self) -> usize {
        self.slots.push(Slot { starter: None, member: None, incarnation: 0, is_paused: false });
        self.start_worker(self.slots.len() - 1);
        self.slots.len() - 1
    }

    /// Kills a worker: the group notices when its session times out.
    pub fn kill_worker(&mut self, worker: usize) {
        self.slots[worker].member = None;
        self.slots[worker].starter = None;
    }

    /// Lets a worker commit, leave the group and end.
    pub fn stop_worker(&mut self, worker: usize) {
        if let Some(member) = self.active(worker) {
            member.worker.stop();
        }
        self.pump();
    }

    /// Pauses a worker: until it is resumed, it does nothing and learns nothing, not even that its session has ended.
    pub fn pause_worker(&mut self, worker: usize) {
        self.slots[worker].is_paused = true;
    }

    /// Resumes a paused worker.
    pub fn resume_worker(&mut self, worker: usize) {
        self.slots[worker].is_paused = false;
    }

    /// Number of transactions that the live workers have committed.
    #[must_use]
    pub fn commit_count(&self) -> u64 {
        self.slots.iter().filter_map(|slot| slot.member.as_ref()).map(|member| member.worker.commit_count()).sum()
    }

    /// Lets each worker take one fetch of up to this many records of each input.
    pub fn trickle(&mut self, records: usize) {
        self.pump();
        for index in 0..self.slots.len() {
            let Some(member) = self.active(index) else { continue };
            member.worker.handle_at_hand(true);
            self.feed(index, records);
        }
    }

    /// Lets time pass without records being taken; commits that become due begin.
    pub fn wait(&mut self, duration: Duration) {
        self.pass(self.now + duration);
        self.pump_drained();
    }

    /// Workers that are alive, paused or not.
    #[must_use]
    pub fn live_workers(&self) -> Vec<usize> {
        let is_alive = |(_, slot): &(usize, &Slot)| slot.is_alive();
        self.slots.iter().enumerate().filter(is_alive).map(|(worker, _)| worker).collect()
    }

    /// Starts a rebalance of the group.
    pub fn rebalance(&mut self) {
        self.cluster.group.rebalance(self.now);
    }

    /// Commits an offset in the job's group as another program would.
    pub fn commit_foreign_offset(&mut self, topic: &str, partition: i32, offset: i64) {
        let partition = kafka_wire::cluster::TopicPartition::new(topic, PartitionId(partition));
        self.cluster.offsets.insert(partition, kafka_wire::cluster::CommittedOffset::new(Offset(offset)));
    }
}

impl TestDriver {
    /// Writes a record without letting the job run.
    fn append(&mut self, topic: &str, record: &OutRecord<'_>) {
        if self.ends != self.own_ends {
            self.set_ends(self.own_ends.clone());
        }
        let pending = Pending::new(topic, self.cluster.logs.partition_count(topic), record, PartitionId(0));
        self.cluster.logs.append(pending, None);
    }

    /// Lets a worker take one fetch of up to this many records of each input. Returns whether there was any.
    fn feed(&mut self, index: usize, records: usize) -> bool {
        let Self { slots, cluster, now, .. } = self;
        let Some(member) = slots[index].active() else { return false };
        let inputs = member.inputs();
        inputs.iter().fold(false, |is_fed, input| member.feed(cluster, *now, input, records) | is_fed)
    }

    fn set_ends(&mut self, ends: Option<Arc<Ends>>) {
        self.ends = ends;
        for member in self.slots.iter_mut().filter_map(|slot| slot.member.as_mut()) {
            member.worker.set_ends(self.ends.clone());
        }
    }

    fn pass(&mut self, now: Moment) {
        let second = |moment: Moment| moment.as_millis() / 1_000;
        let pace = self.restore_pace.filter(|_| second(now) > second(self.now));
        self.now = now;
        self.clock.set(now);
        if let Some(records) = pace {
            for member in self.slots.iter_mut().filter_map(Slot::active) {
                for changelog in member.changelogs() {
                    member.restore(&mut self.cluster, now, &changelog, records);
                }
            }
        }
        for (worker, slot) in self.slots.iter_mut().enumerate() {
            if !slot.is_paused && slot.member.is_some() {
                self.cluster.group.heartbeat(worker, slot.incarnation, now);
            }
        }
        self.cluster.handle_time(now);
    }

    /// As [`TestDriver::pump`], with no input at hand: commits that are due begin.
    fn pump_drained(&mut self) {
        for member in self.slots.iter_mut().filter_map(Slot::active) {
            member.worker.handle_at_hand(false);
        }
        self.pump();
    }

    /// Carries out everything that is in progress, but takes no records of inputs.
    fn pump(&mut self) {
        let mut goes_on = true;
        while std::mem::take(&mut goes_on) && self.fatal.is_none() {
            self.cluster.handle_time(self.now);
            for index in 0..self.slots.len() {
                goes_on |= self.pump_worker(index);
            }
        }
    }

    /// Carries out what a worker has in progress. Returns whether anything happened.
    fn pump_worker(&mut self, index: usize) -> bool {
        if self.choose(index) {
            return true;
        }
        let (now, cluster) = (self.now, &mut self.cluster);
        let Some(member) = self.slots[index].active() else { return false };
        let before = member.place();
        member.hear(cluster, now);
        let mut goes_on = before != member.place();
        for changelog in member.changelogs().into_iter().filter(|_| self.restore_pace.is_none()) {
            goes_on |= member.restore(cluster, now, &changelog, usize::MAX);
        }
        let mut next = 0;
        while next < member.operation_count() {
            match member.operate(next, (cluster, now), &mut self.plan, false) {
                Ok(true) => goes_on = true,
                Ok(false) => next += 1,
                Err(Died) => {
                    self.crash_count += 1;
                    self.start_worker(index);
                    return true;
                }
            }
        }
        self.bury(index) || goes_on
    }

    /// Checks whether a worker has ended, and replaces it if necessary.
    fn bury(&mut self, index: usize) -> bool {
        let slot = &mut self.slots[index];
        let Some(end) = slot.member.as_mut().and_then(|member| member.end.take()) else { return false };
        match end {
            End::Stopped => slot.member = None,
            End::Restart(_) => self.start_worker(index),
            End::Fatal(fatal) => {
                self.fatal = Some(fatal);
                slot.member = None;
            }
        }
        true
    }

    fn active(&mut self, index: usize) -> Option<&mut Member> {
        self.slots[index].active()
    }
}

impl Slot {
    const fn is_alive(&self) -> bool {
        self.member.is_some() || self.starter.is_some()
    }

    /// The worker, if it is alive and not paused.
    fn active(&mut self) -> Option<&mut Member> {
        self.member.as_mut().filter(|_| !self.is_paused)
    }
}

/// Time passes in steps of this size.
const SHORTEST_STEP: Duration = Duration::from_millis(1);
const LONGEST_STEP: Duration = Duration::from_millis(500);
