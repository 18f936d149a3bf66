//! Calls to the outside: they go on beside records, and a commit waits for them.

use std::sync::Arc;

use kafka_wire::time::Moment;

use super::Worker;
use crate::operator::CallHub;
use crate::worker::end::Fatal;
use crate::worker::outbox::Outbox;

impl Worker {
    /// Whether it has tasks that make calls to the outside, so that [`Worker::resume_calls`] may have work.
    #[must_use]
    pub const fn makes_calls(&self) -> bool {
        self.tasks.makes_calls()
    }

    /// The place where it is woken when a call can go on: then [`Worker::resume_calls`] is due.
    #[must_use]
    pub const fn call_hub(&self) -> &Arc<CallHub> {
        &self.call_hub
    }

    /// Takes the results of calls to the outside, and begins those that have waited for room. Call it while
    /// [`Worker::needs_outbox`], when it is woken, after each call of another method and at [`Worker::next_timeout`].
    pub fn resume_calls(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        // Between the answer to an abort and the roll-back there is no transaction, and the calls will be forgotten.
        let has_transaction = self.commit.accepts_work() || self.preparation.is_some();
        if !self.makes_calls() || !self.needs_outbox() || !has_transaction {
            return;
        }
        let calling = self.tasks.restored_mut().filter(|held| held.task.calls().outstanding > 0);
        let mut resumed = Ok(());
        for held in calling {
            resumed = held.task.resume_calls(now, outbox);
            if resumed.is_err() {
                break;
            }
        }
        match resumed.map_err(Fatal::from).and_then(|()| outbox.check()) {
            Ok(()) => self.note_work(outbox),
            Err(failure) => self.stumble(failure),
        }
    }
}
