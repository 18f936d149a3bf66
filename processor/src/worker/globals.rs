//! The global tables of a worker: read to their ends before tasks begin, and followed from then on.
//!
//! 1. Count the partitions of their topics.
//! 2. List the first and the last stable offset of each partition. So a transaction that somebody else has open there
//!    does not delay the job; Kafka Streams reads its global tables as far.
//! 3. Read each partition from its beginning, committed records only. When all have reached those ends, the tasks
//!    begin. The partitions stay open.

use std::collections::BTreeMap;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::consumer::ReadToEnd;
use kafka_wire::record::Records;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use tracing::warn;

use super::action::{Action, Completion, Operation, OperationId};
use super::end::{End, Fatal};
use crate::error::{ErrorKind, ErrorPolicy, Origin, ProcessError};
use crate::state::{Globals, VisitRow};
use crate::topology::Topology;

/// The global tables of a worker, and the progress of reading them.
pub(super) struct GlobalTables {
    rows: Globals,
    /// The topic of each table.
    topics: Vec<String>,
    operation: Option<OperationId>,
    /// The partitions whose bounds are being looked up.
    asked: Vec<TopicPartition>,
    /// How far each partition is read; `None` until their bounds are known.
    readings: Option<BTreeMap<TopicPartition, ReadToEnd>>,
    policy: ErrorPolicy,
}

impl GlobalTables {
    pub(super) fn new(topology: &Topology) -> Self {
        let globals = topology.globals();
        Self {
            rows: globals.iter().map(|global| (global.make)()).collect(),
            topics: globals.iter().map(|global| global.topic.clone()).collect(),
            operation: None,
            asked: Vec::new(),
            readings: globals.is_empty().then(BTreeMap::new),
            policy: topology.policies().of(ErrorKind::Decode, topology.dead_letters().is_some()),
        }
    }

    /// The rows, for the tasks.
    pub(super) const fn rows(&self) -> &Globals {
        &self.rows
    }

    /// Whether all tables have been read to the ends that they had at the start.
    pub(super) fn are_ready(&self) -> bool {
        self.readings.as_ref().is_some_and(|readings| readings.values().all(ReadToEnd::is_done))
    }

    /// Passes each row of a table to `visit`, or only that of one key.
    ///
    /// # Errors
    /// If a row cannot be encoded.
    pub(super) fn visit(&self, table: usize, key: Option<&[u8]>, visit: &mut VisitRow<'_>) -> Result<(), ProcessError> {
        let read = self.rows[table].visit(key, visit);
        read.map_err(|cause| ProcessError::Encode { to: self.topics[table].clone(), cause })
    }

    /// The first operation, if there are any tables.
    pub(super) fn begin(&self) -> Option<Operation> {
        let mut topics = self.topics.clone();
        topics.sort_unstable();
        topics.dedup();
        (!topics.is_empty()).then_some(Operation::CountPartitions { topics })
    }

    pub(super) const fn started(&mut self, id: OperationId) {
        self.operation = Some(id);
    }

    pub(super) fn waits_for(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }

    /// Handles the completion of the operation that was started last. Returns the next one, and the actions that begin
    /// to read the partitions.
    ///
    /// # Errors
    /// The result does not let the worker go on.
    pub(super) fn handle(&mut self, completion: Completion) -> Result<(Option<Operation>, Vec<Action>), End> {
        self.operation = None;
        match completion {
            Completion::Failed(end) => Err(end),
            Completion::Counts(counts) => {
                for topic in &self.topics {
                    let count = counts.get(topic).copied().unwrap_or_default();
                    if count == 0 {
                        return Err(End::Restart(format!("topic {topic} of a global table does not exist")));
                    }
                    self.asked.extend((0..count).map(|id| TopicPartition::new(topic.as_str(), PartitionId(id))));
                }
                self.asked.sort_unstable();
                self.asked.dedup();
                let wanted = self.asked.iter().flat_map(ReadToEnd::queries).collect();
                Ok((Some(Operation::ListOffsets { wanted, isolation: IsolationLevel::ReadCommitted }), Vec::new()))
            }
            Completion::Listed(bounds) => Ok((None, self.open(&bounds))),
            completion => unreachable!("{completion:?} answers no question about a global table"),
        }
    }

    /// Takes the bounds of the partitions, and begins to read them.
    fn open(&mut self, bounds: &[Option<Offset>]) -> Vec<Action> {
        let readings = bounds.chunks(2).map(ReadToEnd::between);
        let readings: BTreeMap<_, _> = std::mem::take(&mut self.asked).into_iter().zip(readings).collect();
        let open = |(changelog, reading): (&TopicPartition, &ReadToEnd)| Action::OpenChangelog {
            changelog: changelog.clone(),
            offset: reading.position(),
        };
        let actions = readings.iter().map(open).collect();
        self.readings = Some(readings);
        actions
    }

    /// Whether a partition is that of a global table.
    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        self.readings.as_ref().is_some_and(|readings| readings.contains_key(partition))
    }

    /// Takes the records of a partition, those from `from` on.
    pub(super) fn take(&self, partition: &TopicPartition, records: Records<'_>, from: Offset) -> Result<(), Fatal> {
        let mut next = from;
        for record in records {
            let record = record.map_err(|cause| Fatal::Corrupt {
                partition: partition.clone(),
                offset: next,
                cause: cause.to_string(),
            })?;
            next = Offset(record.offset + 1).max(next);
            let Some(key) = record.key.filter(|_| record.offset >= from.0) else { continue };
            for (rows, topic) in self.rows.iter().zip(&self.topics) {
                if **topic != *partition.topic {
                    continue;
                }
                if let Err(cause) = rows.set(key, record.value) {
                    let TopicPartition { topic, partition } = partition.clone();
                    let origin = Origin { topic: topic.to_string(), partition, offset: Offset(record.offset) };
                    self.leave_out(ProcessError::Undecodable { origin, part: "value", cause })?;
                }
            }
        }
        Ok(())
    }

    fn leave_out(&self, error: ProcessError) -> Result<(), Fatal> {
        if self.policy == ErrorPolicy::Fail || error.is_temporary() {
            return Err(error.into());
        }
        warn!(%error, "a row of a global table is left out");
        Ok(())
    }

    /// Notes that a partition has been read up to this offset. Returns whether the tables have just become ready.
    pub(super) fn read_to(&mut self, partition: &TopicPartition, next: Offset) -> bool {
        let reading = self.readings.as_mut().and_then(|readings| readings.get_mut(partition));
        reading.is_some_and(|reading| reading.advance(next)) && self.are_ready()
    }
}
