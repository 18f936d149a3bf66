//! The memory that the logs take, and the times at which they are checked for expired records.

use std::cmp::Reverse;

use bytes::Bytes;
use kafka_wire::types::{PartitionId, TimestampMs};
use kafka_wire::wire::Str;

use super::{Topic, Topics};
use crate::broker::log::{Log, LogSettings};

/// Totals over all logs, and the time of the next check.
#[derive(Clone, Debug, Default)]
pub(super) struct Upkeep {
    /// Shortest time between two checks.
    interval_ms: i64,
    due: Option<TimestampMs>,
    last: Option<TimestampMs>,
    /// Memory of all logs that exist.
    memory_bytes: u64,
    /// Blocks that have left their logs, while responses in flight still hold them.
    lingering: Vec<Bytes>,
}

impl Topics {
    /// Bytes that records take in memory: those in the logs, and those that were deleted but are still being sent.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.upkeep.memory_bytes + self.upkeep.lingering.iter().map(|block| block.len() as u64).sum::<u64>()
    }

    /// The topics that take the most memory and how much, as text for a log line.
    #[must_use]
    pub fn largest_logs(&self, count: usize) -> String {
        let memory_bytes = |topic: &Topic| topic.partitions.iter().map(|it| it.log.memory_bytes()).sum::<u64>();
        let mut topics: Vec<_> =
            self.by_name.values().map(|topic| (memory_bytes(topic), topic.name.as_str())).collect();
        topics.sort_by_key(|&(bytes, _)| Reverse(bytes));
        let told = topics.iter().take(count).map(|(bytes, name)| format!("{name} {} MiB", bytes >> 20));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Changes a log. `None` if there is no such partition.
    ///
    /// Every change goes through here, so that the totals are right and the log is checked in time.
    pub fn change_log<T>(
        &mut self,
        now: TimestampMs,
        name: &str,
        partition: PartitionId,
        change: impl FnOnce(&mut Log, &LogSettings) -> T,
    ) -> Option<T> {
        let topic = self.by_name.get_mut(name)?;
        let log = &mut topic.partitions.get_mut(usize::try_from(partition.0).ok()?)?.log;
        let result = self.upkeep.counted(log, |log| change(log, &topic.settings));
        self.upkeep.schedule(log.next_upkeep(&topic.settings, now));
        Some(result)
    }

    /// The time at which [`Topics::look_after_logs`] has something to do, if nothing is written until then.
    #[must_use]
    pub fn next_upkeep(&self) -> Option<TimestampMs> {
        self.upkeep.due
    }

    /// Deletes and compacts what is due by `now`. Returns the partitions whose start offset has moved.
    pub fn look_after_logs(&mut self, now: TimestampMs) -> Vec<(Str, PartitionId)> {
        self.upkeep.forget_sent();
        if self.upkeep.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.upkeep.due = None;
        self.upkeep.last = Some(now);
        let mut moved = Vec::new();
        let mut left_bytes = COMPACTED_BYTES_MAX;
        for topic in self.by_name.values_mut() {
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let log = &mut partition.log;
                let (has_moved, read_bytes) = self.upkeep.counted(log, |log| {
                    let has_moved = log.expire(&topic.settings, now);
                    (has_moved, if left_bytes > 0 { log.compact(&topic.settings, now) } else { 0 })
                });
                left_bytes = left_bytes.saturating_sub(read_bytes);
                if has_moved {
                    moved.push((topic.name.clone(), PartitionId(index)));
                }
                self.upkeep.schedule(log.next_upkeep(&topic.settings, now));
            }
        }
        self.upkeep.schedule_lingering();
        if left_bytes == 0 {
            // The rest of the compaction is due at once, but lets requests be served in between.
            self.upkeep.due = Some(TimestampMs(now.0.saturating_add(1)));
        }
        moved
    }

    /// Whether deleted records take memory because they are still being sent.
    #[must_use]
    pub fn has_lingering(&self) -> bool {
        !self.upkeep.lingering.is_empty()
    }

    /// Frees deleted records whose sending has ended.
    pub fn forget_sent(&mut self) {
        self.upkeep.forget_sent();
    }

    /// Removes the logs of a deleted topic from the totals.
    pub(super) fn forget_logs(&mut self, partitions: &mut [super::Partition]) {
        for partition in partitions {
            self.upkeep.counted(&mut partition.log, Log::clear);
        }
    }

    /// Makes a check of every log due, however short ago the last one was by the date, because the date has jumped.
    pub fn look_at_once(&mut self) {
        self.upkeep.last = None;
        self.look_soon();
    }

    /// Makes a check of every log due, because settings have changed.
    pub(super) fn look_soon(&mut self) {
        self.upkeep.schedule(Some(TimestampMs(i64::MIN)));
    }
}

impl Upkeep {
    pub(super) fn new(interval_ms: i64) -> Self {
        Self { interval_ms, ..Self::default() }
    }

    /// Changes a log and updates the totals by the difference.
    fn counted<T>(&mut self, log: &mut Log, change: impl FnOnce(&mut Log) -> T) -> T {
        let before = log.memory_bytes();
        let result = change(log);
        self.memory_bytes = self.memory_bytes - before + log.memory_bytes();
        let removed = log.take_removed();
        self.lingering.extend(removed.into_iter().filter(|block| !block.is_unique()));
        self.schedule_lingering();
        result
    }

    fn schedule(&mut self, due: Option<TimestampMs>) {
        let Some(due) = due else { return };
        let earliest = self.last.map_or(due, |last| TimestampMs(last.0.saturating_add(self.interval_ms)));
        let due = due.max(earliest);
        self.due = Some(self.due.map_or(due, |other| other.min(due)));
    }

    /// Frees the blocks of responses that have been sent.
    fn forget_sent(&mut self) {
        self.lingering.retain(|block| !block.is_unique());
    }

    /// Blocks that linger are checked again and again until they are free.
    fn schedule_lingering(&mut self) {
        if !self.lingering.is_empty() {
            self.schedule(Some(TimestampMs(i64::MIN)));
        }
    }
}

/// Most bytes of logs that are compacted at once; no request is served meanwhile.
const COMPACTED_BYTES_MAX: u64 = 64 * 1024 * 1024;
