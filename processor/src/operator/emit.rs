//! The choice of when results come out.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::types::TimestampMs;

use super::Context;
use crate::error::ProcessError;
use crate::state::{Clock, Handle, TimerStore};
use crate::types::Window;

/// The time at which an aggregation puts out its results.
///
/// With all but the first, a value replaces the earlier one under the same key (and window).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Once per key and window, when the window closes.
    OnClose,
    /// When the window ends, and again at each late record while it waits for such
    /// ([`WindowedBy::lateness`](crate::topology::WindowedBy::lateness)), as Flink does. Without lateness it is as
    /// [`Emit::OnClose`].
    AtEnd,
    /// Once per key (and window) and commit in which it changed, as Kafka Streams does with its cache.
    OnUpdate,
    /// At each record, as Flink does, and Kafka Streams without a cache: one result for each record and
    /// window that contains it.
    EveryUpdate,
    /// Once per key (and window) and interval of the time of day in which it changed, and at the close of its window.
    ///
    /// Results that are due are kept in a store of their own, so that a crash in the middle of an interval loses none.
    Every(Duration),
}

impl Emit {
    /// Returns whether the value of a window that closes comes out.
    pub(super) const fn is_final(self, is_changed: bool) -> bool {
        match self {
            Self::OnClose | Self::Every(_) => true,
            Self::OnUpdate => is_changed,
            Self::AtEnd | Self::EveryUpdate => false,
        }
    }

    /// For `describe()`.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::OnClose => "on close".to_owned(),
            Self::AtEnd => "at the end, and late".to_owned(),
            Self::OnUpdate => "on update".to_owned(),
            Self::EveryUpdate => "every update".to_owned(),
            Self::Every(interval) => format!("every {} ms", interval.as_millis()),
        }
    }
}

/// The keys that are due at the end of an interval or of a window, as timers.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    pub(crate) timers: Handle<TimerStore>,
    pub(crate) interval_ms: i64,
}

impl Intervals {
    /// Makes the timers for an interval, which is at least a millisecond.
    pub(crate) fn new(timers: Handle<TimerStore>, interval: Duration) -> Self {
        Self { timers, interval_ms: i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1) }
    }

    /// Notes that the windows of a key that contain `anchor` are to come out at the end of the interval.
    pub(super) fn set(self, anchor: TimestampMs, key: &[u8], context: &mut Context<'_>) {
        let passed = context.wall.0.rem_euclid(self.interval_ms);
        let end = TimestampMs(context.wall.0.saturating_sub(passed).saturating_add(self.interval_ms));
        // The timers of one key are next to each other.
        let place = [key, &anchor.0.to_be_bytes()].concat();
        context.stores.get_mut(self.timers).set(Clock::Wall, end, &place);
    }

    /// Notes that a window of a key is to come out at its end.
    pub(super) fn set_end(self, clock: Clock, window: Window, key: &[u8], context: &mut Context<'_>) {
        context.stores.get_mut(self.timers).set(clock, TimestampMs(window.end), key);
    }

    /// Takes out the next key with a window that has ended by `time`, and the end.
    pub(super) fn take_ended(
        self,
        clock: Clock,
        time: TimestampMs,
        key: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> Option<TimestampMs> {
        context.stores.get_mut(self.timers).pop_due_into(clock, time, key)
    }

    /// Takes out the keys that are due: each key once, with its anchors, even if several intervals have passed.
    pub(super) fn take_due(
        self,
        context: &mut Context<'_>,
    ) -> Result<BTreeMap<Vec<u8>, Vec<TimestampMs>>, ProcessError> {
        let (wall, timers) = (context.wall, context.stores.get_mut(self.timers));
        let mut due: BTreeMap<Vec<u8>, Vec<TimestampMs>> = BTreeMap::new();
        while let Some(timer) = timers.pop_due(Clock::Wall, wall) {
            let bad = || ProcessError::BadChangelog { store: format!("{:?}", self.timers), cause: None };
            let (key, anchor) = timer.key.split_last_chunk().ok_or_else(bad)?;
            due.entry(key.to_vec()).or_default().push(TimestampMs(i64::from_be_bytes(*anchor)));
        }
        Ok(due)
    }
}
