//! Values by key, in order of time: sessions, the panes of sliding windows, the buffers of joins.
//!
//! Each key has its own list, sorted by time, so that values that are used together lie together. A [`Timing`] says
//! when something is due for a key. The store has the keys in the order of a lower bound of that time, and asks the
//! timing again when the bound is reached; so a session that each record extends causes no work in that order.
//!
//! A changelog key is the time (i64, big endian, with the sign bit flipped so that it sorts), a number among
//! values of equal time (u32, big endian), and the key. The entry with the empty key holds the time up to which
//! the store is closed.

mod items;

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::mem::needs_drop;
use std::ops::Range;

use hashbrown::DefaultHashBuilder;
use kafka_wire::types::TimestampMs;

pub use self::items::{At, Item, Timing};
use self::items::{BORN, decode, encode, first_from, search};
use super::due::Due;
use super::free_list::FreeList;
use super::index::{AHEAD, Index, keep};
use super::slab::Key;
use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::sums::Sums;
use super::window_store::{from_ordered, ordered};
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// Values of type `A` by key and time. Keys are bytes.
pub struct TimedStore<A> {
    /// Slot of each key.
    index: Index,
    slots: Vec<Slot<A>>,
    free: FreeList,
    /// Slots by the lower bound of the time at which something is due for their keys.
    due: Due,
    undo: Vec<Undo<A>>,
    /// Number of the open transaction.
    epoch: u64,
    item_count: usize,
    closed_up_to: TimestampMs,
    committed_up_to: TimestampMs,
    /// Whether the open transaction has done something that was due.
    has_popped: bool,
    /// Number of slots that [`TimedStore::expect_due`] has brought into the cache and that are not popped yet.
    expected_due: usize,
    hasher: DefaultHashBuilder,
    values: Box<dyn Codec<A>>,
    timing: Box<dyn Timing<A>>,
}

struct Slot<A> {
    key: Key,
    items: VecDeque<Item<A>>,
    /// Bound of the slot, with which it is in [`TimedStore::due`]; [`NEVER`] if it is not in there.
    due: i64,
    /// Hash of the key.
    hash: u32,
    is_free: bool,
    /// The last transaction that has added or changed values of the key, and the earliest time of these.
    changed: (u64, i64),
    /// Sums of the values, for [`TimedStore::gather`].
    sums: Option<Box<Sums<A>>>,
}

/// A change of the open transaction.
enum Undo<A> {
    Inserted(u32, At),
    /// The former value.
    Changed(u32, At, A),
    Removed(u32, Item<A>),
}

const NEVER: i64 = i64::MAX;
/// Number of values in a span below which no sums are kept.
const ADDED_EACH_TIME: usize = 8;
/// This many keys are in the cache anyway.
const FEW: usize = 4_000;
/// Number of changes for which the undo log keeps its memory.
const UNDO_KEPT: usize = 1_000;
const BEFORE_ALL: TimestampMs = TimestampMs(i64::MIN);

impl<A: Clone + Send + 'static> TimedStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S, timing: impl Timing<A> + 'static) -> Self {
        Self {
            index: Index::default(),
            slots: Vec::new(),
            free: FreeList::default(),
            due: Due::default(),
            undo: Vec::new(),
            epoch: 1,
            item_count: 0,
            closed_up_to: BEFORE_ALL,
            committed_up_to: BEFORE_ALL,
            has_popped: false,
            expected_due: 0,
            hasher: DefaultHashBuilder::default(),
            values: Box::new(values),
            timing: Box::new(timing),
        }
    }

    /// Returns the time up to which everything that was due is done.
    #[must_use]
    pub const fn closed_up_to(&self) -> TimestampMs {
        self.closed_up_to
    }

    /// Notes that everything that is due up to `time` is done, after [`TimedStore::pop_due`] has found nothing more.
    pub fn close_up_to(&mut self, time: TimestampMs) {
        self.closed_up_to = self.closed_up_to.max(time);
    }

    /// Returns the slot of a key that has values, for the methods below.
    #[must_use]
    pub fn slot(&self, key: &[u8]) -> Option<u32> {
        self.find_slot(self.hash(key), key)
    }

    /// Returns the slot of a key, which may have no values yet.
    pub fn slot_for(&mut self, key: &[u8]) -> u32 {
        let hash = self.hash(key);
        if let Some(slot) = self.find_slot(hash, key) {
            return slot;
        }
        if self.index.is_full() {
            let used = self.slots.iter().zip(0..).filter(|(slot, _)| !slot.is_free);
            self.index.rebuild(used.map(|(slot, number)| (slot.hash, number)));
        }
        let slot = self.free.place(&mut self.slots, Slot::new(key, hash));
        self.index.insert(hash, slot);
        slot
    }

    /// Brings the values of keys that will be used soon into the cache, so that the following calls do not wait for
    /// memory one after the other.
    pub fn expect<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        if self.index.len() < FEW {
            return;
        }
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let mut hashes = [0; AHEAD];
            let hashed = hashes.iter_mut().zip(&mut keys).map(|(hash, key)| *hash = self.hash(key)).count();
            let (slots, count) = self.index.guess(&hashes[..hashed]);
            self.touch(slots[..count].iter().copied());
        }
    }

    #[inline]
    fn find_slot(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |slot| self.slots[slot as usize].key.as_slice() == key)
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    /// Returns the key of a slot.
    #[must_use]
    pub fn key(&self, slot: u32) -> &[u8] {
        self.slots[slot as usize].key.as_slice()
    }

    /// Returns the values of a slot, in order of time.
    #[must_use]
    pub fn items(&self, slot: u32) -> &VecDeque<Item<A>> {
        &self.slots[slot as usize].items
    }

    /// Returns the value at a position.
    #[must_use]
    pub fn get(&self, slot: u32, at: At) -> Option<&A> {
        let items = self.items(slot);
        items.binary_search_by_key(&at, |item| item.at).ok().map(|place| &items[place].value)
    }

    /// Changes the value at a position; `init` makes it if there is none.
    pub fn update<R>(&mut self, slot: u32, at: At, init: impl FnOnce() -> A, change: impl FnOnce(&mut A) -> R) -> R {
        let epoch = self.epoch;
        let Slot { items, changed, sums, .. } = &mut self.slots[slot as usize];
        *changed = (epoch, if changed.0 == epoch { changed.1.min(at.0) } else { at.0 });
        if sums.as_ref().is_some_and(|sums| at.0 < sums.end()) {
            *sums = None;
        }
        // Most records are later than those before them.
        let place = match items.back() {
            Some(last) if last.at == at => Ok(items.len() - 1),
            Some(last) if last.at > at => search(items, at),
            _ => Err(items.len()),
        };
        let place = match place {
            Ok(place) => {
                let item = &mut self.slots[slot as usize].items[place];
                if item.touched & !BORN != epoch {
                    item.touched = epoch;
                    self.undo.push(Undo::Changed(slot, at, item.value.clone()));
                }
                place
            }
            Err(place) => {
                let item = Item { at, value: init(), touched: self.epoch | BORN };
                self.slots[slot as usize].items.insert(place, item);
                self.item_count += 1;
                self.undo.push(Undo::Inserted(slot, at));
                self.remind(slot);
                place
            }
        };
        change(&mut self.slots[slot as usize].items[place].value)
    }

    /// Adds a value behind those of the same time.
    pub fn add(&mut self, slot: u32, time: i64, value: A) {
        let items = &self.slots[slot as usize].items;
        let before = items.partition_point(|item| item.at.0 <= time);
        let last = before.checked_sub(1).map(|last| items[last].at).filter(|last| last.0 == time);
        let at = (time, last.map_or(0, |last| last.1 + 1));
        self.update(slot, at, || value, |_| ());
    }

    /// Removes and returns a value.
    pub fn remove(&mut self, slot: u32, at: At) -> Option<A> {
        let Slot { items, sums, .. } = &mut self.slots[slot as usize];
        let place = search(items, at).ok()?;
        *sums = None;
        let item = items.remove(place)?;
        self.item_count -= 1;
        let value = item.value.clone();
        self.undo.push(Undo::Removed(slot, item));
        Some(value)
    }

    /// Removes the values of a slot that are earlier than `time`.
    pub fn remove_before(&mut self, slot: u32, time: i64) {
        let items = &mut self.slots[slot as usize].items;
        while items.front().is_some_and(|item| item.at.0 < time)
            && let Some(item) = items.pop_front()
        {
            self.item_count -= 1;
            self.undo.push(Undo::Removed(slot, item));
        }
    }

    /// Puts together the values of a slot in a span of time, the earliest first, by `merge`. Also returns whether the
    /// open transaction has changed one of them. It is cheap if the spans of a slot move on, and the values behind
    /// them stay as they are.
    pub fn gather(&mut self, slot: u32, span: Window, merge: &mut dyn FnMut(&mut A, &A)) -> Option<(A, bool)> {
        let Slot { items, .. } = &self.slots[slot as usize];
        let (first, end) = (first_from(items, (span.start, 0)), first_from(items, (span.end, 0)));
        let is_changed = self.has_changed(slot, first..end);
        let Slot { items, sums, .. } = &mut self.slots[slot as usize];
        // Sums of what lies on the heap would take as much memory again as the values.
        if end.saturating_sub(first) < ADDED_EACH_TIME || needs_drop::<A>() {
            let mut inside = items.range(first..end.max(first));
            let mut sum = inside.next()?.value.clone();
            inside.for_each(|item| merge(&mut sum, &item.value));
            return Some((sum, is_changed));
        }
        let inside = |part: Window| {
            let mut from = end;
            match part.start == span.start {
                true => from = first,
                // Few have come since the last span.
                false => {
                    while from > first && items[from - 1].at.0 >= part.start {
                        from -= 1;
                    }
                }
            }
            items.range(from..end).map(|item| (item.at.0, &item.value))
        };
        Some((sums.get_or_insert_default().move_on(span, inside, merge)?, is_changed))
    }

    /// Whether the open transaction has changed one of some values of a slot.
    fn has_changed(&self, slot: u32, places: Range<usize>) -> bool {
        let Slot { items, changed: (epoch, earliest), .. } = &self.slots[slot as usize];
        if *epoch != self.epoch || places.is_empty() {
            return false;
        }
        // It mostly has changed the last one, and none before the earliest.
        if self.is_changed(&items[places.end - 1]) {
            return true;
        }
        let from = first_from(items, (*earliest, 0)).clamp(places.start, places.end);
        items.range(from..places.end).any(|item| self.is_changed(item))
    }

    /// Returns the earliest time up to `up_to` at which something is due, and the slot that it is due for.
    /// Slots that are due at the same time come in their order. The caller must call [`TimedStore::done`] afterwards.
    pub fn pop_due(&mut self, up_to: TimestampMs) -> Option<(i64, u32)> {
        loop {
            if !self.due.is_due(up_to.0) {
                return None;
            }
            self.expect_due();
            let (bound, slot) = self.due.pop()?;
            let closed_up_to = self.closed_up_to;
            let entry = &mut self.slots[slot as usize];
            if entry.due != bound {
                continue;
            }
            entry.due = NEVER;
            // A restored slot may have been noted before it was known how far the store is closed.
            let due = match self.timing.is_exact() && bound > closed_up_to.0 {
                true => bound,
                false => self.timing.due(&entry.items, closed_up_to).unwrap_or(NEVER),
            };
            if due <= bound {
                self.has_popped = true;
                return Some((bound, slot));
            }
            self.note(slot, due);
        }
    }

    /// Brings the slots that are due next into the cache, together.
    fn expect_due(&mut self) {
        if self.expected_due == 0 && self.index.len() >= FEW {
            self.expected_due = AHEAD;
            self.touch(self.due.ahead().take(AHEAD).map(|(_, slot)| *slot));
        }
        self.expected_due = self.expected_due.saturating_sub(1);
    }

    /// Reads slots, and then the last value of each, so that they are in the cache.
    fn touch(&self, slots: impl Iterator<Item = u32> + Clone) {
        let slots = slots.map(|slot| &self.slots[slot as usize]);
        // The fields of a slot may be in two cache lines.
        keep(slots.clone().fold(0, |read, slot| read ^ slot.hash ^ u32::from(slot.items.is_empty())));
        keep(slots.fold(0, |read, slot| read ^ slot.items.back().map_or(0, |item| item.touched as u32)));
    }

    /// Notes that everything that was due for a slot up to `time` is done. The store itself is closed up to a time only
    /// by [`TimedStore::close_up_to`], when that is so for all slots.
    pub fn done(&mut self, slot: u32, time: i64) {
        self.remind_after(slot, self.closed_up_to.max(TimestampMs(time)));
    }

    /// As [`TimedStore::done`], if it is known when something is due for the slot next.
    pub fn done_until(&mut self, slot: u32, due: Option<i64>) {
        let due = due.unwrap_or(NEVER);
        if due < self.slots[slot as usize].due {
            self.note(slot, due);
        }
    }

    /// Computes when something is due for a slot next.
    fn remind(&mut self, slot: u32) {
        self.remind_after(slot, self.closed_up_to);
    }

    fn remind_after(&mut self, slot: u32, closed_up_to: TimestampMs) {
        let due = self.timing.due(&self.slots[slot as usize].items, closed_up_to);
        self.done_until(slot, due);
    }

    /// Computes when something is due for a slot next, whatever was noted before.
    fn remind_anew(&mut self, slot: u32) {
        let due = self.timing.due(&self.slots[slot as usize].items, self.closed_up_to);
        self.note(slot, due.unwrap_or(NEVER));
    }

    fn note(&mut self, slot: u32, due: i64) {
        let known = std::mem::replace(&mut self.slots[slot as usize].due, due);
        if due == known || due == NEVER {
            return;
        }
        self.due.insert(due, slot);
        if self.due.len() > 2 * self.index.len() + UNDO_KEPT {
            // Most of them are of slots that are due at other times now.
            self.due.clear();
            let noted = self.slots.iter().zip(0..).filter(|(slot, _)| slot.due != NEVER);
            noted.for_each(|(slot, number)| self.due.insert(slot.due, number));
        }
    }

    /// Returns the lower bound of the time at which something is due next.
    #[must_use]
    pub fn first_due(&self) -> Option<TimestampMs> {
        self.due.first().map(TimestampMs)
    }

    fn visit_slot(&self, slot: &Slot<A>, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        slot.items.iter().try_for_each(|item| {
            let mut encoded = Vec::new();
            self.values.encode(&item.value, &mut encoded)?;
            visit(self.timing.span(item), slot.key.as_slice(), &encoded);
            Ok(())
        })
    }

    /// Returns the values that the open transaction has changed and that exist, in the order of the changes.
    pub fn changed(&self) -> impl Iterator<Item = (u32, &Item<A>)> {
        self.undo.chunks(AHEAD).flat_map(|ahead| {
            if self.index.len() >= FEW {
                self.touch(ahead.iter().map(Undo::slot));
            }
            ahead.iter().filter_map(|undo| match undo {
                Undo::Inserted(slot, at) => Some((*slot, self.find(*slot, *at)?)),
                // A value that was removed and added again is covered by its later entry.
                Undo::Changed(slot, at, _) => {
                    self.find(*slot, *at).filter(|item| item.touched & BORN == 0).map(|item| (*slot, item))
                }
                Undo::Removed(..) => None,
            })
        })
    }

    /// Returns whether the open transaction has changed a value.
    #[must_use]
    pub const fn is_changed(&self, item: &Item<A>) -> bool {
        item.touched & !BORN == self.epoch
    }

    fn find(&self, slot: u32, at: At) -> Option<&Item<A>> {
        let items = &self.slots[slot as usize].items;
        search(items, at).ok().map(|place| &items[place])
    }

    /// Frees the slots of the open transaction that are empty at its end.
    fn release(&mut self, slots: impl IntoIterator<Item = u32>) {
        for slot in slots {
            let entry = &self.slots[slot as usize];
            if !entry.items.is_empty() || entry.is_free {
                continue;
            }
            self.index.remove(entry.hash, slot);
            self.note(slot, NEVER);
            let free = Slot { is_free: true, ..Slot::new(&[], 0) };
            self.slots[slot as usize] = free;
            self.free.release(slot);
        }
    }
}

impl<A> Slot<A> {
    fn new(key: &[u8], hash: u32) -> Self {
        let key = Key::new(key);
        Self { key, items: VecDeque::new(), due: NEVER, hash, is_free: false, changed: (0, 0), sums: None }
    }
}

impl<A> Undo<A> {
    const fn slot(&self) -> u32 {
        match self {
            Self::Inserted(slot, _) | Self::Changed(slot, ..) | Self::Removed(slot, _) => *slot,
        }
    }
}

impl<A: Clone + Send + 'static> Store for TimedStore<A> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        if key.is_empty() {
            let time = value.and_then(|value| value.try_into().ok()).ok_or(RestoreError::Key)?;
            self.closed_up_to = TimestampMs(from_ordered(time));
            self.committed_up_to = self.closed_up_to;
            // The bounds need not change, since they remain lower bounds.
            return Ok(());
        }
        let (at, key) = decode(key).ok_or(RestoreError::Key)?;
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        let slot = self.slot_for(key);
        let items = &mut self.slots[slot as usize].items;
        match (search(items, at), value) {
            (Ok(place), Some(value)) => items[place].value = value,
            (Err(place), Some(value)) => {
                items.insert(place, Item { at, value, touched: 0 });
                self.item_count += 1;
            }
            (Ok(place), None) => {
                items.remove(place);
                self.item_count -= 1;
            }
            (Err(_), None) => {}
        }
        self.remind_anew(slot);
        self.release([slot]);
        Ok(())
    }

    fn expect_restored(&self, keys: &[&[u8]]) {
        self.expect(keys.iter().filter_map(|key| decode(key)).map(|(_, key)| key));
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        if self.closed_up_to != self.committed_up_to {
            changelog.put([&[], &[]], |out| {
                out.extend_from_slice(&ordered(self.closed_up_to.0));
                Ok(())
            })?;
        }
        for undo in &self.undo {
            if let Undo::Removed(slot, item) = undo
                && !(item.touched & BORN != 0 && item.touched & !BORN == self.epoch)
                && self.find(*slot, item.at).is_none()
            {
                changelog.delete([&encode(item.at), self.key(*slot)]);
            }
        }
        self.changed().try_for_each(|(slot, item)| {
            changelog.put([&encode(item.at), self.key(slot)], |out| self.values.encode(&item.value, out))
        })
    }

    fn commit(&mut self) {
        let mut undo = std::mem::take(&mut self.undo);
        let slot = |undo: Undo<A>| match undo {
            Undo::Removed(slot, _) => Some(slot),
            Undo::Inserted(..) | Undo::Changed(..) => None,
        };
        let changes = undo.len().max(UNDO_KEPT);
        self.release(undo.drain(..).filter_map(slot));
        if undo.capacity() > 4 * changes {
            undo.shrink_to(2 * changes);
        }
        self.undo = undo;
        self.epoch += 1;
        self.committed_up_to = self.closed_up_to;
        self.has_popped = false;
    }

    fn roll_back(&mut self) {
        let has_closed = std::mem::replace(&mut self.closed_up_to, self.committed_up_to) != self.committed_up_to;
        let mut touched = BTreeSet::new();
        while let Some(undo) = self.undo.pop() {
            let (Undo::Inserted(slot, at) | Undo::Changed(slot, at, _) | Undo::Removed(slot, Item { at, .. })) = &undo;
            touched.insert(*slot);
            let Slot { items, sums, .. } = &mut self.slots[*slot as usize];
            *sums = None;
            match (search(items, *at), undo) {
                (Ok(place), Undo::Inserted(..)) => {
                    items.remove(place);
                    self.item_count -= 1;
                }
                (Ok(place), Undo::Changed(.., value)) => (items[place].value, items[place].touched) = (value, 0),
                (Err(place), Undo::Removed(_, item)) => {
                    items.insert(place, item);
                    self.item_count += 1;
                }
                (Ok(_), Undo::Removed(..)) | (Err(_), Undo::Inserted(..) | Undo::Changed(..)) => {
                    unreachable!("undone in the order of the changes, last first")
                }
            }
        }
        self.epoch += 1;
        if std::mem::take(&mut self.has_popped) || has_closed {
            // Work that was done is due again, even where no value has changed.
            touched.extend(0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        }
        touched.iter().for_each(|slot| self.remind_anew(*slot));
        self.release(touched);
    }

    fn is_dirty(&self) -> bool {
        !self.undo.is_empty() || self.closed_up_to != self.committed_up_to || self.has_popped
    }

    fn sizes(&self) -> StoreSizes {
        let of_keys = self.index.len() * size_of::<Slot<A>>() + self.index.bytes() + self.due.bytes();
        let bytes = of_keys + self.item_count * size_of::<Item<A>>();
        StoreSizes { entries: self.item_count, windows: 0, bytes }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        self.slots.iter().try_for_each(|slot| self.visit_slot(slot, visit))
    }

    fn visit_key(&self, key: &[u8], visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        self.slot(key).map_or(Ok(()), |slot| self.visit_slot(&self.slots[slot as usize], visit))
    }

    fn last_due(&self) -> Option<TimestampMs> {
        let last = |slot: &Slot<A>| self.timing.last_due(&slot.items, self.closed_up_to);
        self.slots.iter().filter_map(last).max().map(TimestampMs)
    }
}

#[cfg(test)]
mod tests;
