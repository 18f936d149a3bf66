//! What the upstream partitions of a task have said, and what follows for the task.
//!
//! - Unheard upstreams hold the watermark: their first records may be the oldest.
//! - Otherwise it is the least over those that are not idle. When all are, nobody is waited for, and it is the greatest:
//!   the order in which they fell idle must not decide.
//! - An upstream's watermark never goes back: one that restarts has forgotten how far it was, its readers have not.

use kafka_wire::types::{Offset, TimestampMs};

use super::{Mark, NO_WATERMARK};

/// The latest mark of each upstream partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    upstreams: Vec<Option<Mark>>,
}

impl Progress {
    /// Takes a mark. `None` when it makes no sense: an upstream that is not among so many.
    ///
    /// Returns the mark to keep: as given, its watermark never below that of an earlier one.
    pub fn apply(&mut self, mark: Mark) -> Option<Mark> {
        let count = usize::try_from(mark.upstream_count).ok().filter(|count| *count <= UPSTREAMS_MAX)?;
        let upstream = usize::try_from(mark.upstream.0).ok().filter(|upstream| *upstream < count)?;
        if self.upstreams.len() < count {
            // A topic may grow partitions; it never loses any.
            self.upstreams.resize(count, None);
        }
        let slot = &mut self.upstreams[upstream];
        let watermark = slot.map_or(mark.watermark, |earlier| earlier.watermark.max(mark.watermark));
        *slot = Some(Mark { watermark, ..mark });
        *slot
    }

    /// How far event time has come in all of them.
    #[must_use]
    pub fn watermark(&self) -> TimestampMs {
        let mut least = None;
        let mut greatest = NO_WATERMARK;
        for upstream in &self.upstreams {
            let Some(mark) = upstream else { return NO_WATERMARK };
            greatest = greatest.max(mark.watermark);
            if !mark.is_idle {
                least = Some(least.map_or(mark.watermark, |least: TimestampMs| least.min(mark.watermark)));
            }
        }
        least.unwrap_or(greatest)
    }

    /// Whether all have spoken and none is waited for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.upstreams.is_empty() && self.upstreams.iter().all(|mark| mark.is_some_and(|mark| mark.is_idle))
    }

    /// Whether each upstream partition has ended at the offset expected of it, or later.
    #[must_use]
    pub fn has_ended(&self, expected_ends: &[Offset]) -> bool {
        expected_ends.iter().enumerate().all(|(upstream, expected)| {
            let mark = self.upstreams.get(upstream).copied().flatten();
            mark.and_then(|mark| mark.ended).is_some_and(|ended| ended >= *expected)
        })
    }
}

/// Far above the partitions that a topic can have in practice; bounds what a malformed mark makes us allocate.
const UPSTREAMS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use kafka_wire::types::PartitionId;
    use proptest::prelude::*;

    use super::*;

    fn mark(upstream: i32, watermark: i64) -> Mark {
        let (upstream, watermark) = (PartitionId(upstream), TimestampMs(watermark));
        Mark { upstream, upstream_count: 3, watermark, is_idle: false, ended: None }
    }

    fn progress(marks: &[Mark]) -> Progress {
        let mut progress = Progress::default();
        for mark in marks {
            assert!(progress.apply(*mark).is_some());
        }
        progress
    }

    #[test]
    fn the_unheard_hold_and_the_least_counts() {
        assert_eq!(progress(&[]).watermark(), NO_WATERMARK);
        assert_eq!(progress(&[mark(0, 5), mark(2, 9)]).watermark(), NO_WATERMARK);
        assert_eq!(progress(&[mark(0, 5), mark(2, 9), mark(1, 7)]).watermark(), TimestampMs(5));
    }

    #[test]
    fn the_idle_do_not_count_unless_all_are() {
        let idle = |upstream, watermark| Mark { is_idle: true, ..mark(upstream, watermark) };
        assert_eq!(progress(&[idle(0, 5), mark(1, 7), mark(2, 9)]).watermark(), TimestampMs(7));
        let all = progress(&[idle(0, 5), idle(1, 7), idle(2, 9)]);
        assert_eq!(all.watermark(), TimestampMs(9));
        assert!(all.is_idle() && !progress(&[idle(0, 5)]).is_idle());
    }

    #[test]
    fn a_restarted_upstream_does_not_turn_time_back() {
        let mut progress = progress(&[mark(0, 5), mark(1, 7), mark(2, 9)]);
        assert_eq!(progress.apply(mark(0, 1)).map(|kept| kept.watermark), Some(TimestampMs(5)));
        assert_eq!(progress.watermark(), TimestampMs(5));
    }

    #[test]
    fn the_end_is_reached_when_all_have_ended_far_enough() {
        let ended = |upstream, end| Mark { ended: Some(Offset(end)), ..mark(upstream, 0) };
        let ends = [Offset(10), Offset(0), Offset(5)];
        let mut progress = progress(&[ended(0, 10), ended(1, 0)]);
        assert!(!progress.has_ended(&ends));
        progress.apply(ended(2, 4));
        assert!(!progress.has_ended(&ends), "ended, but in an earlier run");
        progress.apply(ended(2, 6));
        assert!(progress.has_ended(&ends));
        progress.apply(mark(0, 0));
        assert!(!progress.has_ended(&ends), "went on after its end");
    }

    #[test]
    fn a_mark_of_nobody_is_refused() {
        let mut progress = Progress::default();
        for (upstream, upstream_count) in [(3, 3), (-1, 3), (0, 0), (0, -1), (0, i32::MAX)] {
            let mark = Mark { upstream: PartitionId(upstream), upstream_count, ..mark(0, 0) };
            assert_eq!(progress.apply(mark), None);
        }
    }

    proptest! {
        #[test]
        fn with_all_heard_and_active_the_watermark_never_goes_back(marks in prop::collection::vec((0..3, -50_i64..50), 0..60)) {
            let mut progress = progress(&[mark(0, -50), mark(1, -50), mark(2, -50)]);
            let mut last = progress.watermark();
            for (upstream, watermark) in marks {
                progress.apply(mark(upstream, watermark));
                prop_assert!(progress.watermark() >= last);
                last = progress.watermark();
            }
        }
    }
}
