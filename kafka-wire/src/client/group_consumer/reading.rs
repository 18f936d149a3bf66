//! Fetched data that is being handed out, batch by batch.

use std::collections::VecDeque;

use crate::cluster::TopicPartition;
use crate::consumer::{ConsumeError, Fetched, FetchedBatch};
use crate::types::{LeaderEpoch, Offset};

/// One fetch of a partition, and a batch of it that is to be handed out again.
#[derive(Debug)]
struct Reading {
    again: Option<FetchedBatch>,
    fetched: Fetched,
}

/// Fetches in the order in which they are handed out, and those of paused partitions.
#[derive(Debug, Default)]
pub(super) struct Readings {
    queue: VecDeque<Reading>,
    paused: Vec<Reading>,
}

impl Readings {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn push(&mut self, fetched: Fetched) {
        self.queue.push_back(Reading { again: None, fetched });
    }

    /// Returns the next batch of the first fetch.
    pub(super) fn next_batch(&mut self) -> Option<Result<FetchedBatch, ConsumeError>> {
        let Reading { again, fetched } = self.queue.front_mut()?;
        again.take().map(Ok).or_else(|| fetched.next_batch())
    }

    /// Removes the first fetch. Returns its partition, the offset behind all of its records, and its leader epoch.
    pub(super) fn pop(&mut self) -> Option<(TopicPartition, Offset, LeaderEpoch)> {
        let Reading { fetched, .. } = self.queue.pop_front()?;
        Some((fetched.partition().clone(), fetched.next_offset(), fetched.leader_epoch()))
    }

    /// Returns how far the first fetch is read. A corrupt batch sets that back.
    pub(super) fn next_offset(&self) -> Option<(TopicPartition, Offset)> {
        let Reading { fetched, .. } = self.queue.front()?;
        Some((fetched.partition().clone(), fetched.next_offset()))
    }

    /// Hands out the last batch again, from its position on.
    pub(super) fn give_back(&mut self, batch: FetchedBatch) {
        if let Some(reading) = self.queue.front_mut() {
            reading.again = Some(batch);
        }
    }

    pub(super) fn pause(&mut self, partition: &TopicPartition) {
        let (paused, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|reading| reading.fetched.partition() == partition);
        self.paused.extend(paused);
        self.queue = left.into();
    }

    pub(super) fn resume(&mut self, partition: &TopicPartition) {
        let resumed = self.paused.extract_if(.., |reading| reading.fetched.partition() == partition);
        self.queue.extend(resumed);
    }

    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.queue.retain(|reading| reading.fetched.partition() != partition);
        self.paused.retain(|reading| reading.fetched.partition() != partition);
    }
}
