//! Versioned tables: the rows of each key by event time, and look-ups of the row that was valid at the time of a
//! record.
//!
//! A record sets the row of its key from its event time on, up to that of the next version, and null ends it. It does
//! not matter in which order versions come within the history that the table keeps. A version goes when a later one of
//! its key is older than the watermark by that history: no record within that time can find it any more. A task takes
//! the records of the stream and of the table in the order of their event time, as far as they are in the logs; a
//! record of the stream that comes later all the same finds the row of its time. A crash undoes versions and results of
//! the open transaction together.

use std::ops::Bound;

use kafka_wire::types::TimestampMs;

use super::keyed_state::{sortable, timed};
use super::{Context, Operator, Optional, Rows, Signals};
use crate::error::ProcessError;
use crate::state::{Clock, Handle, SortedStore, Stores, TimerStore};
use crate::types::{Rec, View};

/// The stores of a versioned table.
pub struct Versions<A> {
    /// The versions, by key and time; `None` for a deleted row.
    pub(crate) rows: Handle<SortedStore<Option<A>>>,
    /// The times at which versions of a key may go.
    pub(crate) ends: Handle<TimerStore>,
    pub(crate) history_ms: i64,
}

// Derived implementations would require the same of `A`.
impl<A> Clone for Versions<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Versions<A> {}

/// The end of the stream of a versioned table.
pub struct KeepVersions<A> {
    pub(crate) versions: Versions<A>,
    /// The key of a timer.
    pub(crate) due: Vec<u8>,
}

impl<A: Clone + Send + 'static> KeepVersions<A> {
    /// Removes the versions of a key that no record after `horizon` finds.
    fn prune(&self, horizon: TimestampMs, context: &mut Context<'_>) {
        let rows = context.stores.get_mut(self.versions.rows);
        let past = rows.range(&self.due, (Bound::Unbounded, Bound::Included(&sortable(horizon))));
        let mut past: Vec<(TimestampMs, bool)> = past.map(timed).map(|(time, row)| (time, row.is_some())).collect();
        // The last of them is valid at the horizon. A deleted row is not known any more, or each key that ever was
        // would stay: an older version that comes from now on counts again.
        past.pop_if(|(_, is_row)| *is_row);
        past.iter().for_each(|(time, _)| _ = rows.remove(&self.due, &sortable(*time)));
    }
}

impl<A: Clone + Send + 'static> Signals for KeepVersions<A> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        None
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (watermark, ends) = (context.watermark, self.versions.ends);
        let horizon = TimestampMs(watermark.0.saturating_sub(self.versions.history_ms));
        while context.stores.get_mut(ends).pop_due_into(Clock::Event, watermark, &mut self.due).is_some() {
            self.prune(horizon, context);
        }
        Ok(())
    }
}

impl<K: View, V: Optional<A>, A: Clone + Send + 'static> Operator<K, V> for KeepVersions<A> {
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let (raw_key, timestamp) = (record.raw_key.unwrap_or_default(), record.timestamp);
        if timestamp.0 < 0 {
            return context.leave_out_untimed(timestamp);
        }
        let Versions { rows, ends, history_ms } = self.versions;
        context.stores.get_mut(rows).put(raw_key, &sortable(timestamp), V::take(record.value));
        let end = TimestampMs(timestamp.0.saturating_add(history_ms));
        context.stores.get_mut(ends).set(Clock::Event, end, raw_key);
        Ok(())
    }
}

impl<A: Clone + Send + 'static> Rows for Versions<A> {
    type Row = A;

    fn find<'s>(self, stores: &'s mut Stores, key: &[u8], at: TimestampMs) -> Option<&'s A> {
        let rows = stores.get_mut(self.rows);
        let last = rows.range(key, (Bound::Unbounded, Bound::Included(&sortable(at)))).next_back().map(timed);
        last.and_then(|(_, row)| row.as_ref())
    }
}
