//! All tasks of a topology with one transactional producer: what the runtime does with sockets, done on logs in memory.

use std::collections::BTreeMap;

use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, BatchBuilder, Seal, with_base_offset};
use kafka_wire::time::Moment;
use kafka_wire::types::{LeaderEpoch, Offset, PartitionId};

use super::logs::{Logs, Pending};
use super::{CommitPoint, Plan, StoreEntry, TestRecord};
use crate::commit::{CommitMachine, CommitPolicy, OffsetMetadata, Outcome, Step};
use crate::error::ProcessError;
use crate::output::{OutRecord, Output, StoreId};
use crate::task::{Task, TaskId, TaskStatus};
use crate::topology::{SourceKind, SubTopologyId, Topology};

/// The job died in a step.
pub(super) struct Died;

/// Offsets of the group, with their metadata.
pub(super) type Committed = BTreeMap<(String, PartitionId), (Offset, String)>;

pub(super) struct Worker {
    tasks: Vec<Placed>,
    machine: CommitMachine,
    policy: CommitPolicy,
    transactional_id: String,
    sequence_next: u64,
    transaction: Option<usize>,
    outbox: Outbox,
    failure: Option<ProcessError>,
}

/// A task in its place.
struct Placed {
    task: Task,
    /// By the inputs of the task.
    inputs: Vec<Input>,
}

/// How far a task is in one of its inputs.
struct Input {
    place: (String, PartitionId),
    is_source: bool,
    /// Next offset to process.
    position: Offset,
    committed: Offset,
}

/// Output that has not been sent.
struct Outbox {
    sinks: Vec<(String, i32)>,
    records: Vec<Pending>,
}

impl Output for Outbox {
    fn emit(&mut self, record: OutRecord<'_>) {
        let (topic, partition_count) = &self.sinks[record.sink.0];
        self.records.push(Pending::new(topic, *partition_count, &record));
    }
}

/// Records of one batch: small, so that a transaction has several.
const BATCH_RECORDS_MAX: usize = 8;

/// Sequence numbers that an incarnation may use; the next one begins above them.
const SEQUENCES_MAX: u64 = 1 << 32;

impl Worker {
    /// Starts all tasks from the changelogs and the committed offsets, in place of an earlier worker.
    pub(super) fn start(topology: &Topology, logs: &Logs, committed: &Committed, earlier: Option<&Self>) -> Self {
        let policy = earlier.map_or_else(CommitPolicy::default, |earlier| earlier.policy);
        let first_sequence = earlier.map_or(0, |earlier| earlier.sequence_next);
        let sinks = topology.sinks().iter().map(|sink| (sink.topic.clone(), logs.partition_count(&sink.topic)));
        let mut worker = Self {
            tasks: Vec::new(),
            machine: CommitMachine::new(policy, first_sequence),
            policy,
            transactional_id: format!("{}-test-0", topology.application_id()),
            sequence_next: first_sequence + SEQUENCES_MAX,
            transaction: None,
            outbox: Outbox { sinks: sinks.collect(), records: Vec::new() },
            failure: None,
        };
        for sub_topology in topology.sub_topologies() {
            let counts = sub_topology.sources().iter().map(|source| logs.partition_count(&source.topic));
            let counts: Vec<_> = counts.collect();
            for partition in (0..counts.iter().copied().max().unwrap_or(0)).map(PartitionId) {
                let id = TaskId { sub_topology: sub_topology.id(), partition };
                let mut task = Task::new(topology, id, &counts);
                for store in sub_topology.stores() {
                    let changelog = &topology.sinks()[topology.stores()[store.0].changelog.0].topic;
                    worker.failure = restore(&mut task, *store, logs, changelog).err().or(worker.failure);
                }
                let inputs = task.inputs().iter().map(|input| Input::new(&input.topic, partition, topology, committed));
                worker.tasks.push(Placed { inputs: inputs.collect(), task });
            }
        }
        worker
    }

    /// Processes all that is visible, and sends half of the output: what a producer may have sent at any time.
    pub(super) fn run(&mut self, logs: &mut Logs, now: Moment, ends: Option<&BTreeMap<String, Vec<Offset>>>) {
        if self.failure.is_some() {
            return;
        }
        for task in 0..self.tasks.len() {
            for input in 0..self.tasks[task].inputs.len() {
                if let Err(failure) = self.run_input((task, input), logs, now, ends) {
                    self.fail(failure);
                    return;
                }
            }
        }
        if self.transaction.is_none() && self.tasks.iter().any(|placed| placed.task.has_uncommitted()) {
            self.begin(logs, now);
        }
        self.machine.handle_drained(true);
        let half = self.outbox.records.len() / 2;
        self.send(half, logs);
    }

    fn run_input(
        &mut self,
        (index, input): (usize, usize),
        logs: &mut Logs,
        now: Moment,
        ends: Option<&BTreeMap<String, Vec<Offset>>>,
    ) -> Result<(), ProcessError> {
        let Input { place, position, .. } = &self.tasks[index].inputs[input];
        let (topic, partition) = (place.0.clone(), place.1);
        let stable = logs.last_stable_offset(&topic, partition);
        let batches = batches(logs.read_committed(&topic, partition, *position));
        if stable > *position {
            self.begin(logs, now);
        }
        let Placed { task, inputs } = &mut self.tasks[index];
        let Input { position, is_source, .. } = &mut inputs[input];
        let sent = self.outbox.records.len();
        for batch in batches {
            let mut buffer = Decompressed::default();
            let records = batch.open(&mut buffer).expect("the driver has built the batch");
            task.process(input, records, *position, now, &mut self.outbox)?;
            *position = Offset(batch.header.next_offset());
        }
        *position = stable;
        task.tick(now, &mut self.outbox)?;
        let end = ends.and_then(|ends| ends.get(&topic)?.get(usize::try_from(partition.0).ok()?));
        if let (true, Some(end)) = (*is_source, end)
            && *position == *end
        {
            task.end_of_input(input, *end, &mut self.outbox)?;
        }
        self.machine.handle_work((self.outbox.records.len() - sent) as u64, 0);
        Ok(())
    }

    pub(super) fn expect_ends(&mut self, topology: &Topology, ends: &BTreeMap<String, Vec<Offset>>) {
        for Placed { task, inputs } in &mut self.tasks {
            for (index, input) in inputs.iter().enumerate() {
                let source = topology.source(&input.place.0).expect("a task reads sources of the topology");
                if let Some(expected) = topology.expected_ends(source, ends) {
                    task.expect_ends(index, expected);
                }
            }
        }
    }

    /// Whether there is something to commit; a transaction is begun if need be.
    pub(super) fn request_commit(&mut self, logs: &mut Logs, now: Moment) -> bool {
        if self.failure.is_some() || !self.has_uncommitted() {
            return false;
        }
        self.begin(logs, now);
        self.machine.request_commit();
        true
    }

    pub(super) fn poll(&mut self, now: Moment) -> Option<Step> {
        self.machine.poll(now)
    }

    /// Does one step, and reports on it.
    pub(super) fn perform(
        &mut self,
        step: Step,
        logs: &mut Logs,
        committed: &mut Committed,
        plan: &mut Option<Plan>,
    ) -> Result<(), Died> {
        let outcome = match step {
            Step::Flush => self.flush(logs, plan)?,
            Step::Commit { sequence } => self.commit(sequence, logs, committed, plan)?,
            Step::Abort | Step::Recover => {
                self.abandon(logs);
                Outcome::Done
            }
            Step::ReadCommitted { sequence } => Outcome::Landed(self.has_landed(sequence, committed)),
            Step::Confirm => {
                for placed in &mut self.tasks {
                    placed.task.committed();
                    placed.inputs.iter_mut().for_each(|input| input.committed = input.position);
                }
                return die_at(CommitPoint::AfterCommit, plan);
            }
            Step::RollBack => {
                self.outbox.records.clear();
                for placed in &mut self.tasks {
                    placed.task.rolled_back();
                    placed.inputs.iter_mut().for_each(|input| input.position = input.committed);
                }
                return Ok(());
            }
            Step::GiveUp => return Err(Died),
        };
        self.machine.handle(outcome);
        Ok(())
    }

    fn flush(&mut self, logs: &mut Logs, plan: &mut Option<Plan>) -> Result<Outcome, Died> {
        for index in 0..self.tasks.len() {
            if let Err(failure) = self.tasks[index].task.before_commit(&mut self.outbox) {
                self.failure = Some(failure);
                return Ok(Outcome::MustAbort);
            }
        }
        let half = self.outbox.records.len() / 2;
        self.send(half, logs);
        die_at(CommitPoint::BeforeFlush, plan)?;
        self.send(self.outbox.records.len(), logs);
        die_at(CommitPoint::AfterFlush, plan)?;
        Ok(Outcome::Done)
    }

    fn commit(
        &mut self,
        sequence: u64,
        logs: &mut Logs,
        committed: &mut Committed,
        plan: &mut Option<Plan>,
    ) -> Result<Outcome, Died> {
        die_at(CommitPoint::AfterOffsets, plan)?;
        let unanswered = match *plan {
            Some(Plan::Unanswered { landed }) => {
                *plan = None;
                if !landed {
                    return Ok(Outcome::Unknown);
                }
                true
            }
            Some(Plan::Crash(_)) | None => false,
        };
        let transaction = self.transaction.take().expect("the machine has begun one");
        logs.end(transaction, true);
        let metadata = self.metadata(sequence).to_string();
        for input in self.tasks.iter().flat_map(|placed| &placed.inputs) {
            committed.insert(input.place.clone(), (input.position, metadata.clone()));
        }
        die_at(CommitPoint::AfterEndTxnSent, plan)?;
        Ok(if unanswered { Outcome::Unknown } else { Outcome::Done })
    }

    fn has_landed(&self, sequence: u64, committed: &Committed) -> bool {
        let placed = self.tasks.first().expect("a topology has a task");
        committed.get(&placed.inputs[0].place).is_some_and(|(_, metadata)| self.metadata(sequence).is_in(metadata))
    }

    fn metadata(&self, sequence: u64) -> OffsetMetadata {
        OffsetMetadata { transactional_id: self.transactional_id.clone(), sequence }
    }

    fn begin(&mut self, logs: &mut Logs, now: Moment) {
        if self.machine.begin(now) {
            self.transaction = Some(logs.begin());
        }
    }

    /// Aborts the transaction in the logs: what the coordinator does for the next `InitProducerId`.
    pub(super) fn abandon(&mut self, logs: &mut Logs) {
        if let Some(transaction) = self.transaction.take() {
            logs.end(transaction, false);
        }
    }

    fn send(&mut self, count: usize, logs: &mut Logs) {
        for pending in self.outbox.records.drain(..count) {
            debug_assert!(self.transaction.is_some(), "all output is in a transaction");
            logs.append(pending, self.transaction);
        }
    }

    fn fail(&mut self, failure: ProcessError) {
        self.failure = Some(failure);
        self.machine.request_abort();
    }

    pub(super) fn next_timeout(&self) -> Option<Moment> {
        let tasks = self.tasks.iter().filter_map(|placed| placed.task.next_timeout());
        tasks.chain(self.machine.next_timeout()).min()
    }

    pub(super) fn has_uncommitted(&self) -> bool {
        self.tasks.iter().any(|placed| {
            placed.task.has_uncommitted() || placed.inputs.iter().any(|input| input.position != input.committed)
        })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.tasks.iter().all(|placed| placed.task.is_finished())
    }

    pub(super) fn entries(&mut self, store: StoreId, sub_topology: SubTopologyId) -> Vec<StoreEntry> {
        let mut entries = Vec::new();
        for placed in self.tasks.iter_mut().filter(|placed| placed.task.id().sub_topology == sub_topology) {
            let partition = placed.task.id().partition;
            let mut visit = |window, key: &[u8], value: &[u8]| {
                entries.push(StoreEntry { partition, window, key: key.to_vec(), value: value.to_vec() });
            };
            placed.task.entries(store, &mut visit).expect("what is in a store can be encoded");
        }
        entries
    }

    pub(super) fn status(&mut self) -> Vec<(TaskId, TaskStatus)> {
        let status = |placed: &mut Placed| (placed.task.id(), placed.task.status());
        self.tasks.iter_mut().map(status).collect()
    }

    pub(super) const fn failure(&self) -> Option<&ProcessError> {
        self.failure.as_ref()
    }

    pub(super) const fn set_policy(&mut self, policy: CommitPolicy) {
        self.policy = policy;
        self.machine.set_policy(policy);
    }
}

impl Input {
    fn new(topic: &str, partition: PartitionId, topology: &Topology, committed: &Committed) -> Self {
        let place = (topic.to_owned(), partition);
        let position = committed.get(&place).map_or(Offset(0), |(offset, _)| *offset);
        let is_source = topology.source(topic).is_some_and(|source| source.kind == SourceKind::External);
        Self { place, is_source, position, committed: position }
    }
}

/// Reads a changelog to its end: committed records only.
fn restore(task: &mut Task, store: StoreId, logs: &Logs, changelog: &str) -> Result<(), ProcessError> {
    let partition = task.id().partition;
    logs.read_committed(changelog, partition, Offset(0))
        .try_for_each(|record| task.restore(store, record.key.as_deref().unwrap_or_default(), record.value.as_deref()))
}

/// Sealed batches of the records, each of neighbours only: a gap in the offsets begins another.
fn batches<'l>(records: impl Iterator<Item = &'l TestRecord>) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut open: Vec<&TestRecord> = Vec::new();
    for record in records {
        let is_neighbour = open.last().is_some_and(|last| last.offset.0 + 1 == record.offset.0);
        if !is_neighbour || open.len() == BATCH_RECORDS_MAX {
            batches.extend(batch(&open));
            open.clear();
        }
        open.push(record);
    }
    batches.extend(batch(&open));
    batches
}

fn batch(records: &[&TestRecord]) -> Option<Batch> {
    let base_offset = records.first()?.offset.0;
    let mut builder = BatchBuilder::new(1024);
    for record in records {
        let headers = record.raw_headers();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(record.timestamp.0, key, value, headers.as_raw()).expect("a test's records fit a batch");
    }
    let sealed = builder.seal(Seal::default()).expect("not compressed");
    Some(Batch::from_bytes(with_base_offset(&sealed, base_offset, LeaderEpoch(0))).expect("just sealed"))
}

fn die_at(point: CommitPoint, plan: &mut Option<Plan>) -> Result<(), Died> {
    if *plan == Some(Plan::Crash(point)) {
        *plan = None;
        return Err(Died);
    }
    Ok(())
}
