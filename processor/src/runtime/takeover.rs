//! Taking over partitions: whose work stopped where, what it left open, and what it knew.
//!
//! The order matters, and each step rests on the one before:
//! 1. fence the last owner if it is gone, so that its open transaction aborts now and not at its timeout;
//! 2. read the committed offsets, waiting for transactions that are on their way to an end (`require_stable`, KIP-447);
//! 3. read the changelogs up to the end they had after step 2, skipping what was aborted;
//! 4. only then fetch.

use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::{Client, Consumer, fence, fetch_offsets, fetch_unstable_offsets};
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{Fetched, FetchedBatch};
use kafka_wire::time::Moment;
use kafka_wire::types::{IsolationLevel, Offset};
use tracing::{info, warn};

use super::error::RunError;
use super::output::Transaction;
use super::session::{Session, stop_reading};
use super::status::Counters;
use super::worker::SessionEnd;
use super::{open, topics};
use crate::commit::OffsetMetadata;
use crate::operator::Counters as TaskCounters;
use crate::output::StoreId;
use crate::task::{Task, TaskId};
use crate::topology::SourceKind;

/// A task that this worker holds, and how far it is.
pub(crate) struct Held {
    pub(crate) task: Task,
    /// Next offset to process.
    pub(crate) position: Offset,
    /// What the group has committed for the partition; what a rollback goes back to.
    pub(crate) committed: Offset,
    /// Whether the input is a topic of the job's own, which is purged behind the commits.
    pub(crate) is_internal: bool,
    /// Where a bounded run ends, for a source partition.
    end: Option<Offset>,
    has_ended: bool,
    /// Records between `position` and the end of the partition at the last fetch.
    pub(crate) lag: i64,
    published: TaskCounters,
}

impl Held {
    pub(crate) fn process(
        &mut self,
        batch: &FetchedBatch,
        buffer: &mut Decompressed,
        now: Moment,
        transaction: &mut Transaction,
    ) -> Result<(), SessionEnd> {
        // The end of a bounded run lies between two batches: it was the end of the log once.
        if self.end.is_some_and(|end| batch.position >= end) {
            return Ok(());
        }
        debug_assert!(batch.position >= self.position, "the consumer delivers each offset once");
        let records = batch.open(buffer).map_err(open::consume_error)?;
        self.task.process(0, records, batch.position, now, transaction)?;
        self.position = Offset(batch.batch.header.next_offset()).max(self.position);
        self.task.set_position(0, self.position);
        Ok(())
    }

    /// Whether moving there reaches the end of a bounded run.
    pub(crate) fn reaches_end(&self, position: Offset) -> bool {
        !self.has_ended && self.end.is_some_and(|end| position >= end)
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Moves to the end of a fetch, past markers and gaps, but not past the end of a bounded run.
    pub(crate) fn advance(&mut self, fetched: &Fetched, transaction: &mut Transaction) -> Result<(), SessionEnd> {
        let next = fetched.next_offset();
        let ends = self.reaches_end(next);
        self.position = self.end.map_or(next, |end| next.min(end)).max(self.position);
        self.task.set_position(0, self.position);
        self.lag = (self.end.unwrap_or(fetched.last_stable_offset()).0 - self.position.0).max(0);
        if ends { self.end_of_input(transaction) } else { Ok(()) }
    }

    /// Tells the task that its input is over; needs an open transaction.
    fn end_of_input(&mut self, transaction: &mut Transaction) -> Result<(), SessionEnd> {
        if let Some(end) = self.end {
            self.has_ended = true;
            self.task.end_of_input(0, end, transaction)?;
        }
        Ok(())
    }

    /// Back to what is committed.
    pub(crate) fn roll_back(&mut self) {
        self.task.rolled_back();
        self.position = self.committed;
        self.has_ended = false;
    }

    /// Adds what the task has done since the last call.
    pub(crate) fn publish(&mut self, counters: &Counters) {
        let now = self.task.status().counters;
        let before = std::mem::replace(&mut self.published, now);
        // A rollback takes back what was counted; what the process did is not undone for those who watch it.
        let add = |counter, now: u64, before: u64| Counters::add(counter, now.saturating_sub(before));
        if !self.is_internal {
            add(&counters.records_in, now.records_in, before.records_in);
        }
        add(&counters.records_out, now.records_out, before.records_out);
        add(&counters.late, now.late, before.late);
        add(&counters.undecodable, now.undecodable, before.undecodable);
        if now.undecodable > before.undecodable {
            let skipped = now.undecodable - before.undecodable;
            let (input, position) = (&self.task.inputs()[0], self.position);
            warn!(%input, %position, skipped, "records before this position could not be decoded and were left out");
        }
    }
}

impl Session<'_> {
    /// Makes exactly `partitions` the worker's. Tasks that stay keep their state: the group's eager rebalance leaves
    /// nobody else a chance to have touched their partitions.
    pub(crate) async fn take_over(
        &mut self,
        generation: i32,
        partitions: Vec<TopicPartition>,
        live_ids: Vec<String>,
    ) -> Result<(), SessionEnd> {
        let missed_one = self.generation.replace(generation).is_some_and(|last| generation > last + 1);
        if missed_one {
            // In a generation that went by without an assignment for us, others may have had any of the partitions.
            self.consumer.unassign_all();
            self.tasks.clear();
        }
        let gone: Vec<TopicPartition> = self.tasks.keys().filter(|held| !partitions.contains(held)).cloned().collect();
        for partition in gone {
            self.consumer.unassign(&partition);
            self.tasks.remove(&partition);
        }
        // What was fetched for a partition that is gone is of no use when it comes back: its new task begins elsewhere.
        let is_stale = |next: &Result<Fetched, _>| {
            !next.as_ref().is_ok_and(|fetched| self.tasks.contains_key(fetched.partition()))
        };
        if self.next_fetched.as_ref().is_some_and(is_stale) {
            self.next_fetched = None;
        }
        let new: Vec<TopicPartition> =
            partitions.into_iter().filter(|partition| !self.tasks.contains_key(partition)).collect();
        self.fence_the_gone(&new, live_ids).await?;
        let group = self.member.group_metadata().group_id;
        let committed = fetch_offsets(&self.client, &group, &new).await.map_err(|error| open::offsets_error(&error))?;
        for (partition, committed) in committed {
            self.hold(partition, committed).await?;
        }
        self.end_what_is_at_its_end()?;
        self.is_assigned = true;
        self.worker.counters.is_running.store(true, std::sync::atomic::Ordering::Relaxed);
        self.publish();
        if !new.is_empty() {
            info!(worker = %self.worker.transactional_id, tasks = self.tasks.len(), new = new.len(), "took partitions over");
        }
        Ok(())
    }

    /// Fences members of the last assignment that this one lacks, and whoever committed last for a new partition and is
    /// no member any more. A member that lives is never fenced: it may hold other partitions.
    async fn fence_the_gone(&mut self, new: &[TopicPartition], live_ids: Vec<String>) -> Result<(), SessionEnd> {
        let before = std::mem::replace(&mut self.live_ids, live_ids);
        if self.live_ids.is_empty() {
            return Ok(());
        }
        let mut gone: Vec<String> = before.into_iter().filter(|id| !self.live_ids.contains(id)).collect();
        let group = self.member.group_metadata().group_id;
        let unstable =
            fetch_unstable_offsets(&self.client, &group, new).await.map_err(|error| open::offsets_error(&error))?;
        for (_, committed) in unstable {
            if let Some(metadata) = committed.as_ref().and_then(|committed| OffsetMetadata::parse(&committed.metadata))
                && !self.live_ids.contains(&metadata.transactional_id)
            {
                gone.push(metadata.transactional_id);
            }
        }
        gone.sort_unstable();
        gone.dedup();
        for id in gone {
            info!(worker = %self.worker.transactional_id, gone = id, "fencing a worker that is gone");
            if let Err(error) = fence(&self.client, &id).await {
                // Its transaction ends at its timeout then: slower, and as correct.
                warn!(gone = id, %error, "a worker that is gone could not be fenced");
            }
        }
        Ok(())
    }

    /// Builds the task of a partition, restores it, and fetches from where the group is.
    async fn hold(&mut self, partition: TopicPartition, committed: Option<CommittedOffset>) -> Result<(), SessionEnd> {
        let worker = self.worker;
        let topology = &worker.topology;
        let (Some(sub_topology), Some(source)) =
            (topology.reader_of(&partition.topic), topology.source(&partition.topic))
        else {
            return Err(SessionEnd::Fatal(RunError::Refused(format!(
                "group {} assigned topic {}, which this job does not read: another program uses the same application id",
                worker.topology.application_id(),
                partition.topic
            ))));
        };
        let partitions = self.client.topic(&partition.topic).await.map_err(|error| open::metadata_error(&error))?;
        let count = i32::try_from(partitions.partitions.len()).unwrap_or(i32::MAX);
        let id = TaskId { sub_topology: sub_topology.id(), partition: partition.partition };
        let mut task = Task::new(topology, id, &[count]);
        task.set_wall_clock(open::wall_at_zero(&self.client));
        let mut restored = 0;
        for &store in sub_topology.stores() {
            restored += self.restore(&mut task, store, &partition).await?;
        }
        if committed.is_none() && restored > 0 {
            // They are written in one transaction. Without the offsets, all input would be counted again.
            return Err(SessionEnd::Fatal(RunError::Refused(format!(
                "group {} has no offset for {partition}, but its state is there ({restored} changelog records): the offsets \
                 expired (offsets.retention.minutes) or were deleted. Take another application id to start anew, or set \
                 the group's offsets to where the state was",
                worker.topology.application_id()
            ))));
        }
        let position = match committed {
            Some(committed) => committed.offset,
            None => offset(&self.client, &partition, OffsetSpec::Earliest).await?,
        };
        let is_internal = source.kind != SourceKind::External;
        let mut end = None;
        if let Some(ends) = &worker.ends {
            match topology.expected_ends(source, ends) {
                Some(expected) => task.expect_ends(0, expected),
                // A partition that is younger than the run has no part in it.
                None => end = Some(topics::end_of(ends, &partition).unwrap_or_default()),
            }
        }
        task.set_position(0, position);
        let published = task.status().counters;
        let held = Held { task, position, committed: position, is_internal, end, has_ended: false, lag: 0, published };
        self.consumer.assign(partition.clone(), position);
        self.tasks.insert(partition, held);
        Ok(())
    }

    /// In a bounded run a task may be at its end from the start: an empty partition, or one that the last owner finished.
    fn end_what_is_at_its_end(&mut self) -> Result<(), SessionEnd> {
        if self.worker.ends.is_none() {
            return Ok(());
        }
        self.begin()?;
        let now = self.client.now();
        for (partition, held) in &mut self.tasks {
            if held.reaches_end(held.position) {
                held.end_of_input(&mut self.transaction)?;
                stop_reading(&mut self.consumer, partition, held.position);
            }
            held.task.tick(now, &mut self.transaction)?;
        }
        Ok(())
    }

    /// Reads a changelog partition to the end that it has now. The end is that of all records, committed or not: the
    /// owner before may have committed a moment ago, and aborted stretches are passed on the way, not ended at.
    async fn restore(&mut self, task: &mut Task, store: StoreId, input: &TopicPartition) -> Result<u64, SessionEnd> {
        let topology = &self.worker.topology;
        let topic = topology.sinks()[topology.stores()[store.0].changelog.0].topic.as_str();
        let changelog = TopicPartition::new(topic, input.partition);
        let end = offset(&self.client, &changelog, OffsetSpec::Latest).await?;
        let start = offset(&self.client, &changelog, OffsetSpec::Earliest).await?;
        if start >= end {
            return Ok(0);
        }
        let started = self.client.now();
        let mut consumer = Consumer::new(self.client.clone(), open::consumer_config(&self.worker.config));
        consumer.assign(changelog.clone(), start);
        let mut position = start;
        let mut restored = 0;
        while position < end {
            let mut fetched = tokio::select! {
                biased;
                () = self.worker.control.stopped() => return Err(SessionEnd::Restart("stopped while restoring".to_owned())),
                fetched = consumer.poll() => fetched.map_err(open::consume_error)?,
            };
            while let Some(batch) = fetched.next_batch() {
                let batch = batch.map_err(open::consume_error)?;
                restored += restore_batch(task, store, &batch, &mut self.buffer)?;
            }
            position = fetched.next_offset();
        }
        Counters::add(&self.worker.counters.restored, restored);
        let took = self.client.now().since(started);
        info!(worker = %self.worker.transactional_id, %changelog, restored, ?took, "restored");
        Ok(restored)
    }
}

fn restore_batch(
    task: &mut Task,
    store: StoreId,
    batch: &FetchedBatch,
    buffer: &mut Decompressed,
) -> Result<u64, SessionEnd> {
    let mut restored = 0;
    for record in batch.open(buffer).map_err(open::consume_error)? {
        let record = record.map_err(|cause| open::consume_error(batch.corrupt(cause)))?;
        if record.offset >= batch.position.0 {
            task.restore(store, record.key.unwrap_or_default(), record.value)?;
            restored += 1;
        }
    }
    Ok(restored)
}

async fn offset(client: &Client, partition: &TopicPartition, spec: OffsetSpec) -> Result<Offset, SessionEnd> {
    let listed = client
        .list_offsets(&[(partition.clone(), spec)], IsolationLevel::ReadUncommitted)
        .await
        .map_err(|error| SessionEnd::Restart(error.to_string()))?;
    Ok(listed.first().and_then(|listed| listed.offset).unwrap_or_default())
}
