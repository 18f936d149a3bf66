//! The steps of a job, as methods.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use kafka_wire::types::TimestampMs;

use super::graph::{Graph, NodeKind, Reads, Shuffle};
use super::{BuildError, SinkKind, SinkSpec};
use crate::operator::{
    ANY_JUMP, ByKey, Chain, Filter, FlatMap, Junction, KeyBy, Map, Merge, NodeId, Outputs, Partitioner, RecordTime,
    Source, ToPartition, tee,
};
use crate::serde::{Encode, Serde};
use crate::types::{Partitions, Reborrow, Rec, View};
use crate::watermark::Watermark;

/// A stream under declaration: records with keys of `KS`, as the chain `C` puts them out.
///
/// A stream is a small value: clone it to use it more than once, and each use gets all of its records. Steps without
/// state need no name. Steps with state, or with a topic, have one as their first argument: it is a part of the topic's
/// name, so that a job can be changed around it. Closures are cloned for each task and called on its thread only.
#[must_use = "a stream does nothing until it ends in .to(topic, ..)"]
pub struct Stream<KS, C> {
    pub(super) graph: Rc<RefCell<Graph>>,
    pub(super) node: NodeId,
    pub(super) key_serde: KS,
    pub(super) chain: C,
}

/// The same stream, to be used once more.
impl<KS: Serde, C: Chain<Key: Reborrow, Value: Reborrow>> Clone for Stream<KS, C> {
    fn clone(&self) -> Self {
        self.graph.borrow_mut().tees.entry(self.node).or_insert_with(tee::<C::Key, C::Value>);
        Self { graph: Rc::clone(&self.graph), chain: self.chain.clone(), key_serde: self.key_serde.clone(), ..*self }
    }
}

impl<KS: Serde, VS: Serde> Stream<KS, Source<KS, VS, RecordTime>> {
    pub(super) fn new(graph: &Rc<RefCell<Graph>>, source: Source<KS, VS, RecordTime>) -> Self {
        Self { graph: Rc::clone(graph), node: source.node, key_serde: source.key.clone(), chain: source }
    }

    /// Takes event time from the record, in place of its timestamp.
    ///
    /// It is also the timestamp of the record from here on: across shuffles, and in the output.
    pub fn timestamp<T>(self, event_time: T) -> Stream<KS, Source<KS, VS, T>>
    where
        T: FnMut(&Rec<'_, KS::View, VS::View>) -> TimestampMs + Clone + Send + Sync + 'static,
    {
        let Self { graph, node, key_serde, chain: Source { key, value, jump_max_ms, .. } } = self.alone();
        Stream { graph, node, key_serde, chain: Source { node, key, value, event_time, jump_max_ms } }
    }
}

impl<KS: Serde, VS: Serde, T> Stream<KS, Source<KS, VS, T>> {
    /// Sets the watermark policy of this source, which applies to each of its partitions.
    pub fn watermark(self, watermark: Watermark) -> Self {
        let this = self.alone();
        if let Some(NodeKind::Source(Reads { watermark: of_source, .. })) =
            this.graph.borrow_mut().nodes.get_mut(this.node.0).map(|node| &mut node.kind)
        {
            *of_source = watermark;
        }
        this
    }

    /// Limits the step by which a single record moves event time to `jump`. A record that is further ahead, such as one
    /// of a device whose clock is wrong, is processed like any other, but time follows only when the next record of its
    /// partition is as far ahead. A warning is logged for each such record. By default there is no limit.
    pub fn jump_max(self, jump: std::time::Duration) -> Self {
        let mut this = self.alone();
        this.chain.jump_max_ms = i64::try_from(jump.as_millis()).unwrap_or(ANY_JUMP);
        this
    }

    /// The source, to be changed: a second source of the same topic, if a clone of this stream has to stay as it is.
    pub(super) fn alone(mut self) -> Self {
        let mut graph = self.graph.borrow_mut();
        if graph.tees.contains_key(&self.node) {
            self.node = graph.source_again(self.node);
            self.chain.node = self.node;
        }
        drop(graph);
        self
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Replaces the value of each record.
    pub fn map<B, F>(self, map: F) -> Stream<KS, Map<Junction<C>, F>>
    where
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> B + Clone + Send + Sync + 'static,
    {
        self.stateless("map", |previous| Map { previous, map })
    }

    /// Keeps only the records for which `keep` is true.
    pub fn filter<F>(self, keep: F) -> Stream<KS, Filter<Junction<C>, F>>
    where
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> bool + Clone + Send + Sync + 'static,
    {
        self.stateless("filter", |previous| Filter { previous, keep })
    }

    /// Replaces each record by any number of records with other values, which the closure pushes.
    ///
    /// `output` is the view of the pushed values: [`Utf8`](crate::serde::Utf8) for `&str`, which may borrow from
    /// the record or from a buffer that the closure reuses, [`Owned::new()`](crate::types::Owned::new) for values
    /// of a type of your own.
    pub fn flat_map<B, F>(self, _output: B, flat_map: F) -> Stream<KS, FlatMap<Junction<C>, B, F>>
    where
        KS::View: Reborrow,
        B: View,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &mut Outputs<'_, B>) + Clone + Send + Sync + 'static,
    {
        self.stateless("flat_map", |previous| FlatMap { previous, output: PhantomData, flat_map })
    }

    /// The records of this stream and those of another one. The records of each partition of each source keep their
    /// order; between sources there is none.
    ///
    /// The two become one sub-topology: everything that reads the same partition number of their sources is one task.
    /// A step with state after a merge needs sources with equal numbers of partitions.
    pub fn merge<D>(self, other: Stream<KS, D>) -> Stream<KS, Merge<Junction<C>, Junction<D>>>
    where
        D: Chain<Key = C::Key, Value = C::Value>,
    {
        if !Rc::ptr_eq(&self.graph, &other.graph) {
            self.graph.borrow_mut().errors.push(BuildError::ForeignStream);
            other.graph.borrow_mut().errors.push(BuildError::ForeignStream);
            let chain = Merge { left: self.junction(self.node), right: other.junction(self.node), node: self.node };
            return Stream { graph: self.graph, node: self.node, key_serde: self.key_serde, chain };
        }
        let node = self.graph.borrow_mut().stateless("merge", &[self.node, other.node]);
        let chain = Merge { left: self.junction(node), right: other.junction(node), node };
        Stream { graph: self.graph, node, key_serde: self.key_serde, chain }
    }

    /// Two streams: of the records for which `belongs` is true, and of the others.
    pub fn split<F>(
        self,
        mut belongs: F,
    ) -> (Stream<KS, Filter<Junction<C>, F>>, Stream<KS, impl Chain<Key = KS::View, Value = C::Value> + use<KS, C, F>>)
    where
        C: Chain<Key: Reborrow, Value: Reborrow>,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> bool + Clone + Send + Sync + 'static,
    {
        let rest = self.clone();
        let first = self.stateless("split", |previous| Filter { previous, keep: belongs.clone() });
        let keep = move |record: &Rec<'_, KS::View, C::Value>| !belongs(record);
        (first, rest.stateless("split", |previous| Filter { previous, keep }))
    }

    /// A stream for each predicate: of the records for which it is the first that is true. The others are left out.
    pub fn branch<const N: usize>(
        self,
        predicates: [Predicate<KS::View, C::Value>; N],
    ) -> [Stream<KS, impl Chain<Key = KS::View, Value = C::Value> + use<KS, C, N>>; N]
    where
        C: Chain<Key: Reborrow, Value: Reborrow>,
    {
        std::array::from_fn(|index| {
            let keep = move |record: &Rec<'_, KS::View, C::Value>| {
                predicates.iter().position(|belongs| belongs(record)) == Some(index)
            };
            self.clone().stateless("branch", |previous| Filter { previous, keep })
        })
    }

    /// The shuffle: writes records under another key to a topic of their own, `<application id>-<name>-repartition`.
    ///
    /// After it, all records of a key are in one task. `select` returns the new key and the value that crosses;
    /// every byte of both is written and read once more, so this is the place to leave things out (`()` is no value at
    /// all). Event time, headers and watermarks cross by themselves.
    ///
    /// A key that lies in the record may be borrowed from it: `(Utf8, ()), |word| (word.value, ())`. One that is made,
    /// or a field of a value of a type of your own, is owned: `(Text, Json::new()), |order| (order.value.user.clone(),
    /// order.value)`.
    pub fn key_by<K2, V2, F>(
        self,
        name: &str,
        partitions: Partitions,
        (key_serde, value_serde): (K2, V2),
        select: F,
    ) -> Stream<K2, Source<K2, V2, RecordTime>>
    where
        K2: Serde,
        V2: Serde,
        F: for<'a> FnMut(Rec<'a, KS::View, C::Value>) -> (<K2::View as View>::Ref<'a>, <V2::View as View>::Ref<'a>)
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        graph.refuse_null_keys(&key_serde, name);
        let version = format!("key: {}, value: {}", key_serde.name(), value_serde.name());
        let Shuffle { topic, sink, writer, source } = graph.shuffle((name, version), partitions, self.node);
        let source = Source {
            node: source,
            key: key_serde.clone(),
            value: value_serde.clone(),
            event_time: RecordTime,
            jump_max_ms: ANY_JUMP,
        };
        let last = KeyBy { sink, topic, select, key_serde, value_serde, scratch: <_>::default() };
        let chain = self.junction(writer);
        graph.ends.push((writer, Box::new(move |stage| chain.build(last.clone(), stage))));
        drop(graph);
        Stream::new(&self.graph, source)
    }

    /// Ends the stream in a topic, which must exist. Keys are partitioned by murmur2, as Java's producer does;
    /// timestamps and headers are those of the records.
    pub fn to<K2, V2>(self, topic: &str, key_serde: K2, value_serde: V2)
    where
        K2: Encode<KS::View>,
        V2: Encode<C::Value>,
    {
        self.end_in(topic, key_serde, value_serde, ByKey);
    }

    /// Ends the stream in a topic, in the partitions that `partitioner` chooses.
    pub(super) fn end_in<P, K2, V2>(self, topic: &str, key_serde: K2, value_serde: V2, partitioner: P)
    where
        P: Partitioner<KS::View, C::Value>,
        K2: Encode<KS::View>,
        V2: Encode<C::Value>,
    {
        let topic = topic.to_owned();
        let mut graph = self.graph.borrow_mut();
        let sink = graph.sink(SinkSpec { topic: topic.clone(), kind: SinkKind::External });
        let node = graph.end(&format!("sink-{topic}"), sink, self.node);
        let last = ToPartition { partitioner, sink, topic, key_serde, value_serde, scratch: <_>::default() };
        let chain = self.junction(node);
        graph.ends.push((node, Box::new(move |stage| chain.build(last.clone(), stage))));
    }

    pub(super) fn stateless<D>(self, operator: &str, step: impl FnOnce(Junction<C>) -> D) -> Stream<KS, D> {
        let node = self.graph.borrow_mut().stateless(operator, &[self.node]);
        self.then(node, step)
    }

    pub(super) fn then<D>(self, node: NodeId, step: impl FnOnce(Junction<C>) -> D) -> Stream<KS, D> {
        let chain = step(self.junction(node));
        Stream { graph: self.graph, node, key_serde: self.key_serde, chain }
    }

    /// The chain up to here, for the step `before` which it comes.
    pub(super) fn junction(&self, before: NodeId) -> Junction<C> {
        Junction { chain: self.chain.clone(), node: self.node, before }
    }
}

/// Decides whether a record belongs to a stream.
pub type Predicate<K, V> = fn(&Rec<'_, K, V>) -> bool;
