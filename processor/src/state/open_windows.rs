//! The open windows of a store: each has a number, is found by start and end, and is in the order of closing.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::index::{AHEAD, Index, keep};
use super::order::Order;
use crate::types::Window;

/// Windows by number. The numbers of closed windows are reused once they are released.
pub(super) struct OpenWindows {
    windows: Vec<Window>,
    /// Numbers without a window.
    free: Vec<u32>,
    /// The open windows, by hash.
    index: Index,
    /// The open windows, in the order in which they close.
    order: Order,
    /// The number that was used last, because consecutive records often have the same window.
    recent: u32,
    hasher: DefaultHashBuilder,
}

impl OpenWindows {
    pub(super) fn new() -> Self {
        Self {
            windows: Vec::new(),
            free: Vec::new(),
            index: Index::default(),
            order: Order::default(),
            recent: NONE,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Windows that are open.
    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.windows.capacity() * size_of::<Window>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.bytes()
            + self.order.bytes()
    }

    /// The window that has or had the number.
    pub(super) fn window(&self, number: u32) -> Window {
        self.windows[number as usize]
    }

    /// The number of an open window.
    #[inline]
    pub(super) fn find(&self, window: Window) -> Option<u32> {
        if self.recent != NONE && self.windows[self.recent as usize] == window {
            return Some(self.recent);
        }
        self.index.find(self.hash(window), |number| self.windows[number as usize] == window)
    }

    /// The number of a window, and whether this call has opened it.
    #[inline]
    pub(super) fn open(&mut self, window: Window) -> (u32, bool) {
        let found = self.find(window);
        let number = found.unwrap_or_else(|| self.add(window));
        self.recent = number;
        (number, found.is_none())
    }

    /// Brings the memory for searches for these windows into the cache, for at most [`AHEAD`] of them.
    pub(super) fn expect(&self, windows: impl Iterator<Item = Window>) {
        if self.len() < FEW {
            return;
        }
        let mut hashes = [0; AHEAD];
        let hashed = hashes.iter_mut().zip(windows).map(|(hash, window)| *hash = self.hash(window)).count();
        let (numbers, count) = self.index.guess(&hashes[..hashed]);
        keep(numbers[..count].iter().fold(0, |read, number| read ^ self.windows[*number as usize].end as u32));
    }

    /// The first window to close.
    pub(super) fn first(&self) -> Option<u32> {
        self.order.first()
    }

    /// The end of the last window to close.
    pub(super) fn last_end(&self) -> Option<i64> {
        self.order.last_end()
    }

    /// The open windows, in the order in which they close.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.order.iter()
    }

    /// Whether the window that has or had the number is open under it.
    pub(super) fn is_open(&self, number: u32) -> bool {
        self.index.find(self.hash(self.window(number)), |found| found == number).is_some()
    }

    /// Closes a window; it keeps its number until that is released.
    pub(super) fn close(&mut self, number: u32) {
        if self.recent == number {
            self.recent = NONE;
        }
        self.index.remove(self.hash(self.window(number)), number);
        self.order.remove(number, &self.windows);
    }

    /// Reopens a window that was closed and not released.
    pub(super) fn reopen(&mut self, number: u32) {
        if self.index.is_full() {
            let Self { windows, index, order, hasher, .. } = self;
            index.rebuild(order.iter().map(|number| (hash(hasher, windows[number as usize]), number)));
        }
        self.index.insert(self.hash(self.window(number)), number);
        self.order.insert(number, &self.windows);
    }

    /// Releases the number of a closed window, so that another one can get it.
    pub(super) fn release(&mut self, number: u32) {
        self.free.push(number);
    }

    /// As [`OpenWindows::release`], for several numbers.
    pub(super) fn release_all(&mut self, numbers: &mut Vec<u32>) {
        self.free.append(numbers);
    }

    fn add(&mut self, window: Window) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.windows.push(window);
            u32::try_from(self.windows.len() - 1).expect("a store holds less than 4 billion windows")
        });
        self.windows[number as usize] = window;
        self.reopen(number);
        number
    }

    #[inline]
    fn hash(&self, window: Window) -> u32 {
        hash(&self.hasher, window)
    }
}

#[inline]
fn hash(hasher: &DefaultHashBuilder, window: Window) -> u32 {
    (hasher.hash_one(window) >> 32) as u32
}

const NONE: u32 = u32::MAX;

/// This many windows are in the cache anyway.
const FEW: usize = 8_000;
