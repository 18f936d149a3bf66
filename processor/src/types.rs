//! The types of a stage: borrowed records, their views, and windows.
//!
//! A record of a stage borrows the fetched batch. Its key and value are *views*: `Utf8` is seen as `&str`, `U64` as
//! `u64`. The lifetime of a view is in our own type [`Rec`], because a closure `for<'a> FnMut(K::Ref<'a>) -> ..` could
//! not name it otherwise (E0582): a projection may forget its lifetime, a struct cannot.

use std::marker::PhantomData;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

/// The type that a record shows: `Ref<'a>` may borrow from the record for `'a`, or be owned.
///
/// [`#[derive(View)]`](macro@crate::View) makes one of a type that borrows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a view",
    note = "the view of `Text` is `Owned<String>`, of `I64` `Owned<i64>`, of `Json<T>` `Owned<T>`: a step of your own \
            names views, not serdes; `Utf8`, `Raw` and `()` are their own views",
    note = "a type that borrows, such as `struct Order<'a> {{ text: &'a str }}`, becomes one by `#[derive(View)]`"
)]
pub trait View: 'static {
    /// The type that a closure sees.
    type Ref<'a>;
}

/// A view that can be passed on more than once, for a shorter time. Keys need it, to stay on every output
/// of [`Stream::flat_map`](crate::topology::Stream::flat_map).
pub trait Reborrow: View {
    /// The same key for the time of the borrow.
    fn reborrow<'short, 'long: 'short>(key: &'short Self::Ref<'long>) -> Self::Ref<'short>;
}

/// Values of type `T`, passed by value: the view of the results of `map`.
pub struct Owned<T>(PhantomData<fn() -> T>);

impl<T> Owned<T> {
    /// The view as an argument of [`Stream::flat_map`](crate::topology::Stream::flat_map).
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Owned<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: 'static> View for Owned<T> {
    type Ref<'a> = T;
}

impl<T: Clone + 'static> Reborrow for Owned<T> {
    fn reborrow<'short, 'long: 'short>(key: &'short T) -> T {
        key.clone()
    }
}

/// No value, for a record that is only a key.
impl View for () {
    type Ref<'a> = ();
}

impl Reborrow for () {
    fn reborrow<'short, 'long: 'short>((): &'short ()) {}
}

/// One record inside a stage, borrowed from its batch.
///
/// `map` and `flat_map` keep key, timestamp and headers; only `key_by` changes the key.
pub struct Rec<'a, K: View, V: View> {
    /// The key, as its serde decodes it.
    pub key: K::Ref<'a>,
    /// The value.
    pub value: V::Ref<'a>,
    /// Event time: the record's timestamp, or the result of [`Stream::timestamp`](crate::topology::Stream::timestamp).
    pub timestamp: TimestampMs,
    /// The headers of the source record; the result of a window has none.
    pub headers: RawHeaders<'a>,
    /// The key as it is in the log. A stage never changes the key, so state and sinks use these bytes unchanged.
    pub(crate) raw_key: Option<&'a [u8]>,
}

impl<'a, K: View, V: View> Rec<'a, K, V> {
    /// The same record with another value.
    #[inline]
    pub(crate) fn with_value<W: View>(self, value: W::Ref<'a>) -> Rec<'a, K, W> {
        let Self { key, value: _, timestamp, headers, raw_key } = self;
        Rec { key, value, timestamp, headers, raw_key }
    }
}

impl<'a, K: Reborrow, V: Reborrow> Rec<'a, K, V> {
    /// The same record for the time of the borrow, for one of several consumers.
    #[inline]
    pub(crate) fn reborrow(&self) -> Rec<'_, K, V> {
        Rec {
            key: K::reborrow(&self.key),
            value: V::reborrow(&self.value),
            timestamp: self.timestamp,
            headers: self.headers,
            raw_key: self.raw_key,
        }
    }
}

/// A span of event time: `start` is inclusive, `end` exclusive. Milliseconds since 1970-01-01 UTC, negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First millisecond of the window.
    pub start: i64,
    /// First millisecond after the window; at most `i64::MAX`.
    pub end: i64,
}

/// All of time, for a value that has no window.
pub(crate) const FOR_EVER: Window = Window { start: i64::MIN, end: i64::MAX };

impl Window {
    /// Whether `timestamp` is in the window.
    #[must_use]
    pub const fn contains(self, timestamp: TimestampMs) -> bool {
        self.start <= timestamp.0 && timestamp.0 < self.end
    }

    /// Whether the window accepts no more records at this watermark, because its end has been reached.
    #[must_use]
    pub const fn is_closed_at(self, watermark: TimestampMs) -> bool {
        self.end <= watermark.0
    }

    /// The last millisecond of the window. No result of it has a later event time, so that results lie in the window;
    /// only that of a session may be at its end.
    #[must_use]
    pub const fn max_timestamp(self) -> TimestampMs {
        TimestampMs(self.end - 1)
    }
}

/// The value of a windowed aggregation: a window and the aggregate in it.
pub struct InWindow<A>(PhantomData<fn() -> A>);

impl<A: 'static> View for InWindow<A> {
    type Ref<'a> = (Window, &'a A);
}

impl<A: 'static> Reborrow for InWindow<A> {
    fn reborrow<'short, 'long: 'short>(result: &'short (Window, &'long A)) -> (Window, &'short A) {
        *result
    }
}

/// One result of a windowed aggregation, as `map` and `filter` after it see it.
pub struct Windowed<'a, K: View, A> {
    /// The key.
    pub key: K::Ref<'a>,
    /// The window.
    pub window: Window,
    /// The aggregate of that key in that window; borrowed from the store.
    pub value: &'a A,
}

/// The number of partitions of a repartition topic. It is fixed for the life of the job, and the largest
/// number of tasks that can share the work downstream. State is kept per partition, so changing it needs a new
/// topic and a new job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(pub i32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let window = Window { start: -10, end: 0 };
        assert!(window.contains(TimestampMs(-10)) && window.contains(TimestampMs(-1)));
        assert!(!window.contains(TimestampMs(0)) && !window.contains(TimestampMs(-11)));
        assert!(window.contains(window.max_timestamp()));
        assert!(!window.is_closed_at(TimestampMs(-1)) && window.is_closed_at(TimestampMs(0)));
    }
}
