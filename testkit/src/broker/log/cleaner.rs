//! Compaction: of the records with the same key, only the last one stays.
//!
//! A pass works on the closed segments below the last stable offset, from the first one to the last that is old enough
//! for `min.compaction.lag.ms`. It first reads the segments that are new since the last pass and notes the last offset
//! of each key; then it rewrites the batches of all segments:
//!
//! - Of the records with a key, only the one at the noted offset stays; records of aborted transactions are removed.
//!   A batch keeps its offsets when it loses records, a batch that loses all is removed, and the last batch of the pass
//!   stays at least as a header, so that readers find the end.
//! - A tombstone that a pass keeps gets a deletion time in its batch, `delete.retention.ms` from then; the first pass
//!   after that time removes the tombstone.
//! - A marker stays as long as a pass finds records of its transaction; after that it gets a deletion time as well.
//! - Batches that cannot be read (this build lacks the codec) stay as they are.
//!
//! Segments that have shrunk are joined up to `segment.bytes`.
//!
//! Source: `Cleaner`, `LogCleanerManager.grabFilthiestCompactedLog`, KIP-58, KIP-534. Unlike in Kafka, a log also gets
//! a pass when nothing is new, once a tombstone or a marker can be removed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use kafka_wire::compression::Decompressed;
use kafka_wire::record::{Batch, Record, retain};
use kafka_wire::types::{Offset, ProducerId, TimestampMs};

use super::segment::{Appended, Block, Segment};
use super::{AbortedTransaction, Log, LogSettings};

impl Log {
    /// Makes a pass if one is due. Returns the number of bytes that it has read.
    pub fn compact(&mut self, settings: &LogSettings, now: TimestampMs) -> u64 {
        let range = self.cleanable(settings, now);
        if !self.needs_pass(range, settings, now) {
            return 0;
        }
        let old: VecDeque<_> = self.segments.drain(..range.end).collect();
        let clean_until = self.segments.front().expect("the last segment is never cleaned").base_offset;
        let mut pass = Pass {
            now,
            horizon: TimestampMs(now.0.saturating_add(settings.delete_retention_ms)),
            last_offsets: HashMap::new(),
            aborted: aborted_by_producer(&self.aborted),
            with_data: BTreeSet::new(),
            next_horizon: None,
            removed: Vec::new(),
            buffer: Decompressed::default(),
        };
        pass.note_last_offsets(old.range(range.dirty..));
        let read_bytes = old.iter().map(Segment::size_bytes).sum();
        let new = pass.rewrite(old, settings);
        self.removed.append(&mut pass.removed);
        new.into_iter().rev().for_each(|segment| self.segments.push_front(segment));
        self.size_bytes = self.segments.iter().map(Segment::size_bytes).sum();
        self.memory_bytes = self.segments.iter().map(Segment::memory_bytes).sum();
        self.clean_until = clean_until;
        self.next_horizon = pass.next_horizon;
        // Every record that they hide has been removed; records after the marker belong to later transactions.
        self.forget_aborted_before(clean_until);
        read_bytes
    }

    /// The time at which [`Log::compact`] or [`Log::expire`] may have something to do, if nothing is written
    /// until then.
    #[must_use]
    pub fn next_upkeep(&self, settings: &LogSettings, now: TimestampMs) -> Option<TimestampMs> {
        if self.is_first_expired(settings, now) {
            return Some(now);
        }
        let expiry = self.next_expiry(settings);
        if !settings.is_compacted {
            return expiry;
        }
        let range = self.cleanable(settings, now);
        if self.needs_pass(range, settings, now) {
            return Some(now);
        }
        let closed = self.closed_below_stable();
        let later = |from: TimestampMs, wait: i64| from.0.checked_add(wait).map(TimestampMs).filter(|&due| due > now);
        let old_enough = self.segments.range(range.end..closed.max(range.end)).next();
        let old_enough = old_enough.and_then(|it| later(it.age_timestamp(), settings.min_compaction_lag_ms));
        let too_old = settings.max_compaction_lag_ms.and_then(|lag| later(self.first_dirty_timestamp(range)?, lag + 1));
        let horizon = self.next_horizon.filter(|_| range.end > 0);
        [expiry, old_enough, too_old, horizon].into_iter().flatten().min()
    }

    /// The segments that a pass would work on.
    fn cleanable(&self, settings: &LogSettings, now: TimestampMs) -> Cleanable {
        let dirty = self.segments.partition_point(|segment| segment.base_offset < self.clean_until);
        let mut end = self.closed_below_stable().max(dirty);
        if settings.min_compaction_lag_ms > 0 {
            let newest = TimestampMs(now.0.saturating_sub(settings.min_compaction_lag_ms));
            let is_young = |segment: &Segment| segment.age_timestamp() > newest;
            end = self.segments.range(dirty..end).position(is_young).map_or(end, |young| dirty + young);
        }
        let end = end.min(self.segments.len().saturating_sub(1));
        Cleanable { dirty: dirty.min(end), end }
    }

    /// The number of segments that are closed and end below the last stable offset, so that their transactions
    /// are decided.
    fn closed_below_stable(&self) -> usize {
        let stable = self.last_stable_offset();
        let begun = self.segments.partition_point(|segment| segment.base_offset <= stable);
        begun.saturating_sub(1)
    }

    fn needs_pass(&self, range: Cleanable, settings: &LogSettings, now: TimestampMs) -> bool {
        if !settings.is_compacted || range.end == 0 {
            return false;
        }
        let is_horizon_reached = self.next_horizon.is_some_and(|horizon| horizon <= now);
        let bytes = |from: usize, to: usize| self.segments.range(from..to).map(Segment::size_bytes).sum::<u64>();
        let dirty_bytes = bytes(range.dirty, range.end);
        if dirty_bytes == 0 {
            return is_horizon_reached;
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes")]
        let ratio = dirty_bytes as f64 / bytes(0, range.end) as f64;
        let is_overdue = |lag: i64| self.first_dirty_timestamp(range).is_some_and(|first| now.0 - first.0 > lag);
        ratio > settings.min_cleanable_dirty_ratio
            || settings.max_compaction_lag_ms.is_some_and(is_overdue)
            || is_horizon_reached
    }

    /// The earliest timestamp of the first batches of the segments that no pass has processed.
    fn first_dirty_timestamp(&self, range: Cleanable) -> Option<TimestampMs> {
        self.segments.range(range.dirty..range.end).filter_map(Segment::first_timestamp).min()
    }
}

/// Indexes of segments: those in `dirty..end` are new since the last pass, those before it have been through one.
#[derive(Clone, Copy, Debug)]
struct Cleanable {
    dirty: usize,
    end: usize,
}

/// Aborted transactions by producer: the offsets of first record and marker, in order.
type AbortedByProducer = BTreeMap<ProducerId, Vec<(Offset, Offset)>>;

fn aborted_by_producer(aborted: &VecDeque<AbortedTransaction>) -> AbortedByProducer {
    let mut by_producer = AbortedByProducer::new();
    for AbortedTransaction { producer_id, first_offset, marker_offset } in aborted {
        by_producer.entry(*producer_id).or_default().push((*first_offset, *marker_offset));
    }
    by_producer
}

/// One pass over the cleanable segments of a log.
struct Pass {
    now: TimestampMs,
    /// Deletion time for the tombstones and markers that have none yet.
    horizon: TimestampMs,
    /// Last offset of each key in the new segments. Until the pass ends, it takes as much memory as they do.
    last_offsets: HashMap<Vec<u8>, Offset>,
    aborted: AbortedByProducer,
    /// Producers of whose current transaction the pass has found records.
    with_data: BTreeSet<ProducerId>,
    next_horizon: Option<TimestampMs>,
    /// The replaced blocks, whose memory has left the log.
    removed: Vec<Bytes>,
    buffer: Decompressed,
}

/// The outcome for a batch.
enum Fate {
    Same,
    Removed,
    Rewritten(Bytes),
}

impl Pass {
    fn note_last_offsets<'a>(&mut self, segments: impl Iterator<Item = &'a Segment>) {
        for block in segments.flat_map(Segment::blocks) {
            for batch in block.entries().iter().map(|entry| block.batch(entry)) {
                if batch.header.is_control() || self.is_aborted(&batch) {
                    continue;
                }
                let Ok(records) = batch.open(&mut self.buffer) else { continue };
                for record in records.map_while(Result::ok) {
                    if let Some(key) = record.key {
                        note(&mut self.last_offsets, key, Offset(record.offset));
                    }
                }
            }
        }
    }

    /// Rewrites the segments `old` and returns the new ones.
    fn rewrite(&mut self, old: VecDeque<Segment>, settings: &LogSettings) -> Vec<Segment> {
        let last_offset = old.back().map(Segment::last_offset);
        let mut new = Vec::new();
        let mut group: Option<Group> = None;
        for segment in old {
            let mut current = match group.take() {
                Some(open) if open.takes(&segment, settings) => open,
                done => {
                    new.extend(done.and_then(Group::finish));
                    Group::new(&segment)
                }
            };
            current.old_bytes += segment.size_bytes();
            let last_appended = segment.last_appended();
            for block in segment.into_blocks() {
                self.rewrite_block(block, last_offset, &mut current.segment);
            }
            // The new segment keeps the age of the old one, whenever it is written.
            current.segment.set_last_appended(last_appended);
            group = Some(current);
        }
        new.extend(group.and_then(Group::finish));
        new
    }

    fn rewrite_block(&mut self, block: Block, last_offset: Option<Offset>, target: &mut Segment) {
        let mut fates = Vec::with_capacity(block.entries().len());
        for entry in block.entries() {
            let batch = block.batch(entry);
            fates.push(match self.fate(&batch) {
                Fate::Removed if Some(entry.last_offset) == last_offset => {
                    retain(&batch, None, &mut self.buffer, |_| false).map_or(Fate::Same, Fate::Rewritten)
                }
                fate => fate,
            });
        }
        if fates.iter().all(|fate| matches!(fate, Fate::Same)) {
            return target.push_block(block);
        }
        for (entry, fate) in block.entries().iter().zip(fates) {
            let bytes = match fate {
                Fate::Removed => continue,
                Fate::Same => block.batch(entry).bytes(),
                Fate::Rewritten(bytes) => bytes,
            };
            let max_timestamp = Batch::from_bytes(bytes.clone()).expect("it was just written").header.max_timestamp;
            let max_timestamp = TimestampMs(max_timestamp);
            let (base_offset, last_offset) = (entry.base_offset, entry.last_offset);
            target.append(&Appended { base_offset, last_offset, max_timestamp, bytes: &bytes }, self.now);
        }
        self.removed.extend(block.into_bytes());
    }

    fn fate(&mut self, batch: &Batch) -> Fate {
        if batch.header.is_control() {
            return self.fate_of_marker(batch);
        }
        if batch.header.is_transactional() {
            self.with_data.insert(batch.header.producer_id);
        }
        if self.is_aborted(batch) { Fate::Removed } else { self.fate_of_records(batch).unwrap_or(Fate::Same) }
    }

    fn fate_of_marker(&mut self, batch: &Batch) -> Fate {
        if self.with_data.remove(&batch.header.producer_id) {
            return Fate::Same;
        }
        match batch.header.delete_horizon_ms() {
            Some(horizon) if horizon <= self.now.0 => Fate::Removed,
            Some(horizon) => {
                self.expect_horizon(TimestampMs(horizon));
                Fate::Same
            }
            None => {
                let Ok(bytes) = retain(batch, Some(self.horizon.0), &mut self.buffer, |_| true) else {
                    return Fate::Same;
                };
                self.expect_horizon(self.horizon);
                Fate::Rewritten(bytes)
            }
        }
    }

    /// The outcome for a batch by its records. `None` if it cannot be read.
    fn fate_of_records(&mut self, batch: &Batch) -> Option<Fate> {
        let horizon = batch.header.delete_horizon_ms();
        let may_drop_tombstones = horizon.is_some_and(|horizon| horizon <= self.now.0);
        let last_offsets = &self.last_offsets;
        let keep = |record: &Record<'_>| {
            let Some(key) = record.key else { return false };
            let is_last = last_offsets.get(key).is_none_or(|&last| Offset(record.offset) >= last);
            is_last && (record.value.is_some() || !may_drop_tombstones)
        };
        let (mut kept, mut tombstones, mut removed) = (0, 0, 0);
        for record in batch.open(&mut self.buffer).ok()? {
            let record = record.ok()?;
            if keep(&record) {
                kept += 1;
                tombstones += usize::from(record.value.is_none());
            } else {
                removed += 1;
            }
        }
        if kept == 0 {
            return Some(Fate::Removed);
        }
        let needs_horizon = tombstones > 0 && horizon.is_none();
        let fate = if removed == 0 && !needs_horizon {
            Fate::Same
        } else {
            let new_horizon = needs_horizon.then_some(self.horizon.0);
            Fate::Rewritten(retain(batch, new_horizon, &mut self.buffer, keep).ok()?)
        };
        if tombstones > 0 {
            self.expect_horizon(horizon.map_or(self.horizon, TimestampMs));
        }
        Some(fate)
    }

    fn is_aborted(&self, batch: &Batch) -> bool {
        let Some(aborted) = self.aborted.get(&batch.header.producer_id) else { return false };
        let base_offset = Offset(batch.header.base_offset);
        let next = aborted.partition_point(|&(_, marker)| marker < base_offset);
        batch.header.is_transactional() && aborted.get(next).is_some_and(|&(first, _)| first <= base_offset)
    }

    fn expect_horizon(&mut self, horizon: TimestampMs) {
        self.next_horizon = Some(self.next_horizon.map_or(horizon, |next| next.min(horizon)));
    }
}

/// Old segments that are joined to one.
struct Group {
    segment: Segment,
    old_bytes: u64,
}

impl Group {
    fn new(first: &Segment) -> Self {
        Self { segment: Segment::replacing(first), old_bytes: 0 }
    }

    fn takes(&self, next: &Segment, settings: &LogSettings) -> bool {
        let is_near = next.last_offset().0 - self.segment.base_offset.0 <= i64::from(i32::MAX);
        self.old_bytes + next.size_bytes() <= settings.segment_bytes && is_near
    }

    fn finish(mut self) -> Option<Segment> {
        self.segment.close();
        (!self.segment.is_empty()).then_some(self.segment)
    }
}

fn note(last_offsets: &mut HashMap<Vec<u8>, Offset>, key: &[u8], offset: Offset) {
    match last_offsets.get_mut(key) {
        Some(last) => *last = offset,
        None => {
            last_offsets.insert(key.to_vec(), offset);
        }
    }
}

#[cfg(test)]
mod tests;
