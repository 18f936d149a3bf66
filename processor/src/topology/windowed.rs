//! `window`, and the steps after it, as methods.

use super::{BuildError, Stream};
use crate::operator::{AggregateSpec, Chain, Emit, Junction, WindowAggregate};
use crate::serde::{Serde, U64};
use crate::state::{Handle, WindowStore};
use crate::types::{InWindow, Owned, Reborrow, Rec, Windowed};
use crate::window::Windows;

/// A stream divided into windows: what is missing is the aggregation.
#[must_use = "windows do nothing until something is aggregated in them"]
pub struct WindowedBy<KS, C, W> {
    pub(super) stream: Stream<KS, C>,
    pub(super) windows: W,
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Divides each key's records into windows of event time, to be aggregated.
    pub fn window<W: Windows>(self, windows: W) -> WindowedBy<KS, C, W> {
        WindowedBy { stream: self, windows }
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>, W: Windows> WindowedBy<KS, C, W> {
    /// Counts the records of each key and window. The store is `name`, its changelog `<application
    /// id>-<name>-changelog`.
    pub fn count(
        self,
        name: &str,
        emit: Emit,
    ) -> WindowedStream<KS, impl Chain<Key = KS::View, Value = InWindow<u64>> + use<KS, C, W>> {
        self.gather((name, "count"), U64, emit, || 0, |count, _| *count += 1)
    }

    /// Gathers the records of each key and window: `init` makes the value, `aggregate` changes it, `value_serde`
    /// writes it into the changelog of the store `name`.
    ///
    /// A record whose window is closed is late: left out, and counted as such. The value is cloned once per
    /// transaction in which it changes, to be there if the transaction is aborted.
    pub fn aggregate<S, A, I, F>(
        self,
        name: &str,
        value_serde: S,
        emit: Emit,
        init: I,
        aggregate: F,
    ) -> WindowedStream<KS, WindowAggregate<Junction<C>, W, KS, A, I, F>>
    where
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        self.gather((name, "aggregate"), value_serde, emit, init, aggregate)
    }

    fn gather<S, A, I, F>(
        self,
        (name, step): (&str, &str),
        value_serde: S,
        emit: Emit,
        init: I,
        aggregate: F,
    ) -> WindowedStream<KS, WindowAggregate<Junction<C>, W, KS, A, I, F>>
    where
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        let Self { stream, windows } = self;
        let mut graph = stream.graph.borrow_mut();
        if !windows.is_valid() {
            graph.errors.push(BuildError::BadWindow { name: name.to_owned(), windows: windows.describe() });
        }
        if stream.key_serde.has_null() {
            graph.errors.push(BuildError::NullableKey { name: name.to_owned() });
        }
        let when = match emit {
            Emit::OnClose => "on close",
            Emit::OnUpdate => "on update",
        };
        let windows_text = windows.describe();
        let (key, value) = (stream.key_serde.name(), value_serde.name());
        let version = format!("{step}, windows: {windows_text}, key: {key}, value: {value}");
        let make =
            Box::new(move || -> Box<dyn crate::state::Store> { Box::new(WindowStore::new(value_serde.clone())) });
        let detail = format!("windows: {windows_text}, emit: {when}");
        let stores = graph.stateful((name, &detail), vec![("", version, make)], stream.node);
        let node = graph.last();
        drop(graph);
        let (store, key_serde) = (Handle::new(stores[0]), stream.key_serde.clone());
        let spec = AggregateSpec { name: name.to_owned(), store, windows, key_serde, emit };
        WindowedStream { stream: stream.then(node, |previous| WindowAggregate { previous, spec, init, aggregate }) }
    }
}

/// The results of a windowed aggregation. Clone it to use them more than once.
#[must_use = "results go nowhere until they are mapped and sent .to(topic, ..)"]
pub struct WindowedStream<KS, C> {
    stream: Stream<KS, C>,
}

impl<KS: Serde, C: Chain<Key: Reborrow, Value: Reborrow>> Clone for WindowedStream<KS, C> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone() }
    }
}

impl<KS, A, C> WindowedStream<KS, C>
where
    KS: Serde<View: Reborrow>,
    A: 'static,
    C: Chain<Key = KS::View, Value = InWindow<A>>,
{
    /// A value of its own for each result: what goes on is a plain stream, under the same key, with the last
    /// millisecond of the window as event time.
    pub fn map<B, F>(self, mut map: F) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, A, C, B, F>>
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
    ) -> WindowedStream<KS, impl Chain<Key = KS::View, Value = InWindow<A>> + use<KS, A, C, F>>
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
