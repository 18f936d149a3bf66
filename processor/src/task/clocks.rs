//! How event time and the time of day reach the operators and the stores of a task.

use kafka_wire::time::Moment;
use kafka_wire::types::TimestampMs;

use super::Task;
use crate::error::ProcessError;
use crate::output::Output;
use crate::state::Clock;

impl Task {
    /// Advances event time as far as is certain.
    pub(super) fn advance(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        let has_moved = self.state.time.advance();
        self.tell_watermark(has_moved, output)
    }

    /// Tells the operators the watermark, if it has moved or a timer was set for a time that has come.
    pub(super) fn tell_watermark(&mut self, has_moved: bool, output: &mut dyn Output) -> Result<(), ProcessError> {
        let watermark = self.state.time.watermark();
        let is_due = self.stores.iter().filter_map(|(_, store)| store.next_event_due()).any(|due| due <= watermark);
        if has_moved || is_due { self.watermark_moved(output) } else { Ok(()) }
    }

    /// Tells the operators a watermark that has moved.
    pub(super) fn watermark_moved(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.is_touched = true;
        self.signal(|stage, context| stage.watermark(context), output)
    }

    /// Tells the operators the restored watermark before the first record: what was late stays late.
    pub(super) fn resume(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        if self.is_resumed {
            return Ok(());
        }
        self.changelogs.check_versions()?;
        self.is_resumed = true;
        self.signal(|stage, context| stage.watermark(context), output)
    }

    /// Tells the stores that forget entries how far a clock has come.
    pub(super) fn forget(&mut self, clock: Clock) {
        let (watermark, wall) = (self.state.time.watermark(), wall(self.wall_at_zero, self.now));
        let now = if clock == Clock::Event { watermark } else { wall };
        self.stores.iter_mut().for_each(|store| store.advance_clock(clock, now));
    }

    pub(super) fn is_wall_timer_due(&self, now: Moment) -> bool {
        let wall = wall(self.wall_at_zero, now);
        self.stores.iter().filter_map(|(_, store)| store.next_wall_due()).any(|due| due <= wall)
    }

    /// The moment at which the time of day is `at`, rounded up to a millisecond.
    pub(super) fn moment_of(&self, at: TimestampMs) -> Moment {
        let millis = at.0.saturating_sub(self.wall_at_zero.0);
        Moment::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// The time of day at a moment of the owner's clock.
pub(super) fn wall(at_zero: TimestampMs, now: Moment) -> TimestampMs {
    TimestampMs(at_zero.0.saturating_add(i64::try_from(now.as_millis()).unwrap_or(i64::MAX)))
}
