//! Global tables, and the joins of streams with them, as methods.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::error::check_name;
use super::graph::Graph;
use super::{BuildError, Builder, GlobalMaker, GlobalSpec, Stream};
use crate::operator::{Chain, JoinGlobal, Junction};
use crate::serde::Serde;
use crate::state::{Global, GlobalHandle};
use crate::types::{Owned, Rec, View};

/// A small table that every worker holds whole. Made by [`Builder::global_table`].
pub struct GlobalTable<KG, A> {
    graph: Rc<RefCell<Graph>>,
    pub(super) handle: GlobalHandle<A>,
    pub(super) key_serde: KG,
    topic: String,
}

impl<KG: Clone, A> Clone for GlobalTable<KG, A> {
    fn clone(&self) -> Self {
        let (graph, key_serde) = (Rc::clone(&self.graph), self.key_serde.clone());
        Self { graph, handle: self.handle, key_serde, topic: self.topic.clone() }
    }
}

impl<KG, A> GlobalTable<KG, A> {
    /// Notes that a step reads the table.
    pub(super) fn is_read_by(&self, graph: &Rc<RefCell<Graph>>) -> String {
        if !Rc::ptr_eq(&self.graph, graph) {
            graph.borrow_mut().errors.push(BuildError::ForeignStream);
        }
        format!("global table: {}", self.topic)
    }
}

impl Builder {
    /// Declares a table of the records in `topic` that every worker holds whole, for joins by any key, with streams
    /// that are partitioned in any way. Null deletes a row; a record without a key is left out. The topic must exist,
    /// and should be compacted: its records are all that there is of the table.
    ///
    /// A worker reads all partitions of the topic, from their beginnings to the ends that they have then, before its
    /// tasks begin; from then on it reads what comes in between the batches of the tasks. So workers differ for a
    /// moment, and there is no order between the rows and the records of the job: a join finds the row that was read
    /// last. Only committed records are read. The table has no changelog, and rollbacks do not touch it. A row that
    /// cannot be decoded stops the job, or is left out with a warning, as
    /// [`ErrorKind::Decode`](crate::error::ErrorKind::Decode) says. New partitions of the topic are read after a
    /// restart.
    pub fn global_table<KG, VS, A>(&mut self, topic: &str, key: KG, value: VS) -> GlobalTable<KG, A>
    where
        KG: Serde,
        VS: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        graph.errors.extend(check_name("topic", topic));
        let make: GlobalMaker = Box::new(move || Arc::new(Global::new(value.clone())));
        graph.globals.push(GlobalSpec { topic: topic.to_owned(), make });
        let handle = GlobalHandle::new(graph.globals.len() - 1);
        drop(graph);
        GlobalTable { graph: Rc::clone(&self.graph), handle, key_serde: key, topic: topic.to_owned() }
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Joins each record with the row of a global table under the key that `key_of` makes of the record. A record
    /// without such a key or such a row is left out.
    ///
    /// The row is that of now, whatever the event time of the record: see [`Builder::global_table`].
    pub fn join_global<KG, A, B, K, F>(
        self,
        table: &GlobalTable<KG, A>,
        key_of: K,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, KG, A, B, K, F>>
    where
        KG: Serde,
        A: Clone + Send + 'static,
        B: 'static,
        K: for<'a> FnMut(&'a Rec<'_, KS::View, C::Value>) -> Option<<KG::View as View>::Ref<'a>>
            + Clone
            + Send
            + Sync
            + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &A) -> B + Clone + Send + Sync + 'static,
    {
        let join = move |record: &Rec<'_, KS::View, C::Value>, row: Option<&A>| row.map(|row| join(record, row));
        self.with_global("join_global", table, key_of, join)
    }

    /// Joins each record with the row of a global table, or `None`; otherwise as [`Stream::join_global`].
    pub fn left_join_global<KG, A, B, K, F>(
        self,
        table: &GlobalTable<KG, A>,
        key_of: K,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, KG, A, B, K, F>>
    where
        KG: Serde,
        A: Clone + Send + 'static,
        B: 'static,
        K: for<'a> FnMut(&'a Rec<'_, KS::View, C::Value>) -> Option<<KG::View as View>::Ref<'a>>
            + Clone
            + Send
            + Sync
            + 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, Option<&A>) -> B + Clone + Send + Sync + 'static,
    {
        let join = move |record: &Rec<'_, KS::View, C::Value>, row: Option<&A>| Some(join(record, row));
        self.with_global("left_join_global", table, key_of, join)
    }

    fn with_global<KG: Serde, A, K, F>(
        self,
        step: &str,
        table: &GlobalTable<KG, A>,
        key_of: K,
        join: F,
    ) -> Stream<KS, JoinGlobal<Junction<C>, KG, A, K, F>> {
        let detail = table.is_read_by(&self.graph);
        let mut graph = self.graph.borrow_mut();
        let node = graph.stateless(step, &[self.node]);
        graph.nodes[node.0].detail = detail;
        drop(graph);
        let (key_serde, table) = (table.key_serde.clone(), table.handle);
        self.then(node, |previous| JoinGlobal { previous, table, key_serde, key_of, join })
    }
}
