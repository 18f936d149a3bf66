//! Jobs whose steps form a graph, under the test driver: forks, merges, several readers of a topic,
//! the user's own steps.

use std::time::Duration;

use kafka_wire::types::TimestampMs;
use processor::driver::{CommitPoint, TestDriver};
use processor::operator::{Process, Scope, ValueState};
use processor::serde::Text;
use processor::state::Clock;
use processor::types::{Rec, View};
use processor::{Emit, Partitions, Topology, Tumbling, U64, Utf8, Watermark};

fn tumbling(millis: u64) -> Tumbling {
    Tumbling::of(Duration::from_millis(millis))
}

/// The records that a reader of `topic` gets, as `key=value`, sorted.
fn read(driver: &TestDriver, topic: &str) -> Vec<String> {
    let text = |value: &[u8]| match <[u8; 8]>::try_from(value) {
        Ok(number) => u64::from_be_bytes(number).to_string(),
        Err(_) => String::from_utf8_lossy(value).into_owned(),
    };
    let records = driver.read(topic);
    let mut found: Vec<_> = records
        .iter()
        .map(|record| format!("{}={}", record.key_str(), text(record.value.as_deref().unwrap_or_default())))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn each_use_of_a_stream_gets_all_of_its_records() {
    let mut job = Topology::builder("app");
    let words = job.keyed_stream("in", Utf8, Utf8).filter(|record| record.value != "no");
    words.clone().to("copy", Utf8, Utf8);
    let counts = words.clone().window(tumbling(10)).count("counts", Emit::OnClose);
    counts.clone().map(|counted| *counted.value).to("counts-out", Utf8, U64);
    counts.filter(|counted| *counted.value > 1).map(|counted| *counted.value).to("many", Utf8, U64);
    let length = |sum: &mut u64, record: &Rec<'_, Utf8, Utf8>| *sum += record.value.len() as u64;
    let lengths = words.window(tumbling(20)).aggregate("lengths", U64, Emit::OnUpdate, || 0, length);
    lengths.map(|sum| *sum.value).to("lengths-out", Utf8, U64);

    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (key, value, at) in [("a", "x", 1), ("b", "yy", 2), ("a", "no", 3), ("a", "zzz", 12), ("a", "z", 13)] {
        driver.pipe("in", Some(key), value, at);
    }
    driver.end_of_input();
    assert_eq!(read(&driver, "copy"), ["a=x", "a=z", "a=zzz", "b=yy"]);
    assert_eq!(read(&driver, "counts-out"), ["a=1", "a=2", "b=1"]);
    assert_eq!(read(&driver, "many"), ["a=2"]);
    assert_eq!(read(&driver, "lengths-out"), ["a=5", "b=2"]);
}

#[test]
fn streams_merge_and_branch_and_meet_again() {
    let mut job = Topology::builder("app");
    let left = job.keyed_stream("left", Utf8, Utf8).map(|record| record.value.to_owned());
    let right = job.keyed_stream("right", Utf8, U64).map(|record| format!("num {}", record.value));
    let [short, long, numbers] = left.merge(right).branch([
        |record| record.value.len() == 1,
        |record| !record.value.starts_with("num"),
        |record| record.value.ends_with('7'),
    ]);
    short.clone().to("short", Utf8, Text);
    short.map(|_| "short".to_owned()).merge(long.map(|record| record.value.to_uppercase())).to("met", Utf8, Text);
    numbers.to("numbers", Utf8, Text);

    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("left", 2), ("right", 3)]);
    for value in ["x", "word"] {
        driver.pipe("left", Some("a"), value, 1);
    }
    for number in [6_u64, 7] {
        let route = processor::output::Route::ByKey;
        driver.pipe_to("right", route, Some(b"b"), Some(&number.to_be_bytes()), 2);
    }
    driver.end_of_input();
    assert_eq!(read(&driver, "short"), ["a=x"]);
    assert_eq!(read(&driver, "met"), ["a=WORD", "a=short"]);
    assert_eq!(read(&driver, "numbers"), ["b=num 7"]);
    let tasks: Vec<_> = driver.status().into_iter().map(|(task, _)| task.to_string()).collect();
    assert_eq!(tasks, ["0_0", "0_1", "0_2"], "one task a partition number, whatever has it");
}

#[test]
fn two_streams_read_one_topic_each_with_its_own_event_time() {
    let mut job = Topology::builder("app");
    let first = job.keyed_stream("in", Utf8, Utf8);
    first.clone().to("copy", Utf8, Utf8);
    let late = first.timestamp(|record| TimestampMs(record.timestamp.0 - 100));
    late.window(tumbling(10)).count("counts", Emit::OnClose).map(|c| c.window.start.to_string()).to("out", Utf8, Text);

    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "x", 105);
    driver.pipe("in", Some("a"), "x", 125);
    driver.settle();
    assert_eq!(read(&driver, "out"), ["a=0"], "the window closes by the time of the stream that has it");
    assert_eq!(read(&driver, "copy").len(), 2);
    assert_eq!(driver.status()[0].1.counters.records_in, 2, "each record is counted once");
}

#[test]
fn the_slowest_input_holds_the_windows_of_a_merge() {
    let mut job = Topology::builder("app");
    let slow = Watermark::bounded(Duration::ZERO).idle_after(Duration::from_secs(5));
    let left = job.keyed_stream("left", Utf8, Utf8).watermark(slow);
    let right = job.keyed_stream("right", Utf8, Utf8).watermark(slow);
    left.merge(right).window(tumbling(10)).count("counts", Emit::OnClose).map(|c| *c.value).to("out", Utf8, U64);

    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("left", Some("a"), "x", 1);
    driver.pipe("left", Some("a"), "x", 50);
    driver.settle();
    assert!(read(&driver, "out").is_empty(), "nothing is known of the other");
    driver.pipe("right", Some("a"), "x", 5);
    driver.pipe("right", Some("a"), "x", 20);
    driver.settle();
    assert_eq!(read(&driver, "out"), ["a=2"]);
    driver.pipe("left", Some("a"), "x", 51);
    driver.advance_wall(Duration::from_secs(3));
    driver.pipe("left", Some("a"), "x", 52);
    driver.advance_wall(Duration::from_secs(3));
    driver.settle();
    assert_eq!(read(&driver, "out"), ["a=1", "a=2"], "an idle input is not waited for");
}

#[test]
fn two_shuffles_meet_in_one_count() {
    let build = || {
        let mut job = Topology::builder("app");
        let words = job.stream("in", Utf8);
        let first = words.clone().key_by("first", Partitions(2), (Utf8, ()), |record| (record.value, ()));
        let again = words.key_by("again", Partitions(2), (Utf8, ()), |record| (record.value, ()));
        first.merge(again).window(tumbling(10)).count("counts", Emit::OnClose).map(|c| *c.value).to("out", Utf8, U64);
        job.build().expect("a valid job")
    };
    let mut driver = TestDriver::with_partitions(build(), &[("in", 3)]);
    for (index, word) in ["a", "b", "a", "c"].into_iter().enumerate() {
        driver.pipe_partition("in", index as i32 % 3, None, word, 1);
        driver.crash_at(CommitPoint::ALL[index]);
        driver.commit();
    }
    driver.end_of_input();
    assert!(driver.is_finished());
    assert_eq!(read(&driver, "out"), ["a=4", "b=2", "c=2"]);
}

/// Counts records per key; writes the count when no record came for 10 ms of event time, and an alarm after 5
/// s of wall clock time.
#[derive(Clone)]
struct Quiet {
    count: ValueState<u64>,
}

impl<V: View> Process<Utf8, V> for Quiet {
    type Out = String;

    fn record(&mut self, record: &Rec<'_, Utf8, V>, scope: &mut Scope<'_, Utf8, String>) {
        let add = |count: &mut u64| {
            *count += 1;
            *count
        };
        let last = self.count.update(scope, || 0, add);
        let place = scope.place();
        assert_eq!((place.topic, place.offset.0), ("in", record.timestamp.0 / 10 - 1));
        if last == 1 {
            scope.set_timer(Clock::Wall, TimestampMs(scope.wall().0 + 5_000));
        }
        scope.set_timer(Clock::Event, TimestampMs(record.timestamp.0 + 10));
    }

    fn timer(&mut self, key: &&str, clock: Clock, at: TimestampMs, scope: &mut Scope<'_, Utf8, String>) {
        let count = self.count.get(scope).copied();
        match clock {
            Clock::Event => {
                assert!(scope.watermark() >= at);
                scope.emit(format!("{key} {count:?} at {}", at.0));
                self.count.clear(scope);
            }
            Clock::Wall => scope.emit(format!("alarm at {}", at.0)),
        }
    }
}

fn quiet() -> TestDriver {
    let mut job = Topology::builder("app");
    let never = Watermark::default().never_idle();
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(never)
        .process("quiet", |uses| Quiet { count: uses.value("count", U64) })
        .to("out", Utf8, Text);
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn timers_fire_by_both_clocks() {
    let mut driver = quiet();
    driver.pipe("in", Some("a"), "x", 10);
    driver.pipe("in", Some("b"), "x", 20);
    driver.settle();
    assert_eq!(read(&driver, "out"), ["a=a Some(1) at 20"]);
    driver.advance_wall(Duration::from_millis(4_999));
    driver.settle();
    assert_eq!(read(&driver, "out").len(), 1);
    driver.advance_wall(Duration::from_millis(1));
    driver.settle();
    assert_eq!(read(&driver, "out"), ["a=a Some(1) at 20", "a=alarm at 5000", "b=alarm at 5000"]);
    driver.end_of_input();
    assert_eq!(read(&driver, "out").len(), 4, "the end of the input comes after every timer of event time");
}

#[test]
fn timers_and_state_survive_crashes_and_unanswered_commits() {
    for point in CommitPoint::ALL {
        let mut driver = quiet();
        driver.pipe("in", Some("a"), "x", 10);
        driver.commit();
        driver.crash();
        driver.pipe("in", Some("a"), "x", 20);
        driver.crash_at(point);
        driver.commit();
        driver.settle();
        driver.lose_answer(point == CommitPoint::AfterFlush);
        driver.pipe("in", Some("b"), "x", 30);
        driver.settle();
        driver.advance_wall(Duration::from_secs(6));
        driver.settle();
        let expected = ["a=a None at 30", "a=a Some(2) at 20", "a=alarm at 5000", "b=alarm at 5000"];
        assert_eq!(read(&driver, "out"), expected, "{point:?}");
        let timers = driver.store("quiet-timers");
        assert_eq!((timers.len(), driver.store("quiet-count").len()), (1, 1), "{point:?}");
    }
}
