//! Windowed aggregation: one value per key and window, in a store with a changelog.

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::{Chain, Context, Control, Operator, Visit};
use crate::error::ProcessError;
use crate::output::{OutRecord, Route, SinkId, StoreId};
use crate::serde::Serde;
use crate::state::{ChangelogKey, WindowStore};
use crate::types::{InWindow, Owned, Rec, View, Window};
use crate::watermark::NO_WATERMARK;
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
pub struct WindowAggregate<C, W, KS, S, I, F> {
    pub(crate) previous: C,
    pub(crate) spec: AggregateSpec<W, KS, S>,
    pub(crate) init: I,
    pub(crate) aggregate: F,
}

/// What an aggregation is made of, besides its closures.
#[derive(Clone)]
pub struct AggregateSpec<W, KS, S> {
    pub(crate) name: String,
    pub(crate) store: StoreId,
    pub(crate) changelog: SinkId,
    pub(crate) windows: W,
    pub(crate) key_serde: KS,
    pub(crate) value_serde: S,
    pub(crate) emit: Emit,
}

impl<C, W, KS, S, I, F, A> Chain for WindowAggregate<C, W, KS, S, I, F>
where
    C: Chain<Key = KS::View>,
    W: Windows,
    KS: Serde,
    S: Serde<View = Owned<A>>,
    A: Clone + Send + 'static,
    I: FnMut() -> A + Clone + Send + Sync + 'static,
    F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
{
    type Key = KS::View;
    type Value = InWindow<A>;
    type Built<N: Operator<KS::View, InWindow<A>>> = C::Built<Aggregate<W, KS, S, A, I, F, N>>;

    fn build<N: Operator<KS::View, InWindow<A>>>(&self, next: N) -> Self::Built<N> {
        self.previous.build(Aggregate {
            spec: self.spec.clone(),
            init: self.init.clone(),
            aggregate: self.aggregate.clone(),
            state: WindowStore::default(),
            watermark: NO_WATERMARK,
            stream_time: NO_WATERMARK,
            changelog_key: Vec::new(),
            changelog_value: Vec::new(),
            next,
        })
    }
}

/// `aggregate` in its place, with its state.
pub struct Aggregate<W, KS, S, A, I, F, N> {
    spec: AggregateSpec<W, KS, S>,
    init: I,
    aggregate: F,
    state: WindowStore<A>,
    /// How far event time has come here. Behind [`Context::watermark`] while an operator before this one closes its windows:
    /// what it then puts out is not late.
    watermark: TimestampMs,
    /// The greatest event time seen: no record that goes out is later than that, see [`result_time`].
    stream_time: TimestampMs,
    /// Buffers that each record of the changelog is encoded into.
    changelog_key: Vec<u8>,
    changelog_value: Vec<u8>,
    next: N,
}

impl<W, KS, S, A, I, F, N> Aggregate<W, KS, S, A, I, F, N>
where
    W: Windows,
    KS: Serde,
    S: Serde<View = Owned<A>>,
    A: Clone + Send + 'static,
    N: Operator<KS::View, InWindow<A>>,
{
    /// Closes what ends at or before the watermark. Under [`Emit::OnUpdate`] the changes since the last commit still go out.
    fn close(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // A stage further down has been told this watermark: an earlier result would be late there.
        self.stream_time = self.stream_time.max(self.watermark);
        self.watermark = context.watermark;
        let Self { spec, state, next, stream_time, .. } = self;
        while let Some(closed) = state.close_next(context.watermark) {
            match spec.emit {
                Emit::OnClose => {
                    let mut results = closed.iter();
                    results.try_for_each(|(key, value)| {
                        emit(spec, next, (closed.window, key, value), *stream_time, context)
                    })?;
                }
                Emit::OnUpdate => {
                    let mut results = closed.dirty();
                    results.try_for_each(|(key, value)| {
                        emit(spec, next, (closed.window, key, value), *stream_time, context)
                    })?;
                }
            }
        }
        Ok(())
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.stream_time = self.stream_time.max(self.watermark);
        let Self { spec, state, next, stream_time, .. } = self;
        if spec.emit == Emit::OnUpdate {
            state.dirty().try_for_each(|result| emit(spec, next, result, *stream_time, context))?;
        }
        self.write_changelog(context)
    }

    fn write_changelog(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { spec, state, stream_time, changelog_key, changelog_value, .. } = self;
        let route = Route::Partition(context.partition);
        let headers = RawHeaders::EMPTY;
        // Deletions first: a window that was opened again after them has its entries written after them.
        for (window, key) in state.deleted() {
            ChangelogKey::Entry { start: window.start, key }.encode_into(changelog_key);
            let (key, timestamp) = (Some(changelog_key.as_slice()), result_time(window, *stream_time));
            context.output.emit(OutRecord { sink: spec.changelog, route, timestamp, key, value: None, headers });
        }
        for (window, key, value) in state.dirty() {
            ChangelogKey::Entry { start: window.start, key }.encode_into(changelog_key);
            changelog_value.clear();
            let encoded = spec.value_serde.encode(value, changelog_value);
            encoded.map_err(|cause| ProcessError::Encode { to: spec.name.clone(), cause })?;
            let (key, value) = (Some(changelog_key.as_slice()), Some(changelog_value.as_slice()));
            let timestamp = result_time(window, *stream_time);
            context.output.emit(OutRecord { sink: spec.changelog, route, timestamp, key, value, headers });
        }
        Ok(())
    }

    fn restore(&mut self, start: i64, key: &[u8], value: Option<&[u8]>) -> Result<(), ProcessError> {
        let bad = |cause| ProcessError::BadChangelog { store: self.spec.name.clone(), cause: Some(cause) };
        let value = value.map(|value| self.spec.value_serde.decode(value)).transpose().map_err(bad)?;
        self.state.restore(self.spec.windows.starting_at(start), key, value);
        Ok(())
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), ProcessError> {
        let mut encoded = Vec::new();
        for (window, key, value) in self.state.iter() {
            encoded.clear();
            let result = self.spec.value_serde.encode(value, &mut encoded);
            result.map_err(|cause| ProcessError::Encode { to: self.spec.name.clone(), cause })?;
            visit(window, key, &encoded);
        }
        Ok(())
    }
}

/// Pushes one result. Its key is decoded from the bytes that the store has: they came through the same serde.
fn emit<W, KS, S, A, N>(
    spec: &AggregateSpec<W, KS, S>,
    next: &mut N,
    (window, key, value): (Window, &[u8], &A),
    stream_time: TimestampMs,
    context: &mut Context<'_>,
) -> Result<(), ProcessError>
where
    KS: Serde,
    A: 'static,
    N: Operator<KS::View, InWindow<A>>,
{
    let bad = |cause| ProcessError::BadChangelog { store: spec.name.clone(), cause: Some(cause) };
    let record = Rec {
        key: spec.key_serde.decode(key).map_err(bad)?,
        value: (window, value),
        timestamp: result_time(window, stream_time),
        headers: RawHeaders::EMPTY,
        raw_key: Some(key),
    };
    next.push(record, context)
}

/// The event time of a result: the greatest that was seen, kept within the window.
///
/// Not simply the end of the window: before it is over that lies in the future, and a broker refuses records from more than
/// an hour ahead (`message.timestamp.after.max.ms`, KIP-937).
fn result_time(window: Window, stream_time: TimestampMs) -> TimestampMs {
    stream_time.clamp(TimestampMs(window.start), window.max_timestamp())
}

impl<K, V, W, KS, S, A, I, F, N> Operator<K, V> for Aggregate<W, KS, S, A, I, F, N>
where
    K: View,
    V: View,
    W: Windows,
    KS: Serde<View = K>,
    S: Serde<View = Owned<A>>,
    A: Clone + Send + 'static,
    I: FnMut() -> A + Send + 'static,
    F: FnMut(&mut A, &Rec<'_, K, V>) + Send + 'static,
    N: Operator<K, InWindow<A>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // build() refuses keys that can be null; what is left is the serde of `()`, to which null is as good as nothing.
        let key = record.raw_key.unwrap_or_default();
        self.stream_time = self.stream_time.max(record.timestamp);
        for window in self.spec.windows.assign(record.timestamp) {
            if window.is_closed_at(self.watermark) {
                context.counters.late += 1;
                continue;
            }
            self.state.update(window, key, &mut self.init, |value| (self.aggregate)(value, &record));
        }
        Ok(())
    }

    fn control(&mut self, control: &mut Control<'_>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        match control {
            Control::Watermark => self.close(context)?,
            Control::BeforeCommit => self.before_commit(context)?,
            Control::Committed => self.state.commit(),
            Control::RolledBack => {
                self.state.roll_back();
                self.watermark = context.watermark;
            }
            Control::Restore { store, start, key, value } if *store == self.spec.store => {
                return self.restore(*start, key, *value);
            }
            Control::LastWindowEnd(last) => **last = (**last).max(self.state.last_end()),
            Control::Sizes(sizes) => {
                sizes.open_windows += self.state.window_count();
                sizes.store_entries += self.state.entry_count();
                sizes.is_dirty |= self.state.is_dirty();
            }
            Control::Entries { store, visit } if *store == self.spec.store => return self.visit(visit),
            Control::Restore { .. } | Control::Entries { .. } => {}
        }
        self.next.control(control, context)
    }
}
