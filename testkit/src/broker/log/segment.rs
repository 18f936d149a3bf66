//! A stretch of a partition's batches: retention deletes it whole, compaction writes it anew.
//!
//! The bytes lie in blocks of up to 1 MiB, batch behind batch as on the wire. A read is a slice of one block, so that what
//! a response holds of a block that is full takes no memory of its own, however many readers there are and however slow.

use bytes::Bytes;
use kafka_wire::record::{Batch, set_base_offset};
use kafka_wire::types::{Offset, TimestampMs};

use super::{LEADER_EPOCH, LogSettings, Read, ReadBounds};

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) base_offset: Offset,
    /// When it was begun, by the broker's clock.
    created: TimestampMs,
    /// When something was last appended, by the broker's clock: the age of records that have no timestamps.
    last_appended: TimestampMs,
    /// The largest timestamp of the first batch, which the age of the segment is counted from.
    first_timestamp: Option<TimestampMs>,
    largest_timestamp: Option<TimestampMs>,
    /// None of them is empty; the last one may still have room.
    blocks: Vec<Block>,
    size_bytes: u64,
    memory_bytes: u64,
}

/// Batches that follow each other in one piece of memory.
#[derive(Clone, Debug)]
pub(super) struct Block {
    content: Content,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
enum Content {
    /// There is room for more; a read copies.
    Open(Vec<u8>),
    /// Full, or the segment is; a read shares.
    Closed(Bytes),
}

/// Where a batch is, and what a search has to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: TimestampMs,
    at: u32,
    size_bytes: u32,
}

/// A batch to append: its bytes, and what its header says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended<'a> {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: TimestampMs,
    pub(super) bytes: &'a [u8],
}

impl Segment {
    /// An empty one, begun at `now`.
    pub(super) fn new(base_offset: Offset, now: TimestampMs) -> Self {
        Self {
            base_offset,
            created: now,
            last_appended: now,
            first_timestamp: None,
            largest_timestamp: None,
            blocks: Vec::new(),
            size_bytes: 0,
            memory_bytes: 0,
        }
    }

    /// An empty one at the place of `old`, with its age.
    pub(super) fn replacing(old: &Self) -> Self {
        Self { created: old.created, last_appended: old.last_appended, ..Self::new(old.base_offset, old.created) }
    }

    /// When it was begun, by the broker's clock.
    pub(super) fn created(&self) -> TimestampMs {
        self.created
    }

    pub(super) fn last_appended(&self) -> TimestampMs {
        self.last_appended
    }

    pub(super) fn set_last_appended(&mut self, time: TimestampMs) {
        self.last_appended = time;
    }

    /// Bytes of its batches.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes that it takes in memory: blocks with their unused room, and what is noted of each batch.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Offset of its last record; the one before its first offset when it is empty.
    pub(super) fn last_offset(&self) -> Offset {
        self.blocks.last().map_or(Offset(self.base_offset.0 - 1), Block::last_offset)
    }

    /// The time that its age is judged by: its largest timestamp, or when it was last written for records without any.
    ///
    /// Source: `LogSegment.largestTimestamp`, which takes the time of the file's last change.
    pub(super) fn age_timestamp(&self) -> TimestampMs {
        self.largest_timestamp.unwrap_or(self.last_appended)
    }

    /// Largest timestamp of the first batch, if that has one.
    pub(super) fn first_timestamp(&self) -> Option<TimestampMs> {
        self.first_timestamp
    }

    /// Whether a batch has to begin the next segment.
    ///
    /// Source: `LogSegment.shouldRoll`.
    pub(super) fn is_full_for(&self, appended: &Appended<'_>, settings: &LogSettings, now: TimestampMs) -> bool {
        if self.is_empty() {
            return false;
        }
        let waited = match self.first_timestamp {
            Some(first) => appended.max_timestamp.0.saturating_sub(first.0),
            None => now.0.saturating_sub(self.created.0),
        };
        let is_far = appended.last_offset.0 - self.base_offset.0 > i64::from(i32::MAX);
        self.size_bytes + appended.bytes.len() as u64 > settings.segment_bytes || waited > settings.segment_ms || is_far
    }

    /// Appends a batch and gives it its offset.
    pub(super) fn append(&mut self, appended: &Appended<'_>, now: TimestampMs) {
        let size_bytes = appended.bytes.len();
        if !self.blocks.last().is_some_and(|block| block.has_room_for(size_bytes)) {
            self.close();
            let block = Block { content: Content::Open(Vec::new()), entries: Vec::new() };
            self.memory_bytes += block.memory_bytes();
            self.blocks.push(block);
        }
        let block = self.blocks.last_mut().expect("one was pushed if there was none");
        let memory_bytes = block.memory_bytes();
        block.append(appended);
        self.memory_bytes += block.memory_bytes() - memory_bytes;
        self.note(size_bytes, appended.max_timestamp);
        self.last_appended = now;
    }

    /// Takes over a block of an older segment as it is.
    pub(super) fn push_block(&mut self, block: Block) {
        self.close();
        let block = block.closed();
        self.memory_bytes += block.memory_bytes();
        block.entries.iter().for_each(|entry| self.note(entry.size_bytes as usize, entry.max_timestamp));
        self.blocks.push(block);
    }

    /// Nothing is appended from now on.
    pub(super) fn close(&mut self) {
        if let Some(block) = self.blocks.pop() {
            self.memory_bytes -= block.memory_bytes();
            let block = block.closed();
            self.memory_bytes += block.memory_bytes();
            self.blocks.push(block);
        }
    }

    /// Removes the leading blocks whose last record is below `offset`, and returns them.
    pub(super) fn remove_before(&mut self, offset: Offset) -> impl Iterator<Item = Block> {
        let count = self.blocks.partition_point(|block| block.last_offset() < offset);
        let removed: Vec<_> = self.blocks.drain(..count).collect();
        for block in &removed {
            self.size_bytes -= block.size_bytes();
            self.memory_bytes -= block.memory_bytes();
        }
        removed.into_iter()
    }

    /// Its blocks, in order.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Its blocks, for somebody who has taken it out of the log.
    pub(super) fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }

    /// Every batch from the one that holds `offset`, or comes after it.
    pub(super) fn entries_from(&self, offset: Offset) -> impl Iterator<Item = (&Block, &Entry)> {
        let first = self.blocks.partition_point(|block| block.last_offset() < offset);
        let blocks = self.blocks.get(first..).unwrap_or_default().iter();
        blocks
            .flat_map(|block| block.entries.iter().map(move |entry| (block, entry)))
            .skip_while(move |(_, entry)| entry.last_offset < offset)
    }

    /// Reads whole batches of one block, from the one that holds `offset` or comes after it. `None` when there is none.
    pub(super) fn read(&self, offset: Offset, bounds: ReadBounds) -> Option<Read> {
        let block = self.blocks.get(self.blocks.partition_point(|block| block.last_offset() < offset))?;
        let first = block.entries.partition_point(|entry| entry.last_offset < offset);
        let mut size_bytes = 0;
        let candidates = block.entries.get(first..).unwrap_or_default();
        let chosen = candidates.iter().take_while(|entry| {
            let is_first = size_bytes == 0 && bounds.is_first_whole;
            size_bytes += entry.size_bytes as usize;
            entry.base_offset < bounds.end_offset && (is_first || size_bytes <= bounds.size_bytes)
        });
        let last = candidates.get(chosen.count().checked_sub(1)?)?;
        let records = block.slice(candidates.first()?.at, last.at + last.size_bytes);
        Some(Read { records, next_offset: Offset(last.last_offset.0 + 1) })
    }

    fn note(&mut self, size_bytes: usize, max_timestamp: TimestampMs) {
        let is_first = self.size_bytes == 0;
        self.size_bytes += size_bytes as u64;
        let timestamp = Some(max_timestamp).filter(|timestamp| timestamp.0 >= 0);
        if is_first {
            (self.first_timestamp, self.largest_timestamp) = (timestamp, timestamp);
        }
        self.largest_timestamp = self.largest_timestamp.max(timestamp);
    }
}

impl Entry {
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes as usize
    }
}

impl Block {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes, when nothing is appended any more.
    pub(super) fn into_bytes(self) -> Option<Bytes> {
        match self.content {
            Content::Open(_) => None,
            Content::Closed(bytes) => Some(bytes),
        }
    }

    /// A batch of this block.
    pub(super) fn batch(&self, entry: &Entry) -> Batch {
        Batch::from_bytes(self.slice(entry.at, entry.at + entry.size_bytes)).expect("only whole batches are stored")
    }

    /// Bytes of its batches.
    pub(super) fn size_bytes(&self) -> u64 {
        match &self.content {
            Content::Open(bytes) => bytes.len() as u64,
            Content::Closed(bytes) => bytes.len() as u64,
        }
    }

    fn memory_bytes(&self) -> u64 {
        let bytes = match &self.content {
            Content::Open(bytes) => bytes.capacity(),
            Content::Closed(bytes) => bytes.len(),
        };
        (bytes + self.entries.capacity() * size_of::<Entry>() + BLOCK_OVERHEAD_BYTES) as u64
    }

    fn last_offset(&self) -> Offset {
        self.entries.last().expect("no block is empty").last_offset
    }

    fn has_room_for(&self, size_bytes: usize) -> bool {
        matches!(&self.content, Content::Open(bytes) if bytes.len() + size_bytes <= BLOCK_BYTES)
    }

    fn append(&mut self, appended: &Appended<'_>) {
        let Content::Open(bytes) = &mut self.content else { unreachable!("has_room_for was asked") };
        let (at, size_bytes) = (bytes.len(), appended.bytes.len());
        let needed = at + size_bytes;
        if needed > bytes.capacity() {
            // Twice as much, so that bytes move seldom, and never more than a block, so that it ends without waste.
            let capacity = (2 * bytes.capacity()).min(BLOCK_BYTES).max(needed);
            bytes.reserve_exact(capacity - at);
        }
        bytes.extend_from_slice(appended.bytes);
        set_base_offset(&mut bytes[at..], appended.base_offset.0, LEADER_EPOCH);
        self.entries.push(Entry {
            base_offset: appended.base_offset,
            last_offset: appended.last_offset,
            max_timestamp: appended.max_timestamp,
            at: u32::try_from(at).expect("a block is below 4 GiB"),
            size_bytes: u32::try_from(size_bytes).expect("a batch is below 2 GiB"),
        });
    }

    fn closed(mut self) -> Self {
        if let Content::Open(bytes) = self.content {
            // Gives back the room that is left: it would stay with the block for as long as that lives.
            self.content = Content::Closed(Bytes::from(bytes.into_boxed_slice()));
            self.entries.shrink_to_fit();
        }
        self
    }

    fn slice(&self, from: u32, to: u32) -> Bytes {
        let range = from as usize..to as usize;
        match &self.content {
            Content::Open(bytes) => Bytes::copy_from_slice(&bytes[range]),
            Content::Closed(bytes) => bytes.slice(range),
        }
    }
}

/// Bytes that a block grows to. A batch that is larger gets a block of its own. What clients ask for of a partition with
/// one Fetch is 1 MiB by default, so a larger block would not make their reads larger.
const BLOCK_BYTES: usize = 1024 * 1024;

/// The block itself, and what the allocator needs for its two allocations.
const BLOCK_OVERHEAD_BYTES: usize = 128;
