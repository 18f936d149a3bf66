//! One partition: its batches, its offsets, and what its transactions hide.
//!
//! Batches are kept as they came, copied out of their request so that they pin no frame, with the offset in place.
//! One node has no replicas to wait for: the high watermark is the end offset.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use kafka_wire::compression::Decompressed;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::record::{Batch, BatchHeader, ControlRecord, with_base_offset, with_log_append_time};
use kafka_wire::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::producer_state::{ActiveProducer, Producers, Verdict};

/// A partition's log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// In the order of their offsets, without gaps between `start_offset` and `end_offset`.
    batches: VecDeque<Stored>,
    start_offset: Offset,
    end_offset: Offset,
    producers: Producers,
    /// In the order of their markers.
    aborted: VecDeque<AbortedTransaction>,
}

#[derive(Clone, Debug)]
struct Stored {
    base_offset: Offset,
    last_offset: Offset,
    max_timestamp: TimestampMs,
    bytes: Bytes,
}

/// What the log says to a batch that it accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record; for a batch that was there already, where it was put then.
    pub base_offset: Offset,
    /// The broker's time, when the topic asks for log append time.
    pub log_append_time: Option<TimestampMs>,
    /// Offset of the first record that the partition still has.
    pub log_start_offset: Offset,
}

/// A stretch of records that `read_committed` readers have to drop: those of one producer, from `first_offset` up to
/// the marker at `marker_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose records.
    pub producer_id: ProducerId,
    /// Offset of the first of them.
    pub first_offset: Offset,
    /// Offset of the abort marker.
    pub marker_offset: Offset,
}

/// What a reader may see and how much it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// Records at and after this offset are not returned (exclusive).
    pub end_offset: Offset,
    /// Bytes to stay within, except for the first batch when `is_first_whole`.
    pub size_bytes: usize,
    /// Whether a first batch larger than `size_bytes` is returned all the same, so that the reader makes progress.
    pub is_first_whole: bool,
}

/// Batches read, as they go into a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Whole batches, concatenated; the first may start before the offset asked for.
    pub records: Bytes,
    /// Offset after the last of them; the offset asked for when there are none.
    pub next_offset: Offset,
}

/// Answer to a search by timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Offset of the record found.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
}

impl Log {
    /// Offset of the first record that is still there, or of the next one when there is none.
    #[must_use]
    pub fn start_offset(&self) -> Offset {
        self.start_offset
    }

    /// Offset that the next record gets: the high watermark of a single node.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Offset after the last record that a `read_committed` reader may see (exclusive).
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.producers.first_open().map_or(self.end_offset, |first| first.max(self.start_offset))
    }

    /// Bytes of all batches.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.batches.iter().map(|stored| stored.bytes.len() as u64).sum()
    }

    /// Whether this producer has an open transaction here.
    #[must_use]
    pub fn has_open_transaction(&self, producer_id: ProducerId) -> bool {
        self.producers.has_open(producer_id)
    }

    /// The producers that have written here, in the order of their ids.
    pub fn producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.iter()
    }

    /// Judges a batch of a client by its header and changes nothing.
    ///
    /// # Errors
    /// Those of [`Producers::check`]. A batch without a producer id is never refused here.
    pub fn check(&self, header: &BatchHeader) -> Result<Verdict, ErrorCode> {
        if header.has_producer_id() { self.producers.check(header) } else { Ok(Verdict::Append) }
    }

    /// Appends a batch of a client, whose checksum has been checked. With `log_append_time`, its records get that.
    ///
    /// # Errors
    /// Those of [`Log::check`]; nothing is appended then.
    pub fn append(&mut self, batch: &Batch, log_append_time: Option<TimestampMs>) -> Result<AppendInfo, ErrorCode> {
        let header = &batch.header;
        if let Verdict::Duplicate(base_offset) = self.check(header)? {
            return Ok(AppendInfo { base_offset, log_append_time, log_start_offset: self.start_offset });
        }
        let base_offset = self.end_offset;
        let (bytes, max_timestamp) = match log_append_time {
            Some(time) => (with_log_append_time(&batch.bytes(), time.0), time),
            None => (batch.bytes(), TimestampMs(header.max_timestamp)),
        };
        if header.has_producer_id() {
            self.producers.appended(header, base_offset, max_timestamp);
        }
        self.push(&bytes, header.last_offset_delta, max_timestamp);
        Ok(AppendInfo { base_offset, log_append_time, log_start_offset: self.start_offset })
    }

    /// Ends the transaction of a producer with a marker. An abort hides what it wrote.
    pub fn end_transaction(
        &mut self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        is_commit: bool,
        timestamp: TimestampMs,
    ) {
        let marker = if is_commit {
            ControlRecord::Commit { coordinator_epoch: 0 }
        } else {
            ControlRecord::Abort { coordinator_epoch: 0 }
        };
        let bytes = marker.encode(timestamp.0, producer_id, producer_epoch).expect("commit and abort can be encoded");
        let marker_offset = self.end_offset;
        let first = self.producers.ended(producer_id, producer_epoch, timestamp);
        if let (Some(first_offset), false) = (first, is_commit) {
            self.aborted.push_back(AbortedTransaction { producer_id, first_offset, marker_offset });
        }
        self.push(&bytes, 0, timestamp);
    }

    /// Reads whole batches from the one that holds `offset`. The offset must be between start and end (inclusive).
    #[must_use]
    pub fn read(&self, offset: Offset, bounds: ReadBounds) -> Read {
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut size_bytes = 0;
        let count = self
            .batches
            .range(first..)
            .take_while(|stored| {
                let is_first = size_bytes == 0 && bounds.is_first_whole;
                size_bytes += stored.bytes.len();
                stored.base_offset < bounds.end_offset && (is_first || size_bytes <= bounds.size_bytes)
            })
            .count();
        let chosen = || self.batches.range(first..first + count);
        let Some(last) = chosen().next_back() else { return Read { records: Bytes::new(), next_offset: offset } };
        let next_offset = Offset(last.last_offset.0 + 1);
        if count == 1 {
            return Read { records: last.bytes.clone(), next_offset };
        }
        let mut records = BytesMut::with_capacity(chosen().map(|stored| stored.bytes.len()).sum());
        chosen().for_each(|stored| records.extend_from_slice(&stored.bytes));
        Read { records: records.freeze(), next_offset }
    }

    /// Bytes that [`Log::read`] could return from `offset` up to `end_offset`, counted no further than `enough`.
    #[must_use]
    pub fn available_bytes(&self, offset: Offset, end_offset: Offset, enough: usize) -> usize {
        let first = self.batches.partition_point(|stored| stored.last_offset < offset);
        let mut size_bytes = 0;
        for stored in self.batches.range(first..) {
            if stored.base_offset >= end_offset || size_bytes >= enough {
                break;
            }
            size_bytes += stored.bytes.len();
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
        let candidates = self.batches.iter().filter(|stored| stored.max_timestamp >= timestamp);
        candidates
            .take_while(|stored| stored.base_offset < end_offset)
            .find_map(|stored| stored.first_at(timestamp, self.start_offset))
            .filter(|found| found.offset < end_offset)
    }

    /// The record with the largest timestamp, the first of them when there are several.
    #[must_use]
    pub fn find_max_timestamp(&self) -> Option<TimestampOffset> {
        let max = self.batches.iter().map(|stored| stored.max_timestamp).max()?;
        self.find_timestamp(max, self.end_offset)
    }

    /// Deletes the records before `offset`, by whole batches; a reader skips the rest. Does nothing when they are gone.
    pub fn delete_before(&mut self, offset: Offset) {
        self.start_offset = offset.clamp(self.start_offset, self.end_offset);
        while self.batches.front().is_some_and(|stored| stored.last_offset < self.start_offset) {
            self.batches.pop_front();
        }
        while self.aborted.front().is_some_and(|aborted| aborted.marker_offset < self.start_offset) {
            self.aborted.pop_front();
        }
    }

    fn push(&mut self, bytes: &Bytes, last_offset_delta: i32, max_timestamp: TimestampMs) {
        let base_offset = self.end_offset;
        let last_offset = Offset(base_offset.0 + i64::from(last_offset_delta));
        let bytes = with_base_offset(bytes, base_offset.0, LEADER_EPOCH);
        self.batches.push_back(Stored { base_offset, last_offset, max_timestamp, bytes });
        self.end_offset = Offset(last_offset.0 + 1);
    }
}

impl Stored {
    /// The first record from `start` on with a timestamp at or after `timestamp`. A batch that cannot be opened (a
    /// codec that this build lacks) is taken for one record.
    fn first_at(&self, timestamp: TimestampMs, start: Offset) -> Option<TimestampOffset> {
        let batch = Batch::from_bytes(self.bytes.clone()).expect("only whole batches are stored");
        let mut buffer = Decompressed::default();
        let Ok(records) = batch.open(&mut buffer) else {
            return Some(TimestampOffset { offset: self.base_offset.max(start), timestamp: self.max_timestamp });
        };
        records
            .map_while(Result::ok)
            .map(|record| TimestampOffset { offset: Offset(record.offset), timestamp: TimestampMs(record.timestamp) })
            .find(|found| found.offset >= start && found.timestamp >= timestamp)
    }
}

/// The only epoch that a partition of a single node has.
pub(super) const LEADER_EPOCH: LeaderEpoch = LeaderEpoch(0);

#[cfg(test)]
mod tests;
