//! An index over entries that lie elsewhere: from a hash to the places that may have it.
//!
//! - It is cut into lines, each as large as a line of the cache: twelve places, a byte of the hash for each, and a count.
//!   A search reads the line that the hash points to, and of the entries only those whose byte is the same: nearly always
//!   the one that is searched for, or none.
//! - What finds no room in its line goes into the next. A line counts the entries that have passed it, so that a search
//!   knows whether it has to go on, and a removal leaves nothing behind.
//! - Growing takes the hashes from the entries, in the order in which they lie: nothing of it is a look at a far place.
//!
//! Chosen over the table of hashbrown, whose hash bytes and places lie in two lines, for one miss of the cache less in
//! each search.

use std::hint::black_box;

/// Places by hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Line {
    /// A byte of each hash; 0 where there is none.
    tags: [u8; PLACES],
    /// How many entries that belong here, or before, lie behind this line.
    passed: u32,
    places: [u32; PLACES],
}

/// Places in a line.
const PLACES: usize = 12;
/// Entries in a line on average, when the index grows.
const FULL: usize = 10;

/// How many searches are prepared together: some times as many as a processor fetches from memory side by side, so that the
/// waits at both ends count for little.
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

    /// Makes the index anew, with room for more: `entries` are the hashes and places of all that is in it.
    pub(super) fn rebuild(&mut self, entries: impl Iterator<Item = (u32, u32)>) {
        let lines = (self.lines.len() + self.lines.len() / 2).max(self.len / FULL) + 1;
        let expected = self.len;
        // The old one goes first: the two are never there at the same time.
        self.lines = Vec::new();
        self.lines = vec![Line::EMPTY; lines];
        self.len = 0;
        entries.for_each(|(hash, place)| self.insert(hash, place));
        debug_assert_eq!(self.len, expected, "all that was in the index, and nothing else");
    }

    /// The place that has the hash and that `is_it` takes.
    #[inline]
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        // At most once round: that every line has been passed is not impossible.
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

    /// Places that probably are those of the hashes, in any order, and how many. Reads all the lines first: loops of a few
    /// instructions and without a decision, so that as many reads as possible are under way together.
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

    /// Adds an entry that is not in it, if the index is not full.
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

    /// Takes out an entry that is in it.
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
            // No line before the one that has it was left out when it was put in.
            line.passed = line.passed.checked_sub(1).expect("what is removed is in the index");
            at = self.after(at);
        }
    }

    /// Takes out everything, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.lines.fill(Line::EMPTY);
        self.len = 0;
    }

    /// The line of a hash; the upper bits choose it, the lower ones are the tag.
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

    /// The places with that tag: the highest bit of a byte each.
    #[inline]
    fn having(&self, tag: u8) -> u128 {
        let mut bytes = [!tag; 16];
        bytes[..PLACES].copy_from_slice(&self.tags);
        let differing = u128::from_le_bytes(bytes) ^ (LOW_BITS * u128::from(tag));
        // Without a carry from byte to byte: 0 is to be found exactly.
        !(((differing & REST) + REST) | differing | REST)
    }
}

/// Brings what was read into being, so that reading it is not left out.
pub(super) fn keep(read: u32) {
    black_box(read);
}

#[inline]
const fn tag(hash: u32) -> u8 {
    // 0 is no tag.
    if hash as u8 == 0 { 1 } else { hash as u8 }
}

#[inline]
const fn first(found: u128) -> usize {
    (found.trailing_zeros() / 8) as usize
}

const LOW_BITS: u128 = u128::MAX / 255;
const REST: u128 = LOW_BITS * 0x7f;

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
        /// Few hashes, so that lines run over into the next and round the end.
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
