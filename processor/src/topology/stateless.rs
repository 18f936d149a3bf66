//! Steps without state, as methods: beside those of [`Stream`] that most jobs have.

use std::marker::PhantomData;
use std::rc::Rc;

use kafka_wire::record::HeadersBuf;
use kafka_wire::types::TimestampMs;

use super::{SinkKind, SinkSpec, Stream};
use crate::operator::{
    Chain, FilterMap, FlatMapValues, Junction, NodeId, Peek, SelectKey, SetHeaders, SetTimestamp, Side, To, ToChosen,
    TryMap,
};
use crate::serde::{Encode, Serde};
use crate::types::{Owned, Reborrow, Rec, View};

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Another value for each record, made of its value alone; as in Kafka Streams. The key stays, and with it the
    /// partitioning, as with every step but `select_key`.
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

    /// Another value for each record for which there is one.
    pub fn filter_map<B, F>(self, filter_map: F) -> Stream<KS, FilterMap<Junction<C>, F>>
    where
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> Option<B> + Clone + Send + Sync + 'static,
    {
        self.stateless("filter_map", |previous| FilterMap { previous, filter_map })
    }

    /// Any number of values for each record: those of what the closure returns. Where values borrow from the record, or there
    /// are many, [`Stream::flat_map`] does it without a collection.
    pub fn flat_map_values<I, F>(self, flat_map: F) -> Stream<KS, FlatMapValues<Junction<C>, F>>
    where
        KS::View: Reborrow,
        I: IntoIterator<Item: 'static>,
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> I + Clone + Send + Sync + 'static,
    {
        self.stateless("flat_map_values", |previous| FlatMapValues { previous, flat_map })
    }

    /// Another value for each record, or an error: two streams. Errors may be left alone; they are dropped then.
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

    /// A look at each record, which goes on as it is.
    pub fn peek<F>(self, look: F) -> Stream<KS, Peek<Junction<C>, F>>
    where
        F: FnMut(&Rec<'_, KS::View, C::Value>) + Clone + Send + Sync + 'static,
    {
        self.stateless("peek", |previous| Peek { previous, look })
    }

    /// Another key for each record, which stays in its task: for the key that goes out with it. State needs a
    /// [`Stream::key_by`] instead, which moves the records; `build()` refuses it behind this.
    pub fn select_key<K2, F>(self, key_serde: K2, select: F) -> Stream<K2, SelectKey<Junction<C>, K2, F>>
    where
        K2: Serde,
        F: for<'a> FnMut(&Rec<'a, KS::View, C::Value>) -> <K2::View as View>::Ref<'a> + Clone + Send + Sync + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let node = graph.stateless("select_key", &[self.node]);
        graph.nodes[node.0].rekeys = true;
        drop(graph);
        let chain = SelectKey { previous: self.junction(), key: PhantomData, select };
        Stream { graph: self.graph, node, key_serde, chain }
    }

    /// Another timestamp for each record: for what follows, and for the output. It moves no watermark; event time of a source is
    /// set by [`Stream::timestamp`], at the source.
    pub fn set_timestamp<F>(self, stamp: F) -> Stream<KS, SetTimestamp<Junction<C>, F>>
    where
        F: FnMut(&Rec<'_, KS::View, C::Value>) -> TimestampMs + Clone + Send + Sync + 'static,
    {
        self.stateless("set_timestamp", |previous| SetTimestamp { previous, stamp })
    }

    /// Other headers for each record: the closure gets those that it has, to add to or to clear.
    pub fn set_headers<F>(self, set: F) -> Stream<KS, SetHeaders<Junction<C>, F>>
    where
        C: Chain<Key: Reborrow, Value: Reborrow>,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &mut HeadersBuf) + Clone + Send + Sync + 'static,
    {
        self.stateless("set_headers", |previous| SetHeaders { previous, set })
    }

    /// Ends the stream in several topics, which must exist: `choose` says for each record the place of its topic in `topics`.
    /// A place outside of the list is a mistake of the program, and panics. Otherwise as [`Stream::to`].
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
            // One end of the chain, however many topics it writes.
            let parents = if first.is_none() { vec![self.node] } else { Vec::new() };
            let node = graph.end_of(&format!("sink-{topic}"), sink, &parents);
            let first = *first.get_or_insert(node);
            if node != first {
                graph.nodes[node.0].parents.push(self.node);
                graph.nodes[self.node.0].sides.push(node);
            }
            let (topic, key_serde, value_serde) = ((*topic).to_owned(), key_serde.clone(), value_serde.clone());
            last.topics.push(To { sink, topic, key_serde, value_serde, scratch: <_>::default() });
        }
        let chain = self.junction();
        if let Some(node) = first {
            graph.ends.push((node, Box::new(move |stage| chain.build(last.clone(), stage))));
        }
    }

    /// The stream of a further output of the step `node`.
    pub(super) fn side<V: View>(&self, node: NodeId, output: &str) -> Stream<KS, Side<KS::View, V>> {
        let side = self.graph.borrow_mut().side(output, node);
        let (graph, key_serde) = (Rc::clone(&self.graph), self.key_serde.clone());
        Stream { graph, node: side, key_serde, chain: Side::new(side) }
    }
}
