//! A user's own operator: with state per key, timers, and access to the task.

use kafka_wire::record::RawHeaders;
use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;

use super::{Chain, Context, Operator, Place, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Clock, Handle, KeyValueStore, Stores, TimerStore};
use crate::types::{Owned, Reborrow, Rec, View, Window};

/// A user's processing of the records of a stream, and of timers, key by key. There is one clone for each task;
/// data that must survive a restart belongs into [`Scope::state`], not into fields.
pub trait Process<K: View, V: View>: Clone + Send + Sync + 'static {
    /// The state of each key.
    type State: Clone + Send + 'static;
    /// The type of the output values.
    type Out: 'static;

    /// Processes one record.
    fn record(&mut self, record: &Rec<'_, K, V>, scope: &mut Scope<'_, Self::State, Self::Out>);

    /// A timer that was set for this key is due.
    fn timer(
        &mut self,
        _key: &K::Ref<'_>,
        _clock: Clock,
        _at: TimestampMs,
        _scope: &mut Scope<'_, Self::State, Self::Out>,
    ) {
    }
}

/// The environment of a [`Process`]: the key of the record or timer, and the task around it.
pub struct Scope<'s, S, O> {
    key: &'s [u8],
    timestamp: TimestampMs,
    state: Handle<KeyValueStore<S>>,
    timers: Handle<TimerStore>,
    task: &'s mut dyn TaskSide<O>,
}

impl<S: Clone + Send + 'static, O> Scope<'_, S, O> {
    /// The state of the key.
    pub fn state(&mut self) -> Option<&S> {
        let store = self.task.stores().get_mut(self.state);
        store.get(self.key)
    }

    /// Changes the state of the key, made by `init` if there is none.
    pub fn update<R>(&mut self, init: impl FnOnce() -> S, change: impl FnOnce(&mut S) -> R) -> R {
        self.task.stores().get_mut(self.state).update(self.key, init, change)
    }

    /// Removes the state of the key.
    pub fn clear(&mut self) {
        self.task.stores().get_mut(self.state).remove(self.key);
    }

    /// Sets a timer for the key. If its time has come already, it is due at once.
    pub fn set_timer(&mut self, clock: Clock, at: TimestampMs) {
        self.task.stores().get_mut(self.timers).set(clock, at, self.key);
    }

    /// Cancels a timer of the key. Returns whether it was set.
    pub fn cancel_timer(&mut self, clock: Clock, at: TimestampMs) -> bool {
        self.task.stores().get_mut(self.timers).cancel(clock, at, self.key)
    }

    /// Puts out a value under the key, at the event time of the record or the time of the timer.
    pub fn emit(&mut self, value: O) {
        self.task.emit(value, self.timestamp);
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

    /// The worker's clock, which does not jump as the time of day may.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.task.times().2
    }

    /// The place of the record. In a timer, that of the record before it, or none.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        self.task.place()
    }
}

/// The rest of the task, as a [`Scope`] sees it, without the types of the chain.
trait TaskSide<O> {
    fn stores(&mut self) -> &mut Stores;
    fn emit(&mut self, value: O, timestamp: TimestampMs);
    fn times(&self) -> (TimestampMs, TimestampMs, Moment);
    fn place(&self) -> Place<'_>;
}

struct Side<'s, 'c, 'k, K: View, N> {
    key: &'s K::Ref<'k>,
    raw_key: &'s [u8],
    headers: RawHeaders<'s>,
    context: &'s mut Context<'c>,
    next: &'s mut N,
    result: Result<(), ProcessError>,
}

impl<K: Reborrow, O: 'static, N: Operator<K, Owned<O>>> TaskSide<O> for Side<'_, '_, '_, K, N> {
    fn stores(&mut self) -> &mut Stores {
        self.context.stores
    }

    fn emit(&mut self, value: O, timestamp: TimestampMs) {
        if self.result.is_ok() {
            let (key, headers, raw_key) = (K::reborrow(self.key), self.headers, Some(self.raw_key));
            self.result = self.next.push(Rec { key, value, timestamp, headers, raw_key }, self.context);
        }
    }

    fn times(&self) -> (TimestampMs, TimestampMs, Moment) {
        (self.context.watermark, self.context.wall, self.context.now)
    }

    fn place(&self) -> Place<'_> {
        self.context.place
    }
}

/// `process`, declared.
#[derive(Clone)]
pub struct Processing<C, KS, P, S> {
    pub(crate) previous: C,
    pub(crate) spec: ProcessSpec<KS, S>,
    pub(crate) process: P,
}

/// The names of a `process` step.
#[derive(Clone)]
pub struct ProcessSpec<KS, S> {
    pub(crate) name: String,
    pub(crate) state: Handle<KeyValueStore<S>>,
    pub(crate) timers: Handle<TimerStore>,
    pub(crate) key_serde: KS,
}

impl<C, KS, P> Chain for Processing<C, KS, P, P::State>
where
    C: Chain<Key = KS::View>,
    KS: Serde<View: Reborrow>,
    P: Process<KS::View, C::Value>,
{
    type Key = KS::View;
    type Value = Owned<P::Out>;

    fn build<N: Operator<KS::View, Owned<P::Out>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let operator = ProcessOperator { spec: self.spec.clone(), process: self.process.clone(), next };
        self.previous.build(Typed { operator, value: std::marker::PhantomData }, stage);
    }
}

/// `process`, built.
pub struct ProcessOperator<KS, P, S, N> {
    spec: ProcessSpec<KS, S>,
    process: P,
    next: N,
}

/// Signals have no record, so the type of the values that a process takes is stated here.
struct Typed<V, T> {
    operator: T,
    value: std::marker::PhantomData<fn() -> V>,
}

impl<V, KS, P, N> Typed<V, ProcessOperator<KS, P, P::State, N>>
where
    V: View,
    KS: Serde<View: Reborrow>,
    P: Process<KS::View, V>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    fn fire(&mut self, clock: Clock, up_to: TimestampMs, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let ProcessOperator { spec, process, next } = &mut self.operator;
        while let Some(timer) = context.stores.get_mut(spec.timers).pop_due(clock, up_to) {
            let span = Window { start: timer.at.0, end: clock as i64 };
            if !context.begin_result(spec.timers.id(), span, &timer.key) {
                continue;
            }
            let bad = |cause| ProcessError::BadChangelog { store: spec.name.clone(), cause: Some(cause) };
            let key = spec.key_serde.decode(&timer.key).map_err(bad)?;
            let (raw_key, headers) = (timer.key.as_slice(), RawHeaders::EMPTY);
            let mut side = Side::<KS::View, N> { key: &key, raw_key, headers, context, next, result: Ok(()) };
            let (state, timers, timestamp) = (spec.state, spec.timers, timer.at);
            let mut scope = Scope { key: raw_key, timestamp, state, timers, task: &mut side };
            process.timer(&key, clock, timer.at, &mut scope);
            side.result?;
        }
        Ok(())
    }
}

impl<V, KS, P, N> Signals for Typed<V, ProcessOperator<KS, P, P::State, N>>
where
    V: View,
    KS: Serde<View: Reborrow>,
    P: Process<KS::View, V>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.operator.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.fire(Clock::Event, context.watermark, context)?;
        self.operator.next.watermark(context)
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.fire(Clock::Wall, context.wall, context)?;
        self.operator.next.tick(context)
    }
}

impl<V, KS, P, N> Operator<KS::View, V> for Typed<V, ProcessOperator<KS, P, P::State, N>>
where
    V: View,
    KS: Serde<View: Reborrow>,
    P: Process<KS::View, V>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    fn push(&mut self, record: Rec<'_, KS::View, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let ProcessOperator { spec, process, next } = &mut self.operator;
        let raw_key = record.raw_key.unwrap_or_default();
        let (key, headers) = (&record.key, record.headers);
        let mut side = Side::<KS::View, N> { key, raw_key, headers, context, next, result: Ok(()) };
        let (state, timers, timestamp) = (spec.state, spec.timers, record.timestamp);
        process.record(&record, &mut Scope { key: raw_key, timestamp, state, timers, task: &mut side });
        side.result
    }
}
