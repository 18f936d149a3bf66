//! A consumer without a group whose calls block.

use std::time::Duration;

use tokio::time::timeout;

use super::Runtime;
use crate::client::{self, ConsumeError, Fetched};
use crate::cluster::TopicPartition;
use crate::consumer::Watermarks;
use crate::metrics::ConsumerMetrics;
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::Str;

/// Reads the partitions that it is assigned; it belongs to no group. See [`client::Consumer`].
///
/// Made by [`Client::consumer`](super::Client::consumer). Fetches go on between the calls. [`poll`](Self::poll) panics
/// if async code calls it.
#[derive(Debug)]
pub struct Consumer {
    runtime: Runtime,
    consumer: client::Consumer,
}

impl Consumer {
    pub(super) const fn new(runtime: Runtime, consumer: client::Consumer) -> Self {
        Self { runtime, consumer }
    }

    /// Waits for data of any partition; `None` after `wait` without any.
    ///
    /// # Errors
    /// As for [`client::Consumer::poll`].
    #[track_caller]
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Fetched>, ConsumeError> {
        let Self { runtime, consumer } = self;
        runtime.block_on(async { timeout(wait, consumer.poll()).await.ok().transpose() })
    }

    /// The result that [`poll`](Self::poll) would return without waiting.
    pub fn try_poll(&mut self) -> Option<Result<Fetched, ConsumeError>> {
        self.consumer.try_poll()
    }

    /// Reads the partition from `offset` on.
    pub fn assign(&mut self, partition: TopicPartition, offset: Offset) {
        self.consumer.assign(partition, offset);
    }

    /// As [`assign`](Self::assign), with the epoch of the record before `offset`.
    pub fn assign_at(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        self.consumer.assign_at(partition, offset, epoch);
    }

    /// Reads the partition from where [`ConsumerConfig::reset`](crate::consumer::ConsumerConfig::reset) says.
    pub fn assign_by_reset(&mut self, partition: TopicPartition) {
        self.consumer.assign_by_reset(partition);
    }

    /// Stops reading the partition. Returns whether it was assigned.
    pub fn unassign(&mut self, partition: &TopicPartition) -> bool {
        self.consumer.unassign(partition)
    }

    /// Stops reading all partitions.
    pub fn unassign_all(&mut self) {
        self.consumer.unassign_all();
    }

    /// Moves the position. Returns whether the partition is assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        self.consumer.seek(partition, offset)
    }

    /// Hands out nothing of the partition below `offset` any more, without a seek.
    pub fn skip_to(&mut self, partition: &TopicPartition, offset: Offset) {
        self.consumer.skip_to(partition, offset);
    }

    /// Stops handing out a partition until it is resumed. Returns whether it is assigned.
    pub fn pause(&mut self, partition: &TopicPartition) -> bool {
        self.consumer.pause(partition)
    }

    /// Resumes a paused partition. Returns whether it is assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> bool {
        self.consumer.resume(partition)
    }

    /// `client.rack`; see [`client::Consumer::set_rack`].
    pub fn set_rack(&mut self, rack: impl Into<Str>) {
        self.consumer.set_rack(rack);
    }

    /// The replica from which the partition is read instead of from its leader.
    #[must_use]
    pub fn replica(&self, partition: &TopicPartition) -> Option<BrokerId> {
        self.consumer.replica(partition)
    }

    /// The assigned partitions, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.assignment()
    }

    /// Returns the offset at which the next poll of this partition starts.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// The ends of the partition, as of its last fetch.
    #[must_use]
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        self.consumer.watermarks(partition)
    }

    /// Returns the ends of the partition as of a fetch that ended at most `age_max` ago. `None` if there was none, or
    /// if the last one failed.
    #[must_use]
    pub fn watermarks_within(&self, partition: &TopicPartition, age_max: Duration) -> Option<Watermarks> {
        self.consumer.watermarks_within(partition, age_max)
    }

    /// Returns the number of offsets between the position and the end, as of the last fetch.
    #[must_use]
    pub fn lag(&self, partition: &TopicPartition) -> Option<u64> {
        self.consumer.lag(partition)
    }

    /// The numbers of what it has fetched so far, with the lags of the assigned partitions.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        self.consumer.metrics()
    }
}
