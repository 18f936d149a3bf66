//! Triggers of a user's own, under the test driver.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::operator::Windowing;
use processor::topology::BuildError;
use processor::{
    Clock, Count, ErrorKind, ErrorPolicy, ProcessingTime, SessionWindow, Sliding, TimestampMs, Topology, Trigger,
    TriggerResult, TriggerScope, Tumbling, U64, Utf8, Watermark,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Fires at every so many records, as Flink's `CountTrigger` does, and at the end if anything is left.
struct Every {
    records: u32,
    purges: bool,
}

impl Trigger for Every {
    /// Records since the last result.
    type State = u32;

    fn record(&self, scope: &mut TriggerScope<'_, u32>) -> TriggerResult {
        *scope.state += 1;
        if *scope.state < self.records && !scope.is_late() {
            return TriggerResult::Continue;
        }
        *scope.state = 0;
        if self.purges { TriggerResult::FireAndPurge } else { TriggerResult::Fire }
    }

    fn end(&self, scope: &mut TriggerScope<'_, u32>) -> TriggerResult {
        if *scope.state > 0 { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn merge(&self, state: &mut u32, later: &u32) {
        *state += later;
    }
}

/// Fires at intervals by a clock while a window is open, and at its end.
struct Early {
    clock: Clock,
    interval_ms: i64,
}

impl Early {
    fn set(&self, scope: &mut TriggerScope<'_, bool>) {
        let now = if self.clock == Clock::Wall { scope.wall() } else { scope.timestamp() };
        let next = (now.0.div_euclid(self.interval_ms) + 1) * self.interval_ms;
        scope.set_timer(self.clock, TimestampMs(next));
        *scope.state = true;
    }
}

impl Trigger for Early {
    /// Whether a timer is set.
    type State = bool;

    fn name(&self) -> String {
        format!("early every {} ms", self.interval_ms)
    }

    fn record(&self, scope: &mut TriggerScope<'_, bool>) -> TriggerResult {
        if !*scope.state {
            self.set(scope);
        }
        TriggerResult::Continue
    }

    fn timer(&self, scope: &mut TriggerScope<'_, bool>, clock: Clock, at: TimestampMs) -> TriggerResult {
        assert_eq!((clock, at), (self.clock, scope.timestamp()));
        *scope.state = false;
        TriggerResult::Fire
    }
}

/// Makes the driver of a job that counts in windows. A result has the key, the start and the end of the window, and the
/// count.
fn counting<W: Windowing>(windows: W, lateness: u64, trigger: impl Trigger) -> TestDriver {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::bounded(millis(5)))
        .window(windows)
        .lateness(millis(lateness))
        .count("counts", trigger)
        .map(|count| format!("{}..{}: {}", count.window.start, count.window.end, count.value))
        .to("out", Utf8, Utf8);
    TestDriver::new(job.build().expect("a valid job"))
}

fn out(driver: &TestDriver) -> Vec<String> {
    driver.read("out").iter().map(|record| format!("{} {}", record.key_str(), record.value_str())).collect()
}

fn pipe(driver: &mut TestDriver, records: &[(&str, i64)]) {
    records.iter().for_each(|(key, at)| driver.pipe("in", Some(key), "", *at));
}

#[test]
fn a_window_comes_out_at_every_second_record_at_its_end_and_late() {
    let mut driver = counting(Tumbling::of(millis(10)), 20, Every { records: 2, purges: false });
    pipe(&mut driver, &[("a", 1), ("b", 2), ("a", 3)]);
    driver.commit();
    assert_eq!(out(&driver), ["a 0..10: 2"]);
    driver.crash();
    // The count of b survives, and so does the one of a.
    pipe(&mut driver, &[("a", 4), ("b", 5), ("a", 6), ("b", 7)]);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.settle();
    assert_eq!(out(&driver)[1..], ["b 0..10: 2", "a 0..10: 4"]);
    // At 10 the window ends: b has a record that has not come out.
    pipe(&mut driver, &[("c", 15)]);
    driver.crash_at(CommitPoint::AfterFlush);
    driver.settle();
    assert_eq!(out(&driver)[3..], ["b 0..10: 3"]);
    // It waits for 20 ms more, and each late record comes out.
    pipe(&mut driver, &[("a", 8), ("a", 9)]);
    driver.settle();
    assert_eq!(out(&driver)[4..], ["a 0..10: 5", "a 0..10: 6"]);
    pipe(&mut driver, &[("c", 40), ("a", 9)]);
    driver.end_of_input();
    assert_eq!(out(&driver)[6..], ["c 10..20: 1", "c 40..50: 1"]);
    assert_eq!(driver.status()[0].1.counters.late, 1);
    for store in ["counts", "counts-due", "counts-trigger"] {
        assert_eq!(driver.store(store), [], "{store}");
    }
}

#[test]
fn a_window_that_is_purged_begins_anew() {
    let mut driver = counting(Tumbling::of(millis(10)), 0, Every { records: 2, purges: true });
    pipe(&mut driver, &[("a", 1), ("a", 2), ("a", 3), ("b", 4), ("b", 5)]);
    driver.commit();
    driver.crash();
    driver.end_of_input();
    // b has no records when its window ends, so nothing comes out.
    assert_eq!(out(&driver), ["a 0..10: 2", "b 0..10: 2", "a 0..10: 1"]);
    assert_eq!(driver.store("counts-trigger"), []);
}

/// Two records, or what there is ten seconds after the first of them, and then the next two.
struct Portions {
    cancels: bool,
}

impl Trigger for Portions {
    /// Records so far, and the time of the timer.
    type State = (u32, i64);

    fn record(&self, scope: &mut TriggerScope<'_, (u32, i64)>) -> TriggerResult {
        scope.state.0 += 1;
        if scope.state.0 == 1 {
            scope.state.1 = scope.wall().0 + 10_000;
            scope.set_timer(Clock::Wall, TimestampMs(scope.state.1));
            return TriggerResult::Continue;
        }
        let timer = TimestampMs(scope.state.1);
        assert!(!self.cancels || scope.cancel_timer(Clock::Wall, timer));
        TriggerResult::FireAndPurge
    }

    fn timer(&self, _: &mut TriggerScope<'_, (u32, i64)>, _: Clock, _: TimestampMs) -> TriggerResult {
        TriggerResult::FireAndPurge
    }
}

#[test]
fn a_timer_from_before_a_purge_comes_unless_it_is_cancelled() {
    for (cancels, after) in [(true, [1, 2]), (false, [2, 2])] {
        let mut driver = counting(Tumbling::of(millis(1_000)), 0, Portions { cancels });
        pipe(&mut driver, &[("a", 1), ("a", 2)]);
        driver.settle();
        driver.advance_wall(millis(5_000));
        pipe(&mut driver, &[("a", 3)]);
        driver.settle();
        assert_eq!(out(&driver), ["a 0..1000: 2"]);
        let counts = [(); 2].map(|()| {
            driver.advance_wall(millis(6_000));
            driver.settle();
            out(&driver).len()
        });
        assert_eq!(counts, after, "cancels: {cancels}");
    }
}

#[test]
fn early_results_come_by_the_time_of_day() {
    let mut driver = counting(Tumbling::of(millis(1_000)), 0, Early { clock: Clock::Wall, interval_ms: 100 });
    pipe(&mut driver, &[("a", 1), ("a", 2)]);
    driver.commit();
    assert_eq!(out(&driver), Vec::<String>::new());
    driver.crash();
    driver.advance_wall(millis(150));
    driver.settle();
    assert_eq!(out(&driver), ["a 0..1000: 2"], "the timer is in the changelog");
    driver.advance_wall(millis(500));
    driver.settle();
    assert_eq!(out(&driver).len(), 1, "no record, no timer");
    pipe(&mut driver, &[("a", 3), ("b", 4)]);
    driver.advance_wall(millis(150));
    driver.end_of_input();
    assert_eq!(out(&driver)[1..], ["a 0..1000: 3", "b 0..1000: 1", "a 0..1000: 3", "b 0..1000: 1"]);
}

#[test]
fn timers_of_event_time_come_in_their_order_before_the_end() {
    let mut driver = counting(Tumbling::of(millis(100)), 0, Early { clock: Clock::Event, interval_ms: 30 });
    pipe(&mut driver, &[("a", 1), ("b", 36), ("a", 50), ("c", 120)]);
    driver.settle();
    assert_eq!(out(&driver), ["a 0..100: 1", "a 0..100: 2", "b 0..100: 1", "a 0..100: 2", "b 0..100: 1"]);
}

#[test]
fn sessions_take_their_states_along_when_they_merge() {
    let mut driver = counting(SessionWindow::gap(millis(10)), 0, Every { records: 3, purges: false });
    // Two sessions, joined by a third record: three in all.
    pipe(&mut driver, &[("a", 20), ("a", 33)]);
    driver.commit();
    assert_eq!(out(&driver), Vec::<String>::new());
    driver.crash();
    pipe(&mut driver, &[("a", 27)]);
    driver.settle();
    assert_eq!(out(&driver), ["a 20..43: 3"]);
    // One that begins before them.
    pipe(&mut driver, &[("a", 31), ("a", 12)]);
    driver.settle();
    assert_eq!(out(&driver).len(), 1);
    driver.end_of_input();
    assert_eq!(out(&driver)[1..], ["a 12..43: 5"]);
    assert_eq!((driver.store("counts"), driver.store("counts-trigger")), (vec![], vec![]));
}

#[test]
fn windows_of_processing_time_end_by_the_clock() {
    let windows = ProcessingTime(Tumbling::of(millis(1_000)));
    let mut driver = counting(windows, 0, Every { records: 2, purges: true });
    pipe(&mut driver, &[("a", 1), ("a", 99_000), ("a", 2)]);
    driver.commit();
    assert_eq!(out(&driver), ["a 0..1000: 2"]);
    driver.advance_wall(millis(1_100));
    driver.settle();
    assert_eq!(out(&driver)[1..], ["a 0..1000: 1"]);
}

#[test]
fn windows_that_overlap_are_steered_each_on_its_own() {
    let windows = Sliding::of(millis(10)).every(millis(5));
    let mut driver = counting(windows, 20, Every { records: 2, purges: true });
    pipe(&mut driver, &[("a", 1), ("a", 6), ("b", 7)]);
    driver.commit();
    // Only 0..10 has both records of a. It begins anew, and the windows beside it go on.
    assert_eq!(out(&driver), ["a 0..10: 2"]);
    driver.crash();
    pipe(&mut driver, &[("a", 8)]);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.settle();
    assert_eq!(out(&driver)[1..], ["a 5..15: 2"]);
    // At 5 and 10 windows end, and stay open for late records, each of which comes out.
    pipe(&mut driver, &[("c", 15), ("b", 2)]);
    driver.settle();
    assert_eq!(out(&driver)[2..], ["a -5..5: 1", "a 0..10: 1", "b 0..10: 1", "b -5..5: 1", "b 0..10: 2"]);
    driver.end_of_input();
    assert_eq!(out(&driver)[7..], ["b 5..15: 1", "c 10..20: 1", "c 15..25: 1"]);
    for store in ["counts", "counts-due", "counts-trigger"] {
        assert_eq!(driver.store(store), [], "{store}");
    }
}

#[test]
fn windows_of_processing_time_that_overlap_come_out_early_and_at_their_ends() {
    let windows = ProcessingTime(Sliding::of(millis(1_000)).every(millis(500)));
    let mut driver = counting(windows, 0, Early { clock: Clock::Wall, interval_ms: 400 });
    driver.advance_wall(millis(2_000));
    pipe(&mut driver, &[("a", 1), ("a", 99_000)]);
    driver.commit();
    assert_eq!(out(&driver), Vec::<String>::new());
    driver.advance_wall(millis(450));
    driver.settle();
    assert_eq!(out(&driver), ["a 1500..2500: 2", "a 2000..3000: 2"], "both are early");
    pipe(&mut driver, &[("a", 2)]);
    driver.advance_wall(millis(600));
    driver.settle();
    let then = ["a 1500..2500: 3", "a 2000..3000: 3", "a 2000..3000: 3"];
    assert_eq!(out(&driver)[2..], then, "the end of the one, early, the end of the other");
}

#[test]
fn a_trigger_that_panics_at_a_timer_is_left_out() {
    struct Fragile;
    impl Trigger for Fragile {
        type State = ();
        fn record(&self, scope: &mut TriggerScope<'_, ()>) -> TriggerResult {
            let end = scope.window().end;
            scope.set_timer(Clock::Event, TimestampMs(end - 5));
            assert!(scope.cancel_timer(Clock::Event, TimestampMs(end - 5)) && scope.watermark() < scope.timestamp());
            scope.set_timer(Clock::Event, TimestampMs(end - 2));
            TriggerResult::Continue
        }
        fn timer(&self, scope: &mut TriggerScope<'_, ()>, _: Clock, _: TimestampMs) -> TriggerResult {
            assert!(scope.window().start > 0, "the first window is bad");
            TriggerResult::Fire
        }
    }
    let mut driver = counting(Tumbling::of(millis(10)), 0, Fragile);
    pipe(&mut driver, &[("a", 1), ("a", 11), ("a", 30)]);
    driver.settle();
    assert_eq!(out(&driver), ["a 0..10: 1", "a 10..20: 1", "a 10..20: 1"]);
    assert_eq!(driver.status()[0].1.counters.failed, 1);
}

#[test]
fn windows_that_no_trigger_can_steer_are_refused() {
    fn errors<W: Windowing>(windows: W) -> Vec<BuildError> {
        let mut job = Topology::builder("app");
        let counts =
            job.keyed_stream("in", Utf8, Utf8).window(windows).count("counts", Every { records: 1, purges: false });
        counts.map(|count| count.value.to_string()).to("out", Utf8, Utf8);
        job.build().expect_err("it cannot be steered").0
    }
    let no_trigger =
        |windows: &str| vec![BuildError::NoTrigger { name: "counts".to_owned(), windows: windows.to_owned() }];
    assert_eq!(errors(Count::of(2)), no_trigger("count 2"));
    assert_eq!(errors(Count::of(4).every(2)), no_trigger("last 4 at each count of 2"));
    let mut job = Topology::builder("app");
    let windows = job.keyed_stream("in", Utf8, Utf8).window(Tumbling::of(millis(10)));
    windows
        .count("counts", Early { clock: Clock::Wall, interval_ms: 7 })
        .map(|count| *count.value)
        .to("out", Utf8, U64);
    let text = job.build().expect("a valid job").describe();
    assert!(text.contains("emit: by early every 7 ms") && text.contains("counts-due, counts-trigger"), "{text}");
}
