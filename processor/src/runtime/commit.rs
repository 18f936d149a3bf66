//! Doing what the commit machine says: the end of a transaction, in every way that it can end.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_wire::client::{GroupOffsets, fetch_offsets};
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::producer::{CommitError, FlushError, TransactionError};
use kafka_wire::rng::Rng;
use kafka_wire::types::LeaderEpoch;
use kafka_wire::wire::Str;
use tracing::{info, warn};

use super::session::Session;
use super::status::Counters;
use super::takeover::Held;
use super::worker::SessionEnd;
use super::{open, topics};
use crate::commit::{OffsetMetadata, Outcome, Step};
use crate::task::SourcePartitions;

/// What came of a turn of the commit machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It is not time, or there is no transaction.
    Not,
    /// Output, changes and offsets are there for every `read_committed` reader.
    Landed,
    /// None of it is; the tasks are back at the commit before, and the consumer too.
    RolledBack,
}

impl Session<'_> {
    /// Begins a transaction unless one is open.
    pub(crate) fn begin(&mut self) -> Result<(), SessionEnd> {
        if self.machine.begin(self.client.now()) {
            self.transaction.producer.begin().map_err(|error| open::transaction_error(&error))?;
        }
        Ok(())
    }

    /// Ends the open transaction now, if there is one.
    pub(crate) async fn commit(&mut self) -> Result<Committed, SessionEnd> {
        if self.machine.is_idle() {
            return Ok(Committed::Not);
        }
        self.machine.request_commit();
        self.commit_if_due().await
    }

    /// Ends the open transaction if it is time to, and sees it through to an end that is known.
    ///
    /// Dropping the future leaves the outcome open, as a crash does; only a session that ends may do so.
    pub(crate) async fn commit_if_due(&mut self) -> Result<Committed, SessionEnd> {
        let mut result = Committed::Not;
        while let Some(step) = self.machine.poll(self.client.now()) {
            let outcome = match step {
                Step::Flush => self.flush().await?,
                Step::Commit { sequence } => self.end_transaction(sequence).await?,
                Step::Abort => match self.transaction.producer.abort().await {
                    Ok(()) => Outcome::Done,
                    Err(TransactionError::TimedOut(_)) => Outcome::Unknown,
                    Err(error) => self.fatal(open::transaction_error(&error)),
                },
                Step::Recover => match self.transaction.producer.recover().await {
                    Ok(_) => Outcome::Done,
                    Err(error) => self.fatal(open::transaction_error(&error)),
                },
                Step::ReadCommitted { sequence } => Outcome::Landed(self.has_landed(sequence).await?),
                Step::Confirm => {
                    self.confirm();
                    self.purge();
                    result = Committed::Landed;
                    continue;
                }
                Step::RollBack => {
                    self.roll_back();
                    result = Committed::RolledBack;
                    continue;
                }
                Step::GiveUp => {
                    let unexplained = || SessionEnd::Restart("the transaction cannot go on".to_owned());
                    return Err(self.failure.take().unwrap_or_else(unexplained));
                }
            };
            self.machine.handle(outcome);
        }
        Ok(result)
    }

    /// Lets the tasks put out what is due at a commit, and sends everything.
    async fn flush(&mut self) -> Result<Outcome, SessionEnd> {
        self.committing.clear();
        self.settle_doubts().await?;
        for (partition, held) in &mut self.tasks {
            if held.task.has_uncommitted() || held.position > held.committed {
                self.committing.push(partition.clone());
                held.task.before_commit(&mut self.transaction)?;
                self.transaction.ready().await?;
            }
        }
        self.transaction.check()?;
        Ok(match self.transaction.producer.flush().await {
            Ok(()) => Outcome::Done,
            // Trying again will not make it better: the job ends, and the transaction with it.
            Err(FlushError::Delivery { first, .. }) if open::is_refused_for_good(&first) => {
                return Err(open::delivery_refused(&first));
            }
            Err(FlushError::Delivery { first, failed_records }) => {
                warn!(worker = %self.worker.transactional_id, %first, failed_records, "output was not taken");
                Outcome::MustAbort
            }
            Err(error) => {
                warn!(worker = %self.worker.transactional_id, %error, "the transaction failed");
                Outcome::MustAbort
            }
        })
    }

    /// Looks up where sources end that are thought to be idle, where event time can only go on when they are: one request for
    /// all tasks. Without an answer they count as not idle.
    async fn settle_doubts(&mut self) -> Result<(), SessionEnd> {
        let doubts = |held: &Held| held.task.doubts();
        let sources: BTreeSet<SourcePartitions> = self.tasks.values().flat_map(doubts).collect();
        if sources.is_empty() {
            return Ok(());
        }
        let ends = topics::source_ends(&self.client, &sources, self.worker.ends.as_deref()).await;
        let now = self.client.now();
        for held in self.tasks.values_mut().filter(|held| !held.task.doubts().is_empty()) {
            held.task.settle(now, &|source| ends.get(source).copied(), &mut self.transaction)?;
        }
        Ok(())
    }

    /// Adds the offsets and ends the transaction.
    async fn end_transaction(&mut self, sequence: u64) -> Result<Outcome, SessionEnd> {
        let offsets = self.offsets(sequence);
        let group = self.member.group_metadata();
        let commit = || (!offsets.is_empty()).then_some(GroupOffsets { group: &group, offsets: &offsets });
        if self.worker.control.takes_kill() {
            // As asked: with the records of the transaction at the brokers, and half of the time in the middle of the
            // commit itself, so that its outcome is open.
            let mut rng = Rng::from_seed(self.client.now().as_nanos());
            if rng.below(2) == 1 {
                let moment = Duration::from_micros(rng.below(2_000));
                let _ = tokio::time::timeout(moment, self.transaction.producer.commit(commit())).await;
            }
            return Err(SessionEnd::Killed);
        }
        let Err(error) = self.transaction.producer.commit(commit()).await else { return Ok(Outcome::Done) };
        warn!(worker = %self.worker.transactional_id, %error, "the commit did not succeed");
        Ok(match error {
            CommitError::Unknown(_) => Outcome::Unknown,
            // After `GroupChanged` the group's own event says what to do next.
            CommitError::Abortable(_) | CommitError::GroupChanged(_) => Outcome::MustAbort,
            error => self.fatal(open::commit_error(&error)),
        })
    }

    fn offsets(&self, sequence: u64) -> Vec<(TopicPartition, CommittedOffset)> {
        let transactional_id = self.worker.transactional_id.to_string();
        let metadata = Str::from(OffsetMetadata { transactional_id, sequence }.to_string());
        let offset = |partition: &TopicPartition| CommittedOffset {
            offset: self.tasks[partition].position,
            leader_epoch: LeaderEpoch(-1),
            metadata: metadata.clone(),
        };
        self.committing.iter().map(|partition| (partition.clone(), offset(partition))).collect()
    }

    /// Whether the commit with this sequence is the one that the group has. The offsets of a transaction land together,
    /// so the first tells for all.
    async fn has_landed(&self, sequence: u64) -> Result<bool, SessionEnd> {
        let Some(partition) = self.committing.first() else { return Ok(false) };
        let group = self.member.group_metadata().group_id;
        let committed = fetch_offsets(&self.client, &group, std::slice::from_ref(partition))
            .await
            .map_err(|error| open::offsets_error(&error))?;
        let ours = OffsetMetadata { transactional_id: self.worker.transactional_id.to_string(), sequence };
        let landed = committed.iter().any(|(_, found)| found.as_ref().is_some_and(|found| ours.is_in(&found.metadata)));
        info!(worker = %self.worker.transactional_id, landed, "the outcome of an unanswered commit is known");
        Ok(landed)
    }

    /// Remembers why, for when the machine gives up.
    fn fatal(&mut self, end: SessionEnd) -> Outcome {
        self.failure = Some(end);
        Outcome::Fatal
    }

    fn confirm(&mut self) {
        for partition in self.committing.drain(..) {
            if let Some(held) = self.tasks.get_mut(&partition) {
                held.task.committed();
                held.committed = held.position;
            }
        }
        Counters::add(&self.worker.counters.commits, 1);
        self.publish();
    }

    fn roll_back(&mut self) {
        self.next_fetched = None;
        for (partition, held) in &mut self.tasks {
            held.roll_back();
            self.consumer.seek(partition, held.committed);
            self.consumer.resume(partition);
        }
        Counters::add(&self.worker.counters.aborts, 1);
        self.publish();
    }

    /// Deletes what is committed from the repartition topics, now and then: they have no retention of their own.
    fn purge(&mut self) {
        let now = self.client.now();
        if now.since(self.purged) < self.worker.config.purge_interval {
            return;
        }
        self.purged = now;
        let done: Vec<_> = self
            .tasks
            .iter()
            .filter(|(_, held)| held.is_internal && held.committed.0 > 0)
            .map(|(partition, held)| (partition.clone(), held.committed))
            .collect();
        if done.is_empty() || self.worker.control.is_stopped() {
            return;
        }
        // Not waited for: a leader that is slow must not hold up commits.
        let client = self.client.clone();
        tokio::spawn(async move {
            if let Err(error) = client.delete_records(&done).await {
                warn!(%error, "repartition topics are not purged; the next try comes later");
            }
        });
    }

    /// Writes the counters that others read.
    pub(crate) fn publish(&mut self) {
        let counters = &self.worker.counters;
        let mut lag = 0;
        let mut is_finished = self.is_assigned && self.worker.ends.is_some();
        for held in self.tasks.values_mut() {
            held.publish(counters);
            lag += held.lag;
            is_finished &= held.task.is_finished();
        }
        counters.lag.store(lag, Ordering::Relaxed);
        counters.tasks.store(self.tasks.len() as u64, Ordering::Relaxed);
        counters.is_finished.store(is_finished && self.machine.is_idle(), Ordering::Release);
    }
}
