//! Aggregation without windows, as methods: the latest value of each key.

use super::graph::WantedStore;
use super::windowed::KeptOf;
use super::{BuildError, Stream, intervals};
use crate::operator::{
    Average, Chain, Count, Distinct, Emit, Fold, Greatest, Junction, Kept, Latest, LatestSpec, Least, NoMerge, Number,
    Reduce, Sum, Top,
};
use crate::serde::Serde;
use crate::state::{Handle, KeyValueStore};
use crate::types::{Owned, Rec};

/// The results of the aggregation `G` of a stream: each replaces the earlier one under its key.
pub type Updates<KS, C, G> = Stream<KS, Latest<Junction<C>, KS, G, <G as KeptOf<KS, C>>::Kept>>;

/// Aggregation without windows: one value a key, for ever. [`Emit::OnClose`] is refused, since nothing closes.
impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Counts the records of each key. The name of the store is `name`, and that of its changelog `<application
    /// id>-<name>-changelog`; the same holds for the steps below.
    pub fn count(self, name: &str, emit: Emit) -> Updates<KS, C, Count> {
        self.aggregate_by(name, emit, Count)
    }

    /// Adds up a number of each record. An integer that would overflow stays at its limit.
    pub fn sum<T, F>(self, name: &str, emit: Emit, number: F) -> Updates<KS, C, Sum<F>>
    where
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Sum(number))
    }

    /// Finds the least of the numbers of the records.
    pub fn min<T, F>(self, name: &str, emit: Emit, number: F) -> Updates<KS, C, Least<F>>
    where
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Least(number))
    }

    /// Finds the greatest of the numbers of the records.
    pub fn max<T, F>(self, name: &str, emit: Emit, number: F) -> Updates<KS, C, Greatest<F>>
    where
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Greatest(number))
    }

    /// Computes the mean of a number of each record, as an `f64`.
    pub fn avg<T, F>(self, name: &str, emit: Emit, number: F) -> Updates<KS, C, Average<F>>
    where
        T: Number,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Average(number))
    }

    /// Finds the `count` greatest of the values that `of` makes of the records, greatest first: tuples that begin with
    /// the score, for example. The values are written as JSON.
    pub fn top_n<T, F>(self, name: &str, emit: Emit, count: usize, of: F) -> Updates<KS, C, Top<F>>
    where
        T: Ord + Clone + Send + serde::Serialize + serde::de::DeserializeOwned + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Top { count, of })
    }

    /// Counts the different values that `of` makes of the records. Exact, since all of them are kept, as JSON.
    pub fn count_distinct<T, F>(self, name: &str, emit: Emit, of: F) -> Updates<KS, C, Distinct<F>>
    where
        T: Ord + Clone + Send + serde::Serialize + serde::de::DeserializeOwned + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> T + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Distinct(of))
    }

    /// Makes one value of the values of each key: `reduce` adds a later value to the kept one.
    pub fn reduce<S, A, F>(self, name: &str, value_serde: S, emit: Emit, reduce: F) -> Updates<KS, C, Reduce<S, F>>
    where
        C: Chain<Value = Owned<A>>,
        A: Clone + Send + 'static,
        S: Serde<View = Owned<A>>,
        F: FnMut(&mut A, &A) + Clone + Send + Sync + 'static,
    {
        self.aggregate_by(name, emit, Reduce { serde: value_serde, reduce })
    }

    /// Gathers the records of each key: `init` makes the value, `add` changes it, and `value_serde` writes
    /// it into the changelog.
    pub fn aggregate<S, A, I, F>(
        self,
        name: &str,
        value_serde: S,
        emit: Emit,
        init: I,
        add: F,
    ) -> Updates<KS, C, Fold<S, I, F, NoMerge<A>>>
    where
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
        I: FnMut() -> A + Clone + Send + Sync + 'static,
        F: FnMut(&mut A, &Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        let merge: NoMerge<A> = |_, _| unreachable!("a key has one value");
        self.aggregate_by(name, emit, Fold::new(value_serde, init, add, merge))
    }

    /// Gathers the records of each key with an [`Aggregation`](crate::operator::Aggregation). The kept value is cloned
    /// once per transaction in which it changes, to be restored if the transaction is aborted.
    pub fn aggregate_by<G: Kept<KS::View, C::Value>>(
        self,
        name: &str,
        emit: Emit,
        aggregation: G,
    ) -> Updates<KS, C, G> {
        let mut graph = self.graph.borrow_mut();
        graph.refuse_null_keys(&self.key_serde, name);
        if matches!(emit, Emit::OnClose | Emit::AtEnd) {
            graph.errors.push(BuildError::NeverCloses { name: name.to_owned() });
        }
        let value_serde = aggregation.serde();
        let (step, key, value) = (aggregation.name(), self.key_serde.name(), value_serde.name());
        let version = format!("{step}, key: {key}, value: {value}");
        let detail = format!("emit: {}", emit.describe());
        let mut wanted: Vec<WantedStore<'_>> =
            vec![("", version, Box::new(move || Box::new(KeyValueStore::new(value_serde.clone()))))];
        wanted.extend(intervals::wanted(emit));
        let stores = graph.stateful((name, &detail), wanted, &[self.node]);
        let node = graph.last();
        graph.nodes[node.0].emits_at_commits = emit == Emit::OnUpdate;
        drop(graph);
        let spec = LatestSpec {
            name: name.to_owned(),
            store: Handle::new(stores[0]),
            key_serde: self.key_serde.clone(),
            emit,
            intervals: intervals::of(emit, &stores),
        };
        self.then(node, |previous| Latest { previous, spec, aggregation })
    }
}
