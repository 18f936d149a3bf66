//! Entries in pages: each has a number for as long as it exists, and never moves.

use super::index::keep;

/// Entries by number.
#[derive(Debug)]
pub(super) struct Slab<A, L> {
    /// Pages of [`PAGE_SLOTS`] slots, so that growing copies nothing.
    pages: Vec<Vec<Slot<A, L>>>,
    /// The first free slot.
    free: u32,
    /// Bytes of keys that are too long for their entries.
    long_key_bytes: usize,
}

#[derive(Debug)]
enum Slot<A, L> {
    Used(Entry<A, L>),
    Free { next: u32 },
}

/// An entry of a table. With a number as its value it has 40 bytes, and 48 in a group. The key, of which a bit tells
/// whether the slot is used, is at one end, and the link at the other: see [`Slab::touch`].
#[derive(Debug)]
#[repr(C)]
pub(super) struct Entry<A, L> {
    pub(super) key: Key,
    pub(super) value: A,
    /// Number of the transaction that changed it last, and the flags [`BORN`] and [`REMOVED`].
    pub(super) touched: u32,
    /// Hash of group and key, so that searching, moving and removing an entry need not read its key.
    pub(super) hash: u32,
    pub(super) link: L,
}

/// The place of an entry among others.
pub(super) trait Link: Copy {
    /// The link of an entry that is in the chain of no group yet.
    fn of(group: u32) -> Self;

    /// The group.
    fn group(self) -> u32;

    /// The next entry of the group; the last one links to the first.
    fn next(self) -> u32;

    /// Sets the next entry.
    fn set_next(&mut self, next: u32);
}

/// The link of an entry in a table whose only group is 0 and has no chain: it takes no memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone;

/// The link of an entry in a table of groups.
#[derive(Clone, Copy, Debug)]
pub(super) struct InGroup {
    group: u32,
    next: u32,
}

impl Link for Alone {
    #[inline]
    fn of(group: u32) -> Self {
        debug_assert_eq!(group, 0, "the table has one group");
        Self
    }

    #[inline]
    fn group(self) -> u32 {
        0
    }

    #[inline]
    fn next(self) -> u32 {
        NONE
    }

    fn set_next(&mut self, _: u32) {
        unreachable!("it is in no chain")
    }
}

impl Link for InGroup {
    #[inline]
    fn of(group: u32) -> Self {
        Self { group, next: NONE }
    }

    #[inline]
    fn group(self) -> u32 {
        self.group
    }

    #[inline]
    fn next(self) -> u32 {
        self.next
    }

    #[inline]
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// Flag: the entry was created in the transaction that changed it last.
pub(super) const BORN: u32 = 1 << 31;
/// Flag: the entry is removed from the index, and waits for the end of the transaction.
pub(super) const REMOVED: u32 = 1 << 30;
/// The mask for the number of a transaction.
pub(super) const EPOCH: u32 = REMOVED - 1;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

const PAGE_BITS: u32 = 10;
const PAGE_SLOTS: usize = 1 << PAGE_BITS;

impl<A, L: Link> Slab<A, L> {
    pub(super) const fn new() -> Self {
        Self { pages: Vec::new(), free: NONE, long_key_bytes: 0 }
    }

    pub(super) fn insert(&mut self, entry: Entry<A, L>) -> u32 {
        self.long_key_bytes += entry.key.heap_bytes();
        match self.free {
            NONE => self.push(Slot::Used(entry)),
            slot => {
                let Slot::Free { next } = std::mem::replace(self.place(slot), Slot::Used(entry)) else {
                    unreachable!("the free list holds free slots")
                };
                self.free = next;
                slot
            }
        }
    }

    /// Frees a slot with its key and value.
    pub(super) fn release(&mut self, slot: u32) {
        let free = self.free;
        if let Slot::Used(entry) = std::mem::replace(self.place(slot), Slot::Free { next: free }) {
            self.long_key_bytes -= entry.key.heap_bytes();
        }
        self.free = slot;
    }

    /// An existing entry.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Entry<A, L> {
        match &self.pages[(slot >> PAGE_BITS) as usize][slot as usize % PAGE_SLOTS] {
            Slot::Used(entry) => entry,
            Slot::Free { .. } => unreachable!("what is indexed, chained or in the undo log is used"),
        }
    }

    /// An existing entry.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Entry<A, L> {
        match self.place(slot) {
            Slot::Used(entry) => entry,
            Slot::Free { .. } => unreachable!("what is indexed, chained or in the undo log is used"),
        }
    }

    /// Reads existing entries, so that they are in the cache.
    pub(super) fn touch(&self, slots: impl Iterator<Item = u32> + Clone) {
        // The first and the last field are read, because an entry may be in two cache lines.
        let last = |entry: &Entry<A, L>| entry.hash ^ entry.link.next();
        keep(slots.clone().fold(0, |read, slot| read ^ last(self.get(slot))));
        if self.long_key_bytes > 0 {
            let first = |slot| self.get(slot).key.as_slice().first().copied().unwrap_or(0);
            keep(slots.fold(0, |read, slot| read ^ u32::from(first(slot))));
        }
    }

    /// All entries with their slots, in the order of memory.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry<A, L>)> {
        self.pages.iter().flatten().zip(0..).filter_map(|(slot, number)| match slot {
            Slot::Used(entry) => Some((number, entry)),
            Slot::Free { .. } => None,
        })
    }

    /// All entries, in the order of memory.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry<A, L>> {
        self.pages.iter_mut().flatten().filter_map(|slot| match slot {
            Slot::Used(entry) => Some(entry),
            Slot::Free { .. } => None,
        })
    }

    /// Memory of the slab in bytes, without what values have on the heap.
    pub(super) fn bytes(&self) -> usize {
        let slots = self.pages.last().map_or(0, Vec::capacity) + self.pages.len().saturating_sub(1) * PAGE_SLOTS;
        slots * size_of::<Slot<A, L>>() + self.long_key_bytes
    }

    fn push(&mut self, slot: Slot<A, L>) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE_SLOTS) {
            // The first page grows as it fills, because most stores of many tasks are small.
            self.pages.push(if self.pages.is_empty() { Vec::new() } else { Vec::with_capacity(PAGE_SLOTS) });
        }
        let pages = self.pages.len();
        let page = &mut self.pages[pages - 1];
        page.push(slot);
        u32::try_from((pages - 1) * PAGE_SLOTS + page.len() - 1).expect("a store holds less than 4 billion entries")
    }

    #[inline]
    fn place(&mut self, slot: u32) -> &mut Slot<A, L> {
        &mut self.pages[(slot >> PAGE_BITS) as usize][slot as usize % PAGE_SLOTS]
    }
}

impl<A, L> Entry<A, L> {
    pub(super) const fn is_removed(&self) -> bool {
        self.touched & REMOVED != 0
    }

    pub(super) const fn is_born(&self) -> bool {
        self.touched & BORN != 0
    }

    /// Number of the transaction that changed it last.
    #[inline]
    pub(super) const fn epoch(&self) -> u32 {
        self.touched & EPOCH
    }
}

/// The bytes of a key: short ones in place.
#[derive(Debug)]
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

/// As many bytes as fit in the room of a key on the heap.
const SHORT_BYTES: usize = 22;

impl Key {
    pub(super) fn new(key: &[u8]) -> Self {
        if key.len() > SHORT_BYTES {
            return Self::Long(key.into());
        }
        let mut bytes = [0; SHORT_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        Self::Short { len: key.len() as u8, bytes }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len).min(SHORT_BYTES)],
            Self::Long(bytes) => bytes,
        }
    }

    const fn heap_bytes(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(bytes) => bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_number_fits_a_line_of_the_cache() {
        assert_eq!(size_of::<Slot<u64, Alone>>(), 40);
    }
}
