//! The latest mark of each upstream task of one repartition topic.
//!
//! - Unheard upstreams hold the watermark: their first records may be the oldest.
//! - An upstream's watermark never goes back: one that restarts has forgotten how far it was, its readers have not.

use kafka_wire::types::{Offset, PartitionId};

use super::{IdleAt, Mark};

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

    /// The latest mark of each upstream task, by its partition; none for one that has not been heard.
    pub fn marks(&self) -> impl Iterator<Item = (PartitionId, Option<&Mark>)> {
        (0..).map(PartitionId).zip(self.upstreams.iter().map(Option::as_ref))
    }

    /// Where the sources of all upstream tasks ended, when all are idle.
    #[must_use]
    pub fn idle_at(&self) -> Option<IdleAt> {
        let first = self.upstreams.first()?.as_ref()?.idle?;
        let mut above = first.above;
        let mut own = 0_i64;
        for mark in &self.upstreams {
            let idle = mark.as_ref()?.idle?;
            own = own.saturating_add(idle.own);
            // They have the same tasks above them. The least is that of the one that knows least.
            above = above.min(idle.above);
        }
        Some(IdleAt { own, above })
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
    use kafka_wire::types::TimestampMs;

    use super::*;

    fn mark(upstream: i32, watermark: i64) -> Mark {
        let (upstream, watermark) = (PartitionId(upstream), TimestampMs(watermark));
        Mark { upstream, upstream_count: 3, watermark, idle: None, ended: None }
    }

    fn progress(marks: &[Mark]) -> Progress {
        let mut progress = Progress::default();
        for mark in marks {
            assert!(progress.apply(*mark).is_some());
        }
        progress
    }

    #[test]
    fn all_are_idle_where_their_sources_ended() {
        let idle = |upstream, own, above| Mark { idle: Some(IdleAt { own, above }), ..mark(upstream, 0) };
        assert_eq!(progress(&[]).idle_at(), None);
        assert_eq!(progress(&[idle(0, 5, 9), idle(2, 6, 9)]).idle_at(), None, "one has not been heard");
        assert_eq!(progress(&[idle(0, 5, 9), mark(1, 0), idle(2, 6, 9)]).idle_at(), None);
        let all = progress(&[idle(0, 5, 9), idle(1, 7, 8), idle(2, 6, 9)]);
        assert_eq!(all.idle_at(), Some(IdleAt { own: 18, above: 8 }));
    }

    #[test]
    fn a_restarted_upstream_does_not_turn_time_back() {
        let mut progress = progress(&[mark(0, 5), mark(1, 7), mark(2, 9)]);
        assert_eq!(progress.apply(mark(0, 1)).map(|kept| kept.watermark), Some(TimestampMs(5)));
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
}
