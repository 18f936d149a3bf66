//! Where records wait to be sent: one open batch per partition, written to as records are appended.
//!
//! A record is serialised once, straight into the batch that will go on the wire; no record object survives the call.
//! A batch is closed when it is full, when its linger is over, or when the owner flushes, and is then taken by the
//! sender. The bytes of a batch count against the limit from its first record until [`Accumulator::release`].
//!
//! `append` reads no clock and allocates only when a batch is opened: a new batch gets as much room as the last one of
//! its partition needed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::ProducerConfig;
use super::error::AppendError;
use crate::cluster::TopicPartition;
use crate::record::{BatchBuilder, RawHeaders};
use crate::time::Moment;
use crate::types::{PartitionId, TimestampMs};
use crate::wire::Str;

/// A topic that this producer has looked up: an index, so that the path of a record hashes no string.
///
/// Only good for the producer that gave it, which it names: any other refuses it, whatever topic has that index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicHandle {
    /// [`Accumulator::number`] of the accumulator that gave it.
    accumulator: u32,
    index: u32,
}

/// A partition of a looked-up topic, counted over all topics of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

/// One record to append. `timestamp` is the time of the record, or -1 for none.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: TimestampMs,
    /// What compaction and partitioning go by; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is null, which deletes the key in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Copied as they are.
    pub headers: RawHeaders<'a>,
}

/// A batch that takes no more records, on its way to the sender.
#[derive(Clone, Debug)]
pub struct ClosedBatch {
    /// The partition it goes to.
    pub slot: Slot,
    /// Its records; never empty.
    pub builder: BatchBuilder,
}

/// The open and the just closed batches of one producer.
#[derive(Debug)]
pub struct Accumulator {
    /// Its own among the accumulators of this process: handles of another one are told by it.
    number: u32,
    batch_size_bytes: usize,
    buffer_limit_bytes: usize,
    room_limit_bytes: usize,
    topics: Vec<Topic>,
    partitions: Vec<Partition>,
    slots: Vec<Slot>,
    /// Partitions to look at for open batches, each at most once, the longest open first.
    opened: Vec<Slot>,
    closed: Vec<ClosedBatch>,
    buffered_bytes: usize,
}

#[derive(Debug)]
struct Topic {
    name: Str,
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Partition {
    topic: TopicHandle,
    id: PartitionId,
    open: Option<OpenBatch>,
    /// Whether it is in [`Accumulator::opened`], where it stays when its batch is closed for being full.
    is_listed: bool,
    /// Size of the last batch, as a guess for the next.
    last_bytes: usize,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    /// When the sender first saw it; `append` does not look at the clock.
    seen: Option<Moment>,
}

impl Slot {
    /// Its place in a list of all partitions.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Accumulator {
    /// An empty accumulator with the limits of `config`.
    #[must_use]
    pub fn new(config: &ProducerConfig) -> Self {
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            batch_size_bytes: config.batch_size_bytes,
            buffer_limit_bytes: config.buffer_limit_bytes,
            room_limit_bytes: config.room_limit_bytes.min(config.buffer_limit_bytes / 2),
            topics: Vec::new(),
            partitions: Vec::new(),
            slots: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            buffered_bytes: 0,
        }
    }

    /// Makes a topic known with partitions `0..partition_count`. A topic that is known keeps its handle and may grow.
    pub fn add_topic(&mut self, name: &Str, partition_count: i32) -> TopicHandle {
        let handle = self.topic(name).unwrap_or_else(|| {
            self.topics.push(Topic { name: name.clone(), slots: Vec::new() });
            self.handle(self.topics.len() - 1)
        });
        let topic = &mut self.topics[handle.index as usize];
        for id in index_of(topic.slots.len()).cast_signed()..partition_count {
            let slot = Slot(index_of(self.partitions.len()));
            topic.slots.push(slot);
            self.slots.push(slot);
            self.partitions.push(Partition {
                topic: handle,
                id: PartitionId(id),
                open: None,
                is_listed: false,
                last_bytes: 0,
            });
        }
        handle
    }

    /// The handle of a topic that is known.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<TopicHandle> {
        self.topics.iter().position(|topic| &*topic.name == name).map(|index| self.handle(index))
    }

    /// Partitions of the topic, as last made known; none when the handle is from another producer.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        self.of(topic).map_or(0, |topic| index_of(topic.slots.len()).cast_signed())
    }

    /// Every partition, in the order of their slots' indices.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The partition behind a slot of this accumulator.
    #[must_use]
    pub fn topic_partition(&self, slot: Slot) -> TopicPartition {
        let partition = &self.partitions[slot.index()];
        TopicPartition { topic: self.topics[partition.topic.index as usize].name.clone(), partition: partition.id }
    }

    /// The slot of a partition; `None` when the topic has no such partition, or the handle is from another producer.
    #[must_use]
    #[inline]
    pub fn slot(&self, topic: TopicHandle, partition: PartitionId) -> Option<Slot> {
        let index = usize::try_from(partition.0).ok()?;
        self.of(topic)?.slots.get(index).copied()
    }

    /// Serialises a record into the open batch of its partition. Tells whether the sender has something new to look
    /// at: a batch was opened or closed.
    ///
    /// # Errors
    /// Nothing is appended then. `Full` when the buffer limit is reached: let the sender work and try again.
    /// `RecordTooLarge` when the record alone passes the buffer limit. `UnknownPartition` when the topic has none such.
    /// `ForeignTopic` when the handle is from another producer.
    #[inline]
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<bool, AppendError> {
        let Some(slot) = self.slot(topic, partition) else { return Err(self.no_slot(topic, partition)) };
        let record_bytes = BatchBuilder::record_bytes_max(record.key, record.value, record.headers);
        if self.buffered_bytes + record_bytes > self.buffer_limit_bytes {
            return Err(self.refused(record_bytes));
        }
        let place = &self.partitions[slot.index()].open;
        let fits = place.as_ref().is_some_and(|open| open.builder.size_bytes() + record_bytes <= self.batch_size_bytes);
        if !fits {
            self.close(slot);
            self.open(slot, record_bytes);
        }
        let open = self.partitions[slot.index()].open.as_mut().expect("it fits the open batch, or one was opened");
        let before = if open.builder.is_empty() { 0 } else { open.builder.size_bytes() };
        open.builder
            .append(record.timestamp.0, record.key, record.value, record.headers)
            .map_err(|_| AppendError::RecordTooLarge { record_bytes, limit_bytes: self.buffer_limit_bytes })?;
        self.buffered_bytes += open.builder.size_bytes() - before;
        Ok(!fits)
    }

    /// Closes every open batch.
    pub fn close_all(&mut self) {
        for slot in std::mem::take(&mut self.opened) {
            self.partitions[slot.index()].is_listed = false;
            self.close(slot);
        }
    }

    /// Closes the batches that the sender has known for `linger`, as long as `wants` tells that their partition has
    /// nothing else to send: until then they may as well be filled. Gives the moment to come again.
    pub fn close_due(&mut self, now: Moment, linger: Duration, wants: impl Fn(Slot) -> bool) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        let mut kept = Vec::new();
        for slot in std::mem::take(&mut self.opened) {
            let partition = &mut self.partitions[slot.index()];
            let due = partition.open.as_mut().map(|open| *open.seen.get_or_insert(now) + linger);
            match due {
                Some(due) if due > now => {
                    next = Some(next.map_or(due, |earlier| earlier.min(due)));
                    kept.push(slot);
                }
                Some(_) if !wants(slot) => kept.push(slot),
                _ => {
                    partition.is_listed = false;
                    self.close(slot);
                }
            }
        }
        self.opened = kept;
        next
    }

    /// The batches that were closed since the last call, oldest first.
    pub fn take_closed(&mut self) -> Vec<ClosedBatch> {
        std::mem::take(&mut self.closed)
    }

    /// Throws away every record that the sender has not taken; for a transaction that is aborted.
    pub fn discard(&mut self) {
        self.close_all();
        let bytes: usize = self.take_closed().iter().map(|batch| batch.builder.size_bytes()).sum();
        self.release(bytes);
    }

    /// Gives back the room of batches that are acknowledged or have failed: their sizes before compression.
    pub fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.buffered_bytes, "only bytes that were appended are given back");
        self.buffered_bytes = self.buffered_bytes.saturating_sub(bytes);
    }

    /// Whether no more is taken than `room_limit_bytes`, so that a producer that was refused should go on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffered_bytes <= self.room_limit_bytes
    }

    /// Bytes of records that wait for their acknowledgement, before compression.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    fn open(&mut self, slot: Slot, record_bytes: usize) {
        let partition = &mut self.partitions[slot.index()];
        let guess = partition.last_bytes + partition.last_bytes / 4;
        let room = guess.clamp(BATCH_BYTES_MIN, self.batch_size_bytes.max(BATCH_BYTES_MIN));
        let builder = BatchBuilder::new(room.max(record_bytes + crate::record::HEADER_BYTES));
        partition.open = Some(OpenBatch { builder, seen: None });
        if !std::mem::replace(&mut partition.is_listed, true) {
            self.opened.push(slot);
        }
    }

    /// Hands the partition's open batch, if any, to the sender.
    fn close(&mut self, slot: Slot) {
        let partition = &mut self.partitions[slot.index()];
        if let Some(OpenBatch { builder, .. }) = partition.open.take()
            && !builder.is_empty()
        {
            partition.last_bytes = builder.size_bytes();
            self.closed.push(ClosedBatch { slot, builder });
        }
    }

    fn handle(&self, index: usize) -> TopicHandle {
        TopicHandle { accumulator: self.number, index: index_of(index) }
    }

    /// The topic behind a handle of this accumulator.
    #[inline]
    fn of(&self, topic: TopicHandle) -> Option<&Topic> {
        self.topics.get(topic.index as usize).filter(|_| topic.accumulator == self.number)
    }

    #[cold]
    fn no_slot(&self, topic: TopicHandle, partition: PartitionId) -> AppendError {
        if topic.accumulator == self.number {
            AppendError::UnknownPartition { partition }
        } else {
            AppendError::ForeignTopic
        }
    }

    #[cold]
    fn refused(&self, record_bytes: usize) -> AppendError {
        if record_bytes > self.buffer_limit_bytes {
            AppendError::RecordTooLarge { record_bytes, limit_bytes: self.buffer_limit_bytes }
        } else {
            AppendError::Full { limit_bytes: self.buffer_limit_bytes }
        }
    }
}

fn index_of(count: usize) -> u32 {
    u32::try_from(count).expect("a producer has fewer than 2^31 partitions")
}

/// Numbers accumulators. It would take 2^32 of them, one alive from the first to the last, for two to share a number.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

/// Room of the first batch of a partition.
const BATCH_BYTES_MIN: usize = 1024;

#[cfg(test)]
mod tests;
