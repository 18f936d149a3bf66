//! The pause between the end of a transaction and the first request of the next.
//!
//! A coordinator answers EndTxn before the markers are in the partitions. With transaction.version 2, the first request
//! of the next transaction (Produce, or TxnOffsetCommit) makes the broker that receives it ask the coordinator.
//! If the coordinator is still writing the markers, the broker waits `add.partitions.to.txn.retry.backoff.ms` (20
//! ms by default) before it asks again. So a client that is a millisecond too early loses twenty.
//! No message says that the markers are written; a client can only see that it was too early: the first answer comes
//! some 20 ms later than usual.
//!
//! # The algorithm
//! - There is no pause until a good part of the transactions come too early ([`RATE_MIN`] of the last few).
//! - Then each transaction that is too early makes the pause longer by [`STEP`], and each that is not makes it shorter
//!   by a small part, so that about one in a hundred is too early: at that rate the cost of being too early and
//!   the cost of the pause are about the same.
//! - Once in [`EXPLORED`] transactions the pause is left out. If that does no harm twice in a row, there was no reason
//!   for the pause (the broker may be slow now and then for another reason), and the search begins anew.
//! - If the longest pause does not help either, answers have become slower in general, and the search
//!   begins anew as well.
//! - If there is no pause and all answers take at least as long as the broker waits, all transactions may be too early,
//!   from the very first on, so that none is later than usual. Then the longest pause is tried, at ever longer
//!   intervals ([`Probe`]); if it makes two answers in a row so much faster, there is a reason for a pause.
//!
//! A broker whose answers always come late is not mistaken for one that waits, since late means later than usual.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::time::Moment;

/// The time to wait after the end of a transaction, learned from the results of earlier waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Pacing {
    pause: Duration,
    /// End of the last transaction.
    ended_at: Option<Moment>,
    first: First,
    /// Time that the first answer of a transaction takes if nothing delays it.
    usual: Option<Duration>,
    /// Part of the last few transactions that was too early, in thousandths.
    too_early_rate: u32,
    /// Number of transactions until the pause is left out once.
    until_explored: u32,
    /// Whether the pause was left out last time without harm.
    was_needless: bool,
    probe: Probe,
}

/// The trials of the longest pause while there is none.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Number of transactions with slow answers until the next trial.
    until: u32,
    /// That number for the trial after it.
    interval: u32,
    /// Number of trials in a row that made the answer faster.
    hits: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self { until: PROBE_AFTER, interval: PROBE_AFTER, hits: 0 }
    }
}

/// The first request of a transaction.
#[derive(Clone, Copy, Debug, Default)]
enum First {
    #[default]
    NotSent,
    Sent {
        at: Moment,
        /// Time since the end of the last transaction, if there was one.
        gap: Option<Duration>,
    },
    Answered,
}

impl Pacing {
    /// Notes that the transaction has ended, according to the coordinator's answer.
    pub(super) const fn handle_end(&mut self, now: Moment) {
        self.ended_at = Some(now);
        self.first = First::NotSent;
        self.until_explored = self.until_explored.saturating_sub(1);
    }

    /// Returns until when the first request of the next transaction has to wait; `None` if it may be sent now.
    pub(super) fn waits_until(&self, now: Moment) -> Option<Moment> {
        let is_probing = self.is_probing();
        if !matches!(self.first, First::NotSent) || (self.is_exploring() && !is_probing) {
            return None;
        }
        let pause = if is_probing { PAUSE_MAX } else { self.pause };
        self.ended_at.map(|ended_at| ended_at + pause).filter(|gate| *gate > now)
    }

    /// Notes that a request is sent which makes the coordinator begin the transaction.
    pub(super) fn handle_sent(&mut self, now: Moment) {
        if matches!(self.first, First::NotSent) {
            self.first = First::Sent { at: now, gap: self.ended_at.map(|ended_at| now.since(ended_at)) };
        }
    }

    /// Notes that the first of those requests was answered, or never will be.
    pub(super) fn handle_answer(&mut self, now: Moment, is_answered: bool) {
        let First::Sent { at, gap } = std::mem::replace(&mut self.first, First::Answered) else { return };
        if !is_answered {
            return;
        }
        let took = now.since(at);
        if gap.is_some() && self.is_probing() {
            return self.probed(took);
        }
        let late = took.saturating_sub(self.usual.unwrap_or_default());
        let is_too_early = gap.is_some() && LATE.contains(&late);
        if !is_too_early {
            self.usual = Some(self.usual.map_or(took, |usual| (usual * 7 + took) / 8));
        }
        if let Some(gap) = gap {
            self.learn(gap, is_too_early, took);
        }
    }

    fn learn(&mut self, gap: Duration, is_too_early: bool, took: Duration) {
        self.too_early_rate = (self.too_early_rate * 7 + if is_too_early { 1_000 } else { 0 }) / 8;
        if self.pause.is_zero() {
            if self.too_early_rate >= RATE_MIN {
                self.pause = gap.min(PAUSE_MAX - STEP) + STEP;
                self.until_explored = EXPLORED;
            } else if took >= SLOW && gap < PAUSE_MAX {
                self.probe.until -= 1;
            }
            return;
        }
        if gap >= PAUSE_MAX && self.too_early_rate >= RATE_MIN {
            // The longest pause does not help: answers take that long now.
            self.begin_anew(took);
        } else if self.is_exploring() && gap < self.pause {
            self.explored(is_too_early, took);
        } else if is_too_early {
            self.pause = (self.pause.max(gap) + STEP).min(PAUSE_MAX);
        } else if gap < self.pause + STEP {
            // A longer gap says nothing about a shorter one.
            self.pause -= self.pause / 512;
        }
    }

    /// Handles the answer of a transaction for which the pause was left out.
    fn explored(&mut self, is_too_early: bool, took: Duration) {
        if is_too_early {
            (self.until_explored, self.was_needless) = (EXPLORED, false);
        } else if self.was_needless {
            self.begin_anew(took);
        } else {
            self.was_needless = true;
        }
    }

    /// Handles the answer of a transaction for which the longest pause was tried.
    fn probed(&mut self, took: Duration) {
        let saved = self.usual.unwrap_or_default().saturating_sub(took);
        let is_hit = saved >= *LATE.start();
        self.probe.hits = if is_hit { self.probe.hits + 1 } else { 0 };
        if is_hit && self.probe.hits < PROBE_HITS {
            return;
        }
        let interval = (self.probe.interval * 2).min(PROBE_INTERVAL_MAX);
        self.probe = Probe { until: interval, interval, hits: 0 };
        if is_hit {
            self.usual = Some(took);
            (self.pause, self.until_explored, self.was_needless) = (STEP, EXPLORED, false);
        }
    }

    fn begin_anew(&mut self, usual: Duration) {
        let (ended_at, first, probe) = (self.ended_at, self.first, self.probe);
        *self = Self { ended_at, first, probe, usual: Some(usual), ..Self::default() };
    }

    const fn is_probing(&self) -> bool {
        self.pause.is_zero() && self.probe.until == 0
    }

    const fn is_exploring(&self) -> bool {
        self.until_explored == 0
    }
}

/// Delay, compared to usual, of the answer to a request that was too early: the broker's pause, and a little more.
const LATE: RangeInclusive<Duration> = Duration::from_millis(14)..=Duration::from_millis(34);
/// Rate of transactions that are too early, in thousandths, from which on there is a pause:
/// without one, nearly all are.
const RATE_MIN: u32 = 400;
const STEP: Duration = Duration::from_millis(1);
/// Longest pause, half of the broker's: a longer one would cost about as much.
const PAUSE_MAX: Duration = Duration::from_millis(10);
const EXPLORED: u32 = 256;
/// Time of an answer that the broker may have delayed.
const SLOW: Duration = Duration::from_millis(20);
/// Number of slow answers before the longest pause is tried; it doubles with each trial.
const PROBE_AFTER: u32 = 8;
const PROBE_INTERVAL_MAX: u32 = 1_024;
/// Number of trials in a row that must make the answer faster.
const PROBE_HITS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// A broker that needs `markers` for the markers of a transaction, answers after `answer`, and waits 20 ms if
    /// a transaction comes too early; the client is ready for the next transaction after `natural`.
    struct World {
        pacing: Pacing,
        now: Moment,
        rng: Rng,
        natural: Duration,
        too_early: u32,
        paused: Duration,
    }

    const MILLI: Duration = Duration::from_millis(1);

    impl World {
        fn new(natural: Duration) -> Self {
            let (now, rng) = (Moment::from_millis(1), Rng::from_seed(7));
            Self { pacing: Pacing::default(), now, rng, natural, too_early: 0, paused: Duration::ZERO }
        }

        /// Runs one transaction after the other. Returns how many were too early, and the sum of the pauses.
        fn run(&mut self, count: u32, markers: impl Fn(&mut Rng) -> Duration, answer: impl Fn(&mut Rng) -> Duration) {
            (self.too_early, self.paused) = (0, Duration::ZERO);
            for _ in 0..count {
                let ended_at = self.now;
                self.pacing.handle_end(self.now);
                self.now = self.now + self.natural;
                if let Some(gate) = self.pacing.waits_until(self.now) {
                    self.paused += gate.since(self.now);
                    self.now = gate;
                }
                self.pacing.handle_sent(self.now);
                let is_too_early = self.now.since(ended_at) < markers(&mut self.rng);
                self.too_early += u32::from(is_too_early);
                let waited = if is_too_early { 20 * MILLI } else { Duration::ZERO };
                self.now = self.now + answer(&mut self.rng) + waited;
                self.pacing.handle_answer(self.now, true);
                self.now = self.now + 2 * MILLI;
            }
        }
    }

    fn between(low: Duration, high: Duration) -> impl Fn(&mut Rng) -> Duration {
        let span = u64::try_from((high - low).as_micros()).expect("short");
        move |rng: &mut Rng| low + Duration::from_micros(rng.below(span + 1))
    }

    #[test]
    fn it_learns_how_long_the_markers_take() {
        let mut world = World::new(MILLI / 10);
        let (markers, answer) = (between(MILLI, 3 * MILLI), between(MILLI / 2, MILLI));
        world.run(100, &markers, &answer);
        assert!(world.too_early < 20, "{}", world.too_early);
        world.run(4_000, &markers, &answer);
        assert!(world.too_early < 4_000 / 60, "{}", world.too_early);
        assert!(world.paused < 4_000 * 4 * MILLI, "{:?}", world.paused);
        // The markers become faster, and so the pause becomes shorter.
        world.run(2_000, between(MILLI / 2, MILLI), &answer);
        world.run(1_000, between(MILLI / 2, MILLI), &answer);
        assert!(world.paused < 1_000 * 2 * MILLI, "{:?}", world.paused);
    }

    #[test]
    fn a_slow_first_answer_does_not_hide_that_all_others_are_too_early() {
        let mut world = World::new(MILLI / 10);
        let markers = between(MILLI, 3 * MILLI);
        world.run(2, &markers, between(40 * MILLI, 50 * MILLI));
        let answer = between(MILLI / 2, MILLI);
        world.run(100, &markers, &answer);
        world.run(1_000, &markers, &answer);
        assert!(world.too_early < 1_000 / 30, "{}", world.too_early);
        assert!(world.paused < 1_000 * 4 * MILLI, "{:?}", world.paused);
    }

    #[test]
    fn where_nothing_comes_too_early_nothing_is_paused() {
        let mut world = World::new(3 * MILLI);
        world.run(2_000, between(MILLI, 2 * MILLI), between(MILLI, 5 * MILLI));
        assert_eq!((world.too_early, world.paused), (0, Duration::ZERO));
        // There is no pause where the broker is slow, either.
        world.run(2_000, between(MILLI, 2 * MILLI), between(20 * MILLI, 25 * MILLI));
        assert!(world.paused < 100 * MILLI, "{:?}", world.paused);
    }

    #[test]
    fn answers_that_are_late_for_another_reason_cost_little() {
        for (low, high) in [(MILLI, 60 * MILLI), (Duration::ZERO, 24 * MILLI)] {
            let mut world = World::new(MILLI);
            world.run(10_000, between(MILLI / 2, MILLI / 2), between(low, high));
            assert_eq!(world.too_early, 0);
            let answers = 10_000 * (low + high) / 2;
            assert!(world.paused * 8 < answers, "{:?} of {answers:?}", world.paused);
        }
    }

    #[test]
    fn a_pause_that_lost_its_reason_is_dropped() {
        let mut world = World::new(MILLI / 10);
        let answer = between(MILLI / 2, MILLI);
        world.run(300, between(4 * MILLI, 5 * MILLI), &answer);
        assert!(world.paused > 300 * 3 * MILLI);
        world.run(300, between(Duration::ZERO, Duration::ZERO), &answer);
        world.run(100, between(Duration::ZERO, Duration::ZERO), &answer);
        assert_eq!(world.paused, Duration::ZERO);
    }

    #[test]
    fn only_the_first_request_waits() {
        let mut pacing = Pacing { pause: 5 * MILLI, until_explored: 9, ..Pacing::default() };
        assert_eq!(pacing.waits_until(Moment::ZERO), None, "no transaction has ended");
        pacing.handle_end(Moment::from_millis(10));
        assert_eq!(pacing.waits_until(Moment::from_millis(11)), Some(Moment::from_millis(15)));
        assert_eq!(pacing.waits_until(Moment::from_millis(15)), None);
        pacing.handle_sent(Moment::from_millis(15));
        pacing.handle_sent(Moment::from_millis(16));
        assert_eq!(pacing.waits_until(Moment::from_millis(11)), None);
        // An answer that never comes has no effect.
        pacing.handle_answer(Moment::from_millis(40), false);
        pacing.handle_answer(Moment::from_millis(40), true);
        assert_eq!((pacing.pause, pacing.usual), (5 * MILLI, None));
    }
}
