//! Windows that are a function of the timestamp alone: a value is kept for each window.

use kafka_wire::types::TimestampMs;

use super::{Expected, Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::WindowStore;
use crate::types::{Owned, Window};
use crate::window::Windows;

impl<W: Windows> Windowing for W {
    type Store<A: Clone + Send + 'static> = WindowStore<A>;

    never_apart!();

    const LOOKS_AHEAD: bool = true;
    const TAKES_TRIGGERS: bool = true;

    fn expect<A: Clone + Send + 'static>(&self, store: &WindowStore<A>, ahead: &[Expected<'_>]) {
        let timed = ahead.iter().filter(|expected| expected.timestamp.0 >= 0);
        store.expect(timed.flat_map(|expected| self.assign(expected.timestamp).map(|window| (window, expected.key))));
    }

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> WindowStore<A> {
        WindowStore::new(values)
    }

    fn is_valid(&self) -> bool {
        Windows::is_valid(self)
    }

    fn describe(&self) -> String {
        Windows::describe(self)
    }

    #[inline]
    fn closed_up_to<A: Clone + Send + 'static>(store: &WindowStore<A>) -> TimestampMs {
        store.closed_up_to()
    }

    #[inline]
    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut WindowStore<A>,
        key: &[u8],
        at: TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        // This is not the task's watermark: records that an operator before this one puts out while it closes its
        // windows are not late.
        let closed_up_to = store.closed_up_to();
        let mut is_in_time = false;
        for window in self.assign(at) {
            if !window.is_closed_at(closed_up_to) {
                store.update(window, key, &mut *init, |kept| gathering.add(kept));
                is_in_time = true;
            }
        }
        is_in_time
    }

    fn begin_anew<A: Clone + Send + 'static>(&self, store: &mut WindowStore<A>, window: Window, key: &[u8], value: A) {
        store.update(window, key, || value.clone(), |kept| *kept = value.clone());
    }

    fn anchor<A: Clone + Send + 'static>(&self, _: &WindowStore<A>, _: &[u8], at: TimestampMs) -> TimestampMs {
        TimestampMs(self.assign(at).map(|window| window.start).max().unwrap_or(at.0))
    }

    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &WindowStore<A>,
        key: &[u8],
        at: TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        self.assign(at).try_for_each(|window| {
            let kept = store.get(window, key).filter(|_| wanted(window));
            kept.map_or(Ok(()), |kept| show(window, key, kept))
        })
    }

    fn only<A: Clone + Send + 'static>(
        &self,
        store: &WindowStore<A>,
        (wanted, key): (Window, &[u8]),
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        store.get(wanted, key).map_or(Ok(()), |kept| show(wanted, key, kept))
    }

    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut WindowStore<A>,
        watermark: TimestampMs,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        while store.close_next(watermark, &mut *show)? {}
        Ok(())
    }

    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &WindowStore<A>,
        _merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        store.changed().try_for_each(|(window, key, kept)| show(window, key, kept))
    }
}
