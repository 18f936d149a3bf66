//! The hash table of a store: entries in a slab, an index over their keys, and the undo log of the open transaction.
//!
//! - An entry holds a short key in itself, so that finding one touches the index and one place of the slab.
//! - An entry knows the last transaction that touched it. The first touch in a transaction pushes to the undo log,
//!   which is the list of changed entries at the same time; a commit drops the log and visits no entry, but to free
//!   what was removed.
//! - Entries may be chained into groups, in order of arrival: a window is a group, and closing it walks its chain.
//! - Slots that a transaction frees are used again only after its commit: until then a rollback needs them.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

/// Entries by group and key.
#[derive(Debug)]
pub(super) struct Table<A> {
    index: HashTable<u32>,
    /// Pages of [`PAGE_SLOTS`] slots, so that growing copies nothing.
    pages: Vec<Vec<Slot<A>>>,
    /// The first slot that is free.
    free: u32,
    groups: Vec<Group>,
    undo: Vec<Undo<A>>,
    /// Number of the open transaction; entries of a restore are of number 0.
    epoch: u64,
    /// Bytes of keys that do not fit in their entries.
    long_key_bytes: usize,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
enum Slot<A> {
    Used(Entry<A>),
    Free { next: u32 },
}

#[derive(Debug)]
struct Entry<A> {
    key: Key,
    value: A,
    /// The transaction that touched it last, and the flags [`BORN`] and [`REMOVED`].
    touched: u64,
    group: u32,
    /// The next entry of its group.
    next: u32,
}

/// The chain of a group.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: u32,
    last: u32,
    /// Entries in it that are not removed.
    count: u32,
}

/// A change of the open transaction.
#[derive(Debug)]
enum Undo<A> {
    /// The entry was not there; the one that was the last of its group.
    Inserted(u32, u32),
    /// The entry had another value.
    Changed(u32, A),
    /// The entry was there.
    Removed(u32),
}

/// The entry got in in the transaction that touched it last.
const BORN: u64 = 1 << 63;
/// The entry is out of the index; it waits for the end of the transaction.
const REMOVED: u64 = 1 << 62;
const EPOCH: u64 = REMOVED - 1;

/// No slot.
const NONE: u32 = u32::MAX;

const PAGE_BITS: u32 = 10;
const PAGE_SLOTS: usize = 1 << PAGE_BITS;

/// How many changed entries are brought into the cache together before they are read one after another.
const AHEAD: usize = 16;

impl<A> Table<A> {
    pub(super) fn new() -> Self {
        Self {
            index: HashTable::new(),
            pages: Vec::new(),
            free: NONE,
            groups: Vec::new(),
            undo: Vec::new(),
            epoch: 1,
            long_key_bytes: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Makes `group` an empty group; groups are numbered from 0 without gaps.
    pub(super) fn reset_group(&mut self, group: u32) {
        let empty = Group { first: NONE, last: NONE, count: 0 };
        match self.groups.get_mut(group as usize) {
            Some(known) => *known = empty,
            None => self.groups.push(empty),
        }
    }

    /// The value of `key`.
    pub(super) fn find(&self, group: u32, key: &[u8]) -> Option<&A> {
        let slot = self.slot(self.hash(group, key), group, key)?;
        Some(&self.entry(slot).value)
    }

    /// All entries, in the order of the slab.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.pages.iter().flatten().filter_map(|slot| match slot {
            Slot::Used(entry) if !entry.is_removed() => Some((entry.key.as_slice(), &entry.value)),
            Slot::Used(_) | Slot::Free { .. } => None,
        })
    }

    /// The entries of a group, in order of arrival.
    pub(super) fn group(&self, group: u32) -> impl Iterator<Item = (&[u8], &A)> {
        let mut slot = self.groups[group as usize].first;
        std::iter::from_fn(move || {
            let entry = (slot != NONE).then(|| self.entry(slot))?;
            slot = entry.next;
            Some(entry)
        })
        .filter(|entry| !entry.is_removed())
        .map(|entry| (entry.key.as_slice(), &entry.value))
    }

    /// Entries in a group.
    pub(super) fn group_len(&self, group: u32) -> usize {
        self.groups[group as usize].count as usize
    }

    /// Entries that are there and were changed in the open transaction, each once, in order of the first change:
    /// group, key, value.
    pub(super) fn changed(&self) -> impl Iterator<Item = (u32, &[u8], &A)> {
        // The entries lie anywhere. Touching some ahead lets the machine fetch them side by side.
        self.undo.chunks(AHEAD).flat_map(|ahead| {
            let warmed = ahead.iter().fold(0, |sum, undo| sum ^ self.entry(undo.slot()).touched);
            std::hint::black_box(warmed);
            ahead.iter().filter_map(|undo| match undo {
                Undo::Inserted(slot, _) | Undo::Changed(slot, _) => {
                    let entry = self.entry(*slot);
                    (!entry.is_removed()).then(|| (entry.group, entry.key.as_slice(), &entry.value))
                }
                Undo::Removed(_) => None,
            })
        })
    }

    /// Entries that the changelog has and that were removed in the open transaction: group and key.
    pub(super) fn removed(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.undo.iter().filter_map(|undo| match undo {
            Undo::Removed(slot) => {
                let entry = self.entry(*slot);
                (entry.touched & BORN == 0).then(|| (entry.group, entry.key.as_slice()))
            }
            Undo::Inserted(..) | Undo::Changed(..) => None,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Memory that the entries take, not counting what values have on the heap.
    pub(super) fn bytes(&self) -> usize {
        let slots = self.pages.iter().map(Vec::capacity).next_back().unwrap_or(0)
            + self.pages.len().saturating_sub(1) * PAGE_SLOTS;
        slots * size_of::<Slot<A>>()
            + self.index.capacity() * (size_of::<u32>() + 1)
            + self.groups.capacity() * size_of::<Group>()
            + self.undo.capacity() * size_of::<Undo<A>>()
            + self.long_key_bytes
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Ends the transaction: its changes stay.
    pub(super) fn commit(&mut self) {
        let mut undo = std::mem::take(&mut self.undo);
        for undo in undo.drain(..) {
            if let Undo::Removed(slot) = undo {
                self.release(slot);
            }
        }
        self.undo = undo;
        self.epoch += 1;
    }

    /// Ends the transaction: everything is as it was when it began. Returns the groups that have become empty by it.
    pub(super) fn roll_back(&mut self) -> Vec<u32> {
        let mut emptied = Vec::new();
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Inserted(slot, last) => emptied.extend(self.take_back(slot, last)),
                Undo::Changed(slot, value) => {
                    let entry = self.entry_mut(slot);
                    entry.value = value;
                    entry.touched = 0;
                }
                Undo::Removed(slot) => self.put_back(slot),
            }
        }
        self.epoch += 1;
        emptied
    }

    /// Takes the entry of `key` out.
    pub(super) fn remove(&mut self, group: u32, key: &[u8]) -> bool {
        let hash = self.hash(group, key);
        let Some(slot) = self.slot(hash, group, key) else { return false };
        self.take_out(hash, slot);
        true
    }

    /// Takes all entries of a group out, and shows each before it goes: key, value, and whether this transaction
    /// changed it.
    pub(super) fn remove_group<E>(
        &mut self,
        group: u32,
        mut visit: impl FnMut(&[u8], &A, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_swept = self.sweep_index(group);
        let mut result = Ok(());
        let mut slot = self.groups[group as usize].first;
        while slot != NONE {
            let entry = self.entry(slot);
            let next = entry.next;
            if !entry.is_removed() {
                if result.is_ok() {
                    result = visit(entry.key.as_slice(), &entry.value, entry.touched & EPOCH == self.epoch);
                }
                if !is_swept {
                    let hash = self.hash(group, entry.key.as_slice());
                    self.unindex(hash, slot);
                }
                self.mark_removed(slot);
            }
            slot = next;
        }
        result
    }

    /// Takes a group out of the index at once when it is a large part of it: one walk in the order of the index costs
    /// less than a search for each entry. Whether it did.
    fn sweep_index(&mut self, group: u32) -> bool {
        let count = self.groups[group as usize].count as usize;
        let Self { index, pages, .. } = self;
        if count * 4 < index.len() {
            return false;
        }
        if count == index.len() {
            index.clear();
        } else {
            index.retain(|slot| used(pages, *slot).group != group);
        }
        true
    }

    /// Puts in, replaces or takes out an entry as the changelog has it. Between transactions only.
    pub(super) fn restore(&mut self, group: u32, key: &[u8], value: Option<A>) {
        debug_assert!(self.undo.is_empty(), "restored before the first record");
        let hash = self.hash(group, key);
        match (self.slot(hash, group, key), value) {
            (Some(slot), Some(value)) => self.entry_mut(slot).value = value,
            (None, Some(value)) => _ = self.insert(hash, group, key, value, 0),
            (Some(slot), None) => self.forget(hash, slot, group),
            (None, None) => {}
        }
    }

    /// Takes an entry out for good. In a group it stays in the chain, as removed, until the group is empty.
    fn forget(&mut self, hash: u64, slot: u32, group: u32) {
        self.unindex(hash, slot);
        let Some(known) = self.groups.get_mut(group as usize) else { return self.release(slot) };
        known.count -= 1;
        let (is_empty, mut slot_of_chain) = (known.count == 0, known.first);
        self.entry_mut(slot).touched |= REMOVED;
        if is_empty {
            self.reset_group(group);
            while slot_of_chain != NONE {
                let next = self.entry(slot_of_chain).next;
                self.release(slot_of_chain);
                slot_of_chain = next;
            }
        }
    }

    fn take_out(&mut self, hash: u64, slot: u32) {
        self.unindex(hash, slot);
        self.mark_removed(slot);
    }

    fn mark_removed(&mut self, slot: u32) {
        let epoch = self.epoch;
        let entry = self.entry_mut(slot);
        if entry.touched & EPOCH != epoch {
            entry.touched = epoch;
        }
        entry.touched |= REMOVED;
        let group = entry.group;
        if let Some(group) = self.groups.get_mut(group as usize) {
            group.count -= 1;
        }
        self.undo.push(Undo::Removed(slot));
    }

    /// Undoes a removal.
    fn put_back(&mut self, slot: u32) {
        let entry = self.entry_mut(slot);
        // Not the transaction that is rolled back; the one before is not known, and nobody asks for it.
        entry.touched = if entry.touched & BORN == 0 { 0 } else { BORN };
        let group = entry.group;
        let hash = self.hash(group, self.entry(slot).key.as_slice());
        self.enter(hash, slot);
        if let Some(group) = self.groups.get_mut(group as usize) {
            group.count += 1;
        }
    }

    /// Undoes an insertion; `last` was the last of the group before it. Returns the group when it is empty now.
    fn take_back(&mut self, slot: u32, last: u32) -> Option<u32> {
        let entry = self.entry(slot);
        let group = entry.group;
        let hash = self.hash(group, entry.key.as_slice());
        self.unindex(hash, slot);
        self.release(slot);
        if last != NONE {
            self.entry_mut(last).next = NONE;
        }
        let known = self.groups.get_mut(group as usize)?;
        known.count -= 1;
        known.last = last;
        if last == NONE {
            known.first = NONE;
        }
        (known.count == 0).then_some(group)
    }

    fn insert(&mut self, hash: u64, group: u32, key: &[u8], value: A, touched: u64) -> (u32, u32) {
        let key = Key::new(key);
        self.long_key_bytes += key.heap_bytes();
        let entry = Slot::Used(Entry { key, value, touched, group, next: NONE });
        let slot = match self.free {
            NONE => self.push(entry),
            slot => {
                let Slot::Free { next } = std::mem::replace(self.place(slot), entry) else {
                    unreachable!("the free list holds free slots")
                };
                self.free = next;
                slot
            }
        };
        self.enter(hash, slot);
        let Some(known) = self.groups.get_mut(group as usize) else { return (slot, NONE) };
        known.count += 1;
        let last = std::mem::replace(&mut known.last, slot);
        match last {
            NONE => known.first = slot,
            last => self.entry_mut(last).next = slot,
        }
        (slot, last)
    }

    fn push(&mut self, entry: Slot<A>) -> u32 {
        if self.pages.last().is_none_or(|page| page.len() == PAGE_SLOTS) {
            // The first page grows as it fills: most stores of many tasks are small.
            self.pages.push(if self.pages.is_empty() { Vec::new() } else { Vec::with_capacity(PAGE_SLOTS) });
        }
        let pages = self.pages.len();
        let page = &mut self.pages[pages - 1];
        page.push(entry);
        u32::try_from((pages - 1) * PAGE_SLOTS + page.len() - 1).expect("a store holds less than 4 billion entries")
    }

    /// Frees a slot; its key and value go.
    fn release(&mut self, slot: u32) {
        let free = self.free;
        if let Slot::Used(entry) = std::mem::replace(self.place(slot), Slot::Free { next: free }) {
            self.long_key_bytes -= entry.key.heap_bytes();
        }
        self.free = slot;
    }

    fn enter(&mut self, hash: u64, slot: u32) {
        let Self { index, pages, hasher, .. } = self;
        index.insert_unique(hash, slot, |slot| {
            let entry = used(pages, *slot);
            hash_of(hasher, entry.group, entry.key.as_slice())
        });
    }

    fn unindex(&mut self, hash: u64, slot: u32) {
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
    }

    #[inline]
    fn slot(&self, hash: u64, group: u32, key: &[u8]) -> Option<u32> {
        let is_it = |slot: &u32| {
            let entry = self.entry(*slot);
            entry.group == group && entry.key.as_slice() == key
        };
        self.index.find(hash, is_it).copied()
    }

    #[inline]
    fn hash(&self, group: u32, key: &[u8]) -> u64 {
        hash_of(&self.hasher, group, key)
    }

    fn place(&mut self, slot: u32) -> &mut Slot<A> {
        &mut self.pages[(slot >> PAGE_BITS) as usize][slot as usize % PAGE_SLOTS]
    }

    #[inline]
    fn entry(&self, slot: u32) -> &Entry<A> {
        used(&self.pages, slot)
    }

    #[inline]
    fn entry_mut(&mut self, slot: u32) -> &mut Entry<A> {
        match self.place(slot) {
            Slot::Used(entry) => entry,
            Slot::Free { .. } => unreachable!("what is indexed, chained or in the undo log is used"),
        }
    }
}

impl<A: Clone> Table<A> {
    /// Changes the entry of `key`, made by `init` if there is none, remembering what it was when the transaction began.
    #[inline]
    pub(super) fn update<R>(
        &mut self,
        group: u32,
        key: &[u8],
        init: impl FnOnce() -> A,
        change: impl FnOnce(&mut A) -> R,
    ) -> R {
        let hash = self.hash(group, key);
        let slot = match self.slot(hash, group, key) {
            Some(slot) => {
                self.touch(slot);
                slot
            }
            None => {
                let (slot, last) = self.insert(hash, group, key, init(), self.epoch | BORN);
                self.undo.push(Undo::Inserted(slot, last));
                slot
            }
        };
        change(&mut self.entry_mut(slot).value)
    }

    /// Sets the value of `key`.
    pub(super) fn set(&mut self, group: u32, key: &[u8], value: A) {
        let hash = self.hash(group, key);
        if let Some(slot) = self.slot(hash, group, key) {
            self.touch(slot);
            self.entry_mut(slot).value = value;
        } else {
            let (slot, last) = self.insert(hash, group, key, value, self.epoch | BORN);
            self.undo.push(Undo::Inserted(slot, last));
        }
    }

    #[inline]
    fn touch(&mut self, slot: u32) {
        let epoch = self.epoch;
        let entry = self.entry_mut(slot);
        if entry.touched & EPOCH != epoch {
            entry.touched = epoch;
            let old = entry.value.clone();
            self.undo.push(Undo::Changed(slot, old));
        }
    }
}

impl<A> Undo<A> {
    const fn slot(&self) -> u32 {
        match self {
            Self::Inserted(slot, _) | Self::Changed(slot, _) | Self::Removed(slot) => *slot,
        }
    }
}

impl<A> Entry<A> {
    const fn is_removed(&self) -> bool {
        self.touched & REMOVED != 0
    }
}

/// The bytes of a key: short ones in place.
#[derive(Debug)]
enum Key {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

/// As many as fit in the room that a key on the heap takes.
const SHORT_BYTES: usize = 22;

impl Key {
    fn new(key: &[u8]) -> Self {
        if key.len() > SHORT_BYTES {
            return Self::Long(key.into());
        }
        let mut bytes = [0; SHORT_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        Self::Short { len: key.len() as u8, bytes }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
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

#[inline]
fn used<A>(pages: &[Vec<Slot<A>>], slot: u32) -> &Entry<A> {
    match &pages[(slot >> PAGE_BITS) as usize][slot as usize % PAGE_SLOTS] {
        Slot::Used(entry) => entry,
        Slot::Free { .. } => unreachable!("what is indexed, chained or in the undo log is used"),
    }
}

#[inline]
fn hash_of(hasher: &DefaultHashBuilder, group: u32, key: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(key);
    hasher.write_u32(group);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_number_fits_a_line_of_the_cache() {
        assert_eq!((size_of::<Slot<u64>>(), size_of::<Undo<u64>>()), (48, 16));
    }
}
