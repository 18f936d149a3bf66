//! The end of a transaction, in all its forms.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::record::Batch;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;
use kafka_wire::wire::Str;
use tracing::{info, warn};

use super::Worker;
use crate::commit::{OffsetMetadata, Outcome, Step};
use crate::task::SourcePartitions;
use crate::topology::StoppingOffsets;
use crate::worker::action::{Action, Completion, Operation};
use crate::worker::end::End;
use crate::worker::held::Held;
use crate::worker::outbox::Outbox;
use crate::worker::place::{Place, Position};

/// The work of the tasks for a commit, before its records are flushed.
#[derive(Debug)]
pub(super) enum Preparation {
    /// It waits for the end of calls to the outside.
    Calls,
    /// The tasks in `committing` put out their results.
    Tasks {
        /// Index of the next one.
        next: usize,
    },
    /// Tasks process what the stage before them has shuffled.
    Shuffled(VecDeque<(TopicPartition, Batch)>),
}

impl Worker {
    /// Commits the open transaction as soon as possible, or begins one if there is work that needs it.
    /// Returns whether there is anything to commit.
    pub fn request_commit(&mut self, now: Moment, outbox: &mut dyn Outbox) -> bool {
        if !self.accepts_records() || !self.has_uncommitted() || !self.begin(now, outbox) {
            return false;
        }
        self.commit.request_commit();
        true
    }

    /// Whether there is anything to commit, and nothing prevents it.
    #[must_use]
    pub fn is_ready_to_commit(&self) -> bool {
        self.accepts_records() && self.has_uncommitted()
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.tasks.iter().any(|held| held.is_restored() && held.has_uncommitted())
    }

    /// Sets another commit policy from now on.
    pub const fn set_commit_policy(&mut self, policy: crate::commit::CommitPolicy) {
        self.settings.policy = policy;
        self.commit.set_policy(policy);
    }

    /// Carries out the steps of the commit until one of them takes time.
    pub(super) fn advance_commit(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        if let Some(ends) = self.source_ends.take() {
            self.pass_idle(now, &ends, outbox);
        }
        match self.preparation {
            Some(Preparation::Calls) => self.begin_preparing(now, outbox),
            Some(Preparation::Tasks { .. }) => self.prepare(outbox),
            Some(Preparation::Shuffled(_)) => self.read_written(now, outbox),
            None => {}
        }
        while self.needs_outbox() && self.preparation.is_none() {
            let Some(step) = self.commit.poll(now) else { return };
            match step {
                Step::Flush => match self.doubts() {
                    sources if sources.is_empty() => self.pass_idle(now, &BTreeMap::new(), outbox),
                    sources => {
                        self.is_looking = true;
                        self.start(Operation::SumSourceEnds { sources, run_ends: self.ends.clone() });
                    }
                },
                Step::Commit { .. } if self.has_lost_committing => self.commit.handle(Outcome::MustAbort),
                Step::Commit { sequence } => {
                    let offsets = self.offsets(sequence);
                    self.last_committed = offsets.iter().map(|(input, _)| input.clone()).collect();
                    self.start(Operation::Commit { offsets });
                }
                Step::Abort => {
                    self.start(Operation::Abort);
                }
                Step::Recover => {
                    self.start(Operation::Recover);
                }
                Step::ReadCommitted { .. } => self.read_committed(),
                Step::Confirm => self.confirm(now),
                Step::RollBack => self.roll_back(now, outbox),
                Step::GiveUp => {
                    let unexplained = || End::Restart("the transaction cannot go on".to_owned());
                    let end = self.producer_end.take().unwrap_or_else(unexplained);
                    self.over(end);
                }
            }
        }
    }

    /// Handles the completion of the operation on the transaction.
    pub(super) fn handle_transaction(&mut self, completion: Completion) {
        if std::mem::take(&mut self.is_looking) {
            // Without an answer, idle sources count as active, and event time waits for them.
            self.source_ends = Some(if let Completion::SourceEnds(ends) = completion { ends } else { BTreeMap::new() });
            return;
        }
        let is_between_steps = self.preparation.is_some() || self.commit.accepts_work();
        match completion {
            // The outbox has room again.
            Completion::Done => {}
            Completion::Failed(end) if is_between_steps => self.handle_no_room(end),
            Completion::Failed(end) => {
                self.producer_end = Some(end);
                self.commit.handle(Outcome::Fatal);
            }
            Completion::Written(batches) => self.preparation = Some(Preparation::Shuffled(batches.into())),
            Completion::Transaction(outcome) => self.commit.handle(outcome),
            Completion::Offsets(offsets) => {
                let (id, sequence) = (&self.settings.transactional_id, self.commit.sequence());
                let is_ours = |committed: &CommittedOffset| OffsetMetadata::is_of(&committed.metadata, id, sequence);
                let landed = offsets.iter().any(|(_, committed)| committed.as_ref().is_some_and(is_ours));
                info!(worker = %self.settings.transactional_id, landed, "the outcome of an unanswered commit is known");
                self.commit.handle(Outcome::Landed(landed));
            }
            completion => unreachable!("{completion:?} comes of no operation on a transaction"),
        }
    }

    /// The sources that are believed to be idle and hold event time back: all of them are looked up with one
    /// request to the brokers. Those that are gone need no look-up.
    fn doubts(&self) -> Vec<SourcePartitions> {
        let restored = self.tasks.iter().filter(|held| held.is_restored());
        let sources: BTreeSet<SourcePartitions> = restored.flat_map(|held| held.task.doubts()).collect();
        sources.into_iter().filter(|source| !self.inspection.missing.is_gone(&source.topic)).collect()
    }

    /// Lets event time pass the sources whose ends are as believed.
    fn pass_idle(&mut self, now: Moment, ends: &BTreeMap<SourcePartitions, Offset>, outbox: &mut dyn Outbox) {
        let Self { tasks, inspection, .. } = self;
        let end = |source: &SourcePartitions| match inspection.missing.is_gone(&source.topic) {
            true => Some(Offset(0)),
            false => ends.get(source).copied(),
        };
        let in_doubt = |held: &&mut Held| held.has_doubts();
        let settle = |held: &mut Held| held.task.settle(now, &end, outbox);
        let settled = tasks.restored_mut().filter(in_doubt).try_for_each(settle);
        match settled {
            Ok(()) => self.begin_preparing(now, outbox),
            Err(failure) => {
                if !self.take_retry() {
                    self.failure.get_or_insert(failure.into());
                }
                self.commit.handle(Outcome::MustAbort);
            }
        }
    }

    /// Begins to prepare the commit, once all calls to the outside have ended that its records have begun.
    fn begin_preparing(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        if self.tasks.calls().next().is_some() {
            self.preparation = Some(Preparation::Calls);
            return;
        }
        self.committing_since = now;
        self.begin_stages(now, outbox);
    }

    /// Handles the failure of the transaction, after which the outbox will never have room again.
    fn handle_no_room(&mut self, end: End) {
        match end {
            End::Fatal(failure) => self.failure = self.failure.take().or(Some(failure)),
            end => warn!(worker = %self.settings.transactional_id, %end, "the transaction failed"),
        }
        self.abandon();
    }

    /// Aborts the transaction, between two batches, or while a commit waits for calls or the tasks put out its results.
    pub(super) fn abandon(&mut self) {
        self.stages.end();
        if self.preparation.take().is_some() {
            self.commit.handle(Outcome::MustAbort);
        } else {
            self.commit.request_abort();
        }
    }

    /// Lets the tasks put out the results for a commit, with pauses while the outbox is full; then flushes.
    pub(super) fn prepare(&mut self, outbox: &mut dyn Outbox) {
        while let Some(Preparation::Tasks { next }) = &mut self.preparation {
            let Some(&id) = self.committing.get(*next) else {
                // The results of this commit have begun calls, of steps that nothing follows: they put nothing out.
                if self.tasks.calls().next().is_some() {
                    return;
                }
                self.write_marks(outbox);
                if let Err(failure) = outbox.check() {
                    self.failure.get_or_insert(failure);
                    return self.abandon();
                }
                self.preparation = None;
                self.start(if self.stages.has_next() { Operation::FlushShuffles } else { Operation::Flush });
                return;
            };
            *next += 1;
            let Some(held) = self.tasks.get_mut(id) else { continue };
            if let Err(failure) = held.task.before_commit(outbox) {
                return self.stumble(failure.into());
            }
            if !outbox.has_room() {
                self.start(Operation::MakeRoom);
                return;
            }
        }
    }

    /// The position of every input of the tasks in the commit; and that of one more input if there is none.
    ///
    /// The coordinator refuses the offset of a topic that was deleted, and with it the whole transaction.
    /// So an input of such a topic is left out, but only while the transaction has none of its records:
    /// without the offset beside their results, they would be counted twice. If it has some, the refusal rolls it back,
    /// and the next commit leaves the input out.
    fn offsets(&self, sequence: u64) -> Vec<(TopicPartition, CommittedOffset)> {
        let transactional_id = self.settings.transactional_id.clone();
        let mut metadata = OffsetMetadata { transactional_id, sequence, watermark: None, partitions: None, end: None };
        let of_most = Str::from(metadata.to_string());
        let mut committed = |(input, place): (&TopicPartition, Place)| {
            let Place { position: Position { offset, leader_epoch }, watermark, partitions } = place;
            (metadata.watermark, metadata.partitions, metadata.end) = (watermark, partitions, self.chosen_end(input));
            let is_plain = watermark.is_none() && partitions.is_none() && metadata.end.is_none();
            let metadata = if is_plain { of_most.clone() } else { Str::from(metadata.to_string()) };
            (input.clone(), CommittedOffset { offset, leader_epoch, metadata })
        };
        let is_gone = |input: &TopicPartition| self.inspection.missing.contains(&input.topic);
        let tasks = self.committing.iter().filter_map(|id| self.tasks.get(*id));
        let offsets: Vec<_> = tasks.flat_map(|held| held.places_but(&is_gone)).map(&mut committed).collect();
        if !offsets.is_empty() {
            return offsets;
        }
        // At least one offset is committed, because an unknown outcome is settled by reading it.
        let restored = self.tasks.iter().filter(|held| held.is_restored());
        restored.flat_map(|held| held.places_but(&is_gone)).map(committed).take(1).collect()
    }

    /// The end that was chosen when the job began, which the offset tells to processes that start later.
    fn chosen_end(&self, input: &TopicPartition) -> Option<Offset> {
        let of_topic = self.ends.as_ref()?.get(&*input.topic)?;
        let extent = &self.topology.source(&input.topic)?.extent;
        let is_chosen = extent.stop == Some(StoppingOffsets::Latest) && extent.has(input.partition);
        of_topic.get(usize::try_from(input.partition.0).ok()?).copied().filter(|_| is_chosen)
    }

    /// The offsets of a transaction are committed together, so one of them tells for all; but that of a topic which was
    /// deleted since is no more.
    fn read_committed(&mut self) {
        if self.last_committed.is_empty() {
            return self.commit.handle(Outcome::Landed(false));
        }
        let partitions = self.last_committed.clone();
        let id = self.start(Operation::ReadOffsets { partitions, is_stable: true });
        self.transaction_operation = Some(id);
    }

    fn confirm(&mut self, now: Moment) {
        self.has_lost_committing = false;
        self.stages.end();
        for id in std::mem::take(&mut self.committing) {
            if let Some(held) = self.tasks.get_mut(id) {
                held.committed(now.since(self.committing_since));
                self.watch.count(held);
                if held.task.has_left_over() {
                    self.next_tick = now;
                }
            }
        }
        self.watch.commits += 1;
        self.watch.is_due = true;
        if now.since(self.purged) >= self.settings.purge_interval && !self.is_stopping {
            self.purged = now;
            let done: Vec<_> = self.tasks.iter().flat_map(|held| held.purgeable()).collect();
            if !done.is_empty() {
                self.actions.push_back(Action::Purge(done));
            }
        }
    }

    fn roll_back(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        // Records that the producer discarded do not count for the next transaction.
        let _ = outbox.take_written();
        self.stages.rest(now);
        for held in self.tasks.restored_mut() {
            self.watch.count(held);
            held.roll_back();
            self.watch.recount(held);
            let seek = |(input, position): (&TopicPartition, _)| Action::Seek { input: input.clone(), position };
            self.actions.extend(held.places().map(seek));
        }
        self.committing.clear();
        self.has_lost_committing = false;
        // If this was to be the last commit of a worker that stops, its outputs need another one.
        self.has_ended_outputs &= self.last_attempts >= LAST_ATTEMPTS_MAX;
        self.may_be_at_end = self.ends.is_some();
        self.tasks.recount_lags();
        self.wake_marks(now);
        self.watch.aborts += 1;
        self.watch.is_due = true;
    }
}

/// Number of attempts to commit what outputs outside of Kafka have ended for a stop. A worker that has lost its place
/// in the group without knowing it yet has no success with any number.
const LAST_ATTEMPTS_MAX: u32 = 3;
