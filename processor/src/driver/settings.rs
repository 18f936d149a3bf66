//! The settings that a test may change.

use std::time::Duration;

use super::{TestClock, TestDriver};
use crate::commit::CommitPolicy;
use crate::topology::ResetPolicy;

impl TestDriver {
    /// Sets another commit policy than the default.
    pub fn set_commit_policy(&mut self, policy: CommitPolicy) {
        self.policy = policy;
        for member in self.slots.iter_mut().filter_map(|slot| slot.member.as_mut()) {
            member.worker.set_commit_policy(policy);
        }
    }

    /// Sets the shortest time between two marks that only advance the watermark, which workers otherwise lengthen only
    /// if there are many partitions. [`TestDriver::commit`] does not wait for it.
    pub fn set_mark_interval_min(&mut self, interval: Duration) {
        self.mark_interval_min = interval;
        for member in self.slots.iter_mut().filter_map(|slot| slot.member.as_mut()) {
            member.worker.set_mark_interval_min(interval);
        }
    }

    /// Limits the records of a changelog that workers read per second; `None` for no limit.
    pub const fn set_restore_pace(&mut self, records: Option<usize>) {
        self.restore_pace = records;
    }

    /// Lets a clock show the time of this driver, so that the calls that a job makes to the outside can wait by it.
    /// [`TestDriver::advance_wall`] lets them go on.
    pub fn use_clock(&mut self, clock: &TestClock) {
        self.clock = clock.clone();
        self.clock.set(self.now);
    }

    /// Sets whether dead workers can be fenced from now on; if not, their transactions end at their timeouts.
    pub const fn set_can_fence(&mut self, can_fence: bool) {
        self.cluster.can_fence = can_fence;
    }

    /// Sets the interval at which workers that start from now on look for topics; by default 30 s.
    pub const fn set_discovery_interval(&mut self, interval: Duration) {
        self.discovery_interval = interval;
    }

    /// Sets the interval at which workers that start from now on delete what they have committed from the repartition
    /// topics, `repartition.purge.interval.ms`; by default 30 s.
    pub const fn set_purge_interval(&mut self, interval: Duration) {
        self.purge_interval = interval;
    }

    /// Sets `auto.offset.reset`, the place at which inputs start that name none. Call it before the first worker is
    /// there.
    pub const fn set_auto_offset_reset(&mut self, policy: ResetPolicy) {
        self.offset_reset = policy;
    }

    /// Sets the time for which a join waits for an input that is at the end of its log, `max.task.idle.ms`;
    /// `None` waits for nothing. By default it is zero: only records that are in the logs are waited for.
    pub fn set_max_task_idle(&mut self, idle_max: Option<Duration>) {
        self.task_idle_max = idle_max;
        for member in self.slots.iter_mut().filter_map(|slot| slot.member.as_mut()) {
            member.worker.set_task_idle_max(idle_max);
        }
    }
}
