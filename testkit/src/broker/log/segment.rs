//! A segment of a partition's log: retention deletes it whole, compaction rewrites it.
//!
//! The bytes lie in blocks of up to 1 MiB, as a sequence of batches in wire format. A read is a slice of one
//! block. So a response takes no memory of its own for bytes in a full block, however many readers there are and
//! however slow they are.

use bytes::Bytes;
use kafka_wire::record::{Batch, set_base_offset};
use kafka_wire::types::{Offset, TimestampMs};

use super::{LEADER_EPOCH, LogSettings, Read, ReadBounds};

#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) base_offset: Offset,
    /// Time of its creation, by the broker's clock.
    created: TimestampMs,
    /// Time of the last append, by the broker's clock: the age of records that have no timestamps.
    last_appended: TimestampMs,
    /// Largest timestamp of the first batch, from which the age of the segment is counted.
    first_timestamp: Option<TimestampMs>,
    largest_timestamp: Option<TimestampMs>,
    /// Blocks, none of them empty; the last one may still have room.
    blocks: Vec<Block>,
    size_bytes: u64,
    memory_bytes: u64,
}

/// Consecutive batches in one piece of memory.
#[derive(Clone, Debug)]
pub(super) struct Block {
    content: Content,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
enum Content {
    /// The block has room for more; a read copies.
    Open(Vec<u8>),
    /// The block or the whole segment is full; a read shares the bytes.
    Closed(Bytes),
}

/// An index entry: the place of a batch in its block, and the fields of its header that searches use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: TimestampMs,
    at: u32,
    size_bytes: u32,
}

/// A batch to append: its bytes, and the fields of its header that are needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appended<'a> {
    pub(super) base_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) max_timestamp: TimestampMs,
    pub(super) bytes: &'a [u8],
}

impl Segment {
    /// Makes an empty segment at the time `now`.
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

    /// Makes an empty segment that replaces `old` and has its age.
    pub(super) fn replacing(old: &Self) -> Self {
        Self { created: old.created, last_appended: old.last_appended, ..Self::new(old.base_offset, old.created) }
    }

    /// Time of its creation, by the broker's clock.
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

    /// Bytes that it takes in memory: the blocks with their unused room, and the index entries.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Offset of its last record; if it is empty, the offset before its first.
    pub(super) fn last_offset(&self) -> Offset {
        self.blocks.last().map_or(Offset(self.base_offset.0 - 1), Block::last_offset)
    }

    /// The timestamp that its age is judged by: its largest timestamp or, for records without one,
    /// the time of the last append.
    ///
    /// Source: `LogSegment.largestTimestamp`, which falls back on the modification time of the file.
    pub(super) fn age_timestamp(&self) -> TimestampMs {
        self.largest_timestamp.unwrap_or(self.last_appended)
    }

    /// Largest timestamp of the first batch, if that has one.
    pub(super) fn first_timestamp(&self) -> Option<TimestampMs> {
        self.first_timestamp
    }

    /// Whether a new segment has to begin with this batch.
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

    /// Appends a batch and assigns its offset.
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

    /// Takes over a block of an older segment unchanged.
    pub(super) fn push_block(&mut self, block: Block) {
        self.close();
        let block = block.closed();
        self.memory_bytes += block.memory_bytes();
        block.entries.iter().for_each(|entry| self.note(entry.size_bytes as usize, entry.max_timestamp));
        self.blocks.push(block);
    }

    /// Closes the segment: nothing is appended from now on.
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

    /// Its blocks, after it was taken out of the log.
    pub(super) fn into_blocks(self) -> Vec<Block> {
        self.blocks
    }

    /// Every batch from the one that holds `offset` on, or from the next one after it.
    pub(super) fn entries_from(&self, offset: Offset) -> impl Iterator<Item = (&Block, &Entry)> {
        let first = self.blocks.partition_point(|block| block.last_offset() < offset);
        let blocks = self.blocks.get(first..).unwrap_or_default().iter();
        blocks
            .flat_map(|block| block.entries.iter().map(move |entry| (block, entry)))
            .skip_while(move |(_, entry)| entry.last_offset < offset)
    }

    /// Reads complete batches of one block, from the one that holds `offset` or the next one after it.
    /// `None` if there is none.
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

    /// The bytes of a closed block.
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
            // Doubling moves bytes seldom; the bound at the size of a block wastes no memory in the end.
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
            // The spare capacity is given back, which would otherwise stay allocated as long as the block.
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

/// Bytes that a block grows to. A larger batch gets a block of its own. By default clients ask for 1 MiB of a partition
/// with one Fetch, so larger blocks would not make their reads larger.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Bytes of the block itself and of the allocator's overhead for its two allocations.
const BLOCK_OVERHEAD_BYTES: usize = 128;
