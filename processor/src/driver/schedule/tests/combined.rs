//! Steps that pass their results on to each other, over two topics of different numbers of partitions: whatever
//! happens, the results are those of a plain computation over the records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_wire::rng::Rng;
use kafka_wire::types::TimestampMs;

use super::super::{Faults, TestDriver};
use super::{SECOND, finish, millis, seeds};
use crate::driver::{TestClock, TestRecord};
use crate::operator::{
    BroadcastProcess, BroadcastState, CallOptions, Emit, MapState, Output, Process, RuleScope, Scope, ValueState,
};
use crate::serde::{I64, Json, Text, Utf8};
use crate::state::{Clock, Ttl};
use crate::topology::Topology;
use crate::types::{Owned, Partitions, Rec};
use crate::watermark::Watermark;
use crate::window::{JoinWindow, ProcessingTime, SessionWindow, Sliding, Tumbling};

/// The jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Pairs of records of both topics, and those without a partner.
    Pairs,
    /// The greatest two of each window, of records of which only the first of each id counts.
    Deduped,
    /// Sums by timers of event time, and counts by timers of the time of day.
    Timers,
    /// Sums of windows, each passed through a call to the outside, and their sums.
    Called,
    /// Rows of a table joined with the rows that they point to, and counted by what these say.
    Regions,
    /// Sums of windows by the time of day.
    WallWindows,
    /// Sessions, to which rules are applied.
    Ruled,
    /// Different ids in windows that overlap and close late.
    Distinct,
}

const JOBS: [Job; 8] =
    [Job::Pairs, Job::Deduped, Job::Timers, Job::Called, Job::Regions, Job::WallWindows, Job::Ruled, Job::Distinct];

/// The topics, with the numbers of their partitions.
const TOPICS: [(&str, usize); 2] = [("a", 3), ("b", 2)];
const KEYS: u64 = 5;
const WITHIN_MS: i64 = 1_500;
const GAP_MS: i64 = 800;
const THREE: Partitions = Partitions(3);

/// A record. Its value in the topic is text: key, id, number.
#[derive(Clone, Debug)]
struct Line {
    topic: usize,
    key: String,
    id: String,
    number: i64,
    at: i64,
}

/// A part of the value of a record.
fn part(value: &str, index: usize) -> &str {
    value.split(' ').nth(index).unwrap_or_default()
}

fn number(value: &str) -> i64 {
    part(value, 2).parse().expect("a number")
}

fn topology(kind: Job, watermark: Watermark, clock: &TestClock) -> Topology {
    let mut job = Topology::builder("job");
    let a = job.stream("a", Utf8).watermark(watermark);
    let b = job.stream("b", Utf8).watermark(watermark);
    match kind {
        Job::Pairs => {
            let of_a = a.key_by("a", THREE, (Utf8, Text), |line| (part(line.value, 0), part(line.value, 1).to_owned()));
            let of_b = b.key_by("b", THREE, (Utf8, Text), |line| (part(line.value, 0), part(line.value, 1).to_owned()));
            let show = |side: Option<&String>| side.map_or("-", String::as_str).to_owned();
            of_a.outer_join("pairs", of_b, JoinWindow::within(millis(WITHIN_MS)), (Text, Text), move |a, b| {
                format!("{} {}", show(a), show(b))
            })
            .to("out", Utf8, Text);
        }
        Job::Deduped => a
            .merge(b)
            .key_by("by-id", THREE, (Utf8, Utf8), |line| (part(line.value, 1), line.value))
            .dedup("seen", 20 * SECOND)
            .key_by("by-key", THREE, (Utf8, Json::<(i64, String)>::new()), |line| {
                (part(line.value, 0), (number(line.value), line.key.to_owned()))
            })
            .window(Tumbling::of(5 * SECOND))
            .top_n("top", Emit::OnClose, 2, |line| line.value.clone())
            .map(|top| format!("{} {:?}", top.window.start, top.value))
            .to("out", Utf8, Text),
        Job::Timers => {
            let keyed =
                a.merge(b).key_by("by-key", THREE, (Utf8, I64), |line| (part(line.value, 0), number(line.value)));
            let (sums, counts) = keyed.process_with("timers", |uses| {
                let (counts, stream) = uses.output("counts");
                let (sums, since) = (uses.map("sums", I64, I64), uses.value("since", I64));
                (Timers { sums, since, recent: uses.value("recent", I64), counts }, stream)
            });
            job.ttl("timers-recent", Ttl::event(2 * SECOND));
            sums.to("out", Utf8, Text);
            counts.to("counts", Utf8, I64);
        }
        Job::Called => {
            let (clock, options) = (clock.clone(), CallOptions::unordered(6).timeout(SECOND).attempts(50, millis(5)));
            a.merge(b)
                .key_by("by-key", THREE, (Utf8, I64), |line| (part(line.value, 0), number(line.value)))
                .window(Tumbling::of(2 * SECOND))
                .sum("first", Emit::OnClose, |line| line.value)
                .map(|sum| *sum.value)
                .async_map("calls", options, move |sum: i64| {
                    let pause = clock.sleep(millis(sum.rem_euclid(30)));
                    async move {
                        pause.await;
                        Ok::<_, &str>(sum)
                    }
                })
                .key_by("all", Partitions(2), (Text, I64), |sum| ("all".to_owned(), sum.value))
                .window(Tumbling::of(4 * SECOND))
                .sum("second", Emit::OnClose, |sum| sum.value)
                .map(|sum| format!("{} {}", sum.window.start, sum.value))
                .to("out", Text, Text);
        }
        Job::Regions => {
            // A row of `a` points to one of `b`, whose number is a region.
            let points = a.key_by("a", THREE, (Utf8, Text), |line| (part(line.value, 0), region(line.value)));
            let regions = b.key_by("b", THREE, (Utf8, Text), |line| (part(line.value, 0), region(line.value)));
            let (points, regions) = (points.to_table("points", Text), regions.to_table("regions", Text));
            points
                .join_foreign("both", &regions, (THREE, Text, Text), pointed_to, |_, region| region.clone())
                .to_table("joined", Text)
                .changes()
                .flat_map(Owned::<(String, i64)>::new(), |change, out| {
                    change.value.old.iter().for_each(|old| out.push((old.clone(), -1)));
                    change.value.new.iter().for_each(|new| out.push((new.clone(), 1)));
                })
                .key_by("by-region", Partitions(2), (Text, I64), |change| change.value)
                .sum("counts", Emit::OnUpdate, |change| change.value)
                .map(|count| count.value.to_string())
                .to("out", Text, Text);
        }
        Job::WallWindows => a
            .merge(b)
            .key_by("by-key", THREE, (Utf8, I64), |line| (part(line.value, 0), number(line.value)))
            .window(ProcessingTime(Tumbling::of(millis(300))))
            .sum("sums", Emit::OnClose, |line| line.value)
            .map(|sum| sum.value.to_string())
            .to("out", Utf8, Text),
        Job::Ruled => {
            let rules = b.broadcast("rules", THREE, (Utf8, Utf8), |line| (part(line.value, 1), line.value));
            a.key_by("by-key", THREE, (Utf8, ()), |line| (part(line.value, 0), ()))
                .window(SessionWindow::gap(millis(GAP_MS)))
                .count("sessions", Emit::OnClose)
                .map(|session| format!("{} {}", session.window.start, session.value))
                .with_rules(rules)
                .process("ruled", |uses| Ruled {
                    rules: uses.broadcast("rules", Utf8, Text),
                    count: uses.value("count", I64),
                })
                .to("out", Utf8, Text);
        }
        Job::Distinct => a
            .merge(b)
            .key_by("by-key", THREE, (Utf8, Text), |line| (part(line.value, 0), part(line.value, 1).to_owned()))
            .window(Sliding::of(4 * SECOND).every(SECOND))
            .lateness(SECOND)
            .count_distinct("ids", Emit::OnClose, |line| line.value.clone())
            .map(|ids| format!("{} {}", ids.window.start, ids.value))
            .to("out", Utf8, Text),
    }
    job.build().expect("a valid job")
}

/// The key to which a row points, or the region that a row names: both are small numbers with a prefix.
fn region(value: &str) -> String {
    format!("k{}", number(value).unsigned_abs() % KEYS)
}

#[expect(clippy::ptr_arg, reason = "it is called with the rows of a table, which are strings")]
fn pointed_to(row: &String) -> Option<&str> {
    Some(row)
}

/// Adds the numbers of a key up in spans of two seconds, and counts its records in spans of the time of day.
#[derive(Clone)]
struct Timers {
    sums: MapState<I64, i64>,
    since: ValueState<i64>,
    recent: ValueState<i64>,
    counts: Output<i64>,
}

impl Process<Utf8, Owned<i64>> for Timers {
    type Out = String;

    fn record(&mut self, line: &Rec<'_, Utf8, Owned<i64>>, scope: &mut Scope<'_, Utf8, String>) {
        let end = line.timestamp.0.div_euclid(2_000) * 2_000 + 2_000;
        let sum = self.sums.get(scope, &end).copied().unwrap_or(0) + line.value;
        self.sums.put(scope, &end, sum);
        scope.set_timer(Clock::Event, TimestampMs(end));
        let since = self.since.get(scope).copied();
        self.since.put(scope, since.unwrap_or(0) + 1);
        if since.is_none() {
            scope.set_timer(Clock::Wall, TimestampMs(scope.wall().0 + 150));
        }
        self.recent.put(scope, line.value);
    }

    fn timer(&mut self, _: &&str, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        match clock {
            Clock::Event => {
                let sum = self.sums.remove(scope, &at.0).expect("a timer fires once");
                scope.emit(format!("{} {sum}", at.0));
            }
            Clock::Wall => {
                let count = self.since.get(scope).copied().expect("a timer fires once");
                self.since.clear(scope);
                self.counts.emit(scope, count);
            }
        }
    }
}

/// Puts results out unchanged. A rule comes once, and visits each key once.
#[derive(Clone)]
struct Ruled {
    rules: BroadcastState<Utf8, String>,
    count: ValueState<i64>,
}

impl BroadcastProcess<Utf8, Owned<String>, Utf8, Utf8> for Ruled {
    type Out = String;

    fn record(&mut self, session: &Rec<'_, Utf8, Owned<String>>, scope: &mut Scope<'_, Utf8, String>) {
        if self.count.get(scope).is_none() {
            let rules = i64::try_from(self.rules.iter(scope).count()).expect("few");
            self.count.put(scope, rules);
        }
        scope.emit(session.value.clone());
    }

    fn rule(&mut self, rule: &Rec<'_, Utf8, Utf8>, scope: &mut RuleScope<'_, Utf8, String>) {
        assert_eq!(self.rules.get(scope, &rule.key), None, "a rule comes once");
        self.rules.put(scope, &rule.key, rule.value.to_owned());
        let rules = i64::try_from(self.rules.iter(scope).count()).expect("few");
        scope.each_key(&self.count, |_, scope| {
            let count = self.count.get(scope).copied().unwrap_or_default() + 1;
            assert_eq!(count, rules, "a rule visits each key once");
            self.count.put(scope, count);
        });
    }
}

/// The results of a job: the values of each key, sorted, or what is made of them.
type Results = BTreeMap<String, Vec<String>>;

/// The results that the records make.
fn model(kind: Job, lines: &[Line]) -> Results {
    let mut results = Results::new();
    let mut put = |key: &str, value: String| results.entry(key.to_owned()).or_default().push(value);
    match kind {
        Job::Pairs => {
            let are_near = |one: &Line, other: &Line| {
                one.topic != other.topic && one.key == other.key && (one.at - other.at).abs() <= WITHIN_MS
            };
            for line in lines {
                let mut partners = lines.iter().filter(|other| are_near(line, other)).peekable();
                match (line.topic, partners.peek()) {
                    (0, None) => put(&line.key, format!("{} -", line.id)),
                    (0, Some(_)) => partners.for_each(|other| put(&line.key, format!("{} {}", line.id, other.id))),
                    (_, None) => put(&line.key, format!("- {}", line.id)),
                    (_, Some(_)) => {}
                }
            }
        }
        Job::Deduped => {
            let mut windows = BTreeMap::<_, BTreeSet<_>>::new();
            for line in lines {
                let start = line.at.div_euclid(5_000) * 5_000;
                windows.entry((&line.key, start)).or_default().insert((line.number, line.id.clone()));
            }
            for ((key, start), all) in windows {
                put(key, format!("{start} {:?}", all.into_iter().rev().take(2).collect::<Vec<_>>()));
            }
        }
        Job::Timers => sums(lines, 2_000).into_iter().for_each(|((key, start), sum)| {
            put(key, format!("{} {sum}", start + 2_000));
        }),
        Job::Called => {
            let mut all = BTreeMap::new();
            sums(lines, 4_000).into_iter().for_each(|((_, start), sum)| *all.entry(start).or_insert(0) += sum);
            all.into_iter().for_each(|(start, sum)| put("all", format!("{start} {sum}")));
        }
        Job::Regions => {
            let last = |topic, key: &str| lines.iter().rev().find(|line| line.topic == topic && line.key == key);
            let mut counts = BTreeMap::new();
            for key in lines.iter().map(|line| &line.key).collect::<BTreeSet<_>>() {
                let of = |line: &Line| format!("k{}", line.number.unsigned_abs() % KEYS);
                let region = last(0, key).and_then(|row| last(1, &of(row))).map(of);
                region.into_iter().for_each(|region| *counts.entry(region).or_insert(0) += 1);
            }
            counts.into_iter().for_each(|(region, count)| put(&region, count.to_string()));
        }
        Job::WallWindows => sums(lines, i64::MAX).into_iter().for_each(|((key, _), sum)| put(key, sum.to_string())),
        Job::Ruled => {
            let mut times = BTreeMap::<_, Vec<_>>::new();
            lines
                .iter()
                .filter(|line| line.topic == 0)
                .for_each(|line| times.entry(&line.key).or_default().push(line.at));
            for (key, mut times) in times {
                times.sort_unstable();
                let sessions = times.chunk_by(|one, next| next - one <= GAP_MS);
                sessions.for_each(|session| put(key, format!("{} {}", session[0], session.len())));
            }
        }
        Job::Distinct => {
            let mut windows = BTreeMap::<_, BTreeSet<_>>::new();
            for line in lines {
                let last = line.at.div_euclid(1_000) * 1_000;
                for start in (0..4).map(|index| last - index * 1_000) {
                    windows.entry((&line.key, start)).or_default().insert(&line.id);
                }
            }
            windows.into_iter().for_each(|((key, start), ids)| put(key, format!("{start} {}", ids.len())));
        }
    }
    results.values_mut().for_each(|values| values.sort());
    results
}

/// The sums of the numbers by key and start of the window.
fn sums(lines: &[Line], size: i64) -> BTreeMap<(&str, i64), i64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        *sums.entry((line.key.as_str(), line.at.div_euclid(size).saturating_mul(size))).or_insert(0) += line.number;
    }
    sums
}

/// The results that came out.
fn found(kind: Job, driver: &TestDriver) -> Results {
    let mut found = Results::new();
    for record in driver.read("out") {
        found.entry(record.key_str().to_owned()).or_default().push(record.value_str().to_owned());
    }
    for values in found.values_mut() {
        match kind {
            Job::Regions => *values = values.pop().into_iter().collect(),
            Job::WallWindows => {
                let sum: i64 = values.iter().map(|value| value.parse::<i64>().expect("a number")).sum();
                *values = vec![sum.to_string()];
            }
            _ => values.sort(),
        }
    }
    // Nothing points to such a region any more.
    found.retain(|_, values| kind != Job::Regions || values[0] != "0");
    found
}

fn check(seed: u64) {
    let kind = JOBS[usize::try_from(seed % 8).expect("small")];
    let mut rng = Rng::from_seed(seed);
    // No line is late: no partition moves the watermark beyond any line in another's log.
    let disorder = Watermark::bounded(4 * SECOND);
    let idle_after = Duration::from_millis(rng.below(1_000));
    let watermark = if rng.below(3) == 0 { disorder.never_idle() } else { disorder.idle_after(idle_after) };
    let clock = TestClock::default();
    let topics = [("a", 3), ("b", 2), ("out", 2), ("counts", 1)];
    let mut driver = TestDriver::unstarted(topology(kind, watermark, &clock), &topics);
    driver.use_clock(&clock);
    driver.set_can_fence(rng.below(2) == 0);
    driver.set_mark_interval_min(Duration::from_millis(rng.below(2) * rng.below(300)));
    driver.set_purge_interval(Duration::from_millis(rng.below(3_000)));
    (0..=rng.below(3)).for_each(|_| _ = driver.add_worker());
    let mut lines: Vec<Line> = Vec::new();
    for step in 0..100 + rng.below(400) {
        if rng.below(5) == 0 {
            write(&mut driver, &mut rng, kind, step, &mut lines);
        }
        driver.step(&mut rng, Faults::All);
    }
    let replay = format!("{kind:?}: replay with WATERWHEEL_SEED={seed} cargo test -p processor --lib combined");
    finish(&mut driver, &replay);
    // The last windows and timers by the time of day.
    driver.advance_wall(SECOND);
    driver.settle();
    let late: u64 = driver.status().iter().map(|(_, status)| status.counters.late).sum();
    assert_eq!(late, 0, "{replay}");
    assert_eq!(found(kind, &driver), model(kind, &lines), "{replay}");
    if kind == Job::Timers {
        let count = |record: &TestRecord| {
            i64::from_be_bytes(record.value.as_deref().and_then(|value| value.try_into().ok()).expect("a number"))
        };
        let counted: i64 = driver.read("counts").iter().map(count).sum();
        assert_eq!(counted, i64::try_from(lines.len()).expect("few"), "{replay}");
    }
}

/// Writes a line, and perhaps copies of it that must not count.
fn write(driver: &mut TestDriver, rng: &mut Rng, kind: Job, step: u64, lines: &mut Vec<Line>) {
    let (index, topic) = (rng.below(KEYS), usize::try_from(rng.below(2)).expect("small"));
    let at = i64::try_from(4_000 + step * 50 - rng.below(4_000)).expect("small");
    let number = i64::try_from(rng.below(1_000)).expect("small");
    let line = Line { topic, key: format!("k{index}"), id: format!("i{}", lines.len()), number, at };
    let copies = if kind == Job::Deduped { 1 + rng.below(3) } else { 1 };
    for copy in 0..copies {
        let (topic, count) = TOPICS[(topic + usize::try_from(copy).expect("few")) % 2];
        // The records of a key are in one partition of a topic.
        let partition = i32::try_from(index).expect("small") % i32::try_from(count).expect("small");
        let value = format!("{} {} {number}", line.key, line.id);
        driver.write_partition(topic, partition, None, &value, at);
    }
    lines.push(line);
}

#[test]
fn under_random_schedules_steps_that_are_combined_agree_with_a_plain_computation() {
    seeds(140_000, 800).for_each(check);
}
