//! Windows that wait for late records.

use kafka_wire::types::TimestampMs;

use super::{Expected, Gathering, Show, Windowing};
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Clock, ClosedBy};
use crate::types::{Owned, Window};

/// Windows that close some time after the watermark has reached their ends: records that come in the meantime are
/// not late.
#[derive(Clone, Copy, Debug)]
pub struct Lenient<W> {
    pub(crate) windows: W,
    pub(crate) lateness_ms: i64,
}

impl<W: Windowing> Windowing for Lenient<W> {
    type Store<A: Clone + Send + 'static> = ClosedBy<W::Store<A>>;
    type Apart = Lenient<W::Apart>;

    fn apart(self) -> Lenient<W::Apart> {
        Lenient { windows: self.windows.apart(), lateness_ms: self.lateness_ms }
    }

    const CLOCK: Clock = W::CLOCK;
    const MERGES: bool = W::MERGES;
    const TAKES_TRIGGERS: bool = W::TAKES_TRIGGERS;
    const LOOKS_AHEAD: bool = W::LOOKS_AHEAD;

    fn expect<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, ahead: &[Expected<'_>]) {
        self.windows.expect(&store.store, ahead);
    }

    pass_on!(W, windows);

    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A> {
        ClosedBy::new(self.windows.store(values), W::CLOCK, self.lateness_ms)
    }

    fn describe(&self) -> String {
        format!("{}, lateness {} ms", self.windows.describe(), self.lateness_ms)
    }

    fn version(&self) -> String {
        self.windows.version()
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
        self.windows.add(&mut store.store, key, at, init, gathering)
    }

    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        watermark: TimestampMs,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError> {
        let reached = TimestampMs(watermark.0.saturating_sub(self.lateness_ms));
        self.windows.close(&mut store.store, reached, merge, show)
    }
}
