//! The end of a bounded run.
//!
//! [`Task::end_of_input`] tells a task the end of an input of the user's; its marks pass that on. [`Task::expect_ends`]
//! tells it the ends that a repartition topic has to reach: that input ends when each upstream task has ended there or
//! later. Event time waits no longer for an input that has ended. When all have, the task closes every open window:
//! its watermark advances to the end of the last window and no further, so that a later run with newer data goes on
//! from there. The results of the commit after that may open further ones, which are closed in the next transaction.

use kafka_wire::types::{Offset, TimestampMs};

use super::{RollbackState, Task};
use crate::error::ProcessError;
use crate::output::Output;

impl Task {
    /// Ends an input: everything below `end_offset` has been processed, and this run reads no further.
    /// A second call has no effect.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn end_of_input(
        &mut self,
        input: usize,
        end_offset: Offset,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        debug_assert!(!self.specs[input].is_internal, "the end of a repartition topic is known by its marks");
        self.resume(output)?;
        self.state.time.set_ended(input, true);
        if self.state.ended[input].replace(end_offset) == Some(end_offset) {
            return Ok(());
        }
        self.end(output)
    }

    /// In a bounded run, sets the ends that an input from a repartition topic has to reach: the end of each upstream
    /// task, by partition, see [`Topology::expected_ends`](crate::topology::Topology::expected_ends).
    /// Call [`Task::tick`] after it, because the marks may have come before.
    pub fn expect_ends(&mut self, input: usize, ends: Vec<Offset>) {
        debug_assert!(self.specs[input].is_internal, "an input of the user's is told its end");
        self.specs[input].expected_ends = Some(ends);
        // The end of an earlier run need not be that of this one; if it is, the next tick finds out.
        self.state.ended[input] = None;
        self.committed.ended[input] = None;
        self.reopen(input);
    }

    /// Lets event time wait for an input again, though it had ended: it has another end now, or none.
    pub fn reopen(&mut self, input: usize) {
        self.state.time.set_ended(input, false);
        self.committed.time.set_ended(input, false);
    }

    /// Checks whether every upstream partition of a repartition topic has ended.
    pub(super) fn check_end(&mut self, input: usize, output: &mut dyn Output) -> Result<(), ProcessError> {
        if self.is_end_due(input) {
            let ends = self.specs[input].expected_ends.iter().flatten();
            let sum = ends.fold(0, |sum: i64, end| end.0.saturating_add(sum));
            self.state.ended[input] = Some(Offset(sum));
            self.state.time.set_ended(input, true);
            return self.end(output);
        }
        if !self.has_heard_all_ends(input) {
            self.state.ended[input] = None;
            self.state.time.set_ended(input, false);
        }
        Ok(())
    }

    /// Whether every upstream partition has ended without an effect yet, because the marks came before a
    /// restart or a rollback.
    pub(super) fn is_end_due(&self, input: usize) -> bool {
        self.state.ended[input].is_none() && self.has_heard_all_ends(input)
    }

    fn has_heard_all_ends(&self, input: usize) -> bool {
        let expected = self.specs[input].expected_ends.as_ref();
        let progress = self.state.time.progress(input);
        expected.zip(progress).is_some_and(|(expected, progress)| progress.has_ended(expected))
    }

    /// Ends an input, which event time then waits for no longer. When all have ended, advances to the end of the last
    /// open window, and repeats that as long as closing a window opens another one further down the stage. Timers that
    /// a timer sets meanwhile fire up to the last record and once more, and those that these set stay for a later run:
    /// a timer that sets itself again would not let the run end.
    pub(super) fn end(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.is_touched = true;
        if self.state.ended().is_none() {
            // Event time goes on without the input.
            return self.advance(output);
        }
        loop {
            if self.calls.outstanding > 0 {
                // Results that have not come out may open further windows.
                self.ends_later = true;
                return Ok(());
            }
            let last = self.last_due();
            if last.is_some_and(|last| self.state.time.advance_to(last)) {
                self.watermark_moved(output)?;
                continue;
            }
            let echo = self.stores.iter().filter_map(|(_, store)| store.last_echo()).max();
            // A timer that repeats is due for everything that the run has seen, and once more.
            let has_moved = echo.is_some_and(|echo| {
                let RollbackState { time, seen, has_echoed, .. } = &mut self.state;
                time.advance_to(*seen) || !std::mem::replace(has_echoed, true) && time.advance_to(echo)
            });
            if !has_moved {
                return self.signal(|stage, context| stage.run_ended(context), output);
            }
            self.watermark_moved(output)?;
        }
    }

    /// The greatest event time at which something is still due.
    pub(super) fn last_due(&self) -> Option<TimestampMs> {
        self.stores.iter().filter_map(|(_, store)| store.last_due()).max()
    }

    /// The end of the input, once everything is out that it leads to.
    pub(super) fn whole_end(&self) -> Option<Offset> {
        self.state.ended().filter(|_| !self.has_left_over())
    }
}
