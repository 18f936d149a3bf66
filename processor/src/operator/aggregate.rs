//! Windowed aggregation: one value per key and window, in a store with a changelog.
//!
//! Records of a key are gathered in the order in which they come. The results of a window come out in the order in
//! which its keys first came, and windows in the order of their ends. A record whose windows are all closed is late:
//! it is counted, and handed to the stream of late records if there is one. A crash undoes the changes and the results
//! of the open transaction together.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_wire::record::RawHeaders;
use kafka_wire::types::TimestampMs;

use super::aggregation::Aggregation;
use super::emit::{Emit, Intervals};
use super::side::SideOutlet;
use super::step::{catch, panicked_in};
use super::stream_time::StreamTime;
use super::trigger::{Connected, Due, Occurrence, TriggerResult};
use super::windowing::{Gathering, Windowing};
use super::{Chain, Context, Expected, NodeId, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{AHEAD, Clock, Handle, Stores};
use crate::types::{InWindow, Rec, View, Window};

/// The declaration of an aggregation in windows, after the chain `C`.
pub struct WindowAggregate<C, W: Windowing, KS, G, A: Clone + Send + 'static> {
    pub(crate) previous: C,
    pub(crate) spec: AggregateSpec<W, KS, A>,
    pub(crate) aggregation: G,
}

/// The parts of an aggregation, besides how it gathers.
pub struct AggregateSpec<W: Windowing, KS, A: Clone + Send + 'static> {
    pub(crate) name: String,
    pub(crate) store: Handle<W::Store<A>>,
    pub(crate) windows: W,
    pub(crate) key_serde: KS,
    pub(crate) emit: Emit,
    pub(crate) intervals: Option<Intervals>,
    /// The rule of the user, if there is one: `emit` is [`Emit::AtEnd`] without timers then, which puts nothing out.
    pub(crate) trigger: Option<Arc<dyn Connected>>,
    /// The stream of late records.
    pub(crate) late: NodeId,
    /// The stream of the results of windows that close.
    pub(crate) finals: NodeId,
}

// Written by hand, since a derived implementation would require `Clone` of the store.
impl<C: Clone, W: Windowing, KS: Clone, G: Clone, A: Clone + Send + 'static> Clone for WindowAggregate<C, W, KS, G, A> {
    fn clone(&self) -> Self {
        Self { previous: self.previous.clone(), spec: self.spec.clone(), aggregation: self.aggregation.clone() }
    }
}

impl<W: Windowing, KS: Clone, A: Clone + Send + 'static> Clone for AggregateSpec<W, KS, A> {
    fn clone(&self) -> Self {
        let (name, windows, key_serde) = (self.name.clone(), self.windows.clone(), self.key_serde.clone());
        Self { name, windows, key_serde, trigger: self.trigger.clone(), ..*self }
    }
}

impl<C, W, KS, G> Chain for WindowAggregate<C, W, KS, G, G::Kept>
where
    C: Chain<Key = KS::View>,
    W: Windowing,
    KS: Serde,
    G: Aggregation<KS::View, C::Value>,
{
    type Key = KS::View;
    type Value = InWindow<G::Out>;

    fn build<N: Operator<KS::View, InWindow<G::Out>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        let [late, finals] = [self.spec.late, self.spec.finals].map(|side| SideOutlet::new(side, stage));
        let results = Results { spec: self.spec.clone(), stream_time: StreamTime::new(), finals, next };
        let [adding, beginning, merging] = std::array::from_fn(|_| self.aggregation.clone());
        let value = std::marker::PhantomData::<fn() -> C::Value>;
        self.previous.build(Aggregate { adding, beginning, merging, results, late, value }, stage);
    }
}

/// The operator of an aggregation. Its values are in the store of the task.
pub struct Aggregate<V, W: Windowing, KS, G, A: Clone + Send + 'static, N> {
    /// The same aggregation three times, since each copy is in use while another one is.
    adding: G,
    beginning: G,
    merging: G,
    results: Results<W, KS, A, N>,
    late: SideOutlet,
    value: std::marker::PhantomData<fn() -> V>,
}

/// The output side of an aggregation.
struct Results<W: Windowing, KS, A: Clone + Send + 'static, N> {
    spec: AggregateSpec<W, KS, A>,
    /// No output record has a later time, see [`result_time`]. It is a time of day if windows close by that.
    stream_time: StreamTime,
    finals: SideOutlet,
    next: N,
}

/// The streams that a result goes to.
#[derive(Clone, Copy)]
struct Streams {
    results: bool,
    finals: bool,
}

impl Streams {
    /// An early result.
    const RESULTS: Self = Self { results: true, finals: false };
}

impl<W: Windowing, KS: Serde, A: Clone + Send + 'static, N> Results<W, KS, A, N> {
    /// Notes the watermark that a later step has been told: an earlier result would be late there.
    fn not_before(&mut self, watermark: TimestampMs) {
        self.stream_time.observe(watermark);
    }

    /// Shows a kept value, and pushes the result. A panic of the code of the user is caught here, because the store is
    /// in the middle of its work.
    fn show<V: View, G: Aggregation<KS::View, V, Kept = A>>(
        &mut self,
        (window, key, kept): (Window, &[u8], &A),
        streams: Streams,
        aggregation: &mut G,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError>
    where
        N: Operator<KS::View, InWindow<G::Out>>,
    {
        if !context.begin_result(self.spec.store.id(), window, key) {
            return Ok(());
        }
        let caught = catch(|| aggregation.show(kept, |out| self.emit((window, key, out), streams, context)));
        caught.unwrap_or_else(|message| Err(panicked_in(&self.spec.name, message)))
    }

    /// Pushes one result.
    fn emit<O: 'static>(
        &mut self,
        result: (Window, &[u8], &O),
        streams: Streams,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError>
    where
        N: Operator<KS::View, InWindow<O>>,
    {
        if streams.finals {
            self.finals.push(self.record(result)?, context)?;
        }
        if streams.results {
            let record = self.record(result)?;
            self.next.push(record, context)?;
        }
        Ok(())
    }

    /// Makes the record of a result. Its key is decoded from the bytes in the store, which came through the same serde.
    fn record<'a, O: 'static>(
        &self,
        (window, key, value): (Window, &'a [u8], &'a O),
    ) -> Result<Rec<'a, KS::View, InWindow<O>>, ProcessError> {
        let bad = |cause| ProcessError::BadChangelog { store: self.spec.name.clone(), cause: Some(cause) };
        Ok(Rec {
            key: self.spec.key_serde.decode(key).map_err(bad)?,
            value: (window, value),
            timestamp: result_time(window, W::last_time(window), self.stream_time.get()),
            headers: RawHeaders::EMPTY,
            raw_key: Some(key),
        })
    }
}

/// The event time of a result: the greatest that was seen, limited to the window, of which `last` is the last time. All
/// records of a window may be at the end of time, which leaves it no length.
///
/// The end of the window would not do: until the window is over it lies in the future, and a broker refuses records
/// from more than an hour ahead (`message.timestamp.after.max.ms`, KIP-937).
fn result_time(window: Window, last: TimestampMs, stream_time: TimestampMs) -> TimestampMs {
    let first = TimestampMs(window.start);
    stream_time.clamp(first, last.max(first))
}

impl<V, W, KS, G, N> Aggregate<V, W, KS, G, G::Kept, N>
where
    V: View,
    W: Windowing,
    KS: Serde,
    G: Aggregation<KS::View, V>,
    N: Operator<KS::View, InWindow<G::Out>>,
{
    /// Closes the windows that end at or before `time`. Where updates come out, only results that the open transaction
    /// has changed are still new.
    fn close(&mut self, time: TimestampMs, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { adding, merging, results, .. } = self;
        let (handle, emit, windows) = (results.spec.store, results.spec.emit, results.spec.windows.clone());
        let trigger = results.spec.trigger.clone();
        context.with_store(handle, |store, context| {
            results.not_before(W::closed_up_to(store));
            windows.close(
                store,
                time,
                &mut |kept, later| merging.merge(kept, later),
                &mut |window, key, kept, is_changed| {
                    let has_records = match &trigger {
                        Some(trigger) => {
                            let has_records = trigger.has_records(window, key, context);
                            trigger.forget(window, key, context);
                            has_records
                        }
                        None => true,
                    };
                    let finals = has_records && results.finals.is_used();
                    let streams = Streams { results: emit.is_final(is_changed), finals };
                    match streams {
                        Streams { results: false, finals: false } => Ok(()),
                        _ => results.show((window, key, kept), streams, adding, context),
                    }
                },
            )
        })
    }

    /// Puts out the results that the open transaction has changed.
    fn emit_changed(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { adding, merging, results, .. } = self;
        let (handle, windows) = (results.spec.store, results.spec.windows.clone());
        context.with_store(handle, |store, context| {
            results.not_before(W::closed_up_to(store));
            windows.changed(store, &mut |kept, later| merging.merge(kept, later), &mut |window, key, kept| {
                results.show((window, key, kept), Streams::RESULTS, adding, context)
            })
        })
    }

    /// Puts out the open windows of a key that contain a time, and that are wanted.
    fn emit_windows(
        &mut self,
        key: &[u8],
        at: TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        let Self { adding, merging, results, .. } = self;
        let (handle, windows) = (results.spec.store, results.spec.windows.clone());
        context.with_store(handle, |store, context| {
            results.not_before(W::closed_up_to(store));
            windows.containing(
                store,
                key,
                at,
                wanted,
                &mut |kept, later| merging.merge(kept, later),
                &mut |window, key, kept| results.show((window, key, kept), Streams::RESULTS, adding, context),
            )
        })
    }

    /// Puts out one open window of a key.
    fn emit_window(&mut self, window: Window, key: &[u8], context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { adding, merging, results, .. } = self;
        let (handle, windows) = (results.spec.store, results.spec.windows.clone());
        context.with_store(handle, |store, context| {
            results.not_before(W::closed_up_to(store));
            windows.only(
                store,
                (window, key),
                &mut |kept, later| merging.merge(kept, later),
                &mut |window, key, kept| results.show((window, key, kept), Streams::RESULTS, adding, context),
            )
        })
    }

    /// Puts out the results that are due by an interval.
    fn emit_due(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Some(intervals) = self.results.spec.intervals else { return Ok(()) };
        for (key, anchors) in intervals.take_due(context)? {
            let AggregateSpec { store, windows, .. } = &self.results.spec;
            if windows.is_complete(context.stores.get_mut(*store), &key) {
                continue;
            }
            let mut shown = BTreeSet::new();
            let mut is_new = |window| shown.insert(window);
            anchors.into_iter().try_for_each(|anchor| self.emit_windows(&key, anchor, &mut is_new, context))?;
        }
        Ok(())
    }

    /// Puts out the windows of a key with a record at `at` that have ended, and notes when the others do.
    fn emit_late(&mut self, key: &[u8], at: TimestampMs, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (now, mut ahead) = (time_of::<W>(context), Vec::new());
        let mut has_ended = |window: Window| {
            if !window.is_closed_at(now) {
                ahead.push(window);
            }
            window.is_closed_at(now)
        };
        self.emit_windows(key, at, &mut has_ended, context)?;
        if let Some(ends) = self.results.spec.intervals {
            ahead.into_iter().for_each(|window| ends.set_end(W::CLOCK, window, key, context));
        }
        Ok(())
    }

    /// Puts out the windows that have ended by `time`, in the order of their ends.
    fn emit_ended(&mut self, time: TimestampMs, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Some(ends) = self.results.spec.intervals.filter(|_| self.results.spec.emit == Emit::AtEnd) else {
            return Ok(());
        };
        let mut key = Vec::new();
        while let Some(end) = ends.take_ended(W::CLOCK, time, &mut key, context) {
            // A session that has grown since ends later.
            let mut ends_now = |window: Window| window.end == end.0;
            self.emit_windows(&key, TimestampMs(end.0 - 1), &mut ends_now, context)?;
        }
        Ok(())
    }

    /// Asks the trigger about each open window of a key that a record at `at` is in.
    fn trigger_record(
        &mut self,
        trigger: &dyn Connected,
        (key, at): (&[u8], TimestampMs),
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        for window in self.open_windows(key, at, context)? {
            let result = trigger.ask(Occurrence::Record(at), window, key, context);
            self.react(result, (trigger, window, key), context)?;
        }
        Ok(())
    }

    /// Asks the trigger about the timers and the ends of windows that are due, in the order of their times.
    fn trigger_due(&mut self, clock: Clock, up_to: TimestampMs, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Some(trigger) = self.results.spec.trigger.clone() else { return Ok(()) };
        while let Some(due) = trigger.take_due(clock, up_to, context)? {
            let Some(window) = self.window_of(&due, context)? else { continue };
            // It has noted its new end, under its new start.
            let ends_now = (due.window.start, due.at.0) == (window.start, window.end);
            let span = Window { start: due.window.start, end: due.at.0 };
            if (due.occurrence == Occurrence::End && !ends_now)
                || !trigger.has_records(window, &due.key, context)
                || !context.begin_result(trigger.timers(), span, &due.key)
            {
                continue;
            }
            let result = trigger.ask(due.occurrence, window, &due.key, context);
            self.react(result, (&*trigger, window, &due.key), context)?;
        }
        Ok(())
    }

    /// Does what a trigger has said.
    fn react(
        &mut self,
        result: TriggerResult,
        (trigger, window, key): (&dyn Connected, Window, &[u8]),
        context: &mut Context<'_>,
    ) -> Result<(), ProcessError> {
        if result.fires() {
            self.emit_window(window, key, context)?;
        }
        if result.purges() {
            trigger.forget(window, key, context);
            let Self { beginning, results, .. } = self;
            let store = context.stores.get_mut(results.spec.store);
            results.spec.windows.begin_anew(store, window, key, beginning.init());
        }
        Ok(())
    }

    /// Returns the open window that a timer was set for, or that has ended.
    fn window_of(&mut self, due: &Due, context: &mut Context<'_>) -> Result<Option<Window>, ProcessError> {
        if W::MERGES {
            // A session may have grown since: it is the one that contains the start.
            let open = self.open_windows(&due.key, TimestampMs(due.window.start), context)?;
            return Ok(open.into_iter().next());
        }
        let Self { merging, results, .. } = self;
        let (store, mut open) = (context.stores.get_mut(results.spec.store), None);
        results.spec.windows.only(
            store,
            (due.window, &due.key),
            &mut |kept, later| merging.merge(kept, later),
            &mut |window, _, _| {
                open = Some(window);
                Ok(())
            },
        )?;
        Ok(open)
    }

    /// Returns the open windows of a key that contain a time.
    fn open_windows(
        &mut self,
        key: &[u8],
        at: TimestampMs,
        context: &mut Context<'_>,
    ) -> Result<Vec<Window>, ProcessError> {
        let Self { merging, results, .. } = self;
        let (store, mut open) = (context.stores.get_mut(results.spec.store), Vec::new());
        results.spec.windows.containing(
            store,
            key,
            at,
            &mut |window| {
                open.push(window);
                false
            },
            &mut |kept, later| merging.merge(kept, later),
            &mut |_, _, _| Ok(()),
        )?;
        Ok(open)
    }

    /// Puts out the window that the record at hand has completed.
    fn complete(&mut self, key: &[u8], context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Self { adding, merging, results, .. } = self;
        let (handle, windows, emit) = (results.spec.store, results.spec.windows.clone(), results.spec.emit);
        context.with_store(handle, |store, context| {
            windows.complete(store, key, &mut |kept, later| merging.merge(kept, later), &mut |window, key, kept| {
                match emit.is_final(true) {
                    true => results.show((window, key, kept), Streams::RESULTS, adding, context),
                    false => Ok(()),
                }
            })
        })
    }
}

impl<V, W, KS, G, N> Signals for Aggregate<V, W, KS, G, G::Kept, N>
where
    V: View,
    W: Windowing,
    KS: Serde,
    G: Aggregation<KS::View, V>,
    N: Operator<KS::View, InWindow<G::Out>>,
{
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.results.next)
    }

    fn looks_ahead(&mut self) -> bool {
        W::LOOKS_AHEAD
    }

    fn expect(&mut self, ahead: &[Expected<'_>], context: &mut Context<'_>) {
        let AggregateSpec { store, windows, .. } = &self.results.spec;
        let (store, wall) = (context.stores.get_mut(*store), context.wall);
        match W::CLOCK {
            Clock::Event => windows.expect(store, ahead),
            Clock::Wall => {
                let mut now = [Expected::default(); AHEAD];
                let timed = now.iter_mut().zip(ahead);
                let count = timed.map(|(now, ahead)| *now = Expected { timestamp: wall, ..*ahead }).count();
                windows.expect(store, &now[..count]);
            }
        }
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.trigger_due(Clock::Event, context.watermark, context)?;
        if W::CLOCK == Clock::Event {
            self.emit_ended(context.watermark, context)?;
            self.close(context.watermark, context)?;
        }
        self.results.next.watermark(context)?;
        self.results.not_before(context.watermark);
        Ok(())
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.trigger_due(Clock::Wall, context.wall, context)?;
        if W::CLOCK == Clock::Wall {
            self.emit_ended(context.wall, context)?;
            self.close(context.wall, context)?;
        }
        if self.results.spec.emit != Emit::AtEnd {
            self.emit_due(context)?;
        }
        self.results.next.tick(context)
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if self.results.spec.emit == Emit::OnUpdate {
            self.emit_changed(context)?;
        }
        if W::CLOCK == Clock::Event {
            self.results.stream_time.before_commit(context);
        }
        self.results.next.before_commit(context)
    }

    fn committed(&mut self, stores: &mut Stores) {
        self.results.stream_time.committed();
        self.results.next.committed(stores);
    }

    fn forget_calls(&mut self) {
        self.results.stream_time.rolled_back();
        self.results.next.forget_calls();
    }
}

impl<V, W, KS, G, N> Operator<KS::View, V> for Aggregate<V, W, KS, G, G::Kept, N>
where
    V: View,
    W: Windowing,
    KS: Serde,
    G: Aggregation<KS::View, V>,
    N: Operator<KS::View, InWindow<G::Out>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, KS::View, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let at = match W::CLOCK {
            Clock::Event => record.timestamp,
            Clock::Wall => context.wall,
        };
        if at.0 < 0 && !W::COMPLETES {
            return context.leave_out_untimed(at);
        }
        // build() refuses keys that can be null, except those of the serde of `()`, to which null and
        // no bytes are the same.
        let key = record.raw_key.unwrap_or_default();
        let Self { adding, beginning, merging, results, .. } = self;
        results.stream_time.observe(at);
        let store = context.stores.get_mut(results.spec.store);
        let mut gathering = Adding { adding, merging, record: &record };
        let is_in_time = results.spec.windows.add(store, key, at, &mut || beginning.init(), &mut gathering);
        if !is_in_time {
            context.counters.count_late(at, W::closed_up_to(store));
            return self.late.push(record, context);
        }
        if let Some(trigger) = results.spec.trigger.clone() {
            return self.trigger_record(&*trigger, (key, at), context);
        }
        match (results.spec.emit, results.spec.intervals) {
            (Emit::OnClose | Emit::OnUpdate, _) => {}
            (Emit::EveryUpdate, _) => self.emit_windows(key, at, &mut |_| true, context)?,
            (Emit::AtEnd, _) => self.emit_late(key, at, context)?,
            (Emit::Every(_), intervals) => {
                let anchor = results.spec.windows.anchor(store, key, at);
                if let Some(intervals) = intervals {
                    intervals.set(anchor, key, context);
                }
            }
        }
        if W::COMPLETES { self.complete(key, context) } else { Ok(()) }
    }
}

/// The time by which windows end.
fn time_of<W: Windowing>(context: &Context<'_>) -> TimestampMs {
    match W::CLOCK {
        Clock::Event => context.watermark,
        Clock::Wall => context.wall,
    }
}

/// A record on its way into windows.
struct Adding<'a, 'r, K: View, V: View, G> {
    adding: &'a mut G,
    merging: &'a mut G,
    record: &'a Rec<'r, K, V>,
}

impl<K: View, V: View, G: Aggregation<K, V>> Gathering<G::Kept> for Adding<'_, '_, K, V, G> {
    #[inline]
    fn add(&mut self, kept: &mut G::Kept) {
        self.adding.add(kept, self.record);
    }

    fn merge(&mut self, kept: &mut G::Kept, later: &G::Kept) {
        self.merging.merge(kept, later);
    }
}
