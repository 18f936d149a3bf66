//! Results of windows on their way out: finals beside updates, keys with windows, and windows of the last records.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::operator::Windowing;
use processor::output::Route;
use processor::topology::{BuildError, Builder};
use processor::{
    Count, Emit, I64, Partitions, ProcessingTime, SessionWindow, SessionWindowed, Sliding, Text, TimeWindowed,
    Topology, Tumbling, U64, Utf8, Watermark,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn pipe(driver: &mut TestDriver, records: &[(&str, i64)]) {
    records.iter().for_each(|(key, at)| driver.pipe("in", Some(key), "", *at));
}

/// The output of a job on these records, each of which is worked off before the next one comes. None may be late.
fn in_time(job: Builder, records: &[(&str, i64)]) -> Vec<String> {
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for record in records {
        pipe(&mut driver, std::slice::from_ref(record));
        driver.settle();
    }
    driver.end_of_input();
    assert_eq!(driver.status()[0].1.counters.late, 0);
    texts(&driver, "out")
}

fn texts(driver: &TestDriver, topic: &str) -> Vec<String> {
    driver.read(topic).iter().map(|record| format!("{} {}", record.key_str(), record.value_str())).collect()
}

#[test]
fn finals_come_once_beside_updates() {
    let mut job = Topology::builder("app");
    let counts = job
        .keyed_stream("in", Utf8, Utf8)
        .window(Sliding::of(millis(10)).every(millis(5)))
        .lateness(millis(5))
        .count("counts", Emit::EveryUpdate);
    let show = |start: i64, count: u64| format!("{start}: {count}");
    counts.finals().map(move |count| show(count.window.start, *count.value)).to("finals", Utf8, Utf8);
    counts.map(move |count| show(count.window.start, *count.value)).to("updates", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    assert_eq!(topology.stores().len(), 1);
    let mut driver = TestDriver::new(topology);
    pipe(&mut driver, &[("a", 1), ("a", 6)]);
    driver.commit();
    assert_eq!(texts(&driver, "updates"), ["a -5: 1", "a 0: 1", "a 0: 2", "a 5: 1"]);
    assert_eq!(texts(&driver, "finals"), Vec::<String>::new());
    driver.crash();
    // Up to 5 ms after its end, a window takes records.
    pipe(&mut driver, &[("a", 11), ("a", 2)]);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.settle();
    assert_eq!(texts(&driver, "finals"), ["a -5: 1"], "the last record came after that");
    driver.end_of_input();
    assert_eq!(texts(&driver, "finals")[1..], ["a 0: 3", "a 5: 2", "a 10: 1"]);
    assert_eq!(texts(&driver, "updates")[4..], ["a 5: 2", "a 10: 1", "a 0: 3"]);
}

#[test]
fn windows_without_an_end_have_no_finals() {
    let mut job = Topology::builder("app");
    let counts = job.keyed_stream("in", Utf8, Utf8).window(Count::of(2)).count("counts", Emit::OnClose);
    counts.finals().map(|count| *count.value).to("finals", Utf8, U64);
    counts.map(|count| *count.value).to("out", Utf8, U64);
    assert_eq!(job.build().expect_err("nothing closes").0, [BuildError::NeverCloses { name: "counts".to_owned() }]);
}

#[test]
fn windows_of_a_key_are_in_the_partition_of_the_key() {
    let mut job = Topology::builder("app");
    let stream = job.keyed_stream("in", Utf8, Utf8);
    let keys = TimeWindowed::new(Utf8, millis(10));
    stream.clone().map(|_| 0_i64).to("plain", Utf8, I64);
    let counts = stream.clone().window(Tumbling::of(millis(10))).count("counts", Emit::OnUpdate);
    counts.windowed_keys(keys).map(|count| count.value).to("windowed", keys, U64);
    let sessions = stream.window(SessionWindow::gap(millis(10))).count("sessions", Emit::OnUpdate);
    let keys_of_sessions = SessionWindowed::new(Utf8, millis(10));
    sessions.windowed_keys(keys_of_sessions).to("in-sessions", keys_of_sessions, U64);
    // Such a topic can be read again, with the windows.
    job.keyed_stream("windowed", keys, U64)
        .select_key(Text, |count| format!("{}@{}", count.key.0, count.key.1.start))
        .to("read", Text, U64);
    let topics = ["in", "plain", "windowed", "in-sessions", "read"].map(|topic| (topic, 5));
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &topics);
    for number in 0..60_i64 {
        driver.pipe("in", Some(&format!("key{}", number % 20)), "", number * 3);
    }
    driver.settle();
    let (mut found, mut sessions) = (0, 0);
    for record in driver.read("plain") {
        let key = record.key.clone().expect("a key");
        let of_key = |topic: &str, more: usize| {
            let records = driver.read(topic).into_iter();
            let is_of_key = |bytes: &[u8]| bytes.len() == key.len() + more && bytes.starts_with(&key);
            records.filter(|it| it.key.as_deref().is_some_and(is_of_key)).map(|it| it.partition).collect::<Vec<_>>()
        };
        let (windows, of_sessions) = (of_key("windowed", 8), of_key("in-sessions", 16));
        assert!(windows.iter().chain(&of_sessions).all(|partition| *partition == record.partition), "{record:?}");
        (found, sessions) = (found + windows.len(), sessions + of_sessions.len());
    }
    assert_eq!((found, sessions), (3 * 60, 3 * 60), "each key has three windows, and comes three times");
    let read: Vec<_> = driver.read("read").iter().map(|record| record.key_str().to_owned()).collect();
    assert_eq!(read.len(), 60);
    assert!(read.contains(&"key19@170".to_owned()), "{read:?}");
}

#[test]
fn keys_with_windows_are_not_for_state() {
    let mut job = Topology::builder("app");
    let counts = job.keyed_stream("in", Utf8, Utf8).window(Tumbling::of(millis(10))).count("counts", Emit::OnUpdate);
    let keys = TimeWindowed::new(Utf8, millis(10));
    counts.windowed_keys(keys).count("again", Emit::OnUpdate).to("out", keys, U64);
    assert_eq!(job.build().expect_err("state").0, [BuildError::Rekeyed { name: "again".to_owned() }]);
}

/// Sums of the last records of a key. The value of a record is its number, from 1.
fn last_sums(windows: processor::SlidingCount, emit: Emit, numbers: std::ops::RangeInclusive<i64>) -> Vec<String> {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, I64)
        .window(windows)
        .sum("sums", emit, |number| number.value)
        .map(|sum| format!("{}..{}: {}", sum.window.start, sum.window.end, sum.value))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    let last = *numbers.end();
    for number in numbers {
        driver.pipe_to("in", Route::ByKey, Some(b"a"), Some(&number.to_be_bytes()), number * 10);
        match number % 4 {
            0 => driver.crash_at(CommitPoint::AfterFlush),
            2 => driver.crash(),
            _ => {}
        }
        driver.settle();
    }
    driver.end_of_input();
    assert!(driver.store("sums").len() as i64 <= last, "{:?}", driver.store("sums"));
    texts(&driver, "out")
}

#[test]
fn windows_of_the_last_records_slide() {
    let sums = last_sums(Count::of(4).every(2), Emit::OnClose, 1..=9);
    assert_eq!(sums, ["a 10..21: 3", "a 10..41: 10", "a 30..61: 18", "a 50..81: 26"], "as in Flink");
    assert_eq!(last_sums(Count::of(1).every(3), Emit::OnClose, 1..=7), ["a 30..31: 3", "a 60..61: 6"]);
    let sums = last_sums(Count::of(3).every(2), Emit::OnClose, 1..=6);
    assert_eq!(sums, ["a 10..21: 3", "a 20..41: 9", "a 40..61: 15"]);
    let updates = last_sums(Count::of(2).every(2), Emit::EveryUpdate, 1..=3);
    assert_eq!(updates, ["a 10..11: 1", "a 10..21: 3", "a 30..31: 3"]);
    let updates = last_sums(Count::of(2).every(2), Emit::OnUpdate, 1..=3);
    assert_eq!(updates, ["a 10..11: 1", "a 10..21: 3", "a 30..31: 3"]);
}

/// Counts in windows that the second record completes and that go on, then lets intervals pass and commits.
fn counts_twice(windows: impl Windowing, emit: Emit) -> Vec<String> {
    let mut job = Topology::builder("app");
    let counts = job.keyed_stream("in", Utf8, Utf8).window(windows).count("counts", emit);
    counts.map(|count| format!("{}..{}: {}", count.window.start, count.window.end, count.value)).to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for times in [[10, 20].as_slice(), &[], &[30]] {
        times.iter().for_each(|at| driver.pipe("in", Some("a"), "", *at));
        driver.commit();
        driver.advance_wall(millis(200));
        driver.settle();
    }
    texts(&driver, "out")
}

#[test]
fn a_window_that_goes_on_comes_out_again_with_the_next_record() {
    for emit in [Emit::OnUpdate, Emit::Every(millis(100))] {
        let all = counts_twice(Count::of(2).accumulating(), emit);
        assert_eq!(all, ["a 10..21: 2", "a 10..31: 3"], "{emit:?}");
        let last = counts_twice(Count::of(4).every(2), emit);
        assert_eq!(last, ["a 10..21: 2", "a 10..31: 3"], "{emit:?}");
    }
}

#[test]
fn panes_that_no_window_needs_are_forgotten() {
    let mut job = Topology::builder("app");
    let windows = Count::of(4).every(2);
    job.keyed_stream("in", Utf8, Utf8)
        .window(windows)
        .count("counts", Emit::OnClose)
        .map(|count| *count.value)
        .to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    (0..1_001).for_each(|number| driver.pipe("in", Some("a"), "", number));
    driver.end_of_input();
    assert_eq!((driver.read("out").len(), driver.store("counts").len()), (500, 2));
    let mut job = Topology::builder("app");
    let never = job.keyed_stream("in", Utf8, Utf8).window(Count::of(0).every(2)).count("counts", Emit::OnClose);
    never.map(|count| *count.value).to("out", Utf8, U64);
    assert!(job.build().is_err());
}

#[test]
fn a_session_is_in_time_for_the_step_behind_it() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .window(SessionWindow::gap(millis(10)))
        .count("sessions", Emit::OnClose)
        .map(|session| session.value.to_string())
        .window(Tumbling::of(millis(20)))
        .count("spans", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Utf8);
    // The watermark stops at the end of the session of `a`, which is still open there.
    assert_eq!(in_time(job, &[("a", 10), ("b", 20), ("b", 45)]), ["a 20 1", "b 20 1", "b 40 1"]);
}

#[test]
fn results_of_windows_that_wait_are_in_time_for_the_step_behind_them() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .filter(|record| record.key == "a")
        .window(Tumbling::of(millis(10)))
        .lateness(millis(20))
        .count("counts", Emit::AtEnd)
        .map(|count| count.value.to_string())
        .window(Tumbling::of(millis(2)))
        .count("results", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Utf8);
    // The first step does not see the records that move event time.
    assert_eq!(in_time(job, &[("a", 1), ("b", 8), ("b", 12)]), ["a 8 1"]);
}

#[test]
fn results_of_processing_time_are_in_time_for_the_step_behind_them_after_a_restart() {
    for is_restarted in [false, true] {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .window(ProcessingTime(Tumbling::of(millis(10_000))))
            .count("counts", Emit::OnClose)
            .map(|count| count.value.to_string())
            .window(Tumbling::of(millis(100)))
            .count("results", Emit::OnClose)
            .map(|count| count.window.start.to_string())
            .to("out", Utf8, Text);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.advance_wall(millis(1_000));
        pipe(&mut driver, &[("a", 1_000)]);
        driver.commit();
        if is_restarted {
            driver.crash();
        }
        driver.advance_wall(millis(10_000));
        driver.end_of_input();
        assert_eq!(driver.status()[0].1.counters.late, 0);
        assert_eq!(texts(&driver, "out"), ["a 1000"]);
    }
}

#[test]
fn what_was_late_stays_late_after_a_restart_and_a_rollback() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .window(Tumbling::of(millis(10)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for at in [1, 25] {
        pipe(&mut driver, &[("a", at)]);
        driver.commit();
    }
    driver.crash();
    driver.advance_wall(millis(200));
    driver.lose_answer(false);
    for at in [3, 40] {
        pipe(&mut driver, &[("a", at)]);
        driver.settle();
    }
    assert_eq!(texts(&driver, "out"), ["a 0 1", "a 20 1"]);
    assert_eq!(driver.status()[0].1.counters.late, 1);
}

/// Counts keys at commits, those counts in windows, and so on once more, at last behind a shuffle.
fn counted_at_commits() -> TestDriver {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .count("counts", Emit::OnUpdate)
        .window(Tumbling::of(millis(10)))
        .count("spans", Emit::OnClose)
        .map(|count| count.value.to_string())
        .count("again", Emit::OnUpdate)
        .window(Tumbling::of(millis(20)))
        .count("results", Emit::OnClose)
        .map(|count| count.value.to_string())
        .key_by("by", Partitions(2), (Utf8, ()), |count| (count.key, ()))
        .window(Tumbling::of(millis(40)))
        .count("last", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Text);
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn what_a_commit_puts_out_behind_the_end_of_the_input_is_closed_as_well() {
    for point in CommitPoint::ALL.into_iter().map(Some).chain([None]) {
        for crashes_later in [false, true] {
            let mut driver = counted_at_commits();
            pipe(&mut driver, &[("a", 1), ("b", 2), ("a", 3)]);
            if let Some(point) = point.filter(|_| !crashes_later) {
                driver.crash_at(point);
            }
            driver.end_of_input();
            if let Some(point) = point.filter(|_| crashes_later) {
                // Another run, of which the first commit is not the one that puts everything out.
                pipe(&mut driver, &[("a", 101)]);
                driver.commit();
                driver.crash_at(point);
                driver.end_of_input();
            }
            driver.advance_wall(millis(200));
            driver.settle();
            assert!(driver.is_finished(), "{point:?}: {:?}", driver.reports());
            let out = texts(&driver, "out");
            assert_eq!(out[..2], ["a 0 1", "b 0 1"], "{point:?}");
            assert_eq!(out.len(), if crashes_later && point.is_some() { 3 } else { 2 }, "{point:?}: {out:?}");
            assert!(driver.status().iter().all(|(_, status)| status.counters.late == 0), "{point:?}");
        }
    }
}
