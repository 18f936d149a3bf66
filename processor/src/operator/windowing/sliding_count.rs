//! Windows of the last records of a key: a value is kept for each pane, a number of records that no window cuts, and a
//! window is put together from its panes when it comes out.

use std::collections::{BTreeSet, VecDeque};

use kafka_wire::types::TimestampMs;

use super::count::{Counted, CountedSerde, hull};
use super::{Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Item, TimedStore, Timing};
use crate::types::{Owned, Window};
use crate::window::SlidingCount;

/// The timing of panes that records complete: nothing is due by time.
pub struct ByCount;

impl<A> Timing<Counted<A>> for ByCount {
    fn due(&self, _panes: &VecDeque<Item<Counted<A>>>, _closed_up_to: TimestampMs) -> Option<i64> {
        None
    }

    fn last_due(&self, _panes: &VecDeque<Item<Counted<A>>>, _closed_up_to: TimestampMs) -> Option<i64> {
        None
    }

    fn span(&self, pane: &Item<Counted<A>>) -> Window {
        pane.value.window
    }
}

/// Puts the window together that the last pane of a key is in, and shows it; nothing if that pane is in none.
fn show_last<A: Clone + Send + 'static>(
    windows: SlidingCount,
    (store, slot): (&TimedStore<Counted<A>>, u32),
    wanted: &mut dyn FnMut(Window) -> bool,
    merge: &mut dyn FnMut(&mut A, &A),
    show: &mut Show<'_, A>,
) -> Result<(), ProcessError> {
    let panes = store.items(slot);
    let Some(last) = panes.back() else { return Ok(()) };
    let first = windows.first_pane(last.at.0);
    let inside = || panes.iter().filter(|pane| pane.at.0 >= first).map(|pane| &pane.value);
    let Some(window) = inside().map(|pane| pane.window).reduce(hull).filter(|window| wanted(*window)) else {
        return Ok(());
    };
    let mut inside = inside();
    let Some(mut gathered) = inside.next().map(|pane| pane.kept.clone()) else { return Ok(()) };
    for pane in inside {
        merge(&mut gathered, &pane.kept);
    }
    show(window, store.key(slot), &gathered)
}

/// Whether the last record of a key has completed a window.
fn is_complete<A: Clone + Send + 'static>(windows: SlidingCount, store: &TimedStore<Counted<A>>, slot: u32) -> bool {
    store.items(slot).back().is_some_and(|last| windows.completes(last.at.0, last.value.count))
}

impl Windowing for SlidingCount {
    /// The number of a pane, from 0 for each key, takes the place of a time.
    type Store<A: Clone + Send + 'static> = TimedStore<Counted<A>>;

    no_time!();

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A> {
        TimedStore::new(CountedSerde(values), ByCount)
    }

    fn is_valid(&self) -> bool {
        Self::is_valid(*self)
    }

    fn describe(&self) -> String {
        Self::describe(*self)
    }

    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        TimestampMs(at): TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        let slot = store.slot_for(key);
        let pane = match store.items(slot).back() {
            Some(last) if last.value.count < self.pane_records() => last.at.0,
            Some(last) => {
                let next = last.at.0 + 1;
                store.remove_before(slot, self.first_pane(next));
                next
            }
            None => 0,
        };
        store.update(
            slot,
            (pane, 0),
            || Counted::new(init()),
            |open| {
                open.note(at);
                gathering.add(&mut open.kept);
            },
        );
        true
    }

    fn complete<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        match store.slot(key).filter(|slot| is_complete(*self, store, *slot)) {
            Some(slot) => show_last(*self, (store, slot), &mut |_| true, merge, show),
            None => Ok(()),
        }
    }

    fn is_complete<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, key: &[u8]) -> bool {
        store.slot(key).is_some_and(|slot| is_complete(*self, store, slot))
    }

    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        key: &[u8],
        _at: TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        store.slot(key).map_or(Ok(()), |slot| show_last(*self, (store, slot), wanted, merge, show))
    }

    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        let mut seen = BTreeSet::new();
        // A window that is complete has come out already.
        let slots = store.changed().map(|(slot, _)| slot).filter(|slot| seen.insert(*slot));
        let mut open = slots.filter(|slot| !is_complete(*self, store, *slot));
        open.try_for_each(|slot| show_last(*self, (store, slot), &mut |_| true, merge, show))
    }
}
