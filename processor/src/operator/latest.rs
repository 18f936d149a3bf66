//! Aggregation without windows: the latest value of each key, in a store with a changelog.
//!
//! Records of a key are gathered in the order in which they come, late ones too, since nothing ever closes. A result
//! replaces the earlier one under its key. A crash undoes the changes and the results of the open transaction together.
//! The values may be the rows of a table, whose changes come out then in the place of the results.

use std::marker::PhantomData;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::aggregation::Aggregation;
use super::emit::{Emit, Intervals};
use super::stream_time::StreamTime;
use super::table::Change;
use super::{Chain, Context, Expected, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Handle, KeyValueStore, Stores};
use crate::types::{FOR_EVER, Owned, Rec, View};
use crate::watermark::NO_WATERMARK;

/// The declaration of an aggregation without windows, after the chain `C`.
#[derive(Clone)]
pub struct Latest<C, KS, G, A> {
    pub(crate) previous: C,
    pub(crate) spec: LatestSpec<KS, A>,
    pub(crate) aggregation: G,
}

/// The parts of the aggregation, besides how it gathers.
#[derive(Clone)]
pub struct LatestSpec<KS, A> {
    pub(crate) name: String,
    pub(crate) store: Handle<KeyValueStore<A>>,
    pub(crate) key_serde: KS,
    pub(crate) emit: Emit,
    pub(crate) intervals: Option<Intervals>,
}

impl<C, KS, G> Chain for Latest<C, KS, G, G::Kept>
where
    C: Chain<Key = KS::View>,
    KS: Serde,
    G: Aggregation<KS::View, C::Value>,
{
    type Key = KS::View;
    type Value = Owned<G::Out>;

    fn build<N: Operator<KS::View, Owned<G::Out>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(self.operator::<C::Value, Values, N>(next), stage);
    }
}

impl<C, KS: Clone, G: Clone, A: Clone> Latest<C, KS, G, A> {
    fn operator<V, R, N>(&self, next: N) -> LatestOperator<V, KS, G, A, R, N> {
        let (spec, adding, beginning) = (self.spec.clone(), self.aggregation.clone(), self.aggregation.clone());
        LatestOperator { spec, adding, beginning, stream_time: StreamTime::new(), next, of: PhantomData }
    }
}

/// The aggregation as a table: the changes of its values come out.
#[derive(Clone)]
pub struct LatestChanges<C, KS, G, A>(pub(crate) Latest<C, KS, G, A>);

impl<C, KS, G> Chain for LatestChanges<C, KS, G, G::Kept>
where
    C: Chain<Key = KS::View>,
    KS: Serde,
    G: Aggregation<KS::View, C::Value>,
{
    type Key = KS::View;
    type Value = Owned<Change<G::Kept>>;

    fn build<N: Operator<KS::View, Owned<Change<G::Kept>>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.0.previous.build(self.0.operator::<C::Value, Changes, N>(next), stage);
    }
}

/// The records that come out when a kept value has changed.
trait Results<K: View, V: View, G: Aggregation<K, V>>: 'static {
    /// The value of such a record.
    type Out: 'static;

    /// Whether it has the former value in it.
    const NEEDS_OLD: bool;

    fn of(aggregation: &G, old: Option<G::Kept>, kept: &G::Kept) -> Self::Out;
}

/// The results of the aggregation.
struct Values;

impl<K: View, V: View, G: Aggregation<K, V>> Results<K, V, G> for Values {
    type Out = G::Out;

    const NEEDS_OLD: bool = false;

    #[inline]
    fn of(aggregation: &G, _old: Option<G::Kept>, kept: &G::Kept) -> G::Out {
        aggregation.show(kept, Clone::clone)
    }
}

/// The changes of a table.
struct Changes;

impl<K: View, V: View, G: Aggregation<K, V>> Results<K, V, G> for Changes {
    type Out = Change<G::Kept>;

    const NEEDS_OLD: bool = true;

    fn of(_aggregation: &G, old: Option<G::Kept>, kept: &G::Kept) -> Change<G::Kept> {
        Change { old, new: Some(kept.clone()) }
    }
}

/// The operator of the aggregation.
struct LatestOperator<V, KS, G, A, R, N> {
    spec: LatestSpec<KS, A>,
    /// The same aggregation twice, since both copies are in use at once.
    adding: G,
    beginning: G,
    /// The time of results that come out later than their records.
    stream_time: StreamTime,
    next: N,
    of: PhantomData<fn() -> (V, R)>,
}

impl<V, KS, G, R, N> LatestOperator<V, KS, G, G::Kept, R, N>
where
    V: View,
    KS: Serde,
    G: Aggregation<KS::View, V>,
    R: Results<KS::View, V, G>,
    N: Operator<KS::View, Owned<R::Out>>,
{
    fn emit(
        &mut self,
        (raw_key, old, kept): (&[u8], Option<&G::Kept>, &G::Kept),
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        if !context.begin_result(self.spec.store.id(), FOR_EVER, raw_key) {
            return Ok(());
        }
        let bad = |cause| ProcessError::BadChangelog { store: self.spec.name.clone(), cause: Some(cause) };
        let key = self.spec.key_serde.decode(raw_key).map_err(bad)?;
        let value = R::of(&self.adding, old.filter(|_| R::NEEDS_OLD).cloned(), kept);
        let known = Some(self.stream_time.get()).filter(|time| *time > NO_WATERMARK);
        let timestamp = known.unwrap_or_else(|| context.event_time());
        let (headers, raw_key) = (RawHeaders::EMPTY, Some(raw_key));
        self.next.push(Rec { key, value, timestamp, headers, raw_key }, context)
    }
}

impl<V, KS, G, R, N> Signals for LatestOperator<V, KS, G, G::Kept, R, N>
where
    V: View,
    KS: Serde,
    G: Aggregation<KS::View, V>,
    R: Results<KS::View, V, G>,
    N: Operator<KS::View, Owned<R::Out>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn looks_ahead(&mut self) -> bool {
        true
    }

    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        context.stores.get_mut(self.spec.store).expect(ahead.iter().map(|expected| expected.key));
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        // Results that come out after this must not be late for the steps behind.
        self.stream_time.observe(context.watermark);
        self.next.watermark(context)
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if let Some(intervals) = self.spec.intervals {
            for key in intervals.take_due(context)?.into_keys() {
                context.with_store(self.spec.store, |store, context| {
                    store.get(&key).map_or(Ok(()), |kept| self.emit((&key, None, kept), context))
                })?;
            }
        }
        self.next.tick(context)
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if self.spec.emit == Emit::OnUpdate {
            context.with_store(self.spec.store, |store, context| {
                store.changes().try_for_each(|change| self.emit(change, context))
            })?;
        }
        self.stream_time.before_commit(context);
        self.next.before_commit(context)
    }

    fn committed(&mut self, stores: &mut Stores) {
        self.stream_time.committed();
        self.next.committed(stores);
    }

    fn forget_calls(&mut self) {
        self.stream_time.rolled_back();
        self.next.forget_calls();
    }
}

impl<V, KS, G, R, N> Operator<KS::View, V> for LatestOperator<V, KS, G, G::Kept, R, N>
where
    V: View,
    KS: Serde,
    G: Aggregation<KS::View, V>,
    R: Results<KS::View, V, G>,
    N: Operator<KS::View, Owned<R::Out>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, KS::View, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let raw_key = record.raw_key.unwrap_or_default();
        self.stream_time.observe(record.timestamp);
        let Self { spec, adding, beginning, .. } = self;
        let store = context.stores.get_mut(spec.store);
        match spec.emit {
            Emit::EveryUpdate => {
                let old = if R::NEEDS_OLD { store.get(raw_key).cloned() } else { None };
                let value = store.update(
                    raw_key,
                    || beginning.init(),
                    |kept| {
                        adding.add(kept, &record);
                        R::of(adding, old, kept)
                    },
                );
                self.next.push(record.with_value(value), context)
            }
            Emit::OnClose | Emit::AtEnd | Emit::OnUpdate | Emit::Every(_) => {
                store.update(raw_key, || beginning.init(), |kept| adding.add(kept, &record));
                if let Some(intervals) = spec.intervals {
                    intervals.set(TimestampMs(0), raw_key, context);
                }
                Ok(())
            }
        }
    }
}
