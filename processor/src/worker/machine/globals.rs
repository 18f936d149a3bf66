//! The global tables: tasks begin when they have been read.

use kafka_wire::time::Moment;

use super::Worker;
use crate::worker::action::Completion;

impl Worker {
    /// Begins to read the global tables.
    pub(super) fn begin_globals(&mut self) {
        if let Some(operation) = self.globals.begin() {
            let id = self.start(operation);
            self.globals.started(id);
        }
    }

    pub(super) fn handle_globals(&mut self, now: Moment, completion: Completion) {
        match self.globals.handle(completion) {
            Ok((next, actions)) => {
                self.actions.extend(actions);
                if let Some(operation) = next {
                    let id = self.start(operation);
                    self.globals.started(id);
                }
                if self.globals.are_ready() {
                    self.release(now);
                }
            }
            Err(end) => self.give_up(end),
        }
    }

    /// Lets the tasks begin that have waited for the global tables.
    pub(super) fn release(&mut self, now: Moment) {
        for id in self.tasks.ids() {
            let Some(held) = self.tasks.get_mut(id) else { continue };
            held.release();
            if held.is_restored() {
                self.run(now, id);
            }
        }
    }
}
