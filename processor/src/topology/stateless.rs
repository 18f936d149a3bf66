//! Steps without state, as methods, in addition to the common ones of [`Stream`].

use std::borrow::Cow;
use std::marker::PhantomData;
use std::rc::Rc;

use kafka_wire::record::HeadersBuf;
use kafka_wire::types::TimestampMs;

use super::{BuildError, SinkKind, SinkSpec, Stream};
use crate::operator::{
    AsyncMap, ByKey, CallOptions, Chain, FilterMap, FlatMapValues, Junction, MapOrFail, NodeId, Peek, RecordTime,
    SelectKey, SetHeaders, SetTimestamp, Side, Source, To, ToChosen, ToNamed, TryMap,
};
use crate::output::SinkId;
use crate::serde::{Encode, Serde};
use crate::types::{Owned, Partitions, Reborrow, Rec, View};

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Replaces the value of each record by one that is made of the value alone, as in Kafka Streams.
    /// The key stays, and with it the partitioning, as with every step but `select_key`.
    pub fn map_values<B, F>(
        self,
        mut map: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, B, F>>
    where
        B: 'static,
        F: FnMut(&<C::Value as View>::Ref<'_>) -> B + Clone + Send + Sync + 'static,
    {
        self.map(move |record: &Rec<'_, KS::View, C::Value>| map(&record.value))
    }

    /// Replaces the value of each record, or drops the record if there is no new value.
    pub fn filter_map<B, F>(self, filter_map: F) -> Stream<KS, FilterMap<Junction<C>, F>>
    where
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> Option<B> + Clone + Send + Sync + 'static,
    {
        self.stateless("filter_map", |previous| FilterMap { previous, filter_map })
    }

    /// Replaces each record by any number of records with other values: the elements of what the closure returns.
    /// If values borrow from the record, or are many, [`Stream::flat_map`] does it without a collection.
    pub fn flat_map_values<I, F>(self, flat_map: F) -> Stream<KS, FlatMapValues<Junction<C>, F>>
    where
        KS::View: Reborrow,
        I: IntoIterator<Item: 'static>,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> I + Clone + Send + Sync + 'static,
    {
        self.stateless("flat_map_values", |previous| FlatMapValues { previous, flat_map })
    }

    /// Replaces the value of each record, or puts out an error instead: two streams. If the errors are not
    /// used, they are dropped.
    pub fn try_map<B, E, F>(self, map: F) -> (Stream<KS, TryMap<Junction<C>, F>>, Stream<KS, Side<KS::View, Owned<E>>>)
    where
        B: 'static,
        E: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> Result<B, E> + Clone + Send + Sync + 'static,
    {
        let node = self.graph.borrow_mut().stateless("try_map", &[self.node]);
        let errors = self.side(node, "errors");
        let side = errors.node;
        (self.then(node, |previous| TryMap { previous, map, errors: side }), errors)
    }

    /// Replaces the value of each record; for an error, the record fails: the job stops, or leaves the record out with
    /// all of its effects, as [`Builder::on_error`](super::Builder::on_error) says for
    /// [`ErrorKind::Process`](crate::error::ErrorKind::Process).
    pub fn map_or_fail<B, E, F>(self, map: F) -> Stream<KS, MapOrFail<Junction<C>, F>>
    where
        B: 'static,
        E: std::fmt::Display + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> Result<B, E> + Clone + Send + Sync + 'static,
    {
        let node = self.graph.borrow_mut().stateless("map_or_fail", &[self.node]);
        let step = self.graph.borrow().nodes[node.0].name.clone();
        self.then(node, |previous| MapOrFail { previous, map, step })
    }

    /// Replaces the value of each record by the result of an asynchronous function of it: a call to a service or to a
    /// database. `name` is for errors and `describe()`. `options` say whether calls of a key come one after the other,
    /// how many may be outstanding, how long each may take and how often it is made.
    ///
    /// No record is lost or doubled in the output: a commit waits for the calls of its records. The outside sees each
    /// call at least once, because those of an aborted transaction are made again. After the last attempt the job ends;
    /// to go on without a result, return a value that says so. Futures are polled on the worker's thread, in its Tokio
    /// runtime, and must not block.
    pub fn async_map<A, B, E, F, R>(
        self,
        name: &str,
        options: CallOptions,
        call: F,
    ) -> Stream<KS, AsyncMap<Junction<C>, KS, F>>
    where
        C: Chain<Value = Owned<A>>,
        A: Clone + Send + 'static,
        B: 'static,
        E: std::fmt::Display + 'static,
        F: FnMut(A) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<B, E>> + Send + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let node = graph.stateless("async_map", &[self.node]);
        name.clone_into(&mut graph.nodes[node.0].name);
        graph.nodes[node.0].detail = options.describe();
        graph.nodes[node.0].emits_later = true;
        if !options.is_valid() {
            graph.errors.push(BuildError::NoCalls { name: name.to_owned() });
        }
        if graph.gets_results_at_commits(node) {
            graph.errors.push(BuildError::CallsAtCommits { name: name.to_owned() });
        }
        drop(graph);
        let (name, key_serde) = (name.to_owned(), self.key_serde.clone());
        self.then(node, |previous| AsyncMap { previous, name, key_serde, options, call })
    }

    /// Looks at each record and passes it on unchanged.
    pub fn peek<F>(self, look: F) -> Stream<KS, Peek<Junction<C>, F>>
    where
        F: FnMut(&Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        self.stateless("peek", |previous| Peek { previous, look })
    }

    /// Replaces the key of each record, which stays in its task: for the key of the output. State needs
    /// a [`Stream::key_by`] instead, which moves the records; `build()` refuses it after this step.
    pub fn select_key<K2, F>(self, key_serde: K2, select: F) -> Stream<K2, SelectKey<Junction<C>, K2, F>>
    where
        K2: Serde,
        F: for<'a> FnMut(&Rec<'a, KS::View, C::Value>) -> <K2::View as View>::Ref<'a> + Clone + Send + Sync + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let node = graph.stateless("select_key", &[self.node]);
        graph.nodes[node.0].rekeys = true;
        drop(graph);
        let chain = SelectKey { previous: self.junction(node), key: PhantomData, select };
        Stream { graph: self.graph, node, key_serde, chain }
    }

    /// Replaces the timestamp of each record, for later steps and the output. It moves no watermark;
    /// [`Stream::timestamp`] sets the event time of a source, at the source.
    pub fn set_timestamp<F>(self, stamp: F) -> Stream<KS, SetTimestamp<Junction<C>, F>>
    where
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> TimestampMs + Clone + Send + Sync + 'static,
    {
        self.stateless("set_timestamp", |previous| SetTimestamp { previous, stamp })
    }

    /// Replaces the headers of each record: the closure gets the present ones, to add to or to clear.
    pub fn set_headers<F>(self, set: F) -> Stream<KS, SetHeaders<Junction<C>, F>>
    where
        C: Chain<Key: Reborrow, Value: Reborrow>,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &mut HeadersBuf) + Clone + Send + Sync + 'static,
    {
        self.stateless("set_headers", |previous| SetHeaders { previous, set })
    }

    /// Ends the stream in several topics, which must exist: `choose` returns for each record the index of its topic in
    /// `topics`. An index outside of the list is a mistake of the program, and panics. Otherwise as [`Stream::to`].
    pub fn to_chosen<K2, V2, F>(self, topics: &[&str], key_serde: K2, value_serde: V2, choose: F)
    where
        K2: Encode<KS::View>,
        V2: Encode<C::Value>,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> usize + Clone + Send + Sync + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let mut last = ToChosen { choose, topics: Vec::new() };
        let mut first = None;
        for topic in topics {
            let sink = graph.sink(SinkSpec { topic: (*topic).to_owned(), kind: SinkKind::External });
            // The chain has one end, however many topics it writes.
            let parents = if first.is_none() { vec![self.node] } else { Vec::new() };
            let node = graph.end_of(&format!("sink-{topic}"), sink, &parents);
            let first = *first.get_or_insert(node);
            if node != first {
                graph.nodes[node.0].parents.push(self.node);
                graph.nodes[self.node.0].sides.push(node);
            }
            let (topic, key_serde, value_serde) = ((*topic).to_owned(), key_serde.clone(), value_serde.clone());
            let (partitioner, scratch) = (ByKey, <_>::default());
            last.topics.push(To { partitioner, sink, topic, key_serde, value_serde, scratch });
        }
        if let Some(node) = first {
            let chain = self.junction(node);
            graph.ends.push((node, Box::new(move |stage| chain.build(last.clone(), stage))));
        }
    }

    /// Ends the stream in the topics that its records name: `name` returns the topic of each. They need not be
    /// declared, and may be created while the job runs. Otherwise as [`Stream::to`].
    ///
    /// ```
    /// use processor::driver::TestDriver;
    /// use processor::{Topology, Utf8};
    ///
    /// let mut job = Topology::builder("by-country");
    /// let orders = job.keyed_stream("orders", Utf8, Utf8);
    /// orders.to_named(Utf8, Utf8, |order| format!("orders-{}", order.key).into());
    ///
    /// let mut driver = TestDriver::new(job.build().expect("a sound job"));
    /// driver.create_topic("orders-de", 2);
    /// driver.pipe("orders", Some("de"), "tea", 1);
    /// driver.settle();
    /// assert_eq!(driver.read("orders-de")[0].value_str(), "tea");
    /// ```
    ///
    /// A topic is looked up when a record names it for the first time, and created by nobody. A topic that does not
    /// exist, and one of the job's own, is a failure of [`ErrorKind::Produce`](crate::error::ErrorKind::Produce): the
    /// job ends with the record and the topic, or leaves the record out. One that was missing is looked up again after
    /// half a minute. Where all topics are known, [`Stream::to_chosen`] finds a missing one at the start.
    pub fn to_named<K2, V2, F>(self, key_serde: K2, value_serde: V2, name: F)
    where
        K2: Encode<KS::View>,
        V2: Encode<C::Value>,
        F: for<'r> FnMut(&'r Rec<'_, KS::View, C::Value>) -> Cow<'r, str> + Clone + Send + Sync + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let node = graph.stateless("to_named", &[self.node]);
        graph.nodes[node.0].detail = "topic: as the record says".to_owned();
        graph.nodes[node.0].may_end = true;
        let (partitioner, sink, topic, scratch) = (ByKey, SinkId(usize::MAX), String::new(), <_>::default());
        let last = ToNamed { name, last: To { partitioner, sink, topic, key_serde, value_serde, scratch } };
        let chain = self.junction(node);
        graph.ends.push((node, Box::new(move |stage| chain.build(last.clone(), stage))));
    }

    /// Ends the stream in a topic, as [`Stream::to`], with a partition of one's own choice: `partition` makes a
    /// number of each record, and the record goes to the partition of that number, modulo the number of partitions.
    pub fn to_partition<K2, V2, F>(self, topic: &str, key_serde: K2, value_serde: V2, partition: F)
    where
        K2: Encode<KS::View>,
        V2: Encode<C::Value>,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> u32 + Clone + Send + Sync + 'static,
    {
        self.end_in(topic, key_serde, value_serde, partition);
    }

    /// Sends the records through a topic of the job's own, `<application id>-<name>-repartition`, with the keys
    /// that they have: behind it, all records of a key are in one of `partitions` tasks. It is [`Stream::key_by`]
    /// with the same key.
    pub fn repartition<V2>(
        self,
        name: &str,
        partitions: Partitions,
        value_serde: V2,
    ) -> Stream<KS, Source<KS, V2, RecordTime>>
    where
        V2: Serde<View = C::Value>,
    {
        let key_serde = self.key_serde.clone();
        self.key_by(name, partitions, (key_serde, value_serde), |record| (record.key, record.value))
    }

    /// The stream of a further output of the step `node`.
    pub(super) fn side<V: View>(&self, node: NodeId, output: &str) -> Stream<KS, Side<KS::View, V>> {
        let side = self.graph.borrow_mut().side(output, node);
        let (graph, key_serde) = (Rc::clone(&self.graph), self.key_serde.clone());
        Stream { graph, node: side, key_serde, chain: Side::new(side) }
    }
}
