//! An index over entries that are stored elsewhere: from a hash to the slots that may have it.
//!
//! - It consists of lines, each as large as a line of the cache: twelve slots, a byte of the hash for each,
//!   and a count. A search reads the line that the hash points to, and of the entries only those with the same byte:
//!   nearly always only the right one, or none.
//! - An entry without room in its line goes into the next. A line counts the entries that have passed it, so that
//!   a search knows whether it has to go on, and a removal leaves nothing behind.
//! - Growing takes the hashes from the entries, in the order of memory, so it does not read at distant places.
//!
//! It was chosen over the table of hashbrown, whose hash bytes and slots are in two lines, because each search has
//! one cache miss less.

use std::hint::black_box;

/// Slots by hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Line {
    /// A byte of each hash; 0 for an unused slot.
    tags: [u8; PLACES],
    /// Number of entries that belong to this line or an earlier one, but are in a later one.
    passed: u32,
    places: [u32; PLACES],
}

/// Slots in a line.
const PLACES: usize = 12;
/// Average number of entries in a line at which the index grows.
const FULL: usize = 10;

/// Number of searches that are prepared together: several times as many as a processor reads from memory in parallel,
/// so that the waits at both ends matter little.
pub const AHEAD: usize = 64;

impl Index {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// Whether [`Index::rebuild`] has to come before the next [`Index::insert`].
    pub(super) const fn is_full(&self) -> bool {
        self.len >= self.lines.len() * FULL
    }

    /// Rebuilds the index with room for more: `entries` are the hashes and slots of all its entries.
    pub(super) fn rebuild(&mut self, entries: impl Iterator<Item = (u32, u32)>) {
        let lines = (self.lines.len() + self.lines.len() / 2).max(self.len / FULL) + 1;
        let expected = self.len;
        // The old lines are freed first, so that both never exist at the same time.
        self.lines = Vec::new();
        self.lines = vec![Line::EMPTY; lines];
        self.len = 0;
        entries.for_each(|(hash, place)| self.insert(hash, place));
        debug_assert_eq!(self.len, expected, "all that was in the index, and nothing else");
    }

    /// The slot with the hash for which `is_it` is true.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        // The search ends after one round, because it is possible that every line has been passed.
        for _ in 0..self.lines.len() {
            let line = &self.lines[at];
            let mut found = line.having(tag(hash));
            while found != 0 {
                let place = line.places[first(found)];
                if is_it(place) {
                    return Some(place);
                }
                found &= found - 1;
            }
            if line.passed == 0 {
                break;
            }
            at = self.after(at);
        }
        None
    }

    /// Slots that probably have the hashes, in any order, and their number. It reads all the lines first, in loops
    /// of few instructions and without a branch, so that as many reads as possible are in progress together.
    pub(super) fn guess(&self, hashes: &[u32]) -> ([u32; AHEAD], usize) {
        keep(hashes.iter().fold(0, |read, hash| read ^ self.lines.get(self.home(*hash)).map_or(0, |line| line.passed)));
        let (mut places, mut count) = ([0; AHEAD], 0);
        for hash in hashes {
            let Some(line) = self.lines.get(self.home(*hash)) else { break };
            let found = line.having(tag(*hash));
            if found != 0 {
                places[count] = line.places[first(found)];
                count += 1;
            }
        }
        (places, count)
    }

    /// Adds an entry that is not in the index, which must not be full.
    pub(super) fn insert(&mut self, hash: u32, place: u32) {
        let mut at = self.home(hash);
        loop {
            let line = &mut self.lines[at];
            let free = line.having(0);
            if free != 0 {
                line.tags[first(free)] = tag(hash);
                line.places[first(free)] = place;
                self.len += 1;
                return;
            }
            line.passed += 1;
            at = self.after(at);
        }
    }

    /// Removes an entry that is in the index.
    pub(super) fn remove(&mut self, hash: u32, place: u32) {
        let mut at = self.home(hash);
        loop {
            let line = &mut self.lines[at];
            let mut found = line.having(tag(hash));
            while found != 0 {
                if line.places[first(found)] == place {
                    line.tags[first(found)] = 0;
                    self.len -= 1;
                    return;
                }
                found &= found - 1;
            }
            // The entry was counted in every line before the one that has it.
            line.passed = line.passed.checked_sub(1).expect("what is removed is in the index");
            at = self.after(at);
        }
    }

    /// Removes all entries, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.lines.fill(Line::EMPTY);
        self.len = 0;
    }

    /// The line of a hash: the upper bits select it, the lower ones are the tag.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.lines.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }
}

impl Line {
    const EMPTY: Self = Self { tags: [0; PLACES], passed: 0, places: [0; PLACES] };

    /// The slots with that tag, as the highest bit of a byte each.
    #[inline]
    fn having(&self, tag: u8) -> u128 {
        // Two reads from where the tags are: a copy of them with four more bytes would be waited for.
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.tags;
        let (low, high) = (u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes(rest));
        let equal = |tags: u64| {
            let differing = tags ^ (LOW_BITS * u64::from(tag));
            // There is no carry from byte to byte, so that zero bytes are found exactly.
            !(((differing & REST) + REST) | differing | REST)
        };
        u128::from(equal(low)) | u128::from(equal(u64::from(high)) & HALF) << 64
    }
}

/// Makes the compiler keep a read whose result is not used.
pub(super) fn keep(read: u32) {
    black_box(read);
}

#[inline]
const fn tag(hash: u32) -> u8 {
    // 0 is not a tag.
    if hash as u8 == 0 { 1 } else { hash as u8 }
}

#[inline]
const fn first(found: u128) -> usize {
    (found.trailing_zeros() / 8) as usize
}

const LOW_BITS: u64 = u64::MAX / 255;
const REST: u64 = LOW_BITS * 0x7f;
/// The bytes of the last tags.
const HALF: u64 = u64::MAX >> 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_one_of_the_cache() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
    }

    proptest! {
        /// There are few hashes, so that lines overflow into the next one and around the end.
        #[test]
        fn an_index_is_a_set_of_places(operations in prop::collection::vec((0_u32..6, 0_u32..60, any::<bool>()), 0..400)) {
            let hash = |number: u32| number.wrapping_mul(0x9E37_79B9) ^ 0xFFFF_FF00;
            let (mut index, mut model) = (Index::default(), BTreeMap::new());
            for (number, place, is_added) in operations {
                if !is_added {
                    if let Some(number) = model.remove(&place) {
                        index.remove(hash(number), place);
                    }
                } else if !model.contains_key(&place) {
                    if index.is_full() {
                        index.rebuild(model.iter().map(|(place, number)| (hash(*number), *place)));
                    }
                    index.insert(hash(number), place);
                    model.insert(place, number);
                }
                prop_assert_eq!(index.len(), model.len());
                for (place, number) in &model {
                    prop_assert_eq!(index.find(hash(*number), |found| found == *place), Some(*place));
                }
                prop_assert_eq!(index.find(hash(7), |_| true), None);
            }
            let passed: u32 = index.lines.iter().map(|line| line.passed).sum();
            model.iter().for_each(|(place, number)| index.remove(hash(*number), *place));
            prop_assert_eq!((index.len(), index.lines.iter().map(|line| line.passed).sum::<u32>()), (0, 0), "of {}", passed);
            index.clear();
        }
    }
}
