//! The calls to the outside that a task's steps make.

use std::sync::Arc;

use kafka_wire::time::Moment;

use super::Task;
use crate::error::ProcessError;
use crate::operator::{CallHub, Calls};
use crate::output::Output;

impl Task {
    /// Sets the place that is woken when a call to the outside can go on. Call it before the first record.
    pub fn set_call_hub(&mut self, hub: &Arc<CallHub>) {
        self.calls = Calls::new(Arc::clone(hub));
    }

    /// Whether a step makes calls to the outside.
    #[must_use]
    pub const fn makes_calls(&self) -> bool {
        self.stage.makes_calls()
    }

    /// The calls to the outside of the open transaction. It must not be committed while any is outstanding.
    #[must_use]
    pub const fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Takes the results of calls to the outside.
    ///
    /// # Errors
    /// As [`Task::process`]; [`ProcessError::CallFailed`] if a call has failed as often as it may.
    pub fn resume_calls(&mut self, now: Moment, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.now = now;
        self.is_touched = true;
        self.calls.next_timeout = None;
        self.signal(|stage, context| stage.resume(context), output)?;
        self.tell_watermark(output)?;
        let ends = self.calls.outstanding == 0 && std::mem::take(&mut self.ends_later);
        if ends { self.end(output) } else { Ok(()) }
    }
}
