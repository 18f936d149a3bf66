//! A store with one value: for a step that writes elsewhere, and keeps here how far it has come.

use kafka_wire::types::TimestampMs;

use super::store::{Changelog, RestoreError, Store, StoreSizes, Visit};
use crate::serde::SerdeError;
use crate::types::FOR_EVER;

/// The time of day of work that is due at once, and without which a bounded run is not finished.
pub const AT_ONCE: TimestampMs = TimestampMs(i64::MIN);

/// One value, and the time at which its step wants to look at it, with records or without.
#[derive(Debug, Default)]
pub struct SingleStore {
    value: Option<Vec<u8>>,
    /// The value at the last commit, if the open transaction has changed it.
    before: Option<Option<Vec<u8>>>,
    /// The time of day at which the step has work to do.
    due: Option<TimestampMs>,
}

impl SingleStore {
    /// The value.
    #[must_use]
    pub fn get(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// Sets the value.
    pub fn set(&mut self, value: Vec<u8>) {
        if self.value.as_ref() == Some(&value) {
            return;
        }
        let before = self.value.replace(value);
        self.before.get_or_insert(before);
    }

    /// The time of day at which the step has work to do. After a restore and after a rollback that is at once.
    #[must_use]
    pub const fn due(&self) -> Option<TimestampMs> {
        self.due
    }

    /// Sets that time. It is not stored.
    pub const fn set_due(&mut self, due: Option<TimestampMs>) {
        self.due = due;
    }

    /// Lets the step look at the value at once.
    pub const fn make_due(&mut self) {
        self.due = Some(AT_ONCE);
    }
}

impl Store for SingleStore {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        if !key.is_empty() {
            return Err(RestoreError::Key);
        }
        self.value = value.map(<[u8]>::to_vec);
        self.make_due();
        Ok(())
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        match &self.value {
            Some(value) if self.is_dirty() => changelog.put([&[], &[]], |out| {
                out.extend_from_slice(value);
                Ok(())
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn commit(&mut self) {
        self.before = None;
    }

    fn roll_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.value = before;
            self.make_due();
        }
    }

    fn is_dirty(&self) -> bool {
        self.before.is_some()
    }

    fn sizes(&self) -> StoreSizes {
        let bytes = self.value.as_ref().map_or(0, Vec::len);
        StoreSizes { entries: usize::from(self.value.is_some()), windows: 0, bytes }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        if let Some(value) = &self.value {
            visit(FOR_EVER, &[], value);
        }
        Ok(())
    }

    fn next_wall_due(&self) -> Option<TimestampMs> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changelog's entries: key and value.
    fn changes(store: &SingleStore) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut written = Vec::new();
        let mut write = |key: &[u8], value: Option<&[u8]>| written.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        let (mut key, mut value) = (Vec::new(), Vec::new());
        store.write_changes(&mut Changelog::new(1, (&mut key, &mut value), &mut write)).expect("bytes");
        written
    }

    #[test]
    fn the_value_is_that_of_the_last_commit_after_a_rollback() {
        let mut store = SingleStore::default();
        store.set(b"1".to_vec());
        assert_eq!(changes(&store), [(vec![1], Some(b"1".to_vec()))]);
        store.commit();
        assert!(changes(&store).is_empty() && !store.is_dirty());
        store.set(b"1".to_vec());
        assert!(!store.is_dirty(), "the same value is no change");
        store.set(b"2".to_vec());
        store.set(b"3".to_vec());
        store.set_due(None);
        store.roll_back();
        assert_eq!((store.get(), store.is_dirty()), (Some(&b"1"[..]), false));
        assert!(store.due() < Some(TimestampMs(0)), "the step looks at it at once");
    }

    #[test]
    fn a_restored_value_is_due_at_once_and_other_keys_are_refused() {
        let mut store = SingleStore::default();
        assert_eq!(store.restore(b"k", Some(b"1")), Err(RestoreError::Key));
        assert_eq!(store.due(), None);
        store.restore(b"", Some(b"1")).expect("its own key");
        assert_eq!((store.get(), store.sizes().bytes), (Some(&b"1"[..]), 1));
        assert_eq!(store.next_wall_due(), Some(AT_ONCE));
    }
}
