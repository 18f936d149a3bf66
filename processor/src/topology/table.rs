//! Tables, and the joins of streams and tables with them, as methods.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::graph::{Graph, WantedStore};
use super::{BuildError, Builder, Stream};
use crate::operator::{
    Aggregation, Chain, Change, Drain, Junction, Latest, LatestChanges, Lookup, NodeId, Optional, RecordTime, Source,
    StageBuilder, Upsert,
};
use crate::output::StoreId;
use crate::serde::{Nullable, Serde};
use crate::state::{Handle, KeyValueStore};
use crate::types::{Owned, Reborrow, Rec};

/// A table: the latest value of each key, as a row of type `A`, for look-ups by streams and other tables.
/// Made by [`Builder::table`], [`Stream::to_table`], or [`Stream::as_table`] of an aggregation.
///
/// Each task holds the rows of its partition, in a store with a changelog. A stream that is joined with a table must be
/// partitioned like it: `build()` and the start of the job check the numbers of partitions.
pub struct Table<KS, A, D> {
    /// Its changes, which the chain `D` puts out.
    pub(super) changes: Stream<KS, D>,
    name: String,
    pub(super) store: Handle<KeyValueStore<A>>,
    /// Whether its topic is its changelog: after a restart, an older row may be missing.
    is_own_changelog: bool,
}

/// A table of a topic.
pub type TopicTable<KS, VS, A> = Table<KS, A, Upsert<Junction<Source<KS, Nullable<VS>, RecordTime>>, A>>;

impl Builder {
    /// Declares a table of the records in `topic`, which is partitioned by their key; null deletes a row.
    /// `name` names the store.
    ///
    /// The rows are kept in a changelog of the job itself, `<application id>-<name>-changelog`:
    /// the topic need not be compacted. [`Builder::compacted_table`] does without a changelog.
    pub fn table<KS, VS, A>(&mut self, topic: &str, name: &str, key: KS, value: VS) -> TopicTable<KS, VS, A>
    where
        KS: Serde,
        VS: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
    {
        self.keyed_stream(topic, key, Nullable(value.clone())).to_table(name, value)
    }
}

impl Builder {
    /// Declares a table of the records in `topic`, which is compacted and so is its own changelog: nothing is written a
    /// second time. Otherwise as [`Builder::table`].
    ///
    /// A task that starts reads its partition from the beginning to the committed offset. The start of the job checks
    /// that the topic is compacted (`cleanup.policy`); this has a name of its own, rather than following from that
    /// setting, because a setting that is changed would else decide where the rows are.
    ///
    /// # After a restart
    /// Compaction removes the older of two records of a key, even if the job has processed only the older one. A
    /// restart then finds no row for that key until the task comes to the later record. Until then:
    ///
    /// - a record of a stream that is joined with the table, of a time between the two, finds no row;
    /// - the later record is a [`Change`] without an old value: a sum that takes old values away keeps that one for
    ///   ever, and [`Table::join_foreign`] does not learn that a row is deleted. Joins of tables do: a null puts
    ///   out the deletion of a row that they do not know.
    ///
    /// None of this happens while the job commits each record of the topic before it is older than the topic's
    /// `min.compaction.lag.ms`, so set that to more than the longest stop of the job. Where that cannot be,
    /// [`Builder::table`] keeps the rows of the committed offset in a changelog of its own. A reused source topic of
    /// Kafka Streams (`reuse.ktable.source.topics`) is read in the same way, with the same effects.
    ///
    /// A record that is left out because a step behind the table fails for it is in the table after a restart, because
    /// it is in the topic.
    ///
    /// # What it refuses
    /// The rows cannot have a [`Ttl`](crate::state::Ttl): the topic has its own retention. The topic keeps its
    /// number of partitions, because a row whose key belongs to another one would stay where it was: a job whose topic
    /// has got more ends, or does not start again, and says what to do.
    pub fn compacted_table<KS, VS, A>(&mut self, topic: &str, name: &str, key: KS, value: VS) -> TopicTable<KS, VS, A>
    where
        KS: Serde,
        VS: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
    {
        let table = self.table(topic, name, key, value);
        self.graph.borrow_mut().restore_from(topic);
        Table { is_own_changelog: true, ..table }
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Declares a table of the latest value of each key. If values may be missing (`Option`), `None` deletes a row.
    /// The name of the store is `name`, and that of its changelog `<application id>-<name>-changelog`.
    pub fn to_table<S, A>(self, name: &str, value_serde: S) -> Table<KS, A, Upsert<Junction<C>, A>>
    where
        C: Chain<Value: Optional<A>>,
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        graph.refuse_null_keys(&self.key_serde, name);
        let version = format!("table, key: {}, value: {}", self.key_serde.name(), value_serde.name());
        let wanted: Vec<WantedStore<'_>> =
            vec![("", version, Box::new(move || Box::new(KeyValueStore::new(value_serde.clone()))))];
        let store = Handle::new(graph.stateful((name, "table"), wanted, &[self.node])[0]);
        let node = graph.last();
        let chain = Upsert { previous: self.junction(node), store, node };
        graph.end_alone(node, chain.clone());
        drop(graph);
        let changes = Stream { graph: self.graph, node, key_serde: self.key_serde, chain };
        Table { changes, name: name.to_owned(), store, is_own_changelog: false }
    }

    /// Joins each record with the row of its key; a record without a row is left out.
    ///
    /// The row is that of the record's event time: the task takes the records of both in the order of their times,
    /// as far as they are in the topics; `max.task.idle.ms` says how long it waits for more. Of equal times, the input
    /// that is declared first comes first.
    pub fn join_table<A, T, B, F>(
        self,
        table: &Table<KS, A, T>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, A, T, B, F>>
    where
        A: Clone + Send + 'static,
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &A) -> B + Clone + Send + Sync + 'static,
    {
        let join = move |record: &Rec<'_, KS::View, C::Value>, row: Option<&A>| row.map(|row| join(record, row));
        self.lookup("join_table", table, join)
    }

    /// Joins each record with the row of its key, or `None` if there is no row; otherwise as [`Stream::join_table`].
    pub fn left_join_table<A, T, B, F>(
        self,
        table: &Table<KS, A, T>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, A, T, B, F>>
    where
        A: Clone + Send + 'static,
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, Option<&A>) -> B + Clone + Send + Sync + 'static,
    {
        let join = move |record: &Rec<'_, KS::View, C::Value>, row: Option<&A>| Some(join(record, row));
        self.lookup("left_join_table", table, join)
    }

    fn lookup<A, T, B, F>(
        self,
        step: &str,
        table: &Table<KS, A, T>,
        join: F,
    ) -> Stream<KS, Lookup<Junction<C>, Handle<KeyValueStore<A>>, F>>
    where
        A: Clone + Send + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, Option<&A>) -> Option<B> + Clone + Send + Sync + 'static,
    {
        let node = self.looks_up_in(step, &table.changes.graph, (&table.name, table.store.id(), table.changes.node));
        let rows = table.store;
        self.then(node, |previous| Lookup { previous, rows, join })
    }

    /// Declares the step that looks up rows in the table of that name, store and step, in one sub-topology with it and
    /// partitioned like it.
    pub(super) fn looks_up_in(
        &self,
        step: &str,
        of_table: &Rc<RefCell<Graph>>,
        (name, store, table): (&str, StoreId, NodeId),
    ) -> NodeId {
        let mut graph = self.graph.borrow_mut();
        if !Rc::ptr_eq(&self.graph, of_table) {
            graph.errors.push(BuildError::ForeignStream);
            return graph.stateless(step, &[self.node]);
        }
        graph.refuse_null_keys(&self.key_serde, name);
        if graph.is_rekeyed(self.node) {
            graph.errors.push(BuildError::Rekeyed { name: name.to_owned() });
        }
        let node = graph.stateless(step, &[self.node]);
        graph.nodes[node.0].looks_in.push(table);
        graph.nodes[table.0].sides.push(node);
        let sources = graph.sources_before(self.node);
        let known = &mut graph.stores[store.0].sources;
        known.extend(sources.into_iter().filter(|topic| !known.contains(topic)).collect::<Vec<_>>());
        node
    }
}

/// The changes of a join of two tables: a row, or `None` for a deleted one.
type Rows<R> = Owned<Option<R>>;

impl<KS, C, G, A> Stream<KS, Latest<C, KS, G, A>>
where
    KS: Serde,
    C: Chain<Key = KS::View>,
    G: Aggregation<KS::View, C::Value, Kept = A, Out = A>,
    A: Clone + Send + 'static,
{
    /// Takes the values of an aggregation without windows as the rows of a table, in the store that the aggregation has
    /// anyway: a count, a sum, the least or greatest, what `reduce` and `aggregate` make. [`Stream::to_table`] behind
    /// it would keep them twice.
    ///
    /// A look-up finds the present value. The changes of the table come when the [`Emit`](crate::operator::Emit) says
    /// so: at every update, or one for each key and commit, from the value before the transaction to the one after it.
    /// Intervals are refused. So is a clone of the stream, because the table takes the place of the results:
    /// [`Table::changes`] may be used as often as needed.
    ///
    /// ```
    /// use processor::driver::TestDriver;
    /// use processor::{Emit, Topology, Utf8};
    ///
    /// let mut job = Topology::builder("regulars");
    /// let visits = job.keyed_stream("visits", Utf8, Utf8).count("visits", Emit::OnUpdate).as_table();
    /// job.keyed_stream("orders", Utf8, Utf8)
    ///     .join_table(&visits, |order, visits| format!("{} after {visits} visits", order.value))
    ///     .to("greetings", Utf8, Utf8);
    /// let mut driver = TestDriver::new(job.build().expect("a sound job"));
    /// driver.pipe("visits", Some("ann"), "", 1);
    /// driver.pipe("visits", Some("ann"), "", 2);
    /// driver.pipe("orders", Some("ann"), "tea", 3);
    /// driver.settle();
    /// assert_eq!(driver.read("greetings")[0].value_str(), "tea after 2 visits");
    /// ```
    pub fn as_table(self) -> Table<KS, A, LatestChanges<C, KS, G, A>> {
        let Self { graph: shared, node, key_serde, chain } = self;
        let (name, store) = (chain.spec.name.clone(), chain.spec.store);
        let mut graph = shared.borrow_mut();
        if graph.tees.contains_key(&node) || chain.spec.intervals.is_some() {
            graph.errors.push(BuildError::NoTable { name: name.clone() });
        }
        graph.end_alone(node, chain.clone());
        drop(graph);
        let changes = Stream { graph: shared, node, key_serde, chain: LatestChanges(chain) };
        Table { changes, name, store, is_own_changelog: false }
    }
}

impl<KS, A, C> Table<KS, A, C>
where
    KS: Serde<View: Reborrow>,
    A: Clone + Send + 'static,
    C: Chain<Key = KS::View, Value = Owned<Change<A>>>,
{
    /// Returns the changes of the rows: each with the value before and the value after.
    pub fn changes(&self) -> Stream<KS, C> {
        self.changes.clone()
    }

    /// Joins the rows of keys that are in both tables, as changes: `None` for a row that is deleted.
    /// [`Stream::to_table`] makes a table of them.
    pub fn join<B, D, R, F>(
        &self,
        other: &Table<KS, B, D>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Rows<R>> + use<KS, A, C, B, D, R, F>>
    where
        B: Clone + Send + 'static,
        D: Chain<Key = KS::View, Value = Owned<Change<B>>>,
        R: 'static,
        F: FnMut(&A, &B) -> R + Clone + Send + Sync + 'static,
    {
        self.pair(other, move |one: Option<&A>, other: Option<&B>| one.zip(other).map(|(one, other)| join(one, other)))
    }

    /// Joins each row of this table with that of the other one, or `None`; otherwise as [`Table::join`].
    pub fn left_join<B, D, R, F>(
        &self,
        other: &Table<KS, B, D>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Rows<R>> + use<KS, A, C, B, D, R, F>>
    where
        B: Clone + Send + 'static,
        D: Chain<Key = KS::View, Value = Owned<Change<B>>>,
        R: 'static,
        F: FnMut(&A, Option<&B>) -> R + Clone + Send + Sync + 'static,
    {
        self.pair(other, move |one: Option<&A>, other: Option<&B>| one.map(|one| join(one, other)))
    }

    /// Makes a row for each key of either table; otherwise as [`Table::join`].
    pub fn outer_join<B, D, R, F>(
        &self,
        other: &Table<KS, B, D>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Rows<R>> + use<KS, A, C, B, D, R, F>>
    where
        B: Clone + Send + 'static,
        D: Chain<Key = KS::View, Value = Owned<Change<B>>>,
        R: 'static,
        F: FnMut(Option<&A>, Option<&B>) -> R + Clone + Send + Sync + 'static,
    {
        self.pair(other, move |one: Option<&A>, other: Option<&B>| {
            (one.is_some() || other.is_some()).then(|| join(one, other))
        })
    }

    /// Whether the table may lose rows that are not deleted.
    fn forgets(&self) -> Arc<AtomicBool> {
        let forgets = self.changes.graph.borrow_mut().forgets(self.store.id());
        forgets.fetch_or(self.is_own_changelog, Ordering::Relaxed);
        forgets
    }

    /// Declares the steps by which a change on either side looks up the other side. Both stores have the change
    /// by then. A deletion goes on from a table that may have lost the row that is deleted.
    fn pair<B, D, R, F>(
        &self,
        other: &Table<KS, B, D>,
        mut pair: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Rows<R>> + use<KS, A, C, B, D, R, F>>
    where
        B: Clone + Send + 'static,
        D: Chain<Key = KS::View, Value = Owned<Change<B>>>,
        R: 'static,
        F: FnMut(Option<&A>, Option<&B>) -> Option<R> + Clone + Send + Sync + 'static,
    {
        let mut of_other = pair.clone();
        let (left_forgets, right_forgets) = (self.forgets(), other.forgets());
        let left = move |record: &Rec<'_, KS::View, Owned<Change<A>>>, row: Option<&B>| {
            let Change { old, new } = &record.value;
            let (before, now) = (pair(old.as_ref(), row), pair(new.as_ref(), row));
            (before.is_some() || now.is_some() || new.is_none() && left_forgets.load(Ordering::Relaxed)).then_some(now)
        };
        let right = move |record: &Rec<'_, KS::View, Owned<Change<B>>>, row: Option<&A>| {
            let Change { old, new } = &record.value;
            let (before, now) = (of_other(row, old.as_ref()), of_other(row, new.as_ref()));
            (before.is_some() || now.is_some() || new.is_none() && right_forgets.load(Ordering::Relaxed)).then_some(now)
        };
        let left = self.changes().lookup("join", other, left);
        let joined = left.merge(other.changes().lookup("join", self, right));
        joined.graph.borrow_mut().nodes[joined.node.0].emits_by_order = true;
        joined
    }
}

impl Graph {
    /// Lets a step with rows be the last one: if steps take what comes out of it, those build its chain, and otherwise
    /// it is built for the rows alone.
    fn end_alone(&mut self, node: NodeId, chain: impl Chain) {
        self.nodes[node.0].may_end = true;
        let end = move |stage: &mut StageBuilder<'_>| {
            if stage.uses(node) == 0 {
                chain.build(Drain, stage);
            }
        };
        self.ends.push((node, Box::new(end)));
    }
}
