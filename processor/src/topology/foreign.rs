//! The joins of a table with the rows that its rows point to, as methods.

use std::rc::Rc;

use super::graph::{Graph, Shuffle, WantedStore};
use super::{BuildError, Stream, Table};
use crate::operator::{
    ANY_JUMP, AnswerSerde, Answering, AnsweringSpec, Chain, Change, Crossing, NodeId, RecordTime, Reveal, RevealSpec,
    ShownSerde, Source, Subscribe, SubscribeSpec, Subscriber, SubscriberSerde, SubscriptionSerde,
};
use crate::serde::{Raw, Serde, U64};
use crate::state::{Handle, KeyValueStore, SortedStore, TimerStore};
use crate::types::{Owned, Partitions, Reborrow, View};

impl<KS, A, C> Table<KS, A, C>
where
    KS: Serde<View: Reborrow>,
    A: Clone + Send + 'static,
    C: Chain<Key = KS::View, Value = Owned<Change<A>>>,
{
    /// Joins each row with the row of `other` that it points to by the key that `key_of` returns, as changes: `None`
    /// for a result that is deleted. [`Stream::to_table`] makes a table of them. A row without such a key, or whose key
    /// has no row there, has no result.
    ///
    /// A change on either side brings out the results that it changes: one for a row of this table, one for each row
    /// that points to it for a row of `other`. A result is that of the rows that were there when the later of the two
    /// came. Results of a key come in the order of its rows: an answer that a later row has overtaken is dropped.
    ///
    /// Rows and results cross two shuffles, `<application id>-<name>-subscription-repartition` and
    /// `..-response-repartition`, as `across` says: the number of their partitions, which must be that of `other`, the
    /// serde of the rows of this table, and that of the results. Results come out partitioned by the key of this table.
    /// In memory, and in changelogs, are each row of this table twice, the number of its last change, and 24 bytes a
    /// result. `key_of` must return the same key for the same row at any time.
    pub fn join_foreign<KF, B, D, SA, SR, R, K, F>(
        &self,
        name: &str,
        other: &Table<KF, B, D>,
        across: (Partitions, SA, SR),
        key_of: K,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<Option<R>>> + use<KS, A, C, KF, B, D, SA, SR, R, K, F>>
    where
        KF: Serde<View: Reborrow>,
        B: Clone + Send + 'static,
        D: Chain<Key = KF::View, Value = Owned<Change<B>>>,
        SA: Serde<View = Owned<A>>,
        SR: Serde<View = Owned<R>>,
        R: 'static,
        K: for<'a> FnMut(&'a A) -> Option<<KF::View as View>::Ref<'a>> + Clone + Send + Sync + 'static,
        F: FnMut(&A, &B) -> R + Clone + Send + Sync + 'static,
    {
        let join = move |row: &A, other: Option<&B>| other.map(|other| join(row, other));
        self.foreign((name, false), other, across, key_of, join)
    }

    /// Joins each row with the row of `other` that it points to, or `None`; otherwise as [`Table::join_foreign`].
    pub fn left_join_foreign<KF, B, D, SA, SR, R, K, F>(
        &self,
        name: &str,
        other: &Table<KF, B, D>,
        across: (Partitions, SA, SR),
        key_of: K,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<Option<R>>> + use<KS, A, C, KF, B, D, SA, SR, R, K, F>>
    where
        KF: Serde<View: Reborrow>,
        B: Clone + Send + 'static,
        D: Chain<Key = KF::View, Value = Owned<Change<B>>>,
        SA: Serde<View = Owned<A>>,
        SR: Serde<View = Owned<R>>,
        R: 'static,
        K: for<'a> FnMut(&'a A) -> Option<<KF::View as View>::Ref<'a>> + Clone + Send + Sync + 'static,
        F: FnMut(&A, Option<&B>) -> R + Clone + Send + Sync + 'static,
    {
        let join = move |row: &A, other: Option<&B>| Some(join(row, other));
        self.foreign((name, true), other, across, key_of, join)
    }

    /// Declares the three parts of the join: in the sub-topology of this table, in that of the other one, and behind
    /// both shuffles.
    fn foreign<KF, B, D, SA, SR, R, K, F>(
        &self,
        (name, may_be_alone): (&str, bool),
        other: &Table<KF, B, D>,
        (partitions, row_serde, result_serde): (Partitions, SA, SR),
        key_of: K,
        join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<Option<R>>> + use<KS, A, C, KF, B, D, SA, SR, R, K, F>>
    where
        KF: Serde<View: Reborrow>,
        B: Clone + Send + 'static,
        D: Chain<Key = KF::View, Value = Owned<Change<B>>>,
        SA: Serde<View = Owned<A>>,
        SR: Serde<View = Owned<R>>,
        R: 'static,
        K: for<'a> FnMut(&'a A) -> Option<<KF::View as View>::Ref<'a>> + Clone + Send + Sync + 'static,
        F: FnMut(&A, Option<&B>) -> Option<R> + Clone + Send + Sync + 'static,
    {
        let (rows, rights) = (self.changes(), other.changes());
        let (shared, foreign) = (Rc::clone(&rows.graph), rights.key_serde.clone());
        let mut graph = shared.borrow_mut();
        let is_of_other_job = !Rc::ptr_eq(&shared, &rights.graph);
        graph.refuse_null_keys(&foreign, name);
        let (versions, from) = declare_numbers(&mut graph, name, rows.node);
        let format = format!("foreign-key join, key: {}, row: {}", foreign.name(), row_serde.name());
        let subscription = graph.shuffle((&format!("{name}-subscription"), format), partitions, from);
        let to = crossing(&subscription, SubscriptionSerde(row_serde.clone()));
        let spec = SubscribeSpec { foreign: foreign.clone(), to, versions, may_be_alone };
        let (subscribe, chain) = (Subscribe { spec, key_of }, rows.junction(from));
        graph.ends.push((subscription.writer, Box::new(move |stage| chain.build(subscribe.clone(), stage))));

        let mut parents = vec![subscription.source];
        if is_of_other_job {
            graph.errors.push(BuildError::ForeignStream);
        } else {
            parents.push(rights.node);
            graph.stores[other.store.id().0].sources.push(subscription.topic.clone());
        }
        let (subscribers, answering) = declare_subscribers(&mut graph, name, &row_serde, &parents);
        let format = format!("foreign-key join, key: {}, result: {}", rows.key_serde.name(), result_serde.name());
        let response = graph.shuffle((&format!("{name}-response"), format), partitions, answering);
        let to = crossing(&response, AnswerSerde(result_serde.clone()));
        // The message of a row that points nowhere has the key of that row: the formats of the two keys may differ.
        let source = source(&subscription, Raw, SubscriptionSerde(row_serde));
        let answer = Answering {
            subscriptions: Stream::new(&shared, source).junction(answering),
            rights: rights.junction(answering),
            spec: AnsweringSpec { rows: other.store, subscribers, to },
            join,
            node: answering,
        };
        graph.ends.push((response.writer, Box::new(move |stage| answer.build(stage))));

        let (spec, node) = declare_results(&mut graph, name, &response);
        drop(graph);
        let source = self::source(&response, rows.key_serde, AnswerSerde(result_serde));
        Stream::new(&shared, source).then(node, |previous| Reveal { previous, spec })
    }
}

fn crossing<S>(shuffle: &Shuffle, serde: S) -> Crossing<S> {
    Crossing { sink: shuffle.sink, topic: shuffle.topic.clone(), serde, scratch: <_>::default() }
}

fn source<KS: Serde, VS: Serde>(shuffle: &Shuffle, key: KS, value: VS) -> Source<KS, VS, RecordTime> {
    Source { node: shuffle.source, key, value, event_time: RecordTime, jump_max_ms: ANY_JUMP }
}

/// Declares the numbers of the changes of rows, in the sub-topology of the rows.
fn declare_numbers(graph: &mut Graph, name: &str, rows: NodeId) -> (Handle<KeyValueStore<u64>>, NodeId) {
    let version = "foreign-key join, number of the last change".to_owned();
    let wanted: Vec<WantedStore<'_>> = vec![("-versions", version, Box::new(|| Box::new(KeyValueStore::new(U64))))];
    let store = graph.stateful((name, "foreign-key join, subscribes"), wanted, &[rows])[0];
    (Handle::new(store), graph.last())
}

/// Declares the rows by the keys that they point to, in the sub-topology of the other table.
fn declare_subscribers<A, SA>(
    graph: &mut Graph,
    name: &str,
    row_serde: &SA,
    parents: &[NodeId],
) -> (Handle<SortedStore<Subscriber<A>>>, NodeId)
where
    A: Clone + Send + 'static,
    SA: Serde<View = Owned<A>>,
{
    let version = format!("foreign-key join, subscribers, row: {}", row_serde.name());
    let serde = SubscriberSerde(row_serde.clone());
    let wanted: Vec<WantedStore<'_>> =
        vec![("-subscribers", version, Box::new(move || Box::new(SortedStore::new(serde.clone()))))];
    let store = graph.stateful((name, "foreign-key join, answers"), wanted, parents)[0];
    (Handle::new(store), graph.last())
}

/// Declares the results, behind both shuffles.
fn declare_results(graph: &mut Graph, name: &str, response: &Shuffle) -> (RevealSpec, NodeId) {
    let wanted: Vec<WantedStore<'_>> = vec![
        ("", "foreign-key join, results".to_owned(), Box::new(|| Box::new(KeyValueStore::new(ShownSerde)))),
        ("-ends", "foreign-key join, ends".to_owned(), Box::new(|| Box::new(TimerStore::default()))),
    ];
    let stores = graph.stateful((name, "foreign-key join"), wanted, &[response.source]);
    (RevealSpec { shown: Handle::new(stores[0]), ends: Handle::new(stores[1]) }, graph.last())
}
