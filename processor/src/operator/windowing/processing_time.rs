//! Windows by the time of day: the same windows as by event time, with another clock.

use kafka_wire::types::TimestampMs;

use super::{Expected, Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Clock, ClosedBy};
use crate::types::{Owned, Window};
use crate::window::ProcessingTime;

impl<W: Windowing> Windowing for ProcessingTime<W> {
    type Store<A: Clone + Send + 'static> = ClosedBy<W::Store<A>>;
    type Apart = ProcessingTime<W::Apart>;

    fn apart(self) -> ProcessingTime<W::Apart> {
        ProcessingTime(self.0.apart())
    }

    const CLOCK: Clock = Clock::Wall;
    const MERGES: bool = W::MERGES;
    const TAKES_TRIGGERS: bool = W::TAKES_TRIGGERS;
    const LOOKS_AHEAD: bool = W::LOOKS_AHEAD;

    fn expect<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, ahead: &[Expected<'_>]) {
        self.0.expect(&store.store, ahead);
    }

    pass_on!(W, 0);

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A> {
        ClosedBy::new(self.0.store(values), Clock::Wall, 0)
    }

    fn describe(&self) -> String {
        format!("{} of processing time", self.0.describe())
    }

    fn version(&self) -> String {
        format!("{} of processing time", self.0.version())
    }

    #[inline]
    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        at: TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool {
        // The time of day may jump back; closed windows stay closed.
        let at = at.max(W::closed_up_to(&store.store));
        self.0.add(&mut store.store, key, at, init, gathering)
    }

    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        watermark: TimestampMs,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        self.0.close(&mut store.store, watermark, merge, show)
    }
}
