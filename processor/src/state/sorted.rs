//! A store with values by group and, in order, by a key in the group: the maps, lists and timelines of keys.
//!
//! A group is found by its hash, and orders its own entries only: a search compares keys of its group, and those with
//! each other without the group in front. An undo log has each change of an entry that is the first one in the open
//! transaction, or the first one after the entry was removed.
//!
//! A changelog key is the length of the group (u32, big endian), the group, and the key.

use std::hash::BuildHasher;
use std::ops::Bound;

use hashbrown::DefaultHashBuilder;
use kafka_wire::types::TimestampMs;

use super::clock::{Clock, Ttl};
use super::expiry::Expiry;
use super::index::Index;
use super::ordered::{Ordered, Range};
use super::slab::Key;
use super::small_key::SmallKey;
use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use crate::serde::{Serde, SerdeError};
use crate::types::{FOR_EVER, Owned};

/// Values of type `A` by group and key. Both are bytes, and the entries of a group are in the order of their keys. A
/// list is a group whose keys are indexes, big endian.
pub struct SortedStore<A> {
    /// The groups that have entries, and those that the open transaction has emptied.
    index: Index,
    groups: Vec<Group<A>>,
    free: Vec<u32>,
    undo: Vec<Undo<A>>,
    /// Whether the open transaction has removed an entry: only then one may be in the undo log twice.
    has_removed: bool,
    /// Number of the open transaction; restored entries have the number 0.
    epoch: u32,
    len: usize,
    key_bytes: usize,
    hasher: DefaultHashBuilder,
    values: Box<dyn Codec<A>>,
    /// The times of the entries, if the store forgets them.
    expiry: Option<Expiry>,
}

struct Group<A> {
    name: Key,
    hash: u32,
    is_free: bool,
    entries: Ordered<Entry<A>>,
}

struct Entry<A> {
    value: A,
    /// Number of the transaction that changed it last.
    touched: u32,
}

/// A change of the open transaction.
struct Undo<A> {
    group: u32,
    key: SmallKey,
    /// The value before.
    before: Option<A>,
}

impl<A: Clone + Send + 'static> SortedStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        Self {
            index: Index::default(),
            groups: Vec::new(),
            free: Vec::new(),
            undo: Vec::new(),
            has_removed: false,
            epoch: 1,
            len: 0,
            key_bytes: 0,
            hasher: DefaultHashBuilder::default(),
            values: Box::new(values),
            expiry: None,
        }
    }

    /// The value of a key of a group.
    #[must_use]
    pub fn get(&self, group: &[u8], key: &[u8]) -> Option<&A> {
        if self.is_over(group, key) {
            return None;
        }
        let group = self.find(self.hash(group), group)?;
        self.groups[group as usize].entries.get(key).map(|entry| &entry.value)
    }

    /// Sets the value of a key of a group.
    pub fn put(&mut self, group: &[u8], key: &[u8], value: A) {
        if let Some(expiry) = &mut self.expiry {
            expiry.note(&place(group, key));
        }
        let group = self.find_or_add(group);
        let (epoch, entries) = (self.epoch, &mut self.groups[group as usize].entries);
        match entries.get_mut(key) {
            Some(entry) => {
                let before = std::mem::replace(&mut entry.value, value);
                if entry.touched != epoch {
                    entry.touched = epoch;
                    self.undo.push(Undo { group, key: SmallKey::new(key), before: Some(before) });
                }
            }
            None => {
                self.insert(group, SmallKey::new(key), value, epoch);
                self.undo.push(Undo { group, key: SmallKey::new(key), before: None });
            }
        }
    }

    /// Removes the entry of a key of a group, and returns its value.
    pub fn remove(&mut self, group: &[u8], key: &[u8]) -> Option<A> {
        let is_over = self.is_over(group, key);
        let slot = self.find(self.hash(group), group)?;
        let (key, value) = self.take(slot, key)?;
        if let Some(expiry) = &mut self.expiry {
            expiry.forget(&place(group, key.as_slice()));
        }
        self.undo.push(Undo { group: slot, key, before: Some(value.clone()) });
        self.has_removed = true;
        (!is_over).then_some(value)
    }

    /// Whether the time of an entry is over at the record at hand.
    #[inline]
    fn is_over(&self, group: &[u8], key: &[u8]) -> bool {
        self.expiry.as_ref().is_some_and(|expiry| expiry.is_over(&place(group, key)))
    }

    /// The groups that have entries, in no particular order.
    pub fn groups(&self) -> impl Iterator<Item = &[u8]> {
        self.groups.iter().filter(|group| !group.entries.is_empty()).map(|group| group.name.as_slice())
    }

    /// The entries of a group, in order.
    pub fn group<'s>(&'s self, group: &[u8]) -> impl DoubleEndedIterator<Item = (&'s [u8], &'s A)> + use<'s, A> {
        self.range(group, (Bound::Unbounded, Bound::Unbounded))
    }

    /// The entries of a group whose keys are in a range, in order. A range that ends before it begins is empty.
    pub fn range<'s>(
        &'s self,
        group: &[u8],
        keys: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl DoubleEndedIterator<Item = (&'s [u8], &'s A)> + use<'s, A> {
        let group = self.find(self.hash(group), group).map(|group| &self.groups[group as usize]);
        let found = group.map_or_else(Range::default, |group| group.entries.range(keys));
        let is_over = move |key: &[u8]| group.is_some_and(|group| self.is_over(group.name.as_slice(), key));
        found.filter(move |(key, _)| !is_over(key)).map(|(key, entry)| (key, &entry.value))
    }

    /// The keys of a group that are in a range, in order: also those of entries whose time is over at the record at
    /// hand, which a record out of order may still find.
    pub(crate) fn keys<'s>(
        &'s self,
        group: &[u8],
        keys: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl DoubleEndedIterator<Item = &'s [u8]> + use<'s, A> {
        let group = self.find(self.hash(group), group).map(|group| &self.groups[group as usize]);
        group.map_or_else(Range::default, |group| group.entries.range(keys)).map(|(key, _)| key)
    }

    fn hash(&self, group: &[u8]) -> u32 {
        (self.hasher.hash_one(group) >> 32) as u32
    }

    fn find(&self, hash: u32, group: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| self.groups[slot as usize].name.as_slice() == group)
    }

    fn find_or_add(&mut self, group: &[u8]) -> u32 {
        let hash = self.hash(group);
        if let Some(known) = self.find(hash, group) {
            return known;
        }
        if self.index.is_full() {
            let used = self.groups.iter().zip(0..).filter(|(group, _)| !group.is_free);
            self.index.rebuild(used.map(|(group, slot)| (group.hash, slot)));
        }
        let added = Group { name: Key::new(group), hash, is_free: false, entries: Ordered::default() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.groups[slot as usize] = added;
                slot
            }
            None => {
                self.groups.push(added);
                u32::try_from(self.groups.len() - 1).expect("a store holds less than 4 billion groups")
            }
        };
        self.index.insert(hash, slot);
        slot
    }

    /// Adds an entry that is not there.
    fn insert(&mut self, group: u32, key: SmallKey, value: A, touched: u32) {
        self.len += 1;
        self.key_bytes += key.heap_bytes();
        self.groups[group as usize].entries.insert(key, Entry { value, touched });
    }

    fn take(&mut self, group: u32, key: &[u8]) -> Option<(SmallKey, A)> {
        let (key, entry) = self.groups[group as usize].entries.remove(key)?;
        self.len -= 1;
        self.key_bytes -= key.heap_bytes();
        Some((key, entry.value))
    }

    /// Sets or removes the value of an entry without an undo.
    fn set(&mut self, group: u32, key: SmallKey, value: Option<A>) {
        let known = self.groups[group as usize].entries.get_mut(key.as_slice());
        match (known, value) {
            (Some(entry), Some(value)) => *entry = Entry { value, touched: 0 },
            (None, Some(value)) => self.insert(group, key, value, 0),
            (_, None) => _ = self.take(group, key.as_slice()),
        }
    }

    /// Frees a group if it has no entries. Only at the end of a transaction: the undo log has its number.
    fn release(&mut self, group: u32) {
        let known = &mut self.groups[group as usize];
        if known.entries.is_empty() && !known.is_free {
            self.index.remove(known.hash, group);
            *known = Group { name: Key::new(&[]), hash: 0, is_free: true, entries: Ordered::default() };
            self.free.push(group);
        }
    }

    fn end_epoch(&mut self) {
        self.has_removed = false;
        if let Some(next) = self.epoch.checked_add(1) {
            self.epoch = next;
            return;
        }
        // After years of transactions the numbers begin again: no old one may be taken for a new one.
        let entries = self.groups.iter_mut().flat_map(|group| group.entries.values_mut());
        entries.for_each(|entry| entry.touched = 0);
        self.epoch = 1;
    }

    /// Writes an entry that the open transaction has changed, and that was in the changelog before or not.
    fn write(&self, undo: &Undo<A>, was_there: bool, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        let Group { name, entries, .. } = &self.groups[undo.group as usize];
        let (name, key) = (name.as_slice(), undo.key.as_slice());
        let begin = begin(name);
        match entries.get(key) {
            Some(entry) => changelog.put([&begin, name, key], |out| {
                self.values.encode(&entry.value, out)?;
                self.expiry.iter().for_each(|expiry| expiry.encode(&place(name, key), out));
                Ok(())
            }),
            None if was_there => {
                changelog.delete([&begin, name, key]);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The beginning of the changelog keys of a group: its length.
fn begin(group: &[u8]) -> [u8; 4] {
    u32::try_from(group.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// The changelog key of an entry.
fn place(group: &[u8], key: &[u8]) -> Vec<u8> {
    [&begin(group), group, key].concat()
}

/// The group and the key of a changelog key.
fn parts(place: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = place.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

impl<A: Clone + Send + 'static> Store for SortedStore<A> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let (name, rest) = parts(key).ok_or(RestoreError::Key)?;
        let value = match &mut self.expiry {
            Some(expiry) => expiry.restore(key, value).ok_or(RestoreError::Key)?,
            None => value,
        };
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        let group = self.find_or_add(name);
        self.set(group, SmallKey::new(rest), value);
        self.release(group);
        Ok(())
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        if !self.has_removed {
            return self.undo.iter().try_for_each(|undo| self.write(undo, undo.before.is_some(), changelog));
        }
        let mut changes: Vec<&Undo<A>> = self.undo.iter().collect();
        // The sort is stable: the first change of an entry tells whether it was there before.
        changes.sort_by(|one, other| (one.group, &one.key).cmp(&(other.group, &other.key)));
        let of_one = |one: &&Undo<A>, other: &&Undo<A>| (one.group, &one.key) == (other.group, &other.key);
        changes.chunk_by(of_one).try_for_each(|all| self.write(all[0], all[0].before.is_some(), changelog))
    }

    fn commit(&mut self) {
        let mut undo = std::mem::take(&mut self.undo);
        if self.has_removed {
            undo.iter().for_each(|undo| self.release(undo.group));
        }
        let changes = undo.len().max(UNDO_KEPT);
        undo.clear();
        if undo.capacity() > 4 * changes {
            undo.shrink_to(2 * changes);
        }
        self.undo = undo;
        self.expiry.iter_mut().for_each(Expiry::commit);
        self.end_epoch();
    }

    fn roll_back(&mut self) {
        let mut undo = std::mem::take(&mut self.undo);
        let groups: Vec<u32> = undo.iter().map(|undo| undo.group).collect();
        while let Some(Undo { group, key, before }) = undo.pop() {
            self.set(group, key, before);
        }
        groups.into_iter().for_each(|group| self.release(group));
        self.undo = undo;
        self.expiry.iter_mut().for_each(Expiry::roll_back);
        self.end_epoch();
    }

    fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    fn sizes(&self) -> StoreSizes {
        let bytes = self.index.bytes()
            + self.groups.capacity() * size_of::<Group<A>>()
            + self.len * size_of::<(SmallKey, Entry<A>)>()
            + self.undo.capacity() * size_of::<Undo<A>>()
            + self.key_bytes
            + self.expiry.as_ref().map_or(0, Expiry::bytes);
        StoreSizes { entries: self.len, windows: 0, bytes }
    }

    fn set_ttl(&mut self, ttl: Ttl) -> bool {
        self.expiry = Some(Expiry::new(ttl));
        true
    }

    fn forgets(&self) -> bool {
        self.expiry.is_some()
    }

    fn set_time(&mut self, event: TimestampMs, wall: TimestampMs) {
        self.expiry.iter_mut().for_each(|expiry| expiry.set_time(event, wall));
    }

    fn advance_clock(&mut self, clock: Clock, now: TimestampMs) {
        let over = self.expiry.as_mut().map(|expiry| expiry.advance(clock, now)).unwrap_or_default();
        over.iter().filter_map(|place| parts(place)).for_each(|(group, key)| _ = self.remove(group, key));
    }

    fn next_wall_due(&self) -> Option<TimestampMs> {
        self.expiry.as_ref()?.next_wall_due()
    }

    /// In the order of the changelog keys.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let mut groups: Vec<&Group<A>> = self.groups.iter().filter(|group| !group.is_free).collect();
        groups.sort_by_key(|group| (group.name.as_slice().len(), group.name.as_slice()));
        let (mut shown, mut encoded) = (Vec::new(), Vec::new());
        for Group { name, entries, .. } in groups {
            for (key, entry) in entries.range((Bound::Unbounded, Bound::Unbounded)) {
                shown.clear();
                [&begin(name.as_slice()), name.as_slice(), key].iter().for_each(|part| shown.extend_from_slice(part));
                if self.expiry.as_ref().is_some_and(|expiry| expiry.is_over(&shown)) {
                    continue;
                }
                encoded.clear();
                self.values.encode(&entry.value, &mut encoded)?;
                visit(FOR_EVER, &shown, &encoded);
            }
        }
        Ok(())
    }
}

/// Number of changes for which the undo log keeps its memory.
const UNDO_KEPT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::U64;

    #[test]
    fn groups_have_their_own_keys_and_go_with_their_last_entry() {
        let mut store = SortedStore::new(U64);
        for number in 0..100 {
            store.put(b"many", &[number], u64::from(number));
        }
        store.put(b"", b"", 7);
        store.put(b"m", b"any", 8);
        store.commit();
        let keys = |group: &[u8]| store.group(group).map(|(key, _)| key.to_vec()).collect::<Vec<_>>();
        assert_eq!(keys(b"many"), (0..100).map(|number| vec![number]).collect::<Vec<_>>());
        assert_eq!((keys(b""), keys(b"m"), keys(b"man")), (vec![vec![]], vec![b"any".to_vec()], vec![]));
        for number in 0..100 {
            assert_eq!(store.remove(b"many", &[number]), Some(u64::from(number)));
        }
        assert_eq!((store.remove(b"m", b"any"), store.remove(b"m", b"any")), (Some(8), None));
        store.roll_back();
        assert_eq!((store.get(b"many", &[99]), store.get(b"m", b"any")), (Some(&99), Some(&8)));
        (0..100).for_each(|number| _ = store.remove(b"many", &[number]));
        store.commit();
        assert_eq!((store.index.len(), store.free.len(), store.len), (2, 1, 2));
        store.put(b"new", b"", 1);
        assert_eq!((store.free.len(), store.sizes().entries), (0, 3));
        store.roll_back();
        assert_eq!((store.free.len(), store.sizes().entries), (1, 2));
    }

    #[test]
    fn numbers_of_transactions_begin_again() {
        let mut store = SortedStore::new(U64);
        store.epoch = u32::MAX - 1;
        for round in 0..6 {
            store.put(b"a", b"b", round);
            assert_eq!(store.undo.len(), 1, "round {round}");
            store.commit();
        }
        assert!(store.epoch < 10);
    }

    #[test]
    fn an_entry_is_in_the_changelog_under_the_length_of_its_group() {
        assert_eq!(place(b"ab", b"cd"), b"\0\0\0\x02abcd");
        assert_eq!(parts(b"\0\0\0\x02abcd"), Some((&b"ab"[..], &b"cd"[..])));
        assert_eq!((parts(b"\0\0\0\x02a"), parts(b"\0\0\0")), (None, None));
        assert_eq!(SortedStore::new(U64).restore(b"\0\0\0\x02a", None), Err(RestoreError::Key));
    }
}
