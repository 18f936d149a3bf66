//! A store with one value per key and window.

use kafka_wire::types::TimestampMs;

use super::index::AHEAD;
use super::open_windows::OpenWindows;
use super::slab::InGroup;
use super::store::{Changelog, Codec, RestoreError, Store, StoreSizes, Visit};
use super::table::Table;
use crate::serde::{Serde, SerdeError};
use crate::types::{Owned, Window};

/// Values of type `A` by window and key. Keys are bytes; windows may overlap in any way and have any length.
///
/// In the changelog a key is the start of the window, its end (both i64, big endian, with the sign bit flipped,
/// so that they sort), and the key.
pub struct WindowStore<A> {
    /// Entries, with a group for each window, whose number is that of the window.
    table: Table<A, InGroup>,
    windows: OpenWindows,
    /// Windows closed in the open transaction, in order.
    closed: Vec<u32>,
    /// Number of the next windows to close that are in the cache.
    expected: usize,
    /// The watermark up to which windows are closed, now and at the last commit.
    closed_up_to: TimestampMs,
    committed_up_to: TimestampMs,
    values: Box<dyn Codec<A>>,
}

impl<A: Clone + Send + 'static> WindowStore<A> {
    /// Makes an empty store; `values` encodes its values for the changelog.
    #[must_use]
    pub fn new<S: Serde<View = Owned<A>>>(values: S) -> Self {
        Self {
            table: Table::new(),
            windows: OpenWindows::new(),
            closed: Vec::new(),
            expected: 0,
            closed_up_to: BEFORE_ALL,
            committed_up_to: BEFORE_ALL,
            values: Box::new(values),
        }
    }

    /// The watermark up to which windows are closed: a record for a window that ends there or earlier is late.
    #[inline]
    #[must_use]
    pub const fn closed_up_to(&self) -> TimestampMs {
        self.closed_up_to
    }

    /// Returns the end of the window that closes first.
    #[must_use]
    pub fn first_due(&self) -> Option<TimestampMs> {
        self.windows.first().map(|group| TimestampMs(self.windows.window(group).end))
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
        self.table.find(self.windows.find(window)?, key)
    }

    /// Brings entries that will be used soon into the cache, so that the following calls do not wait for memory
    /// one after the other.
    pub fn expect<'k>(&self, entries: impl Iterator<Item = (Window, &'k [u8])>) {
        if self.table.is_small() {
            return;
        }
        let mut ahead = [(Window { start: 0, end: 0 }, &[][..]); AHEAD];
        let mut entries = entries.peekable();
        while entries.peek().is_some() {
            let count = ahead.iter_mut().zip(&mut entries).map(|(place, entry)| *place = entry).count();
            self.expect_some(&ahead[..count]);
        }
    }

    fn expect_some(&self, entries: &[(Window, &[u8])]) {
        self.windows.expect(entries.iter().map(|(window, _)| *window));
        let group = |(window, key): &(Window, _)| Some((self.windows.find(*window)?, *key));
        self.table.expect(entries.iter().filter_map(group));
    }

    /// Closes the earliest window that ends at or before the watermark: passes each of its entries to `visit`,
    /// in order of arrival, with whether the open transaction has changed it, and removes them.
    /// `false` if no such window is left.
    ///
    /// # Errors
    /// Those of `visit`; the transaction must be rolled back then.
    pub fn close_next<E>(
        &mut self,
        watermark: TimestampMs,
        mut visit: impl FnMut(Window, &[u8], &A, bool) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.closed_up_to = self.closed_up_to.max(watermark);
        let Some(group) = self.windows.first() else { return Ok(false) };
        let window = self.windows.window(group);
        if window.end > watermark.0 {
            return Ok(false);
        }
        self.expect_to_close();
        self.windows.close(group);
        self.closed.push(group);
        self.table.remove_group(group, |key, value, is_changed| visit(window, key, value, is_changed))?;
        Ok(true)
    }

    /// All entries: by window, in order of their starts, within one in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (Window, &[u8], &A)> {
        let mut windows: Vec<_> = self.windows.iter().map(|group| (self.windows.window(group), group)).collect();
        windows.sort_unstable();
        windows
            .into_iter()
            .flat_map(|(window, group)| self.table.group(group).map(move |(key, value)| (window, key, value)))
    }

    /// Entries of open windows that the open transaction has changed: each once, with its present value, in the order
    /// of the first change.
    pub fn changed(&self) -> impl Iterator<Item = (Window, &[u8], &A)> {
        self.table.changed().map(|(group, key, value)| (self.windows.window(group), key, value))
    }

    /// The group of a window, which is opened if it is not open.
    #[inline]
    fn open(&mut self, window: Window) -> u32 {
        let (group, is_new) = self.windows.open(window);
        if is_new {
            self.table.reset_group(group);
        }
        group
    }

    /// Brings the windows that will close next into the cache together, because many windows with few entries
    /// are spread over memory.
    fn expect_to_close(&mut self) {
        if self.expected == 0 && !self.table.is_small() {
            self.expected = AHEAD;
            self.windows.expect(self.windows.iter().map(|group| self.windows.window(group)));
            self.table.expect_removals(self.windows.iter());
        }
        self.expected = self.expected.saturating_sub(1);
    }
}

impl<A: Clone + Send + 'static> Store for WindowStore<A> {
    fn expect_restored(&self, keys: &[&[u8]]) {
        self.expect(keys.iter().filter_map(|key| decode(key)));
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        let (window, key) = decode(key).ok_or(RestoreError::Key)?;
        let value = value.map(|value| self.values.decode(value)).transpose().map_err(RestoreError::Value)?;
        let group = self.open(window);
        self.table.restore(group, key, value);
        if self.table.group_len(group) == 0 {
            self.windows.close(group);
            self.windows.release(group);
        }
        Ok(())
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        // Deletions are written first: if a window is opened again after them, its entries are written after them.
        for (group, key) in self.table.removed() {
            changelog.delete([&encode(self.windows.window(group)), key]);
        }
        self.changed().try_for_each(|(window, key, value)| {
            changelog.put([&encode(window), key], |out| self.values.encode(value, out))
        })
    }

    fn commit(&mut self) {
        self.table.commit();
        self.windows.release_all(&mut self.closed);
        self.committed_up_to = self.closed_up_to;
    }

    fn roll_back(&mut self) {
        for group in self.table.roll_back() {
            // A window that was closed after that is still in `closed`.
            if self.windows.is_open(group) {
                self.windows.close(group);
                self.windows.release(group);
            }
        }
        while let Some(group) = self.closed.pop() {
            match self.table.group_len(group) {
                // The window was opened and closed in this transaction.
                0 => self.windows.release(group),
                _ => self.windows.reopen(group),
            }
        }
        self.closed_up_to = self.committed_up_to;
    }

    fn is_dirty(&self) -> bool {
        self.table.is_dirty() || self.closed_up_to != self.committed_up_to
    }

    fn sizes(&self) -> StoreSizes {
        let bytes = self.table.bytes() + self.windows.bytes();
        StoreSizes { entries: self.table.len(), windows: self.windows.len(), bytes }
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

    fn visit_key(&self, key: &[u8], visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        let found = self.windows.iter().map(|group| (self.windows.window(group), self.table.find(group, key)));
        let mut found: Vec<_> = found.filter_map(|(window, value)| Some((window, value?))).collect();
        found.sort_unstable_by_key(|(window, _)| *window);
        let mut encoded = Vec::new();
        found.into_iter().try_for_each(|(window, value)| {
            encoded.clear();
            self.values.encode(value, &mut encoded)?;
            visit(window, key, &encoded);
            Ok(())
        })
    }

    fn last_due(&self) -> Option<TimestampMs> {
        self.windows.last_end().map(TimestampMs)
    }
}

/// A watermark that closes no window.
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
