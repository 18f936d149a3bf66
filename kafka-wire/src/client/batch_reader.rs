//! A consumer that is read batch by batch, with what it has in hand.

use std::collections::VecDeque;

use super::Consumer;
use crate::cluster::TopicPartition;
use crate::consumer::{ConsumeError, Fetched, FetchedBatch};
use crate::types::{LeaderEpoch, Offset};

/// Reads the partitions of a [`Consumer`] batch by batch, and holds the fetches that are not read to their ends.
///
/// A fetch is in hand from the moment at which it is taken until its last batch is read. That is what a reader needs to
/// know whether more records follow at once, and to stop in the middle of a fetch. But it makes a fetch outlive its
/// assignment. So partitions are assigned, moved and taken away here: whatever is in hand of a partition goes with
/// its former position, and no batch of it is ever read.
///
/// For a program whose group assigns the partitions, [`GroupConsumer`](super::GroupConsumer) does all of this.
#[derive(Debug)]
pub struct BatchReader {
    consumer: Consumer,
    /// Fetches in the order in which they are read.
    queue: VecDeque<Reading>,
    /// Fetches of paused partitions.
    paused: Vec<Reading>,
}

/// One fetch of a partition, and a batch of it that is to be read again.
#[derive(Debug)]
struct Reading {
    again: Option<FetchedBatch>,
    fetched: Fetched,
}

/// The partitions.
impl BatchReader {
    /// Reads the partitions of this consumer.
    #[must_use]
    pub const fn new(consumer: Consumer) -> Self {
        Self { consumer, queue: VecDeque::new(), paused: Vec::new() }
    }

    /// The consumer, for its positions, watermarks and metrics.
    #[must_use]
    pub const fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Reads the partition from this place on; see [`Consumer::assign_at`]. If it is assigned already, moves it, and
    /// drops what is in hand of it. A paused partition stays paused.
    pub fn assign_at(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        self.forget(&partition);
        self.consumer.assign_at(partition, offset, epoch);
    }

    /// Reads the partition from where the reset policy says; see [`Consumer::assign_by_reset`].
    pub fn assign_by_reset(&mut self, partition: TopicPartition) {
        self.forget(&partition);
        self.consumer.assign_by_reset(partition);
    }

    /// Stops reading the partition. Returns whether it was assigned.
    pub fn unassign(&mut self, partition: &TopicPartition) -> bool {
        self.forget(partition);
        self.consumer.unassign(partition)
    }

    /// Goes on at another offset of the partition; see [`Consumer::seek`]. Returns whether it is assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        self.forget(partition);
        self.consumer.seek(partition, offset)
    }

    /// Reads no batch of the partition that ends at or below `offset` any more; see [`Consumer::skip_to`].
    /// A fetch in hand is read on all the same.
    pub fn skip_to(&mut self, partition: &TopicPartition, offset: Offset) {
        self.consumer.skip_to(partition, offset);
    }

    /// Reads no more of the partition until it is resumed; what is in hand of it waits. Returns whether it is assigned.
    pub fn pause(&mut self, partition: &TopicPartition) -> bool {
        let in_hand = std::mem::take(&mut self.queue).into_iter();
        let (paused, left): (VecDeque<_>, _) = in_hand.partition(|reading| reading.fetched.partition() == partition);
        self.paused.extend(paused);
        self.queue = left;
        self.consumer.pause(partition)
    }

    /// Resumes a paused partition. Returns whether it is assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> bool {
        let is_of_it = |reading: &mut Reading| reading.fetched.partition() == partition;
        self.queue.extend(self.paused.extract_if(.., is_of_it));
        self.consumer.resume(partition)
    }

    /// Drops what is in hand of a partition.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.queue.retain(|reading| reading.fetched.partition() != partition);
        self.paused.retain(|reading| reading.fetched.partition() != partition);
    }
}

/// Batches.
impl BatchReader {
    /// The fetch that is read now; `None` if nothing is in hand.
    #[must_use]
    pub fn fetched(&self) -> Option<&Fetched> {
        self.queue.front().map(|reading| &reading.fetched)
    }

    /// Waits for a fetch and takes it in hand, behind those that are. Cancel safe.
    ///
    /// # Errors
    /// As for [`Consumer::poll`].
    pub async fn fetch(&mut self) -> Result<(), ConsumeError> {
        let fetched = self.consumer.poll().await?;
        self.take(fetched);
        Ok(())
    }

    /// Takes a fetch in hand, if one is there without waiting. Returns whether there was one.
    ///
    /// # Errors
    /// As for [`Consumer::poll`].
    pub fn try_fetch(&mut self) -> Result<bool, ConsumeError> {
        let fetched = self.consumer.try_poll().transpose()?;
        Ok(fetched.map(|fetched| self.take(fetched)).is_some())
    }

    fn take(&mut self, fetched: Fetched) {
        self.queue.push_back(Reading { again: None, fetched });
    }

    /// The next batch of the fetch that is read now; `None` if that has no more, or nothing is in hand.
    ///
    /// # Errors
    /// As for [`Fetched::next_batch`].
    pub fn next_batch(&mut self) -> Option<Result<FetchedBatch, ConsumeError>> {
        let Reading { again, fetched } = self.queue.front_mut()?;
        again.take().map(Ok).or_else(|| fetched.next_batch())
    }

    /// Puts down the fetch that was read, and returns it, for the offset behind all of its records.
    pub fn finish(&mut self) -> Option<Fetched> {
        self.queue.pop_front().map(|reading| reading.fetched)
    }

    /// Reads the last batch again, from its position on.
    pub(super) fn give_back(&mut self, batch: FetchedBatch) {
        if let Some(reading) = self.queue.front_mut() {
            reading.again = Some(batch);
        }
    }
}
