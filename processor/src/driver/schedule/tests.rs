//! Jobs on several workers, in an order drawn from a seed, compared with a model.

mod broadcast;
mod combined;
mod foreign;
mod global;
mod ordered;
mod starts;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kafka_wire::client::TopicPattern;
use kafka_wire::types::TimestampMs;

use super::*;
use crate::cep::{Pattern, Skip};
use crate::driver::TestClock;
use crate::operator::{
    CallOptions, Chain, Emit, Process, RecordTime, Scope, Source, TimelineState, Trigger, TriggerResult, TriggerScope,
    Windowing,
};
use crate::serde::{U64, Utf8};
use crate::state::Clock;
use crate::topology::{StoppingOffsets, Stream, Topics, Topology};
use crate::types::{Partitions, Rec, View};
use crate::watermark::Watermark;
use crate::window::{Count, JoinWindow, SessionWindow, Sliding, SlidingByRecord, Tumbling};

const SECOND: Duration = Duration::from_secs(1);

/// Kinds of jobs under the same chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Counts each word in each window.
    WordCount(Emit),
    /// Counts each word in windows that overlap.
    Sliding(Emit),
    /// Counts each word in the windows that its occurrences end and begin.
    ByRecord(Emit),
    /// Counts each word in its sessions.
    Sessions,
    /// Counts each word, without windows.
    Latest(Emit),
    /// Counts each word, without windows, in a job whose code fails for some lines in the middle of their words, and
    /// for a word after it has been counted.
    Failing,
    /// Counts each word in each window, by a step with a store and timers of its own.
    Process,
    /// Counts each word, and puts out every third count.
    Thirds,
    /// Adds up the counts of the last four occurrences of each word, at every second one.
    LastFew,
    /// Counts each word in each window, whose final results come out beside its updates.
    Finals,
    /// Adds up the counts of each word, which a trigger puts out at every third occurrence in a window, to begin anew.
    Steered,
    /// The same in sessions.
    SteeredSessions,
    /// The same in windows that overlap, so that each occurrence counts once a window.
    SteeredSliding,
    /// Counts each word, as a table whose changes come out.
    Table,
    /// Counts each word, and takes the counts as a table, whose changes come out.
    AsTable(Emit),
    /// Counts each word twice, once for each of two streams that are gathered together.
    Cogroup,
    /// Counts the pairs that a word makes with itself within a span of event time.
    Join,
    /// Counts the pairs of neighbours in time that a word makes, each occurrence in one pair at most.
    Pattern,
    /// Counts each word in each window, after a call to the outside.
    Calls,
    /// Counts each word of topics and partitions that come during the run.
    Found,
    /// Counts each word of an input that ends at given offsets, in each window.
    Ends,
    /// Counts each word, then sums the counts of each window downstream of another shuffle.
    TwoStage,
}

/// The word for which the code of a job fails.
const POISON: &str = "poison";
/// The most that such a job counts.
const FEW: u64 = 4;
/// Gap of the sessions.
const GAP: i64 = 2_000;
/// Size of the windows that overlap, and the distance between their starts.
const SIZE: i64 = 6_000;
const EVERY: i64 = 1_500;
/// Numbers of lines after which the partitions of an input end that has ends.
const ENDS: [usize; 3] = [10, 0, 3];

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.try_into().expect("not negative"))
}

fn topology(kind: Job, watermark: Watermark, clock: &TestClock) -> Topology {
    let mut job = Topology::builder("job");
    if kind == Job::Failing {
        job.dead_letters("dead");
    }
    let topics = match kind {
        Job::Found => Topics::from(TopicPattern::regex("lines.*").expect("a regular expression")),
        _ => Topics::from("lines"),
    };
    let mut lines = job.stream(topics, Utf8);
    if kind == Job::Ends {
        let ends = (0..).zip(ENDS).map(|(partition, end)| ("lines", partition, end as i64));
        lines = lines.bounded(StoppingOffsets::offsets(ends));
    }
    let words = lines
        .watermark(watermark)
        .flat_map(Utf8, |line, words| {
            line.value.split_whitespace().for_each(|word| {
                assert!(word != POISON, "a poison pill");
                words.push(word);
            });
        })
        .key_by("by-word", Partitions(3), (Utf8, ()), |word| (word.value, ()));
    let windows = Tumbling::of(10 * SECOND);
    match kind {
        Job::WordCount(emit) => count_in(windows, words, emit),
        Job::Ends => count_in(windows, words, Emit::OnClose),
        Job::Sliding(emit) => count_in(Sliding::of(millis(SIZE)).every(millis(EVERY)), words, emit),
        Job::ByRecord(emit) => count_in(SlidingByRecord::within(millis(GAP)), words, emit),
        Job::Sessions => count_in(SessionWindow::gap(millis(GAP)), words, Emit::OnClose),
        Job::Steered => count_by_threes_in(windows, words),
        Job::SteeredSessions => count_by_threes_in(SessionWindow::gap(millis(GAP)), words),
        Job::SteeredSliding => count_by_threes_in(Sliding::of(millis(SIZE)).every(millis(EVERY)), words),
        Job::Calls => {
            let options = CallOptions::ordered_by_key(4).timeout(millis(80)).attempts(50, millis(5));
            count_in(windows, words.map(|_| ()).async_map("calls", options, calls(clock)), Emit::OnClose);
        }
        Job::Process | Job::Thirds | Job::LastFew | Job::Finals | Job::TwoStage => count_in_windows(kind, words),
        Job::Latest(emit) => count(words, emit),
        Job::Found => count(words, Emit::OnUpdate),
        Job::Failing | Job::Table | Job::AsTable(_) | Job::Cogroup | Job::Join | Job::Pattern => {
            count_without_windows(kind, words)
        }
    }
    job.build().expect("a valid job")
}

/// The words of the lines, behind a shuffle by word.
type Words = Stream<Utf8, Source<Utf8, (), RecordTime>>;

/// Counts each word.
fn count(words: Words, emit: Emit) {
    words.count("counts", emit).map(|word| format!("0 {}", word.value)).to("out", Utf8, Utf8);
}

/// Counts each word in windows.
fn count_in<C, V>(windows: impl Windowing, words: Stream<Utf8, C>, emit: Emit)
where
    C: Chain<Key = Utf8, Value = V>,
    V: View,
{
    words
        .window(windows)
        .count("counts", emit)
        .map(|word| format!("{} {}", word.window.start, word.value))
        .to("out", Utf8, Utf8);
}

/// Counts each word in windows that a trigger puts out at every third occurrence, and adds the counts up.
fn count_by_threes_in(windows: impl Windowing, words: Words) {
    words
        .window(windows)
        .count("counts", Thrice)
        .map(|word| *word.value)
        .sum("sums", Emit::EveryUpdate, |word| word.value)
        .map(|word| format!("0 {}", word.value))
        .to("out", Utf8, Utf8);
}

/// The jobs that count in windows by other steps than [`count_in`].
fn count_in_windows(kind: Job, words: Words) {
    match kind {
        Job::Process => {
            words.process("counts", |uses| Tally { windows: uses.timeline("windows", U64) }).to("out", Utf8, Utf8)
        }
        Job::Thirds => words
            .window(Count::of(3).accumulating())
            .count("counts", Emit::OnClose)
            .map(|word| format!("0 {}", word.value))
            .to("out", Utf8, Utf8),
        Job::LastFew => words
            .window(Count::of(4).every(2))
            .count("counts", Emit::OnClose)
            .map(|word| *word.value)
            .sum("sums", Emit::EveryUpdate, |word| word.value)
            .map(|word| format!("0 {}", word.value))
            .to("out", Utf8, Utf8),
        Job::Finals => {
            let counts = words.window(Tumbling::of(10 * SECOND)).count("counts", Emit::OnUpdate);
            let finals = counts.finals();
            finals.map(|word| format!("{} {}", word.window.start, word.value)).to("out", Utf8, Utf8);
            counts.map(|word| *word.value).to("updates", Utf8, U64);
        }
        Job::TwoStage => words
            .window(Tumbling::of(10 * SECOND))
            .count("counts", Emit::OnClose)
            .map(|word| *word.value)
            .key_by("all", Partitions(2), (Utf8, U64), |count| ("all", count.value))
            .window(Tumbling::of(10 * SECOND))
            .aggregate("sums", U64, Emit::OnClose, || 0, |sum, count| *sum += count.value)
            .map(|sum| format!("{} {}", sum.window.start, sum.value))
            .to("out", Utf8, Utf8),
        _ => unreachable!("{kind:?} is made elsewhere"),
    }
}

/// The jobs that count without windows by other steps than [`count`].
fn count_without_windows(kind: Job, words: Words) {
    match kind {
        Job::Failing => words
            .count("counts", Emit::EveryUpdate)
            .map_or_fail(|word| match word.value {
                ..=FEW => Ok(format!("0 {}", word.value)),
                _ => Err("enough"),
            })
            .to("out", Utf8, Utf8),
        Job::Table => words
            .count("counts", Emit::OnUpdate)
            .to_table("table", U64)
            .changes()
            .filter_map(|word| word.value.new.filter(|new| word.value.old.is_none_or(|old| old < *new)))
            .map(|word| format!("0 {}", word.value))
            .to("out", Utf8, Utf8),
        Job::AsTable(emit) => words
            .count("counts", emit)
            .as_table()
            .changes()
            .filter_map(|word| word.value.new.filter(|new| word.value.old.is_none_or(|old| old < *new)))
            .map(|word| format!("0 {}", word.value))
            .to("out", Utf8, Utf8),
        Job::Cogroup => {
            let other = words.clone();
            words
                .cogroup(|count: &mut u64, _| *count += 1)
                .and(other, |count, _| *count += 1)
                .aggregate("counts", U64, Emit::OnUpdate, || 0)
                .map(|count| format!("0 {}", count.value))
                .to("out", Utf8, Utf8);
        }
        Job::Join => {
            let left = words.map(|_| 1_u64);
            let right = left.clone();
            let window = JoinWindow::within(millis(GAP));
            left.join("pairs", right, window, (U64, U64), |one, other| one * other)
                .count("counts", Emit::OnUpdate)
                .map(|pairs| format!("0 {}", pairs.value))
                .to("out", Utf8, Utf8);
        }
        Job::Pattern => {
            let pair = Pattern::begin("one", |_: &u64| true).next("other", |_| true);
            words
                .map(|_| 1_u64)
                .pattern(pair.within(millis(GAP)).skip(Skip::PastLastEvent))
                .detect("pairs", U64, |pair| pair.iter().map(|(_, one)| *one).sum::<u64>())
                .count("counts", Emit::OnUpdate)
                .map(|pairs| format!("0 {}", pairs.value))
                .to("out", Utf8, Utf8);
        }
        _ => unreachable!("{kind:?} is made elsewhere"),
    }
}

/// Counts the records of a key in windows of ten seconds.
#[derive(Clone)]
struct Tally {
    windows: TimelineState<u64>,
}

impl Process<Utf8, ()> for Tally {
    type Out = String;

    fn record(&mut self, word: &Rec<'_, Utf8, ()>, scope: &mut Scope<'_, Utf8, String>) {
        let start = TimestampMs(word.timestamp.0.div_euclid(10_000) * 10_000);
        let count = self.windows.get(scope, start).copied().unwrap_or(0) + 1;
        self.windows.put(scope, start, count);
        scope.set_timer(Clock::Event, TimestampMs(start.0 + 10_000));
    }

    fn timer(&mut self, _: &&str, _: Clock, end: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        let start = TimestampMs(end.0 - 10_000);
        let count = self.windows.remove(scope, start);
        scope.emit(format!("{} {}", start.0, count.expect("a timer is set once")));
    }
}

/// Puts a window out at every third record and at its end, and lets it begin anew.
struct Thrice;

impl Trigger for Thrice {
    type State = u32;

    fn record(&self, scope: &mut TriggerScope<'_, u32>) -> TriggerResult {
        *scope.state += 1;
        if *scope.state < 3 { TriggerResult::Continue } else { TriggerResult::FireAndPurge }
    }

    fn merge(&self, state: &mut u32, later: &u32) {
        *state += later;
    }
}

/// Calls that take a while, fail, or do not end.
fn calls(clock: &TestClock) -> impl FnMut(()) -> Call + Clone + Send + Sync + 'static {
    let (clock, made) = (clock.clone(), Arc::new(AtomicU64::new(0)));
    move |()| {
        let (clock, number) = (clock.clone(), made.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            match number % 13 {
                3 => return Err("refused"),
                5 => clock.sleep(100 * SECOND).await,
                _ => clock.sleep(millis((number % 40).cast_signed())).await,
            }
            Ok(())
        })
    }
}

type Call = Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;

/// The counts that must come out for a word that occurs at these times, by the start of the window.
fn model(job: Job, times: &[i64]) -> BTreeMap<i64, u64> {
    let mut counts = BTreeMap::new();
    let mut last = None;
    for time in times {
        match job {
            Job::WordCount(_) | Job::TwoStage | Job::Process | Job::Calls | Job::Finals | Job::Ends => {
                *counts.entry(time.div_euclid(10_000) * 10_000).or_default() += 1
            }
            Job::Sliding(_) => {
                let starts = (time - SIZE + 1..=*time).filter(|start| start % EVERY == 0);
                starts.for_each(|start| *counts.entry(start).or_default() += 1);
            }
            Job::ByRecord(_) => {
                for start in [(time - GAP).max(0), time + 1] {
                    let count = times.iter().filter(|at| (start..=start + GAP).contains(*at)).count() as u64;
                    counts.extend((count > 0).then_some((start, count)));
                }
            }
            Job::Sessions => {
                let start = last.filter(|(_, before)| time - before <= GAP).map_or(*time, |(start, _)| start);
                last = Some((start, *time));
                *counts.entry(start).or_default() += 1;
            }
            Job::Pattern => match last.take() {
                Some((one, _)) if time - one < GAP => *counts.entry(0).or_default() += 1,
                _ => last = Some((*time, *time)),
            },
            Job::SteeredSliding => *counts.entry(0).or_default() += (SIZE / EVERY).unsigned_abs(),
            Job::Cogroup => *counts.entry(0).or_default() += 2,
            Job::Found | Job::AsTable(_) => *counts.entry(0).or_default() += 1,
            Job::Latest(_) | Job::Table | Job::Thirds | Job::LastFew | Job::Steered | Job::SteeredSessions => {
                *counts.entry(0).or_default() += 1
            }
            Job::Failing => {
                let count = counts.entry(0).or_default();
                *count = FEW.min(*count + 1);
            }
            Job::Join => {
                let pairs = times.iter().filter(|other| other.abs_diff(*time) <= GAP.unsigned_abs()).count();
                *counts.entry(0).or_default() += pairs as u64;
            }
        }
    }
    if job == Job::Thirds {
        counts.values_mut().for_each(|count| *count -= *count % 3);
        counts.retain(|_, count| *count > 0);
    }
    if job == Job::LastFew {
        counts.values_mut().for_each(|count| *count = (1..=*count / 2).map(|result| (2 * result).min(4)).sum());
        counts.retain(|_, count| *count > 0);
    }
    counts
}

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

/// The seeds from `first` on, or the one seed that the environment names.
fn seeds(first: u64, count: u64) -> std::ops::Range<u64> {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("a number"));
    given.map_or(first..first + count, |seed| seed..seed + 1)
}

/// Lets the job finish, and everything come to light that it has written.
///
/// # Panics
/// If it fails, or does not finish; the message has `replay`.
fn finish(driver: &mut TestDriver, replay: &str) {
    driver.finish();
    // Transactions of dead members hide the records behind them until they time out.
    driver.advance_wall(20 * SECOND);
    driver.settle();
    assert_eq!(driver.fatal(), None, "{replay}");
    assert!(driver.is_finished(), "stuck: {:?}; {replay}", driver.reports());
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
