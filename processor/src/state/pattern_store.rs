//! The events and partial matches of a pattern, by key.
//!
//! Events wait here until the watermark has passed their times, in the order of their times whatever their keys. Then
//! each goes to the partial matches of its key, which are there only while a run has taken something. Partial matches
//! are also kept by the time at which the first of their runs times out.
//!
//! The first change of a key's partial matches in a transaction keeps a copy of them, which shares their events;
//! the difference between the two is what the changelog gets.
//!
//! A changelog key is a byte for the kind of entry, then
//!
//! | kind | further | value |
//! |---|---|---|
//! | 1, an event that waits | time, number (u64, big endian), key | the event |
//! | 2, an event that was taken | number (u32, big endian), key | time, the event |
//! | 3, the runs of a key | key | see [`Partial::encode`] |
//!
//! where a time is an i64, big endian, with the sign bit flipped so that it sorts. The entry with the empty key holds
//! the time up to which the store is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use kafka_wire::types::TimestampMs;

use super::free_list::FreeList;
use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::window_store::{from_ordered, ordered};
use crate::cep::{Events, Malformed, Matcher, Partial, Program};
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// The events and partial matches of a pattern over events of type `E`. Keys are bytes.
pub struct PatternStore<E> {
    program: Arc<Program<E>>,
    values: Box<dyn Codec<E>>,
    /// Whether a partial match that times out may put something out.
    timing_out_counts: bool,
    /// Slot of each key.
    index: HashTable<u32>,
    slots: Vec<Slot<E>>,
    free: FreeList,
    hasher: DefaultHashBuilder,
    /// Events that wait, by time and number.
    waiting: BTreeMap<At, Waiting<E>>,
    /// Number of the next event that waits, now and at the last commit.
    next: u64,
    committed_next: u64,
    /// Slots by the time at which a run of theirs times out.
    due: BTreeSet<(i64, u32)>,
    /// Partial matches without a key, for the next key that needs some.
    spare: Option<Box<Partial<E>>>,
    /// Number of keys with partial matches, and their memory in bytes without events.
    partial_count: usize,
    partial_bytes: usize,
    undo: Vec<Undo<E>>,
    /// Number of the open transaction.
    epoch: u64,
    closed_up_to: TimestampMs,
    committed_up_to: TimestampMs,
    /// Taken events and runs of keys as they come out of the changelog, until [`PatternStore::link`].
    restored: BTreeMap<Box<[u8]>, Restored<E>>,
}

type At = (i64, u64);

struct Slot<E> {
    key: Box<[u8]>,
    partial: Option<Box<Partial<E>>>,
    /// Number of events that wait.
    waiting: u32,
    /// The slot's entry in [`PatternStore::due`]; [`NEVER`] if it has none.
    due: i64,
    /// Number of the transaction that last changed the partial matches.
    touched: u64,
    is_free: bool,
}

struct Waiting<E> {
    slot: u32,
    /// Number of the transaction in which it came.
    born: u64,
    event: Arc<E>,
}

/// A change of the open transaction.
enum Undo<E> {
    Came(At),
    Left(At, Waiting<E>),
    /// The former partial matches of a slot.
    Changed(u32, Option<Box<Partial<E>>>),
}

struct Restored<E> {
    events: Events<E>,
    runs: Option<Vec<u8>>,
}

// A derived implementation would require `E: Default`.
impl<E> Default for Restored<E> {
    fn default() -> Self {
        Self { events: Events::new(), runs: None }
    }
}

/// Something that is due for a key.
pub enum Due<E> {
    /// The next event.
    Event(Arc<E>),
    /// The end of the time of a run.
    End,
}

const WAITING: u8 = 1;
const TAKEN: u8 = 2;
const RUNS: u8 = 3;

const NEVER: i64 = i64::MAX;
const BEFORE_ALL: TimestampMs = TimestampMs(i64::MIN);

impl<E: Send + Sync + 'static> PatternStore<E> {
    /// Makes an empty store; `values` encodes its events. `timing_out_counts` says whether partial matches that time
    /// out put something out, so that a bounded run waits for that.
    #[must_use]
    pub fn new<S: Serde<View = Owned<E>>>(program: Arc<Program<E>>, values: S, timing_out_counts: bool) -> Self {
        Self {
            program,
            values: Box::new(values),
            timing_out_counts,
            index: HashTable::new(),
            slots: Vec::new(),
            free: FreeList::default(),
            hasher: DefaultHashBuilder::default(),
            waiting: BTreeMap::new(),
            next: 0,
            committed_next: 0,
            due: BTreeSet::new(),
            spare: None,
            partial_count: 0,
            partial_bytes: 0,
            undo: Vec::new(),
            epoch: 1,
            closed_up_to: BEFORE_ALL,
            committed_up_to: BEFORE_ALL,
            restored: BTreeMap::new(),
        }
    }

    /// Puts together what was restored. It must be called before any use of the store, and costs nothing after that.
    ///
    /// # Errors
    /// The changelog does not have what it should.
    pub fn link(&mut self) -> Result<(), Malformed> {
        for (key, restored) in std::mem::take(&mut self.restored) {
            let Some(runs) = restored.runs else { continue };
            let partial = self.program.decode(&runs, &restored.events)?;
            let slot = self.slot_for(&key);
            self.set_partial(slot, Some(Box::new(partial)));
        }
        Ok(())
    }

    /// Returns the time up to which events have been processed: an earlier one is late.
    #[must_use]
    pub const fn closed_up_to(&self) -> TimestampMs {
        self.closed_up_to
    }

    /// Notes that everything before `time` is done, after [`PatternStore::pop_due`] has found nothing more.
    pub fn close_up_to(&mut self, time: TimestampMs) {
        self.closed_up_to = self.closed_up_to.max(time);
    }

    /// Adds an event that waits for the watermark.
    pub fn add(&mut self, key: &[u8], time: i64, event: E) {
        let slot = self.slot_for(key);
        let at = (time, self.next);
        self.next += 1;
        self.slots[slot as usize].waiting += 1;
        self.waiting.insert(at, Waiting { slot, born: self.epoch, event: Arc::new(event) });
        self.undo.push(Undo::Came(at));
    }

    /// Returns what is due first when the watermark is at `watermark`: an event that is earlier, or the end of a run's
    /// time. Returns its time, which ends with the number of the event; its slot; and which of the two it is.
    /// [`PatternStore::update`] must follow, but for an event that is left out.
    pub fn pop_due(&mut self, watermark: TimestampMs) -> Option<(Window, u32, Due<E>)> {
        let event = self.waiting.first_key_value().map(|(at, _)| at.0).filter(|time| *time < watermark.0);
        let end = self.due.first().map(|(time, _)| *time).filter(|time| *time <= watermark.0);
        match (event, end) {
            (Some(event), end) if end.is_none_or(|end| event < end) => {
                let (at, waiting) = self.waiting.pop_first()?;
                let (slot, event) = (waiting.slot, Arc::clone(&waiting.event));
                self.slots[slot as usize].waiting -= 1;
                self.undo.push(Undo::Left(at, waiting));
                let end = i64::try_from(at.1).unwrap_or(i64::MAX);
                Some((Window { start: at.0, end }, slot, Due::Event(event)))
            }
            (_, Some(_)) => {
                let (time, slot) = *self.due.first()?;
                Some((Window { start: time, end: 0 }, slot, Due::End))
            }
            (_, None) => None,
        }
    }

    /// Lets the matcher see what is due for a slot.
    pub fn update(&mut self, (at, slot, due): (Window, u32, Due<E>), matcher: &mut Matcher<E>) {
        // A condition that panicked may have left some there.
        matcher.found().for_each(drop);
        let time = at.start;
        let mut partial = match self.slots[slot as usize].partial.take() {
            Some(partial) => {
                self.touch(slot, || Some(partial.clone()));
                self.partial_count -= 1;
                self.partial_bytes -= partial.bytes();
                partial
            }
            None if matches!(due, Due::End) => return self.note(slot, NEVER),
            None => self.spare.take().unwrap_or_else(|| Box::new(self.program.begin())),
        };
        matcher.advance(&mut partial, time);
        if let Due::Event(event) = due {
            matcher.process(&mut partial, event, time);
        }
        if partial.is_empty() {
            partial.reset();
            self.spare = Some(partial);
            self.note(slot, NEVER);
        } else {
            self.touch(slot, || None);
            self.set_partial(slot, Some(partial));
        }
    }

    /// Returns the key of a slot.
    #[must_use]
    pub fn key(&self, slot: u32) -> &[u8] {
        &self.slots[slot as usize].key
    }

    /// Keeps the partial matches of a slot before their first change in the transaction.
    fn touch(&mut self, slot: u32, before: impl FnOnce() -> Option<Box<Partial<E>>>) {
        let entry = &mut self.slots[slot as usize];
        if entry.touched != self.epoch {
            entry.touched = self.epoch;
            self.undo.push(Undo::Changed(slot, before()));
        }
    }

    fn set_partial(&mut self, slot: u32, partial: Option<Box<Partial<E>>>) {
        let due = partial.as_ref().and_then(|partial| {
            self.partial_count += 1;
            self.partial_bytes += partial.bytes();
            partial.first_begin()?.checked_add(self.program.within_ms()?)
        });
        self.slots[slot as usize].partial = partial;
        self.note(slot, due.unwrap_or(NEVER));
    }

    fn note(&mut self, slot: u32, due: i64) {
        let entry = &mut self.slots[slot as usize];
        if entry.due == due {
            return;
        }
        if entry.due != NEVER {
            self.due.remove(&(entry.due, slot));
        }
        entry.due = due;
        if due != NEVER {
            self.due.insert((due, slot));
        }
    }

    fn slot_for(&mut self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        if let Some(slot) = self.index.find(hash, |slot| *self.slots[*slot as usize].key == *key) {
            return *slot;
        }
        let made = Slot { key: key.into(), partial: None, waiting: 0, due: NEVER, touched: 0, is_free: false };
        let slot = self.free.place(&mut self.slots, made);
        let Self { index, slots, hasher, .. } = self;
        index.insert_unique(hash, slot, |slot| hasher.hash_one(&*slots[*slot as usize].key));
        slot
    }

    /// Frees a slot that has nothing left.
    fn release(&mut self, slot: u32) {
        let entry = &self.slots[slot as usize];
        if entry.is_free || entry.waiting > 0 || entry.partial.is_some() {
            return;
        }
        let hash = self.hasher.hash_one(&*entry.key);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        let entry = &mut self.slots[slot as usize];
        (entry.key, entry.is_free) = (Box::default(), true);
        self.free.release(slot);
    }

    /// Writes the difference between the partial matches of a slot and what they were.
    fn write_partial(
        &self,
        slot: &Slot<E>,
        before: Option<&Partial<E>>,
        changelog: &mut Changelog<'_>,
    ) -> Result<(), SerdeError> {
        let now = slot.partial.as_deref();
        let (old, new) = (taken(before), taken(now));
        let find = |events: &[Taken<'_, E>], number: u32| events.binary_search_by_key(&number, |taken| taken.0).ok();
        for (number, ..) in old.iter().filter(|(number, ..)| find(&new, *number).is_none()) {
            changelog.delete([&taken_key(*number), &slot.key]);
        }
        for (number, time, event) in &new {
            // Numbers begin anew when the partial matches of a key have ended.
            if find(&old, *number).is_none_or(|place| !Arc::ptr_eq(old[place].2, event)) {
                changelog.put([&taken_key(*number), &slot.key], |out| {
                    out.extend_from_slice(&ordered(*time));
                    self.values.encode(event, out)
                })?;
            }
        }
        match now {
            Some(now) => changelog.put([&[RUNS], &slot.key], |out| {
                now.encode(out);
                Ok(())
            }),
            None => {
                if before.is_some() {
                    changelog.delete([&[RUNS], &slot.key]);
                }
                Ok(())
            }
        }
    }

    fn decode(&self, value: Option<&[u8]>) -> Result<Option<Arc<E>>, RestoreError> {
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        Ok(value.map(Arc::new))
    }

    fn restore_waiting(&mut self, rest: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let (time, rest) = rest.split_first_chunk().ok_or(RestoreError::Key)?;
        let (number, key) = rest.split_first_chunk().ok_or(RestoreError::Key)?;
        let at = (from_ordered(*time), u64::from_be_bytes(*number));
        self.next = self.next.max(at.1.saturating_add(1));
        self.committed_next = self.next;
        let slot = self.slot_for(key);
        let event = self.decode(value)?;
        let was_there = match event {
            Some(event) => self.waiting.insert(at, Waiting { slot, born: 0, event }).is_some(),
            None => self.waiting.remove(&at).is_some(),
        };
        let is_there = value.is_some();
        let entry = &mut self.slots[slot as usize];
        entry.waiting = entry.waiting + u32::from(is_there) - u32::from(was_there);
        self.release(slot);
        Ok(())
    }

    fn restore_taken(&mut self, rest: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let (number, key) = rest.split_first_chunk().ok_or(RestoreError::Key)?;
        let number = u32::from_be_bytes(*number);
        let value = value.map(|value| value.split_first_chunk().ok_or(RestoreError::Key)).transpose()?;
        let event = self.decode(value.map(|(_, event)| event))?;
        let events = &mut self.restored.entry(key.into()).or_default().events;
        match value.zip(event) {
            Some(((time, _), event)) => _ = events.insert(number, (from_ordered(*time), event)),
            None => _ = events.remove(&number),
        }
        Ok(())
    }
}

impl<E: Send + Sync + 'static> Store for PatternStore<E> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        match key.split_first() {
            None => {
                let time = value.and_then(|value| value.try_into().ok()).ok_or(RestoreError::Key)?;
                self.closed_up_to = TimestampMs(from_ordered(time));
                self.committed_up_to = self.closed_up_to;
                Ok(())
            }
            Some((&WAITING, rest)) => self.restore_waiting(rest, value),
            Some((&TAKEN, rest)) => self.restore_taken(rest, value),
            Some((&RUNS, key)) => {
                self.restored.entry(key.into()).or_default().runs = value.map(<[u8]>::to_vec);
                Ok(())
            }
            Some(_) => Err(RestoreError::Key),
        }
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        if self.closed_up_to != self.committed_up_to {
            changelog.put([&[], &[]], |out| {
                out.extend_from_slice(&ordered(self.closed_up_to.0));
                Ok(())
            })?;
        }
        for undo in &self.undo {
            match undo {
                Undo::Came(at) => {
                    // An event that has left already never needs to be restored.
                    let Some(waiting) = self.waiting.get(at) else { continue };
                    let key = self.key(waiting.slot);
                    changelog.put([&waiting_key(*at), key], |out| self.values.encode(&waiting.event, out))?;
                }
                Undo::Left(at, waiting) if waiting.born != self.epoch => {
                    changelog.delete([&waiting_key(*at), self.key(waiting.slot)]);
                }
                Undo::Left(..) => {}
                Undo::Changed(slot, before) => {
                    self.write_partial(&self.slots[*slot as usize], before.as_deref(), changelog)?;
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        for undo in std::mem::take(&mut self.undo) {
            match undo {
                Undo::Came(_) => {}
                Undo::Left(_, Waiting { slot, .. }) | Undo::Changed(slot, _) => self.release(slot),
            }
        }
        self.epoch += 1;
        self.committed_up_to = self.closed_up_to;
        self.committed_next = self.next;
    }

    fn roll_back(&mut self) {
        let mut touched = BTreeSet::new();
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Came(at) => {
                    if let Some(waiting) = self.waiting.remove(&at) {
                        self.slots[waiting.slot as usize].waiting -= 1;
                        touched.insert(waiting.slot);
                    }
                }
                Undo::Left(at, waiting) => {
                    self.slots[waiting.slot as usize].waiting += 1;
                    self.waiting.insert(at, waiting);
                }
                Undo::Changed(slot, before) => {
                    if let Some(now) = self.slots[slot as usize].partial.take() {
                        self.partial_count -= 1;
                        self.partial_bytes -= now.bytes();
                    }
                    self.set_partial(slot, before);
                    touched.insert(slot);
                }
            }
        }
        touched.into_iter().for_each(|slot| self.release(slot));
        self.epoch += 1;
        self.closed_up_to = self.committed_up_to;
        // Events that come again have the same numbers.
        self.next = self.committed_next;
    }

    fn is_dirty(&self) -> bool {
        !self.undo.is_empty() || self.closed_up_to != self.committed_up_to
    }

    fn sizes(&self) -> StoreSizes {
        let per_key = size_of::<Slot<E>>() + size_of::<u32>() + 1;
        let per_waiting = size_of::<(At, Waiting<E>)>() + 2 * size_of::<usize>() + size_of::<E>();
        let bytes = self.index.len() * per_key + self.waiting.len() * per_waiting + self.partial_bytes;
        StoreSizes { entries: self.waiting.len() + self.partial_count, windows: 0, bytes }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let mut encoded = Vec::new();
        let mut show = |key: &[u8], window: Window, event: &E| {
            encoded.clear();
            self.values.encode(event, &mut encoded)?;
            visit(window, key, &encoded);
            Ok(())
        };
        let within = self.program.within_ms().unwrap_or(i64::MAX);
        for slot in &self.slots {
            for (_, time, event) in taken(slot.partial.as_deref()) {
                show(&slot.key, Window { start: time, end: time.saturating_add(within) }, event)?;
            }
        }
        self.waiting.iter().try_for_each(|((time, _), waiting)| {
            show(self.key(waiting.slot), Window { start: *time, end: time.saturating_add(1) }, &waiting.event)
        })
    }

    fn last_due(&self) -> Option<TimestampMs> {
        let waiting = self.waiting.last_key_value().map(|((time, _), _)| time.saturating_add(1));
        let partial = self.slots.iter().filter_map(|slot| slot.partial.as_deref());
        let end = |partial: &Partial<E>| partial.last_begin()?.checked_add(self.program.within_ms()?);
        let last_end = if self.timing_out_counts { partial.filter_map(end).max() } else { None };
        waiting.max(last_end).map(TimestampMs)
    }
}

/// A taken event: its number, its time, and itself.
type Taken<'e, E> = (u32, i64, &'e Arc<E>);

/// The taken events of partial matches, each once, by number.
fn taken<E>(partial: Option<&Partial<E>>) -> Vec<Taken<'_, E>> {
    let mut events: Vec<_> = partial.into_iter().flat_map(Partial::events).collect();
    events.sort_unstable_by_key(|taken| taken.0);
    events.dedup_by_key(|taken| taken.0);
    events
}

fn waiting_key((time, number): At) -> [u8; 17] {
    let mut bytes = [WAITING; 17];
    bytes[1..9].copy_from_slice(&ordered(time));
    bytes[9..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn taken_key(number: u32) -> [u8; 5] {
    let mut bytes = [TAKEN; 5];
    bytes[1..].copy_from_slice(&number.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests;
