//! The progress that the demo shows while it runs.

use std::time::{Duration, Instant};

use processor::Status;

use crate::output::note;

/// Prints a line twice a second: rates since the line before, and totals.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    shown: Instant,
    before: Status,
}

impl Progress {
    pub(crate) fn new(started: Instant) -> Self {
        Self { started, shown: started, before: Status::default() }
    }

    /// Prints if it is time to; cheap to call often.
    pub(crate) fn show(&mut self, now: Instant, status: &Status) {
        let since = now - self.shown;
        if since < Duration::from_millis(500) {
            return;
        }
        let rate = |now: u64, before: u64| thousands((now.saturating_sub(before)) as f64 / since.as_secs_f64());
        note!(
            "  {:5.1} s  in {}/s  out {}/s  lag {}  commits {}  kills {}",
            (now - self.started).as_secs_f64(),
            rate(status.records_in, self.before.records_in),
            rate(status.records_out, self.before.records_out),
            status.lag,
            status.commits,
            status.kills,
        );
        self.shown = now;
        self.before = *status;
    }
}

/// A rate in thousands.
pub(crate) fn thousands(rate: f64) -> String {
    format!("{:.1}k", rate / 1_000.0)
}
