//! A store with one value per key.

use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::table::Table;
use crate::serde::{Serde, SerdeError};
use crate::types::{FOR_EVER, Owned};

/// Values of type `A` by key. Keys are bytes.
pub struct KeyValueStore<A> {
    table: Table<A>,
    values: Box<dyn Codec<A>>,
}

/// The group of all entries: this table has no groups.
const NO_GROUP: u32 = 0;

impl<A: Clone + Send + 'static> KeyValueStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        Self { table: Table::new(), values: Box::new(values) }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&A> {
        self.table.find(NO_GROUP, key)
    }

    /// Changes the value of `key`, made by `init` if there is none, and returns what `change` returns.
    #[inline]
    pub fn update<R>(&mut self, key: &[u8], init: impl FnOnce() -> A, change: impl FnOnce(&mut A) -> R) -> R {
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
        self.table.set(NO_GROUP, key, value);
    }

    /// Removes the entry of `key`. Returns whether there was one.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.table.remove(NO_GROUP, key)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.table.iter()
    }

    /// Existing entries that the open transaction has changed: each once, with its present value, in the order
    /// of the first change.
    pub fn changed(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.table.changed().map(|(_, key, value)| (key, value))
    }
}

impl<A: Clone + Send + 'static> Store for KeyValueStore<A> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        self.table.restore(NO_GROUP, key, value);
        Ok(())
    }

    fn expect_restored(&self, keys: &[&[u8]]) {
        self.expect(keys.iter().copied());
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        self.table.removed().for_each(|(_, key)| changelog.delete([key, &[]]));
        self.table
            .changed()
            .try_for_each(|(_, key, value)| changelog.put([key, &[]], |out| self.values.encode(value, out)))
    }

    fn commit(&mut self) {
        self.table.commit();
    }

    fn roll_back(&mut self) {
        self.table.roll_back();
    }

    fn is_dirty(&self) -> bool {
        self.table.is_dirty()
    }

    fn sizes(&self) -> StoreSizes {
        StoreSizes { entries: self.table.len(), windows: 0, bytes: self.table.bytes() }
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
}
