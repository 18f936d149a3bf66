//! The offset of a task that has state but no offset.
//!
//! The offset may be lost, because it expired or was deleted; then a person has to say where to go on. Or this worker
//! was paused in its take-over for longer than its session, between reading the offsets and the changelogs, and another
//! worker has committed the first offset and the first state meanwhile: then the group has gone on without this one,
//! which does not know it yet, and only has to begin anew. A second look at the offset tells which it is: state and
//! offset are committed together, so whoever has seen the state finds the offset.

use kafka_wire::cluster::CommittedOffset;

use super::Worker;
use crate::commit::OffsetMetadata;
use crate::task::TaskId;
use crate::worker::action::{Completion, Operation, OperationId};
use crate::worker::end::{End, Fatal};
use crate::worker::starts;

/// A second look at the offsets of a task.
pub(super) struct SecondLook {
    operation: OperationId,
    task: TaskId,
}

impl Worker {
    /// Looks at the offsets of a task once more, which does not begin meanwhile.
    pub(super) fn look_again(&mut self, task: TaskId) {
        let Some(held) = self.tasks.get_mut(task) else { return };
        held.hold_back();
        let partitions = held.task.inputs().to_vec();
        let operation = self.start(Operation::ReadOffsets { partitions, is_stable: true });
        self.second_looks.push(SecondLook { operation, task });
    }

    /// Handles the completion of an operation, if it is a second look. Returns whether it is.
    pub(super) fn handle_second_look(&mut self, id: OperationId, completion: &Completion) -> bool {
        let Some(index) = self.second_looks.iter().position(|look| look.operation == id) else { return false };
        let SecondLook { task, .. } = self.second_looks.remove(index);
        let missing = self.tasks.get(task).map(|held| (held.lacks_offset().cloned(), held.restored_records()));
        // The task may have gone meanwhile.
        let Some((Some(partition), restored)) = missing else { return true };
        let starter = starts::transactional_id(self.topology.application_id());
        let is_of_worker = |committed: &CommittedOffset| {
            OffsetMetadata::parse(&committed.metadata).is_none_or(|metadata| metadata.transactional_id != starter)
        };
        match completion {
            Completion::Offsets(offsets)
                if !offsets.iter().any(|(_, offset)| offset.as_ref().is_some_and(is_of_worker)) =>
            {
                let group = self.topology.application_id().to_owned();
                self.fail(Fatal::OffsetMissing { group, partition, restored });
            }
            Completion::Failed(end) => self.give_up(end.clone()),
            _ => self.give_up(End::Restart(format!("another worker has worked on {partition} meanwhile"))),
        }
        true
    }
}
