//! The trait of stores, the stores of a task, and the handles by which operators reach theirs.

use std::any::{Any, type_name};
use std::fmt;
use std::marker::PhantomData;

use kafka_wire::types::TimestampMs;

use super::clock::{Clock, Ttl};
use super::globals::Globals;
use crate::output::StoreId;
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// State of one task, durable by a changelog.
///
/// All changes belong to the open transaction until [`Store::commit`] or [`Store::roll_back`]. The format of keys and
/// values in the changelog is up to the store.
pub trait Store: Any + Send {
    /// Restores an entry of the changelog; `None` for one that was deleted. It is called before the first change,
    /// in the order of the log.
    ///
    /// # Errors
    /// If this store has not written the entry.
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError>;

    /// Announces that the entries of these keys, as they are in the changelog, are restored or used next. A store whose
    /// entries are spread over memory can bring them into the cache together, so that they are not waited for one after
    /// the other.
    fn expect_restored(&self, _keys: &[&[u8]]) {}

    /// Writes the changes of the open transaction: each changed entry once, with its present value, and the deletions.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError>;

    /// Ends the transaction, whose changes are in the changelog and committed.
    fn commit(&mut self);

    /// Ends the transaction by restoring the state at its beginning.
    fn roll_back(&mut self);

    /// Whether the open transaction has changed anything.
    fn is_dirty(&self) -> bool;

    /// The sizes of the store. It is called often, so it must take constant time.
    fn sizes(&self) -> StoreSizes;

    /// Passes each entry to `visit`, in an order that depends only on the operations so far: window (all of time for
    /// a store without windows), key, and value by its serde. Uncommitted changes are included.
    ///
    /// # Errors
    /// If a value cannot be encoded.
    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError>;

    /// As [`Store::visit`], for the entries of one key. By default every entry is looked at.
    ///
    /// # Errors
    /// As for [`Store::visit`].
    fn visit_key(&self, key: &[u8], visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        self.visit(&mut |window, found, value| {
            if found == key {
                visit(window, found, value);
            }
        })
    }

    /// The greatest event time at which something in the store is still due, such as the end of an open window:
    /// a bounded run does not end before it.
    fn last_due(&self) -> Option<TimestampMs> {
        None
    }

    /// The greatest event time of a timer that another timer has set while a bounded run ended. Such timers may go on
    /// without an end, so the run does not wait for all of them.
    fn last_echo(&self) -> Option<TimestampMs> {
        None
    }

    /// The next event time at which a timer in the store is due. It may have come already.
    fn next_event_due(&self) -> Option<TimestampMs> {
        None
    }

    /// Forgets entries some time after they were written. Call it before anything else. Returns whether the store
    /// can do that.
    fn set_ttl(&mut self, _ttl: Ttl) -> bool {
        false
    }

    /// Whether the store forgets entries some time after they were written.
    fn forgets(&self) -> bool {
        false
    }

    /// Tells a store that forgets entries the event time of the record that is processed next, and the time of day.
    fn set_time(&mut self, _event: TimestampMs, _wall: TimestampMs) {}

    /// Tells the store that a clock has advanced, and removes the entries whose time is over.
    fn advance_clock(&mut self, _clock: Clock, _now: TimestampMs) {}

    /// The next wall-clock time at which something in the store is due.
    fn next_wall_due(&self) -> Option<TimestampMs> {
        None
    }
}

/// Receives one entry of a store.
pub type Visit<'a> = dyn FnMut(Window, &[u8], &[u8]) + 'a;

/// The sizes of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSizes {
    /// Number of entries.
    pub entries: usize,
    /// Number of open windows; 0 for a store without windows.
    pub windows: usize,
    /// Memory of the entries in bytes, as far as it is known without visiting each.
    pub bytes: usize,
}

/// The reason why an entry of a changelog is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// The store writes no such keys.
    Key,
    /// The serde cannot decode the value.
    Value(SerdeError),
}

/// Takes the changes of a store, as records of its changelog.
pub struct Changelog<'a> {
    prefix: u8,
    key: &'a mut Vec<u8>,
    value: &'a mut Vec<u8>,
    write: &'a mut dyn FnMut(&[u8], Option<&[u8]>),
}

impl<'a> Changelog<'a> {
    /// `write` gets each key, preceded by the byte `prefix`, and its value. `buffers` are reused for each.
    pub fn new(
        prefix: u8,
        (key, value): (&'a mut Vec<u8>, &'a mut Vec<u8>),
        write: &'a mut dyn FnMut(&[u8], Option<&[u8]>),
    ) -> Self {
        Self { prefix, key, value, write }
    }

    /// Writes an entry. The key is the concatenation of `parts`; `encode` appends the value.
    ///
    /// # Errors
    /// The errors of `encode`; nothing is written then.
    #[inline]
    pub fn put<const N: usize>(
        &mut self,
        parts: [&[u8]; N],
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        self.set_key(parts);
        self.value.clear();
        encode(self.value)?;
        (self.write)(self.key, Some(self.value));
        Ok(())
    }

    /// Writes the deletion of an entry.
    #[inline]
    pub fn delete<const N: usize>(&mut self, parts: [&[u8]; N]) {
        self.set_key(parts);
        (self.write)(self.key, None);
    }

    #[inline]
    fn set_key<const N: usize>(&mut self, parts: [&[u8]; N]) {
        self.key.clear();
        self.key.push(self.prefix);
        parts.into_iter().for_each(|part| self.key.extend_from_slice(part));
    }
}

/// Encodes and decodes the values of a store. It hides the serde, which keeps the types of stores short.
pub(super) trait Codec<A>: Send {
    fn decode(&self, bytes: &[u8]) -> Result<A, SerdeError>;
    fn encode(&self, value: &A, out: &mut Vec<u8>) -> Result<(), SerdeError>;
}

impl<A: 'static, S: Serde<View = Owned<A>>> Codec<A> for S {
    fn decode(&self, bytes: &[u8]) -> Result<A, SerdeError> {
        Serde::decode(self, bytes)
    }

    fn encode(&self, value: &A, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Serde::encode(self, value, out)
    }
}

/// The handle of a store of type `S`, valid in each task that has the store.
pub struct Handle<S> {
    id: StoreId,
    store: PhantomData<fn() -> S>,
}

impl<S> Handle<S> {
    /// The handle of the store with that id. Using it panics if the store is of another type.
    #[must_use]
    pub const fn new(id: StoreId) -> Self {
        Self { id, store: PhantomData }
    }

    /// The store's id.
    #[must_use]
    pub const fn id(self) -> StoreId {
        self.id
    }
}

// Derived implementations would require the same of `S`.
impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Handle<S> {}

impl<S> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle<{}>({})", type_name::<S>(), self.id.0)
    }
}

/// The stores of a task, by [`StoreId`].
#[derive(Default)]
pub struct Stores {
    /// `None` for a store that the task does not have, or that [`Stores::take`] has removed for a time.
    slots: Vec<Option<Box<dyn Store>>>,
    /// The places of the stores that forget entries by time: mostly none.
    forgetting: Vec<usize>,
    /// Whether a store was used, or output was made, since the last call of [`Stores::forget_effects`].
    has_effects: bool,
    /// The error of a stored key that could not be decoded, since the last call of [`Stores::take_undecodable`].
    undecodable: Option<SerdeError>,
    globals: Globals,
}

impl Stores {
    /// The global tables of the worker.
    #[must_use]
    pub const fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Sets the global tables of the worker.
    pub fn set_globals(&mut self, globals: &Globals) {
        self.globals = Globals::clone(globals);
    }

    /// Adds a store.
    pub fn insert(&mut self, id: StoreId, store: Box<dyn Store>) {
        if self.slots.len() <= id.0 {
            self.slots.resize_with(id.0 + 1, || None);
        }
        if store.forgets() {
            self.forgetting.push(id.0);
        }
        self.slots[id.0] = Some(store);
    }

    /// Tells the stores that forget entries the event time of the record that a step takes next, and the time of day.
    #[inline]
    pub fn set_time(&mut self, event: TimestampMs, wall: TimestampMs) {
        for slot in &self.forgetting {
            self.slots[*slot].iter_mut().for_each(|store| store.set_time(event, wall));
        }
    }

    /// Whether the record at hand may have had an effect: it has used a store, or made output.
    #[must_use]
    pub const fn has_effects(&self) -> bool {
        self.has_effects
    }

    /// Notes that the record at hand has an effect.
    #[inline]
    pub const fn note_effect(&mut self) {
        self.has_effects = true;
    }

    /// Begins the next record.
    #[inline]
    pub const fn forget_effects(&mut self) {
        self.has_effects = false;
    }

    /// The store of a handle. It costs an index into the list and a comparison of types.
    ///
    /// # Panics
    /// If the task has no such store.
    #[inline]
    pub fn get_mut<S: Store>(&mut self, handle: Handle<S>) -> &mut S {
        self.get_noting(handle).0
    }

    /// As [`Stores::get_mut`], with the place for the error of a key in the store that cannot be decoded.
    #[inline]
    pub(crate) fn get_noting<S: Store>(&mut self, handle: Handle<S>) -> (&mut S, &mut Option<SerdeError>) {
        self.has_effects = true;
        let store = self.slots.get_mut(handle.id.0).and_then(Option::as_mut).map(|store| &mut **store as &mut dyn Any);
        let store = store.and_then(<dyn Any>::downcast_mut);
        (store.unwrap_or_else(|| panic!("the task has no {handle:?}")), &mut self.undecodable)
    }

    /// Takes the error of a key that could not be decoded.
    #[inline]
    pub(crate) const fn take_undecodable(&mut self) -> Option<SerdeError> {
        self.undecodable.take()
    }

    /// Removes a store, to use it while others are used; [`Stores::put_back`] must follow.
    ///
    /// # Panics
    /// If the task has no such store.
    pub fn take<S: Store>(&mut self, handle: Handle<S>) -> Box<S> {
        self.has_effects = true;
        let store = self.slots.get_mut(handle.id.0).and_then(Option::take);
        let store = store.and_then(|store| (store as Box<dyn Any>).downcast().ok());
        store.unwrap_or_else(|| panic!("the task has no {handle:?}"))
    }

    /// Puts back a store that [`Stores::take`] removed.
    pub fn put_back<S: Store>(&mut self, handle: Handle<S>, store: Box<S>) {
        self.slots[handle.id.0] = Some(store);
    }

    /// The store with that id, whatever its type.
    #[must_use]
    pub fn get(&self, id: StoreId) -> Option<&dyn Store> {
        self.slots.get(id.0)?.as_deref()
    }

    /// The store with that id, whatever its type.
    pub fn get_dyn_mut(&mut self, id: StoreId) -> Option<&mut (dyn Store + 'static)> {
        self.slots.get_mut(id.0)?.as_deref_mut()
    }

    /// All stores, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (StoreId, &dyn Store)> {
        let stores = self.slots.iter().enumerate();
        stores.filter_map(|(id, store)| store.as_deref().map(|store| (StoreId(id), store)))
    }

    /// All stores, in the order of their ids.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut (dyn Store + 'static)> {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }
}
