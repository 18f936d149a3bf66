//! The consumer for most programs: a member of a group that reads the partitions which the group assigns to it.
//!
//! [`Ownership`] decides without I/O how a rebalance affects the partitions. This module connects it with the
//! membership, with the consumer that fetches, and with the coordinator. All of this happens in polls:
//! between two polls nothing changes for the user.

mod committer;
mod config;
mod error;
mod topics;
mod turn;

use std::collections::VecDeque;

use tokio::task::JoinSet;
use tracing::{debug, warn};

pub use committer::PendingCommit;
use committer::{Committer, Offsets, Origin};
#[cfg(feature = "pattern")]
pub use config::InvalidPattern;
pub use config::{
    GroupConsumerBuilder, GroupConsumerConfig, MissingTopic, Subscription, SubscriptionPattern, TopicPattern,
};
pub use error::{GroupConsumerError, OffsetCommitError};
use topics::{Found, TopicWatch};

use super::{BatchReader, Client, Consumer, GroupMember, MetadataError, OffsetsError, RequestError, fetch_offsets};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::compression::Decompressed;
use crate::consumer::{BatchRecords, ConsumerRecord, FetchedBatch, Watermarks};
pub use crate::group::ownership::AssignmentChange;
use crate::group::ownership::Ownership;
use crate::group::{GroupError, GroupProtocol};
use crate::metrics::ConsumerMetrics;
use crate::types::Offset;
use crate::wire::Str;

/// Reads topics as a member of a consumer group.
///
/// [`next`](Self::next) returns one record after the other, [`next_batch`](Self::next_batch) batches whose records
/// borrow the fetched memory, and [`poll`](Self::poll) batches and changes of the assignment, for programs that keep
/// state for each partition.
///
/// **Records of a partition are handed out only after [`Assigned`](AssignmentChange::Assigned) for it, and never after
/// [`Revoking`](AssignmentChange::Revoking) or [`Lost`](AssignmentChange::Lost) for it**: when `poll` returns one
/// of these, no record of the partition is under way.
///
/// Records that were handed out count as processed at the next poll. From then on the automatic commit may commit
/// them, and [`commit`](Self::commit) does so at once. A program that ends before the commit reads them again (at least
/// once). Background tasks fetch ahead and keep the membership alive, but the assignment changes only in polls;
/// see [`GroupConsumerConfig::max_poll_interval`].
///
/// ```no_run
/// use kafka_wire::client::{GroupConsumer, ResetPolicy};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut consumer = GroupConsumer::builder("billing")
///     .topics(["orders"])
///     .auto_offset_reset(ResetPolicy::Earliest)
///     .connect("localhost:9092")
///     .await?;
/// for _ in 0..100 {
///     let record = consumer.next().await?;
///     println!("{}-{} @ {}: {:?}", record.topic, record.partition, record.offset, record.value);
/// }
/// consumer.close().await?; // Commits, and hands the partitions over at once.
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    config: GroupConsumerConfig,
    /// The topics that the pattern matched, or those of the list.
    topics: Vec<Str>,
    member: GroupMember,
    reader: BatchReader,
    ownership: Ownership,
    committer: Committer,
    watch: TopicWatch,
    tasks: JoinSet<Done>,
    /// The batch that was handed out last.
    current: Option<FetchedBatch>,
    buffer: Decompressed,
    /// Records of `current` that `next` still has to hand out.
    records: VecDeque<ConsumerRecord>,
    /// The error by which the member left its group.
    failed: Option<GroupConsumerError>,
    /// An error that the next poll returns.
    trouble: Option<GroupConsumerError>,
    /// Look-ups that failed and are tried again.
    retry: Vec<(u64, Vec<TopicPartition>)>,
    /// Whether the coordinator was last told a pattern.
    has_broker_pattern: bool,
    is_closed: bool,
}

/// The outcome of a poll.
#[derive(Debug)]
pub enum Polled<'c> {
    /// Records of one partition, in order.
    Batch(BatchRecords<'c>),
    /// Something happened to the assignment.
    Assignment(AssignmentChange),
}

enum Next {
    /// `current` is to be handed out.
    Batch,
    /// One of `records`.
    Record(ConsumerRecord),
    Assignment(AssignmentChange),
}

/// The result of work in the background.
#[derive(Debug)]
enum Done {
    Offsets {
        round: u64,
        partitions: Vec<TopicPartition>,
        found: Result<Vec<FoundOffset>, OffsetsError>,
    },
    /// With the number of the look-up.
    Looked(u64, Result<Found, RequestError>),
}

type FoundOffset = (TopicPartition, Option<CommittedOffset>);

/// Construction, polls and the end.
impl GroupConsumer {
    /// Makes a builder.
    pub fn builder(group_id: impl Into<Str>) -> GroupConsumerBuilder {
        GroupConsumerBuilder::new(group_id.into())
    }

    /// Makes a consumer that begins to join its group; polls tell the rest.
    ///
    /// # Errors
    /// If the topics of a pattern cannot be looked up, or the settings contradict each other.
    pub async fn new(client: Client, config: GroupConsumerConfig) -> Result<Self, GroupConsumerError> {
        check_protocol(&config, &config.subscription)?;
        let topics = match &config.subscription {
            Subscription::Topics(topics) => topics.clone(),
            Subscription::Pattern(pattern) => topics::matching(&client, pattern).await.map_err(unreachable)?,
            Subscription::BrokerPattern(_) => Vec::new(),
        };
        let group = config.group(&client, topics.clone());
        let now = client.now();
        let ownership = Ownership::new(group.exchange(), config.auto_commit_interval, now);
        let member = GroupMember::join(client.clone(), group);
        // A consumer that is never polled must not hold partitions for ever.
        member.mark_polled();
        let mut consumer = Consumer::new(client.clone(), config.consumer());
        consumer.set_rack(config.rack.clone().unwrap_or_default());
        Ok(Self {
            ownership,
            member,
            reader: BatchReader::new(consumer),
            committer: Committer::start(client.clone()),
            watch: TopicWatch::new(&config, now),
            tasks: JoinSet::new(),
            current: None,
            buffer: Decompressed::new(config.decompression_limit_bytes),
            records: VecDeque::new(),
            failed: None,
            trouble: None,
            retry: Vec::new(),
            has_broker_pattern: config.broker_pattern().is_some(),
            is_closed: false,
            topics,
            client,
            config,
        })
    }

    /// Waits for records, or for a change of the assignment.
    ///
    /// A batch that is dropped before its last record counts as processed, like one that was read to the end.
    /// Cancel safe: a cancelled poll loses nothing, and the next poll returns it.
    ///
    /// # Errors
    /// See [`GroupConsumerError`]: after every error but `Group` the caller may poll again.
    pub async fn poll(&mut self) -> Result<Polled<'_>, GroupConsumerError> {
        self.give_back_records();
        match self.advance().await? {
            Next::Assignment(change) => Ok(Polled::Assignment(change)),
            Next::Batch | Next::Record(_) => self.open_current().map(Polled::Batch),
        }
    }

    /// Waits for records, for programs that need not know of changes of the assignment. Cancel safe.
    ///
    /// # Errors
    /// As for [`poll`](Self::poll).
    pub async fn next_batch(&mut self) -> Result<BatchRecords<'_>, GroupConsumerError> {
        self.give_back_records();
        while let Next::Assignment(_) = self.advance().await? {}
        self.open_current()
    }

    /// Waits for the next record, which the caller may keep. Cancel safe.
    ///
    /// The record counts as processed when the next one is asked for.
    ///
    /// # Errors
    /// As for [`poll`](Self::poll).
    pub async fn next(&mut self) -> Result<ConsumerRecord, GroupConsumerError> {
        loop {
            match self.next_or_change().await? {
                Ok(record) => return Ok(record),
                Err(change) => debug!(group = %self.config.group_id, ?change, "assignment"),
            }
        }
    }

    /// As [`next`](Self::next), but changes of the assignment are returned, too. Cancel safe.
    pub(super) async fn next_or_change(
        &mut self,
    ) -> Result<Result<ConsumerRecord, AssignmentChange>, GroupConsumerError> {
        loop {
            match self.advance().await? {
                Next::Assignment(change) => return Ok(Err(change)),
                Next::Batch => {
                    let batch = self.current.as_ref().expect("a batch was found");
                    self.records = batch.to_owned_records(&mut self.buffer)?.into();
                }
                Next::Record(record) => return Ok(Ok(record)),
            }
        }
    }

    /// Commits the offsets of the records that were handed out, if `auto_commit_interval` is set, waits for the commits
    /// that were asked for, and leaves the group, so that other members take over at once.
    ///
    /// Not cancel safe: if it is dropped before the end, other members get the partitions only after
    /// the session timeout.
    ///
    /// # Errors
    /// The errors of the commit; the member leaves the group all the same.
    pub async fn close(mut self) -> Result<(), OffsetCommitError> {
        let committed = self.commit_last().await;
        self.member.leave_and_wait().await;
        committed
    }

    /// As [`close`](Self::close), but the partitions of a static member wait for a session timeout for the process that
    /// comes back under the same `group.instance.id`, as for a restart. A member without an instance id leaves.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub async fn close_to_return(mut self) -> Result<(), OffsetCommitError> {
        let committed = self.commit_last().await;
        self.member.leave_to_return().await;
        committed
    }

    async fn commit_last(&mut self) -> Result<(), OffsetCommitError> {
        self.is_closed = true;
        match self.config.auto_commit_interval {
            Some(_) => self.commit().await,
            // Commits have their turns in order, so the last one is behind all that were asked for. Whoever asked for
            // one was told of its failure, or it was logged.
            None => {
                let _ = self.commit_offsets_async(Vec::new()).await;
                Ok(())
            }
        }
    }
}

/// Offsets.
impl GroupConsumer {
    /// Commits the position of every partition, and waits for the answer. The position is behind the whole batch after
    /// `poll` and `next_batch`, and behind the record after `next`. Without a new position, no request is sent.
    ///
    /// Cancel safe: the commit goes on.
    ///
    /// # Errors
    /// See [`OffsetCommitError`], in which a stale generation is a variant of its own.
    pub async fn commit(&mut self) -> Result<(), OffsetCommitError> {
        self.note_positions();
        let offsets = self.ownership.uncommitted();
        self.commit_offsets(offsets).await
    }

    /// As [`commit`](Self::commit), without waiting. Commits are made in the order in which they are asked for;
    /// a failure that nobody awaits is logged as a warning.
    pub fn commit_async(&mut self) -> PendingCommit {
        self.note_positions();
        let offsets = self.ownership.uncommitted();
        self.commit_offsets_async(offsets)
    }

    /// Commits these offsets, each that of the next record to read, with the metadata and leader epochs as given.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    pub async fn commit_offsets(&mut self, offsets: Offsets) -> Result<(), OffsetCommitError> {
        let done = self.commit_offsets_async(offsets).await;
        self.take_outcomes();
        done
    }

    /// As [`commit_offsets`](Self::commit_offsets) without waiting.
    pub fn commit_offsets_async(&mut self, offsets: Offsets) -> PendingCommit {
        self.committer.commit(&self.member, offsets, Origin::User)
    }

    /// Returns the offsets that the group has committed, in the order of `partitions`; `None` for a partition
    /// without one.
    ///
    /// # Errors
    /// If the coordinator does not answer or refuses.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<FoundOffset>, OffsetsError> {
        fetch_offsets(&self.client, &self.config.group_id, partitions).await
    }

    /// Returns the next offset to be handed out; `None` if the partition is not assigned, or its first offset is
    /// still being looked up.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        let known = self.ownership.position(partition).map(|position| position.offset);
        known.or_else(|| self.reader.consumer().position(partition).filter(|_| self.ownership.holds(partition)))
    }

    /// Returns the number of records between the position and the end (the last stable offset if only committed records
    /// are read), as of the last fetch. `None` before the first fetch.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        Some(self.watermarks(partition)?.lag(self.config.isolation, self.position(partition)?))
    }

    /// The numbers of what it has fetched so far, with the lags of the assigned partitions.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        let mut metrics = self.reader.consumer().metrics();
        for (partition, of_partition) in &mut metrics.partitions {
            of_partition.lag = self.lag(partition);
        }
        metrics
    }

    /// Returns the ends of the partition as of its last fetch.
    #[must_use]
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        self.reader.consumer().watermarks(partition)
    }

    /// Goes on from another offset of the log as it is now, whatever was read before. Returns whether the partition
    /// is assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        self.seek_to(partition, CommittedOffset::new(offset))
    }

    /// As [`seek`](Self::seek), to an offset that was kept with the epoch of the record before it: if the log was cut
    /// before it, that is noticed, as it is for the group's committed offsets.
    pub fn seek_to(&mut self, partition: &TopicPartition, to: CommittedOffset) -> bool {
        let is_held = self.ownership.handle_seek(partition, to.clone());
        if is_held {
            self.forget(partition);
            self.reader.assign_at(partition.clone(), to.offset, to.leader_epoch);
            self.keep_paused(partition);
        }
        is_held
    }

    /// Hands out no records of the partition until it is resumed. Returns whether it is assigned; right after
    /// [`Assigned`](AssignmentChange::Assigned), none has been handed out yet.
    pub fn pause(&mut self, partition: &TopicPartition) -> bool {
        self.give_back_records();
        self.reader.pause(partition);
        self.ownership.handle_paused(partition, true)
    }

    /// Resumes a paused partition. Returns whether it is assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> bool {
        self.reader.resume(partition);
        self.ownership.handle_paused(partition, false)
    }
}

/// The group.
impl GroupConsumer {
    /// The assigned partitions, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.ownership.partitions().cloned().collect()
    }

    /// Returns the topics that are read: those of the list, or those that the pattern matched last. A pattern for the
    /// broker has none here: see [`assignment`](Self::assignment).
    #[must_use]
    pub fn subscription(&self) -> &[Str] {
        &self.topics
    }

    /// Reads other topics from now on: assigned partitions of other topics are given up, as in a rebalance.
    ///
    /// # Errors
    /// For a pattern that the group's protocol does not have; the consumer goes on as before.
    pub fn subscribe(&mut self, subscription: Subscription) -> Result<(), GroupConsumerError> {
        check_protocol(&self.config, &subscription)?;
        self.config.subscription = subscription;
        match &self.config.subscription {
            Subscription::Topics(topics) => self.set_topics(topics.clone()),
            // The topics are looked up first.
            Subscription::Pattern(_) => {}
            Subscription::BrokerPattern(_) => self.set_topics(Vec::new()),
        }
        self.watch.restart(&self.config, self.client.now());
        Ok(())
    }

    /// Returns the membership, to be sent with the offsets of a transaction: read it anew for each one.
    /// Source: KIP-447.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        self.member.group_metadata()
    }

    /// Returns the positions that the group does not know yet, for a transaction
    /// ([`send_offsets_to_transaction`](super::Producer::send_offsets_to_transaction)). Call
    /// [`mark_committed`](Self::mark_committed) when it is committed, and [`rewind`](Self::rewind) when it is aborted.
    pub fn uncommitted(&mut self) -> Offsets {
        self.note_positions();
        self.ownership.uncommitted()
    }

    /// Notes that these offsets were committed by something else, for example by a transaction.
    pub fn mark_committed(&mut self, offsets: &Offsets) {
        self.ownership.handle_settled(offsets);
    }

    /// Goes back to the committed offsets, or to where reading began, after a transaction was aborted.
    pub fn rewind(&mut self) {
        self.note_positions();
        for (partition, start) in self.ownership.rewind() {
            self.forget(&partition);
            self.reader.assign_at(partition, start.offset, start.leader_epoch);
        }
    }
}

impl Drop for GroupConsumer {
    fn drop(&mut self) {
        let uncommitted = self.ownership.uncommitted().len();
        if !self.is_closed && self.failed.is_none() {
            warn!(
                group = %self.config.group_id,
                uncommitted,
                "a consumer was dropped without close: offsets of {uncommitted} partitions are not committed, so what was read of \
                 them since the last commit is read again; others get its partitions after session.timeout.ms"
            );
        }
    }
}

/// Checks that a pattern for the broker meets a protocol that has one, and that a member can stay in its group.
fn check_protocol(config: &GroupConsumerConfig, subscription: &Subscription) -> Result<(), GroupConsumerError> {
    let detail = match (config.group_protocol, subscription) {
        (GroupProtocol::Classic, Subscription::BrokerPattern(_)) => {
            "a pattern that the broker evaluates takes group.protocol=consumer"
        }
        // The session would end before the first heartbeat.
        (GroupProtocol::Classic, _) if config.heartbeat_interval >= config.session_timeout => {
            "heartbeat.interval.ms has to be below session.timeout.ms, at most a third of it"
        }
        _ => return Ok(()),
    };
    let group_id = config.group_id.clone();
    Err(GroupConsumerError::Group(GroupError::Unsupported { group_id, detail: detail.to_owned() }))
}

fn unreachable(error: RequestError) -> GroupConsumerError {
    GroupConsumerError::Metadata(MetadataError::Request(error))
}
