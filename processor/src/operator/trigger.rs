//! Triggers: a user's rule that says when the value of a window comes out, and when it begins anew.
//!
//! A trigger sees each record of a window after the window's value has it, the timers that it has set for the window,
//! and the end of the window. After each it says what to do with the value ([`TriggerResult`]), as in Flink. It
//! remembers a state for each key and window.
//!
//! Results at a record come before the next record is taken; timers and ends that are due together come in the order of
//! their times, ends before timers, and before the steps behind see the watermark. A window closes by itself, after its
//! end and lateness: nothing comes out then, and the state is forgotten.
//!
//! States are in the store `<step>-trigger`, timers in `<step>-due`. A crash undoes them, the values and the results of
//! the open transaction together.

use std::any::type_name;
use std::collections::VecDeque;
use std::sync::Arc;

use kafka_wire::types::TimestampMs;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::windowing::Windowing;
use super::{Context, Emit};
use crate::error::ProcessError;
use crate::output::StoreId;
use crate::serde::Json;
use crate::state::{At, Clock, Handle, Item, Store, TimedStore, TimerStore, Timing};
use crate::types::Window;

/// A rule that says when the value of a window comes out. Steps with windows take one in place of an [`Emit`].
///
/// ```
/// use processor::{TriggerResult, TriggerScope, Trigger};
///
/// /// Puts a window out at every hundredth record, at its end, and at each late record.
/// struct Hundreds;
///
/// impl Trigger for Hundreds {
///     type State = u32;
///
///     fn record(&self, scope: &mut TriggerScope<'_, u32>) -> TriggerResult {
///         *scope.state += 1;
///         if scope.is_late() || *scope.state % 100 == 0 { TriggerResult::Fire } else { TriggerResult::Continue }
///     }
/// }
/// ```
pub trait Trigger: Send + Sync + 'static {
    /// The memory of a key and window. It begins with its default, and is written as JSON.
    type State: Default + Clone + Send + Serialize + DeserializeOwned + 'static;

    /// The name, for `describe()` and to recognise the state of another trigger: by default that of the type.
    fn name(&self) -> String {
        let name = type_name::<Self>();
        name.rsplit("::").next().unwrap_or(name).to_owned()
    }

    /// A record has been added to an open window.
    fn record(&self, scope: &mut TriggerScope<'_, Self::State>) -> TriggerResult;

    /// A timer that was set for the window is due. Timers of a window that is closed, or has had no record since it was
    /// purged, are forgotten. If it has had one, a timer from before the purge still comes, as in Flink: cancel it
    /// ([`TriggerScope::cancel_timer`]) where the window is purged.
    fn timer(&self, _scope: &mut TriggerScope<'_, Self::State>, _clock: Clock, _at: TimestampMs) -> TriggerResult {
        TriggerResult::Continue
    }

    /// The window has ended. With lateness it stays open for a while. By default its value comes out.
    fn end(&self, _scope: &mut TriggerScope<'_, Self::State>) -> TriggerResult {
        TriggerResult::Fire
    }

    /// Adds the state of a later session to that of an earlier one, because a record has joined the two. By default the
    /// earlier one stays as it is.
    fn merge(&self, _state: &mut Self::State, _later: &Self::State) {}
}

/// The reaction of a trigger, with Flink's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing happens.
    Continue,
    /// The value of the window comes out, and stays.
    Fire,
    /// The window begins anew, without a result: its value, and the state of the trigger.
    Purge,
    /// The value of the window comes out, and the window begins anew.
    FireAndPurge,
}

impl TriggerResult {
    pub(super) const fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    pub(super) const fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// The environment of a [`Trigger`]: the window of a key, and the clocks.
pub struct TriggerScope<'s, S> {
    /// The memory of the key and window.
    pub state: &'s mut S,
    window: Window,
    timestamp: TimestampMs,
    times: Times,
    timers: &'s mut TimerStore,
    /// The place of the window's timers.
    place: &'s [u8],
}

/// The clocks at a call of a trigger.
#[derive(Clone, Copy)]
struct Times {
    watermark: TimestampMs,
    wall: TimestampMs,
    has_ended: bool,
}

impl<S> TriggerScope<'_, S> {
    /// The window.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.window
    }

    /// The event time of the record, the time of the timer, or the end of the window. In windows of processing time,
    /// the record's is the time of day.
    #[must_use]
    pub const fn timestamp(&self) -> TimestampMs {
        self.timestamp
    }

    /// The watermark of the task.
    #[must_use]
    pub const fn watermark(&self) -> TimestampMs {
        self.times.watermark
    }

    /// The time of day, as of the batch; virtual in tests.
    #[must_use]
    pub const fn wall(&self) -> TimestampMs {
        self.times.wall
    }

    /// Whether the window has ended by its clock, and only waits for late records.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.times.has_ended
    }

    /// Sets a timer for the key and window. Setting the same twice sets one.
    pub fn set_timer(&mut self, clock: Clock, at: TimestampMs) {
        self.timers.set(clock, at, self.place);
    }

    /// Cancels a timer. Returns whether it was set.
    pub fn cancel_timer(&mut self, clock: Clock, at: TimestampMs) -> bool {
        self.timers.cancel(clock, at, self.place)
    }
}

/// A rule that says when results of windows come out: an [`Emit`], or a [`Trigger`] of the user's.
pub trait EmitRule: Into<When> {
    /// The kind of windows, with the values kept as this rule needs them.
    type On<W: Windowing>: Windowing;

    /// Makes such windows.
    fn on<W: Windowing>(windows: W) -> Self::On<W>;
}

impl EmitRule for Emit {
    type On<W: Windowing> = W;

    fn on<W: Windowing>(windows: W) -> W {
        windows
    }
}

impl<T: Trigger> EmitRule for T {
    type On<W: Windowing> = W::Apart;

    fn on<W: Windowing>(windows: W) -> W::Apart {
        windows.apart()
    }
}

/// An [`EmitRule`] of any type.
pub struct When(pub(crate) Rule);

/// The rule behind [`When`].
pub(crate) enum Rule {
    /// A rule of the library.
    Emit(Emit),
    /// A rule of the user.
    Trigger(Box<dyn Declared>),
}

impl From<Emit> for When {
    fn from(emit: Emit) -> Self {
        Self(Rule::Emit(emit))
    }
}

impl<T: Trigger> From<T> for When {
    fn from(trigger: T) -> Self {
        Self(Rule::Trigger(Box::new(Arc::new(trigger))))
    }
}

/// A trigger of any type, declared.
pub(crate) trait Declared {
    fn describe(&self) -> String;

    /// Returns a maker of the store of its states.
    fn states(&self) -> Box<dyn Fn() -> Box<dyn Store> + Send + Sync>;

    /// Connects it with its stores. `merges` says that windows are sessions, `clock` by which clock they end.
    fn connect(&self, stores: (StoreId, StoreId), merges: bool, clock: Clock) -> Arc<dyn Connected>;
}

impl<T: Trigger> Declared for Arc<T> {
    fn describe(&self) -> String {
        format!("by {}", self.name())
    }

    fn states(&self) -> Box<dyn Fn() -> Box<dyn Store> + Send + Sync> {
        Box::new(|| Box::new(TimedStore::new(Json::<T::State>::new(), Unscheduled)))
    }

    fn connect(&self, (states, timers): (StoreId, StoreId), merges: bool, clock: Clock) -> Arc<dyn Connected> {
        let (states, timers) = (Handle::new(states), Handle::new(timers));
        Arc::new(OfTask { trigger: Arc::clone(self), states, timers, merges, clock })
    }
}

/// States of triggers: nothing is due for them, since a window takes its state along when it closes.
struct Unscheduled;

impl<S> Timing<S> for Unscheduled {
    fn due(&self, _: &VecDeque<Item<S>>, _: TimestampMs) -> Option<i64> {
        None
    }

    fn last_due(&self, _: &VecDeque<Item<S>>, _: TimestampMs) -> Option<i64> {
        None
    }

    fn span(&self, state: &Item<S>) -> Window {
        Window { start: state.at.0, end: state.at.0 }
    }
}

/// An occurrence that a trigger reacts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occurrence {
    /// A record of this time.
    Record(TimestampMs),
    /// A timer.
    Timer(Clock, TimestampMs),
    /// The end of the window.
    End,
}

/// A trigger of any type, with its stores in a task.
pub(crate) trait Connected: Send + Sync {
    /// Asks the trigger about the window of a key.
    fn ask(&self, of: Occurrence, window: Window, key: &[u8], context: &mut Context<'_>) -> TriggerResult;

    /// Whether the window of a key has records, since its beginning or the last purge.
    fn has_records(&self, window: Window, key: &[u8], context: &mut Context<'_>) -> bool;

    /// Forgets the state for the window of a key.
    fn forget(&self, window: Window, key: &[u8], context: &mut Context<'_>);

    /// Takes out the next timer or end that is due at `up_to`.
    ///
    /// # Errors
    /// [`ProcessError::BadChangelog`] if it is none that this store has written.
    fn take_due(
        &self,
        clock: Clock,
        up_to: TimestampMs,
        context: &mut Context<'_>,
    ) -> Result<Option<Due>, ProcessError>;

    /// The store of the timers.
    fn timers(&self) -> StoreId;
}

/// A timer, or the end of a window, that is due.
pub(crate) struct Due {
    pub(super) at: TimestampMs,
    pub(super) key: Vec<u8>,
    /// The window; of a session, the start that it had when the timer was set.
    pub(super) window: Window,
    pub(super) occurrence: Occurrence,
}

struct OfTask<T: Trigger> {
    trigger: Arc<T>,
    states: Handle<TimedStore<T::State>>,
    timers: Handle<TimerStore>,
    merges: bool,
    clock: Clock,
}

impl<T: Trigger> OfTask<T> {
    /// The position of the state of a window among those of its key.
    fn at(&self, window: Window) -> At {
        // Windows of one start are told apart by their lengths, but sessions grow.
        let length = if self.merges { 0 } else { window.end.wrapping_sub(window.start) };
        (window.start, u32::try_from(length & i64::from(u32::MAX)).unwrap_or(0))
    }

    /// The key of a timer: its kind, start and end of the window (8 bytes each, big endian), and the key. A session is
    /// named by its start alone, because it grows.
    fn place(&self, kind: [u8; 1], Window { start, end }: Window, key: &[u8]) -> Vec<u8> {
        let end = if self.merges { start } else { end };
        [&kind[..], &start.to_be_bytes(), &end.to_be_bytes(), key].concat()
    }

    /// Makes one state of those of the sessions that have become this one.
    fn merge(&self, window: Window, slot: u32, states: &mut TimedStore<T::State>) {
        let inside = states.items(slot).iter().filter(|state| window.start <= state.at.0 && state.at.0 < window.end);
        let inside: Vec<At> = inside.map(|state| state.at).collect();
        if inside.is_empty() || inside == [self.at(window)] {
            return;
        }
        let mut merged: Option<T::State> = None;
        for later in inside.into_iter().filter_map(|at| states.remove(slot, at)) {
            match &mut merged {
                Some(merged) => self.trigger.merge(merged, &later),
                None => merged = Some(later),
            }
        }
        if let Some(merged) = merged {
            states.update(slot, self.at(window), || merged, |_| ());
        }
    }
}

impl<T: Trigger> Connected for OfTask<T> {
    fn ask(&self, of: Occurrence, window: Window, key: &[u8], context: &mut Context<'_>) -> TriggerResult {
        let Context { watermark, wall, .. } = *context;
        let has_ended = window.is_closed_at(if self.clock == Clock::Event { watermark } else { wall });
        let states = context.stores.get_mut(self.states);
        let slot = states.slot_for(key);
        if self.merges {
            self.merge(window, slot, states);
        }
        let at = self.at(window);
        let known = states.get(slot, at);
        let mut state = known.cloned().unwrap_or_default();
        let timers = context.stores.get_mut(self.timers);
        if !has_ended {
            timers.set(self.clock, TimestampMs(window.end), &self.place(END, window, key));
        }
        let timestamp = match of {
            Occurrence::Record(at) | Occurrence::Timer(_, at) => at,
            Occurrence::End => TimestampMs(window.end),
        };
        let (times, place) = (Times { watermark, wall, has_ended }, self.place(TIMER, window, key));
        let mut scope = TriggerScope { state: &mut state, window, timestamp, times, timers, place: &place };
        let result = match of {
            Occurrence::Record(_) => self.trigger.record(&mut scope),
            Occurrence::Timer(clock, at) => self.trigger.timer(&mut scope, clock, at),
            Occurrence::End => self.trigger.end(&mut scope),
        };
        context.stores.get_mut(self.states).update(slot, at, T::State::default, |kept| *kept = state);
        result
    }

    fn has_records(&self, window: Window, key: &[u8], context: &mut Context<'_>) -> bool {
        let states = context.stores.get_mut(self.states);
        let at = self.at(window);
        states.slot(key).is_some_and(|slot| states.get(slot, at).is_some())
    }

    fn forget(&self, window: Window, key: &[u8], context: &mut Context<'_>) {
        let states = context.stores.get_mut(self.states);
        if let Some(slot) = states.slot(key) {
            states.remove(slot, self.at(window));
        }
    }

    fn take_due(
        &self,
        clock: Clock,
        up_to: TimestampMs,
        context: &mut Context<'_>,
    ) -> Result<Option<Due>, ProcessError> {
        let Some(timer) = context.stores.get_mut(self.timers).pop_due(clock, up_to) else { return Ok(None) };
        let bad = || ProcessError::BadChangelog { store: format!("{:?}", self.timers), cause: None };
        let (kind, window, key) = split(&timer.key).ok_or_else(bad)?;
        let occurrence = if kind == END { Occurrence::End } else { Occurrence::Timer(clock, timer.at) };
        Ok(Some(Due { at: timer.at, key: key.to_vec(), window, occurrence }))
    }

    fn timers(&self) -> StoreId {
        self.timers.id()
    }
}

/// The kinds of timers, in the order in which those of one time come.
const END: [u8; 1] = [0];
const TIMER: [u8; 1] = [1];

/// Takes the key of a timer apart.
fn split(place: &[u8]) -> Option<([u8; 1], Window, &[u8])> {
    let (kind, rest) = place.split_first_chunk()?;
    let (start, rest) = rest.split_first_chunk()?;
    let (end, key) = rest.split_first_chunk()?;
    Some((*kind, Window { start: i64::from_be_bytes(*start), end: i64::from_be_bytes(*end) }, key))
}
