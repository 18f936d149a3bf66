//! A user's own operator: with stores per key, timers, further outputs, and access to the task.
//!
//! Records of a key are processed in the order of their partition. A timer fires when its clock has come to it: by
//! event time once the watermark has reached it, before any step behind sees that watermark; by the time of day
//! within a tenth of a second. Timers that are due together fire in the order of their times, then of the bytes of
//! their keys. A crash undoes the stores, the timers and the output of the open transaction together; fields of the
//! [`Process`] itself are not undone.

use std::marker::PhantomData;

use kafka_wire::record::RawHeaders;
use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;

use super::side::SideOutlet;
use super::{Chain, Context, Expected, NodeId, Operator, Place, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::output::StoreId;
use crate::serde::{Serde, SerdeError};
use crate::state::{AHEAD, Clock, Handle, Stores, TimerStore};
use crate::types::{Owned, Reborrow, Rec, View, Window};
use crate::watermark::NO_WATERMARK;

/// A user's processing of the records of a stream, and of timers, key by key.
///
/// It is made by the closure of [`Stream::process`](crate::topology::Stream::process), which declares its stores and
/// further outputs, and holds the handles of them. There is one clone for each task; data that must survive a restart
/// belongs into stores, not into fields.
pub trait Process<K: View, V: View>: Clone + Send + Sync + 'static {
    /// The type of the output values.
    type Out: 'static;

    /// Processes one record.
    fn record(&mut self, record: &Rec<'_, K, V>, scope: &mut Scope<'_, K, Self::Out>);

    /// A timer that was set for this key is due.
    fn timer(&mut self, _key: &K::Ref<'_>, _clock: Clock, _at: TimestampMs, _scope: &mut Scope<'_, K, Self::Out>) {}
}

/// The environment of a [`Process`]: the key of the record or timer, and the task around it.
pub struct Scope<'s, K: View, O> {
    pub(super) key: &'s [u8],
    timestamp: TimestampMs,
    /// `None` in a step whose records have no keys.
    timers: Option<Handle<TimerStore>>,
    task: &'s mut dyn TaskSide<K, O>,
}

impl<K: View, O> Scope<'_, K, O> {
    /// Sets a timer for the key; setting it twice sets one. If its time has come already, it is due at once. In a step
    /// of a stream without keys it is a failure of the record, see [`Scope::fail`].
    pub fn set_timer(&mut self, clock: Clock, at: TimestampMs) {
        match self.timers {
            Some(timers) => self.task.stores().get_mut(timers).set(clock, at, self.key),
            None => self.fail("a timer is one of a key, and the stream has none"),
        }
    }

    /// Cancels a timer of the key. Returns whether it was set.
    pub fn cancel_timer(&mut self, clock: Clock, at: TimestampMs) -> bool {
        self.timers.is_some_and(|timers| self.task.stores().get_mut(timers).cancel(clock, at, self.key))
    }

    /// Puts out a value under the key, at the event time of the record or the time of the timer, with the headers of
    /// the record.
    pub fn emit(&mut self, value: O) {
        self.task.emit(value, self.timestamp);
    }

    /// Puts out a value under the key, at another event time. It moves no watermark.
    pub fn emit_at(&mut self, value: O, timestamp: TimestampMs) {
        self.task.emit(value, timestamp);
    }

    /// Reports that the record or timer cannot be processed: the job stops, or leaves it out with all of its
    /// effects, as [`Builder::on_error`](crate::topology::Builder::on_error) says for
    /// [`ErrorKind::Process`](crate::error::ErrorKind::Process). Return after it.
    pub fn fail(&mut self, message: impl Into<String>) {
        self.task.fail(message.into());
    }

    /// The event time of the record, or the time of the timer.
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

    /// The worker's clock, which does not jump as the time of day may.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.task.times().2
    }

    /// The topic, partition and offset of the record. In a timer, the topic is empty.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        self.task.place()
    }

    pub(super) fn stores(&mut self) -> &mut Stores {
        self.task.stores()
    }
}

/// The environment of a record, a timer or a rule, in which broadcast state can be read.
pub trait InTask {
    /// The stores of the task.
    fn stores(&mut self) -> &mut Stores;

    /// The format of a key cannot be had for now. That says nothing about the key: the worker starts over, without all
    /// that the code does after this.
    fn unavailable(&mut self, cause: SerdeError);

    /// Encodes a key; `None` for one that its serde cannot encode.
    fn encoded<S: Serde>(&mut self, serde: &S, key: &<S::View as View>::Ref<'_>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match serde.encode(key, &mut bytes) {
            Ok(()) => return Some(bytes),
            Err(cause @ SerdeError::Unavailable(_)) => self.unavailable(cause),
            Err(_) => {}
        }
        None
    }
}

impl<K: View, O> InTask for Scope<'_, K, O> {
    fn stores(&mut self) -> &mut Stores {
        Scope::stores(self)
    }

    fn unavailable(&mut self, cause: SerdeError) {
        self.task.stop(cause);
    }
}

/// A further output of a [`Process`], for values of type `T`. Its records have the key and the headers of the record.
pub struct Output<T> {
    /// Its index among the outputs of the step.
    pub(crate) index: usize,
    pub(crate) value: PhantomData<fn() -> T>,
}

// Derived implementations would require the same of `T`.
impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Output<T> {}

impl<T: 'static> Output<T> {
    /// Puts out a value, at the event time of the record or the time of the timer.
    pub fn emit<K: View, O>(self, scope: &mut Scope<'_, K, O>, value: T) {
        let (mut value, timestamp) = (Some(value), scope.timestamp);
        scope.task.push_into(self.index, &mut |outlet, record, context| {
            let value = value.take().expect("it is pushed once");
            outlet.push(Rec { timestamp, ..record.with_value::<Owned<T>>(value) }, context)
        });
    }
}

/// Pushes a record into a further output.
type PushInto<'p, K> = dyn FnMut(&SideOutlet, Rec<'_, K, ()>, &mut Context<'_>) -> Result<(), ProcessError> + 'p;

/// The rest of the task, as a [`Scope`] sees it, without the types of the chain.
trait TaskSide<K: View, O> {
    fn stores(&mut self) -> &mut Stores;
    fn emit(&mut self, value: O, timestamp: TimestampMs);
    fn push_into(&mut self, output: usize, push: &mut PushInto<'_, K>);
    fn fail(&mut self, message: String);
    fn stop(&mut self, cause: SerdeError);
    fn times(&self) -> (TimestampMs, TimestampMs, Moment);
    fn place(&self) -> Place<'_>;
}

struct Side<'s, 'c, 'k, K: View, N> {
    key: &'s K::Ref<'k>,
    raw_key: &'s [u8],
    headers: RawHeaders<'s>,
    step: &'s str,
    /// The event time at which the step works. Steps behind it may have other ones, so it is told to the stores again
    /// after each result.
    time: TimestampMs,
    outlets: &'s [SideOutlet],
    context: &'s mut Context<'c>,
    next: &'s mut N,
    result: Result<(), ProcessError>,
}

impl<K: View, N> Side<'_, '_, '_, K, N> {
    fn check_keys(&mut self) {
        check_keys(&mut self.result, self.context.stores, self.step);
    }

    /// Ends the code of the user's.
    fn end(mut self) -> Result<(), ProcessError> {
        self.check_keys();
        self.result
    }
}

/// Makes an error of a stored key that could not be decoded. The code of the user's has gone on without it, so that
/// nothing may come of that.
#[inline]
pub(super) fn check_keys(result: &mut Result<(), ProcessError>, stores: &mut Stores, step: &str) {
    if let Some(cause) = stores.take_undecodable()
        && result.is_ok()
    {
        *result = Err(ProcessError::BadChangelog { store: step.to_owned(), cause: Some(cause) });
    }
}

impl<K: Reborrow, O: 'static, N: Operator<K, Owned<O>>> TaskSide<K, O> for Side<'_, '_, '_, K, N> {
    fn stores(&mut self) -> &mut Stores {
        self.context.stores
    }

    fn emit(&mut self, value: O, timestamp: TimestampMs) {
        self.check_keys();
        if self.result.is_ok() {
            let (key, headers, raw_key) = (K::reborrow(self.key), self.headers, Some(self.raw_key));
            self.result = self.next.push(Rec { key, value, timestamp, headers, raw_key }, self.context);
            self.context.stores.set_time(self.time, self.context.wall);
        }
    }

    fn push_into(&mut self, output: usize, push: &mut PushInto<'_, K>) {
        self.check_keys();
        if self.result.is_ok() {
            let (key, headers, raw_key) = (K::reborrow(self.key), self.headers, Some(self.raw_key));
            let record = Rec { key, value: (), timestamp: TimestampMs(0), headers, raw_key };
            self.result = push(&self.outlets[output], record, self.context);
            self.context.stores.set_time(self.time, self.context.wall);
        }
    }

    fn fail(&mut self, message: String) {
        if self.result.is_ok() {
            let (origin, step) = (self.context.record(), self.step.to_owned());
            self.result = Err(ProcessError::Failed { origin, step, message });
        }
    }

    fn stop(&mut self, cause: SerdeError) {
        if self.result.is_ok() {
            self.result = Err(ProcessError::Encode { to: self.step.to_owned(), cause });
        }
    }

    fn times(&self) -> (TimestampMs, TimestampMs, Moment) {
        (self.context.watermark, self.context.wall, self.context.now)
    }

    fn place(&self) -> Place<'_> {
        self.context.place
    }
}

/// Code of the user's that runs in the scope of a key.
pub(super) type UnderKey<'r, K, O> = dyn FnMut(&<K as View>::Ref<'_>, &mut Scope<'_, K, O>) + 'r;

/// `process`, declared.
#[derive(Clone)]
pub struct Processing<C, KS, P> {
    pub(crate) previous: C,
    pub(crate) spec: ProcessSpec<KS>,
    pub(crate) process: P,
}

/// The parts of a `process` step besides the user's.
#[derive(Clone)]
pub struct ProcessSpec<KS> {
    pub(crate) name: String,
    /// `None` in a step whose records have no keys.
    pub(crate) timers: Option<Handle<TimerStore>>,
    pub(crate) key_serde: KS,
    /// The stores of one value a key.
    pub(crate) values: Vec<StoreId>,
    /// The streams of the further outputs.
    pub(crate) outputs: Vec<NodeId>,
}

impl<C, KS, P> Chain for Processing<C, KS, P>
where
    C: Chain<Key = KS::View>,
    KS: Serde<View: Reborrow>,
    P: Process<KS::View, C::Value>,
{
    type Key = KS::View;
    type Value = Owned<P::Out>;

    fn build<N: Operator<KS::View, Owned<P::Out>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let (around, process) = (Around::new(&self.spec, next, stage), self.process.clone());
        let operator = TimedOperator { around, code: OfRecords::<C::Value, P> { process, value: PhantomData } };
        self.previous.build::<TimedOperator<KS, OfRecords<C::Value, P>, N>>(operator, stage);
    }
}

/// The parts of a step with code of the user's that are not of its records.
pub(super) struct Around<KS, N> {
    spec: ProcessSpec<KS>,
    outlets: Vec<SideOutlet>,
    /// The key of the timer that fires; the buffer is reused for the next.
    due: Vec<u8>,
    pub(super) next: N,
}

impl<KS: Serde<View: Reborrow>, N: Signals> Around<KS, N> {
    pub(super) fn new(spec: &ProcessSpec<KS>, next: N, stage: &mut StageBuilder<'_>) -> Self {
        let outlets = spec.outputs.iter().map(|output| SideOutlet::new(*output, stage)).collect();
        Self { spec: spec.clone(), outlets, due: Vec::new(), next }
    }

    /// Calls `run` in the scope of a record.
    pub(super) fn at_record<V: View, O: 'static>(
        &mut self,
        record: &Rec<'_, KS::View, V>,
        context: &mut Context<'_>,
        run: impl FnOnce(&mut Scope<'_, KS::View, O>),
    ) -> Result<(), ProcessError>
    where
        N: Operator<KS::View, Owned<O>>,
    {
        let Self { spec, outlets, next, .. } = self;
        let raw_key = record.raw_key.unwrap_or_default();
        let (key, headers, timestamp, step) = (&record.key, record.headers, record.timestamp, spec.name.as_str());
        let (time, result) = (timestamp, Ok(()));
        let mut side = Side::<KS::View, N> { key, raw_key, headers, step, time, outlets, context, next, result };
        run(&mut Scope { key: raw_key, timestamp, timers: spec.timers, task: &mut side });
        side.end()
    }

    /// The name of the step.
    pub(super) fn step(&self) -> &str {
        &self.spec.name
    }

    /// Calls `run` in the scope of a key, at a time.
    pub(super) fn under<O: 'static>(
        &mut self,
        (raw_key, timestamp, headers): (&[u8], TimestampMs, RawHeaders<'_>),
        context: &mut Context<'_>,
        run: &mut UnderKey<'_, KS::View, O>,
    ) -> Result<(), ProcessError>
    where
        N: Operator<KS::View, Owned<O>>,
    {
        let Self { spec, outlets, next, .. } = self;
        let bad = |cause| ProcessError::BadChangelog { store: spec.name.clone(), cause: Some(cause) };
        let key = spec.key_serde.decode(raw_key).map_err(bad)?;
        let (step, time, result) = (spec.name.as_str(), timestamp, Ok(()));
        let mut side = Side::<KS::View, N> { key: &key, raw_key, headers, step, time, outlets, context, next, result };
        run(&key, &mut Scope { key: raw_key, timestamp, timers: spec.timers, task: &mut side });
        side.end()
    }

    /// Calls `run` for each timer of a clock that is due.
    pub(super) fn at_timers<O: 'static>(
        &mut self,
        (clock, up_to): (Clock, TimestampMs),
        context: &mut Context<'_>,
        mut run: impl FnMut(&<KS::View as View>::Ref<'_>, TimestampMs, &mut Scope<'_, KS::View, O>),
    ) -> Result<(), ProcessError>
    where
        N: Operator<KS::View, Owned<O>>,
    {
        let Self { spec, outlets, due, next } = self;
        let Some(timers) = spec.timers else { return Ok(()) };
        while let Some(at) = context.stores.get_mut(timers).pop_due_into(clock, up_to, due) {
            let span = Window { start: at.0, end: clock as i64 };
            if !context.begin_result(timers.id(), span, due) {
                continue;
            }
            let time = match clock {
                Clock::Event => at,
                // Stores keep theirs if none is known.
                Clock::Wall => context.known_time().unwrap_or(NO_WATERMARK),
            };
            context.stores.set_time(time, context.wall);
            let bad = |cause| ProcessError::BadChangelog { store: spec.name.clone(), cause: Some(cause) };
            let key = spec.key_serde.decode(due).map_err(bad)?;
            let (raw_key, headers, step, result) = (due.as_slice(), RawHeaders::EMPTY, spec.name.as_str(), Ok(()));
            context.stores.get_mut(timers).set_echoing(context.is_ending);
            let key_ref = &key;
            let mut side =
                Side::<KS::View, N> { key: key_ref, raw_key, headers, step, time, outlets, context, next, result };
            run(&key, at, &mut Scope { key: raw_key, timestamp: at, timers: spec.timers, task: &mut side });
            side.end()?;
            context.stores.get_mut(timers).set_echoing(false);
        }
        Ok(())
    }
}

/// Code of the user's that is called for timers; what else it is called for does not matter to its signals.
pub(super) trait OnTimer<K: View>: Send + 'static {
    /// The type of the output values.
    type Out: 'static;

    /// A timer that was set for this key is due.
    fn timer(&mut self, key: &K::Ref<'_>, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, K, Self::Out>);
}

/// A step with code of the user's and timers, built.
pub(super) struct TimedOperator<KS, P, N> {
    pub(super) around: Around<KS, N>,
    pub(super) code: P,
}

impl<KS, P, N> TimedOperator<KS, P, N>
where
    KS: Serde<View: Reborrow>,
    P: OnTimer<KS::View>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    fn fire(&mut self, clock: Clock, up_to: TimestampMs, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { around, code } = self;
        around.at_timers((clock, up_to), context, |key, at, scope| code.timer(key, clock, at, scope))
    }
}

impl<KS, P, N> Signals for TimedOperator<KS, P, N>
where
    KS: Serde<View: Reborrow>,
    P: OnTimer<KS::View>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.around.next)
    }

    fn looks_ahead(&mut self) -> bool {
        !self.around.spec.values.is_empty() || self.around.next.looks_ahead()
    }

    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        let mut keys: [&[u8]; AHEAD] = [&[]; AHEAD];
        let count = keys.iter_mut().zip(ahead).map(|(key, expected)| *key = expected.key).count();
        let stores = self.around.spec.values.iter().filter_map(|store| context.stores.get(*store));
        stores.for_each(|store| store.expect_restored(&keys[..count]));
        self.around.next.expect(ahead, context);
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.fire(Clock::Event, context.watermark, context)?;
        self.around.next.watermark(context)
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.fire(Clock::Wall, context.wall, context)?;
        self.around.next.tick(context)
    }
}

/// The code of a `process`.
struct OfRecords<V, P> {
    process: P,
    /// Signals have no record, so the type of the values that a process takes is stated here.
    value: PhantomData<fn() -> V>,
}

impl<K: View, V: View, P: Process<K, V>> OnTimer<K> for OfRecords<V, P> {
    type Out = P::Out;

    fn timer(&mut self, key: &K::Ref<'_>, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, K, P::Out>) {
        self.process.timer(key, clock, at, scope);
    }
}

impl<V, KS, P, N> Operator<KS::View, V> for TimedOperator<KS, OfRecords<V, P>, N>
where
    V: View,
    KS: Serde<View: Reborrow>,
    P: Process<KS::View, V>,
    N: Operator<KS::View, Owned<P::Out>>,
{
    fn push(&mut self, record: Rec<'_, KS::View, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { around, code } = self;
        around.at_record(&record, context, |scope| code.process.record(&record, scope))
    }
}
