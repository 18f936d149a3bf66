//! Entries in the order of their keys: a list while they are few, and a tree when they are many.
//!
//! A list of a few entries takes no more memory than they do, and it is searched and shifted faster than a tree; but
//! most of the work of a long list would be shifting.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::slice;

use super::small_key::SmallKey;

/// Values of type `T` by key.
pub(super) enum Ordered<T> {
    Few(Vec<(SmallKey, T)>),
    Many(BTreeMap<SmallKey, T>),
}

/// The most entries of a list.
const FEW: usize = 32;

/// The keys of a range.
pub(super) type Keys<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<T> Ordered<T> {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Few(entries) => entries.is_empty(),
            Self::Many(entries) => entries.is_empty(),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&T> {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|place| &entries[place].1),
            Self::Many(entries) => entries.get(key),
        }
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|place| &mut entries[place].1),
            Self::Many(entries) => entries.get_mut(key),
        }
    }

    /// Adds an entry whose key is not there.
    pub(super) fn insert(&mut self, key: SmallKey, value: T) {
        match self {
            Self::Few(entries) if entries.len() < FEW => {
                // Many lists never have a second entry.
                if entries.capacity() == 0 {
                    entries.reserve_exact(1);
                }
                let (Ok(place) | Err(place)) = find(entries, key.as_slice());
                entries.insert(place, (key, value));
            }
            Self::Few(entries) => {
                *self = Self::Many(std::mem::take(entries).into_iter().chain([(key, value)]).collect());
            }
            Self::Many(entries) => _ = entries.insert(key, value),
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<(SmallKey, T)> {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|place| entries.remove(place)),
            Self::Many(entries) => entries.remove_entry(key),
        }
    }

    /// The entries with keys in a range, in order. A range that ends before it begins is empty.
    pub(super) fn range(&self, keys: Keys<'_>) -> Range<'_, T> {
        match self {
            Self::Few(entries) => {
                let first = match keys.0 {
                    Bound::Included(first) => entries.partition_point(|(key, _)| key.as_slice() < first),
                    Bound::Excluded(before) => entries.partition_point(|(key, _)| key.as_slice() <= before),
                    Bound::Unbounded => 0,
                };
                let end = match keys.1 {
                    Bound::Included(last) => entries.partition_point(|(key, _)| key.as_slice() <= last),
                    Bound::Excluded(end) => entries.partition_point(|(key, _)| key.as_slice() < end),
                    Bound::Unbounded => entries.len(),
                };
                Range::Few(entries[first..end.max(first)].iter())
            }
            Self::Many(_) if is_empty(keys) => Range::default(),
            Self::Many(entries) => Range::Many(entries.range::<[u8], _>(keys)),
        }
    }

    /// All values.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (few, many) = match self {
            Self::Few(entries) => (Some(entries.iter_mut()), None),
            Self::Many(entries) => (None, Some(entries.values_mut())),
        };
        few.into_iter().flatten().map(|(_, value)| value).chain(many.into_iter().flatten())
    }
}

/// Whether a range is empty whatever there is; a tree panics at one.
fn is_empty(keys: Keys<'_>) -> bool {
    match keys {
        (Bound::Included(first), Bound::Included(last)) => first > last,
        (Bound::Included(first), Bound::Excluded(end)) | (Bound::Excluded(first), Bound::Included(end)) => first >= end,
        (Bound::Excluded(before), Bound::Excluded(end)) => before >= end,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

fn find<T>(entries: &[(SmallKey, T)], key: &[u8]) -> Result<usize, usize> {
    // Most keys come in their order.
    match entries.last() {
        Some((last, _)) if last.as_slice() < key => Err(entries.len()),
        _ => entries.binary_search_by(|(known, _)| known.as_slice().cmp(key)),
    }
}

/// The entries of a range.
pub(super) enum Range<'a, T> {
    Few(slice::Iter<'a, (SmallKey, T)>),
    Many(btree_map::Range<'a, SmallKey, T>),
}

impl<T> Default for Range<'_, T> {
    /// No entries.
    fn default() -> Self {
        Self::Few([].iter())
    }
}

impl<'a, T> Iterator for Range<'a, T> {
    type Item = (&'a [u8], &'a T);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(entries) => entries.next().map(|(key, value)| (key.as_slice(), value)),
            Self::Many(entries) => entries.next().map(|(key, value)| (key.as_slice(), value)),
        }
    }
}

impl<T> DoubleEndedIterator for Range<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(entries) => entries.next_back().map(|(key, value)| (key.as_slice(), value)),
            Self::Many(entries) => entries.next_back().map(|(key, value)| (key.as_slice(), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::RangeBounds;

    use proptest::prelude::*;

    use super::*;

    fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
        let key = || prop::collection::vec(0_u8..4, 0..4);
        prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
    }

    proptest! {
        #[test]
        fn it_is_a_map_in_order(
            operations in prop::collection::vec((prop::collection::vec(0_u8..4, 0..4), any::<bool>()), 0..200),
            ranges in prop::collection::vec((bound(), bound()), 20),
        ) {
            let (mut ordered, mut model) = (Ordered::default(), BTreeMap::new());
            for (number, (key, is_added)) in operations.into_iter().enumerate() {
                if !is_added {
                    let removed = ordered.remove(&key).map(|(_, number)| number);
                    prop_assert_eq!(removed, model.remove(&key));
                } else if let Some(known) = ordered.get_mut(&key) {
                    *known = number;
                    model.insert(key, number);
                } else {
                    ordered.insert(SmallKey::new(&key), number);
                    prop_assert_eq!(model.insert(key, number), None);
                }
            }
            prop_assert_eq!(ordered.is_empty(), model.is_empty());
            model.iter().for_each(|(key, number)| assert_eq!(ordered.get(key), Some(number)));
            for (first, end) in ranges {
                let keys = (first.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
                let range = (first.clone(), end.clone());
                let inside = model.iter().filter(|(key, _)| range.contains(*key));
                let expected: Vec<_> = inside.map(|(key, number)| (&key[..], number)).collect();
                prop_assert_eq!(ordered.range(keys).collect::<Vec<_>>(), expected.clone());
                prop_assert!(ordered.range(keys).rev().eq(expected.into_iter().rev()));
            }
            ordered.values_mut().for_each(|number| *number = 0);
            prop_assert!(ordered.range((Bound::Unbounded, Bound::Unbounded)).all(|(_, number)| *number == 0));
        }
    }
}
