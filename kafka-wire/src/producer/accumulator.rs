//! The records that wait to be sent: one open batch per partition, to which records are appended.
//!
//! A record is serialised once, straight into the batch that will be sent; no record object survives the call. A batch
//! is closed when it is full, when its linger is over, or when the owner flushes, and is then taken by the sender.
//! The bytes of a batch count against the limit from its first record until [`Accumulator::release`].
//!
//! `append` reads no clock and allocates only when a batch is opened: it reuses the memory of a settled batch,
//! or takes as much as the last batch of its partition needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::ProducerConfig;
use super::buffers::Buffers;
use super::delivery::{Delivery, Outcome, Promise, Refusal};
use super::error::{AppendError, DeliveryCause, DeliveryError};
use crate::cluster::TopicPartition;
use crate::record::{BatchBuilder, RawHeaders};
use crate::time::Moment;
use crate::types::{PartitionId, TimestampMs};
use crate::wire::Str;

/// A topic that this producer has looked up: an index, so that appending a record hashes no string.
///
/// It names the producer that made it: any other producer refuses it, whatever topic it has at that index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicHandle {
    /// [`Accumulator::number`] of the accumulator that made it.
    accumulator: u32,
    index: u32,
}

/// A partition of a looked-up topic, counted over all topics of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

/// One record to append. `timestamp` is the time of the record, or -1 for none.
///
/// ```
/// use kafka_wire::producer::NewRecord;
///
/// let record = NewRecord { key: Some(b"k"), ..NewRecord::of(b"value") };
/// assert_eq!(record.timestamp.0, -1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: TimestampMs,
    /// The key, which decides compaction and the partition; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is null, which deletes the key in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Headers, copied unchanged.
    pub headers: RawHeaders<'a>,
}

impl Default for NewRecord<'_> {
    /// A record without key, value, headers and timestamp.
    fn default() -> Self {
        Self { timestamp: TimestampMs(-1), key: None, value: None, headers: RawHeaders::EMPTY }
    }
}

impl<'a> NewRecord<'a> {
    /// A record with a value and nothing else.
    #[must_use]
    #[inline]
    pub const fn of(value: &'a [u8]) -> Self {
        Self { timestamp: TimestampMs(-1), key: None, value: Some(value), headers: RawHeaders::EMPTY }
    }
}

/// A batch that takes no more records, on its way to the sender.
#[derive(Debug)]
pub struct ClosedBatch {
    /// The partition that it goes to.
    pub slot: Slot,
    /// Its records; never empty.
    pub builder: BatchBuilder,
    /// Number of the batch among those of the producer, in the order of closing.
    pub number: u64,
    /// Reports the outcome of the records.
    pub promise: Option<Promise>,
}

/// The open batches and the batches just closed of one producer.
#[derive(Debug)]
pub struct Accumulator {
    /// A number that is unique among the accumulators of this process, by which handles of another one are recognised.
    number: u32,
    batch_size_bytes: usize,
    buffer_limit_bytes: usize,
    room_limit_bytes: usize,
    topics: Vec<Topic>,
    by_name: HashMap<Str, usize>,
    /// The topic that was found last: most producers write to one.
    last_found: usize,
    partitions: Vec<Partition>,
    slots: Vec<Slot>,
    /// Partitions that may have an open batch, each at most once, the one opened first in front.
    opened: Vec<Slot>,
    closed: Vec<ClosedBatch>,
    buffered_bytes: usize,
    next_number: u64,
    buffers: Buffers,
}

#[derive(Debug)]
struct Topic {
    name: Str,
    /// The partitions that it has or had.
    slots: Vec<Slot>,
    /// The number of partitions that it has now.
    partition_count: usize,
}

#[derive(Debug)]
struct Partition {
    topic: TopicHandle,
    id: PartitionId,
    open: Option<OpenBatch>,
    /// Whether it is in [`Accumulator::opened`], where it stays when its batch is closed because it is full.
    is_listed: bool,
    /// Size of the last batch, as an estimate for the next.
    last_bytes: usize,
    /// Number of closed batches that are not settled.
    waiting: u32,
    is_available: bool,
}

#[derive(Debug)]
struct OpenBatch {
    builder: BatchBuilder,
    /// The time at which it was opened, or the sender first saw it; `append` does not read the clock.
    seen: Option<Moment>,
    promise: Option<Promise>,
}

impl Slot {
    /// Its index in a list of all partitions.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl Accumulator {
    /// Makes an empty accumulator with the limits of `config`.
    #[must_use]
    pub fn new(config: &ProducerConfig) -> Self {
        let room_limit_bytes = config.room_limit_bytes.min(config.buffer_limit_bytes / 2);
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            batch_size_bytes: config.batch_size_bytes,
            buffer_limit_bytes: config.buffer_limit_bytes,
            room_limit_bytes,
            topics: Vec::new(),
            by_name: HashMap::new(),
            last_found: 0,
            partitions: Vec::new(),
            slots: Vec::new(),
            opened: Vec::new(),
            closed: Vec::new(),
            buffered_bytes: 0,
            next_number: 0,
            buffers: Buffers::new(room_limit_bytes.saturating_mul(2).min(SPARE_BYTES_MAX)),
        }
    }

    /// Adds a topic with partitions `0..partition_count`. A known topic keeps its handle and may grow. It may also have
    /// been made anew with fewer partitions: then the slots of others stay for the batches that are under way.
    pub fn add_topic(&mut self, name: &Str, partition_count: i32) -> TopicHandle {
        let handle = self.topic(name).unwrap_or_else(|| {
            self.by_name.insert(name.clone(), self.topics.len());
            self.topics.push(Topic { name: name.clone(), slots: Vec::new(), partition_count: 0 });
            self.handle(self.topics.len() - 1)
        });
        let topic = &mut self.topics[handle.index as usize];
        topic.partition_count = usize::try_from(partition_count).unwrap_or(0);
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
                waiting: 0,
                is_available: true,
            });
        }
        handle
    }

    /// The handle of a known topic.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<TopicHandle> {
        self.by_name.get(name).map(|index| self.handle(*index))
    }

    /// As [`Self::topic`], for the path of a record: the topic that was found last is found without hashing.
    #[inline]
    pub fn find(&mut self, name: &str) -> Option<TopicHandle> {
        if self.topics.get(self.last_found).is_none_or(|topic| &*topic.name != name) {
            self.last_found = *self.by_name.get(name)?;
        }
        Some(self.handle(self.last_found))
    }

    /// The names of all topics.
    pub fn topic_names(&self) -> impl Iterator<Item = &Str> {
        self.topics.iter().map(|topic| &topic.name)
    }

    /// Number of the topic's partitions, as last added; 0 if the handle is from another producer.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        self.of(topic).map_or(0, |topic| index_of(topic.partition_count).cast_signed())
    }

    /// Every partition, in the order of the slots.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The partition of a slot of this accumulator.
    #[must_use]
    pub fn topic_partition(&self, slot: Slot) -> TopicPartition {
        let partition = &self.partitions[slot.index()];
        TopicPartition { topic: self.topics[partition.topic.index as usize].name.clone(), partition: partition.id }
    }

    /// The topic of a slot of this accumulator.
    #[must_use]
    pub fn topic_of(&self, slot: Slot) -> TopicHandle {
        self.partitions[slot.index()].topic
    }

    /// The slot of a partition; `None` if the topic has no such partition, or the handle is from another producer.
    #[must_use]
    #[inline]
    pub fn slot(&self, topic: TopicHandle, partition: PartitionId) -> Option<Slot> {
        let index = usize::try_from(partition.0).ok()?;
        self.of(topic).filter(|topic| index < topic.partition_count)?.slots.get(index).copied()
    }

    /// Serialises a record into the open batch of its partition. Returns whether the sender has work:
    /// a batch was opened or closed.
    ///
    /// # Errors
    /// On an error nothing is appended. `Full` if the buffer limit is reached: let the sender work and try again.
    /// `RecordTooLarge` if the record alone exceeds the buffer limit. `UnknownPartition` if the topic has no such
    /// partition. `ForeignTopic` if the handle is from another producer.
    #[inline]
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<bool, AppendError> {
        self.place(topic, partition, record).map(|(_, has_news)| has_news)
    }

    /// As [`Self::append`], with a future for the outcome of the record.
    ///
    /// # Errors
    /// As [`Self::append`].
    #[inline]
    pub fn append_tracked(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<(Delivery, bool), AppendError> {
        let (slot, has_news) = self.place(topic, partition, record)?;
        let open = self.partitions[slot.index()].open.as_mut().expect("the record is in it");
        let number = open.builder.record_count() - 1;
        let promise = open.promise.get_or_insert_with(Promise::new);
        Ok((promise.delivery(number, partition, record.timestamp), has_news))
    }

    #[inline(always)] // Its callers are on the path of every record.
    fn place(
        &mut self,
        topic: TopicHandle,
        partition: PartitionId,
        record: NewRecord<'_>,
    ) -> Result<(Slot, bool), AppendError> {
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
        open.builder.make_room(record_bytes, self.batch_size_bytes);
        open.builder
            .append(record.timestamp.0, record.key, record.value, record.headers)
            .map_err(|_| AppendError::RecordTooLarge { record_bytes, limit_bytes: self.buffer_limit_bytes })?;
        self.buffered_bytes += open.builder.size_bytes() - before;
        Ok((slot, !fits))
    }

    /// Whether the open batch of a partition has room for another record like its present ones.
    #[must_use]
    #[inline]
    pub fn continues(&self, topic: TopicHandle, partition: PartitionId) -> bool {
        let open = self.slot(topic, partition).and_then(|slot| self.partitions[slot.index()].open.as_ref());
        open.is_some_and(|open| {
            let count = usize::try_from(open.builder.record_count()).unwrap_or(1).max(1);
            open.builder.size_bytes() + open.builder.size_bytes() / count <= self.batch_size_bytes
        })
    }

    /// The number of closed and unsettled batches of each partition, and whether it is available, in order.
    pub fn waiting(&self, topic: TopicHandle) -> impl ExactSizeIterator<Item = (u32, bool)> + Clone + use<'_> {
        let slots = self.of(topic).map_or(&[][..], |topic| &topic.slots[..topic.partition_count]);
        slots.iter().map(|slot| {
            let partition = &self.partitions[slot.index()];
            (partition.waiting, partition.is_available)
        })
    }

    /// The index of a topic among all topics of this producer.
    #[must_use]
    #[inline]
    pub fn topic_index(topic: TopicHandle) -> usize {
        topic.index as usize
    }

    /// Sets whether the partition is known to have a leader.
    pub fn set_available(&mut self, slot: Slot, is_available: bool) {
        self.partitions[slot.index()].is_available = is_available;
    }

    /// Dates the batches that were opened since the last call to the present moment.
    pub fn date_opened(&mut self, now: Moment) {
        for slot in self.opened.iter().rev() {
            match &mut self.partitions[slot.index()].open {
                Some(OpenBatch { seen: seen @ None, .. }) => *seen = Some(now),
                Some(_) => return,
                None => {}
            }
        }
    }

    /// Whether a batch waits to be taken.
    #[must_use]
    pub fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Whether a batch is open.
    #[must_use]
    pub fn has_opened(&self) -> bool {
        !self.opened.is_empty()
    }

    /// The partitions that may have an open batch, the one opened first in front.
    #[must_use]
    pub fn opened(&self) -> &[Slot] {
        &self.opened
    }

    /// The number of the next batch: all before it are closed already.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Number of records that the sender has not taken.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        let open = self.partitions.iter().filter_map(|partition| partition.open.as_ref()).map(|open| &open.builder);
        let builders = open.chain(self.closed.iter().map(|batch| &batch.builder));
        builders.map(|builder| u64::from(builder.record_count().unsigned_abs())).sum()
    }

    /// Closes every open batch.
    pub fn close_all(&mut self) {
        let mut opened = std::mem::take(&mut self.opened);
        for slot in opened.drain(..) {
            self.partitions[slot.index()].is_listed = false;
            self.close(slot);
        }
        self.opened = opened;
    }

    /// Closes the batches that the sender has known for `linger`, if `wants` returns that their partition has nothing
    /// else to send: until then they can as well take more records. Returns the time of the next call.
    pub fn close_due(&mut self, now: Moment, linger: Duration, wants: impl Fn(Slot) -> bool) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        let mut opened = std::mem::take(&mut self.opened);
        opened.retain(|&slot| {
            let partition = &mut self.partitions[slot.index()];
            let due = partition.open.as_mut().map(|open| *open.seen.get_or_insert(now) + linger);
            match due {
                Some(due) if due > now => next = Some(next.map_or(due, |earlier| earlier.min(due))),
                Some(_) if !wants(slot) => {}
                _ => {
                    partition.is_listed = false;
                    self.close(slot);
                    return false;
                }
            }
            true
        });
        self.opened = opened;
        next
    }

    /// The batches that were closed since the last call, oldest first.
    pub fn take_closed(&mut self) -> Vec<ClosedBatch> {
        std::mem::take(&mut self.closed)
    }

    /// Takes the memory of a list back that [`Self::take_closed`] has returned.
    pub fn reuse(&mut self, mut taken: Vec<ClosedBatch>) {
        taken.clear();
        if self.closed.is_empty() {
            self.closed = taken;
        }
    }

    /// Discards every record that the sender has not taken, for this reason.
    pub fn discard(&mut self, cause: DeliveryCause) {
        self.close_all();
        for ClosedBatch { slot, builder, promise, .. } in self.take_closed() {
            self.settle(slot);
            self.release(builder.size_bytes());
            let Some(promise) = promise else { continue };
            let error = DeliveryError {
                partition: self.topic_partition(slot),
                record_count: builder.record_count(),
                batch_bytes: builder.size_bytes(),
                cause,
                possibly_written: false,
                message: None,
            };
            promise.settle(builder.record_count(), Outcome::Failed(Box::new(Refusal { error, records: Vec::new() })));
        }
    }

    /// Notes that a batch of this partition was acknowledged or has failed.
    pub fn settle(&mut self, slot: Slot) {
        let waiting = &mut self.partitions[slot.index()].waiting;
        *waiting = waiting.saturating_sub(1);
    }

    /// Takes the memory of a settled batch back, for another one.
    pub fn recycle(&mut self, bytes: Bytes) {
        self.buffers.give(bytes, self.buffered_bytes);
    }

    /// Releases the room of batches that were acknowledged or have failed: their sizes before compression.
    pub fn release(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.buffered_bytes, "only bytes that were appended are given back");
        self.buffered_bytes = self.buffered_bytes.saturating_sub(bytes);
    }

    /// Whether at most `room_limit_bytes` are in use, so that a producer that was refused should go on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.buffered_bytes <= self.room_limit_bytes
    }

    /// Bytes that can be appended before the buffer is full.
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        self.buffer_limit_bytes.saturating_sub(self.buffered_bytes)
    }

    /// Most bytes of records that may wait for their acknowledgement.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.buffer_limit_bytes
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
        let memory = self.buffers.take(room.max(record_bytes + crate::record::HEADER_BYTES));
        partition.open = Some(OpenBatch { builder: BatchBuilder::within(memory), seen: None, promise: None });
        if !std::mem::replace(&mut partition.is_listed, true) {
            self.opened.push(slot);
        }
    }

    /// Closes the partition's open batch, if any, for the sender.
    fn close(&mut self, slot: Slot) {
        let partition = &mut self.partitions[slot.index()];
        if let Some(OpenBatch { builder, promise, .. }) = partition.open.take()
            && !builder.is_empty()
        {
            partition.last_bytes = builder.size_bytes();
            partition.waiting += 1;
            self.closed.push(ClosedBatch { slot, builder, number: self.next_number, promise });
            self.next_number += 1;
        }
    }

    fn handle(&self, index: usize) -> TopicHandle {
        TopicHandle { accumulator: self.number, index: index_of(index) }
    }

    /// The topic of a handle of this accumulator.
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

/// Numbers accumulators. Two would share a number only after 2^32 of them, if one of them lived that long.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);

/// Most memory of batches that is in use or kept for later ones; less if twice the room limit is less.
const SPARE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Room of the first batch of a partition.
const BATCH_BYTES_MIN: usize = 1024;

#[cfg(test)]
mod tests;
