//! The join of two streams by key within a span of event time.
//!
//! Each side keeps its records for as long as a record of the other side may still match them, in a store with
//! a changelog. A record is joined with the matching records that were kept, in the order of their times, and each pair
//! comes out once, when the later of the two is processed. The event time of the pair is the greater of the two.
//! A record without a partner comes out alone, with its own time, as soon as no partner can come any more, if the kind
//! of join says so for its side. A record behind the watermark is late, since its partners may be gone:
//! it is left out and counted. A crash undoes the kept records and the results of the open transaction together.

use std::collections::VecDeque;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::two_sided::{self, TwoSided};
use super::{Chain, Context, NodeId, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::{Serde, SerdeError};
use crate::state::{At, Handle, Item, TimedStore, Timing};
use crate::types::{Owned, Rec, Window};

/// A record that waits for partners.
#[derive(Clone, Debug)]
pub struct Waiting<A> {
    has_partner: bool,
    value: A,
}

/// The serde of a waiting record: a byte, then the value.
#[derive(Clone)]
pub(crate) struct WaitingSerde<S>(pub(crate) S);

impl<A: 'static, S: Serde<View = Owned<A>>> Serde for WaitingSerde<S> {
    type View = Owned<Waiting<A>>;

    fn decode(&self, bytes: &[u8]) -> Result<Waiting<A>, SerdeError> {
        let (flag, value) = bytes.split_first().ok_or(SerdeError::Length { expected: 1, actual: 0 })?;
        Ok(Waiting { has_partner: *flag != 0, value: self.0.decode(value)? })
    }

    fn encode(&self, value: &Waiting<A>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(value.has_partner));
        self.0.encode(&value.value, out)
    }
}

/// The rule of how long the records of a side wait.
pub struct Retention {
    /// The greatest distance of a later partner, in ms.
    pub(crate) ahead_ms: i64,
    /// Whether records without a partner come out.
    pub(crate) may_be_alone: bool,
}

impl Retention {
    /// Returns the watermark from which on no partner can come.
    fn end(&self, (time, _): At) -> i64 {
        time.saturating_add(self.ahead_ms).saturating_add(1)
    }
}

impl<A> Timing<Waiting<A>> for Retention {
    fn due(&self, items: &VecDeque<Item<Waiting<A>>>, _closed_up_to: TimestampMs) -> Option<i64> {
        items.front().map(|item| self.end(item.at))
    }

    fn last_due(&self, items: &VecDeque<Item<Waiting<A>>>, _closed_up_to: TimestampMs) -> Option<i64> {
        let last = items.iter().rfind(|item| self.may_be_alone && !item.value.has_partner);
        last.map(|item| self.end(item.at))
    }

    fn span(&self, item: &Item<Waiting<A>>) -> Window {
        Window { start: item.at.0, end: self.end(item.at) }
    }
}

/// The parts of a join, besides its closure.
#[derive(Clone)]
pub struct JoinSpec<KS, L, R> {
    pub(crate) name: String,
    pub(crate) key_serde: KS,
    pub(crate) left: Handle<TimedStore<Waiting<L>>>,
    pub(crate) right: Handle<TimedStore<Waiting<R>>>,
    /// A partner in the right stream may be that much earlier than the record of the left one, or that much later,
    /// in ms.
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    /// Whether records of a side come out alone if they have found no partner.
    pub(crate) left_alone: bool,
    pub(crate) right_alone: bool,
}

/// The declaration of a join of two streams.
#[derive(Clone)]
pub struct StreamJoin<C, D, KS, L, R, F> {
    pub(crate) left: C,
    pub(crate) right: D,
    pub(crate) spec: JoinSpec<KS, L, R>,
    pub(crate) join: F,
    pub(crate) node: NodeId,
}

impl<C, D, KS, L, R, B, F> Chain for StreamJoin<C, D, KS, L, R, F>
where
    KS: Serde,
    C: Chain<Key = KS::View, Value = Owned<L>>,
    D: Chain<Key = KS::View, Value = Owned<R>>,
    L: Clone + Send + 'static,
    R: Clone + Send + 'static,
    B: 'static,
    F: FnMut(Option<&L>, Option<&R>) -> B + Clone + Send + Sync + 'static,
{
    type Key = KS::View;
    type Value = Owned<B>;

    fn build<N: Operator<KS::View, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        stage.order_inputs();
        let (spec, join) = (self.spec.clone(), self.join.clone());
        let operator = JoinOperator::<KS, L, R, F, N> { spec, join, next };
        two_sided::build(self.node, operator, (&self.left, &self.right), stage);
    }
}

/// Values that a join can keep.
trait Keepable: Clone + Send + 'static {}

impl<A: Clone + Send + 'static> Keepable for A {}

/// The closure of a join: makes a value of a record of the left side, one of the right side, or both.
trait Joining<L, R>: FnMut(Option<&L>, Option<&R>) -> <Self as Joining<L, R>>::Pair + Send + 'static {
    /// The value.
    type Pair: 'static;
}

impl<L, R, B: 'static, F: FnMut(Option<&L>, Option<&R>) -> B + Send + 'static> Joining<L, R> for F {
    type Pair = B;
}

/// The operator of a join, which stands beside the chains of both sides.
struct JoinOperator<KS, L, R, F, N> {
    spec: JoinSpec<KS, L, R>,
    join: F,
    next: N,
}

/// One side of a join, with what is needed of the other one.
struct Side<A, P> {
    own: Handle<TimedStore<Waiting<A>>>,
    partners: Handle<TimedStore<Waiting<P>>>,
    /// Partners may be that much earlier, or that much later, in ms.
    before_ms: i64,
    after_ms: i64,
    partner_alone: bool,
}

impl<KS, L, R, F, N> TwoSided for JoinOperator<KS, L, R, F, N>
where
    KS: Serde,
    L: Keepable,
    R: Keepable,
    F: Joining<L, R>,
    N: Operator<KS::View, Owned<F::Pair>>,
{
    type LeftKey = KS::View;
    type Left = Owned<L>;
    type RightKey = KS::View;
    type Right = Owned<R>;

    fn left(&mut self, record: Rec<'_, KS::View, Owned<L>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { spec, join, next } = self;
        let (own, partners, partner_alone) = (spec.left, spec.right, spec.right_alone);
        let side = Side { own, partners, before_ms: spec.before_ms, after_ms: spec.after_ms, partner_alone };
        side.take(record, &spec.name, &spec.key_serde, next, context, &mut |own, partner| {
            join(Some(own), Some(partner))
        })
    }

    fn right(&mut self, record: Rec<'_, KS::View, Owned<R>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { spec, join, next } = self;
        let (own, partners, partner_alone) = (spec.right, spec.left, spec.left_alone);
        let side = Side { own, partners, before_ms: spec.after_ms, after_ms: spec.before_ms, partner_alone };
        side.take(record, &spec.name, &spec.key_serde, next, context, &mut |own, partner| {
            join(Some(partner), Some(own))
        })
    }
}

/// Joins a record of a side with a partner.
type Pair<'p, A, P, B> = dyn FnMut(&A, &P) -> B + 'p;

impl<A: Keepable, P: Keepable> Side<A, P> {
    /// Joins a record with the partners that wait, and keeps it for later ones.
    fn take<KS: Serde, B: 'static, N: Operator<KS::View, Owned<B>>>(
        &self,
        record: Rec<'_, KS::View, Owned<A>>,
        name: &str,
        key_serde: &KS,
        next: &mut N,
        context: &mut Context<'_>,
        pair: &mut Pair<'_, A, P, B>,
    ) -> Result<(), ProcessError> {
        let (time, raw_key) = (record.timestamp.0, record.raw_key.unwrap_or_default());
        if time < 0 {
            return context.leave_out_untimed(record.timestamp);
        }
        let closed_up_to = context.stores.get_mut(self.own).closed_up_to();
        if time < closed_up_to.0 {
            context.counters.count_late(record.timestamp, closed_up_to);
            return Ok(());
        }
        let mut has_partner = false;
        context.with_store(self.partners, |partners, context| {
            let Some(slot) = partners.slot(raw_key) else { return Ok(()) };
            let (first, last) = (time.saturating_sub(self.before_ms), time.saturating_add(self.after_ms));
            let items = partners.items(slot);
            let begin = items.partition_point(|item| item.at.0 < first);
            let found: Vec<At> = items.range(begin..).map(|item| item.at).take_while(|at| at.0 <= last).collect();
            for (place, at) in (begin..).zip(found) {
                has_partner = true;
                let partner = &partners.items(slot)[place].value;
                let (value, is_first) = (pair(&record.value, &partner.value), !partner.has_partner);
                let key = key_serde.decode(raw_key).map_err(|cause| bad(name, cause))?;
                let (timestamp, headers) = (TimestampMs(time.max(at.0)), record.headers);
                next.push(Rec { key, value, timestamp, headers, raw_key: Some(raw_key) }, context)?;
                if is_first && self.partner_alone {
                    let is_there = || unreachable!("it was found");
                    partners.update(slot, at, is_there, |partner| partner.has_partner = true);
                }
            }
            Ok(())
        })?;
        let own = context.stores.get_mut(self.own);
        let slot = own.slot_for(raw_key);
        own.add(slot, time, Waiting { has_partner, value: record.value });
        Ok(())
    }
}

fn bad(name: &str, cause: SerdeError) -> ProcessError {
    ProcessError::BadChangelog { store: name.to_owned(), cause: Some(cause) }
}

/// Removes the records of a side for which no partner can come any more, and hands those that had none to `alone`,
/// if the side may be alone.
fn expire<A: Keepable>(
    store: Handle<TimedStore<Waiting<A>>>,
    context: &mut Context<'_>,
    mut alone: impl FnMut(&[u8], TimestampMs, &A, &mut Context<'_>) -> Result<(), ProcessError>,
) -> Result<(), ProcessError> {
    let watermark = context.watermark;
    context.with_store(store, |waiting, context| {
        while let Some((due, slot)) = waiting.pop_due(watermark) {
            if let Some(item) = waiting.items(slot).front() {
                let at = item.at;
                let (key, span) = (waiting.key(slot), Window { start: at.0, end: i64::from(at.1) });
                if !item.value.has_partner && context.begin_result(store.id(), span, key) {
                    alone(key, TimestampMs(at.0), &item.value.value, context)?;
                }
                waiting.remove(slot, at);
            }
            waiting.done(slot, due);
        }
        waiting.close_up_to(watermark);
        Ok(())
    })
}

impl<KS, L, R, F, N> Signals for JoinOperator<KS, L, R, F, N>
where
    KS: Serde,
    L: Keepable,
    R: Keepable,
    F: Joining<L, R>,
    N: Operator<KS::View, Owned<F::Pair>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { spec, join, next } = self;
        let mut emit = |raw_key: &[u8], timestamp, value, context: &mut Context<'_>| {
            let key = spec.key_serde.decode(raw_key).map_err(|cause| bad(&spec.name, cause))?;
            let (headers, raw_key) = (RawHeaders::EMPTY, Some(raw_key));
            next.push(Rec { key, value, timestamp, headers, raw_key }, context)
        };
        expire(spec.left, context, |key, at, left, context| match spec.left_alone {
            true => emit(key, at, join(Some(left), None), context),
            false => Ok(()),
        })?;
        expire(spec.right, context, |key, at, right, context| match spec.right_alone {
            true => emit(key, at, join(None, Some(right)), context),
            false => Ok(()),
        })?;
        self.next.watermark(context)
    }
}
