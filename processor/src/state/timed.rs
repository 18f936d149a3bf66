//! Values by key, in order of time: sessions, the panes of sliding windows, the buffers of joins.
//!
//! Each key has its own list, sorted by time, so that values that are used together lie together. A [`Timing`] says
//! when something is due for a key. The store keeps the keys sorted by a lower bound of that time, and asks the timing
//! again when the bound is reached; so a session that each record extends causes no work in the sorted set.
//!
//! A changelog key is the time (i64, big endian, with the sign bit flipped so that it sorts), a number among
//! values of equal time (u32, big endian), and the key. The entry with the empty key holds the time up to which
//! the store is closed.

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use kafka_wire::types::TimestampMs;

use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::window_store::{from_ordered, ordered};
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// The rule that says when something is due for the values of a key.
pub trait Timing<A>: Send {
    /// Returns the earliest time at which something is due for a key with these values, given that everything up
    /// to `closed_up_to` is done; `None` for never. The change of a value may make the result later, but not earlier.
    fn due(&self, items: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64>;

    /// Returns the greatest time at which something will be due, without new values: the end of a bounded run.
    fn last_due(&self, items: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64>;

    /// Returns the span of time of a value, as it is shown.
    fn span(&self, item: &Item<A>) -> Window;
}

/// The position of a value in the list of its key: a time, and a number among values of that time.
pub type At = (i64, u32);

/// A value of a key.
#[derive(Clone, Debug)]
pub struct Item<A> {
    /// Position of the value.
    pub at: At,
    /// The value.
    pub value: A,
    /// Number of the transaction that last touched the value, and the flag [`BORN`].
    touched: u64,
}

/// Values of type `A` by key and time. Keys are bytes.
pub struct TimedStore<A> {
    /// Slot of each key.
    index: HashTable<u32>,
    slots: Vec<Slot<A>>,
    free: Vec<u32>,
    /// Slots by the lower bound of the time at which something is due for their keys.
    due: BTreeSet<(i64, u32)>,
    undo: Vec<Undo<A>>,
    /// Number of the open transaction.
    epoch: u64,
    item_count: usize,
    closed_up_to: TimestampMs,
    committed_up_to: TimestampMs,
    /// Whether the open transaction has done something that was due.
    has_popped: bool,
    hasher: DefaultHashBuilder,
    values: Box<dyn Codec<A>>,
    timing: Box<dyn Timing<A>>,
}

struct Slot<A> {
    key: Box<[u8]>,
    items: VecDeque<Item<A>>,
    /// Bound of the slot in [`TimedStore::due`]; [`NEVER`] if it is not in there.
    due: i64,
    is_free: bool,
}

/// A change of the open transaction.
enum Undo<A> {
    Inserted(u32, At),
    /// The former value.
    Changed(u32, At, A),
    Removed(u32, Item<A>),
}

/// Flag: the value was added in the transaction that touched it last.
const BORN: u64 = 1 << 63;
const NEVER: i64 = i64::MAX;
const BEFORE_ALL: TimestampMs = TimestampMs(i64::MIN);

impl<A: Clone + Send + 'static> TimedStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S, timing: impl Timing<A> + 'static) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            undo: Vec::new(),
            epoch: 1,
            item_count: 0,
            closed_up_to: BEFORE_ALL,
            committed_up_to: BEFORE_ALL,
            has_popped: false,
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
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |slot| *self.slots[*slot as usize].key == *key).copied()
    }

    /// Returns the slot of a key, which may have no values yet.
    pub fn slot_for(&mut self, key: &[u8]) -> u32 {
        if let Some(slot) = self.slot(key) {
            return slot;
        }
        let made = Slot { key: key.into(), items: VecDeque::new(), due: NEVER, is_free: false };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = made;
                slot
            }
            None => {
                self.slots.push(made);
                u32::try_from(self.slots.len() - 1).expect("a store holds less than 4 billion keys")
            }
        };
        let Self { index, slots, hasher, .. } = self;
        index.insert_unique(hasher.hash_one(key), slot, |slot| hasher.hash_one(&*slots[*slot as usize].key));
        slot
    }

    /// Returns the key of a slot.
    #[must_use]
    pub fn key(&self, slot: u32) -> &[u8] {
        &self.slots[slot as usize].key
    }

    /// Returns the values of a slot, in order of time.
    #[must_use]
    pub fn items(&self, slot: u32) -> &VecDeque<Item<A>> {
        &self.slots[slot as usize].items
    }

    /// Changes the value at a position; `init` makes it if there is none.
    pub fn update<R>(&mut self, slot: u32, at: At, init: impl FnOnce() -> A, change: impl FnOnce(&mut A) -> R) -> R {
        let items = &self.slots[slot as usize].items;
        // Most records are later than those before them.
        let place = match items.back() {
            Some(last) if last.at == at => Ok(items.len() - 1),
            Some(last) if last.at > at => items.binary_search_by_key(&at, |item| item.at),
            _ => Err(items.len()),
        };
        let place = match place {
            Ok(place) => {
                let epoch = self.epoch;
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
        let items = &mut self.slots[slot as usize].items;
        let place = items.binary_search_by_key(&at, |item| item.at).ok()?;
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

    /// Returns the earliest time up to `up_to` at which something is due, and the slot that it is due for.
    /// Slots that are due at the same time come in their order. The caller must call [`TimedStore::done`] afterwards.
    pub fn pop_due(&mut self, up_to: TimestampMs) -> Option<(i64, u32)> {
        loop {
            let (bound, slot) = *self.due.first().filter(|(bound, _)| *bound <= up_to.0)?;
            self.due.pop_first();
            let closed_up_to = self.closed_up_to;
            let entry = &mut self.slots[slot as usize];
            entry.due = NEVER;
            let due = self.timing.due(&entry.items, closed_up_to).unwrap_or(NEVER);
            if due <= bound {
                self.has_popped = true;
                return Some((bound, slot));
            }
            self.note(slot, due);
        }
    }

    /// Notes that everything that was due for a slot up to `time` is done. The store itself is closed up to a time only
    /// by [`TimedStore::close_up_to`], when that is so for all slots.
    pub fn done(&mut self, slot: u32, time: i64) {
        self.remind_after(slot, self.closed_up_to.max(TimestampMs(time)));
    }

    /// Computes when something is due for a slot next.
    fn remind(&mut self, slot: u32) {
        self.remind_after(slot, self.closed_up_to);
    }

    fn remind_after(&mut self, slot: u32, closed_up_to: TimestampMs) {
        let due = self.timing.due(&self.slots[slot as usize].items, closed_up_to).unwrap_or(NEVER);
        if due < self.slots[slot as usize].due {
            self.note(slot, due);
        }
    }

    fn note(&mut self, slot: u32, due: i64) {
        let entry = &mut self.slots[slot as usize];
        if entry.due != NEVER {
            self.due.remove(&(entry.due, slot));
        }
        entry.due = due;
        if due != NEVER {
            self.due.insert((due, slot));
        }
    }

    /// Returns the lower bound of the time at which something is due next.
    #[must_use]
    pub fn first_due(&self) -> Option<TimestampMs> {
        self.due.first().map(|(due, _)| TimestampMs(*due))
    }

    /// Returns all values, by slot and in order of time.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Item<A>)> {
        self.slots.iter().flat_map(|slot| slot.items.iter().map(|item| (&*slot.key, item)))
    }

    /// Returns the values that the open transaction has changed and that exist, in the order of the changes.
    pub fn changed(&self) -> impl Iterator<Item = (u32, &Item<A>)> {
        self.undo.iter().filter_map(|undo| match undo {
            Undo::Inserted(slot, at) => Some((*slot, self.find(*slot, *at)?)),
            // A value that was removed and added again is covered by its later entry.
            Undo::Changed(slot, at, _) => {
                self.find(*slot, *at).filter(|item| item.touched & BORN == 0).map(|item| (*slot, item))
            }
            Undo::Removed(..) => None,
        })
    }

    /// Returns whether the open transaction has changed a value.
    #[must_use]
    pub const fn is_changed(&self, item: &Item<A>) -> bool {
        item.touched & !BORN == self.epoch
    }

    fn find(&self, slot: u32, at: At) -> Option<&Item<A>> {
        let items = &self.slots[slot as usize].items;
        items.binary_search_by_key(&at, |item| item.at).ok().map(|place| &items[place])
    }

    /// Frees the slots of the open transaction that are empty at its end.
    fn release(&mut self, slots: impl IntoIterator<Item = u32>) {
        for slot in slots {
            let entry = &self.slots[slot as usize];
            if !entry.items.is_empty() || entry.is_free {
                continue;
            }
            let hash = self.hasher.hash_one(&*entry.key);
            if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
                found.remove();
            }
            self.note(slot, NEVER);
            let entry = &mut self.slots[slot as usize];
            (entry.key, entry.items, entry.is_free) = (Box::default(), VecDeque::new(), true);
            self.free.push(slot);
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
        match (items.binary_search_by_key(&at, |item| item.at), value) {
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
        self.note(slot, NEVER);
        self.remind(slot);
        self.release([slot]);
        Ok(())
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
        let undo = std::mem::take(&mut self.undo);
        let slot = |undo: Undo<A>| match undo {
            Undo::Removed(slot, _) => Some(slot),
            Undo::Inserted(..) | Undo::Changed(..) => None,
        };
        self.release(undo.into_iter().filter_map(slot));
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
            let items = &mut self.slots[*slot as usize].items;
            match (items.binary_search_by_key(at, |item| item.at), undo) {
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
        for slot in &touched {
            self.note(*slot, NEVER);
            self.remind(*slot);
        }
        self.release(touched);
    }

    fn is_dirty(&self) -> bool {
        !self.undo.is_empty() || self.closed_up_to != self.committed_up_to || self.has_popped
    }

    fn sizes(&self) -> StoreSizes {
        let per_key = size_of::<Slot<A>>() + size_of::<u32>() + 1 + size_of::<(i64, u32)>();
        let bytes = self.index.len() * per_key + self.item_count * size_of::<Item<A>>();
        StoreSizes { entries: self.item_count, windows: 0, bytes }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let mut encoded = Vec::new();
        self.iter().try_for_each(|(key, item)| {
            encoded.clear();
            self.values.encode(&item.value, &mut encoded)?;
            visit(self.timing.span(item), key, &encoded);
            Ok(())
        })
    }

    fn last_due(&self) -> Option<TimestampMs> {
        let last = |slot: &Slot<A>| self.timing.last_due(&slot.items, self.closed_up_to);
        self.slots.iter().filter_map(last).max().map(TimestampMs)
    }
}

fn encode((time, number): At) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (at, among) = bytes.split_at_mut(8);
    at.copy_from_slice(&ordered(time));
    among.copy_from_slice(&number.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(At, &[u8])> {
    let (time, rest) = bytes.split_first_chunk()?;
    let (number, key) = rest.split_first_chunk()?;
    Some(((from_ordered(*time), u32::from_be_bytes(*number)), key))
}

#[cfg(test)]
mod tests;
