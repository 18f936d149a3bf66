//! The kinds of windows: how each keeps the values gathered in its windows, and when a window closes.
//! One file per kind.

/// Passes the methods that a kind of window leaves as they are on to the windows of type `$inner` in its field
/// `$windows`, whose store is in a [`ClosedBy`](crate::state::ClosedBy).
macro_rules! pass_on {
    ($inner:ident, $windows:tt) => {
        /// Windows that their records complete have no clock.
        fn is_valid(&self) -> bool {
            self.$windows.is_valid() && !$inner::COMPLETES
        }

        #[inline]
        fn closed_up_to<A: Clone + Send + 'static>(store: &Self::Store<A>) -> TimestampMs {
            $inner::closed_up_to(&store.store)
        }

        fn last_time(window: Window) -> TimestampMs {
            $inner::last_time(window)
        }

        fn begin_anew<A: Clone + Send + 'static>(
            &self,
            store: &mut Self::Store<A>,
            window: Window,
            key: &[u8],
            value: A,
        ) {
            self.$windows.begin_anew(&mut store.store, window, key, value);
        }

        fn anchor<A: Clone + Send + 'static>(
            &self,
            store: &Self::Store<A>,
            key: &[u8],
            at: TimestampMs,
        ) -> TimestampMs {
            self.$windows.anchor(&store.store, key, at)
        }

        fn containing<A: Clone + Send + 'static>(
            &self,
            store: &Self::Store<A>,
            key: &[u8],
            at: TimestampMs,
            wanted: &mut dyn FnMut(Window) -> bool,
            merge: &mut dyn FnMut(&mut A, &A),
            show: &mut Show<'_, A>,
        ) -> Result<(), ProcessError> {
            self.$windows.containing(&store.store, key, at, wanted, merge, show)
        }

        fn only<A: Clone + Send + 'static>(
            &self,
            store: &Self::Store<A>,
            wanted: (Window, &[u8]),
            merge: &mut dyn FnMut(&mut A, &A),
            show: &mut Show<'_, A>,
        ) -> Result<(), ProcessError> {
            self.$windows.only(&store.store, wanted, merge, show)
        }

        fn changed<A: Clone + Send + 'static>(
            &self,
            store: &Self::Store<A>,
            merge: &mut dyn FnMut(&mut A, &A),
            show: &mut Show<'_, A>,
        ) -> Result<(), ProcessError> {
            self.$windows.changed(&store.store, merge, show)
        }
    };
}

/// The choice of windows that keep their values in one way only.
macro_rules! never_apart {
    () => {
        type Apart = Self;

        fn apart(self) -> Self {
            self
        }
    };
}

/// The part of time in windows that their records complete: it closes none, and a key has one open window at any time.
macro_rules! no_time {
    () => {
        never_apart!();

        const COMPLETES: bool = true;

        fn closed_up_to<A: Clone + Send + 'static>(_: &Self::Store<A>) -> TimestampMs {
            TimestampMs(i64::MIN)
        }

        fn anchor<A: Clone + Send + 'static>(&self, _: &Self::Store<A>, _: &[u8], _: TimestampMs) -> TimestampMs {
            TimestampMs(0)
        }

        fn close<A: Clone + Send + 'static>(
            &self,
            _store: &mut Self::Store<A>,
            _watermark: TimestampMs,
            _merge: &mut dyn FnMut(&mut A, &A),
            _show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
        ) -> Result<(), ProcessError> {
            Ok(())
        }
    };
}

mod assigned;
mod count;
mod lenient;
mod processing_time;
mod session_window;
mod sliding;
mod sliding_by_record;
mod sliding_count;

use kafka_wire::types::TimestampMs;

pub use count::Counted;
pub use lenient::Lenient;
pub use session_window::{Activity, SessionWindowTiming};
pub use sliding::PaneTiming;
pub use sliding_count::ByCount;

use super::Expected;
use crate::error::ProcessError;
use crate::serde::Serde;
use crate::state::{Clock, Closing};
use crate::types::{Owned, Window};

/// A kind of window, with its store. `A` is the type of the gathered values.
pub trait Windowing: Clone + Send + Sync + 'static {
    /// The store that a task holds.
    type Store<A: Clone + Send + 'static>: Closing;

    /// The clock by which windows close.
    const CLOCK: Clock = Clock::Event;

    /// Whether records complete windows, by [`Windowing::complete`], and time does not.
    const COMPLETES: bool = false;

    /// The same windows with a value for each window and key, which a trigger needs; the windows themselves for kinds
    /// that have no other.
    type Apart: Windowing;

    /// Makes such windows of these.
    fn apart(self) -> Self::Apart;

    /// Whether two windows of a key may become one.
    const MERGES: bool = false;

    /// Whether each window has a value of its own, which a trigger can put out and begin anew.
    const TAKES_TRIGGERS: bool = false;

    /// Whether [`Windowing::expect`] saves time.
    const LOOKS_AHEAD: bool = false;

    /// Tells the store of the records that come next, so that it brings the entries that they need into the cache.
    /// Results must not depend on it.
    fn expect<A: Clone + Send + 'static>(&self, _store: &Self::Store<A>, _ahead: &[Expected<'_>]) {}

    /// Makes an empty store.
    fn store<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&self, values: S) -> Self::Store<A>;

    /// Whether the sizes make sense; `build()` refuses the topology otherwise.
    fn is_valid(&self) -> bool;

    /// Returns the kind and the sizes, for `describe()`.
    fn describe(&self) -> String;

    /// Returns the text that identifies the layout of the state. State that was written under the same name with
    /// another text is refused.
    fn version(&self) -> String {
        self.describe()
    }

    /// Returns the time up to which windows are closed.
    fn closed_up_to<A: Clone + Send + 'static>(store: &Self::Store<A>) -> TimestampMs;

    /// Returns the latest event time of a result of a window.
    fn last_time(window: Window) -> TimestampMs {
        window.max_timestamp()
    }

    /// Adds to the values of the open windows that contain `at`, starting from `init` where there is no value.
    /// Returns whether there was an open window.
    fn add<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        key: &[u8],
        at: TimestampMs,
        init: &mut impl FnMut() -> A,
        gathering: &mut impl Gathering<A>,
    ) -> bool;

    /// Shows the window of the key that the last record has completed, if it has, and begins a new one.
    ///
    /// # Errors
    /// The errors of `show`.
    fn complete<A: Clone + Send + 'static>(
        &self,
        _store: &mut Self::Store<A>,
        _key: &[u8],
        _merge: &mut dyn FnMut(&mut A, &A),
        _show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        Ok(())
    }

    /// Whether the last record of the key has completed a window, which has come out and stays for the next records.
    fn is_complete<A: Clone + Send + 'static>(&self, _store: &Self::Store<A>, _key: &[u8]) -> bool {
        false
    }

    /// Replaces the value of an open window, for windows that take triggers.
    fn begin_anew<A: Clone + Send + 'static>(
        &self,
        _store: &mut Self::Store<A>,
        _window: Window,
        _key: &[u8],
        _value: A,
    ) {
        unreachable!("build() refuses triggers for such windows");
    }

    /// Returns a time that is in the same open windows of a key as `at`. It is the same one for as many times
    /// as possible.
    fn anchor<A: Clone + Send + 'static>(&self, store: &Self::Store<A>, key: &[u8], at: TimestampMs) -> TimestampMs;

    /// Shows the open windows of a key that contain `at` and that are wanted, earliest first. Only those are put
    /// together.
    ///
    /// # Errors
    /// The errors of `show`.
    fn containing<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        key: &[u8],
        at: TimestampMs,
        wanted: &mut dyn FnMut(Window) -> bool,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError>;

    /// Shows one window of a key, if it is open and has a value.
    ///
    /// # Errors
    /// The errors of `show`.
    fn only<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        (wanted, key): (Window, &[u8]),
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError> {
        self.containing(store, key, TimestampMs(wanted.start), &mut |window| window == wanted, merge, show)
    }

    /// Closes the windows that are due at `watermark`, in the order of their ends. Shows each, and whether the open
    /// transaction has changed it.
    ///
    /// # Errors
    /// The errors of `show`; the transaction must be rolled back then.
    fn close<A: Clone + Send + 'static>(
        &self,
        store: &mut Self::Store<A>,
        watermark: TimestampMs,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut dyn FnMut(Window, &[u8], &A, bool) -> Result<(), ProcessError>,
    ) -> Result<(), ProcessError>;

    /// Shows the open windows that the open transaction has changed, each with its current value.
    ///
    /// # Errors
    /// The errors of `show`.
    fn changed<A: Clone + Send + 'static>(
        &self,
        store: &Self::Store<A>,
        merge: &mut dyn FnMut(&mut A, &A),
        show: &mut Show<'_, A>,
    ) -> Result<(), ProcessError>;
}

/// Kinds of windows that never merge two windows: their aggregations need no `merge`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` merges values, of two windows or of the panes that windows share, and `aggregate` does not say how",
    label = "use `aggregate_merged`, which takes a closure for that"
)]
pub trait Unmerged: Windowing {}

impl<W: crate::window::Windows> Unmerged for W {}
impl Unmerged for crate::window::Count {}
impl<W: Unmerged> Unmerged for Lenient<W> {}
impl<W: Unmerged> Unmerged for crate::window::ProcessingTime<W> {}

/// A closure that gets the value gathered for a key in a window.
pub type Show<'s, A> = dyn FnMut(Window, &[u8], &A) -> Result<(), ProcessError> + 's;

/// A record on its way into windows.
pub trait Gathering<A> {
    /// Adds the record to the kept value.
    fn add(&mut self, kept: &mut A);

    /// Adds the value gathered of later records.
    fn merge(&mut self, kept: &mut A, later: &A);
}
