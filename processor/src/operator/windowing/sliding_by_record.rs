//! Windows that records end and begin: a value is kept for each time at which a key has records. The records at these
//! times tell which windows there are; a window is put together from its values when it comes out.

use std::collections::{BTreeSet, VecDeque};

use kafka_wire::types::TimestampMs;

use super::sliding::show_gathered;
use super::{Expected, Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Item, TimedStore, Timing};
use crate::types::{Owned, Window};
use crate::window::SlidingByRecord;

/// The timing of records: the end of the window that each ends, and that of the window behind it. By then nothing needs
/// the record any more, so this is due even if that window is empty.
struct RecordTiming(SlidingByRecord);

impl<A> Timing<A> for RecordTiming {
    fn due(&self, records: &VecDeque<Item<A>>, TimestampMs(closed_up_to): TimestampMs) -> Option<i64> {
        let with = |record: &Item<A>| self.0.end_with(record.at.0);
        let behind = |record: &Item<A>| self.0.end_behind(record.at.0);
        let first_with = records.get(records.partition_point(|record| with(record) <= closed_up_to)).map(with);
        let first_behind = records.get(records.partition_point(|record| behind(record) <= closed_up_to)).map(behind);
        first_with.into_iter().chain(first_behind).min()
    }

    fn is_exact(&self) -> bool {
        true
    }

    /// Returns the end of the last window with a record in it.
    fn last_due(&self, records: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64> {
        let last = records.back()?.at.0;
        let before = records.len().checked_sub(2).map(|before| records[before].at.0);
        let behind = before.map(|before| self.0.end_behind(before)).filter(|end| self.0.ending_at(*end).start <= last);
        let behind = behind.filter(|end| last < *end);
        Some(self.0.end_with(last).max(behind.unwrap_or(i64::MIN))).filter(|end| *end > closed_up_to.0)
    }

    fn span(&self, record: &Item<A>) -> Window {
        Window { start: record.at.0, end: record.at.0.saturating_add(1) }
    }
}

impl SlidingByRecord {
    /// Returns the ends of the windows that contain the time `at`, and of the one right behind it, in order: those that
    /// the records near it end and begin. They may be empty.
    fn ends_around<A>(self, records: &VecDeque<Item<A>>, at: i64) -> BTreeSet<i64> {
        let first = records.partition_point(|record| record.at.0 < at.saturating_sub(self.size_ms()));
        let near = records.range(first..).take_while(|record| record.at.0 < at.saturating_add(self.size_ms()));
        let ends = near.flat_map(|record| [self.end_with(record.at.0), self.end_behind(record.at.0)]);
        let is_wanted = |end: &i64| {
            let window = self.ending_at(*end);
            window.contains(TimestampMs(at)) || window.start == at.saturating_add(1)
        };
        ends.filter(is_wanted).collect()
    }

    /// Whether the window that starts at `start` is new because the record before it is, even if its own records are
    /// not.
    fn is_begun_anew<A: Clone + Send + 'static>(store: &TimedStore<A>, slot: u32, start: i64) -> bool {
        let records = store.items(slot);
        let before = records.get(records.partition_point(|record| record.at.0 < start - 1));
        before.is_some_and(|record| record.at.0 == start - 1 && store.is_changed(record))
    }
}

impl Windowing for SlidingByRecord {
    type Store<A: Clone + Send + 'static> = TimedStore<A>;

    never_apart!();

    const LOOKS_AHEAD: bool = true;

    fn expect<A: Clone + Send + 'static>(&self, store: &TimedStore<A>, ahead: &[Expected<'_>]) {
        store.expect(ahead.iter().map(|expected| expected.key));
    }

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> TimedStore<A> {
        TimedStore::new(values, RecordTiming(*self))
    }

    fn is_valid(&self) -> bool {
        Self::is_valid(*self)
    }

    fn describe(&self) -> String {
        Self::describe(*self)
    }

    fn closed_up_to<A: Clone + Send + 'static>(store: &TimedStore<A>) -> TimestampMs {
        store.closed_up_to()
    }

    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut TimedStore<A>,
        key: &[u8],
        TimestampMs(at): TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        if self.last_end(at) <= store.closed_up_to().0 {
            return false;
        }
        let slot = store.slot_for(key);
        store.update(slot, (at, 0), &mut *init, |kept| gathering.add(kept));
        true
    }

    fn anchor<A: Clone + Send + 'static>(&self, _: &TimedStore<A>, _: &[u8], at: TimestampMs) -> TimestampMs {
        at
    }

    /// Shows also the window right behind the time, which may have come about by a late record there.
    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &TimedStore<A>,
        key: &[u8],
        TimestampMs(at): TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let Some(slot) = store.slot(key) else { return Ok(()) };
        let closed_up_to = store.closed_up_to();
        let windows = self.ends_around(store.items(slot), at).into_iter().map(|end| self.ending_at(end));
        windows
            .filter(|window| !window.is_closed_at(closed_up_to))
            .try_for_each(|window| show_gathered(store, slot, window, wanted, merge, show))
    }

    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut TimedStore<A>,
        watermark: TimestampMs,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        while let Some((end, slot)) = store.pop_due(watermark) {
            let window = self.ending_at(end);
            let is_begun_anew = Self::is_begun_anew(store, slot, window.start);
            if let Some((kept, is_changed)) = store.gather(slot, window, merge) {
                show(window, store.key(slot), &kept, is_changed || is_begun_anew)?;
            }
            store.remove_before(slot, window.start);
            let due = RecordTiming(*self).due(store.items(slot), TimestampMs(end));
            store.done_until(slot, due);
        }
        store.close_up_to(watermark);
        Ok(())
    }

    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &TimedStore<A>,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let mut windows = BTreeSet::new();
        for (slot, record) in store.changed() {
            let ends = self.ends_around(store.items(slot), record.at.0);
            windows.extend(ends.into_iter().map(|end| (end, slot)));
        }
        let closed_up_to = store.closed_up_to();
        let windows = windows.into_iter().map(|(end, slot)| (self.ending_at(end), slot));
        windows
            .filter(|(window, _)| !window.is_closed_at(closed_up_to))
            .try_for_each(|(window, slot)| show_gathered(store, slot, window, &mut |_| true, merge, show))
    }
}
