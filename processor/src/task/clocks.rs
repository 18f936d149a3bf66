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
        self.state.time.advance();
        self.tell_watermark(output)
    }

    /// Tells the operators the watermark, if it has moved, if some of them were not told it because of calls to the
    /// outside, or if a timer was set for a time that has come.
    pub(super) fn tell_watermark(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        let (told, watermark) = (self.state.told, self.state.time.watermark());
        let is_untold = self.calls.awaited == 0 && (self.is_told_in_part || told < watermark);
        if is_untold || self.is_event_timer_due() { self.watermark_moved(output) } else { Ok(()) }
    }

    /// Tells the operators the watermark. While results of calls to the outside are awaited, they would be late by a
    /// later one: that is told when the last of them has come.
    pub(super) fn watermark_moved(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.is_touched = true;
        if self.calls.awaited == 0 {
            self.state.told = self.state.time.watermark();
        }
        self.signal_watermark(output)
    }

    /// Tells the operators the restored watermark before the first record, and that of the last commit before the
    /// first one after a rollback: what was late stays late.
    pub(super) fn resume(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        if self.is_resumed {
            return Ok(());
        }
        self.changelogs.check_versions()?;
        self.is_resumed = true;
        self.state.told = self.state.time.watermark();
        // Results of the last commit may have set a timer for a time that had come.
        self.is_touched |= self.is_event_timer_due();
        self.signal_watermark(output)
    }

    /// Tells the stores that forget entries how far a clock has come.
    pub(super) fn forget(&mut self, clock: Clock) {
        let (watermark, wall) = (self.state.time.watermark(), wall(self.wall_at_zero, self.now));
        let now = if clock == Clock::Event { watermark } else { wall };
        self.stores.iter_mut().for_each(|store| store.advance_clock(clock, now));
    }

    pub(super) fn is_event_timer_due(&self) -> bool {
        self.stores.iter().filter_map(|(_, store)| store.next_event_due()).any(|due| due <= self.state.told)
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
