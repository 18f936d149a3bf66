//! The latest mark of each upstream task of one repartition topic.
//!
//! - Upstream tasks without a mark hold the watermark back: their first records may be the oldest.
//! - An upstream task's watermark never goes back: one that restarts has forgotten its watermark, but
//!   its readers have not.

use std::sync::Arc;

use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use super::{IdleAt, Mark, NO_WATERMARK};

/// The latest mark of each upstream partition.
///
/// The values that every batch needs are kept up to date by the marks, so they cost the same for any
/// number of upstream tasks.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Shared with the copy for a rollback, until a mark comes.
    upstreams: Arc<Vec<Option<Mark>>>,
    sums: Sums,
}

/// Summary of all upstream tasks.
#[derive(Clone, Copy, Debug)]
struct Sums {
    heard: usize,
    idle: usize,
    /// The minimum watermark of the tasks with a mark, and the number of tasks that have it.
    least: TimestampMs,
    least_count: usize,
    /// The same for the active tasks.
    least_active: TimestampMs,
    greatest: TimestampMs,
    idle_at: Option<IdleAt>,
}

impl Progress {
    /// Takes the marks of one record. `false` if one of them is invalid, its upstream partition not below its
    /// count; then none is taken.
    ///
    /// A watermark is kept as given, but never below that of an earlier mark.
    #[must_use]
    pub fn apply(&mut self, marks: &[Mark]) -> bool {
        if marks.iter().any(|mark| place(mark).is_none()) {
            return false;
        }
        let upstreams = Arc::make_mut(&mut self.upstreams);
        let mut is_sums_stale = false;
        for mark in marks {
            let Some((upstream, count)) = place(mark) else { continue };
            if upstreams.len() < count {
                // A topic may gain partitions. That there are fewer tasks no mark can tell, see `cut`.
                upstreams.resize(count, None);
            }
            let slot = &mut upstreams[upstream];
            let watermark = slot.map_or(mark.watermark, |earlier| earlier.watermark.max(mark.watermark));
            let kept = Mark { watermark, ..*mark };
            is_sums_stale = is_sums_stale || !self.sums.replace(*slot, kept);
            *slot = Some(kept);
        }
        if is_sums_stale {
            self.sums = Sums::of(upstreams);
        }
        true
    }

    /// Forgets the upstream tasks from this number on: their topic was deleted, or the job reads it no longer. A mark
    /// does not tell that, because a task that has not heard of a growth yet states a smaller number as well. Returns
    /// whether there were any.
    pub fn cut(&mut self, count: i32) -> bool {
        let count = usize::try_from(count).unwrap_or_default();
        if count == 0 || self.upstreams.len() <= count {
            return false;
        }
        let upstreams = Arc::make_mut(&mut self.upstreams);
        upstreams.truncate(count);
        self.sums = Sums::of(upstreams);
        true
    }

    /// Number of upstream tasks, as far as marks have told.
    #[must_use]
    pub fn upstream_count(&self) -> i32 {
        i32::try_from(self.upstreams.len()).unwrap_or(i32::MAX)
    }

    /// The latest mark of each upstream task, by its partition; `None` for a task without a mark so far.
    pub fn marks(&self) -> impl Iterator<Item = (PartitionId, Option<&Mark>)> {
        (0..).map(PartitionId).zip(self.upstreams.iter().map(Option::as_ref))
    }

    /// Whether every upstream task has sent a mark; nothing is known before.
    #[must_use]
    pub fn has_heard_all(&self) -> bool {
        self.sums.heard == self.upstreams.len() && !self.upstreams.is_empty()
    }

    /// The minimum watermark of the upstream tasks with a mark.
    #[must_use]
    pub const fn least(&self) -> TimestampMs {
        self.sums.least
    }

    /// The minimum watermark of the active upstream tasks with a mark; `None` if all are idle.
    #[must_use]
    pub fn least_active(&self) -> Option<TimestampMs> {
        (self.sums.heard > self.sums.idle).then_some(self.sums.least_active)
    }

    /// The maximum watermark of all upstream tasks.
    #[must_use]
    pub const fn greatest(&self) -> TimestampMs {
        self.sums.greatest
    }

    /// The end offsets of the sources of all upstream tasks, if all of them are idle.
    #[must_use]
    pub fn idle_at(&self) -> Option<IdleAt> {
        self.sums.idle_at.filter(|_| self.has_heard_all() && self.sums.idle == self.sums.heard)
    }

    /// Whether each upstream partition has ended at its expected offset, or later.
    #[must_use]
    pub fn has_ended(&self, expected_ends: &[Offset]) -> bool {
        expected_ends.iter().enumerate().all(|(upstream, expected)| {
            let mark = self.upstreams.get(upstream).copied().flatten();
            mark.and_then(|mark| mark.ended).is_some_and(|ended| ended >= *expected)
        })
    }
}

impl Default for Sums {
    fn default() -> Self {
        let greatest = TimestampMs(i64::MAX);
        Self {
            heard: 0,
            idle: 0,
            least: greatest,
            least_count: 0,
            least_active: greatest,
            greatest: NO_WATERMARK,
            idle_at: None,
        }
    }
}

impl Sums {
    fn of(upstreams: &[Option<Mark>]) -> Self {
        let mut sums = Self::default();
        for mark in upstreams.iter().flatten() {
            sums.add(mark);
        }
        sums
    }

    fn add(&mut self, mark: &Mark) {
        self.heard += 1;
        match mark.watermark.cmp(&self.least) {
            std::cmp::Ordering::Less => (self.least, self.least_count) = (mark.watermark, 1),
            std::cmp::Ordering::Equal => self.least_count += 1,
            std::cmp::Ordering::Greater => {}
        }
        self.greatest = self.greatest.max(mark.watermark);
        match mark.idle {
            None => self.least_active = self.least_active.min(mark.watermark),
            Some(idle) => {
                self.idle += 1;
                let sum = self.idle_at.get_or_insert(IdleAt { own: 0, above: idle.above });
                sum.own = sum.own.saturating_add(idle.own);
                // They have the same tasks upstream of them, so the minimum is that of the task that knows least.
                sum.above = sum.above.min(idle.above);
            }
        }
    }

    /// Replaces an earlier mark of the same upstream task. `false` if the summary has to be computed from all of them:
    /// a task is idle, or the only one that held the others back has moved.
    fn replace(&mut self, earlier: Option<Mark>, mark: Mark) -> bool {
        if self.idle > 0 || mark.idle.is_some() {
            return false;
        }
        let Some(earlier) = earlier else {
            self.add(&mark);
            return true;
        };
        self.greatest = self.greatest.max(mark.watermark);
        if earlier.watermark == self.least && mark.watermark > self.least {
            self.least_count -= 1;
        }
        self.least_count > 0
    }
}

/// The index of the upstream task, and the number of such tasks.
fn place(mark: &Mark) -> Option<(usize, usize)> {
    let count = usize::try_from(mark.upstream_count).ok().filter(|count| *count <= UPSTREAMS_MAX)?;
    let upstream = usize::try_from(mark.upstream.0).ok().filter(|upstream| *upstream < count)?;
    Some((upstream, count))
}

/// Far more partitions than a topic has in practice; it bounds the memory that a malformed mark can make this allocate.
const UPSTREAMS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use kafka_wire::rng::Rng;

    use super::*;

    fn mark(upstream: i32, watermark: i64) -> Mark {
        let (upstream, watermark) = (PartitionId(upstream), TimestampMs(watermark));
        Mark { upstream, upstream_count: 3, watermark, idle: None, ended: None }
    }

    fn progress(marks: &[Mark]) -> Progress {
        let mut progress = Progress::default();
        for mark in marks {
            assert!(progress.apply(&[*mark]));
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
        assert!(progress.apply(&[mark(0, 1)]));
        assert_eq!(progress.marks().next().and_then(|(_, mark)| mark), Some(&mark(0, 5)));
        assert_eq!(progress.least(), TimestampMs(5));
    }

    #[test]
    fn the_end_is_reached_when_all_have_ended_far_enough() {
        let ended = |upstream, end| Mark { ended: Some(Offset(end)), ..mark(upstream, 0) };
        let ends = [Offset(10), Offset(0), Offset(5)];
        let mut progress = progress(&[ended(0, 10), ended(1, 0)]);
        assert!(!progress.has_ended(&ends));
        assert!(progress.apply(&[ended(2, 4)]));
        assert!(!progress.has_ended(&ends), "ended, but in an earlier run");
        assert!(progress.apply(&[ended(2, 6)]));
        assert!(progress.has_ended(&ends));
        assert!(progress.apply(&[mark(0, 0)]));
        assert!(!progress.has_ended(&ends), "went on after its end");
    }

    #[test]
    fn tasks_that_are_no_more_are_forgotten() {
        let idle = |upstream, own| Mark { idle: Some(IdleAt { own, above: 0 }), ..mark(upstream, 900) };
        let mut progress = progress(&[mark(0, 500), mark(1, 600), mark(2, 100)]);
        assert!(!progress.cut(3) && !progress.cut(0));
        assert_eq!(
            (progress.least(), progress.greatest(), progress.upstream_count()),
            (TimestampMs(100), TimestampMs(600), 3)
        );
        assert!(progress.cut(2));
        assert_eq!((progress.least(), progress.least_active()), (TimestampMs(500), Some(TimestampMs(500))));
        assert!(progress.has_heard_all() && !progress.cut(2));
        assert!(progress.apply(&[idle(2, 7)]), "it was there after all");
        assert!(progress.has_heard_all() && progress.greatest() == TimestampMs(900) && progress.upstream_count() == 3);
    }

    #[test]
    fn a_mark_of_nobody_is_refused() {
        let mut progress = Progress::default();
        for (upstream, upstream_count) in [(3, 3), (-1, 3), (0, 0), (0, -1), (0, i32::MAX)] {
            let mark = Mark { upstream: PartitionId(upstream), upstream_count, ..mark(0, 0) };
            assert!(!progress.apply(&[self::mark(0, 5), mark]));
            assert_eq!(progress.marks().count(), 0, "nothing of such a record is taken");
        }
    }
    #[test]
    fn what_is_at_hand_is_what_a_look_at_all_finds() {
        for seed in 0..2_000 {
            let mut rng = Rng::from_seed(seed);
            let mut progress = Progress::default();
            for _ in 0..rng.below(60) {
                let marks: Vec<Mark> = (0..=rng.below(2))
                    .map(|_| {
                        let idle = (rng.below(8) == 0).then(|| IdleAt { own: 1, above: rng.below(3).cast_signed() });
                        Mark { idle, ..mark(rng.below(3) as i32, rng.below(6).cast_signed()) }
                    })
                    .collect();
                assert!(progress.apply(&marks));
                let Sums { least_active, idle_at, .. } = Sums::of(&progress.upstreams);
                let watermarks = || progress.marks().filter_map(|(_, mark)| mark).map(|mark| mark.watermark);
                assert_eq!(Some(progress.least()), watermarks().min(), "seed {seed}");
                assert_eq!(Some(progress.greatest()), watermarks().max(), "seed {seed}");
                assert_eq!((progress.sums.least_active, progress.sums.idle_at), (least_active, idle_at), "seed {seed}");
            }
        }
    }
}
