//! The stores of a `process` step, as its code uses them: each holds something for the key of the record or timer.
//!
//! | type | for a key it holds | entries of the changelog |
//! |---|---|---|
//! | [`ValueState`] | one value | one a key |
//! | [`ListState`] | values in the order in which they were added | one a value |
//! | [`MapState`] | values by a second key, in the order of its bytes: ranges and prefixes | one a value |
//! | [`TimelineState`] | values by time: windows, or the versions of a value | one a value |
//!
//! In the changelog, a second key, an index or a time follows the length of the key (u32, big endian) and the key.

use std::ops::{Bound, Range};

use kafka_wire::types::TimestampMs;

use super::process::{InTask, Scope};
use crate::serde::{Serde, SerdeError};
use crate::state::{Handle, KeyValueStore, SortedStore};
use crate::types::View;

/// One value a key.
pub struct ValueState<A> {
    pub(crate) store: Handle<KeyValueStore<A>>,
}

/// Any number of values a key, in the order in which they were added.
pub struct ListState<A> {
    pub(crate) store: Handle<SortedStore<A>>,
}

/// Values a key by a second key, in the order of the bytes of that key: text and unsigned numbers sort as they do.
pub struct MapState<MS, A> {
    pub(crate) store: Handle<SortedStore<A>>,
    pub(crate) keys: MS,
}

/// Values a key by time: one for each time.
pub struct TimelineState<A> {
    pub(crate) store: Handle<SortedStore<A>>,
}

macro_rules! copied {
    ($($state:ident),*) => {$(
        // Derived implementations would require the same of `A`.
        impl<A> Clone for $state<A> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<A> Copy for $state<A> {}
    )*};
}
copied!(ValueState, ListState, TimelineState);

impl<MS: Clone, A> Clone for MapState<MS, A> {
    fn clone(&self) -> Self {
        Self { store: self.store, keys: self.keys.clone() }
    }
}

impl<A: Clone + Send + 'static> ValueState<A> {
    /// The value of the key.
    pub fn get<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>) -> Option<&'s A> {
        let key = scope.key;
        scope.stores().get_mut(self.store).get(key)
    }

    /// Sets the value of the key.
    pub fn put<K: View, O>(self, scope: &mut Scope<'_, K, O>, value: A) {
        let key = scope.key;
        scope.stores().get_mut(self.store).put(key, value);
    }

    /// Changes the value of the key, made by `init` if there is none, and returns what `change` returns.
    pub fn update<K: View, O, R>(
        self,
        scope: &mut Scope<'_, K, O>,
        init: impl FnOnce() -> A,
        change: impl FnOnce(&mut A) -> R,
    ) -> R {
        let key = scope.key;
        scope.stores().get_mut(self.store).update(key, init, change)
    }

    /// Removes the value of the key. Returns whether there was one.
    pub fn clear<K: View, O>(self, scope: &mut Scope<'_, K, O>) -> bool {
        let key = scope.key;
        scope.stores().get_mut(self.store).remove(key)
    }
}

impl<A: Clone + Send + 'static> ListState<A> {
    /// Adds a value at the end.
    pub fn push<K: View, O>(self, scope: &mut Scope<'_, K, O>, value: A) {
        let key = scope.key;
        let store = scope.stores().get_mut(self.store);
        let last = store.keys(key, ALL).next_back().and_then(<[u8]>::first_chunk);
        let next = last.map_or(0, |last| u64::from_be_bytes(*last) + 1);
        store.put(key, &next.to_be_bytes(), value);
    }

    /// The values, first to last.
    pub fn iter<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>) -> impl DoubleEndedIterator<Item = &'s A> {
        let key = scope.key;
        scope.stores().get_mut(self.store).group(key).map(|(_, value)| value)
    }

    /// The first value.
    pub fn first<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>) -> Option<&'s A> {
        self.iter(scope).next()
    }

    /// The last value.
    pub fn last<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>) -> Option<&'s A> {
        self.iter(scope).next_back()
    }

    /// The number of values, which are counted.
    pub fn len<K: View, O>(self, scope: &mut Scope<'_, K, O>) -> usize {
        self.iter(scope).count()
    }

    /// Whether there is no value.
    pub fn is_empty<K: View, O>(self, scope: &mut Scope<'_, K, O>) -> bool {
        self.first(scope).is_none()
    }

    /// Keeps only the values for which `keep` is true, in their order: what Flink does with an evictor.
    pub fn retain<K: View, O>(self, scope: &mut Scope<'_, K, O>, mut keep: impl FnMut(&A) -> bool) {
        let key = scope.key;
        let store = scope.stores().get_mut(self.store);
        let gone = store.group(key).filter(|(_, value)| !keep(value)).map(|(index, _)| index.to_vec());
        for index in gone.collect::<Vec<_>>() {
            store.remove(key, &index);
        }
    }

    /// Removes and returns the first value.
    pub fn pop_front<K: View, O>(self, scope: &mut Scope<'_, K, O>) -> Option<A> {
        let key = scope.key;
        let store = scope.stores().get_mut(self.store);
        let first: [u8; 8] = *store.group(key).next()?.0.first_chunk()?;
        store.remove(key, &first)
    }

    /// Removes all values.
    pub fn clear<K: View, O>(self, scope: &mut Scope<'_, K, O>) {
        let key = scope.key;
        remove(scope.stores().get_mut(self.store), key, ALL);
    }
}

impl<MS: Serde, A: Clone + Send + 'static> MapState<MS, A> {
    /// The value under a second key; `None` also for one that its serde cannot encode.
    pub fn get<'s, K: View, O>(
        &self,
        scope: &'s mut Scope<'_, K, O>,
        key: &<MS::View as View>::Ref<'_>,
    ) -> Option<&'s A> {
        let (of, key) = (scope.key, scope.encoded(&self.keys, key)?);
        scope.stores().get_mut(self.store).get(of, &key)
    }

    /// Sets the value under a second key. One that its serde cannot encode is a failure of the record, see
    /// [`Scope::fail`].
    pub fn put<K: View, O>(&self, scope: &mut Scope<'_, K, O>, key: &<MS::View as View>::Ref<'_>, value: A) {
        let of = scope.key;
        match scope.encoded(&self.keys, key) {
            Some(key) => scope.stores().get_mut(self.store).put(of, &key, value),
            None => scope.fail(format!("a key of {:?} cannot be encoded", self.store)),
        }
    }

    /// Removes and returns the value under a second key.
    pub fn remove<K: View, O>(&self, scope: &mut Scope<'_, K, O>, key: &<MS::View as View>::Ref<'_>) -> Option<A> {
        let (of, key) = (scope.key, scope.encoded(&self.keys, key)?);
        scope.stores().get_mut(self.store).remove(of, &key)
    }

    /// All values with their second keys, in the order of the bytes of those.
    pub fn iter<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        self.decoded(scope, ALL)
    }

    /// The values whose second keys are in a range, in the order of the bytes of the keys.
    pub fn range<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
        keys: Range<&<MS::View as View>::Ref<'_>>,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        // If one of them cannot be encoded, the range is empty.
        let (first, end) = (scope.encoded(&self.keys, keys.start), scope.encoded(&self.keys, keys.end));
        let (first, end) = first.zip(end).unwrap_or_default();
        self.decoded(scope, (Bound::Included(&first), Bound::Excluded(&end)))
    }

    /// The values whose second keys begin with these bytes, in the order of the bytes of the keys.
    pub fn prefix<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
        bytes: &[u8],
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        let end = after_all(bytes);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        self.decoded(scope, (Bound::Included(bytes), end))
    }

    /// Removes all values of the key.
    pub fn clear<K: View, O>(&self, scope: &mut Scope<'_, K, O>) {
        let key = scope.key;
        remove(scope.stores().get_mut(self.store), key, ALL);
    }

    fn decoded<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
        keys: Keys<'_>,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> + use<'s, MS, A, K, O> {
        let of = scope.key;
        let (store, undecodable) = scope.stores().get_noting(self.store);
        with_keys(&self.keys, store.range(of, keys), undecodable)
    }
}

/// The entries of a store with their keys decoded. Every key was encoded by the same serde, so that one that cannot be
/// decoded, perhaps for now, is an error of the step.
pub(super) fn with_keys<'s, MS: Serde, A: 's>(
    keys: &'s MS,
    entries: impl DoubleEndedIterator<Item = (&'s [u8], &'s A)>,
    undecodable: &'s mut Option<SerdeError>,
) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
    entries.filter_map(move |(key, value)| match keys.decode(key) {
        Ok(key) => Some((key, value)),
        Err(cause) => {
            undecodable.get_or_insert(cause);
            None
        }
    })
}

impl<A: Clone + Send + 'static> TimelineState<A> {
    /// The value at a time.
    pub fn get<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>, at: TimestampMs) -> Option<&'s A> {
        let key = scope.key;
        scope.stores().get_mut(self.store).get(key, &sortable(at))
    }

    /// Sets the value at a time.
    pub fn put<K: View, O>(self, scope: &mut Scope<'_, K, O>, at: TimestampMs, value: A) {
        let key = scope.key;
        scope.stores().get_mut(self.store).put(key, &sortable(at), value);
    }

    /// Removes and returns the value at a time.
    pub fn remove<K: View, O>(self, scope: &mut Scope<'_, K, O>, at: TimestampMs) -> Option<A> {
        let key = scope.key;
        scope.stores().get_mut(self.store).remove(key, &sortable(at))
    }

    /// The value at the latest time that is not after `at`: the version that was valid then.
    pub fn as_of<'s, K: View, O>(
        self,
        scope: &'s mut Scope<'_, K, O>,
        at: TimestampMs,
    ) -> Option<(TimestampMs, &'s A)> {
        let key = scope.key;
        let store = scope.stores().get_mut(self.store);
        store.range(key, (Bound::Unbounded, Bound::Included(&sortable(at)))).next_back().map(timed)
    }

    /// All values with their times, earliest first.
    pub fn iter<'s, K: View, O>(
        self,
        scope: &'s mut Scope<'_, K, O>,
    ) -> impl DoubleEndedIterator<Item = (TimestampMs, &'s A)> {
        let key = scope.key;
        scope.stores().get_mut(self.store).group(key).map(timed)
    }

    /// The values in a span of time, in the order of time.
    pub fn range<'s, K: View, O>(
        self,
        scope: &'s mut Scope<'_, K, O>,
        times: Range<TimestampMs>,
    ) -> impl DoubleEndedIterator<Item = (TimestampMs, &'s A)> {
        let (key, first, end) = (scope.key, sortable(times.start), sortable(times.end));
        let store = scope.stores().get_mut(self.store);
        store.range(key, (Bound::Included(&first), Bound::Excluded(&end))).map(timed)
    }

    /// Removes the values before a time.
    pub fn remove_before<K: View, O>(self, scope: &mut Scope<'_, K, O>, at: TimestampMs) {
        let key = scope.key;
        remove(scope.stores().get_mut(self.store), key, (Bound::Unbounded, Bound::Excluded(&sortable(at))));
    }
}

type Keys<'k> = (Bound<&'k [u8]>, Bound<&'k [u8]>);

const ALL: Keys<'static> = (Bound::Unbounded, Bound::Unbounded);

/// The bytes that come after all those that begin with `prefix`; `None` if none do.
fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    // The last byte that can grow does.
    while end.pop_if(|last| *last == u8::MAX).is_some() {}
    *end.last_mut()? += 1;
    Some(end)
}

/// The bytes of a time, in the order of time.
pub(super) const fn sortable(at: TimestampMs) -> [u8; 8] {
    (at.0 ^ i64::MIN).to_be_bytes()
}

/// A value, and the time of its bytes.
pub(super) fn timed<'s, A>((time, value): (&'s [u8], &'s A)) -> (TimestampMs, &'s A) {
    let time = time.first_chunk().map_or(0, |time| i64::from_be_bytes(*time) ^ i64::MIN);
    (TimestampMs(time), value)
}

fn remove<A: Clone + Send + 'static>(store: &mut SortedStore<A>, key: &[u8], keys: Keys<'_>) {
    let found: Vec<Vec<u8>> = store.keys(key, keys).map(<[u8]>::to_vec).collect();
    found.iter().for_each(|found| _ = store.remove(key, found));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_some_bytes_ends_before_what_comes_after() {
        assert_eq!(after_all(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_all(b"ab"), Some(b"ac".to_vec()));
        assert_eq!((after_all(b""), after_all(b"\xff")), (None, None));
    }

    #[test]
    fn times_are_in_their_order() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(TimestampMs);
        assert!(times.is_sorted_by_key(|time| sortable(*time)));
        times.iter().for_each(|time| assert_eq!(timed((&sortable(*time), &())).0, *time));
    }
}
