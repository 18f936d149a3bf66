//! Slots in the order of the times at which something is due for them.
//!
//! Times are put into lists, one for each quarter of a second, and a list is sorted when its turn comes. So a slot
//! costs little more than the two numbers, whether all slots are due at a few times, as those of windows are, or
//! each at its own, as those of sessions.
//!
//! Nothing is removed: a slot that is due at another time is added again, and the owner, who knows the time at which
//! each slot is due, passes over the others when their time comes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// A time and a slot.
type Entry = (i64, u32);

/// Slots by time.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// The list whose turn it is, the earliest entry last.
    turn: Vec<Entry>,
    /// The number of that list.
    turn_number: Option<i64>,
    /// Entries of that list or an earlier one that have come since.
    late: BinaryHeap<Reverse<Entry>>,
    /// The lists behind, by number, each with its earliest time.
    lists: BTreeMap<i64, (i64, Vec<Entry>)>,
    len: usize,
}

/// A list has the times that are equal without this many bits.
const BITS: u32 = 8;

impl Due {
    /// Number of entries.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, at: i64, slot: u32) {
        self.len += 1;
        let number = at >> BITS;
        if self.turn_number.is_some_and(|turn| number <= turn) {
            self.late.push(Reverse((at, slot)));
            return;
        }
        let (earliest, list) = self.lists.entry(number).or_insert_with(|| (at, Vec::new()));
        *earliest = at.min(*earliest);
        list.push((at, slot));
    }

    /// The earliest time.
    pub(super) fn first(&self) -> Option<i64> {
        let late = self.late.peek().map(|Reverse((at, _))| *at);
        let in_turn = self.turn.last().map(|(at, _)| *at);
        let first = late.into_iter().chain(in_turn).min();
        first.or_else(|| self.lists.values().next().map(|(earliest, _)| *earliest))
    }

    /// Whether there is an entry up to a time.
    pub(super) fn is_due(&mut self, up_to: i64) -> bool {
        let is_due = self.first().is_some_and(|first| first <= up_to);
        if is_due
            && self.turn.is_empty()
            && self.late.is_empty()
            && let Some((number, (_, list))) = self.lists.pop_first()
        {
            self.turn = list;
            self.turn.sort_unstable_by_key(|entry| Reverse(*entry));
            self.turn_number = Some(number);
        }
        is_due
    }

    /// Removes the earliest entry, of equal times the one of the least slot. Only after [`Due::is_due`] was true.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let popped = match (self.turn.last(), self.late.peek()) {
            (Some(entry), Some(Reverse(late))) if late < entry => self.late.pop().map(|Reverse(entry)| entry),
            (Some(_), _) => self.turn.pop(),
            (None, _) => self.late.pop().map(|Reverse(entry)| entry),
        };
        self.len -= usize::from(popped.is_some());
        popped
    }

    /// Some of the next entries: most of the first ones.
    pub(super) fn ahead(&self) -> impl Iterator<Item = &Entry> + Clone {
        let behind = self.lists.values().flat_map(|(_, list)| list);
        self.turn.iter().rev().chain(self.late.iter().map(|Reverse(entry)| entry)).chain(behind)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Memory in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.len * size_of::<Entry>() * 3 / 2 + self.lists.len() * size_of::<(i64, (i64, Vec<Entry>))>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kafka_wire::rng::Rng;

    use super::*;

    #[test]
    fn entries_come_in_the_order_of_time_and_slot() {
        for seed in 0..200 {
            let (mut rng, mut due, mut model) = (Rng::from_seed(seed), Due::default(), BTreeSet::new());
            let mut now = -2_000;
            for _ in 0..300 {
                match rng.below(3) {
                    0 | 1 => {
                        let entry = (now - 300 + rng.below(1_500) as i64, rng.below(50) as u32);
                        if model.insert(entry) {
                            due.insert(entry.0, entry.1);
                        }
                    }
                    _ => {
                        now += rng.below(200) as i64;
                        let popped: Vec<_> = std::iter::from_fn(|| due.is_due(now).then(|| due.pop())?).collect();
                        let expected: Vec<_> = model.extract_if(..=(now, u32::MAX), |_| true).collect();
                        assert_eq!(popped, expected, "seed {seed}");
                    }
                }
                assert_eq!(due.first(), model.first().map(|(at, _)| *at), "seed {seed}");
                assert_eq!((due.len(), due.ahead().count()), (model.len(), model.len()));
            }
            due.clear();
            assert!(!due.is_due(i64::MAX));
        }
    }
}
