//! The stores of a `process` step, as its code uses them: each holds something for the key of the record or timer.
//!
//! | type | for a key it holds | entries of the changelog |
//! |---|---|---|
//! | [`ValueState`] | one value | one a key |
//! | [`ListState`] | values in the order in which they were added | one a value |
//! | [`MapState`] | values by a second key, in the order of its bytes: ranges and prefixes | one a value |
//! | [`TimelineState`] | values by time: windows, or the versions of a value | one a value |
//!
//! A second key, an index or a time follows the length of the key (u32, big endian) and the key.

use std::ops::{Bound, Range};

use kafka_wire::types::TimestampMs;

use super::process::Scope;
use crate::serde::Serde;
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
        let mut place = prefix(scope.key);
        let store = scope.stores().get_mut(self.store);
        let last = store.range(all(&place)).next_back().and_then(|(key, _)| key.last_chunk());
        let next = last.map_or(0, |last| u64::from_be_bytes(*last) + 1);
        place.extend_from_slice(&next.to_be_bytes());
        store.put(&place, value);
    }

    /// The values, first to last.
    pub fn iter<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>) -> impl DoubleEndedIterator<Item = &'s A> {
        let place = prefix(scope.key);
        scope.stores().get_mut(self.store).range(all(&place)).map(|(_, value)| value)
    }

    /// Removes and returns the first value.
    pub fn pop_front<K: View, O>(self, scope: &mut Scope<'_, K, O>) -> Option<A> {
        let place = prefix(scope.key);
        let store = scope.stores().get_mut(self.store);
        let first = store.range(all(&place)).next()?.0.to_vec();
        store.remove(&first)
    }

    /// Removes all values.
    pub fn clear<K: View, O>(self, scope: &mut Scope<'_, K, O>) {
        let place = prefix(scope.key);
        remove(scope.stores().get_mut(self.store), all(&place));
    }
}

impl<MS: Serde, A: Clone + Send + 'static> MapState<MS, A> {
    /// The value under a second key; `None` also for one that its serde cannot encode.
    pub fn get<'s, K: View, O>(
        &self,
        scope: &'s mut Scope<'_, K, O>,
        key: &<MS::View as View>::Ref<'_>,
    ) -> Option<&'s A> {
        let place = self.place(scope.key, key)?;
        scope.stores().get_mut(self.store).get(&place)
    }

    /// Sets the value under a second key. One that its serde cannot encode is a failure of the record, see
    /// [`Scope::fail`].
    pub fn put<K: View, O>(&self, scope: &mut Scope<'_, K, O>, key: &<MS::View as View>::Ref<'_>, value: A) {
        match self.place(scope.key, key) {
            Some(place) => scope.stores().get_mut(self.store).put(&place, value),
            None => scope.fail(format!("a key of {:?} cannot be encoded", self.store)),
        }
    }

    /// Removes and returns the value under a second key.
    pub fn remove<K: View, O>(&self, scope: &mut Scope<'_, K, O>, key: &<MS::View as View>::Ref<'_>) -> Option<A> {
        let place = self.place(scope.key, key)?;
        scope.stores().get_mut(self.store).remove(&place)
    }

    /// All values with their second keys, in the order of the bytes of those.
    pub fn iter<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        let place = prefix(scope.key);
        self.decoded(scope, all(&place), place.len())
    }

    /// The values whose second keys are in a range, in the order of the bytes of the keys.
    pub fn range<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
        keys: Range<&<MS::View as View>::Ref<'_>>,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        let start = prefix(scope.key).len();
        let places = self.place(scope.key, keys.start).zip(self.place(scope.key, keys.end));
        // A range that ends before it begins is empty.
        let places = places.filter(|(first, end)| first < end).unwrap_or_default();
        self.decoded(scope, (Bound::Included(places.0), Bound::Excluded(places.1)), start)
    }

    /// The values whose second keys begin with these bytes, in the order of the bytes of the keys.
    pub fn prefix<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
        bytes: &[u8],
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        let mut place = prefix(scope.key);
        let start = place.len();
        place.extend_from_slice(bytes);
        self.decoded(scope, all(&place), start)
    }

    /// Removes all values of the key.
    pub fn clear<K: View, O>(&self, scope: &mut Scope<'_, K, O>) {
        let place = prefix(scope.key);
        remove(scope.stores().get_mut(self.store), all(&place));
    }

    fn place(&self, of: &[u8], key: &<MS::View as View>::Ref<'_>) -> Option<Vec<u8>> {
        let mut place = prefix(of);
        self.keys.encode(key, &mut place).ok().map(|()| place)
    }

    fn decoded<'s, K: View, O>(
        &'s self,
        scope: &'s mut Scope<'_, K, O>,
        places: Places,
        start: usize,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        let entries = scope.stores().get_mut(self.store).range(places);
        // Every key here was encoded by the same serde.
        entries.filter_map(move |(key, value)| Some((self.keys.decode(&key[start..]).ok()?, value)))
    }
}

impl<A: Clone + Send + 'static> TimelineState<A> {
    /// The value at a time.
    pub fn get<'s, K: View, O>(self, scope: &'s mut Scope<'_, K, O>, at: TimestampMs) -> Option<&'s A> {
        let place = at_time(scope.key, at);
        scope.stores().get_mut(self.store).get(&place)
    }

    /// Sets the value at a time.
    pub fn put<K: View, O>(self, scope: &mut Scope<'_, K, O>, at: TimestampMs, value: A) {
        let place = at_time(scope.key, at);
        scope.stores().get_mut(self.store).put(&place, value);
    }

    /// Removes and returns the value at a time.
    pub fn remove<K: View, O>(self, scope: &mut Scope<'_, K, O>, at: TimestampMs) -> Option<A> {
        let place = at_time(scope.key, at);
        scope.stores().get_mut(self.store).remove(&place)
    }

    /// The value at the latest time that is not after `at`: the version that was valid then.
    pub fn as_of<'s, K: View, O>(
        self,
        scope: &'s mut Scope<'_, K, O>,
        at: TimestampMs,
    ) -> Option<(TimestampMs, &'s A)> {
        let places = (Bound::Included(prefix(scope.key)), Bound::Included(at_time(scope.key, at)));
        scope.stores().get_mut(self.store).range(places).next_back().map(timed)
    }

    /// The values in a span of time, in the order of time.
    pub fn range<'s, K: View, O>(
        self,
        scope: &'s mut Scope<'_, K, O>,
        times: Range<TimestampMs>,
    ) -> impl DoubleEndedIterator<Item = (TimestampMs, &'s A)> {
        let end = times.end.max(times.start);
        let places = (Bound::Included(at_time(scope.key, times.start)), Bound::Excluded(at_time(scope.key, end)));
        scope.stores().get_mut(self.store).range(places).map(timed)
    }

    /// Removes the values before a time.
    pub fn remove_before<K: View, O>(self, scope: &mut Scope<'_, K, O>, at: TimestampMs) {
        let places = (Bound::Included(prefix(scope.key)), Bound::Excluded(at_time(scope.key, at)));
        remove(scope.stores().get_mut(self.store), places);
    }
}

type Places = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The beginning of the places of a key.
pub(super) fn prefix(key: &[u8]) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), key].concat()
}

/// All places that begin with `place`.
fn all(place: &[u8]) -> Places {
    let mut end = place.to_vec();
    // The next place of the same length: the last byte that can grow does. The length of a key comes first, and is
    // never all ones.
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (Bound::Included(place.to_vec()), Bound::Excluded(end))
}

/// The place of a key and time.
pub(super) fn at_time(key: &[u8], at: TimestampMs) -> Vec<u8> {
    let mut place = prefix(key);
    place.extend_from_slice(&(at.0 ^ i64::MIN).to_be_bytes());
    place
}

/// The time of a place, and the value there.
pub(super) fn timed<'s, A>((place, value): (&'s [u8], &'s A)) -> (TimestampMs, &'s A) {
    let time = place.last_chunk().map_or(0, |time| i64::from_be_bytes(*time) ^ i64::MIN);
    (TimestampMs(time), value)
}

fn remove<A: Clone + Send + 'static>(store: &mut SortedStore<A>, places: Places) {
    let found: Vec<Vec<u8>> = store.range(places).map(|(place, _)| place.to_vec()).collect();
    found.iter().for_each(|place| _ = store.remove(place));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_of_a_key_end_before_those_of_the_next() {
        for key in [&b""[..], b"a", b"\xff", b"\xff\xff"] {
            let place = prefix(key);
            let (Bound::Included(first), Bound::Excluded(end)) = all(&place) else { unreachable!("as made") };
            let inside = [&place[..], b"\xff\xff\xff"].concat();
            assert!(first == place && first <= inside && inside < end, "{key:?}");
            let other = prefix(&[key, b"\0"].concat());
            assert!(!(first <= other && other < end), "{key:?}");
        }
    }
}
