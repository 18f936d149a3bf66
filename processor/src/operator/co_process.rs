//! A user's own operator for two streams with keys of one kind, which share stores and timers.
//!
//! Everything that [`process`](super::process) says holds here too. A task takes the records of both streams in the
//! order of their event time, as far as they are in the topics; of equal times, the stream that is declared first
//! comes first.

use std::marker::PhantomData;

use kafka_wire::types::TimestampMs;

use super::process::{Around, OnTimer, ProcessSpec, Scope, TimedOperator};
use super::two_sided::{self, TwoSided};
use super::{Chain, Context, NodeId, Operator, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::Clock;
use crate::types::{Owned, Reborrow, Rec, View};

/// A user's processing of the records of two streams, and of timers, key by key.
///
/// It is made by the closure of [`Connected::process`](crate::topology::Connected::process), which declares its stores
/// and further outputs. There is one clone for each task; data that must survive a restart belongs into stores.
pub trait CoProcess<K: View, L: View, R: View>: Clone + Send + Sync + 'static {
    /// The type of the output values.
    type Out: 'static;

    /// Processes one record of the stream that was connected.
    fn left(&mut self, record: &Rec<'_, K, L>, scope: &mut Scope<'_, K, Self::Out>);

    /// Processes one record of the stream that it was connected with.
    fn right(&mut self, record: &Rec<'_, K, R>, scope: &mut Scope<'_, K, Self::Out>);

    /// A timer that was set for this key is due.
    fn timer(&mut self, _key: &K::Ref<'_>, _clock: Clock, _at: TimestampMs, _scope: &mut Scope<'_, K, Self::Out>) {}
}

/// `process` of two streams, declared.
#[derive(Clone)]
pub struct CoProcessing<C, D, KS, P> {
    pub(crate) left: C,
    pub(crate) right: D,
    pub(crate) spec: ProcessSpec<KS>,
    pub(crate) process: P,
    pub(crate) node: NodeId,
}

impl<C, D, KS, P> Chain for CoProcessing<C, D, KS, P>
where
    C: Chain<Key = KS::View>,
    D: Chain<Key = KS::View>,
    KS: Serde<View: Reborrow>,
    P: CoProcess<KS::View, C::Value, D::Value>,
{
    type Key = KS::View;
    type Value = Owned<P::Out>;

    fn build<N: Operator<KS::View, Owned<P::Out>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        stage.order_inputs();
        let (around, process) = (Around::new(&self.spec, next, stage), self.process.clone());
        let code = OfTwo::<C::Value, D::Value, P> { process, values: PhantomData };
        let operator = TimedOperator { around, code };
        two_sided::build(self.node, operator, (&self.left, &self.right), stage);
    }
}

/// The code of a `process` of two streams.
struct OfTwo<L, R, P> {
    process: P,
    values: PhantomData<fn() -> (L, R)>,
}

impl<K: View, L: View, R: View, P: CoProcess<K, L, R>> OnTimer<K> for OfTwo<L, R, P> {
    type Out = P::Out;

    fn timer(&mut self, key: &K::Ref<'_>, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, K, P::Out>) {
        self.process.timer(key, clock, at, scope);
    }
}

impl<L, R, KS, P, N> TwoSided for TimedOperator<KS, OfTwo<L, R, P>, N>
where
    L: View,
    R: View,
    KS: Serde<View: Reborrow>,
    P: CoProcess<KS::View, L, R>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    type LeftKey = KS::View;
    type Left = L;
    type RightKey = KS::View;
    type Right = R;

    fn left(&mut self, record: Rec<'_, KS::View, L>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { around, code } = self;
        around.at_record(&record, context, |scope| code.process.left(&record, scope))
    }

    fn right(&mut self, record: Rec<'_, KS::View, R>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { around, code } = self;
        around.at_record(&record, context, |scope| code.process.right(&record, scope))
    }
}
