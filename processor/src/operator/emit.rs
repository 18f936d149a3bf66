//! When results come out.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::types::TimestampMs;

use super::Context;
use crate::error::ProcessError;
use crate::state::{Clock, Handle, TimerStore};

/// When an aggregation puts out its results.
///
/// All but the first put out a value that replaces the one before it, under the same key (and window).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// Once per key and window, when the window closes.
    OnClose,
    /// Once per key (and window) and commit in which it changed: what Kafka Streams does with its cache.
    OnUpdate,
    /// At each record, as Flink does, and Kafka Streams without a cache: one result a record and window that it is in.
    EveryUpdate,
    /// Once per key (and window) and interval of the time of day in which it changed; at the close of its window too.
    ///
    /// What is due is kept in a store of its own, so that an interval that a crash cuts off is made up for.
    Every(Duration),
}

impl Emit {
    /// Whether the value of a window that closes comes out.
    pub(super) const fn is_final(self, is_changed: bool) -> bool {
        match self {
            Self::OnClose | Self::Every(_) => true,
            Self::OnUpdate => is_changed,
            Self::EveryUpdate => false,
        }
    }

    /// For `describe()`.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::OnClose => "on close".to_owned(),
            Self::OnUpdate => "on update".to_owned(),
            Self::EveryUpdate => "every update".to_owned(),
            Self::Every(interval) => format!("every {} ms", interval.as_millis()),
        }
    }
}

/// What is due at the end of an interval, as timers.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    pub(crate) timers: Handle<TimerStore>,
    pub(crate) interval_ms: i64,
}

impl Intervals {
    /// The interval, at least a millisecond.
    pub(crate) fn new(timers: Handle<TimerStore>, interval: Duration) -> Self {
        Self { timers, interval_ms: i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1) }
    }

    /// The windows of a key that `anchor` is in are to come out at the end of the interval.
    pub(super) fn set(self, anchor: TimestampMs, key: &[u8], context: &mut Context<'_>) {
        let passed = context.wall.0.rem_euclid(self.interval_ms);
        let end = TimestampMs(context.wall.0.saturating_sub(passed).saturating_add(self.interval_ms));
        // All of one key come one after the other.
        let place = [key, &anchor.0.to_be_bytes()].concat();
        context.stores.get_mut(self.timers).set(Clock::Wall, end, &place);
    }

    /// Takes out what is due: each key once, with its anchors, also when several intervals have passed.
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
