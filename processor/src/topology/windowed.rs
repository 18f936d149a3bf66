//! `window`, and the steps after it, as methods.

use std::rc::Rc;
use std::time::Duration;

use super::{BuildError, Stream, intervals};
use crate::operator::{
    AggregateSpec, Aggregation, Average, Chain, Count, Distinct, Emit, EmitRule, Fold, Greatest, Junction, Kept, Least,
    Lenient, NoMerge, Number, Reduce, Rule, Side, Sum, Top, Unmerged, When, WindowAggregate, WindowedKeys, Windowing,
};
use crate::serde::{Serde, WithWindow};
use crate::state::{Handle, Store};
use crate::types::{InWindow, Owned, Reborrow, Rec, Windowed};

/// A stream divided into windows, which has to be aggregated.
#[must_use = "windows do nothing until something is aggregated in them"]
pub struct WindowedBy<KS: Serde, C: Chain, W> {
    pub(super) stream: Stream<KS, C>,
    pub(super) windows: W,
    /// The steps for late records.
    late: Option<LateSteps<KS, C>>,
}

/// A closure that declares the steps for late records.
type LateSteps<KS, C> = Box<dyn FnOnce(Stream<KS, Side<<KS as Serde>::View, <C as Chain>::Value>>)>;

/// The results of the aggregation `G` in the windows `W` of a stream.
pub type Gathered<KS, C, W, G> = WindowedStream<KS, WindowAggregate<Junction<C>, W, KS, G, <G as KeptOf<KS, C>>::Kept>>;

/// The kept value of an aggregation of a stream.
pub trait KeptOf<KS, C> {
    /// See [`Aggregation::Kept`](crate::operator::Aggregation::Kept).
    type Kept: Clone + Send + 'static;
}

impl<KS: Serde, C: Chain<Key = KS::View>, G: Kept<KS::View, C::Value>> KeptOf<KS, C> for G {
    type Kept = G::Kept;
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Divides the records of each key into windows, to be aggregated: [`Tumbling`](crate::window::Tumbling),
    /// [`Sliding`](crate::window::Sliding), [`SlidingByRecord`](crate::window::SlidingByRecord) and
    /// [`SessionWindow`](crate::window::SessionWindow) by event time, and each of them in
    /// [`ProcessingTime`](crate::window::ProcessingTime); or by the number of records: [`Count`](crate::window::Count).
    pub fn window<W: Windowing>(self, windows: W) -> WindowedBy<KS, C, W> {
        WindowedBy { stream: self, windows, late: None }
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>, W: Windowing> WindowedBy<KS, C, W> {
    /// Closes windows only `lateness` after the watermark has reached their ends: records that come in the meantime are
    /// not late. This is the grace period of Kafka Streams. A windowed step behind this one needs the same lateness,
    /// or the results are late there.
    pub fn lateness(self, lateness: Duration) -> WindowedBy<KS, C, Lenient<W>> {
        let Self { stream, windows, late } = self;
        let lateness_ms = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        WindowedBy { stream, windows: Lenient { windows, lateness_ms }, late }
    }

    /// Declares the steps for late records, whose windows are all closed: `steps` gets the stream of them, which must
    /// end in an output. They are counted as late in any case.
    pub fn on_late(self, steps: impl FnOnce(Stream<KS, Side<KS::View, C::Value>>) + 'static) -> Self {
        Self { late: Some(Box::new(steps)), ..self }
    }

    /// Counts the records of each key and window. The name of the store is `name`, and that of its changelog
    /// `<application id>-<name>-changelog`; the same holds for the steps below. Results come out when an
    /// [`Emit`] says so, or a [`Trigger`](crate::operator::Trigger) of your own.
    pub fn count<E: EmitRule>(self, name: &str, emit: E) -> Gathered<KS, C, E::On<W>, Count> {
        self.aggregate_by(name, emit, Count)
    }

    /// Adds up a number of each record. An integer that would overflow stays at its limit.
    pub fn sum<E, T, F>(self, name: &str, emit: E, number: F) -> Gathered<KS, C, E::On<W>, Sum<F>>
    where
        E: EmitRule,
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Sum(number))
    }

    /// Finds the least of the numbers of the records.
    pub fn min<E, T, F>(self, name: &str, emit: E, number: F) -> Gathered<KS, C, E::On<W>, Least<F>>
    where
        E: EmitRule,
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Least(number))
    }

    /// Finds the greatest of the numbers of the records.
    pub fn max<E, T, F>(self, name: &str, emit: E, number: F) -> Gathered<KS, C, E::On<W>, Greatest<F>>
    where
        E: EmitRule,
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Greatest(number))
    }

    /// Computes the mean of a number of each record, as an `f64`.
    pub fn avg<E, T, F>(self, name: &str, emit: E, number: F) -> Gathered<KS, C, E::On<W>, Average<F>>
    where
        E: EmitRule,
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Average(number))
    }

    /// Finds the `count` greatest of the values that `of` makes of the records, greatest first: tuples that begin with
    /// the score, for example. The values are written as JSON.
    pub fn top_n<E, T, F>(self, name: &str, emit: E, count: usize, of: F) -> Gathered<KS, C, E::On<W>, Top<F>>
    where
        E: EmitRule,
        T: Ord + Clone + Send + serde::Serialize + serde::de::DeserializeOwned + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Top { count, of })
    }

    /// Counts the different values that `of` makes of the records. Exact, since all of them are kept, as JSON.
    pub fn count_distinct<E, T, F>(self, name: &str, emit: E, of: F) -> Gathered<KS, C, E::On<W>, Distinct<F>>
    where
        E: EmitRule,
        T: Ord + Clone + Send + serde::Serialize + serde::de::DeserializeOwned + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Distinct(of))
    }

    /// Makes one value of the values of each key and window: `reduce` adds a later value to the kept one.
    pub fn reduce<E, S, A, F>(
        self,
        name: &str,
        value_serde: S,
        emit: E,
        reduce: F,
    ) -> Gathered<KS, C, E::On<W>, Reduce<S, F>>
    where
        E: EmitRule,
        C: Chain<Value = Owned<A>>,
        A: Clone + Send + 'static,
        S: Serde<View = Owned<A>>,
        F: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Reduce { serde: value_serde, reduce })
    }

    /// Gathers the records of each key and window, for windows of any kind: `init` makes the value, `add` changes it,
    /// `merge` adds the value of later records to it, and `value_serde` writes it. See [`WindowedBy::aggregate`].
    pub fn aggregate_merged<E, S, A, I, F, M>(
        self,
        name: &str,
        value_serde: S,
        emit: E,
        init: I,
        add: F,
        merge: M,
    ) -> Gathered<KS, C, E::On<W>, Fold<S, I, F, M>>
    where
        E: EmitRule,
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
        M: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Fold::new(value_serde, init, add, merge))
    }

    /// Gathers the records of each key and window with an [`Aggregation`](crate::operator::Aggregation).
    ///
    /// A record whose windows are closed is late: it is left out and counted. The kept value is cloned once per
    /// transaction in which it changes, to be restored if the transaction is aborted.
    pub fn aggregate_by<E: EmitRule, G: Kept<KS::View, C::Value>>(
        self,
        name: &str,
        emit: E,
        aggregation: G,
    ) -> Gathered<KS, C, E::On<W>, G> {
        let Self { stream, windows, late } = self;
        let windows = E::on(windows);
        let When(rule) = emit.into();
        let (emit, trigger) = match rule {
            Rule::Emit(emit) => (emit, None),
            Rule::Trigger(trigger) => (Emit::AtEnd, Some(trigger)),
        };
        let mut graph = stream.graph.borrow_mut();
        if !windows.is_valid() {
            graph.errors.push(BuildError::BadWindow { name: name.to_owned(), windows: windows.describe() });
        }
        if trigger.is_some() && !E::On::<W>::TAKES_TRIGGERS {
            graph.errors.push(BuildError::NoTrigger { name: name.to_owned(), windows: windows.describe() });
        } else if E::On::<W>::COMPLETES && emit == Emit::AtEnd {
            graph.errors.push(BuildError::NeverCloses { name: name.to_owned() });
        }
        graph.refuse_null_keys(&stream.key_serde, name);
        let value_serde = aggregation.serde();
        let (step, key, value) = (aggregation.name(), stream.key_serde.name(), value_serde.name());
        let version = format!("{step}, windows: {}, key: {key}, value: {value}", windows.version());
        let of_store = windows.clone();
        let make = Box::new(move || -> Box<dyn Store> { Box::new(of_store.store(value_serde.clone())) });
        let when = trigger.as_ref().map_or_else(|| emit.describe(), |trigger| trigger.describe());
        let detail = format!("windows: {}, emit: {when}", windows.describe());
        let mut wanted: Vec<super::graph::WantedStore<'_>> = vec![("", version, make)];
        match &trigger {
            None => wanted.extend(intervals::wanted(emit)),
            Some(trigger) => wanted.extend(intervals::wanted_by_trigger(&when, trigger.states())),
        }
        let stores = graph.stateful((name, &detail), wanted, &[stream.node]);
        let node = graph.last();
        graph.nodes[node.0].emits_at_commits = emit == Emit::OnUpdate;
        drop(graph);
        let (side, finals) = (stream.side(node, "late"), stream.side::<InWindow<G::Out>>(node, "finals").node);
        let spec = AggregateSpec {
            name: name.to_owned(),
            store: Handle::new(stores[0]),
            windows,
            key_serde: stream.key_serde.clone(),
            emit,
            intervals: intervals::of(emit, &stores).filter(|_| trigger.is_none()),
            trigger: trigger
                .map(|trigger| trigger.connect((stores[2], stores[1]), E::On::<W>::MERGES, E::On::<W>::CLOCK)),
            late: side.node,
            finals,
        };
        if let Some(steps) = late {
            steps(side);
        }
        WindowedStream { stream: stream.then(node, |previous| WindowAggregate { previous, spec, aggregation }) }
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>, W: Windowing> WindowedBy<KS, C, W> {
    /// Gathers the records of each key and window: `init` makes the value, `aggregate` changes it,
    /// and `value_serde` writes it into the changelog of the store `name`. For windows that slide and sessions
    /// see [`WindowedBy::aggregate_merged`].
    ///
    /// A record whose window is closed is late: it is left out, and counted as late. The value is cloned once per
    /// transaction in which it changes, for the case that the transaction is aborted.
    pub fn aggregate<E, S, A, I, F>(
        self,
        name: &str,
        value_serde: S,
        emit: E,
        init: I,
        aggregate: F,
    ) -> Gathered<KS, C, E::On<W>, Fold<S, I, F, NoMerge<A>>>
    where
        W: Unmerged,
        E: EmitRule,
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        let merge: NoMerge<A> = |_, _| unreachable!("such windows never make one of two");
        self.aggregate_by(name, emit, Fold::new(value_serde, init, aggregate, merge))
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

impl<KS, C, W, G, A> WindowedStream<KS, WindowAggregate<C, W, KS, G, A>>
where
    KS: Serde,
    W: Windowing,
    G: Aggregation<KS::View, C::Value, Kept = A>,
    A: Clone + Send + 'static,
    C: Chain<Key = KS::View>,
{
    /// The final results beside these: one for each key and window, when the window closes, whatever the
    /// [`Emit`] of these results is. So updates and finals come from one aggregation and one store, as in Kafka Streams
    /// with `suppress(untilWindowCloses(..))`. Of a window that closes, the final comes before the last update.
    pub fn finals(&self) -> WindowedStream<KS, Side<KS::View, InWindow<G::Out>>> {
        let AggregateSpec { finals, key_serde, name, .. } = &self.stream.chain.spec;
        if W::COMPLETES {
            self.stream.graph.borrow_mut().errors.push(BuildError::NeverCloses { name: name.clone() });
        }
        let (graph, node, key_serde) = (Rc::clone(&self.stream.graph), *finals, key_serde.clone());
        WindowedStream { stream: Stream { graph, node, key_serde, chain: Side::new(node) } }
    }
}

impl<KS, A, C> WindowedStream<KS, C>
where
    KS: Serde<View: Reborrow>,
    A: 'static,
    C: Chain<Key = KS::View, Value = InWindow<A>>,
{
    /// Makes each result a record of a plain stream, whose key is the key with its window. As after
    /// [`Stream::select_key`], `build()` refuses state before a shuffle.
    ///
    /// `.to(topic, TimeWindowed::new(..), ..)` then writes what Kafka Streams writes with a `TimeWindowedSerde`, and
    /// [`SessionWindowed`](crate::serde::SessionWindowed) what it writes for sessions.
    pub fn windowed_keys<S>(self, key_serde: S) -> Stream<S, WindowedKeys<Junction<C>>>
    where
        S: Serde<View = WithWindow<KS::View>>,
        A: Clone,
    {
        let Stream { graph, chain, node: previous, .. } = self.stream;
        let node = graph.borrow_mut().stateless("windowed_keys", &[previous]);
        graph.borrow_mut().nodes[node.0].rekeys = true;
        let previous = Junction { chain, node: previous, before: node };
        Stream { graph, node, key_serde, chain: WindowedKeys { previous } }
    }

    /// Makes a value for each result. The output is a plain stream, with the same key, and the last millisecond of the
    /// window as event time.
    pub fn map<B, F>(self, mut map: F) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, A, C, B, F>>
    where
        B: 'static,
        F: FnMut(Windowed<'_, KS::View, A>) -> B + Clone + Send + Sync + 'static,
    {
        self.stream.map(move |result: &Rec<'_, KS::View, InWindow<A>>| map(windowed(result)))
    }

    /// Keeps only the results for which `keep` is true.
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
