//! One worker on the cluster in memory. This does for the worker machine what the runtime does with sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::compression::Decompressed;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::batches::batches;
use super::cluster::Cluster;
use super::group::Heard;
use super::logs::TestRecord;
use super::plan::{CommitPoint, Died, Plan, die_at, take};
use super::sending::Sending;
use super::transactions::Fenced;
use crate::commit::Outcome;
use crate::task::SourcePartitions;
use crate::topology::{SinkKind, SinkSpec, Topology};
use crate::worker::{Action, Completion, End, Ends, Operation, OperationId, Position, Settings, Span, Worker};

/// A worker, and the state of its connection to the cluster.
pub(super) struct Member {
    index: usize,
    /// Incarnation of the worker.
    incarnation: u32,
    transactional_id: String,
    /// Epoch of its transactional id.
    epoch: u32,
    pub(super) worker: Worker,
    sending: Sending,
    /// The repartition topics.
    shuffles: BTreeSet<String>,
    /// Records that were sent to them since the last flush of shuffles began.
    written: BTreeMap<TopicPartition, Vec<TestRecord>>,
    inputs: BTreeMap<TopicPartition, Reading>,
    changelogs: BTreeMap<TopicPartition, Offset>,
    operations: Vec<InFlight>,
    /// The generation of its assignment; `None` while it waits for one.
    generation: Option<i32>,
    /// Whether it knows that the group rebalances.
    is_told: bool,
    /// The end of the member, if it has ended.
    pub(super) end: Option<End>,
    buffer: Decompressed,
}

/// The progress of reading an input.
struct Reading {
    next: Offset,
    /// Whether the worker has been told that everything below `next` is processed.
    is_advanced: bool,
    is_stopped: bool,
}

struct InFlight {
    id: OperationId,
    operation: Operation,
    /// A commit whose offsets are in the transaction already.
    has_offsets: bool,
}

impl Member {
    /// Starts a worker: it takes up its transactional id, and joins the group.
    pub(super) fn start(
        (index, incarnation): (usize, u32),
        topology: &Arc<Topology>,
        settings: Settings,
        ends: Option<Arc<Ends>>,
        (cluster, now): (&mut Cluster, Moment),
    ) -> Self {
        let transactional_id = settings.transactional_id.clone();
        let epoch = cluster.transactions.init(&transactional_id, &mut cluster.logs, &mut cluster.offsets);
        cluster.group.join(index, incarnation, &transactional_id, now);
        let is_shuffle = |sink: &&SinkSpec| matches!(sink.kind, SinkKind::Repartition { .. });
        Self {
            shuffles: topology.sinks().iter().filter(is_shuffle).map(|sink| sink.topic.clone()).collect(),
            written: BTreeMap::new(),
            index,
            incarnation,
            transactional_id,
            epoch,
            sending: Sending::new(topology, cluster, ROOM_RECORDS),
            worker: Worker::new(Arc::clone(topology), settings, ends, now),
            inputs: BTreeMap::new(),
            changelogs: BTreeMap::new(),
            operations: Vec::new(),
            generation: None,
            is_told: false,
            end: None,
            buffer: Decompressed::default(),
        }
    }

    /// Gets the news of the group.
    pub(super) fn hear(&mut self, cluster: &mut Cluster, now: Moment) {
        match self.generation {
            None => {
                if let Some(assignment) = cluster.group.assignment(self.index, self.incarnation) {
                    self.generation = Some(assignment.generation);
                    self.is_told = false;
                    self.worker.handle_assigned(now, assignment);
                } else {
                    // The client does this by itself: a member that was removed while it waited joins anew,
                    // and so does one that was asked to join again before it got its assignment.
                    match cluster.group.hear(self.index, self.incarnation, -1) {
                        Heard::Unknown => {
                            cluster.group.join(self.index, self.incarnation, &self.transactional_id, now);
                        }
                        Heard::Rebalancing => cluster.group.rejoin(self.index, self.incarnation, now),
                        Heard::Nothing => {}
                    }
                }
            }
            Some(generation) if !self.is_told => match cluster.group.hear(self.index, self.incarnation, generation) {
                Heard::Nothing => {}
                Heard::Rebalancing => {
                    self.is_told = true;
                    self.worker.handle_rebalancing();
                }
                Heard::Unknown => self.worker.handle_lost("the coordinator removed the member"),
            },
            Some(_) => {}
        }
        self.turn(cluster, now);
    }

    /// Lets the worker do what is due, and carries out its immediate actions.
    pub(super) fn turn(&mut self, cluster: &mut Cluster, now: Moment) {
        self.worker.resume_calls(now, &mut self.sending);
        let log_end = |input: &TopicPartition| Some(cluster.logs.last_stable_offset(&input.topic, input.partition));
        while self.worker.process_queued(now, &log_end, &mut self.sending) {}
        if self.end.is_none() && self.worker.needs_outbox() {
            self.worker.handle_time(now, &mut self.sending);
        }
        while let Some(action) = self.worker.poll() {
            self.act(action, cluster, now);
        }
    }

    fn act(&mut self, action: Action, cluster: &mut Cluster, now: Moment) {
        match action {
            Action::Assign { input, position } | Action::Seek { input, position } => {
                self.inputs.insert(input, Reading { next: position.offset, is_advanced: false, is_stopped: false });
            }
            Action::SkipTo { input, offset } => {
                if let Some(reading) = self.inputs.get_mut(&input) {
                    (reading.next, reading.is_advanced) = (reading.next.max(offset), false);
                }
            }
            Action::Unassign { input } => {
                self.inputs.remove(&input);
            }
            Action::Stop { input, offset } => {
                self.inputs.insert(input, Reading { next: offset, is_advanced: true, is_stopped: true });
            }
            Action::OpenChangelog { changelog, offset } => {
                self.changelogs.insert(changelog, offset);
            }
            Action::CloseChangelog { changelog } => {
                self.changelogs.remove(&changelog);
            }
            Action::Start { id, operation } => self.operations.push(InFlight { id, operation, has_offsets: false }),
            Action::Rejoin => {
                self.generation = None;
                cluster.group.rejoin(self.index, self.incarnation, now);
            }
            Action::Subscribe { topics, together } => cluster.share_topics(topics, together, now),
            Action::Purge(done) => {
                for (input, before) in done {
                    cluster.logs.delete(&input.topic, input.partition, before);
                }
            }
            Action::End(end) => {
                if end == End::Stopped {
                    cluster.group.leave(self.index, self.incarnation, now);
                }
                self.end = Some(end);
            }
        }
    }

    /// Commits the open transaction as soon as possible. Returns whether there is one.
    pub(super) fn request_commit(&mut self, now: Moment) -> bool {
        self.worker.request_commit(now, &mut self.sending)
    }

    /// A summary of its state between group and operations: if it changes, something has happened.
    pub(super) fn place(&self) -> (Option<i32>, bool, usize, bool) {
        (self.generation, self.is_told, self.operations.len(), self.end.is_some())
    }

    /// The inputs that it reads, in order.
    pub(super) fn inputs(&self) -> Vec<TopicPartition> {
        self.inputs.keys().cloned().collect()
    }

    /// The changelogs that it restores from, in order.
    pub(super) fn changelogs(&self) -> Vec<TopicPartition> {
        self.changelogs.keys().cloned().collect()
    }

    pub(super) const fn operation_count(&self) -> usize {
        self.operations.len()
    }

    /// Processes up to `records_max` records of an input. Returns whether there were any.
    pub(super) fn feed(
        &mut self,
        cluster: &mut Cluster,
        now: Moment,
        input: &TopicPartition,
        records_max: usize,
    ) -> bool {
        let logs = &cluster.logs;
        if logs.partition_count(&input.topic) <= input.partition.0 {
            return false;
        }
        let stable = logs.last_stable_offset(&input.topic, input.partition);
        let Some(reading) = self.inputs.get_mut(input).filter(|reading| !reading.is_stopped) else { return false };
        // Records are deleted unread only for a worker that has lost the input, and does not know it.
        if reading.next < logs.start_offset(&input.topic, input.partition) {
            return false;
        }
        if !self.worker.accepts_records() || (reading.next >= stable && reading.is_advanced) {
            return false;
        }
        let records: Vec<_> =
            logs.read_committed(&input.topic, input.partition, reading.next).take(records_max).collect();
        let is_all = records.len() < records_max;
        for batch in batches(records.into_iter()) {
            if !self.worker.accepts_records() {
                break;
            }
            let next = Offset(batch.header.next_offset());
            let records = batch.open(&mut self.buffer).expect("the driver has built the batch");
            let span = Span { start: reading.next, end: Position::unchecked(next) };
            self.worker.process(now, input, records, span, &mut self.sending);
            (reading.next, reading.is_advanced) = (next, false);
        }
        if self.worker.accepts_records() {
            let next = if is_all { stable.max(reading.next) } else { reading.next };
            (reading.next, reading.is_advanced) = (next, true);
            self.worker.advance(now, input, (Position::unchecked(next), stable), &mut self.sending);
        }
        self.turn(cluster, now);
        true
    }

    /// Restores up to `records_max` records of a changelog. Returns whether there were any.
    pub(super) fn restore(
        &mut self,
        cluster: &mut Cluster,
        now: Moment,
        changelog: &TopicPartition,
        records_max: usize,
    ) -> bool {
        let logs = &cluster.logs;
        let stable = logs.last_stable_offset(&changelog.topic, changelog.partition);
        let Some(&position) = self.changelogs.get(changelog) else { return false };
        if position >= stable {
            return false;
        }
        let records: Vec<_> =
            logs.read_committed(&changelog.topic, changelog.partition, position).take(records_max).collect();
        let mut next = if records.len() < records_max { stable } else { position };
        for batch in batches(records.into_iter()) {
            let records = batch.open(&mut self.buffer).expect("the driver has built the batch");
            self.worker.restore(changelog, records, position);
            next = next.max(Offset(batch.header.next_offset()));
        }
        self.changelogs.insert(changelog.clone(), next);
        self.worker.restored_to(now, changelog, next);
        self.turn(cluster, now);
        true
    }

    /// Sends the first half of the waiting output, as a producer may do at any time.
    pub(super) fn send_half(&mut self, cluster: &mut Cluster, now: Moment) {
        let half = self.sending.len() / 2;
        // If the producer is fenced, its next operation reports it.
        let _ = self.send(half, cluster, now);
    }

    /// Carries out one of the operations in flight, or the first half of a commit. `false` if it has to wait.
    pub(super) fn operate(
        &mut self,
        index: usize,
        (cluster, now): (&mut Cluster, Moment),
        plan: &mut Option<Plan>,
        stops_halfway: bool,
    ) -> Result<bool, Died> {
        let operation = self.operations[index].operation.clone();
        let is_commit = matches!(operation, Operation::Commit { .. });
        let has_offsets = self.operations[index].has_offsets;
        if is_commit && !has_offsets && stops_halfway {
            let Operation::Commit { offsets } = operation else { return Ok(false) };
            return match self.add_offsets(offsets, cluster, now) {
                Ok(()) => {
                    self.operations[index].has_offsets = true;
                    Ok(true)
                }
                Err(refused) => {
                    self.complete(index, refused, cluster, now);
                    Ok(true)
                }
            };
        }
        let Some(completion) = self.carry_out(operation, has_offsets, (cluster, now), plan)? else { return Ok(false) };
        self.complete(index, completion, cluster, now);
        if is_commit {
            die_at(CommitPoint::AfterCommit, plan)?;
        }
        Ok(true)
    }

    fn complete(&mut self, index: usize, completion: Completion, cluster: &mut Cluster, now: Moment) {
        let InFlight { id, .. } = self.operations.remove(index);
        self.worker.handle_done(now, id, completion);
        self.turn(cluster, now);
    }

    /// `None` if it has to wait.
    fn carry_out(
        &mut self,
        operation: Operation,
        has_offsets: bool,
        (cluster, now): (&mut Cluster, Moment),
        plan: &mut Option<Plan>,
    ) -> Result<Option<Completion>, Died> {
        if take(plan, Plan::Failed) {
            return Ok(Some(failed()));
        }
        Ok(Some(match operation {
            Operation::CountPartitions { .. } if take(plan, Plan::Unseen) => Completion::Counts(BTreeMap::new()),
            Operation::CountPartitions { topics } => {
                let counted = topics.into_iter().map(|topic| (topic.clone(), cluster.logs.partition_count(&topic)));
                Completion::Counts(counted.filter(|(_, count)| *count > 0).collect())
            }
            Operation::ListTopics => Completion::Topics(cluster.logs.topics()),
            Operation::Fence { transactional_ids } => {
                for id in transactional_ids.into_iter().filter(|_| cluster.can_fence) {
                    cluster.transactions.init(&id, &mut cluster.logs, &mut cluster.offsets);
                }
                Completion::Done
            }
            Operation::ReadOffsets { partitions, is_stable } => match cluster.read_offsets(partitions, is_stable) {
                Some(offsets) => Completion::Offsets(offsets),
                None => return Ok(None),
            },
            Operation::ListOffsets { wanted, isolation } => Completion::Listed(
                wanted.iter().map(|(partition, spec)| cluster.list(partition, *spec, isolation)).collect(),
            ),
            Operation::SumSourceEnds { sources, run_ends } => {
                let end = |source: SourcePartitions| {
                    let end = cluster.source_end(&source, run_ends.as_deref());
                    (source, end)
                };
                Completion::SourceEnds(sources.into_iter().map(end).collect())
            }
            Operation::MakeRoom => {
                self.send(self.sending.len(), cluster, now).map_or_else(fenced, |()| Completion::Done)
            }
            Operation::Flush => self.flush((cluster, now), plan)?,
            Operation::FlushShuffles => {
                self.written.clear();
                match self.flush((cluster, now), plan)? {
                    Completion::Transaction(Outcome::Done) => self.written(),
                    unflushed => unflushed,
                }
            }
            Operation::Commit { offsets } => self.commit(offsets, has_offsets, (cluster, now), plan)?,
            Operation::Abort => {
                self.sending.end();
                self.end_transaction(false, cluster)
            }
            Operation::Recover => {
                self.sending.end();
                if let Completion::Failed(end) = self.end_transaction(false, cluster) {
                    return Ok(Some(Completion::Failed(end)));
                }
                self.epoch = cluster.transactions.init(&self.transactional_id, &mut cluster.logs, &mut cluster.offsets);
                Completion::Transaction(Outcome::Done)
            }
        }))
    }

    fn flush(&mut self, (cluster, now): (&mut Cluster, Moment), plan: &mut Option<Plan>) -> Result<Completion, Died> {
        self.send_half(cluster, now);
        die_at(CommitPoint::BeforeFlush, plan)?;
        if take(plan, Plan::Refused) {
            return Ok(Completion::Transaction(Outcome::MustAbort));
        }
        if self.send(self.sending.len(), cluster, now).is_err() {
            return Ok(fenced(Fenced));
        }
        die_at(CommitPoint::AfterFlush, plan)?;
        Ok(Completion::Transaction(Outcome::Done))
    }

    fn commit(
        &mut self,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        has_offsets: bool,
        (cluster, now): (&mut Cluster, Moment),
        plan: &mut Option<Plan>,
    ) -> Result<Completion, Died> {
        if !has_offsets && let Err(refused) = self.add_offsets(offsets, cluster, now) {
            return Ok(refused);
        }
        die_at(CommitPoint::AfterOffsets, plan)?;
        if take(plan, Plan::Unanswered { landed: false }) {
            return Ok(Completion::Transaction(Outcome::Unknown));
        }
        let ended = self.end_transaction(true, cluster);
        self.sending.end();
        die_at(CommitPoint::AfterEndTxnSent, plan)?;
        let is_unanswered = take(plan, Plan::Unanswered { landed: true });
        Ok(if is_unanswered { Completion::Transaction(Outcome::Unknown) } else { ended })
    }

    /// Adds offsets to the transaction, as TxnOffsetCommit does.
    fn add_offsets(
        &self,
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        cluster: &mut Cluster,
        now: Moment,
    ) -> Result<(), Completion> {
        let generation = self.generation.unwrap_or(-1);
        if !cluster.group.accepts_commit(self.index, self.incarnation, generation) {
            return Err(Completion::Transaction(Outcome::MustAbort));
        }
        let producer = (self.transactional_id.as_str(), self.epoch);
        let Cluster { transactions, logs, offsets: committed, .. } = cluster;
        transactions.add_offsets(producer, now, offsets, (logs, committed)).map_err(fenced)
    }

    fn end_transaction(&self, is_committed: bool, cluster: &mut Cluster) -> Completion {
        let producer = (self.transactional_id.as_str(), self.epoch);
        let Cluster { transactions, logs, offsets, .. } = cluster;
        let ended = transactions.end(producer, is_committed, logs, offsets);
        ended.map_or_else(fenced, |()| Completion::Transaction(Outcome::Done))
    }

    fn send(&mut self, count: usize, cluster: &mut Cluster, now: Moment) -> Result<(), Fenced> {
        let producer = (self.transactional_id.as_str(), self.epoch);
        let Cluster { transactions, logs, offsets, .. } = cluster;
        for mut pending in self.sending.take(count) {
            pending.record.offset = transactions.append(producer, now, pending.clone(), (logs, offsets))?;
            if self.shuffles.contains(&pending.topic) {
                let partition = TopicPartition::new(pending.topic.as_str(), pending.record.partition);
                self.written.entry(partition).or_default().push(pending.record);
            }
        }
        Ok(())
    }

    /// The batches that the present flush has sent to repartition topics.
    fn written(&mut self) -> Completion {
        let written = std::mem::take(&mut self.written).into_iter();
        let of_partition = |(partition, records): (TopicPartition, Vec<TestRecord>)| {
            let batches = batches(records.iter()).into_iter();
            batches.map(move |batch| (partition.clone(), batch)).collect::<Vec<_>>()
        };
        Completion::Written(written.flat_map(of_partition).collect())
    }
}

fn fenced(_: Fenced) -> Completion {
    Completion::Failed(End::Restart("the producer is fenced".to_owned()))
}

fn failed() -> Completion {
    Completion::Failed(End::Restart("planned to fail".to_owned()))
}

/// Records of output that may wait: few, so that tests reach the limit.
const ROOM_RECORDS: usize = 200;

#[cfg(test)]
mod tests;
