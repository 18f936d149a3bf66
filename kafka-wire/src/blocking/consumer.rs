//! A consumer of a group whose calls block.

use std::time::Duration;

use tokio::time::timeout;

use super::Runtime;
use crate::client::{
    self, BatchRecords, ConsumerRecord, GroupConsumerError, OffsetCommitError, OffsetsError, Polled, Subscription,
};
use crate::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use crate::consumer::Watermarks;
use crate::metrics::ConsumerMetrics;
use crate::types::Offset;
use crate::wire::Str;

/// A member of a consumer group. See [`client::GroupConsumer`] for its guarantees.
///
/// Heartbeats and fetches go on between the calls. Every call that waits panics if async code makes it.
#[derive(Debug)]
pub struct GroupConsumer {
    runtime: Runtime,
    consumer: client::GroupConsumer,
}

impl GroupConsumer {
    pub(super) const fn new(runtime: Runtime, consumer: client::GroupConsumer) -> Self {
        Self { runtime, consumer }
    }

    /// Waits for records of one partition, or for a change of the assignment; `None` after `wait` without any.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::poll`].
    #[track_caller]
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Polled<'_>>, GroupConsumerError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(async { timeout(wait, consumer.poll()).await.ok().transpose() })
    }

    /// Waits for records of one partition, which borrow what was fetched; `None` after `wait` without any.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::poll`].
    #[track_caller]
    pub fn next_batch(&mut self, wait: Duration) -> Result<Option<BatchRecords<'_>>, GroupConsumerError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(async { timeout(wait, consumer.next_batch()).await.ok().transpose() })
    }

    /// Waits for the next record; `None` after `wait` without any. It counts as processed when the next one is asked
    /// for.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::poll`].
    #[track_caller]
    pub fn next(&mut self, wait: Duration) -> Result<Option<ConsumerRecord>, GroupConsumerError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(async { timeout(wait, consumer.next()).await.ok().transpose() })
    }

    /// Commits the position of every partition, and waits for the answer.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::commit`].
    #[track_caller]
    pub fn commit(&mut self) -> Result<(), OffsetCommitError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(consumer.commit())
    }

    /// Commits the position of every partition without waiting. A failure is logged as a warning.
    pub fn commit_async(&mut self) {
        drop(self.consumer.commit_async());
    }

    /// Commits these offsets, each that of the next record to read.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::commit_offsets`].
    #[track_caller]
    pub fn commit_offsets(&mut self, offsets: Vec<(TopicPartition, CommittedOffset)>) -> Result<(), OffsetCommitError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(consumer.commit_offsets(offsets))
    }

    /// Commits these offsets without waiting. A failure is logged as a warning.
    pub fn commit_offsets_async(&mut self, offsets: Vec<(TopicPartition, CommittedOffset)>) {
        drop(self.consumer.commit_offsets_async(offsets));
    }

    /// Returns the offsets that the group has committed, in the order of `partitions`.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::committed`].
    #[track_caller]
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Option<CommittedOffset>)>, OffsetsError> {
        self.runtime.block_on(self.consumer.committed(partitions))
    }

    /// Returns the next offset to be handed out.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// Returns the number of records between the position and the end, as of the last fetch.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.consumer.lag(partition)
    }

    /// Returns the ends of an assigned partition, as of the last fetch.
    #[must_use]
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        self.consumer.watermarks(partition)
    }

    /// As [`seek`](Self::seek), to an offset with the epoch that was committed with it. See
    /// [`client::GroupConsumer::seek_to`].
    pub fn seek_to(&mut self, partition: &TopicPartition, to: CommittedOffset) -> bool {
        self.consumer.seek_to(partition, to)
    }

    /// Moves the position of an assigned partition. Returns whether it is assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        self.consumer.seek(partition, offset)
    }

    /// Stops handing out a partition until it is resumed. Returns whether it is assigned.
    pub fn pause(&mut self, partition: &TopicPartition) -> bool {
        self.consumer.pause(partition)
    }

    /// Resumes a paused partition. Returns whether it is assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> bool {
        self.consumer.resume(partition)
    }

    /// Returns the assigned partitions, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment()
    }

    /// Returns the topics that are read; see [`client::GroupConsumer::subscription`].
    #[must_use]
    pub fn subscription(&self) -> &[Str] {
        self.consumer.subscription()
    }

    /// Subscribes to other topics.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::subscribe`].
    #[track_caller]
    pub fn subscribe(&mut self, subscription: Subscription) -> Result<(), GroupConsumerError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(async { consumer.subscribe(subscription) })
    }

    /// Returns the membership, for commits in transactions.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        self.consumer.group_metadata()
    }

    /// Returns the offsets of what was handed out since the last commit, for commits in transactions.
    #[must_use]
    pub fn uncommitted(&mut self) -> Vec<(TopicPartition, CommittedOffset)> {
        self.consumer.uncommitted()
    }

    /// Notes that these offsets were committed in a transaction.
    pub fn mark_committed(&mut self, offsets: &[(TopicPartition, CommittedOffset)]) {
        self.consumer.mark_committed(&offsets.to_vec());
    }

    /// Goes back to the last commit, after a transaction that was aborted.
    pub fn rewind(&mut self) {
        self.consumer.rewind();
    }

    /// The numbers of what it has fetched so far, with the lags of the assigned partitions.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        self.consumer.metrics()
    }

    /// Commits, if it does so by itself, and leaves the group.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::close`].
    #[track_caller]
    pub fn close(self) -> Result<(), OffsetCommitError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(consumer.close())
    }

    /// As [`close`](Self::close), but the partitions of a static member wait for the process that comes back.
    ///
    /// # Errors
    /// As for [`client::GroupConsumer::close_to_return`].
    #[track_caller]
    pub fn close_to_return(self) -> Result<(), OffsetCommitError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(consumer.close_to_return())
    }
}
