//! A store of windows that close by another clock than event time, or later than at their ends.

use kafka_wire::types::TimestampMs;

use super::clock::Clock;
use super::key_value::KeyValueStore;
use super::store::{Changelog, RestoreError, Store, StoreSizes, Visit};
use super::timed::TimedStore;
use super::window_store::WindowStore;
use crate::serde::SerdeError;

/// A store of windows that knows which window closes first.
pub trait Closing: Store {
    /// Returns a time before which no window closes.
    fn first_end(&self) -> Option<TimestampMs>;
}

impl<A: Clone + Send + 'static> Closing for WindowStore<A> {
    fn first_end(&self) -> Option<TimestampMs> {
        self.first_due()
    }
}

impl<A: Clone + Send + 'static> Closing for TimedStore<A> {
    fn first_end(&self) -> Option<TimestampMs> {
        self.first_due()
    }
}

/// The windows in it are complete by their records, and no time closes them.
impl<A: Clone + Send + 'static> Closing for KeyValueStore<A> {
    fn first_end(&self) -> Option<TimestampMs> {
        None
    }
}

/// A store of windows, with the rule by which they close.
pub struct ClosedBy<S> {
    /// The store.
    pub store: S,
    clock: Clock,
    lateness_ms: i64,
}

impl<S: Closing> ClosedBy<S> {
    /// Makes a store whose windows close by `clock`, `lateness_ms` after their ends.
    #[must_use]
    pub const fn new(store: S, clock: Clock, lateness_ms: i64) -> Self {
        Self { store, clock, lateness_ms }
    }

    fn later(&self, end: TimestampMs) -> TimestampMs {
        TimestampMs(end.0.saturating_add(self.lateness_ms))
    }
}

impl<S: Closing> Closing for ClosedBy<S> {
    fn first_end(&self) -> Option<TimestampMs> {
        self.store.first_end().map(|end| self.later(end))
    }
}

impl<S: Closing> Store for ClosedBy<S> {
    fn expect_restored(&self, keys: &[&[u8]]) {
        self.store.expect_restored(keys);
    }

    fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RestoreError> {
        self.store.restore(key, value)
    }

    fn write_changes(&self, changelog: &mut Changelog<'_>) -> Result<(), SerdeError> {
        self.store.write_changes(changelog)
    }

    fn commit(&mut self) {
        self.store.commit();
    }

    fn roll_back(&mut self) {
        self.store.roll_back();
    }

    fn is_dirty(&self) -> bool {
        self.store.is_dirty()
    }

    fn sizes(&self) -> StoreSizes {
        self.store.sizes()
    }

    fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SerdeError> {
        self.store.visit(visit)
    }

    fn last_due(&self) -> Option<TimestampMs> {
        match self.clock {
            Clock::Event => self.store.last_due().map(|end| self.later(end)),
            Clock::Wall => None,
        }
    }

    fn next_wall_due(&self) -> Option<TimestampMs> {
        match self.clock {
            Clock::Event => None,
            Clock::Wall => self.first_end(),
        }
    }
}
