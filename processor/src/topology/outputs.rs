//! Outputs outside of Kafka, as methods.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use super::graph::{Graph, NodeKind, Reads};
use super::{BuildError, StoreMaker, Stream};
use crate::error::SinkError;
use crate::operator::{BatchOptions, Chain, NodeId, Outgoing, ToOutside, ToTwoPhase, TwoPhaseSink, TwoPhaseSpec};
use crate::output::StoreId;
use crate::serde::{Encode, Serde};
use crate::state::{Handle, SingleStore};
use crate::types::Owned;

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Ends the stream in an output outside of Kafka, such as a database: an asynchronous function gets its values in
    /// batches, in the order of the records of each partition. `name` is for errors and `describe()`.
    ///
    /// ```
    /// # use std::sync::{Arc, Mutex};
    /// use processor::driver::TestDriver;
    /// use processor::{BatchOptions, Topology, Utf8};
    ///
    /// let table = Arc::new(Mutex::new(std::collections::BTreeMap::new()));
    /// let rows = Arc::clone(&table);
    /// let mut job = Topology::builder("archive");
    /// let lines = job.stream("lines", Utf8).map(|line| line.value.to_owned());
    /// lines.to_outside("rows", BatchOptions::of(500), move |batch| {
    ///     let rows = Arc::clone(&rows);
    ///     async move {
    ///         for row in &*batch {
    ///             let id = row.id.as_ref().map(ToString::to_string);
    ///             rows.lock().unwrap().insert(id, row.value.clone()); // INSERT .. ON CONFLICT (id) DO NOTHING
    ///         }
    ///         Ok(())
    ///     }
    /// });
    ///
    /// let mut driver = TestDriver::new(job.build().unwrap());
    /// driver.pipe("lines", None, "to be", 0);
    /// driver.crash(); // The batch comes again, with the same ids.
    /// driver.settle();
    /// assert_eq!(table.lock().unwrap().len(), 1);
    /// ```
    ///
    /// At least once: a commit waits until the output has taken all records of the transaction, and those of a
    /// transaction that is aborted come again. [`Outgoing::id`] makes that exactly once, in an output that takes
    /// a batch in one step and knows which ids it has. A result without an id goes into the row of its key (and
    /// window, or of both records of a pair): the last one is right. A worker that lost its task may have a last call
    /// under way while the next owner begins.
    ///
    /// An output that is not available stops the worker's other records, too, until it is. Futures are polled on the
    /// worker's thread, in its Tokio runtime, and must not block.
    pub fn to_outside<A, F, R>(self, name: &str, options: BatchOptions, call: F)
    where
        C: Chain<Value = Owned<A>>,
        A: Send + Sync + 'static,
        F: FnMut(Arc<[Outgoing<A>]>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Result<(), SinkError>> + Send + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let node = graph.outside(name, options.describe(), self.node);
        if !options.is_valid() {
            graph.errors.push(BuildError::NoCalls { name: name.to_owned() });
        }
        if let Some(topic) = graph.read_twice_before(node) {
            graph.errors.push(BuildError::ReadTwice { name: name.to_owned(), topic });
        }
        let has_ids = !graph.gets_results_later(node) && !graph.gets_results_by_order(node);
        let (chain, name) = (self.junction(node), name.to_owned());
        let build = move |stage: &mut crate::operator::StageBuilder<'_>| {
            stage.make_calls();
            chain.build(ToOutside::new(name.clone(), options, has_ids, call.clone()), stage);
        };
        graph.ends.push((node, Box::new(build)));
    }

    /// Ends the stream in an output that is written in two phases, exactly once: prepared before a commit, made final
    /// after it. [`FileSink`](crate::files::FileSink) is one, and [`TwoPhaseSink`] is for those of your own.
    ///
    /// The records of a partition are in the output in their order. They show after the commit, and when the output
    /// shows them. A null value cannot be written, and is a failure of
    /// [`ErrorKind::Produce`](crate::error::ErrorKind::Produce). What the output has of each task is in the
    /// store `name`, with the changelog `<application id>-<name>-changelog`.
    pub fn to_sink<S, VS>(self, name: &str, value_serde: VS, sink: S)
    where
        S: TwoPhaseSink,
        VS: Encode<C::Value>,
    {
        let mut graph = self.graph.borrow_mut();
        let format = sink.format();
        let node = graph.outside(name, format.clone(), self.node);
        let store = graph.outside_store(name, node, format);
        let (application_id, step) = (graph.application_id.clone(), name.to_owned());
        let spec = TwoPhaseSpec { application_id, step, store: Handle::new(store), value_serde, sink };
        let chain = self.junction(node);
        graph.ends.push((node, Box::new(move |stage| chain.build(ToTwoPhase::new(spec.clone()), stage))));
    }
}

impl Graph {
    /// Adds a step that ends a stream outside of Kafka.
    fn outside(&mut self, name: &str, detail: String, parent: NodeId) -> NodeId {
        let node = self.stateless("outside", &[parent]);
        self.errors.extend(super::error::check_name("step", name));
        name.clone_into(&mut self.nodes[node.0].name);
        self.nodes[node.0].detail = detail;
        self.nodes[node.0].may_end = true;
        node
    }

    /// Adds the store of such a step. It belongs to the task and not to keys, so topics may have any numbers of
    /// partitions.
    fn outside_store(&mut self, name: &str, node: NodeId, format: String) -> StoreId {
        let make: StoreMaker = Box::new(|| Box::new(SingleStore::default()));
        let store = self.further_store(name, node, format, make);
        self.stores[store.0].sources.clear();
        store
    }

    /// A topic that reaches a step as two streams which read it each for itself.
    fn read_twice_before(&self, node: NodeId) -> Option<String> {
        let mut topics = BTreeSet::new();
        let read = self.steps_before(node).into_iter().flat_map(|node| match &self.nodes[node.0].kind {
            NodeKind::Source(Reads { topics, .. }) => topics.declared(),
            NodeKind::Processor | NodeKind::Sink(_) => Vec::new(),
        });
        read.into_iter().find(|topic| !topics.insert(topic.clone()))
    }
}
