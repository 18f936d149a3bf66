//! Patterns of events under the test driver.

use std::time::Duration;

use processor::cep::{Pattern, Skip};
use processor::driver::{CommitPoint, TestDriver};
use processor::{ErrorKind, ErrorPolicy, Text, Topology, Utf8, Watermark};

/// An `a`, then some `b`, then a `c`, within 100 ms; each in one match at most.
fn pattern() -> Pattern<String> {
    let a = Pattern::begin("a", |event: &String| event.starts_with('a'));
    let b = a.followed_by("b", |event| event.starts_with('b')).one_or_more().greedy();
    let c = b.followed_by("c", |event| event.starts_with('c'));
    c.within(Duration::from_millis(100)).skip(Skip::PastLastEvent)
}

/// Makes the driver of a job that looks for a pattern in `in`, with 20 ms of disorder.
fn driver(pattern: Pattern<String>) -> TestDriver {
    let mut job = Topology::builder("app");
    let bound = Watermark::bounded(Duration::from_millis(20)).never_idle();
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(bound)
        .map(|event| event.value.to_owned())
        .pattern(pattern)
        .on_late(|late| late.to("late", Utf8, Utf8))
        .on_timed_out(
            |events| events.iter().map(|(stage, event)| format!("{stage}={event}")).collect::<Vec<_>>().join(" "),
            |timed_out| timed_out.to("timed-out", Utf8, Utf8),
        )
        .detect("abc", Text, |events| {
            let count = events.events("b").count();
            let (first, last) = (events.first("a").map_or("", |a| a), events.last("c").map_or("", |c| c));
            format!("{first} {count} {last} in {}", events.end_time() - events.start_time())
        })
        .to("out", Utf8, Utf8);
    TestDriver::new(job.build().expect("a valid job"))
}

fn out(driver: &TestDriver, topic: &str) -> Vec<String> {
    let show = |record: &processor::driver::TestRecord| {
        format!("{} {} @{}", record.key_str(), record.value_str(), record.timestamp.0)
    };
    driver.read(topic).iter().map(show).collect()
}

#[test]
fn a_pattern_is_found_in_disorder_and_across_crashes() {
    let mut driver = driver(pattern());
    for (key, event, at) in [("k", "b1", 20), ("k", "a1", 10), ("l", "a2", 15), ("k", "b2", 30)] {
        driver.pipe("in", Some(key), event, at);
    }
    driver.commit();
    driver.crash();
    driver.pipe("in", Some("l"), "b3", 31);
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.commit();
    driver.pipe("in", Some("k"), "c1", 40);
    driver.pipe("in", Some("m"), "x", 70);
    driver.commit();
    assert_eq!(out(&driver, "out"), ["k a1 2 c1 in 30 @40"]);
    assert_eq!(driver.store("abc").len(), 3, "a2 and b3 of l were taken, and x waits");
    driver.crash_at(CommitPoint::AfterFlush);
    driver.pipe("in", Some("l"), "c2", 90);
    driver.commit();
    driver.crash();
    driver.end_of_input();
    assert_eq!(out(&driver, "out"), ["k a1 2 c1 in 30 @40", "l a2 1 c2 in 75 @90"]);
    assert_eq!(out(&driver, "timed-out"), Vec::<String>::new());
    assert_eq!(driver.store("abc"), []);
}

#[test]
fn late_events_and_partial_matches_that_time_out_have_streams_of_their_own() {
    let mut driver = driver(pattern());
    driver.pipe("in", Some("k"), "a1", 100);
    driver.pipe("in", Some("k"), "b1", 150);
    driver.pipe("in", Some("l"), "x", 180);
    driver.settle();
    driver.pipe("in", Some("k"), "a0", 159);
    driver.pipe("in", Some("k"), "c1", 200);
    driver.pipe("in", Some("k"), "x", 220);
    driver.settle();
    assert_eq!(driver.status()[0].1.counters.late, 1);
    assert_eq!(out(&driver, "late"), ["k a0 @159"]);
    assert_eq!(out(&driver, "timed-out"), ["k a=a1 b=b1 @200"]);
    assert_eq!(out(&driver, "out"), Vec::<String>::new());
}

#[test]
fn the_end_of_the_input_ends_the_time_of_partial_matches() {
    let mut driver = driver(pattern());
    driver.pipe("in", Some("k"), "a1", 100);
    driver.end_of_input();
    assert_eq!(out(&driver, "timed-out"), ["k a=a1 @200"]);
}

#[test]
fn a_match_may_wait_for_a_partial_match_that_began_before_it() {
    // The run that began with a1 might still become a match, and would come first.
    let begin = Pattern::begin("a", |event: &String| event.starts_with('a'));
    let pattern = begin.followed_by("b", |event| event.starts_with('b'));
    let larger =
        |event: &String, so_far: &processor::cep::SoFar<'_, String>| so_far.events("a").all(|a| event[1..] > a[1..]);
    let pattern = pattern.and_given(larger).within(Duration::from_millis(100)).skip(Skip::PastLastEvent);
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Text)
        .pattern(pattern)
        .detect("ab", Text, |events| events.iter().map(|(_, event)| event.clone()).collect::<String>())
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (event, at) in [("a5", 0), ("a1", 10), ("b3", 20), ("x", 60)] {
        driver.pipe("in", Some("k"), event, at);
    }
    driver.commit();
    driver.crash();
    driver.settle();
    assert_eq!(out(&driver, "out"), Vec::<String>::new());
    driver.end_of_input();
    assert_eq!(out(&driver, "out"), ["k a1b3 @100"]);
}

#[test]
fn a_pattern_without_a_meaning_is_an_error_of_the_job() {
    let mut job = Topology::builder("app");
    let pattern = Pattern::begin("a", |_: &String| true).next("a", |_| true);
    job.keyed_stream("in", Utf8, Text).pattern(pattern).detect("twice", Text, |_| 1_u64).to(
        "out",
        Utf8,
        processor::U64,
    );
    let errors = job.build().expect_err("two stages with one name").to_string();
    assert_eq!(errors, "step `twice`: its pattern has no meaning: two stages are named `a`");
}

#[test]
fn the_pattern_is_described_and_its_state_belongs_to_it() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Text).pattern(pattern()).detect("abc", Text, |_| 1_u64).to(
        "out",
        Utf8,
        processor::U64,
    );
    let topology = job.build().expect("a valid job");
    let described = "stores: [abc], pattern: a ~> b{1..} greedy ~> c within 100 ms, skip past last event";
    assert!(topology.describe().contains(described), "{}", topology.describe());
    assert!(topology.stores()[0].version.ends_with("skip past last event, key: Utf8, event: Text"));
}

#[test]
fn an_event_or_a_match_at_which_the_code_of_the_user_panics_is_left_out() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let a = Pattern::begin("a", |event: &String| {
        assert_ne!(event, "bad");
        event.starts_with('a')
    });
    job.keyed_stream("in", Utf8, Text)
        .pattern(a.followed_by("b", |event| event.starts_with('b')))
        .detect("ab", Text, |events| {
            let first = events.first("a").cloned().unwrap_or_default();
            assert_ne!(first, "a2");
            first
        })
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (event, at) in [("a1", 1), ("bad", 2), ("b1", 3), ("a2", 4), ("b2", 5), ("a3", 6), ("b3", 7)] {
        driver.pipe("in", Some("k"), event, at);
    }
    driver.commit();
    driver.crash();
    driver.end_of_input();
    assert_eq!(out(&driver, "out"), ["k a1 @3", "k a3 @7"]);
}

#[test]
fn a_match_that_fails_takes_none_of_the_same_time_along() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    job.keyed_stream("in", Utf8, Text)
        .pattern(Pattern::begin("a", |_: &String| true))
        .detect("all", Text, |events| {
            let event = events.first("a").cloned().unwrap_or_default();
            assert_ne!(event, "bad");
            event
        })
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("k"), "bad", 5);
    driver.pipe("in", Some("k"), "good", 5);
    driver.end_of_input();
    assert_eq!(out(&driver, "out"), ["k good @5"]);
    assert_eq!(driver.status()[0].1.counters.failed, 1);
}

#[test]
fn a_match_needs_a_millisecond() {
    let mut job = Topology::builder("app");
    let pattern = Pattern::begin("a", |_: &String| true).next("b", |_| true).within(Duration::from_micros(900));
    job.keyed_stream("in", Utf8, Text).pattern(pattern).detect("ab", Text, |_| 1_u64).to("out", Utf8, processor::U64);
    let errors = job.build().expect_err("event time is in milliseconds").to_string();
    assert_eq!(errors, "step `ab`: its pattern has no meaning: a match ends within less than a millisecond");
}
