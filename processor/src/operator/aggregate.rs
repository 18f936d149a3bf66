//! Windowed aggregation: one value per key and window, in a store with a changelog.

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::{Chain, Context, Expected, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Handle, WindowStore};
use crate::types::{InWindow, Rec, View, Window};
use crate::window::Windows;

/// When a windowed aggregation puts out its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Once per key and window, when the watermark closes the window.
    OnClose,
    /// Once per key, window and commit in which it changed: each result replaces the one before it.
    OnUpdate,
}

/// `aggregate`, declared, after the chain `C`.
#[derive(Clone)]
pub struct WindowAggregate<C, W, KS, A, I, F> {
    pub(crate) previous: C,
    pub(crate) spec: AggregateSpec<W, KS, A>,
    pub(crate) init: I,
    pub(crate) aggregate: F,
}

/// What an aggregation is made of, besides its closures.
#[derive(Clone)]
pub struct AggregateSpec<W, KS, A> {
    pub(crate) name: String,
    pub(crate) store: Handle<WindowStore<A>>,
    pub(crate) windows: W,
    pub(crate) key_serde: KS,
    pub(crate) emit: Emit,
}

impl<C, W, KS, A, I, F> Chain for WindowAggregate<C, W, KS, A, I, F>
where
    C: Chain<Key = KS::View>,
    W: Windows,
    KS: Serde,
    A: Clone + Send + 'static,
    I: FnMut() -> A + Clone + Send + Sync + 'static,
    F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
{
    type Key = KS::View;
    type Value = InWindow<A>;

    fn build<N: Operator<KS::View, InWindow<A>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let (init, aggregate) = (self.init.clone(), self.aggregate.clone());
        let results = Results { spec: self.spec.clone(), stream_time: TimestampMs(i64::MIN), next };
        self.previous.build(Aggregate { init, aggregate, results }, stage);
    }
}

/// `aggregate` in its place. Its values are in the store of the task.
pub struct Aggregate<W, KS, A, I, F, N> {
    init: I,
    aggregate: F,
    results: Results<W, KS, A, N>,
}

/// The way out of an aggregation.
struct Results<W, KS, A, N> {
    spec: AggregateSpec<W, KS, A>,
    /// The greatest event time seen: no record that goes out is later than that, see [`result_time`].
    stream_time: TimestampMs,
    next: N,
}

impl<W, KS, A, N> Results<W, KS, A, N>
where
    KS: Serde,
    A: 'static,
    N: Operator<KS::View, InWindow<A>>,
{
    /// A stage further down has been told this watermark: an earlier result would be late there.
    fn not_before(&mut self, watermark: TimestampMs) {
        self.stream_time = self.stream_time.max(watermark);
    }

    /// Pushes one result. Its key is decoded from the bytes that the store has: they came through the same serde.
    fn emit(
        &mut self,
        (window, key, value): (Window, &[u8], &A),
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        let bad = |cause| ProcessError::BadChangelog { store: self.spec.name.clone(), cause: Some(cause) };
        let record = Rec {
            key: self.spec.key_serde.decode(key).map_err(bad)?,
            value: (window, value),
            timestamp: result_time(window, self.stream_time),
            headers: RawHeaders::EMPTY,
            raw_key: Some(key),
        };
        self.next.push(record, context)
    }
}

/// The event time of a result: the greatest that was seen, kept within the window.
///
/// Not simply the end of the window: before it is over that lies in the future, and a broker refuses records from more
/// than an hour ahead (`message.timestamp.after.max.ms`, KIP-937).
fn result_time(window: Window, stream_time: TimestampMs) -> TimestampMs {
    stream_time.clamp(TimestampMs(window.start), window.max_timestamp())
}

impl<W, KS, A, I, F, N> Signals for Aggregate<W, KS, A, I, F, N>
where
    W: Windows,
    KS: Serde,
    A: Clone + Send + 'static,
    I: Send,
    F: Send,
    N: Operator<KS::View, InWindow<A>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.results.next)
    }

    /// Closes what ends at or before the watermark. Under [`Emit::OnUpdate`] the changes since the last commit still
    /// go out.
    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { results, .. } = self;
        let (handle, emit, watermark) = (results.spec.store, results.spec.emit, context.watermark);
        let mut store = context.stores.take(handle);
        results.not_before(store.closed_up_to());
        let mut closed = Ok(true);
        while closed == Ok(true) {
            closed = store.close_next(watermark, |window, key, value, is_changed| match emit {
                Emit::OnUpdate if !is_changed => Ok(()),
                Emit::OnUpdate | Emit::OnClose => results.emit((window, key, value), context),
            });
        }
        context.stores.put_back(handle, store);
        closed?;
        results.next.watermark(context)
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { results, .. } = self;
        if results.spec.emit == Emit::OnUpdate {
            let handle = results.spec.store;
            let store = context.stores.take(handle);
            results.not_before(store.closed_up_to());
            let emitted = store.changed().try_for_each(|result| results.emit(result, context));
            context.stores.put_back(handle, store);
            emitted?;
        }
        results.next.before_commit(context)
    }
}

impl<K, V, W, KS, A, I, F, N> Operator<K, V> for Aggregate<W, KS, A, I, F, N>
where
    K: View,
    V: View,
    W: Windows,
    KS: Serde<View = K>,
    A: Clone + Send + 'static,
    I: FnMut() -> A + Send + 'static,
    F: FnMut(&mut A, &Rec<'_, K, V>) + Send + 'static,
    N: Operator<K, InWindow<A>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if record.timestamp.0 < 0 {
            return context.leave_out_untimed(record.timestamp);
        }
        // build() refuses keys that can be null; what is left is the serde of `()`, to which null is as good as
        // nothing.
        let key = record.raw_key.unwrap_or_default();
        let Self { init, aggregate, results } = self;
        results.stream_time = results.stream_time.max(record.timestamp);
        let store = context.stores.get_mut(results.spec.store);
        // Not the task's watermark: what an operator before this one puts out while it closes its windows is not late.
        let closed_up_to = store.closed_up_to();
        for window in results.spec.windows.assign(record.timestamp) {
            if window.is_closed_at(closed_up_to) {
                context.counters.count_late(record.timestamp, closed_up_to);
                continue;
            }
            store.update(window, key, &mut *init, |value| aggregate(value, &record));
        }
        Ok(())
    }

    fn looks_ahead(&self) -> bool {
        true
    }

    fn expect(&self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        let AggregateSpec { store, windows, .. } = &self.results.spec;
        let timed = ahead.iter().filter(|expected| expected.timestamp.0 >= 0);
        let entries =
            timed.flat_map(|expected| windows.assign(expected.timestamp).map(|window| (window, expected.key)));
        context.stores.get_mut(*store).expect(entries);
    }
}
