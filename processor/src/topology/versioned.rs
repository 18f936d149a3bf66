//! Versioned tables, and the joins of streams with them, as methods.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::graph::{Graph, WantedStore};
use super::{Builder, Stream};
use crate::operator::{Chain, Junction, KeepVersions, Lookup, NodeId, Optional, StageBuilder, Versions};
use crate::serde::{Nullable, Serde, SerdeError};
use crate::state::{Handle, SortedStore, TimerStore};
use crate::types::{Owned, Rec};

/// A table that knows the rows of each key by event time, for look-ups by streams. Made by [`Builder::versioned_table`]
/// or [`Stream::to_versioned_table`].
pub struct VersionedTable<KS, A> {
    graph: Rc<RefCell<Graph>>,
    node: NodeId,
    name: String,
    versions: Versions<A>,
    keys: PhantomData<fn() -> KS>,
}

impl Builder {
    /// Declares a versioned table of the records in `topic`, which is partitioned by their key; null ends a row. It
    /// keeps the versions of the last `history` of event time, and the one that was valid before. Otherwise as
    /// [`Stream::to_versioned_table`].
    pub fn versioned_table<KS, VS, A>(
        &mut self,
        topic: &str,
        name: &str,
        (key, value): (KS, VS),
        history: Duration,
    ) -> VersionedTable<KS, A>
    where
        KS: Serde,
        VS: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
    {
        self.keyed_stream(topic, key, Nullable(value.clone())).to_versioned_table(name, value, history)
    }
}

impl<KS: Serde, C: Chain<Key = KS::View>> Stream<KS, C> {
    /// Declares a table of the values of each key by event time: a record is the row of its key from its time on, up to
    /// that of the next one, in whatever order they come. If values may be missing (`Option`), `None` ends a row.
    ///
    /// A version is kept until a later one of its key is older than the watermark by `history`, and the end of a row
    /// until it is that old itself. So versions that are further out of order may bring back a row that has ended.
    /// The stores are `name` and `<name>-ends`, with changelogs of the job's own.
    pub fn to_versioned_table<S, A>(self, name: &str, value_serde: S, history: Duration) -> VersionedTable<KS, A>
    where
        C: Chain<Value: Optional<A>>,
        S: Serde<View = Owned<A>>,
        A: Clone + Send + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        graph.refuse_null_keys(&self.key_serde, name);
        let version = format!("versioned table, key: {}, value: {}", self.key_serde.name(), value_serde.name());
        let rows = VersionSerde(value_serde);
        let wanted: Vec<WantedStore<'_>> = vec![
            ("", version, Box::new(move || Box::new(SortedStore::new(rows.clone())))),
            ("-ends", "ends of versions".to_owned(), Box::new(|| Box::new(TimerStore::quiet()))),
        ];
        let stores = graph.stateful((name, "versioned table"), wanted, &[self.node]);
        let node = graph.last();
        graph.nodes[node.0].may_end = true;
        let history_ms = i64::try_from(history.as_millis()).unwrap_or(i64::MAX);
        let versions = Versions { rows: Handle::new(stores[0]), ends: Handle::new(stores[1]), history_ms };
        let chain = self.junction(node);
        let end = move |stage: &mut StageBuilder<'_>| {
            chain.build(KeepVersions { versions, due: Vec::new() }, stage);
        };
        graph.ends.push((node, Box::new(end)));
        drop(graph);
        VersionedTable { graph: self.graph, node, name: name.to_owned(), versions, keys: PhantomData }
    }

    /// Joins each record with the row of its key at its event time; a record without a row is left out.
    ///
    /// Unlike [`Stream::join_table`], a record that comes late finds the row of its time too, as long as the
    /// table keeps it. As there, the task takes the records of both in the order of their times.
    pub fn join_versioned<A, B, F>(
        self,
        table: &VersionedTable<KS, A>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, A, B, F>>
    where
        A: Clone + Send + 'static,
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, &A) -> B + Clone + Send + Sync + 'static,
    {
        let join = move |record: &Rec<'_, KS::View, C::Value>, row: Option<&A>| row.map(|row| join(record, row));
        self.lookup_version("join_versioned", table, join)
    }

    /// Joins each record with the row of its key at its event time, or `None`; otherwise as [`Stream::join_versioned`].
    pub fn left_join_versioned<A, B, F>(
        self,
        table: &VersionedTable<KS, A>,
        mut join: F,
    ) -> Stream<KS, impl Chain<Key = KS::View, Value = Owned<B>> + use<KS, C, A, B, F>>
    where
        A: Clone + Send + 'static,
        B: 'static,
        F: FnMut(&Rec<'_, KS::View, C::Value>, Option<&A>) -> B + Clone + Send + Sync + 'static,
    {
        let join = move |record: &Rec<'_, KS::View, C::Value>, row: Option<&A>| Some(join(record, row));
        self.lookup_version("left_join_versioned", table, join)
    }

    fn lookup_version<A, F>(
        self,
        step: &str,
        table: &VersionedTable<KS, A>,
        join: F,
    ) -> Stream<KS, Lookup<Junction<C>, Versions<A>, F>> {
        let place = (&*table.name, table.versions.rows.id(), table.node);
        let node = self.looks_up_in(step, &table.graph, place);
        let rows = table.versions;
        self.then(node, |previous| Lookup { previous, rows, join })
    }
}

/// The serde of a version: a byte that tells whether there is a row, then the row.
#[derive(Clone)]
struct VersionSerde<S>(S);

impl<A: 'static, S: Serde<View = Owned<A>>> Serde for VersionSerde<S> {
    type View = Owned<Option<A>>;

    fn decode(&self, bytes: &[u8]) -> Result<Option<A>, SerdeError> {
        let (is_row, row) = bytes.split_first().ok_or(SerdeError::Length { expected: 1, actual: 0 })?;
        (*is_row != 0).then(|| self.0.decode(row)).transpose()
    }

    fn encode(&self, value: &Option<A>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(value.is_some()));
        value.as_ref().map_or(Ok(()), |row| self.0.encode(row, out))
    }
}
