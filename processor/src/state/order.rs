//! The open windows in the order in which they close: by end, then by start.
//!
//! It is a list of short lists, with a few bytes per window. Windows are mostly opened in the order in which
//! they will close, which appends to the end. Any other window is searched for and inserted, which moves
//! a part of one short list.

use std::collections::VecDeque;

use crate::types::Window;

/// Numbers of open windows. Each method gets the windows by their numbers.
#[derive(Default)]
pub(super) struct Order {
    chunks: VecDeque<Chunk>,
    len: usize,
}

/// Some consecutive numbers; at least one.
struct Chunk {
    last: Place,
    numbers: VecDeque<u32>,
}

/// End and start.
type Place = (i64, i64);

impl Order {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>() + self.len * size_of::<u32>()
    }

    /// The first window to close.
    pub(super) fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// The end of the last window to close.
    pub(super) fn last_end(&self) -> Option<i64> {
        self.chunks.back().map(|chunk| chunk.last.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().flat_map(|chunk| chunk.numbers.iter().copied())
    }

    /// Adds a window that is not in it.
    pub(super) fn insert(&mut self, number: u32, windows: &[Window]) {
        let place = place(windows[number as usize]);
        self.len += 1;
        let count = self.chunks.len();
        match self.chunks.back_mut() {
            Some(chunk) if chunk.last > place => self.insert_between(number, windows),
            Some(chunk) if chunk.numbers.len() < CHUNK => {
                chunk.numbers.push_back(number);
                chunk.last = place;
            }
            Some(_) | None => {
                // The first list grows as it fills, because most stores have few windows.
                let mut numbers = if count == 0 { VecDeque::new() } else { VecDeque::with_capacity(CHUNK) };
                numbers.push_back(number);
                self.chunks.push_back(Chunk { last: place, numbers });
            }
        }
    }

    /// Removes a window that is in it.
    pub(super) fn remove(&mut self, number: u32, windows: &[Window]) {
        let (index, at) = self.find(windows[number as usize], windows);
        let chunk = &mut self.chunks[index];
        let removed = chunk.numbers.remove(at);
        debug_assert_eq!(removed, Some(number), "it was in the list");
        self.len -= 1;
        match chunk.numbers.back() {
            None => _ = self.chunks.remove(index),
            Some(last) => chunk.last = place(windows[*last as usize]),
        }
    }

    fn insert_between(&mut self, number: u32, windows: &[Window]) {
        let (index, at) = self.find(windows[number as usize], windows);
        let chunk = &mut self.chunks[index];
        chunk.numbers.insert(at, number);
        if chunk.numbers.len() > CHUNK {
            let behind = Chunk { last: chunk.last, numbers: chunk.numbers.split_off(CHUNK / 2) };
            chunk.last = chunk.numbers.back().map_or(behind.last, |last| place(windows[*last as usize]));
            self.chunks.insert(index + 1, behind);
        }
    }

    /// The place of a window, or its place to be, if it is not after all others.
    fn find(&self, window: Window, windows: &[Window]) -> (usize, usize) {
        let place_of = |number: &u32| place(windows[*number as usize]);
        let index = self.chunks.partition_point(|chunk| chunk.last < place(window));
        (index, self.chunks[index].numbers.partition_point(|number| place_of(number) < place(window)))
    }
}

const fn place(window: Window) -> Place {
    (window.end, window.start)
}

/// Most windows of a short list.
const CHUNK: usize = 512;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_are_in_the_order_of_their_ends(
            ends in prop::collection::vec((0_i64..300, 1_i64..4), 1..300),
            ascending in 0_i64..2_000,
            operations in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..600),
        ) {
            let mut windows: Vec<Window> = (0..ascending).map(|end| Window { start: end - 1, end }).collect();
            windows.extend(ends.iter().map(|(end, size)| Window { start: end - size, end: *end }));
            let mut known = BTreeSet::new();
            let is_new = |window: &Window| known.insert(*window);
            windows.retain(is_new);
            let (mut order, mut model) = (Order::default(), BTreeSet::new());
            let operations = operations.iter().map(|(index, is_added)| (index.index(windows.len()), *is_added));
            for (number, is_added) in (0..windows.len()).map(|number| (number, true)).chain(operations) {
                let place = (windows[number].end, windows[number].start, number as u32);
                match is_added {
                    true if model.insert(place) => order.insert(number as u32, &windows),
                    false if model.remove(&place) => order.remove(number as u32, &windows),
                    _ => {}
                }
            }
            prop_assert_eq!(order.iter().collect::<Vec<_>>(), model.iter().map(|place| place.2).collect::<Vec<_>>());
            prop_assert_eq!((order.len(), order.last_end()), (model.len(), model.last().map(|place| place.0)));
        }
    }
}
