//! The hash table of a store: entries in a slab, an index over their keys, and the undo log of the open transaction.
//!
//! - An entry holds a short key in itself, so that finding it reads a line of the index and one slot of the slab.
//!   Callers that know the next searches announce them ([`Table::expect`]): the processor then reads many
//!   places in parallel.
//! - An entry has the number of the last transaction that changed it. The first change in a transaction pushes
//!   to the undo log, which is also the list of changed entries; a commit drops the log and visits no entry,
//!   except to free removed ones.
//! - Entries may be chained into groups, in order of arrival: a window is a group, and closing it walks its chain.
//! - Slots that a transaction frees are reused only after its commit: until then a rollback may need them.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use super::index::{AHEAD, Index};
use super::paged::Paged;
use super::slab::{BORN, EPOCH, Entry, Key, Link, NONE, REMOVED, Slab};

/// Entries by group and key; the link `L` tells whether there are several groups.
#[derive(Debug)]
pub(super) struct Table<A, L> {
    index: Index,
    slab: Slab<A, L>,
    groups: Vec<Group>,
    undo: Paged<Undo<A>>,
    /// Number of the open transaction; restored entries have the number 0.
    epoch: u32,
    hasher: DefaultHashBuilder,
}

/// The chain of a group.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// The last entry to arrive, whose link begins the chain again.
    last: u32,
    /// Number of its entries, without removed ones.
    count: u32,
}

/// A change of the open transaction.
#[derive(Debug)]
enum Undo<A> {
    /// The entry did not exist; the field is the former last entry of its group.
    Inserted(u32, u32),
    /// The entry had another value.
    Changed(u32, A),
    /// The entry existed.
    Removed(u32),
}

impl<A, L: Link> Table<A, L> {
    pub(super) fn new() -> Self {
        Self {
            index: Index::default(),
            slab: Slab::new(),
            groups: Vec::new(),
            undo: Paged::new(),
            epoch: 1,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Makes `group` an empty group; groups are numbered from 0 without gaps.
    pub(super) fn reset_group(&mut self, group: u32) {
        let empty = Group { last: NONE, count: 0 };
        match self.groups.get_mut(group as usize) {
            Some(known) => *known = empty,
            None => self.groups.push(empty),
        }
    }

    /// The value of `key`.
    pub(super) fn find(&self, group: u32, key: &[u8]) -> Option<&A> {
        let slot = self.slot(self.hash(group, key), group, key)?;
        Some(&self.slab.get(slot).value)
    }

    /// Whether all of it is in the cache anyway.
    pub(super) const fn is_small(&self) -> bool {
        self.index.len() < FEW
    }

    /// Brings the memory for searches for these keys into the cache, for at most [`AHEAD`] of them.
    pub(super) fn expect<'k>(&self, keys: impl Iterator<Item = (u32, &'k [u8])>) {
        let mut hashes = [0; AHEAD];
        let hashed = hashes.iter_mut().zip(keys).map(|(hash, (group, key))| *hash = self.hash(group, key)).count();
        let (slots, count) = self.index.guess(&hashes[..hashed]);
        self.slab.touch(slots[..count].iter().copied());
    }

    /// All entries, in the order of the slab.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &A)> {
        let entries = self.slab.iter().filter(|(_, entry)| !entry.is_removed());
        entries.map(|(_, entry)| (entry.key.as_slice(), &entry.value))
    }

    /// The entries of a group, in order of arrival.
    pub(super) fn group(&self, group: u32) -> impl Iterator<Item = (&[u8], &A)> {
        let entries = self.chain(group).map(|slot| self.slab.get(slot)).filter(|entry| !entry.is_removed());
        entries.map(|entry| (entry.key.as_slice(), &entry.value))
    }

    /// Entries in a group.
    pub(super) fn group_len(&self, group: u32) -> usize {
        self.groups[group as usize].count as usize
    }

    /// Existing entries that the open transaction has changed, each once, in the order of the first change:
    /// group, key, value.
    pub(super) fn changed(&self) -> impl Iterator<Item = (u32, &[u8], &A)> {
        self.changes().map(|(group, key, _, value)| (group, key, value))
    }

    /// As [`Table::changed`], with the value that the entry had before the transaction between key and value.
    pub(super) fn changes(&self) -> impl Iterator<Item = (u32, &[u8], Option<&A>, &A)> {
        // The entries are spread over memory.
        self.undo.pages().flat_map(|page| page.chunks(AHEAD)).flat_map(|ahead| {
            self.slab.touch(ahead.iter().map(Undo::slot));
            ahead.iter().filter_map(|undo| {
                let (slot, old) = match undo {
                    Undo::Inserted(slot, _) => (slot, None),
                    Undo::Changed(slot, old) => (slot, Some(old)),
                    Undo::Removed(_) => return None,
                };
                let entry = self.slab.get(*slot);
                (!entry.is_removed()).then(|| (entry.link.group(), entry.key.as_slice(), old, &entry.value))
            })
        })
    }

    /// Entries in the changelog that the open transaction has removed: group and key.
    pub(super) fn removed(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.undo.iter().filter_map(|undo| match undo {
            Undo::Removed(slot) => {
                let entry = self.slab.get(*slot);
                (!entry.is_born()).then(|| (entry.link.group(), entry.key.as_slice()))
            }
            Undo::Inserted(..) | Undo::Changed(..) => None,
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Memory of the entries in bytes, without what values have on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.slab.bytes() + self.index.bytes() + self.groups.capacity() * size_of::<Group>() + self.undo.bytes()
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Ends the transaction; its changes stay.
    pub(super) fn commit(&mut self) {
        let Self { undo, slab, .. } = self;
        for undo in undo.iter() {
            if let Undo::Removed(slot) = undo {
                slab.release(*slot);
            }
        }
        undo.clear();
        self.end_epoch();
    }

    /// Ends the transaction by restoring the state at its beginning. Returns the groups that are empty after it.
    pub(super) fn roll_back(&mut self) -> Vec<u32> {
        let mut emptied = Vec::new();
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Inserted(slot, last) => emptied.extend(self.take_back(slot, last)),
                Undo::Changed(slot, value) => {
                    let entry = self.slab.get_mut(slot);
                    entry.value = value;
                    entry.touched = 0;
                }
                Undo::Removed(slot) => self.put_back(slot),
            }
        }
        self.end_epoch();
        emptied
    }

    /// Removes the entry of `key`.
    pub(super) fn remove(&mut self, group: u32, key: &[u8]) -> bool {
        let hash = self.hash(group, key);
        let Some(slot) = self.slot(hash, group, key) else { return false };
        self.index.remove(hash, slot);
        self.mark_removed(slot);
        true
    }

    /// Removes all entries of a group, and passes each to `visit` before: key, value, and whether this
    /// transaction changed it.
    pub(super) fn remove_group<E>(
        &mut self,
        group: u32,
        mut visit: impl FnMut(&[u8], &A, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let Group { last, count } = self.groups[group as usize];
        let is_all = count as usize == self.index.len() && count > 1;
        if is_all {
            self.index.clear();
        }
        let mut result = Ok(());
        let mut next = if last == NONE { NONE } else { self.slab.get(last).link.next() };
        while next != NONE {
            let slot = next;
            let entry = self.slab.get(slot);
            next = if slot == last { NONE } else { entry.link.next() };
            if entry.is_removed() {
                continue;
            }
            if result.is_ok() {
                result = visit(entry.key.as_slice(), &entry.value, entry.epoch() == self.epoch);
            }
            if !is_all {
                self.index.remove(entry.hash, slot);
            }
            self.mark_removed(slot);
        }
        result
    }

    /// Brings the memory for [`Table::remove_group`] into the cache, for at most [`AHEAD`] groups.
    pub(super) fn expect_removals(&self, groups: impl Iterator<Item = u32>) {
        let (mut slots, mut hashes) = ([0; AHEAD], [0; AHEAD]);
        let last = groups.map(|group| self.groups[group as usize].last).filter(|last| *last != NONE);
        let count = slots.iter_mut().zip(last).map(|(slot, last)| *slot = last).count();
        self.slab.touch(slots[..count].iter().copied());
        slots[..count].iter().zip(&mut hashes).for_each(|(slot, hash)| *hash = self.slab.get(*slot).hash);
        self.index.guess(&hashes[..count]);
    }

    /// Inserts, replaces or removes an entry as the changelog has it. Only between transactions.
    pub(super) fn restore(&mut self, group: u32, key: &[u8], value: Option<A>) {
        debug_assert!(self.undo.is_empty(), "restored before the first record");
        let hash = self.hash(group, key);
        match (self.slot(hash, group, key), value) {
            (Some(slot), Some(value)) => self.slab.get_mut(slot).value = value,
            (None, Some(value)) => _ = self.insert(hash, (group, key), value, 0),
            (Some(slot), None) => self.forget(hash, slot, group),
            (None, None) => {}
        }
    }

    /// Removes an entry for good. In a group it stays in the chain, marked as removed, until the group is empty.
    fn forget(&mut self, hash: u32, slot: u32, group: u32) {
        self.index.remove(hash, slot);
        let Some(known) = self.groups.get_mut(group as usize) else { return self.slab.release(slot) };
        known.count -= 1;
        let is_empty = known.count == 0;
        self.slab.get_mut(slot).touched |= REMOVED;
        if is_empty {
            let chain: Vec<u32> = self.chain(group).collect();
            chain.into_iter().for_each(|slot| self.slab.release(slot));
            self.reset_group(group);
        }
    }

    fn mark_removed(&mut self, slot: u32) {
        let epoch = self.epoch;
        let entry = self.slab.get_mut(slot);
        if entry.epoch() != epoch {
            entry.touched = epoch;
        }
        entry.touched |= REMOVED;
        let group = entry.link.group();
        if let Some(group) = self.groups.get_mut(group as usize) {
            group.count -= 1;
        }
        self.undo.push(Undo::Removed(slot));
    }

    /// Undoes a removal.
    fn put_back(&mut self, slot: u32) {
        self.make_room();
        let entry = self.slab.get_mut(slot);
        // It must not be the transaction that is rolled back; the number of the one before is unknown and not needed.
        entry.touched = if entry.is_born() { BORN } else { 0 };
        self.index.insert(entry.hash, slot);
        if let Some(group) = self.groups.get_mut(entry.link.group() as usize) {
            group.count += 1;
        }
    }

    /// Undoes an insertion; `last` was the last entry of the group before it. Returns the group if it is empty now.
    fn take_back(&mut self, slot: u32, last: u32) -> Option<u32> {
        let Entry { hash, link, .. } = *self.slab.get(slot);
        let (group, first) = (link.group(), link.next());
        self.index.remove(hash, slot);
        self.slab.release(slot);
        if last != NONE {
            self.slab.get_mut(last).link.set_next(first);
        }
        let known = self.groups.get_mut(group as usize)?;
        known.count -= 1;
        known.last = last;
        (known.count == 0).then_some(group)
    }

    /// Adds an entry. Returns its slot, and that of the former last entry of its group.
    fn insert(&mut self, hash: u32, (group, key): (u32, &[u8]), value: A, touched: u32) -> (u32, u32) {
        self.make_room();
        let slot = self.slab.insert(Entry { key: Key::new(key), value, touched, hash, link: L::of(group) });
        self.index.insert(hash, slot);
        let Some(known) = self.groups.get_mut(group as usize) else { return (slot, NONE) };
        known.count += 1;
        let last = std::mem::replace(&mut known.last, slot);
        let first = match last {
            NONE => slot,
            last => {
                let link = &mut self.slab.get_mut(last).link;
                let first = link.next();
                link.set_next(slot);
                first
            }
        };
        self.slab.get_mut(slot).link.set_next(first);
        (slot, last)
    }

    /// Makes room in the index for one more entry.
    fn make_room(&mut self) {
        if self.index.is_full() {
            let entries = self.slab.iter().filter(|(_, entry)| !entry.is_removed());
            self.index.rebuild(entries.map(|(slot, entry)| (entry.hash, slot)));
        }
    }

    /// The slots of a group, in order of arrival.
    fn chain(&self, group: u32) -> impl Iterator<Item = u32> {
        let last = self.groups[group as usize].last;
        let mut next = if last == NONE { NONE } else { self.slab.get(last).link.next() };
        std::iter::from_fn(move || {
            let slot = (next != NONE).then_some(next)?;
            next = if slot == last { NONE } else { self.slab.get(slot).link.next() };
            Some(slot)
        })
    }

    fn end_epoch(&mut self) {
        self.epoch += 1;
        if self.epoch > EPOCH {
            // After years of transactions the numbers begin again: no old one may be taken for a new one.
            self.slab.iter_mut().for_each(|entry| entry.touched &= REMOVED);
            self.epoch = 1;
        }
    }

    #[inline]
    fn slot(&self, hash: u32, group: u32, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| {
            let entry = self.slab.get(slot);
            entry.link.group() == group && entry.key.as_slice() == key
        })
    }

    #[inline]
    fn hash(&self, group: u32, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        hasher.write_u32(group);
        (hasher.finish() >> 32) as u32
    }
}

impl<A: Clone, L: Link> Table<A, L> {
    /// Changes the entry of `key`, made by `init` if there is none, and remembers its value at the beginning
    /// of the transaction.
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
            None => self.add(hash, (group, key), init()),
        };
        change(&mut self.slab.get_mut(slot).value)
    }

    /// Sets the value of `key`.
    pub(super) fn set(&mut self, group: u32, key: &[u8], value: A) {
        let hash = self.hash(group, key);
        if let Some(slot) = self.slot(hash, group, key) {
            self.touch(slot);
            self.slab.get_mut(slot).value = value;
        } else {
            self.add(hash, (group, key), value);
        }
    }

    fn add(&mut self, hash: u32, place: (u32, &[u8]), value: A) -> u32 {
        let (slot, last) = self.insert(hash, place, value, self.epoch | BORN);
        self.undo.push(Undo::Inserted(slot, last));
        slot
    }

    #[inline]
    fn touch(&mut self, slot: u32) {
        let epoch = self.epoch;
        let entry = self.slab.get_mut(slot);
        if entry.epoch() != epoch {
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

/// This many entries are in the cache anyway.
const FEW: usize = 8_000;

#[cfg(test)]
mod tests {
    use super::super::slab::Alone;
    use super::*;

    #[test]
    fn a_change_of_a_number_takes_as_much_as_two() {
        assert_eq!(size_of::<Undo<u64>>(), 16);
    }

    #[test]
    fn numbers_of_transactions_begin_again() {
        let mut table = Table::<_, Alone>::new();
        table.epoch = EPOCH - 1;
        for round in 0..6_u64 {
            table.update(0, b"kept", || 0, |value| *value += 1);
            table.update(0, b"undone", || 0, |value| *value += 1);
            assert_eq!(table.changed().count(), 2, "round {round}");
            if round % 2 == 0 {
                table.commit()
            } else {
                _ = table.roll_back()
            }
            assert_eq!(table.find(0, b"kept"), Some(&(round / 2 + 1)));
        }
        assert!(table.epoch < 10);
    }
}
