//! How each kind of window keeps what is gathered in it, and when it closes. One file per kind.

mod assigned;
mod lenient;
mod processing_time;
mod session;
mod sliding;

use kafka_wire::types::TimestampMs;

pub use lenient::Lenient;
pub use session::{Activity, SessionTiming};
pub use sliding::PaneTiming;

use super::Expected;
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Clock, Closing};
use crate::types::{Owned, Window};

/// A kind of window, with its store. Values of type `A` are what is gathered.
pub trait Windowing: Clone + Send + Sync + 'static {
    /// The store of a task.
    type Store<A: Clone + Send + 'static>: Closing;

    /// The clock that windows close by.
    const CLOCK: Clock = Clock::Event;

    /// Whether it pays to tell the store ahead what comes, by [`Windowing::expect`].
    const LOOKS_AHEAD: bool = false;

    /// These records come next: brings what they will need of the store into the cache. Nothing else may follow from it.
    fn expect<A: Clone + Send + 'static>(&self, _store: &Self::Store<A>, _ahead: &[Expected<'_>]) {}

    /// An empty store.
    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A>;

    /// Whether the sizes make sense; `build()` refuses the topology otherwise.
    fn is_valid(&self) -> bool;

    /// Kind and sizes, for `describe()`.
    fn describe(&self) -> String;

    /// What state depends on: another text under the same name is refused.
    fn version(&self) -> String {
        self.describe()
    }

    /// The time up to which windows are closed.
    fn closed_up_to<A: Clone + Send + 'static>(store: &Self::Store<A>) -> TimestampMs;

    /// Adds to the windows of `at` that are open, what `init` makes where nothing is; whether there was one.
    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        at: TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool;

    /// A time that is in the same open windows of a key as `at`, and the same one for as many times as possible.
    fn anchor<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, key: &[u8], at: TimestampMs) -> TimestampMs;

    /// Shows the open windows of a key that `at` is in, earliest first.
    ///
    /// # Errors
    /// Those of `show`.
    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        key: &[u8],
        at: TimestampMs,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError>;

    /// Closes the windows that are due at `watermark`, in the order of their ends: shows each, and whether the open transaction has
    /// changed it.
    ///
    /// # Errors
    /// Those of `show`; the transaction must be rolled back then.
    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        watermark: TimestampMs,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError>;

    /// Shows the open windows that the open transaction has changed, each as it is now.
    ///
    /// # Errors
    /// Those of `show`.
    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError>;
}

/// Windows of which none is made of two: what is gathered in them needs no `merge`.
pub trait Unmerged: Windowing {}

impl<W: crate::window::Windows> Unmerged for W {}
impl<W: Unmerged> Unmerged for Lenient<W> {}
impl<W: Unmerged> Unmerged for crate::window::ProcessingTime<W> {}

/// Gets what was gathered for a key in a window.
pub type Show<'s, A> = dyn FnMut(Window, &[u8], &A) -> Result<(), ProcessError> + 's;

/// A record on its way into windows.
pub trait Gathering<A> {
    /// Adds the record.
    fn add(&mut self, kept: &mut A);

    /// Adds what was gathered of later records.
    fn merge(&mut self, kept: &mut A, later: &A);
}
