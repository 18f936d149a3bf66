//! The hash table of one window: a slab of entries, an arena of keys, an index, and the undo log of the open epoch.
//!
//! Entries are only ever added at the end of the slab, and only a rollback or a restore takes one out; so walking the
//! slab is walking in order of arrival, the same in every run, which no hash table promises.

use hashbrown::HashTable;

/// Entries of one window.
#[derive(Debug)]
pub(super) struct Table<A> {
    index: HashTable<usize>,
    entries: Vec<Entry<A>>,
    keys: Vec<u8>,
    undo: Vec<Undo<A>>,
}

#[derive(Debug)]
struct Entry<A> {
    hash: u64,
    /// Where its key starts in `keys`.
    key_start: usize,
    key_bytes: usize,
    /// The epoch that touched it last.
    epoch: u64,
    /// Whether the changelog has it: then deleting it takes a tombstone.
    is_logged: bool,
    value: A,
}

#[derive(Debug)]
struct Undo<A> {
    slot: usize,
    /// `None`: it was not there.
    old: Option<A>,
}

/// A new table has no memory yet.
impl<A> Default for Table<A> {
    fn default() -> Self {
        Self { index: HashTable::new(), entries: Vec::new(), keys: Vec::new(), undo: Vec::new() }
    }
}

impl<A: Clone> Table<A> {
    /// Changes the entry of `key`, made by `init` if there is none, remembering what it was at the start of `epoch`.
    #[inline]
    pub(super) fn update(
        &mut self,
        (hash, key): (u64, &[u8]),
        epoch: u64,
        init: impl FnOnce() -> A,
        change: impl FnOnce(&mut A),
    ) {
        let slot = match self.slot(hash, key) {
            Some(slot) => {
                let entry = &mut self.entries[slot];
                if entry.epoch != epoch {
                    entry.epoch = epoch;
                    self.undo.push(Undo { slot, old: Some(entry.value.clone()) });
                }
                slot
            }
            None => {
                let slot = self.insert((hash, key), epoch, init());
                self.undo.push(Undo { slot, old: None });
                slot
            }
        };
        change(&mut self.entries[slot].value);
    }

    /// Puts in, replaces or takes out an entry as the changelog has it. Between epochs only.
    pub(super) fn restore(&mut self, (hash, key): (u64, &[u8]), value: Option<A>) {
        debug_assert!(self.undo.is_empty(), "restored before the first record");
        match (self.slot(hash, key), value) {
            (Some(slot), Some(value)) => self.entries[slot].value = value,
            (None, Some(value)) => {
                let slot = self.insert((hash, key), 0, value);
                self.entries[slot].is_logged = true;
            }
            (Some(slot), None) => self.remove(slot),
            (None, None) => {}
        }
    }

    /// Everything is as it was when the epoch began.
    pub(super) fn roll_back(&mut self) {
        while let Some(Undo { slot, old }) = self.undo.pop() {
            if let Some(old) = old {
                self.entries[slot].value = old;
                // Not the epoch before, which nobody needs: any other than the open one.
                self.entries[slot].epoch = 0;
            } else {
                debug_assert_eq!(slot + 1, self.entries.len(), "inserts are undone last first");
                self.keys.truncate(self.entries[slot].key_start);
                self.remove(slot);
            }
        }
    }

    /// What was changed is in the changelog now.
    pub(super) fn commit(&mut self) {
        for Undo { slot, .. } in self.undo.drain(..) {
            self.entries[slot].is_logged = true;
        }
    }

    fn insert(&mut self, (hash, key): (u64, &[u8]), epoch: u64, value: A) -> usize {
        let slot = self.entries.len();
        let key_start = self.keys.len();
        self.keys.extend_from_slice(key);
        self.entries.push(Entry { hash, key_start, key_bytes: key.len(), epoch, is_logged: false, value });
        let entries = &self.entries;
        self.index.insert_unique(hash, slot, |slot| entries[*slot].hash);
        slot
    }

    /// The last entry moves into the gap.
    fn remove(&mut self, slot: usize) {
        let last = self.entries.len() - 1;
        if let Ok(moved) = self.index.find_entry(self.entries[slot].hash, |other| *other == slot) {
            moved.remove();
        }
        if slot != last
            && let Some(moved) = self.index.find_mut(self.entries[last].hash, |other| *other == last)
        {
            *moved = slot;
        }
        self.entries.swap_remove(slot);
    }
}

impl<A> Table<A> {
    /// The value of `key`.
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<&A> {
        self.slot(hash, key).map(|slot| &self.entries[slot].value)
    }

    /// All entries, in order of arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.entries.iter().map(|entry| (self.key(entry), &entry.value))
    }

    /// Entries changed in the open epoch, in order of their first change.
    pub(super) fn dirty(&self) -> impl Iterator<Item = (&[u8], &A)> {
        self.undo.iter().map(|undo| &self.entries[undo.slot]).map(|entry| (self.key(entry), &entry.value))
    }

    /// Keys that the changelog has.
    pub(super) fn logged(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter(|entry| entry.is_logged).map(|entry| self.key(entry))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.undo.is_empty()
    }

    #[inline]
    fn slot(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.index.find(hash, |slot| self.key(&self.entries[*slot]) == key).copied()
    }

    #[inline]
    fn key(&self, entry: &Entry<A>) -> &[u8] {
        &self.keys[entry.key_start..entry.key_start + entry.key_bytes]
    }
}
