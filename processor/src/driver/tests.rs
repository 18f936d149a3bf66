//! Whole jobs, with crashes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kafka_wire::record::HeadersBuf;
use kafka_wire::rng::Rng;
use serde::{Deserialize, Serialize};

use super::*;
use crate::error::{ErrorKind, ErrorPolicy};
use crate::operator::Emit;
use crate::serde::{Json, Raw, Serde, SerdeError, Text, U64, Utf8};
use crate::types::{Owned, Partitions};
use crate::watermark::Watermark;
use crate::window::{ProcessingTime, Tumbling};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    start: i64,
    end: i64,
    count: u64,
}

const SECOND: Duration = Duration::from_secs(1);

fn word_count(emit: Emit, watermark: Watermark) -> Topology {
    let mut job = Topology::builder("word-count");
    job.stream("lines", Utf8)
        .watermark(watermark)
        .flat_map(Utf8, |line, words| line.value.split_whitespace().for_each(|word| words.push(word)))
        .key_by("by-word", Partitions(3), (Utf8, ()), |word| (word.value, ()))
        .window(Tumbling::of(10 * SECOND))
        .count("counts", emit)
        .map(|w| Count { start: w.window.start, end: w.window.end, count: *w.value })
        .to("counts-out", Utf8, Json::<Count>::new());
    job.build().expect("a valid job")
}

/// Results in the order of the log: word, window start, count.
fn results(driver: &TestDriver) -> Vec<(String, i64, u64)> {
    let result = |record: &TestRecord| {
        let count: Count = serde_json::from_str(record.value_str()).expect("JSON");
        assert_eq!(count.end, count.start + 10_000);
        (record.key_str().to_owned(), count.start, count.count)
    };
    driver.read("counts-out").iter().map(result).collect()
}

type Sums = BTreeMap<(String, i64), u64>;

/// The last count of each word and window; `is_update` says whether there may be earlier, lower ones.
fn sums(results: &[(String, i64, u64)], is_update: bool) -> Sums {
    let mut sums = Sums::new();
    for (word, start, count) in results {
        if let Some(earlier) = sums.insert((word.clone(), *start), *count) {
            assert!(is_update, "`{word}` in window {start} came out twice");
            assert!(earlier < *count, "`{word}` in window {start}: {count} after {earlier}");
        }
    }
    sums
}

#[test]
fn words_are_counted_per_window_and_come_out_when_it_closes() {
    let mut driver = TestDriver::new(word_count(Emit::OnClose, Watermark::bounded(5 * SECOND)));
    driver.pipe("lines", None, "to be or not to be", 1_000);
    driver.pipe("lines", None, "to be", 12_000);
    driver.settle();
    assert_eq!(results(&driver), [], "the watermark is at 7 s");
    driver.pipe("lines", None, "late but in time: be", 9_999);
    driver.pipe("lines", None, "on", 15_000);
    driver.settle();
    let first = sums(&results(&driver), false);
    assert_eq!(first.get(&("be".to_owned(), 0)), Some(&3));
    assert_eq!(first.get(&("to".to_owned(), 0)), Some(&2));
    assert!(first.keys().all(|(_, start)| *start == 0));

    driver.end_of_input();
    assert!(driver.is_finished());
    let all = sums(&results(&driver), false);
    assert_eq!(all.get(&("be".to_owned(), 10_000)), Some(&1));
    assert_eq!(driver.store("counts"), []);
}

#[test]
fn a_record_behind_its_closed_window_is_counted_as_late() {
    let mut driver = TestDriver::new(word_count(Emit::OnClose, Watermark::default()));
    driver.pipe("lines", None, "a", 1_000);
    driver.pipe("lines", None, "a", 30_000);
    driver.settle();
    driver.pipe("lines", None, "a a", 2_000);
    driver.settle();
    let counters: Vec<_> = driver.status().into_iter().map(|(.., status)| status.counters).collect();
    assert_eq!(counters.iter().map(|counters| counters.late).sum::<u64>(), 2);
    assert_eq!(counters.iter().map(|counters| counters.lateness_max_ms).max(), Some(28_000));
    assert_eq!(results(&driver), [("a".to_owned(), 0, 1)]);
}

#[test]
fn an_idle_partition_holds_nobody_back_for_long() {
    let watermark = Watermark::default().idle_after(30 * SECOND);
    let mut driver = TestDriver::with_partitions(word_count(Emit::OnClose, watermark), &[("lines", 2)]);
    driver.pipe_partition("lines", 0, None, "a", 1_000);
    driver.pipe_partition("lines", 0, None, "b", 20_000);
    driver.settle();
    driver.advance_wall(29 * SECOND);
    assert_eq!(results(&driver), [], "nobody has heard of partition 1");
    driver.advance_wall(2 * SECOND);
    assert_eq!(sums(&results(&driver), false).into_keys().collect::<Vec<_>>(), [("a".to_owned(), 0)]);
}

#[test]
fn headers_and_event_time_cross_the_shuffle() {
    let mut job = Topology::builder("copy");
    job.stream("in", Utf8)
        .flat_map(Utf8, |line, words| line.value.split(' ').for_each(|word| words.push(word)))
        .key_by("by-word", Partitions(1), (Utf8, Utf8), |word| (word.value, word.value))
        .map(|word| word.value.to_uppercase())
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    let mut headers = HeadersBuf::new();
    headers.push(b"trace", Some(b"7"));
    headers.push(b"empty", None);
    driver.pipe_record(
        "in",
        &OutRecord {
            sink: SinkId(0),
            route: Route::ByKey,
            timestamp: TimestampMs(-5),
            key: None,
            value: Some(b"x y"),
            headers: headers.as_raw(),
        },
    );
    driver.settle();
    let out = driver.read("out");
    assert_eq!(
        out.iter().map(|record| (record.key_str(), record.value_str())).collect::<Vec<_>>(),
        [("x", "X"), ("y", "Y")]
    );
    for record in out {
        assert_eq!(record.timestamp, TimestampMs(-5));
        assert_eq!(record.headers, [(b"trace".to_vec(), Some(b"7".to_vec())), (b"empty".to_vec(), None)]);
    }
}

#[test]
fn what_cannot_be_decoded_is_counted_or_stops_the_job() {
    let bad = |driver: &mut TestDriver| driver.pipe_to("lines", Route::ByKey, None, Some(b"\xff"), 1_000);
    let skipping = |kind| word_count(Emit::OnUpdate, Watermark::default()).with_policy(kind, ErrorPolicy::Skip);
    let mut driver = TestDriver::new(skipping(ErrorKind::Decode));
    driver.pipe("lines", None, "a", 1_000);
    bad(&mut driver);
    driver.pipe("lines", None, "a", 1_000);
    driver.settle();
    assert_eq!(driver.status()[0].1.counters.undecodable, 1);
    assert_eq!(sums(&results(&driver), true).into_values().collect::<Vec<_>>(), [2]);

    let mut driver = TestDriver::new(word_count(Emit::OnUpdate, Watermark::default()));
    driver.pipe("lines", None, "a", 1_000);
    bad(&mut driver);
    driver.settle();
    let failure = driver.failure().expect("the job has stopped").to_string();
    assert_eq!(failure, "topic lines, partition 0, offset 1: value cannot be decoded: not UTF-8 at byte 0");
    assert_eq!(driver.read("word-count-by-word-repartition"), [], "nothing of the transaction is committed");
}

#[test]
fn a_format_that_cannot_be_had_for_now_loses_no_record() {
    /// Text whose format is there only for every third question.
    #[derive(Clone, Debug, Default)]
    struct Slow(Arc<AtomicU32>);

    impl Slow {
        fn ask(&self) -> Result<(), SerdeError> {
            let asked = self.0.fetch_add(1, Ordering::Relaxed);
            if asked % 3 == 2 { Ok(()) } else { Err(SerdeError::Unavailable("nobody answers".to_owned())) }
        }
    }

    impl Serde for Slow {
        type View = Owned<String>;

        fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
            self.ask().and_then(|()| Text.decode(bytes))
        }

        fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
            self.ask().and_then(|()| Text.encode(value, out))
        }
    }

    let mut job = Topology::builder("slow");
    job.stream("in", Slow::default()).to("read", Raw, Text);
    job.stream("in", Text).to("written", Raw, Slow::default());
    // Not even a job that leaves out what it cannot decode leaves this out.
    let job = job.build().expect("a valid job");
    let skipping =
        job.with_policy(ErrorKind::Decode, ErrorPolicy::Skip).with_policy(ErrorKind::Produce, ErrorPolicy::Skip);
    let mut driver = TestDriver::new(skipping);
    for value in ["a", "b"] {
        driver.pipe("in", None, value, 1_000);
        // Each worker asks once or twice, and is replaced by the next when nobody answers.
        (0..20).for_each(|_| driver.settle());
    }
    let values = |topic| driver.read(topic).iter().map(|record| record.value_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (values("read"), values("written")),
        (vec!["a".to_owned(), "b".to_owned()], vec!["a".to_owned(), "b".to_owned()])
    );
    assert!(driver.failure().is_none());
}

/// Text whose format cannot be had for the next few questions.
#[derive(Clone, Default)]
struct Away(Arc<AtomicU32>);

impl Away {
    fn ask(&self) -> Result<(), SerdeError> {
        let is_away = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_away { Err(SerdeError::Unavailable("nobody answers".to_owned())) } else { Ok(()) }
    }
}

impl Serde for Away {
    type View = Owned<String>;

    fn decode(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        self.ask().and_then(|()| Text.decode(bytes))
    }

    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.ask().and_then(|()| Text.encode(value, out))
    }
}

#[test]
fn state_whose_format_cannot_be_had_for_now_is_restored_later() {
    let rows = Away::default();
    let mut job = Topology::builder("away");
    let names = job.table("names", "names", Utf8, rows.clone());
    job.keyed_stream("in", Utf8, Utf8)
        .join_table(&names, |line, name| format!("{} {name}", line.value))
        .to("joined", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("names", Some("a"), "Ann", 1_000);
    driver.settle();
    rows.0.store(2, Ordering::Relaxed);
    driver.crash();
    (0..5).for_each(|_| driver.settle());
    assert!(driver.failure().is_none(), "{:?}", driver.failure());
    driver.pipe("in", Some("a"), "1", 2_000);
    driver.settle();
    assert_eq!(driver.read("joined").iter().map(TestRecord::value_str).collect::<Vec<_>>(), ["1 Ann"]);
    assert_eq!(rows.0.load(Ordering::Relaxed), 0, "it was asked");
}

#[test]
fn a_record_without_a_timestamp_is_in_no_window_of_1969() {
    let skipping =
        word_count(Emit::OnUpdate, Watermark::default()).with_policy(ErrorKind::Timestamp, ErrorPolicy::Skip);
    let mut driver = TestDriver::new(skipping);
    driver.pipe("lines", None, "a", -1);
    driver.pipe("lines", None, "a", 1_000);
    driver.settle();
    assert_eq!(driver.status().iter().map(|(.., status)| status.counters.untimed).sum::<u64>(), 1);
    assert_eq!(results(&driver), [("a".to_owned(), 0, 1)]);

    let mut driver = TestDriver::new(word_count(Emit::OnUpdate, Watermark::default()));
    driver.pipe("lines", None, "a", 1_000);
    driver.pipe("lines", None, "a", -1);
    driver.settle();
    let failure = driver.failure().expect("the job has stopped").to_string();
    assert!(failure.contains("offset 1: no timestamp (-1)"), "{failure}");
}

#[test]
fn each_crash_point_leaves_the_state_of_the_last_commit() {
    for point in CommitPoint::ALL {
        for emit in [Emit::OnClose, Emit::OnUpdate] {
            let mut driver = TestDriver::new(word_count(emit, Watermark::default()));
            driver.pipe("lines", None, "a b a", 1_000);
            driver.settle();
            driver.pipe("lines", None, "a c", 2_000);
            driver.crash_at(point);
            driver.settle();
            assert_eq!(driver.crash_count(), 1, "{point:?}");
            driver.pipe("lines", None, "d", 3_000);
            driver.crash_at(point);
            driver.end_of_input();
            assert!(driver.is_finished() && driver.failure().is_none());
            let sums = sums(&results(&driver), emit == Emit::OnUpdate);
            let counts: Vec<_> = sums.iter().map(|((word, _), count)| (word.as_str(), *count)).collect();
            assert_eq!(counts, [("a", 3), ("b", 1), ("c", 1), ("d", 1)], "{point:?}, {emit:?}");
        }
    }
}

#[test]
fn a_commit_without_an_answer_is_looked_up_and_the_tasks_stay_warm() {
    for landed in [true, false] {
        let mut driver = TestDriver::new(word_count(Emit::OnUpdate, Watermark::default()));
        driver.pipe("lines", None, "a b", 1_000);
        driver.lose_answer(landed);
        driver.settle();
        driver.pipe("lines", None, "a", 2_000);
        driver.run();
        driver.commit();
        driver.lose_answer(landed);
        driver.end_of_input();
        assert_eq!(driver.crash_count(), 0);
        let sums = sums(&results(&driver), true);
        assert_eq!(sums.into_values().collect::<Vec<_>>(), [2, 1], "landed: {landed}");
    }
}

#[test]
fn a_later_run_goes_on_where_the_first_one_ended() {
    let mut driver = TestDriver::new(word_count(Emit::OnClose, Watermark::default()));
    driver.pipe("lines", None, "a", 1_000);
    driver.end_of_input();
    driver.crash();
    driver.pipe("lines", None, "a a", 25_000);
    driver.pipe("lines", None, "a", 2_000);
    assert!(!driver.is_finished());
    driver.end_of_input();
    assert_eq!(results(&driver), [("a".to_owned(), 0, 1), ("a".to_owned(), 20_000, 2)]);
    let late: u64 = driver.status().iter().map(|(.., status)| status.counters.late).sum();
    assert_eq!(late, 1, "its window had come out in the first run");
}

/// A run from a seed: lines on several partitions, commits, crashes of every kind, then the end of the input.
struct Chaos {
    rng: Rng,
    driver: TestDriver,
    expected: Sums,
}

impl Chaos {
    fn new(seed: u64, topology: Topology) -> Self {
        let driver = TestDriver::with_partitions(topology, &[("lines", 4), ("counts-out", 2)]);
        Self { rng: Rng::from_seed(seed), driver, expected: Sums::new() }
    }

    fn run(&mut self, steps: u32) {
        for step in 0..steps {
            match self.rng.below(20) {
                0 => self.driver.crash(),
                1 | 2 => {
                    let point = CommitPoint::ALL[self.rng.below(5) as usize];
                    self.driver.crash_at(point);
                    self.driver.commit();
                }
                3 => {
                    let landed = self.rng.below(2) == 0;
                    self.driver.lose_answer(landed);
                    self.driver.commit();
                }
                4..8 => self.driver.commit(),
                8 => {
                    let millis = self.rng.below(40_000);
                    self.driver.advance_wall(Duration::from_millis(millis));
                }
                _ => self.line(i64::from(step) * 100),
            }
        }
        self.driver.crash_at(CommitPoint::ALL[self.rng.below(5) as usize]);
        self.driver.end_of_input();
    }

    fn line(&mut self, time: i64) {
        let timestamp = 5_000 + time - i64::try_from(self.rng.below(4_000)).expect("small");
        let words: Vec<_> = (0..self.rng.below(6)).map(|_| format!("w{}", self.rng.below(12))).collect();
        let partition = i32::try_from(self.rng.below(4)).expect("small");
        for word in &words {
            let start = timestamp.div_euclid(10_000) * 10_000;
            *self.expected.entry((word.clone(), start)).or_default() += 1;
        }
        self.driver.pipe_partition("lines", partition, None, &words.join(" "), timestamp);
    }
}

fn check_chaos(seed: u64, emit: Emit) {
    // The disorder stays below the bound and no partition becomes idle, so no line may be late.
    let mut chaos = Chaos::new(seed, word_count(emit, Watermark::bounded(4 * SECOND).never_idle()));
    chaos.run(400);
    assert!(chaos.driver.failure().is_none() && chaos.driver.is_finished(), "seed {seed}");
    assert!(chaos.driver.crash_count() > 5, "seed {seed}");
    assert_eq!(sums(&results(&chaos.driver), emit == Emit::OnUpdate), chaos.expected, "seed {seed}, {emit:?}");
    assert_eq!(chaos.driver.store("counts"), [], "seed {seed}: every window is closed");
}

#[test]
fn under_random_crashes_closed_windows_hold_every_word_once() {
    (0..60).for_each(|seed| check_chaos(seed, Emit::OnClose));
}

#[test]
fn under_random_crashes_updates_grow_to_every_word_once() {
    (1_000..1_060).for_each(|seed| check_chaos(seed, Emit::OnUpdate));
}

#[test]
fn the_same_seed_gives_the_same_output() {
    let out = |seed| {
        let mut chaos = Chaos::new(seed, word_count(Emit::OnUpdate, Watermark::bounded(4 * SECOND)));
        chaos.run(300);
        chaos.driver.read("counts-out")
    };
    assert_eq!(out(5), out(5));
}

#[test]
fn two_shuffles_end_by_marks_alone() {
    let mut job = Topology::builder("two");
    job.stream("lines", Utf8)
        .flat_map(Utf8, |line, words| line.value.split_whitespace().for_each(|word| words.push(word)))
        .key_by("by-word", Partitions(3), (Utf8, Utf8), |word| (word.value, word.value))
        .filter(|word| !word.value.starts_with('x'))
        .key_by("by-length", Partitions(2), (U64, ()), |word| (word.value.len() as u64, ()))
        .window(Tumbling::of(10 * SECOND))
        .count("lengths", Emit::OnClose)
        .map(|w| *w.value)
        .to("out", U64, U64);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("lines", 2)]);
    driver.pipe_partition("lines", 0, None, "a bb cc xxx", 1_000);
    driver.pipe_partition("lines", 1, None, "dd e", 2_000);
    // The marks that a task without a store has received survive its restart.
    driver.commit();
    driver.crash();
    driver.end_of_input();
    driver.crash();
    driver.settle();
    assert!(driver.is_finished());
    let counts: Vec<_> = driver.read("out").into_iter().map(|record| (record.key, record.value)).collect();
    let number = |number: u64| Some(number.to_be_bytes().to_vec());
    let mut expected = vec![(number(1), number(2)), (number(2), number(3))];
    expected.sort();
    let mut counts = counts;
    counts.sort();
    assert_eq!(counts, expected);
}

/// Records without a key in the repartition topic: marks.
fn mark_records(driver: &TestDriver) -> usize {
    driver.read("word-count-by-word-repartition").iter().filter(|record| record.key.is_none()).count()
}

#[test]
fn marks_wait_for_each_other_and_come_without_another_record() {
    let topology = word_count(Emit::OnClose, Watermark::bounded(Duration::ZERO).never_idle());
    let mut driver = TestDriver::with_partitions(topology, &[("lines", 2)]);
    driver.set_mark_interval_min(SECOND);
    let windows_open = |driver: &mut TestDriver| {
        let closing = driver.status();
        closing.iter().map(|(_, status)| status.open_windows).sum::<usize>()
    };
    for partition in 0..2 {
        driver.write_partition("lines", partition, None, "be", 1_000);
    }
    driver.advance_wall(Duration::from_millis(500));
    let first = mark_records(&driver);
    assert_eq!(first, 3, "both tasks speak in one record for each partition");
    for time in (2_000..12_000).step_by(1_000) {
        (0..2).for_each(|partition| driver.write_partition("lines", partition, None, "be", time));
        driver.advance_wall(Duration::from_millis(30));
    }
    assert_eq!(mark_records(&driver), first, "ten commits later, within the interval");
    assert_eq!(windows_open(&mut driver), 2, "so the first window stays open");
    driver.advance_wall(2 * SECOND);
    assert_eq!(mark_records(&driver), 2 * first, "nothing else was there to commit");
    assert_eq!(windows_open(&mut driver), 1);

    // The next owner of the tasks may have forgotten their watermarks.
    (0..2).for_each(|partition| driver.write_partition("lines", partition, None, "be", 25_000));
    driver.advance_wall(Duration::from_millis(30));
    (0..2).for_each(|partition| driver.write_partition("lines", partition, None, "be", 26_000));
    driver.advance_wall(Duration::from_millis(30));
    let before = mark_records(&driver);
    driver.stop_worker(0);
    assert_eq!(mark_records(&driver), before + 3, "nothing is left behind");
    assert!(driver.live_workers().is_empty());
}

#[test]
fn a_crash_takes_no_mark_away_that_waited() {
    let topology = word_count(Emit::OnClose, Watermark::bounded(Duration::ZERO).never_idle());
    let mut driver = TestDriver::with_partitions(topology, &[("lines", 2)]);
    driver.set_mark_interval_min(60 * SECOND);
    for time in [1_000, 12_000] {
        (0..2).for_each(|partition| driver.write_partition("lines", partition, None, "be", time));
        driver.advance_wall(Duration::from_millis(30));
    }
    assert_eq!(results(&driver), [], "the second marks wait");
    driver.crash();
    driver.advance_wall(20 * SECOND);
    assert_eq!(results(&driver), [("be".to_owned(), 0, 2)], "the offsets tell how far event time was there");
}

#[test]
fn a_rollback_takes_no_mark_away_that_was_due() {
    // The transaction that only writes marks is one after a take-over, or one before the tasks are given back.
    for is_taken_over in [true, false] {
        let topology = word_count(Emit::OnClose, Watermark::bounded(Duration::ZERO).never_idle());
        let mut driver = TestDriver::with_partitions(topology, &[("lines", 2)]);
        driver.set_mark_interval_min(20 * SECOND);
        for time in [1_000, 12_000] {
            (0..2).for_each(|partition| driver.write_partition("lines", partition, None, "be", time));
            driver.advance_wall(Duration::from_millis(30));
        }
        assert_eq!(results(&driver), [], "the second marks wait");
        driver.lose_answer(false);
        if is_taken_over {
            driver.crash()
        } else {
            driver.rebalance()
        }
        driver.advance_wall(SECOND);
        assert!(driver.plan.is_none(), "the transaction was rolled back");
        assert_eq!(results(&driver), []);
        driver.advance_wall(60 * SECOND);
        assert_eq!(results(&driver), [("be".to_owned(), 0, 2)], "taken over: {is_taken_over}");
    }
}

#[test]
fn a_worker_that_is_stopped_during_a_commit_ends_its_files_with_another_one() {
    let folder = std::env::temp_dir().join(format!("waterwheel-stopped-{}", std::process::id()));
    let hidden = || {
        let entries = std::fs::read_dir(&folder).expect("the job has made it");
        entries
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().extension() == Some("part".as_ref())))
            .count()
    };
    // The flush, and the end of the transaction.
    for carried_out in 0..2 {
        let mut job = Topology::builder("archive");
        job.stream("lines", Utf8).to_sink("files", Utf8, crate::FileSink::new(&folder));
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.pipe("lines", None, "to be", 0);
        assert_eq!(hidden(), 1);
        let (now, TestDriver { slots, cluster, plan, .. }) = (driver.now, &mut driver);
        let member = slots[0].active().expect("it runs");
        assert!(member.request_commit(now));
        member.turn(cluster, now);
        for _ in 0..carried_out {
            assert!(matches!(member.operate(0, (cluster, now), plan, false), Ok(true)));
        }
        assert_eq!(member.operation_count(), 1);
        driver.stop_worker(0);
        assert!(driver.live_workers().is_empty());
        assert_eq!(hidden(), 0, "stopped when {carried_out} steps of the commit had been carried out");
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
}

#[test]
fn windows_of_processing_time_close_when_the_time_of_day_is_set_past_their_ends() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .window(ProcessingTime(Tumbling::of(3_600 * SECOND)))
        .count("counts", Emit::OnClose)
        .map(|count| *count.value)
        .to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    let set = |driver: &mut TestDriver, hours: i64| {
        let member = driver.slots[0].member.as_mut().expect("it is alive");
        member.worker.set_wall_clock(TimestampMs(hours * 3_600_000));
        driver.advance_wall(SECOND);
        driver.settle();
    };
    driver.pipe("in", Some("a"), "", 1);
    driver.commit();
    set(&mut driver, 1);
    assert_eq!(driver.read("out").len(), 1);
    // Back again: a window that is closed stays closed.
    set(&mut driver, 0);
    driver.pipe("in", Some("a"), "", 1);
    driver.commit();
    set(&mut driver, 2);
    assert_eq!((driver.read("out").len(), driver.status()[0].1.counters.late), (2, 0));
}
