//! The log of one partition: its batches, its offsets, and the aborted transactions that readers skip.
//!
//! Batches are kept as they arrived, copied out of their request so that they pin no frame, with the offset set in
//! place. They lie in segments as Kafka's do, because topic settings refer to segments: [`Log::expire`] deletes old
//! segments whole, [`Log::compact`] rewrites the closed ones. One node has no replicas to wait for:
//! the high watermark is the end offset.

mod cleaner;
mod retention;
mod segment;
mod settings;

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_wire::compression::Decompressed;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::record::{Batch, BatchHeader, ControlRecord, with_log_append_time};
use kafka_wire::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

use self::segment::{Appended, Block, Entry, Segment};
pub use self::settings::LogSettings;
use super::producer_state::{ActiveProducer, BatchCheck, Producers};

/// A partition's log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Segments in the order of their offsets; batches are appended to the last one. Compaction leaves
    /// gaps between batches.
    segments: VecDeque<Segment>,
    start_offset: Offset,
    end_offset: Offset,
    producers: Producers,
    /// Aborted transactions, in the order of their markers.
    aborted: VecDeque<AbortedTransaction>,
    /// Segments below this offset have been compacted.
    clean_until: Offset,
    /// The earliest time at which a tombstone or marker that compaction has left may be removed.
    next_horizon: Option<TimestampMs>,
    size_bytes: u64,
    memory_bytes: u64,
    /// Blocks that left the log since the last call of [`Log::take_removed`].
    removed: Vec<Bytes>,
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record; for a duplicate, the offset that its first copy got.
    pub base_offset: Offset,
    /// The broker's time, if the topic uses log append time.
    pub log_append_time: Option<TimestampMs>,
    /// Offset of the first record that is still in the partition.
    pub log_start_offset: Offset,
}

/// The circumstances of an append.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The broker's clock.
    pub now: TimestampMs,
    /// Whether client records get the broker's time.
    pub log_append_time: bool,
    /// Settings of the topic.
    pub settings: &'a LogSettings,
}

/// The records of an aborted transaction, which `read_committed` readers have to drop: those of one producer,
/// from `first_offset` up to the marker at `marker_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: ProducerId,
    /// Offset of its first record in the transaction.
    pub first_offset: Offset,
    /// Offset of the abort marker.
    pub marker_offset: Offset,
}

/// The limits of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// End of the visible records (exclusive).
    pub end_offset: Offset,
    /// Most bytes to return, except for the first batch if `is_first_whole`.
    pub size_bytes: usize,
    /// Whether a first batch larger than `size_bytes` is returned all the same, so that the reader makes progress.
    pub is_first_whole: bool,
}

/// The batches of a read, as they go into a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Complete batches, concatenated; the first one may start before the requested offset.
    pub records: Bytes,
    /// Offset after the last batch; the requested offset if there are no batches.
    pub next_offset: Offset,
}

/// The result of a search by timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Offset of the record found.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
}

impl Log {
    /// Offset of the first record that is still in the log, or of the next one if there is none.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// Offset that the next record gets; it is the high watermark of a single node.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Offset after the last record that a `read_committed` reader may see (exclusive).
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.producers.first_open().map_or(self.end_offset, |first| first.max(self.start_offset))
    }

    /// Bytes of all batches on the wire.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes that the batches take in memory, the index entries included.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The blocks that have left the log since the last call. A response in flight may still hold them.
    pub fn take_removed(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.removed)
    }

    /// Whether this producer has an open transaction here.
    #[must_use]
    pub fn has_open_transaction(&self, producer_id: ProducerId) -> bool {
        self.producers.has_open(producer_id)
    }

    /// Whether anything is known of this producer here.
    #[must_use]
    pub fn knows_producer(&self, producer_id: ProducerId) -> bool {
        self.producers.epoch(producer_id).is_some()
    }

    /// The producers that have written here, in the order of their ids.
    pub fn producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.iter()
    }

    /// Forgets the producers without an open transaction whose last batch is from this time or before.
    pub fn forget_producers_before(&mut self, time: TimestampMs) {
        self.producers.forget_before(time);
    }

    /// Checks a batch of a client by its header and changes nothing.
    ///
    /// # Errors
    /// The errors of [`Producers::check`]. A batch without a producer id is never refused here.
    pub fn check(&self, header: &BatchHeader) -> Result<BatchCheck, ErrorCode> {
        if header.has_producer_id() { self.producers.check(header) } else { Ok(BatchCheck::Append) }
    }

    /// Appends a batch of a client, whose checksum has been checked.
    ///
    /// # Errors
    /// The errors of [`Log::check`], and `RECORD_LIST_TOO_LARGE` for a batch that is too large for any segment;
    /// nothing is appended then.
    pub fn append(&mut self, batch: &Batch, write: &Write<'_>) -> Result<AppendInfo, ErrorCode> {
        let header = &batch.header;
        let log_append_time = write.log_append_time.then_some(write.now);
        let log_start_offset = self.start_offset;
        if let BatchCheck::Duplicate(base_offset) = self.check(header)? {
            return Ok(AppendInfo { base_offset, log_append_time, log_start_offset });
        }
        if batch.size_bytes() as u64 > write.settings.segment_bytes {
            return Err(ErrorCode::RECORD_LIST_TOO_LARGE);
        }
        let base_offset = self.end_offset;
        let (bytes, max_timestamp) = match log_append_time {
            Some(time) => (with_log_append_time(&batch.bytes(), time.0), time),
            None => (batch.bytes(), TimestampMs(header.max_timestamp)),
        };
        if header.has_producer_id() {
            self.producers.appended(header, base_offset, max_timestamp);
        }
        self.push(&bytes, header.last_offset_delta, max_timestamp, write);
        Ok(AppendInfo { base_offset, log_append_time, log_start_offset })
    }

    /// Removes everything, because the topic is deleted.
    pub fn clear(&mut self) {
        let removed = std::mem::take(self);
        self.removed = removed.removed;
        self.removed.extend(removed.segments.into_iter().flat_map(Segment::into_blocks).filter_map(Block::into_bytes));
    }

    /// Ends the transaction of a producer with a marker. After an abort, `read_committed` readers skip its records.
    pub fn end_transaction(
        &mut self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        is_commit: bool,
        write: &Write<'_>,
    ) {
        let marker = if is_commit {
            ControlRecord::Commit { coordinator_epoch: 0 }
        } else {
            ControlRecord::Abort { coordinator_epoch: 0 }
        };
        let bytes = marker.encode(write.now.0, producer_id, producer_epoch).expect("commit and abort can be encoded");
        let marker_offset = self.end_offset;
        let first = self.producers.ended(producer_id, producer_epoch, write.now);
        if let (Some(first_offset), false) = (first, is_commit) {
            self.aborted.push_back(AbortedTransaction { producer_id, first_offset, marker_offset });
        }
        self.push(&bytes, 0, write.now, write);
    }

    /// Reads complete batches, from the one that holds `offset`, or from the next one where compaction left a gap.
    /// The offset must be between start and end (inclusive). As in Kafka, a read may end before its limits,
    /// at a border within the log.
    #[must_use]
    pub fn read(&self, offset: Offset, bounds: ReadBounds) -> Read {
        // The log may start within the first batch of an open transaction; that is the end of the visible records then.
        let segment = self.segments.get(self.segment_at(offset)).filter(|_| offset < bounds.end_offset);
        let read = segment.and_then(|segment| segment.read(offset, bounds));
        read.unwrap_or(Read { records: Bytes::new(), next_offset: offset })
    }

    /// Bytes that [`Log::read`] could return from `offset` up to `end_offset`; counting stops at `enough`.
    #[must_use]
    pub fn available_bytes(&self, offset: Offset, end_offset: Offset, enough: usize) -> usize {
        let mut size_bytes = 0;
        for (_, entry) in self.entries_from(offset) {
            if entry.base_offset.max(offset) >= end_offset || size_bytes >= enough {
                break;
            }
            size_bytes += entry.size_bytes();
        }
        size_bytes
    }

    /// The aborted transactions that touch the records in `offset..next_offset`, in the order of their markers.
    #[must_use]
    pub fn aborted_between(&self, offset: Offset, next_offset: Offset) -> Vec<AbortedTransaction> {
        let first = self.aborted.partition_point(|aborted| aborted.marker_offset < offset);
        self.aborted.range(first..).filter(|aborted| aborted.first_offset < next_offset).copied().collect()
    }

    /// The first record whose timestamp is at or after `timestamp`, and before `end_offset`.
    #[must_use]
    pub fn find_timestamp(&self, timestamp: TimestampMs, end_offset: Offset) -> Option<TimestampOffset> {
        self.entries_from(self.start_offset)
            .filter(|(_, entry)| entry.max_timestamp >= timestamp)
            .take_while(|(_, entry)| entry.base_offset < end_offset)
            .find_map(|(block, entry)| first_at(block, entry, timestamp, self.start_offset))
            .filter(|found| found.offset < end_offset)
    }

    /// The record with the largest timestamp, the first of them when there are several.
    #[must_use]
    pub fn find_max_timestamp(&self) -> Option<TimestampOffset> {
        let max = self.entries_from(self.start_offset).map(|(_, entry)| entry.max_timestamp).max()?;
        self.find_timestamp(max, self.end_offset)
    }

    /// Deletes the records before `offset`. Whole blocks are freed; a reader skips deleted records that share a block
    /// with later ones. Does nothing if they are already deleted.
    pub fn delete_before(&mut self, offset: Offset) {
        self.start_offset = offset.clamp(self.start_offset, self.end_offset);
        while self.segments.front().is_some_and(|segment| segment.last_offset() < self.start_offset) {
            self.remove_first_segment();
        }
        if let Some(first) = self.segments.front_mut() {
            let (size_bytes, memory_bytes) = (first.size_bytes(), first.memory_bytes());
            let blocks = first.remove_before(self.start_offset);
            self.removed.extend(blocks.filter_map(Block::into_bytes));
            self.size_bytes -= size_bytes - first.size_bytes();
            self.memory_bytes -= memory_bytes - first.memory_bytes();
        }
        self.forget_aborted_before(self.start_offset);
    }

    fn push(&mut self, bytes: &Bytes, last_offset_delta: i32, max_timestamp: TimestampMs, write: &Write<'_>) {
        let base_offset = self.end_offset;
        let last_offset = Offset(base_offset.0 + i64::from(last_offset_delta));
        let appended = Appended { base_offset, last_offset, max_timestamp, bytes };
        let is_full = |segment: &Segment| segment.is_full_for(&appended, write.settings, write.now);
        if self.segments.back().is_none_or(is_full) {
            self.change_last_segment(Segment::close);
            self.segments.push_back(Segment::new(base_offset, write.now));
        }
        self.change_last_segment(|segment| segment.append(&appended, write.now));
        self.end_offset = Offset(last_offset.0 + 1);
    }

    /// Changes the last segment, if there is one, and updates the totals.
    fn change_last_segment(&mut self, change: impl FnOnce(&mut Segment)) {
        if let Some(last) = self.segments.back_mut() {
            let (size_bytes, memory_bytes) = (last.size_bytes(), last.memory_bytes());
            change(last);
            self.size_bytes = self.size_bytes - size_bytes + last.size_bytes();
            self.memory_bytes = self.memory_bytes - memory_bytes + last.memory_bytes();
        }
    }

    /// Removes the first segment; the caller has to move the start offset.
    fn remove_first_segment(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.size_bytes -= segment.size_bytes();
            self.memory_bytes -= segment.memory_bytes();
            self.removed.extend(segment.into_blocks().into_iter().filter_map(Block::into_bytes));
        }
    }

    fn forget_aborted_before(&mut self, offset: Offset) {
        while self.aborted.front().is_some_and(|aborted| aborted.marker_offset < offset) {
            self.aborted.pop_front();
        }
    }

    /// Index of the segment with the first batch that ends at or after `offset`.
    fn segment_at(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.last_offset() < offset)
    }

    /// Every batch from the one that holds `offset` on, or from the next one after it.
    fn entries_from(&self, offset: Offset) -> impl Iterator<Item = (&Block, &Entry)> {
        self.segments.range(self.segment_at(offset)..).flat_map(move |segment| segment.entries_from(offset))
    }
}

/// The first record of a batch, from `start` on, with a timestamp at or after `timestamp`. A batch that cannot be
/// decompressed (this build lacks the codec) counts as one record.
fn first_at(block: &Block, entry: &Entry, timestamp: TimestampMs, start: Offset) -> Option<TimestampOffset> {
    let batch = block.batch(entry);
    let mut buffer = Decompressed::default();
    let Ok(records) = batch.open(&mut buffer) else {
        return Some(TimestampOffset { offset: entry.base_offset.max(start), timestamp: entry.max_timestamp });
    };
    records
        .map_while(Result::ok)
        .map(|record| TimestampOffset { offset: Offset(record.offset), timestamp: TimestampMs(record.timestamp) })
        .find(|found| found.offset >= start && found.timestamp >= timestamp)
}

/// The only epoch that a partition of a single node has.
pub(super) const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

#[cfg(test)]
mod tests;
