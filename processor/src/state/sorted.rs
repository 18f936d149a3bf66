//! A store with values by keys in order, for ranges and for lists.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use kafka_wire::types::TimestampMs;

use super::clock::{Clock, Ttl};
use super::expiry::Expiry;
use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use crate::serde::{Serde, SerdeError};
use crate::types::{FOR_EVER, Owned};

/// Values of type `A` by key, in the order of the keys' bytes. A list per key is a range of keys:
/// the key, then the index in the list, big endian.
pub struct SortedStore<A> {
    entries: BTreeMap<Vec<u8>, A>,
    /// The values, at the beginning of the open transaction, of the keys that it has changed.
    before: BTreeMap<Vec<u8>, Option<A>>,
    key_bytes: usize,
    values: Box<dyn Codec<A>>,
    /// The times of the entries, if the store forgets them.
    expiry: Option<Expiry>,
}

impl<A: Clone + Send + 'static> SortedStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        let (entries, before) = (BTreeMap::new(), BTreeMap::new());
        Self { entries, before, key_bytes: 0, values: Box::new(values), expiry: None }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&A> {
        self.entries.get(key)
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, key: &[u8], value: A) {
        if let Some(expiry) = &mut self.expiry {
            expiry.note(key);
        }
        let old = self.set(key, Some(value));
        self.before.entry(key.to_vec()).or_insert(old);
    }

    /// Removes the entry of `key`, and returns its value.
    pub fn remove(&mut self, key: &[u8]) -> Option<A> {
        let old = self.set(key, None)?;
        if let Some(expiry) = &mut self.expiry {
            expiry.forget(key);
        }
        self.before.entry(key.to_vec()).or_insert_with(|| Some(old.clone()));
        Some(old)
    }

    /// The entries whose keys are in `range`, in order.
    pub fn range(&self, range: impl RangeBounds<Vec<u8>>) -> impl DoubleEndedIterator<Item = (&[u8], &A)> {
        self.entries.range(range).map(|(key, value)| (key.as_slice(), value))
    }

    /// The entries whose keys begin with `prefix`, in order.
    pub fn prefix<'s>(&'s self, prefix: &'s [u8]) -> impl Iterator<Item = (&'s [u8], &'s A)> {
        self.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> Option<(&[u8], &A)> {
        self.entries.first_key_value().map(|(key, value)| (key.as_slice(), value))
    }

    fn set(&mut self, key: &[u8], value: Option<A>) -> Option<A> {
        let old = match value {
            Some(value) => match self.entries.get_mut(key) {
                Some(known) => return Some(std::mem::replace(known, value)),
                None => {
                    self.key_bytes += key.len();
                    self.entries.insert(key.to_vec(), value)
                }
            },
            None => self.entries.remove(key),
        };
        if old.is_some() {
            self.key_bytes -= key.len();
        }
        old
    }
}

impl<A: Clone + Send + 'static> Store for SortedStore<A> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let value = match &mut self.expiry {
            Some(expiry) => expiry.restore(key, value).ok_or(RestoreError::Key)?,
            None => value,
        };
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        self.set(key, value);
        Ok(())
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        for (key, before) in &self.before {
            match self.entries.get(key) {
                Some(value) => changelog.put([key, &[]], |out| {
                    self.values.encode(value, out)?;
                    self.expiry.iter().for_each(|expiry| expiry.encode(key, out));
                    Ok(())
                })?,
                None if before.is_some() => changelog.delete([key, &[]]),
                None => {}
            }
        }
        Ok(())
    }

    fn commit(&mut self) {
        self.before.clear();
        self.expiry.iter_mut().for_each(Expiry::commit);
    }

    fn roll_back(&mut self) {
        for (key, before) in std::mem::take(&mut self.before) {
            self.set(&key, before);
        }
        self.expiry.iter_mut().for_each(Expiry::roll_back);
    }

    fn is_dirty(&self) -> bool {
        !self.before.is_empty()
    }

    fn sizes(&self) -> StoreSizes {
        let bytes = self.key_bytes + self.entries.len() * (size_of::<Vec<u8>>() + size_of::<A>());
        let bytes = bytes + self.expiry.as_ref().map_or(0, Expiry::bytes);
        StoreSizes { entries: self.entries.len(), windows: 0, bytes }
    }

    fn set_ttl(&mut self, ttl: Ttl) -> bool {
        self.expiry = Some(Expiry::new(ttl));
        true
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
        self.entries.iter().try_for_each(|(key, value)| {
            encoded.clear();
            self.values.encode(value, &mut encoded)?;
            visit(FOR_EVER, key, &encoded);
            Ok(())
        })
    }
}
