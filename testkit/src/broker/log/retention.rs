//! Deletion of old segments, by age and by size.

use kafka_wire::types::TimestampMs;

use super::{Log, LogSettings};

impl Log {
    /// Deletes the segments that exceed `retention.ms` or `retention.bytes`, the active one included, and moves
    /// the start offset. Returns whether it moved.
    ///
    /// A segment is deleted as a whole, when its last record is too old, or when the segments after it alone reach
    /// `retention.bytes`. So a log holds up to one segment more than the settings say.
    ///
    /// Source: `UnifiedLog.deleteOldSegments`.
    pub fn expire(&mut self, settings: &LogSettings, now: TimestampMs) -> bool {
        let start_before = self.start_offset;
        while self.is_first_expired(settings, now) {
            self.remove_first_segment();
            let next = self.segments.front().map_or(self.end_offset, |segment| segment.base_offset);
            self.start_offset = self.start_offset.max(next);
        }
        self.forget_aborted_before(self.start_offset);
        self.start_offset > start_before
    }

    /// The time at which the first segment gets too old, if it ever does.
    pub(super) fn next_expiry(&self, settings: &LogSettings) -> Option<TimestampMs> {
        let first = self.segments.front().filter(|segment| settings.is_deleted && !segment.is_empty())?;
        let age = settings.retention_ms?.checked_add(1)?;
        let too_old = first.age_timestamp().0.checked_add(age)?;
        Some(TimestampMs(too_old.max(first.created().0.saturating_add(settings.retention_delay_ms))))
    }

    /// Whether the first segment can be deleted now.
    pub(super) fn is_first_expired(&self, settings: &LogSettings, now: TimestampMs) -> bool {
        let Some(first) = self.segments.front().filter(|segment| settings.is_deleted && !segment.is_empty()) else {
            return false;
        };
        let is_beyond = |limit: u64| self.size_bytes.saturating_sub(limit) >= first.size_bytes();
        self.next_expiry(settings).is_some_and(|due| due <= now) || settings.retention_bytes.is_some_and(is_beyond)
    }
}

#[cfg(test)]
mod tests {
    use kafka_wire::record::{Batch, BatchBuilder, RawHeaders, Seal};
    use kafka_wire::types::Offset;

    use super::*;
    use crate::broker::log::{ReadBounds, Write};

    /// A log of batches of one record each, of about 170 B, three to a segment, written at these times.
    fn log(settings: &LogSettings, timestamps: &[i64]) -> Log {
        let mut log = Log::default();
        for &timestamp in timestamps {
            let mut builder = BatchBuilder::new(256);
            builder.append(timestamp, None, Some(&[7; 100]), RawHeaders::EMPTY).unwrap();
            let batch = Batch::from_bytes(builder.seal(Seal::default()).unwrap()).unwrap();
            let write = Write { now: TimestampMs(timestamp.max(0)), log_append_time: false, settings };
            log.append(&batch, &write).unwrap();
        }
        log
    }

    fn settings() -> LogSettings {
        LogSettings { segment_bytes: 520, retention_ms: None, retention_delay_ms: 0, ..LogSettings::default() }
    }

    #[test]
    fn segments_go_whole_when_their_last_record_is_too_old() {
        let settings = LogSettings { retention_ms: Some(100), ..settings() };
        let mut log = log(&settings, &[10, 30, 20, 40, 50, 60, 70]);
        assert_eq!(log.next_expiry(&settings), Some(TimestampMs(131)));
        assert!(!log.expire(&settings, TimestampMs(130)));
        assert!(log.expire(&settings, TimestampMs(131)));
        assert_eq!((log.start_offset(), log.end_offset()), (Offset(3), Offset(7)));
        let bounds = ReadBounds { end_offset: Offset(7), size_bytes: 1, is_first_whole: true };
        assert_eq!(log.read(Offset(3), bounds).next_offset, Offset(4));
        // The active segment is deleted as well; the next batch goes after it.
        assert!(log.expire(&settings, TimestampMs(1_000)));
        assert_eq!(
            (log.start_offset(), log.end_offset(), log.size_bytes(), log.memory_bytes()),
            (Offset(7), Offset(7), 0, 0)
        );
        assert!(!log.expire(&settings, TimestampMs(1_000)) && log.next_expiry(&settings).is_none());
    }

    #[test]
    fn old_event_times_live_for_a_while_where_the_topic_says_nothing() {
        let settings = LogSettings { retention_ms: Some(100), retention_delay_ms: 5_000, ..settings() };
        let mut log = log(&settings, &[10]);
        assert_eq!(log.next_expiry(&settings), Some(TimestampMs(5_010)));
        assert!(!log.expire(&settings, TimestampMs(5_009)) && log.expire(&settings, TimestampMs(5_010)));
    }

    #[test]
    fn records_without_timestamps_are_as_old_as_their_arrival() {
        let settings = LogSettings { retention_ms: Some(100), ..settings() };
        let mut log = log(&settings, &[-1]);
        assert!(!log.expire(&settings, TimestampMs(100)) && log.expire(&settings, TimestampMs(101)));
    }

    #[test]
    fn the_size_keeps_the_segments_that_it_needs() {
        let settings = LogSettings { retention_bytes: Some(600), ..settings() };
        let mut log = log(&settings, &[1; 8]);
        let per_batch = log.size_bytes() / 8;
        assert!(log.expire(&settings, TimestampMs(1)));
        // Without the second segment the log would be smaller than `retention.bytes`.
        assert_eq!((log.start_offset(), log.size_bytes()), (Offset(3), 5 * per_batch));
        assert!(!log.expire(&settings, TimestampMs(1)));
    }

    #[test]
    fn nothing_goes_without_the_policy() {
        let settings = LogSettings { retention_ms: Some(0), is_deleted: false, ..settings() };
        assert!(!log(&settings, &[1, 2, 3]).expire(&settings, TimestampMs(1_000)));
    }

    #[test]
    fn a_segment_ends_by_size_or_by_the_time_that_its_records_span() {
        let by_time = LogSettings { segment_ms: 50, segment_bytes: 100_000, ..settings() };
        let lengths = |log: &Log| log.segments.iter().map(|it| it.base_offset.0).collect::<Vec<_>>();
        assert_eq!(lengths(&log(&by_time, &[0, 50, 51, 60, 102, 40])), [0, 2, 4]);
        assert_eq!(lengths(&log(&settings(), &[0; 7])), [0, 3, 6]);
    }
}
