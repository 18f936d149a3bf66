//! Words of lines, counted in many ways.

mod jobs;
mod model;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::rng::Rng;

use self::jobs::{ENDS, Job, POISON, topology};
use self::model::model;
use super::super::{Faults, TestDriver, pick};
use super::{SECOND, seeds};
use crate::driver::TestClock;
use crate::operator::Emit;
use crate::watermark::Watermark;

/// A run from a seed.
struct Run {
    seed: u64,
    job: Job,
    rng: Rng,
    driver: TestDriver,
    /// The times of each key.
    times: BTreeMap<String, Vec<i64>>,
    /// Number of lines for which the code of the job fails.
    poisoned: usize,
    /// The topics, with the numbers of their partitions.
    topics: Vec<(String, i32)>,
    /// Number of lines in each partition of the first topic.
    lines: [usize; 3],
}

impl Run {
    fn new(seed: u64, job: Job) -> Self {
        let mut rng = Rng::from_seed(seed);
        let disorder = Watermark::bounded(4 * SECOND);
        // No line is late, whichever partitions are idle: no partition moves the watermark beyond any
        // line in another's log.
        let idle_after = Duration::from_millis(rng.below(1_000));
        let watermark = if seed.is_multiple_of(3) { disorder.never_idle() } else { disorder.idle_after(idle_after) };
        let clock = TestClock::default();
        let topology = topology(job, watermark, &clock);
        let mut driver = TestDriver::with_partitions(topology, &[("lines", 3), ("out", 2)]);
        driver.use_clock(&clock);
        if job == Job::Found {
            driver.set_discovery_interval(Duration::from_millis(1 + rng.below(2_000)));
        }
        for _ in 0..rng.below(3) {
            driver.add_worker();
        }
        driver.set_can_fence(rng.below(2) == 0);
        driver.set_mark_interval_min(Duration::from_millis(rng.below(2) * rng.below(300)));
        driver.set_purge_interval(Duration::from_millis(rng.below(3_000)));
        let topics = vec![("lines".to_owned(), 3)];
        Self { seed, job, rng, driver, times: BTreeMap::new(), poisoned: 0, topics, lines: [0; 3] }
    }

    fn check(mut self) {
        let steps = 100 + self.rng.below(400);
        for step in 0..steps {
            if self.rng.below(8) == 0 {
                self.line(i64::try_from(step).expect("small") * 100);
            }
            if self.job == Job::Found && self.rng.below(60) == 0 {
                self.grow();
            }
            self.driver.step(&mut self.rng, Faults::All);
        }
        while self.job == Job::Ends && ENDS.iter().zip(self.lines).any(|(end, lines)| lines < *end) {
            self.line(i64::try_from(steps).expect("small") * 100);
        }
        if self.job == Job::Found {
            self.driver.heal();
            self.driver.advance_wall(31 * SECOND);
        }
        self.driver.finish();
        // The last advances of the clock are for results by intervals that the end of the input cut off, and for
        // transactions of dead members, which hide the records behind them.
        self.driver.advance_wall(90 * SECOND);
        self.driver.settle();
        let replay = self.replay();
        assert_eq!(self.driver.fatal(), None, "{replay}");
        assert!(self.driver.is_finished(), "stuck: {:?}; {replay}", self.driver.reports());
        // Readers wait for transactions of dead workers until these time out.
        self.driver.advance_wall(20 * SECOND);
        let late: u64 = self.driver.status().iter().map(|(_, status)| status.counters.late).sum();
        assert_eq!(late, 0, "{replay}");
        assert_eq!(self.results(), self.expected(), "{replay}");
        if self.job == Job::Failing {
            let too_many = self.times.values().map(|times| times.len().saturating_sub(4)).sum::<usize>();
            assert_eq!(self.driver.read("dead").len(), self.poisoned + too_many, "{replay}");
        }
    }

    fn line(&mut self, time: i64) {
        let timestamp = 4_000 + time - i64::try_from(self.rng.below(4_000)).expect("small");
        let mut words: Vec<_> = (0..self.rng.below(6)).map(|_| format!("w{}", self.rng.below(7))).collect();
        let is_poisoned = self.job == Job::Failing && self.rng.below(8) == 0;
        if is_poisoned {
            self.poisoned += 1;
            words.push(POISON.to_owned());
        }
        let index = if self.topics.len() > 1 { pick(&mut self.rng, self.topics.len()) } else { 0 };
        let (topic, partition_count) = self.topics[index].clone();
        let partition = i32::try_from(pick(&mut self.rng, partition_count as usize)).expect("small");
        let in_partition =
            self.lines.get_mut(partition as usize).map_or(0, |lines| std::mem::replace(lines, *lines + 1));
        let is_behind = self.job == Job::Ends && in_partition >= ENDS[partition as usize];
        for word in words.iter().filter(|_| !is_poisoned && !is_behind) {
            let key = if self.job == Job::TwoStage { "all" } else { word };
            self.times.entry(key.to_owned()).or_default().push(timestamp);
        }
        self.driver.write_partition(&topic, partition, None, &words.join(" "), timestamp);
    }

    /// Adds partitions to a topic, or another topic.
    fn grow(&mut self) {
        let index = pick(&mut self.rng, self.topics.len() + 1);
        match self.topics.get_mut(index) {
            Some((topic, count)) => {
                *count += 1;
                self.driver.grow_topic(topic, *count);
            }
            None => {
                let (topic, count) = (format!("lines-{index}"), 1 + i32::try_from(self.rng.below(3)).expect("small"));
                self.driver.create_topic(&topic, count);
                self.topics.push((topic, count));
            }
        }
    }

    /// Expected results by key and start of the window.
    fn expected(&mut self) -> BTreeMap<(String, i64), u64> {
        let mut expected = BTreeMap::new();
        for (key, times) in &mut self.times {
            times.sort_unstable();
            let counts = model(self.job, times).into_iter();
            expected.extend(counts.map(|(start, count)| ((key.clone(), start), count)));
        }
        expected
    }

    /// The results, each window of a key once; or with increasing counts, if updates are written.
    fn results(&self) -> BTreeMap<(String, i64), u64> {
        let mut results = BTreeMap::new();
        for record in self.driver.read("out") {
            let (start, count) = record.value_str().split_once(' ').expect("a start and a count");
            let (start, count) = (start.parse().expect("a number"), count.parse().expect("a number"));
            let earlier = results.insert((record.key_str().to_owned(), start), count);
            let may_follow = |earlier| match self.job {
                // An interval in which a key changed may end with the value that was put out late for
                // the interval before it.
                Job::WordCount(Emit::Every(_)) | Job::Sliding(Emit::Every(_)) | Job::Latest(Emit::Every(_)) => {
                    earlier <= count
                }
                // A record brings out the window behind it, even if that is as it was.
                Job::ByRecord(emit) => !matches!(emit, Emit::OnClose | Emit::AtEnd) && earlier <= count,
                Job::WordCount(emit) | Job::Sliding(emit) | Job::Latest(emit) => {
                    !matches!(emit, Emit::OnClose | Emit::AtEnd) && earlier < count
                }
                Job::Table | Job::Cogroup | Job::Join | Job::Pattern | Job::Failing | Job::Thirds => earlier < count,
                Job::AsTable(_) => earlier < count,
                Job::LastFew | Job::Steered | Job::SteeredSessions | Job::SteeredSliding | Job::Found => {
                    earlier < count
                }
                Job::Sessions | Job::TwoStage | Job::Process | Job::Calls | Job::Finals | Job::Ends => false,
            };
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

/// Runs of every kind of job.
fn check_all(first: u64, count: u64, jobs: &[Job]) {
    for seed in seeds(first, count) {
        jobs.iter().for_each(|job| Run::new(seed, *job).check());
    }
}

#[test]
fn under_random_schedules_every_word_is_counted_once() {
    check_all(0, 500, &[Job::WordCount(Emit::OnClose), Job::WordCount(Emit::OnUpdate)]);
}

#[test]
fn under_random_schedules_topics_and_partitions_that_come_lose_nothing() {
    check_all(110_000, 300, &[Job::Found]);
}

#[test]
fn under_random_schedules_an_input_ends_where_it_says() {
    check_all(120_000, 200, &[Job::Ends]);
}

#[test]
fn under_random_schedules_every_update_is_one_more() {
    let every = Emit::Every(Duration::from_millis(150));
    let jobs = [Job::WordCount(Emit::EveryUpdate), Job::WordCount(every)];
    check_all(20_000, 150, &jobs);
    let jobs = [Emit::EveryUpdate, Emit::OnUpdate, every].map(Job::Latest);
    check_all(30_000, 150, &jobs);
}

#[test]
fn under_random_schedules_windows_of_records_hold_every_word_once() {
    check_all(90_000, 150, &[Job::Thirds, Job::LastFew]);
}

#[test]
fn under_random_schedules_finals_come_once_beside_updates() {
    check_all(110_000, 150, &[Job::Finals]);
}

#[test]
fn under_random_schedules_triggers_put_every_word_out_once() {
    check_all(120_000, 200, &[Job::Steered, Job::SteeredSessions, Job::SteeredSliding]);
}

#[test]
fn under_random_schedules_windows_come_out_at_their_ends() {
    check_all(100_000, 150, &[Job::WordCount(Emit::AtEnd), Job::Sliding(Emit::AtEnd)]);
}

#[test]
fn under_random_schedules_timers_and_stores_of_a_step_agree() {
    check_all(80_000, 300, &[Job::Process]);
}

#[test]
fn under_random_schedules_what_fails_is_left_out_once() {
    check_all(70_000, 300, &[Job::Failing]);
}

#[test]
fn under_random_schedules_windows_that_overlap_hold_every_word_once() {
    let every = Emit::Every(Duration::from_millis(150));
    check_all(40_000, 150, &[Emit::OnClose, Emit::OnUpdate, Emit::EveryUpdate, every].map(Job::Sliding));
}

#[test]
fn under_random_schedules_windows_around_records_are_what_their_times_say() {
    let every = Emit::Every(Duration::from_millis(150));
    check_all(130_000, 150, &[Emit::OnClose, Emit::OnUpdate, Emit::EveryUpdate, Emit::AtEnd, every].map(Job::ByRecord));
}

#[test]
fn under_random_schedules_sessions_are_what_their_times_say() {
    check_all(50_000, 300, &[Job::Sessions]);
}

#[test]
fn under_random_schedules_tables_and_joins_lose_nothing() {
    check_all(60_000, 300, &[Job::Table, Job::Join, Job::Cogroup]);
    check_all(60_000, 150, &[Emit::OnUpdate, Emit::EveryUpdate].map(Job::AsTable));
}

#[test]
fn under_random_schedules_patterns_are_what_their_times_say() {
    check_all(70_000, 300, &[Job::Pattern]);
}

#[test]
fn under_random_schedules_results_of_calls_come_once() {
    check_all(80_000, 300, &[Job::Calls]);
}

#[test]
fn under_random_schedules_two_stages_sum_every_word_once() {
    check_all(10_000, 1_000, &[Job::TwoStage]);
}
