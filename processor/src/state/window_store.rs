//! One value a key and window.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use kafka_wire::types::TimestampMs;

use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::table::Table;
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// Values of type `A` by window and key. Keys are bytes; windows may lie in any way, of any length.
///
/// In the changelog a key is the start of the window, its end (both i64, big endian, the sign bit flipped, so that
/// they sort), and the key.
pub struct WindowStore<A> {
    /// A group for each window.
    table: Table<A>,
    /// Windows by group.
    windows: Vec<Window>,
    /// Groups that no window has.
    free: Vec<u32>,
    /// The group of each open window.
    groups: HashTable<u32>,
    /// The same, in the order in which they close: by end and start.
    order: BTreeMap<(i64, i64), u32>,
    /// The group that was used last: records come window by window.
    recent: u32,
    /// Closed in the open transaction, in order.
    closed: Vec<u32>,
    /// The watermark up to which windows are closed, now and at the last commit.
    closed_up_to: TimestampMs,
    committed_up_to: TimestampMs,
    hasher: DefaultHashBuilder,
    values: Box<dyn Codec<A>>,
}

impl<A: Clone + Send + 'static> WindowStore<A> {
    /// An empty store; `values` writes its values into the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        Self {
            table: Table::new(),
            windows: Vec::new(),
            free: Vec::new(),
            groups: HashTable::new(),
            order: BTreeMap::new(),
            recent: 0,
            closed: Vec::new(),
            closed_up_to: BEFORE_ALL,
            committed_up_to: BEFORE_ALL,
            hasher: DefaultHashBuilder::default(),
            values: Box::new(values),
        }
    }

    /// The watermark up to which windows are closed: what comes for one that ends there or earlier is late.
    #[inline]
    #[must_use]
    pub const fn closed_up_to(&self) -> TimestampMs {
        self.closed_up_to
    }

    /// Changes the value of `key` in `window`, made by `init` if there is none.
    #[inline]
    pub fn update(&mut self, window: Window, key: &[u8], init: impl FnOnce() -> A, change: impl FnOnce(&mut A)) {
        let group = self.open(window);
        self.table.update(group, key, init, change);
    }

    /// The value of `key` in `window`.
    #[must_use]
    pub fn get(&self, window: Window, key: &[u8]) -> Option<&A> {
        self.table.find(self.group_of(window)?, key)
    }

    /// Closes the earliest window that ends at or before the watermark: shows each of its entries, in order of
    /// arrival, and whether the open transaction has changed it, and takes them out. `false` when there is none
    /// (left).
    ///
    /// # Errors
    /// Those of `visit`; the transaction must be rolled back then.
    pub fn close_next<E>(
        &mut self,
        watermark: TimestampMs,
        mut visit: impl FnMut(Window, &[u8], &A, bool) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.closed_up_to = self.closed_up_to.max(watermark);
        let Some((&(end, start), &group)) = self.order.first_key_value() else { return Ok(false) };
        if end > watermark.0 {
            return Ok(false);
        }
        self.unregister(group);
        self.closed.push(group);
        let window = Window { start, end };
        self.table.remove_group(group, |key, value, is_changed| visit(window, key, value, is_changed))?;
        Ok(true)
    }

    /// All entries: by window, in order of their starts, within one in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (Window, &[u8], &A)> {
        let mut windows: Vec<_> =
            self.order.iter().map(|(&(end, start), &group)| (Window { start, end }, group)).collect();
        windows.sort_unstable();
        windows
            .into_iter()
            .flat_map(|(window, group)| self.table.group(group).map(move |(key, value)| (window, key, value)))
    }

    /// Entries of open windows changed in the open transaction: each once, as it is now, in order of the first change.
    pub fn changed(&self) -> impl Iterator<Item = (Window, &[u8], &A)> {
        self.table.changed().map(|(group, key, value)| (self.windows[group as usize], key, value))
    }

    /// The group of an open window; opens it.
    #[inline]
    fn open(&mut self, window: Window) -> u32 {
        if self.windows.get(self.recent as usize) == Some(&window) {
            return self.recent;
        }
        let group = self.group_of(window).unwrap_or_else(|| self.register(window));
        self.recent = group;
        group
    }

    #[inline]
    fn group_of(&self, window: Window) -> Option<u32> {
        self.groups.find(self.hasher.hash_one(window), |group| self.windows[*group as usize] == window).copied()
    }

    fn register(&mut self, window: Window) -> u32 {
        let group = self.free.pop().unwrap_or_else(|| {
            self.windows.push(window);
            u32::try_from(self.windows.len() - 1).expect("a store holds less than 4 billion windows")
        });
        self.table.reset_group(group);
        self.windows[group as usize] = window;
        self.enter(group);
        group
    }

    fn enter(&mut self, group: u32) {
        let Self { windows, hasher, .. } = self;
        let window = windows[group as usize];
        self.groups.insert_unique(hasher.hash_one(window), group, |group| hasher.hash_one(windows[*group as usize]));
        self.order.insert((window.end, window.start), group);
    }

    /// Takes a window out, keeping its group; whether it was open.
    fn unregister(&mut self, group: u32) -> bool {
        if self.recent == group {
            self.recent = u32::MAX;
        }
        let window = self.windows[group as usize];
        let Ok(found) = self.groups.find_entry(self.hasher.hash_one(window), |other| *other == group) else {
            return false;
        };
        found.remove();
        self.order.remove(&(window.end, window.start));
        true
    }
}

impl<A: Clone + Send + 'static> Store for WindowStore<A> {
    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let (window, key) = decode(key).ok_or(RestoreError::Key)?;
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        let group = self.open(window);
        self.table.restore(group, key, value);
        if self.table.group_len(group) == 0 {
            self.unregister(group);
            self.free.push(group);
        }
        Ok(())
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        // Deletions first: a window that was opened again after them has its entries written after them.
        for (group, key) in self.table.removed() {
            changelog.delete([&encode(self.windows[group as usize]), key]);
        }
        self.changed().try_for_each(|(window, key, value)| {
            changelog.put([&encode(window), key], |out| self.values.encode(value, out))
        })
    }

    fn commit(&mut self) {
        self.table.commit();
        self.free.append(&mut self.closed);
        self.committed_up_to = self.closed_up_to;
    }

    fn roll_back(&mut self) {
        for group in self.table.roll_back() {
            if self.unregister(group) {
                self.free.push(group);
            }
        }
        while let Some(group) = self.closed.pop() {
            match self.table.group_len(group) {
                // Opened and closed in this transaction.
                0 => self.free.push(group),
                _ => self.enter(group),
            }
        }
        self.closed_up_to = self.committed_up_to;
    }

    fn is_dirty(&self) -> bool {
        self.table.is_dirty() || self.closed_up_to != self.committed_up_to
    }

    fn sizes(&self) -> StoreSizes {
        let per_window = size_of::<Window>() + 2 * size_of::<(i64, i64, u32)>();
        let bytes = self.table.bytes() + self.order.len() * per_window;
        StoreSizes { entries: self.table.len(), windows: self.order.len(), bytes }
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let mut encoded = Vec::new();
        self.iter().try_for_each(|(window, key, value)| {
            encoded.clear();
            self.values.encode(value, &mut encoded)?;
            visit(window, key, &encoded);
            Ok(())
        })
    }

    fn last_due(&self) -> Option<TimestampMs> {
        self.order.last_key_value().map(|((end, _), _)| TimestampMs(*end))
    }
}

/// Closes no window.
const BEFORE_ALL: TimestampMs = TimestampMs(i64::MIN);

fn encode(window: Window) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (start, end) = bytes.split_at_mut(8);
    start.copy_from_slice(&ordered(window.start));
    end.copy_from_slice(&ordered(window.end));
    bytes
}

fn decode(bytes: &[u8]) -> Option<(Window, &[u8])> {
    let (start, rest) = bytes.split_first_chunk()?;
    let (end, key) = rest.split_first_chunk()?;
    Some((Window { start: from_ordered(*start), end: from_ordered(*end) }, key))
}

/// Bytes that sort as the numbers do.
pub(super) fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

pub(super) fn from_ordered(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_changelog_are_as_documented() {
        let window = Window { start: -2, end: 1 };
        let mut key = encode(window).to_vec();
        key.extend(b"ab");
        assert_eq!(key[..8], [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(key[8..16], [0x80, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(decode(&key), Some((window, &b"ab"[..])));
        assert_eq!(decode(&key[..15]), None);
    }
}
