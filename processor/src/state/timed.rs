//! Values a key in order of time: sessions, the panes of sliding windows, the buffers of joins.
//!
//! Each key has a list of its own, sorted by time, so that what belongs together lies together. When something is due for a key
//! says a [`Timing`]: the store keeps keys in the order of a bound from below, and asks again when the bound has come. So a
//! session that grows with each record costs no work in that order.
//!
//! In the changelog a key is the time (i64, big endian, the sign bit flipped, so that it sorts), a number among equals (u32, big
//! endian), and the key. The empty key has the time up to which the store is closed.

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use kafka_wire::types::TimestampMs;

use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::window_store::{from_ordered, ordered};
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// When something is due for the values of a key.
pub trait Timing<A>: Send {
    /// The earliest time at which something is due for a key with these values, all of which is done up to `closed_up_to`;
    /// `None` for never. Where a value changes, what is due may come later, but not earlier.
    fn due(&self, items: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64>;

    /// The greatest time at which something will be due, new values left aside: a bounded run goes that far.
    fn last_due(&self, items: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64>;

    /// The span of time of a value, as it is shown.
    fn span(&self, item: &Item<A>) -> Window;
}

/// A place among the values of a key: a time, and a number among those of that time.
pub type At = (i64, u32);

/// A value of a key.
#[derive(Clone, Debug)]
pub struct Item<A> {
    /// Its place.
    pub at: At,
    /// The value.
    pub value: A,
    /// The transaction that touched it last, and the flag [`BORN`].
    touched: u64,
}

/// Values of type `A` by key and time. Keys are bytes.
pub struct TimedStore<A> {
    /// The slot of each key.
    index: HashTable<u32>,
    slots: Vec<Slot<A>>,
    free: Vec<u32>,
    /// Slots by the bound of what is due for their keys.
    due: BTreeSet<(i64, u32)>,
    undo: Vec<Undo<A>>,
    /// Number of the open transaction.
    epoch: u64,
    item_count: usize,
    closed_up_to: TimestampMs,
    committed_up_to: TimestampMs,
    hasher: DefaultHashBuilder,
    values: Box<dyn Codec<A>>,
    timing: Box<dyn Timing<A>>,
}

struct Slot<A> {
    key: Box<[u8]>,
    items: VecDeque<Item<A>>,
    /// Its bound in [`TimedStore::due`]; [`NEVER`] when it is not in there.
    due: i64,
    is_free: bool,
}

/// A change of the open transaction.
enum Undo<A> {
    Inserted(u32, At),
    /// What the value was.
    Changed(u32, At, A),
    Removed(u32, Item<A>),
}

/// The value got in in the transaction that touched it last.
const BORN: u64 = 1 << 63;
const NEVER: i64 = i64::MAX;
const BEFORE_ALL: TimestampMs = TimestampMs(i64::MIN);

impl<A: Clone + Send + 'static> TimedStore<A> {
    /// An empty store; `values` writes its values into the changelog.
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
            hasher: DefaultHashBuilder::default(),
            values: Box::new(values),
            timing: Box::new(timing),
        }
    }

    /// The time up to which everything that was due is done.
    #[must_use]
    pub const fn closed_up_to(&self) -> TimestampMs {
        self.closed_up_to
    }

    /// Everything that is due up to there is done, once [`TimedStore::pop_due`] has found nothing more.
    pub fn close_up_to(&mut self, time: TimestampMs) {
        self.closed_up_to = self.closed_up_to.max(time);
    }

    /// The slot of a key that has values: what the methods below take.
    #[must_use]
    pub fn slot(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |slot| *self.slots[*slot as usize].key == *key).copied()
    }

    /// The slot of a key, which may have no values yet.
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

    /// The key of a slot.
    #[must_use]
    pub fn key(&self, slot: u32) -> &[u8] {
        &self.slots[slot as usize].key
    }

    /// The values of a slot, in order of time.
    #[must_use]
    pub fn items(&self, slot: u32) -> &VecDeque<Item<A>> {
        &self.slots[slot as usize].items
    }

    /// Changes the value at a place, made by `init` if there is none.
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

    /// Takes a value out; it is returned.
    pub fn remove(&mut self, slot: u32, at: At) -> Option<A> {
        let items = &mut self.slots[slot as usize].items;
        let place = items.binary_search_by_key(&at, |item| item.at).ok()?;
        let item = items.remove(place)?;
        self.item_count -= 1;
        let value = item.value.clone();
        self.undo.push(Undo::Removed(slot, item));
        Some(value)
    }

    /// Takes out the values of a slot that are earlier than `time`.
    pub fn remove_before(&mut self, slot: u32, time: i64) {
        let items = &mut self.slots[slot as usize].items;
        while items.front().is_some_and(|item| item.at.0 < time)
            && let Some(item) = items.pop_front()
        {
            self.item_count -= 1;
            self.undo.push(Undo::Removed(slot, item));
        }
    }

    /// The earliest time at which something is due, up to `up_to`, and the slot that it is due for: what is due at one time comes
    /// in the order of the slots. [`TimedStore::done`] must follow.
    pub fn pop_due(&mut self, up_to: TimestampMs) -> Option<(i64, u32)> {
        loop {
            let (bound, slot) = *self.due.first().filter(|(bound, _)| *bound <= up_to.0)?;
            self.due.pop_first();
            let closed_up_to = self.closed_up_to;
            let entry = &mut self.slots[slot as usize];
            entry.due = NEVER;
            let due = self.timing.due(&entry.items, closed_up_to).unwrap_or(NEVER);
            if due <= bound {
                return Some((bound, slot));
            }
            self.note(slot, due);
        }
    }

    /// What was due for a slot up to `time` is done; the store itself is closed up to there by [`TimedStore::close_up_to`] only, when
    /// that is so for all slots.
    pub fn done(&mut self, slot: u32, time: i64) {
        self.remind_after(slot, self.closed_up_to.max(TimestampMs(time)));
    }

    /// Looks when something is due for a slot next.
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

    /// The bound of what is due next.
    #[must_use]
    pub fn first_due(&self) -> Option<TimestampMs> {
        self.due.first().map(|(due, _)| TimestampMs(*due))
    }

    /// All values: by slot, and in order of time.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Item<A>)> {
        self.slots.iter().flat_map(|slot| slot.items.iter().map(|item| (&*slot.key, item)))
    }

    /// Values that the open transaction has changed and that are there, in order of the changes.
    pub fn changed(&self) -> impl Iterator<Item = (u32, &Item<A>)> {
        self.undo.iter().filter_map(|undo| match undo {
            Undo::Inserted(slot, at) => Some((*slot, self.find(*slot, *at)?)),
            // One that was taken out and made again is told as that.
            Undo::Changed(slot, at, _) => {
                self.find(*slot, *at).filter(|item| item.touched & BORN == 0).map(|item| (*slot, item))
            }
            Undo::Removed(..) => None,
        })
    }

    /// Whether the open transaction has changed a value.
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
            // The bounds stay what they are, bounds from below.
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
        if has_closed {
            // What was done is due again, also where no value has changed.
            touched.extend(0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        }
        for slot in &touched {
            self.note(*slot, NEVER);
            self.remind(*slot);
        }
        self.release(touched);
    }

    fn is_dirty(&self) -> bool {
        !self.undo.is_empty() || self.closed_up_to != self.committed_up_to
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
