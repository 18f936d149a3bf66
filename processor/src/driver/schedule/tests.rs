//! Jobs on several workers, in an order that a seed draws, against a model.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::operator::Emit;
use crate::serde::{U64, Utf8};
use crate::topology::Topology;
use crate::types::Partitions;
use crate::watermark::Watermark;
use crate::window::Tumbling;

const SECOND: Duration = Duration::from_secs(1);

/// Two kinds of jobs under the same chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Counts each word in each window.
    WordCount(Emit),
    /// Counts each word, then sums the counts of each window up behind another shuffle.
    TwoStage,
}

fn topology(kind: Job, watermark: Watermark) -> Topology {
    let emit = match kind {
        Job::WordCount(emit) => emit,
        Job::TwoStage => Emit::OnClose,
    };
    let mut job = Topology::builder("job");
    let counted = job
        .stream("lines", Utf8)
        .watermark(watermark)
        .flat_map(Utf8, |line, words| line.value.split_whitespace().for_each(|word| words.push(word)))
        .key_by("by-word", Partitions(3), (Utf8, ()), |word| (word.value, ()))
        .window(Tumbling::of(10 * SECOND))
        .count("counts", emit);
    match kind {
        Job::WordCount(_) => {
            counted.map(|word| format!("{} {}", word.window.start, word.value)).to("out", Utf8, crate::serde::Text)
        }
        Job::TwoStage => counted
            .map(|word| *word.value)
            .key_by("all", Partitions(2), (Utf8, U64), |count| ("all", count.value))
            .window(Tumbling::of(10 * SECOND))
            .aggregate("sums", U64, Emit::OnClose, || 0, |sum, count| *sum += count.value)
            .map(|sum| format!("{} {}", sum.window.start, sum.value))
            .to("out", Utf8, crate::serde::Text),
    }
    job.build().expect("a valid job")
}

/// A run under a seed.
struct Run {
    seed: u64,
    job: Job,
    rng: Rng,
    driver: TestDriver,
    /// By key and start of the window.
    expected: BTreeMap<(String, i64), u64>,
}

impl Run {
    fn new(seed: u64, job: Job) -> Self {
        let mut rng = Rng::from_seed(seed);
        let disorder = Watermark::bounded(4 * SECOND);
        // No line is late, whatever is idle: time never comes further by one partition than any line in another's log.
        let idle_after = Duration::from_millis(rng.below(1_000));
        let watermark = if seed.is_multiple_of(3) { disorder.never_idle() } else { disorder.idle_after(idle_after) };
        let mut driver = TestDriver::with_partitions(topology(job, watermark), &[("lines", 3), ("out", 2)]);
        for _ in 0..rng.below(3) {
            driver.add_worker();
        }
        driver.set_can_fence(rng.below(2) == 0);
        driver.set_mark_interval_min(Duration::from_millis(rng.below(2) * rng.below(300)));
        Self { seed, job, rng, driver, expected: BTreeMap::new() }
    }

    fn check(mut self) {
        let steps = 100 + self.rng.below(400);
        for step in 0..steps {
            if self.rng.below(8) == 0 {
                self.line(i64::try_from(step).expect("small") * 100);
            }
            self.driver.step(&mut self.rng, Faults::All);
        }
        self.driver.heal();
        self.driver.end_of_input();
        for _ in 0..200 {
            // The last worker may just have been told to stop.
            self.driver.heal();
            if self.driver.is_finished() || self.driver.fatal().is_some() {
                break;
            }
            self.driver.advance_wall(SECOND);
            self.driver.settle();
        }
        let replay = self.replay();
        assert_eq!(self.driver.fatal(), None, "{replay}");
        assert!(self.driver.is_finished(), "stuck: {:?}; {replay}", self.driver.reports());
        // Readers wait for transactions of the dead until these time out.
        self.driver.advance_wall(20 * SECOND);
        let late: u64 = self.driver.status().iter().map(|(_, status)| status.counters.late).sum();
        assert_eq!(late, 0, "{replay}");
        assert_eq!(self.results(), self.expected, "{replay}");
    }

    fn line(&mut self, time: i64) {
        let timestamp = 4_000 + time - i64::try_from(self.rng.below(4_000)).expect("small");
        let start = timestamp.div_euclid(10_000) * 10_000;
        let words: Vec<_> = (0..self.rng.below(6)).map(|_| format!("w{}", self.rng.below(7))).collect();
        for word in &words {
            let key = if self.job == Job::TwoStage { "all" } else { word };
            *self.expected.entry((key.to_owned(), start)).or_default() += 1;
        }
        let partition = i32::try_from(self.rng.below(3)).expect("small");
        self.driver.write_partition("lines", partition, None, &words.join(" "), timestamp);
    }

    /// What came out, each window of a key once; or growing, when updates come out.
    fn results(&self) -> BTreeMap<(String, i64), u64> {
        let mut results = BTreeMap::new();
        for record in self.driver.read("out") {
            let (start, count) = record.value_str().split_once(' ').expect("a start and a count");
            let (start, count) = (start.parse().expect("a number"), count.parse().expect("a number"));
            let earlier = results.insert((record.key_str().to_owned(), start), count);
            let may_follow = |earlier| self.job == Job::WordCount(Emit::OnUpdate) && earlier < count;
            assert!(earlier.is_none_or(may_follow), "{record:?} after {earlier:?}; {}", self.replay());
        }
        results
    }

    fn replay(&self) -> String {
        format!(
            "{:?}, seed {}: replay with WATERWHEEL_SEED={} cargo test -p processor --lib random_schedules",
            self.job, self.seed, self.seed
        )
    }
}

/// Runs of every kind of job from `first` on, or the one that the environment names.
fn check_all(first: u64, count: u64, jobs: &[Job]) {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = given.map_or(first..first + count, |seed| seed..seed + 1);
    for seed in seeds {
        jobs.iter().for_each(|job| Run::new(seed, *job).check());
    }
}

#[test]
fn under_random_schedules_every_word_is_counted_once() {
    check_all(0, 500, &[Job::WordCount(Emit::OnClose), Job::WordCount(Emit::OnUpdate)]);
}

#[test]
fn under_random_schedules_two_stages_sum_every_word_once() {
    check_all(10_000, 1_000, &[Job::TwoStage]);
}
