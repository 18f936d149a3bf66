//! A store with one value per key.

use kafka_wire::types::TimestampMs;

use super::clock::{Clock, Ttl};
use super::expiry::Expiry;
use super::slab::Alone;
use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::table::Table;
use crate::serde::{Serde, SerdeError};
use crate::types::{FOR_EVER, Owned};

/// Values of type `A` by key. Keys are bytes.
pub struct KeyValueStore<A> {
    table: Table<A, Alone>,
    values: Box<dyn Codec<A>>,
    /// The times of the entries, if the store forgets them.
    expiry: Option<Expiry>,
}

/// The group of all entries: this table has no groups.
const NO_GROUP: u32 = 0;

impl<A: Clone + Send + 'static> KeyValueStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        Self { table: Table::new(), values: Box::new(values), expiry: None }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&A> {
        if self.is_over(key) { None } else { self.table.find(NO_GROUP, key) }
    }

    /// Changes the value of `key`, made by `init` if there is none, and returns what `change` returns.
    #[inline]
    pub fn update<R>(&mut self, key: &[u8], init: impl FnOnce() -> A, change: impl FnOnce(&mut A) -> R) -> R {
        if self.is_over(key) {
            self.remove(key);
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.note(key);
        }
        self.table.update(NO_GROUP, key, init, change)
    }

    /// Brings the entries of keys that will be used soon into the cache, so that the following calls do not wait for
    /// memory one after the other.
    pub fn expect<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        if self.table.is_small() {
            return;
        }
        let mut keys = keys.map(|key| (NO_GROUP, key)).peekable();
        while keys.peek().is_some() {
            self.table.expect(&mut keys);
        }
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, key: &[u8], value: A) {
        if let Some(expiry) = &mut self.expiry {
            expiry.note(key);
        }
        self.table.set(NO_GROUP, key, value);
    }

    /// Removes the entry of `key`. Returns whether there was one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let is_over = self.is_over(key);
        if let Some(expiry) = &mut self.expiry {
            expiry.forget(key);
        }
        self.table.remove(NO_GROUP, key) && !is_over
    }

    /// Whether the time of an entry is over at the record at hand.
    #[inline]
    fn is_over(&self, key: &[u8]) -> bool {
        self.expiry.as_ref().is_some_and(|expiry| expiry.is_over(key))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.table.iter().filter(|(key, _)| !self.is_over(key))
    }

    /// Existing entries that the open transaction has changed: each once, with its present value, in the order
    /// of the first change.
    pub fn changed(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.table.changed().map(|(_, key, value)| (key, value))
    }

    /// As [`KeyValueStore::changed`], with the value before the transaction, if the entry existed then.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&A>, &A)> {
        self.table.changes().map(|(_, key, old, value)| (key, old, value))
    }
}

impl<A: Clone + Send + 'static> Store for KeyValueStore<A> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let value = match &mut self.expiry {
            Some(expiry) => expiry.restore(key, value).ok_or(RestoreError::Key)?,
            None => value,
        };
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        self.table.restore(NO_GROUP, key, value);
        Ok(())
    }

    fn expect_restored(&self, keys: &[&[u8]]) {
        self.expect(keys.iter().copied());
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        self.table.removed().for_each(|(_, key)| changelog.delete([key, &[]]));
        self.table.changed().try_for_each(|(_, key, value)| {
            changelog.put([key, &[]], |out| {
                self.values.encode(value, out)?;
                self.expiry.iter().for_each(|expiry| expiry.encode(key, out));
                Ok(())
            })
        })
    }

    fn commit(&mut self) {
        self.table.commit();
        self.expiry.iter_mut().for_each(Expiry::commit);
    }

    fn roll_back(&mut self) {
        self.table.roll_back();
        self.expiry.iter_mut().for_each(Expiry::roll_back);
    }

    fn is_dirty(&self) -> bool {
        self.table.is_dirty()
    }

    fn sizes(&self) -> StoreSizes {
        let bytes = self.table.bytes() + self.expiry.as_ref().map_or(0, Expiry::bytes);
        StoreSizes { entries: self.table.len(), windows: 0, bytes }
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
        over.iter().for_each(|key| _ = self.remove(key));
    }

    fn next_wall_due(&self) -> Option<TimestampMs> {
        self.expiry.as_ref()?.next_wall_due()
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let mut encoded = Vec::new();
        self.iter().try_for_each(|(key, value)| {
            encoded.clear();
            self.values.encode(value, &mut encoded)?;
            visit(FOR_EVER, key, &encoded);
            Ok(())
        })
    }

    fn visit_key(&self, key: &[u8], visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let Some(value) = self.get(key) else { return Ok(()) };
        let mut encoded = Vec::new();
        self.values.encode(value, &mut encoded)?;
        visit(FOR_EVER, key, &encoded);
        Ok(())
    }
}
