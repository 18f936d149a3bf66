//! The steps after `window`, as methods.

use super::{BuildError, Stream};
use crate::operator::{AggregateSpec, Chain, Emit, WindowAggregate};
use crate::serde::{Serde, U64};
use crate::types::{InWindow, Owned, Reborrow, Rec, Windowed};
use crate::window::Windows;

/// A stream divided into windows: what is missing is the aggregation.
#[must_use = "windows do nothing until something is aggregated in them"]
pub struct WindowedBy<'j, KS, C, W> {
    pub(super) stream: Stream<'j, KS, C>,
    pub(super) windows: W,
}

impl<'j, KS: Serde, C: Chain<Key = KS::View>, W: Windows> WindowedBy<'j, KS, C, W> {
    /// Counts the records of each key and window. The store is `name`, its changelog `<application id>-<name>-changelog`.
    pub fn count(
        self,
        name: &str,
        emit: Emit,
    ) -> WindowedStream<'j, KS, impl Chain<Key = KS::View, Value = InWindow<u64>> + use<KS, C, W>> {
        self.aggregate(name, U64, emit, || 0, |count, _| *count += 1)
    }

    /// Gathers the records of each key and window: `init` makes the value, `aggregate` changes it, `value_serde` writes it
    /// into the changelog of the store `name`.
    ///
    /// A record whose window is closed is late: left out, and counted as such. The value is cloned once per transaction in
    /// which it changes, to be there if the transaction is aborted.
    pub fn aggregate<S, A, I, F>(
        self,
        name: &str,
        value_serde: S,
        emit: Emit,
        init: I,
        aggregate: F,
    ) -> WindowedStream<'j, KS, WindowAggregate<C, W, KS, S, I, F>>
    where
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        let Self { mut stream, windows } = self;
        if !windows.is_valid() {
            stream.job.error(BuildError::BadWindow { name: name.to_owned(), windows: windows.describe() });
        }
        if stream.key_serde.has_null() {
            stream.job.error(BuildError::NullableKey { name: name.to_owned() });
        }
        let when = match emit {
            Emit::OnClose => "on close",
            Emit::OnUpdate => "on update",
        };
        let detail = format!("windows: {}, emit: {when}", windows.describe());
        let (store, changelog) = stream.job.stateful(&mut stream.draft, name, &detail);
        let key_serde = stream.key_serde.clone();
        let spec = AggregateSpec { name: name.to_owned(), store, changelog, windows, key_serde, value_serde, emit };
        WindowedStream { stream: stream.then(|previous| WindowAggregate { previous, spec, init, aggregate }) }
    }
}

/// The results of a windowed aggregation.
#[must_use = "results go nowhere until they are mapped and sent .to(topic, ..)"]
pub struct WindowedStream<'j, KS, C> {
    stream: Stream<'j, KS, C>,
}

impl<'j, KS, A, C> WindowedStream<'j, KS, C>
where
    KS: Serde<View: Reborrow>,
    A: 'static,
    C: Chain<Key = KS::View, Value = InWindow<A>>,
{
    /// A value of its own for each result: what goes on is a plain stream, under the same key, with the last millisecond of
    /// the window as event time.
    pub fn map<B, F>(
        self,
        mut map: F,
    ) -> Stream<'j, KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, A, C, B, F>>
    where
        B: 'static,
        F: FnMut(Windowed<'_, KS::View, A>) -> B + Clone + Send + Sync + 'static,
    {
        self.stream.map(move |result: &Rec<'_, KS::View, InWindow<A>>| map(windowed(result)))
    }

    /// Only the results for which `keep` is true.
    pub fn filter<F>(
        self,
        mut keep: F,
    ) -> WindowedStream<'j, KS, impl Chain<Key = KS::View, Value = InWindow<A>> + use<KS, A, C, F>>
    where
        F: FnMut(Windowed<'_, KS::View, A>) -> bool + Clone + Send + Sync + 'static,
    {
        let keep = move |result: &Rec<'_, KS::View, InWindow<A>>| keep(windowed(result));
        WindowedStream { stream: self.stream.filter(keep) }
    }
}

fn windowed<'s, K: Reborrow, A: 'static>(result: &'s Rec<'_, K, InWindow<A>>) -> Windowed<'s, K, A> {
    let (window, value) = result.value;
    Windowed { key: K::reborrow(&result.key), window, value }
}
