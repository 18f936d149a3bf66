//! The handle of a consumer: what to read, and what has come.

use super::Client;
use crate::cluster::TopicPartition;
use crate::consumer::{ConsumeError, ConsumerConfig, Fetched, Watermarks};
use crate::types::{LeaderEpoch, Offset};

/// Reads the partitions that it is told to read, from the offsets that it is told; it belongs to no group.
///
/// A task in the background keeps one fetch per leader in flight, also while the application works on what it has, and
/// parks what comes up to [`ConsumerConfig::buffer_limit_bytes`]. Dropping the consumer ends the task.
///
/// Consumers of one [`Client`] share its fetch connection to a broker, where one's long poll holds up the others: give
/// each consumer that matters a client of its own.
#[derive(Debug)]
pub struct Consumer {}

impl Consumer {
    /// A consumer of nothing yet. Spawns its task, so it has to be called in a Tokio runtime.
    #[must_use]
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        unimplemented!()
    }

    /// Reads the partition from `offset` on; if it is assigned already, moves it, as [`seek`](Self::seek) does.
    pub fn assign(&mut self, partition: TopicPartition, offset: Offset) {
        unimplemented!()
    }

    /// As [`assign`](Self::assign), with the leader epoch that was committed with the offset: when the log was cut and
    /// written anew since then, that is an error ([`ConsumeError::Diverged`]) instead of records of another history.
    pub fn assign_at(&mut self, partition: TopicPartition, offset: Offset, epoch: LeaderEpoch) {
        unimplemented!()
    }

    /// Stops reading the partition: after this no poll returns anything of it. Whether it was assigned.
    pub fn unassign(&mut self, partition: &TopicPartition) -> bool {
        unimplemented!()
    }

    /// Stops reading everything.
    pub fn unassign_all(&mut self) {
        unimplemented!()
    }

    /// Reads on from another offset: the next data of this partition start there. Whether the partition is assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> bool {
        unimplemented!()
    }

    /// Neither fetches nor delivers the partition until it is resumed; what was received stays. Whether it is assigned.
    pub fn pause(&mut self, partition: &TopicPartition) -> bool {
        unimplemented!()
    }

    /// Takes a paused partition up again. Whether it is assigned.
    pub fn resume(&mut self, partition: &TopicPartition) -> bool {
        unimplemented!()
    }

    /// The assigned partitions, sorted.
    #[must_use]
    pub fn assignment(&self) -> Vec<TopicPartition> {
        unimplemented!()
    }

    /// The offset at which the next poll of this partition starts: behind all that polls returned, whether or not it was
    /// read. `None` when the partition is not assigned.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        unimplemented!()
    }

    /// The ends of the partition as of its last fetch, also of one that brought no data; `None` before the first.
    #[must_use]
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        unimplemented!()
    }

    /// Waits for data of any partition, in the order of their arrival; waits forever when nothing is assigned.
    ///
    /// The result may have no batch to deliver and yet move the position, behind markers and aborted transactions.
    /// Cancel safe: what is not returned is still there for the next poll.
    ///
    /// # Errors
    /// When a partition cannot be read on; see [`ConsumeError`] for what that means for it and for the others.
    pub async fn poll(&mut self) -> Result<Fetched, ConsumeError> {
        unimplemented!()
    }

    /// What [`poll`](Self::poll) would return without waiting.
    pub fn try_poll(&mut self) -> Option<Result<Fetched, ConsumeError>> {
        unimplemented!()
    }
}
