//! The store of a windowed aggregation: one table per open window.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use kafka_wire::types::TimestampMs;

use super::table::Table;
use crate::types::Window;

/// Values of type `A` by window and key. Keys are bytes. All changes belong to the open transaction until
/// [`WindowStore::commit`] or [`WindowStore::roll_back`].
#[derive(Debug)]
pub struct WindowStore<A> {
    /// By window start.
    open: BTreeMap<i64, Open<A>>,
    /// Closed in this epoch, in order; kept for their tombstones, and for a rollback.
    closed: Vec<(Window, Table<A>)>,
    /// Starts of the windows touched in this epoch, in order of the first touch. May name one twice, or one since closed.
    touched: Vec<i64>,
    /// Counts transactions, from 1; entries of a restore are of epoch 0.
    epoch: u64,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Open<A> {
    end: i64,
    /// The epoch in which the window got its first entry; a rollback takes it away again.
    epoch: u64,
    table: Table<A>,
}

impl<A> Default for WindowStore<A> {
    fn default() -> Self {
        let (open, closed, touched) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { open, closed, touched, epoch: 1, hasher: DefaultHashBuilder::default() }
    }
}

impl<A: Clone> WindowStore<A> {
    /// Changes the value of `key` in `window`, made by `init` if there is none.
    #[inline]
    pub fn update(&mut self, window: Window, key: &[u8], init: impl FnOnce() -> A, change: impl FnOnce(&mut A)) {
        let hash = self.hasher.hash_one(key);
        let epoch = self.epoch;
        let open =
            self.open.entry(window.start).or_insert_with(|| Open { end: window.end, epoch, table: Table::default() });
        if !open.table.is_dirty() {
            self.touched.push(window.start);
        }
        open.table.update((hash, key), epoch, init, change);
    }

    /// Puts in (`Some`) or takes out (`None`) an entry as the changelog has it. Before the first record only.
    pub fn restore(&mut self, window: Window, key: &[u8], value: Option<A>) {
        let hash = self.hasher.hash_one(key);
        let open = self.open.entry(window.start).or_insert_with(|| Open {
            end: window.end,
            epoch: 0,
            table: Table::default(),
        });
        open.table.restore((hash, key), value);
        if open.table.len() == 0 {
            self.open.remove(&window.start);
        }
    }

    /// Ends the epoch: it is in the changelog, and the transaction is committed.
    pub fn commit(&mut self) {
        for start in self.touched.drain(..) {
            if let Some(open) = self.open.get_mut(&start) {
                open.table.commit();
            }
        }
        self.closed.clear();
        self.epoch += 1;
    }

    /// Ends the epoch: everything is as it was when it began.
    pub fn roll_back(&mut self) {
        for start in self.touched.drain(..) {
            if self.open.get(&start).is_some_and(|open| open.epoch == self.epoch) {
                self.open.remove(&start);
            } else if let Some(open) = self.open.get_mut(&start) {
                open.table.roll_back();
            }
        }
        // Last first: a window closed, opened again and closed again comes back as it was before the first of them.
        while let Some((window, mut table)) = self.closed.pop() {
            table.roll_back();
            if table.len() > 0 {
                self.open.insert(window.start, Open { end: window.end, epoch: 0, table });
            }
        }
        self.epoch += 1;
    }
}

impl<A> WindowStore<A> {
    /// Takes the earliest window that is closed at `watermark` out of the store; `None` when there is none (left).
    pub fn close_next(&mut self, watermark: TimestampMs) -> Option<ClosedWindow<'_, A>> {
        let start = *self.open.iter().find(|(_, open)| open.end <= watermark.0)?.0;
        let open = self.open.remove(&start)?;
        self.closed.push((Window { start, end: open.end }, open.table));
        self.closed.last().map(|(window, table)| ClosedWindow { window: *window, table })
    }

    /// The value of `key` in the window that starts at `start`.
    #[must_use]
    pub fn find(&self, start: i64, key: &[u8]) -> Option<&A> {
        self.open.get(&start)?.table.find(self.hasher.hash_one(key), key)
    }

    /// All entries, by window, within one in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (Window, &[u8], &A)> {
        self.open.iter().flat_map(|(start, open)| {
            let window = Window { start: *start, end: open.end };
            open.table.iter().map(move |(key, value)| (window, key, value))
        })
    }

    /// Entries of open windows that changed in this epoch: each once, as it is now; by window.
    pub fn dirty(&self) -> impl Iterator<Item = (Window, &[u8], &A)> {
        let mut starts = self.touched.clone();
        // A window that is closed and opened again in one epoch is named twice.
        starts.sort_unstable();
        starts.dedup();
        starts.into_iter().flat_map(|start| {
            self.open.get(&start).into_iter().flat_map(move |open| {
                let window = Window { start, end: open.end };
                open.table.dirty().map(move |(key, value)| (window, key, value))
            })
        })
    }

    /// Keys of windows closed in this epoch that the changelog has.
    pub fn deleted(&self) -> impl Iterator<Item = (Window, &[u8])> {
        self.closed.iter().flat_map(|(window, table)| table.logged().map(move |key| (*window, key)))
    }

    /// The greatest end of an open window.
    #[must_use]
    pub fn last_end(&self) -> Option<i64> {
        self.open.values().map(|open| open.end).max()
    }

    /// How many windows are open.
    #[must_use]
    pub fn window_count(&self) -> usize {
        self.open.len()
    }

    /// How many entries the open windows have.
    #[must_use]
    pub fn entry_count(&self) -> usize {
        self.open.values().map(|open| open.table.len()).sum()
    }

    /// Whether the open epoch has changed anything.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.touched.is_empty() || !self.closed.is_empty()
    }
}

/// A window on its way out of the store.
#[derive(Debug)]
pub struct ClosedWindow<'a, A> {
    /// The window.
    pub window: Window,
    table: &'a Table<A>,
}

impl<'a, A> ClosedWindow<'a, A> {
    /// All its entries, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a A)> + use<'a, A> {
        self.table.iter()
    }

    /// Those that changed in this epoch, in order of their first change.
    pub fn dirty(&self) -> impl Iterator<Item = (&'a [u8], &'a A)> + use<'a, A> {
        self.table.dirty()
    }
}
