//! Sliding windows: a value is kept for each pane, once however many windows share the pane. A window is put together
//! from its panes when it comes out; windows that come out one after the other share most of that work
//! ([`TimedStore::gather`]), so that it does not grow as the slide shrinks.

use std::collections::{BTreeSet, VecDeque};

use kafka_wire::types::TimestampMs;

use super::{Expected, Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Item, TimedStore, Timing};
use crate::types::{Owned, Window};
use crate::window::{Sliding, SlidingApart};

/// The timing of panes: the ends of the windows that contain them.
pub struct PaneTiming(Sliding);

impl PaneTiming {
    /// Returns the end of the first window with a pane in it that ends at `end` or later.
    fn first_end_with<A>(&self, panes: &VecDeque<Item<A>>, end: i64) -> Option<i64> {
        self.0.first_end_with(panes.iter().map(|pane| pane.at.0), end)
    }
}

impl<A> Timing<A> for PaneTiming {
    /// Returns the end of the first open window with a pane in it.
    fn due(&self, panes: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64> {
        self.first_end_with(panes, self.0.end_after(closed_up_to))
    }

    /// A pane goes when its last window has closed, and not before.
    fn is_exact(&self) -> bool {
        true
    }

    fn last_due(&self, panes: &VecDeque<Item<A>>, closed_up_to: TimestampMs) -> Option<i64> {
        panes.back().map(|pane| self.0.last_end(pane.at.0)).filter(|end| *end > closed_up_to.0)
    }

    fn span(&self, pane: &Item<A>) -> Window {
        Window { start: pane.at.0, end: self.0.first_end(pane.at.0) }
    }
}

/// Puts a window together from the panes of a key, out of turn, and shows it; not if the window has no pane, or is not
/// wanted.
pub(super) fn show_gathered<A: Clone + Send + 'static>(
    store: &TimedStore<A>,
    slot: u32,
    window: Window,
    wanted: &mut dyn FnMut(Window) -> bool,
    merge: &mut dyn FnMut(&mut A, &A),
    show: &mut Show<'_, A>,
) -> Result<(), ProcessError> {
    let panes = store.items(slot);
    let first = panes.partition_point(|pane| pane.at.0 < window.start);
    let mut inside = panes.range(first..).take_while(|pane| pane.at.0 < window.end);
    let Some(first) = inside.next().filter(|_| wanted(window)) else { return Ok(()) };
    let mut kept = first.value.clone();
    inside.for_each(|pane| merge(&mut kept, &pane.value));
    show(window, store.key(slot), &kept)
}

impl Windowing for Sliding {
    type Store<A: Clone + Send + 'static> = TimedStore<A>;
    type Apart = SlidingApart;

    fn apart(self) -> SlidingApart {
        SlidingApart(self)
    }

    const LOOKS_AHEAD: bool = true;

    fn expect<A: Clone + Send + 'static>(&self, store: &TimedStore<A>, ahead: &[Expected<'_>]) {
        store.expect(ahead.iter().map(|expected| expected.key));
    }

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> TimedStore<A> {
        TimedStore::new(values, PaneTiming(*self))
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
        at: TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        let pane = self.pane(at);
        if self.last_end(pane) <= store.closed_up_to().0 {
            return false;
        }
        let slot = store.slot_for(key);
        store.update(slot, (pane, 0), &mut *init, |kept| gathering.add(kept));
        true
    }

    fn anchor<A: Clone + Send + 'static>(&self, _: &TimedStore<A>, _: &[u8], at: TimestampMs) -> TimestampMs {
        TimestampMs(self.pane(at))
    }

    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &TimedStore<A>,
        key: &[u8],
        at: TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let Some(slot) = store.slot(key) else { return Ok(()) };
        let closed_up_to = store.closed_up_to();
        self.windows(at)
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
            if let Some((kept, is_changed)) = store.gather(slot, window, merge) {
                show(window, store.key(slot), &kept, is_changed)?;
            }
            store.remove_before(slot, self.next_start(end));
            let due = PaneTiming(*self).first_end_with(store.items(slot), self.next_end(end));
            store.done_until(slot, due);
        }
        // Panes that are in no open window only waited for this.
        store.close_up_to(watermark);
        Ok(())
    }

    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &TimedStore<A>,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let closed_up_to = store.closed_up_to();
        let mut windows = BTreeSet::new();
        for (slot, pane) in store.changed() {
            let open = self.windows(TimestampMs(pane.at.0)).filter(|window| !window.is_closed_at(closed_up_to));
            windows.extend(open.map(|window| (window.end, slot)));
        }
        let mut show = |(end, slot)| show_gathered(store, slot, self.ending_at(end), &mut |_| true, merge, show);
        windows.into_iter().try_for_each(&mut show)
    }
}
