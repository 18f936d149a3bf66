//! Reads of the global tables of a running job, by the program that runs it.

use std::fmt;
use std::sync::Arc;

use super::reader::{Asked, Questions, ReadError, place_of};
use crate::serde::Serde;
use crate::topology::Topology;
use crate::types::{Owned, View};

/// Reads a global table of a job that runs in this process. Made by
/// [`Running::global_reader`](super::Running::global_reader); it may be cloned, and used from any task or thread.
///
/// Every worker holds the whole table, so any process answers for all keys: with the row that its first worker has read
/// last. That belongs to no transaction of the job. The worker stands still while it answers, as for a
/// [`StoreReader`](super::StoreReader).
pub struct GlobalReader<KS, VS> {
    table: usize,
    key_serde: KS,
    value_serde: VS,
    worker: Arc<Questions>,
}

impl<KS: Clone, VS: Clone> Clone for GlobalReader<KS, VS> {
    fn clone(&self) -> Self {
        let (key_serde, value_serde) = (self.key_serde.clone(), self.value_serde.clone());
        Self { table: self.table, key_serde, value_serde, worker: Arc::clone(&self.worker) }
    }
}

impl<KS, VS> fmt::Debug for GlobalReader<KS, VS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlobalReader").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<KS, VS, A> GlobalReader<KS, VS>
where
    KS: Serde,
    VS: Serde<View = Owned<A>>,
    A: 'static,
{
    /// A reader of the table of `topic`, which asks this worker.
    pub(super) fn new(
        topology: &Topology,
        topic: &str,
        (key_serde, value_serde): (KS, VS),
        worker: Arc<Questions>,
    ) -> Result<Self, ReadError> {
        let topics = topology.globals().iter().map(|global| &*global.topic);
        let not_there = |topics| ReadError::NoGlobalTable { topic: topic.to_owned(), topics };
        let table = place_of(topic, topics).map_err(not_there)?;
        Ok(Self { table, key_serde, value_serde, worker })
    }

    /// The row of a key. Waits until the worker has read the table to the end that it had at the start. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError::Ended`], [`ReadError::Serde`], [`ReadError::Process`].
    pub async fn get(&self, key: &<KS::View as View>::Ref<'_>) -> Result<Option<A>, ReadError> {
        let mut bytes = Vec::new();
        self.key_serde.encode(key, &mut bytes).map_err(ReadError::Serde)?;
        let row = self.ask(Some(bytes)).await?.pop();
        row.map(|(_, row)| self.value_serde.decode(&row).map_err(ReadError::Serde)).transpose()
    }

    /// All rows with their keys, in any order; otherwise as [`GlobalReader::get`].
    ///
    /// # Errors
    /// As there.
    pub async fn rows<K>(&self) -> Result<Vec<(K, A)>, ReadError>
    where
        KS: Serde<View = Owned<K>>,
        K: 'static,
    {
        let decode = |(key, row): (Vec<u8>, Vec<u8>)| {
            let key = self.key_serde.decode(&key).map_err(ReadError::Serde)?;
            Ok((key, self.value_serde.decode(&row).map_err(ReadError::Serde)?))
        };
        self.ask(None).await?.into_iter().map(decode).collect()
    }

    /// Key and value of the rows.
    async fn ask(&self, key: Option<Vec<u8>>) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ReadError> {
        let answer = self.worker.ask(Asked::Global(self.table), key).await;
        let answer = answer.map_err(|_| ReadError::Ended)?.map_err(ReadError::Process)?.unwrap_or_default();
        Ok(answer.entries.into_iter().map(|entry| (entry.key, entry.value)).collect())
    }
}
