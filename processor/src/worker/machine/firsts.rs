//! The first records of inputs that nobody has read yet.
//!
//! An input without a committed offset is read from its first record, as the take-over finds it. While the task is
//! restored after that, or waits for the global tables, retention may delete that record. So a task that has waited
//! looks once more before it begins: a place that does not exist any more would end the job, as lost input does.

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::time::Moment;
use kafka_wire::types::IsolationLevel;

use super::Worker;
use crate::task::TaskId;
use crate::worker::action::{Completion, Operation, OperationId};

/// A look for the first records of a task's inputs.
pub(super) struct FirstLook {
    operation: OperationId,
    pub(super) task: TaskId,
    inputs: Vec<TopicPartition>,
}

impl Worker {
    /// Looks for the first records of these inputs of a task, which does not begin meanwhile.
    pub(super) fn look_for_firsts(&mut self, task: TaskId, inputs: Vec<TopicPartition>) {
        let Some(held) = self.tasks.get_mut(task) else { return };
        held.hold_back();
        let wanted = inputs.iter().map(|input| (input.clone(), OffsetSpec::Earliest)).collect();
        let operation = self.start(Operation::ListOffsets { wanted, isolation: IsolationLevel::ReadCommitted });
        self.first_looks.push(FirstLook { operation, task, inputs });
    }

    /// Handles the completion of an operation, if it is such a look. Returns whether it is.
    pub(super) fn handle_first_look(&mut self, now: Moment, id: OperationId, completion: &Completion) -> bool {
        let Some(index) = self.first_looks.iter().position(|look| look.operation == id) else { return false };
        let FirstLook { task, inputs, .. } = self.first_looks.remove(index);
        match completion {
            Completion::Listed(firsts) => {
                // The task may have gone meanwhile.
                let Some(held) = self.tasks.get_mut(task) else { return true };
                for (input, first) in inputs.iter().zip(firsts) {
                    held.begin_at(input, first.unwrap_or_default());
                }
                held.release();
                self.run(now, task);
            }
            Completion::Failed(end) => self.give_up(end.clone()),
            completion => unreachable!("{completion:?} is no list of offsets"),
        }
        true
    }
}
