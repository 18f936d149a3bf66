//! `process`, as a method, and the declaration of its stores and further outputs.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::graph::Graph;
use super::{BuildError, GlobalTable, StoreMaker, Stream};
use crate::operator::{
    BroadcastState, Chain, CoProcess, CoProcessing, GlobalState, Junction, ListState, MapState, NodeId, Output,
    Process, ProcessSpec, Processing, Side, TimelineState, ValueState,
};
use crate::output::StoreId;
use crate::serde::Serde;
use crate::state::{Handle, KeyValueStore, SortedStore, TimerStore};
use crate::types::{Owned, Reborrow};

/// The stores and further outputs of a `process` step under declaration.
pub struct Declare<KS> {
    graph: Rc<RefCell<Graph>>,
    node: NodeId,
    step: String,
    key_serde: KS,
    /// Whether the step may have stores and timers of keys.
    has_keys: bool,
    /// The names of the stores, for `describe()`.
    stores: Vec<String>,
    /// The stores of one value a key.
    values: Vec<StoreId>,
    outputs: Vec<NodeId>,
}

impl<KS: Serde> Declare<KS> {
    /// Declares a store of one value a key. The store is `<step>-<name>`, and its changelog
    /// `<application id>-<step>-<name>-changelog`; so it is for the kinds below.
    pub fn value<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(
        &mut self,
        name: &str,
        serde: S,
    ) -> ValueState<A> {
        self.needs_keys();
        let format = format!("value: {}", serde.name());
        let make: StoreMaker = Box::new(move || Box::new(KeyValueStore::new(serde.clone())));
        let store = self.store(name, &format, make);
        self.values.push(store);
        ValueState { store: Handle::new(store) }
    }

    /// Declares a store of a list of values a key.
    pub fn list<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(&mut self, name: &str, serde: S) -> ListState<A> {
        self.needs_keys();
        ListState { store: self.sorted(name, "list", serde) }
    }

    /// Declares a store of values a key and a second key, which `key_serde` encodes; they are in the order of its
    /// bytes.
    pub fn map<A: Clone + Send + 'static, MS: Serde, S: Serde<View = Owned<A>>>(
        &mut self,
        name: &str,
        key_serde: MS,
        serde: S,
    ) -> MapState<MS, A> {
        self.needs_keys();
        let kind = format!("map by {}", key_serde.name());
        MapState { store: self.sorted(name, &kind, serde), keys: key_serde }
    }

    /// Declares a store of values a key and time.
    pub fn timeline<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(
        &mut self,
        name: &str,
        serde: S,
    ) -> TimelineState<A> {
        self.needs_keys();
        TimelineState { store: self.sorted(name, "timeline", serde) }
    }

    /// Declares the state that rules change and records read, for a
    /// [`BroadcastProcess`](crate::operator::BroadcastProcess): values by keys of the rules, which `key_serde` encodes.
    /// In other steps nothing can change it.
    pub fn broadcast<A: Clone + Send + 'static, MS: Serde, S: Serde<View = Owned<A>>>(
        &mut self,
        name: &str,
        key_serde: MS,
        serde: S,
    ) -> BroadcastState<MS, A> {
        let kind = format!("broadcast by {}", key_serde.name());
        BroadcastState { store: self.sorted(name, &kind, serde), keys: key_serde }
    }

    /// Lets the step read a global table.
    pub fn global<KG: Serde, A: Clone + Send + 'static>(&mut self, table: &GlobalTable<KG, A>) -> GlobalState<KG, A> {
        table.is_read_by(&self.graph);
        GlobalState { table: table.handle, keys: table.key_serde.clone() }
    }

    /// Declares a further output: the handle of it, and its stream. The records of a stream that is not used are
    /// dropped.
    pub fn output<T: 'static>(&mut self, name: &str) -> (Output<T>, Stream<KS, Side<KS::View, Owned<T>>>) {
        let node = self.graph.borrow_mut().side(name, self.node);
        let index = self.outputs.len();
        self.outputs.push(node);
        let (graph, key_serde) = (Rc::clone(&self.graph), self.key_serde.clone());
        (Output { index, value: PhantomData }, Stream { graph, node, key_serde, chain: Side::new(node) })
    }

    /// Notes an error if the records of the step have no keys.
    fn needs_keys(&self) {
        if !self.has_keys {
            self.graph.borrow_mut().errors.push(BuildError::NullableKey { name: self.step.clone() });
        }
    }

    fn sorted<A: Clone + Send + 'static, S: Serde<View = Owned<A>>>(
        &mut self,
        name: &str,
        kind: &str,
        serde: S,
    ) -> Handle<SortedStore<A>> {
        let format = format!("{kind}, value: {}", serde.name());
        let make: StoreMaker = Box::new(move || Box::new(SortedStore::new(serde.clone())));
        Handle::new(self.store(name, &format, make))
    }

    fn store(&mut self, name: &str, format: &str, make: StoreMaker) -> StoreId {
        let name = format!("{}-{name}", self.step);
        let version = format!("process, key: {}, {format}", self.key_serde.name());
        self.stores.push(name.clone());
        self.graph.borrow_mut().further_store(&name, self.node, version, make)
    }
}

impl<KS: Serde<View: Reborrow>, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// A step of your own, with stores per key, timers, further outputs, and access to the clocks of the task and the
    /// places of records, see [`Process`]. `declare` makes it, and declares what it uses.
    ///
    /// The store of its timers is `<name>-timers`.
    pub fn process<P>(
        self,
        name: &str,
        declare: impl FnOnce(&mut Declare<KS>) -> P,
    ) -> Stream<KS, Processing<Junction<C>, KS, P>>
    where
        P: Process<KS::View, C::Value>,
    {
        self.process_with(name, |uses| (declare(uses), ())).0
    }

    /// As [`Stream::process`]; also returns what `declare` returns besides the step: the streams of its further
    /// outputs.
    pub fn process_with<P, X>(
        self,
        name: &str,
        declare: impl FnOnce(&mut Declare<KS>) -> (P, X),
    ) -> (Stream<KS, Processing<Junction<C>, KS, P>>, X)
    where
        P: Process<KS::View, C::Value>,
    {
        let (node, spec, (process, besides)) = declare_step((name, Keys::Needed), &self, &[self.node], declare);
        (self.then(node, |previous| Processing { previous, spec, process }), besides)
    }

    /// Connects this stream with another one, for a step of your own that takes the records of both. The two must be
    /// partitioned alike.
    pub fn connect<D: Chain<Key = KS::View>>(self, other: Stream<KS, D>) -> Connected<KS, C, D> {
        Connected { left: self, right: other }
    }
}

/// Two streams with keys of one kind. Made by [`Stream::connect`].
#[must_use = "the records go nowhere before .process(..)"]
pub struct Connected<KS, C, D> {
    left: Stream<KS, C>,
    right: Stream<KS, D>,
}

impl<KS, C, D> Connected<KS, C, D>
where
    KS: Serde<View: Reborrow>,
    C: Chain<Key = KS::View>,
    D: Chain<Key = KS::View>,
{
    /// A step of your own for the records of both streams, which share stores per key, timers and further outputs,
    /// see [`CoProcess`]. `declare` makes it, and declares what it uses.
    ///
    /// A task takes the records of both streams in the order of their event time, as far as they are in the topics. The
    /// store of the timers is `<name>-timers`.
    pub fn process<P>(
        self,
        name: &str,
        declare: impl FnOnce(&mut Declare<KS>) -> P,
    ) -> Stream<KS, CoProcessing<Junction<C>, Junction<D>, KS, P>>
    where
        P: CoProcess<KS::View, C::Value, D::Value>,
    {
        self.process_with(name, |uses| (declare(uses), ())).0
    }

    /// As [`Connected::process`]; also returns what `declare` returns besides the step: the streams of its further
    /// outputs.
    pub fn process_with<P, X>(
        self,
        name: &str,
        declare: impl FnOnce(&mut Declare<KS>) -> (P, X),
    ) -> (Stream<KS, CoProcessing<Junction<C>, Junction<D>, KS, P>>, X)
    where
        P: CoProcess<KS::View, C::Value, D::Value>,
    {
        let Self { left, right } = self;
        let mut parents = vec![left.node];
        if Rc::ptr_eq(&left.graph, &right.graph) {
            parents.push(right.node);
        } else {
            left.graph.borrow_mut().errors.push(BuildError::ForeignStream);
        }
        let (node, spec, (process, besides)) = declare_step((name, Keys::Needed), &left, &parents, declare);
        let right = right.junction(node);
        (left.then(node, |left| CoProcessing { left, right, spec, process, node }), besides)
    }
}

/// Whether the records of a step with code of the user's must have keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// They must.
    Needed,
    /// They need not: the step has no state of keys then, and no timers.
    Optional,
}

/// Declares a step with code of the user's after `parents`, with the keys of `stream`.
pub(super) fn declare_step<KS: Serde, C, X>(
    (name, keys): (&str, Keys),
    stream: &Stream<KS, C>,
    parents: &[NodeId],
    declare: impl FnOnce(&mut Declare<KS>) -> X,
) -> (NodeId, ProcessSpec<KS>, X) {
    let has_keys = keys == Keys::Needed || !stream.key_serde.has_null();
    let mut graph = stream.graph.borrow_mut();
    if has_keys {
        graph.refuse_null_keys(&stream.key_serde, name);
    }
    let version = format!("timers, key: {}", stream.key_serde.name());
    let make: StoreMaker = Box::new(|| Box::new(TimerStore::default()));
    let wanted = has_keys.then_some(("-timers", version, make)).into_iter().collect();
    let timers = graph.stateful((name, "process"), wanted, parents).first().copied().map(Handle::new);
    let node = graph.last();
    graph.nodes[node.0].emits_by_order = true;
    drop(graph);
    let (step, key_serde) = (name.to_owned(), stream.key_serde.clone());
    let stores = timers.iter().map(|_| format!("{name}-timers")).collect();
    let (graph, values, outputs) = (Rc::clone(&stream.graph), Vec::new(), Vec::new());
    let mut uses = Declare { graph, node, step, key_serde, has_keys, stores, values, outputs };
    let declared = declare(&mut uses);
    let Declare { stores, values, outputs, key_serde, step, .. } = uses;
    stream.graph.borrow_mut().nodes[node.0].detail = format!("stores: [{}], process", stores.join(", "));
    (node, ProcessSpec { name: step, timers, key_serde, values, outputs }, declared)
}
