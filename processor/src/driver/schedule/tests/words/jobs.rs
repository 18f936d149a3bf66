//! The jobs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kafka_wire::client::TopicPattern;
use kafka_wire::types::TimestampMs;

use super::super::{SECOND, millis};
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

/// Kinds of jobs under the same chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
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
pub(super) const POISON: &str = "poison";
/// The most that such a job counts.
pub(super) const FEW: u64 = 4;
/// Gap of the sessions.
pub(super) const GAP: i64 = 2_000;
/// Size of the windows that overlap, and the distance between their starts.
pub(super) const SIZE: i64 = 6_000;
pub(super) const EVERY: i64 = 1_500;
/// Numbers of lines after which the partitions of an input end that has ends.
pub(super) const ENDS: [usize; 3] = [10, 0, 3];

pub(super) fn topology(kind: Job, watermark: Watermark, clock: &TestClock) -> Topology {
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
