//! Reads the stores of the worker's tasks for others, as of the last commit, and its global tables.

use kafka_wire::types::PartitionId;

use super::Worker;
use crate::error::ProcessError;
use crate::output::StoreId;
use crate::state::VisitRow;
use crate::types::Window;
use crate::worker::membership::Phase;

/// The outcome of [`Worker::read_store`] and [`Worker::read_global`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The worker has no task with that store.
    NoTask,
    /// Nothing was read, because a store is being restored, or is changed by the open transaction. Ask again after the
    /// next commit.
    NotYet,
    /// All tasks of the worker that have the store were read.
    Done,
}

/// Receives one entry of a store: the partition of its task, window, key and encoded value.
pub type VisitPartition<'a> = dyn FnMut(PartitionId, Window, &[u8], &[u8]) + 'a;

impl Worker {
    /// Passes each entry of a store to `visit`, or only those of one key, as the last commit left them.
    ///
    /// All tasks of a worker commit together, so the entries are those of one commit.
    ///
    /// # Errors
    /// [`ProcessError::Encode`] if a value cannot be encoded.
    pub fn read_store(
        &self,
        store: StoreId,
        key: Option<&[u8]>,
        visit: &mut VisitPartition<'_>,
    ) -> Result<Reading, ProcessError> {
        let sub_topology = self.topology.stores()[store.0].sub_topology;
        let mut taken_over = self.takeovers.iter().flat_map(|takeover| takeover.claims());
        let is_coming = taken_over.any(|claim| claim.id.sub_topology == sub_topology);
        let waits_for_assignment = self.membership.phase == Phase::Joining && self.tasks.len() == 0;
        if waits_for_assignment || is_coming {
            return Ok(Reading::NotYet);
        }
        let tasks = || self.tasks.iter().filter(|held| held.id.sub_topology == sub_topology);
        if tasks().any(|held| !held.is_restored() || !held.task.is_committed(store)) {
            return Ok(Reading::NotYet);
        }
        for held in tasks() {
            let partition = held.id.partition;
            held.task.entries(store, key, &mut |window, key, value| visit(partition, window, key, value))?;
        }
        Ok(if tasks().next().is_some() { Reading::Done } else { Reading::NoTask })
    }

    /// Passes each row of a global table to `visit`, or only that of one key, as the worker has read them by now.
    /// [`Reading::NotYet`] until it has read the table to the end that it had at the start.
    ///
    /// # Errors
    /// [`ProcessError::Encode`] if a row cannot be encoded.
    pub fn read_global(
        &self,
        table: usize,
        key: Option<&[u8]>,
        visit: &mut VisitRow<'_>,
    ) -> Result<Reading, ProcessError> {
        if !self.globals.are_ready() {
            return Ok(Reading::NotYet);
        }
        self.globals.visit(table, key, visit)?;
        Ok(Reading::Done)
    }

    /// The partitions of the tasks of this worker that have a store, in order.
    pub fn partitions_of(&self, store: StoreId) -> impl Iterator<Item = PartitionId> {
        let sub_topology = self.topology.stores()[store.0].sub_topology;
        self.tasks.iter().filter(move |held| held.id.sub_topology == sub_topology).map(|held| held.id.partition)
    }
}
