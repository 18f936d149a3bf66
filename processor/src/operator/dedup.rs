//! Deduplication: the first record of each key passes, and those that follow within a span of event time are left out.
//!
//! A key is remembered by the time of its first record, in a store with a changelog, until the watermark has passed
//! the span. First means processed first, even if a later record has an earlier time. A crash undoes the memory and
//! the records put out of the open transaction together.

use std::collections::VecDeque;

use kafka_wire::types::TimestampMs;

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::state::{Handle, Item, TimedStore, Timing};
use crate::types::{Rec, View, Window};

/// The declaration of `dedup`.
#[derive(Clone)]
pub struct Dedup<C> {
    pub(crate) previous: C,
    pub(crate) seen: Handle<TimedStore<()>>,
    pub(crate) within_ms: i64,
}

/// The time for which keys are remembered, in ms.
pub struct Memory(pub(crate) i64);

impl Timing<()> for Memory {
    fn due(&self, items: &VecDeque<Item<()>>, _closed_up_to: TimestampMs) -> Option<i64> {
        items.front().map(|item| item.at.0.saturating_add(self.0))
    }

    fn last_due(&self, _items: &VecDeque<Item<()>>, _closed_up_to: TimestampMs) -> Option<i64> {
        // Nothing comes out when a key is forgotten.
        None
    }

    fn span(&self, item: &Item<()>) -> Window {
        Window { start: item.at.0, end: item.at.0.saturating_add(self.0) }
    }
}

impl<C: Chain> Chain for Dedup<C> {
    type Key = C::Key;
    type Value = C::Value;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(DedupOperator { seen: self.seen, within_ms: self.within_ms, next }, stage);
    }
}

/// The operator of `dedup`.
struct DedupOperator<N> {
    seen: Handle<TimedStore<()>>,
    within_ms: i64,
    next: N,
}

impl<N: Signals> Signals for DedupOperator<N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let watermark = context.watermark;
        let seen = context.stores.get_mut(self.seen);
        while let Some((due, slot)) = seen.pop_due(watermark) {
            seen.remove_before(slot, due.saturating_sub(self.within_ms).saturating_add(1));
            seen.done(slot, due);
        }
        self.next.watermark(context)
    }
}

impl<K: View, V: View, N: Operator<K, V>> Operator<K, V> for DedupOperator<N> {
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let time = record.timestamp.0;
        if time < 0 {
            return context.leave_out_untimed(record.timestamp);
        }
        let seen = context.stores.get_mut(self.seen);
        let slot = seen.slot_for(record.raw_key.unwrap_or_default());
        if seen.items(slot).iter().any(|first| time.abs_diff(first.at.0) < self.within_ms.unsigned_abs()) {
            return Ok(());
        }
        seen.update(slot, (time, 0), || (), |()| ());
        self.next.push(record, context)
    }
}
