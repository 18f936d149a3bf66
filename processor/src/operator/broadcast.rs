//! A user's own operator for a stream and a stream of rules, of which every task gets every record.
//!
//! Everything that [`process`](super::process) says holds here too. Rules come through a topic of the job's own, in
//! whose partitions each of them is written once: a task reads them like any other input, so what it does with one is
//! in the same transaction as the position behind it. Each task takes each rule once, whatever crashes, and tasks take
//! it at different moments. A task takes rules and records in the order of their event time, as far as they are in the
//! topics. Rules of one partition of their topic keep their order; rules of several have one that may differ between
//! tasks.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::keyed_state::{ListState, MapState, TimelineState, ValueState, with_keys};
use super::process::{Around, InTask, OnTimer, ProcessSpec, Scope, TimedOperator, UnderKey, check_keys};
use super::two_sided::{self, TwoSided};
use super::{Chain, Context, NodeId, Operator, Place, StageBuilder};
use crate::error::ProcessError;
use crate::serde::{Serde, SerdeError};
use crate::state::{Clock, Handle, SortedStore, Stores};
use crate::types::{Owned, Reborrow, Rec, View};

/// A user's processing of the records of a stream, of timers, and of rules that every task gets.
///
/// It is made by the closure of [`Ruled::process`](crate::topology::Ruled::process), which declares its stores, among
/// them those that rules change ([`Declare::broadcast`](crate::topology::Declare::broadcast)), and further outputs.
/// There is one clone for each task; data that must survive a restart belongs into stores.
pub trait BroadcastProcess<K: View, V: View, RK: View, R: View>: Clone + Send + Sync + 'static {
    /// The type of the output values.
    type Out: 'static;

    /// Processes one record. The broadcast state can be read.
    fn record(&mut self, record: &Rec<'_, K, V>, scope: &mut Scope<'_, K, Self::Out>);

    /// Processes one rule. The broadcast state can be changed, and the state of every key that the task has.
    fn rule(&mut self, rule: &Rec<'_, RK, R>, scope: &mut RuleScope<'_, K, Self::Out>);

    /// A timer that was set for this key is due.
    fn timer(&mut self, _key: &K::Ref<'_>, _clock: Clock, _at: TimestampMs, _scope: &mut Scope<'_, K, Self::Out>) {}
}

/// The environment of [`BroadcastProcess::rule`]: the task, without a key.
pub struct RuleScope<'s, K: View, O> {
    timestamp: TimestampMs,
    task: &'s mut dyn RuleSide<K, O>,
}

impl<K: View, O> RuleScope<'_, K, O> {
    /// Calls `visit` for each key for which `state` holds something in this task, in the order of the keys' bytes.
    /// In its scope the stores of the step are those of the key: it may change them, set timers and put out values.
    ///
    /// All tasks together visit all keys, each once. The keys are copied first, so they take memory for that time.
    pub fn each_key(&mut self, state: &impl KeyedState, mut visit: impl FnMut(&K::Ref<'_>, &mut Scope<'_, K, O>)) {
        let keys = state.keys(self.task.stores());
        keys.iter().for_each(|key| self.task.under(key, self.timestamp, &mut visit));
    }

    /// Reports that the rule cannot be processed; as [`Scope::fail`].
    pub fn fail(&mut self, message: impl Into<String>) {
        self.task.fail(message.into());
    }

    /// The event time of the rule.
    #[must_use]
    pub const fn timestamp(&self) -> TimestampMs {
        self.timestamp
    }

    /// The watermark of the task.
    #[must_use]
    pub fn watermark(&self) -> TimestampMs {
        self.task.times().0
    }

    /// The time of day, as of the batch; virtual in tests.
    #[must_use]
    pub fn wall(&self) -> TimestampMs {
        self.task.times().1
    }

    /// The place of the rule in the job's own topic, whose partition is the task's.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        self.task.place()
    }
}

/// The rest of the task, as a [`RuleScope`] sees it, without the types of the chain.
trait RuleSide<K: View, O> {
    fn stores(&mut self) -> &mut Stores;
    fn under(&mut self, key: &[u8], timestamp: TimestampMs, run: &mut UnderKey<'_, K, O>);
    fn fail(&mut self, message: String);
    fn stop(&mut self, cause: SerdeError);
    fn times(&self) -> (TimestampMs, TimestampMs);
    fn place(&self) -> Place<'_>;
}

struct OfRule<'s, 'c, KS, N> {
    around: &'s mut Around<KS, N>,
    headers: RawHeaders<'s>,
    context: &'s mut Context<'c>,
    result: Result<(), ProcessError>,
}

impl<KS, O, N> RuleSide<KS::View, O> for OfRule<'_, '_, KS, N>
where
    KS: Serde<View: Reborrow>,
    O: 'static,
    N: Operator<KS::View, Owned<O>>,
{
    fn stores(&mut self) -> &mut Stores {
        self.context.stores
    }

    fn under(&mut self, key: &[u8], timestamp: TimestampMs, run: &mut UnderKey<'_, KS::View, O>) {
        check_keys(&mut self.result, self.context.stores, self.around.step());
        if self.result.is_ok() {
            self.result = self.around.under((key, timestamp, self.headers), self.context, run);
        }
    }

    fn fail(&mut self, message: String) {
        if self.result.is_ok() {
            let (origin, step) = (self.context.record(), self.around.step().to_owned());
            self.result = Err(ProcessError::Failed { origin, step, message });
        }
    }

    fn stop(&mut self, cause: SerdeError) {
        if self.result.is_ok() {
            self.result = Err(ProcessError::Encode { to: self.around.step().to_owned(), cause });
        }
    }

    fn times(&self) -> (TimestampMs, TimestampMs) {
        (self.context.watermark, self.context.wall)
    }

    fn place(&self) -> Place<'_> {
        self.context.place
    }
}

/// A store that holds something for keys: those of a `process` step.
pub trait KeyedState {
    /// The keys for which it holds something, encoded.
    fn keys(&self, stores: &mut Stores) -> BTreeSet<Vec<u8>>;
}

impl<A: Clone + Send + 'static> KeyedState for ValueState<A> {
    fn keys(&self, stores: &mut Stores) -> BTreeSet<Vec<u8>> {
        stores.get_mut(self.store).iter().map(|(key, _)| key.to_vec()).collect()
    }
}

impl<A: Clone + Send + 'static> KeyedState for ListState<A> {
    fn keys(&self, stores: &mut Stores) -> BTreeSet<Vec<u8>> {
        groups(stores, self.store)
    }
}

impl<MS, A: Clone + Send + 'static> KeyedState for MapState<MS, A> {
    fn keys(&self, stores: &mut Stores) -> BTreeSet<Vec<u8>> {
        groups(stores, self.store)
    }
}

impl<A: Clone + Send + 'static> KeyedState for TimelineState<A> {
    fn keys(&self, stores: &mut Stores) -> BTreeSet<Vec<u8>> {
        groups(stores, self.store)
    }
}

fn groups<A: Clone + Send + 'static>(stores: &mut Stores, store: Handle<SortedStore<A>>) -> BTreeSet<Vec<u8>> {
    stores.get_mut(store).groups().map(<[u8]>::to_vec).collect()
}

/// The state that rules change and records read: values by a key of the rule, the same in every task that has taken
/// the same rules. Each task has its own copy, in a store with a changelog.
pub struct BroadcastState<MS, A> {
    pub(crate) store: Handle<SortedStore<A>>,
    pub(crate) keys: MS,
}

// A derived implementation would require the same of `A`.
impl<MS: Clone, A> Clone for BroadcastState<MS, A> {
    fn clone(&self) -> Self {
        Self { store: self.store, keys: self.keys.clone() }
    }
}

impl<MS: Serde, A: Clone + Send + 'static> BroadcastState<MS, A> {
    /// The value under a key of a rule; `None` also for one that its serde cannot encode.
    pub fn get<'s>(&self, scope: &'s mut impl InTask, key: &<MS::View as View>::Ref<'_>) -> Option<&'s A> {
        let place = scope.encoded(&self.keys, key)?;
        scope.stores().get_mut(self.store).get(ALL_KEYS, &place)
    }

    /// All values with their keys, in the order of the bytes of those.
    pub fn iter<'s>(
        &'s self,
        scope: &'s mut impl InTask,
    ) -> impl DoubleEndedIterator<Item = (<MS::View as View>::Ref<'s>, &'s A)> {
        let (store, undecodable) = scope.stores().get_noting(self.store);
        with_keys(&self.keys, store.group(ALL_KEYS), undecodable)
    }

    /// Sets the value under a key. One that its serde cannot encode is a failure of the rule, see [`RuleScope::fail`].
    pub fn put<K: View, O>(&self, scope: &mut RuleScope<'_, K, O>, key: &<MS::View as View>::Ref<'_>, value: A) {
        match scope.encoded(&self.keys, key) {
            Some(place) => scope.task.stores().get_mut(self.store).put(ALL_KEYS, &place, value),
            None => scope.fail(format!("a key of {:?} cannot be encoded", self.store)),
        }
    }

    /// Removes and returns the value under a key.
    pub fn remove<K: View, O>(&self, scope: &mut RuleScope<'_, K, O>, key: &<MS::View as View>::Ref<'_>) -> Option<A> {
        let place = scope.encoded(&self.keys, key)?;
        scope.task.stores().get_mut(self.store).remove(ALL_KEYS, &place)
    }
}

/// The group of the store that holds the values of broadcast state, which are of no key.
const ALL_KEYS: &[u8] = &[];

impl<K: View, O> InTask for RuleScope<'_, K, O> {
    fn stores(&mut self) -> &mut Stores {
        self.task.stores()
    }

    fn unavailable(&mut self, cause: SerdeError) {
        self.task.stop(cause);
    }
}

/// `process` of a stream and of rules, declared.
#[derive(Clone)]
pub struct BroadcastProcessing<C, D, KS, P> {
    pub(crate) records: C,
    pub(crate) rules: D,
    pub(crate) spec: ProcessSpec<KS>,
    pub(crate) process: P,
    pub(crate) node: NodeId,
}

impl<C, D, KS, P> Chain for BroadcastProcessing<C, D, KS, P>
where
    C: Chain<Key = KS::View>,
    D: Chain,
    KS: Serde<View: Reborrow>,
    P: BroadcastProcess<KS::View, C::Value, D::Key, D::Value>,
{
    type Key = KS::View;
    type Value = Owned<P::Out>;

    fn build<N: Operator<KS::View, Owned<P::Out>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        stage.order_inputs();
        let (around, process) = (Around::new(&self.spec, next, stage), self.process.clone());
        let code = OfRuled::<C::Value, D, P> { process, values: PhantomData };
        let operator = TimedOperator { around, code };
        two_sided::build(self.node, operator, (&self.records, &self.rules), stage);
    }
}

/// The code of a `process` of a stream and of rules. `D` is the chain of the rules.
struct OfRuled<V, D, P> {
    process: P,
    values: PhantomData<fn() -> (V, D)>,
}

impl<K: View, V: View, D: Chain, P: BroadcastProcess<K, V, D::Key, D::Value>> OnTimer<K> for OfRuled<V, D, P> {
    type Out = P::Out;

    fn timer(&mut self, key: &K::Ref<'_>, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, K, P::Out>) {
        self.process.timer(key, clock, at, scope);
    }
}

impl<V, D, KS, P, N> TwoSided for TimedOperator<KS, OfRuled<V, D, P>, N>
where
    V: View,
    D: Chain,
    KS: Serde<View: Reborrow>,
    P: BroadcastProcess<KS::View, V, D::Key, D::Value>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    type LeftKey = KS::View;
    type Left = V;
    type RightKey = D::Key;
    type Right = D::Value;

    fn left(&mut self, record: Rec<'_, KS::View, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { around, code } = self;
        around.at_record(&record, context, |scope| code.process.record(&record, scope))
    }

    fn right(&mut self, rule: Rec<'_, D::Key, D::Value>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { around, code } = self;
        let mut side = OfRule { around, headers: rule.headers, context, result: Ok(()) };
        code.process.rule(&rule, &mut RuleScope { timestamp: rule.timestamp, task: &mut side });
        let mut result = side.result;
        check_keys(&mut result, context.stores, around.step());
        result
    }
}
