//! Calls to the outside under the test driver: order, bounds, timeouts, repetition, time, crashes.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use processor::driver::{CommitPoint, TestClock, TestDriver};
use processor::error::ProcessError;
use processor::output::Route;
use processor::window::JoinWindow;
use processor::{CallOptions, Emit, ErrorKind, ErrorPolicy, Text, Topology, Tumbling, U64, Utf8, Watermark};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The outside: each call takes as many ms as the value says behind its colon, and fails as often as it says behind a
/// second one.
#[derive(Clone, Default)]
struct Outside {
    clock: TestClock,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The calls that have begun, in order.
    begun: Vec<String>,
    calls: BTreeMap<String, u64>,
    running: usize,
    running_max: usize,
}

impl Outside {
    async fn call(self, value: String) -> Result<String, String> {
        let mut parts = value.split(':').map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        let number = |part: Option<String>| part.and_then(|part| part.parse().ok()).unwrap_or(0);
        let (takes, failures) = (number(parts.next()), number(parts.next()));
        let made = {
            let mut seen = self.seen.lock().expect("no panic");
            seen.begun.push(name.clone());
            seen.running += 1;
            seen.running_max = seen.running_max.max(seen.running);
            let made = seen.calls.entry(name.clone()).or_default();
            *made += 1;
            *made
        };
        if takes > 0 {
            self.clock.sleep(millis(takes)).await;
        }
        self.seen.lock().expect("no panic").running -= 1;
        if made <= failures { Err("out of order".to_owned()) } else { Ok(name) }
    }

    fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().expect("no panic"))
    }
}

fn driver(options: CallOptions) -> (TestDriver, Outside) {
    let outside = Outside::default();
    let mut job = Topology::builder("app");
    let of_job = outside.clone();
    job.keyed_stream("in", Utf8, Utf8)
        .map(|record| record.value.to_owned())
        .async_map("ask", options, move |value| of_job.clone().call(value))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&outside.clock);
    (driver, outside)
}

fn out(driver: &TestDriver) -> Vec<String> {
    driver.read("out").iter().map(|record| format!("{} {}", record.key_str(), record.value_str())).collect()
}

fn write(driver: &mut TestDriver, records: &[(&str, &str)]) {
    records.iter().for_each(|(key, value)| driver.write_partition("in", 0, Some(key), value, 0));
    driver.run();
}

#[test]
fn results_of_a_key_come_in_the_order_of_its_records() {
    let (mut driver, outside) = driver(CallOptions::ordered_by_key(10));
    write(&mut driver, &[("a", "1:50"), ("b", "2:20"), ("a", "3:5"), ("b", "4:5"), ("c", "5:1")]);
    assert_eq!(outside.seen(|seen| seen.begun.clone()), ["1", "2", "5"], "calls of a key wait for each other");
    driver.advance_wall(millis(200));
    assert_eq!(out(&driver), ["c 5", "b 2", "b 4", "a 1", "a 3"]);
}

#[test]
fn without_order_results_come_as_they_come_and_calls_are_bounded() {
    let (mut driver, outside) = driver(CallOptions::unordered(2));
    write(&mut driver, &[("a", "1:50"), ("a", "2:20"), ("a", "3:5"), ("a", "4"), ("a", "5:100")]);
    driver.advance_wall(millis(300));
    assert_eq!(out(&driver), ["a 2", "a 3", "a 4", "a 1", "a 5"]);
    assert_eq!(outside.seen(|seen| seen.running_max), 2);
}

#[test]
fn nothing_is_committed_before_the_calls_of_its_records_have_ended() {
    let (mut driver, outside) = driver(CallOptions::ordered_by_key(10));
    write(&mut driver, &[("a", "1:500"), ("b", "2:1")]);
    driver.commit();
    driver.advance_wall(millis(400));
    assert_eq!((out(&driver).len(), driver.commit_count()), (0, 0), "the first call is outstanding");
    driver.crash();
    driver.advance_wall(millis(600));
    assert_eq!(out(&driver), ["b 2", "a 1"]);
    assert_eq!(outside.seen(|seen| seen.calls["1"]), 2, "the call was made again");
}

#[test]
fn calls_are_made_again_after_aborts_and_crashes_and_results_come_once() {
    let (mut driver, _) = driver(CallOptions::ordered_by_key(3));
    for round in 0..5 {
        let records: Vec<_> =
            (0..6).map(|number| (format!("k{}", number % 2), format!("{round}{number}:{number}"))).collect();
        write(&mut driver, &records.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>());
        match round {
            1 => driver.lose_answer(false),
            2 => driver.lose_answer(true),
            3 => driver.crash_at(CommitPoint::AfterFlush),
            _ => {}
        }
        driver.commit();
        driver.advance_wall(millis(200));
    }
    let (mut of_even, mut of_odd) = (Vec::new(), Vec::new());
    for round in 0..5 {
        of_even.extend([0, 2, 4].map(|number| format!("k0 {round}{number}")));
        of_odd.extend([1, 3, 5].map(|number| format!("k1 {round}{number}")));
    }
    let found = out(&driver);
    let of = |key: &str| found.iter().filter(|line| line.starts_with(key)).cloned().collect::<Vec<_>>();
    assert_eq!((of("k0"), of("k1")), (of_even, of_odd));
}

#[test]
fn a_call_that_fails_or_takes_too_long_is_repeated() {
    let options = CallOptions::ordered_by_key(10).timeout(millis(100)).attempts(3, millis(20));
    let (mut driver, outside) = driver(options);
    write(&mut driver, &[("a", "1:10:2"), ("a", "2:1"), ("b", "3:1:1")]);
    driver.advance_wall(millis(300));
    assert_eq!(out(&driver), ["b 3", "a 1", "a 2"], "the key waits for its first record");
    assert_eq!(outside.seen(|seen| seen.calls["1"]), 3);
    write(&mut driver, &[("a", "4:5000")]);
    driver.advance_wall(millis(1_000));
    assert_eq!(outside.seen(|seen| seen.calls["4"]), 3);
    let failure = driver.failure().expect("it has failed as often as it may").clone();
    let cause = "no answer within 100 ms".to_owned();
    assert_eq!(failure, ProcessError::CallFailed { step: "ask".to_owned(), attempts: 3, cause });
    assert_eq!(out(&driver).len(), 3, "nothing of that transaction is out");
}

#[test]
fn event_time_waits_for_calls_and_so_does_the_end_of_a_run() {
    let clock = TestClock::default();
    let mut job = Topology::builder("app");
    let of_job = clock.clone();
    job.keyed_stream("in", Utf8, U64)
        .watermark(Watermark::default())
        .async_map("wait", CallOptions::unordered(100), move |takes: u64| {
            let clock = of_job.clone();
            async move {
                clock.sleep(millis(takes)).await;
                Ok::<_, String>(takes)
            }
        })
        .window(Tumbling::of(millis(10)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&clock);
    let put = |driver: &mut TestDriver, takes: u64, at: i64| {
        driver.pipe_to("in", Route::ByKey, Some(b"k"), Some(&takes.to_be_bytes()), at);
    };
    put(&mut driver, 300, 1);
    put(&mut driver, 100, 2);
    // The watermark reaches the end of the first window while both calls are outstanding.
    put(&mut driver, 1, 15);
    driver.advance_wall(millis(500));
    assert_eq!(out(&driver), ["k 0 2"]);
    put(&mut driver, 200, 16);
    driver.end_of_input();
    assert!(!driver.is_finished(), "a call is outstanding");
    driver.advance_wall(millis(400));
    driver.settle();
    assert!(driver.is_finished());
    assert_eq!(out(&driver), ["k 0 2", "k 10 2"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}

#[test]
fn a_call_cannot_begin_when_a_commit_has_begun() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .count("counts", Emit::OnUpdate)
        .async_map("ask", CallOptions::unordered(0), |count: u64| async move { Ok::<_, String>(count) })
        .to("out", Utf8, U64);
    let errors = job.build().expect_err("two errors").to_string();
    assert!(errors.contains("step `ask`: a step before it puts out results at commits"), "{errors}");
    assert!(errors.contains("step `ask`: at least one call must be allowed"), "{errors}");
}

/// A call that takes as many ms as the value says.
async fn wait(clock: TestClock, takes: u64) -> Result<u64, String> {
    clock.sleep(millis(takes)).await;
    Ok(takes)
}

/// Two inputs, `a` and `b`, of one key, with numbers.
fn put(driver: &mut TestDriver, topic: &str, number: u64, at: i64) {
    driver.pipe_to(topic, Route::ByKey, Some(b"k"), Some(&number.to_be_bytes()), at);
}

#[test]
fn event_time_waits_for_calls_also_behind_a_merge() {
    let clock = TestClock::default();
    let mut job = Topology::builder("app");
    let of_job = clock.clone();
    let called = job
        .keyed_stream("a", Utf8, U64)
        .async_map("wait", CallOptions::unordered(100), move |takes: u64| wait(of_job.clone(), takes));
    let others = job.keyed_stream("b", Utf8, U64).map(|record| record.value);
    called
        .merge(others)
        .window(Tumbling::of(millis(10)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&clock);
    put(&mut driver, "a", 300, 1);
    put(&mut driver, "a", 1, 15);
    // Event time would reach the end of the first window while a call of it is outstanding.
    put(&mut driver, "b", 0, 15);
    driver.advance_wall(millis(500));
    assert_eq!(out(&driver), ["k 0 1"]);
    driver.end_of_input();
    assert_eq!(out(&driver), ["k 0 1", "k 10 2"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}

#[test]
fn event_time_waits_for_calls_also_behind_a_join() {
    let clock = TestClock::default();
    let mut job = Topology::builder("app");
    let of_job = clock.clone();
    let called = job
        .keyed_stream("a", Utf8, U64)
        .async_map("wait", CallOptions::unordered(100), move |takes: u64| wait(of_job.clone(), takes));
    let others = job.keyed_stream("b", Utf8, U64).map(|record| record.value);
    called
        .join("pairs", others, JoinWindow::within(millis(5)), (U64, U64), |one, other| format!("{one} {other}"))
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&clock);
    put(&mut driver, "b", 7, 3);
    put(&mut driver, "a", 300, 1);
    put(&mut driver, "a", 1, 50);
    put(&mut driver, "b", 8, 60);
    driver.advance_wall(millis(500));
    assert_eq!(out(&driver), ["k 300 7"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}

#[test]
fn a_watermark_waits_for_the_calls_that_begin_at_it_also_behind_a_merge() {
    let clock = TestClock::default();
    let mut job = Topology::builder("app");
    let of_job = clock.clone();
    let called = job
        .keyed_stream("a", Utf8, U64)
        .window(Tumbling::of(millis(10)))
        .count("first", Emit::OnClose)
        .map(|_| 300_u64)
        .async_map("wait", CallOptions::unordered(100), move |takes| wait(of_job.clone(), takes));
    let others = job.keyed_stream("b", Utf8, U64).map(|record| record.value);
    called
        .merge(others)
        .window(Tumbling::of(millis(20)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&clock);
    put(&mut driver, "a", 0, 1);
    put(&mut driver, "a", 0, 35);
    // The first window closes, and its result is on the way when the ends of both windows have been reached.
    put(&mut driver, "b", 0, 35);
    driver.advance_wall(millis(500));
    assert_eq!(out(&driver), ["k 0 1"]);
    driver.end_of_input();
    driver.advance_wall(millis(500));
    driver.settle();
    assert!(driver.is_finished());
    assert_eq!(out(&driver), ["k 0 1", "k 20 2"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}

#[test]
fn a_selected_key_orders_the_calls_and_comes_out() {
    let outside = Outside::default();
    let mut job = Topology::builder("app");
    let of_job = outside.clone();
    job.keyed_stream("in", Utf8, Utf8)
        .map(|record| record.value.to_owned())
        .select_key(Text, |record| record.value[..1].to_owned())
        .async_map("ask", CallOptions::ordered_by_key(10), move |value| of_job.clone().call(value))
        .to("out", Text, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&outside.clock);
    write(&mut driver, &[("x", "a1:50"), ("y", "a2:5"), ("x", "b1:20")]);
    assert_eq!(outside.seen(|seen| seen.begun.clone()), ["a1", "b1"], "calls of the new key wait for each other");
    driver.advance_wall(millis(200));
    assert_eq!(driver.failure(), None);
    assert_eq!(out(&driver), ["b b1", "a a1", "a a2"]);
}

#[test]
fn a_look_up_brings_no_results_of_commits_to_a_call() {
    let mut job = Topology::builder("app");
    let visits = job.keyed_stream("visits", Utf8, Utf8).count("visits", Emit::OnUpdate).as_table();
    job.keyed_stream("orders", Utf8, Utf8)
        .join_table(&visits, |order, visits| format!("{} after {visits}", order.value))
        .async_map("ask", CallOptions::unordered(1), |text| async move { Ok::<_, String>(text) })
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("visits", Some("ann"), "", 1);
    driver.pipe("orders", Some("ann"), "tea", 2);
    driver.settle();
    assert_eq!(out(&driver), ["ann tea after 1"]);
}

#[test]
fn a_call_that_ends_while_its_transaction_is_aborted_is_made_again() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let lines = job.keyed_stream("in", Utf8, Utf8);
    // It ends as soon as anybody looks again: behind the abort that the other record causes.
    let ask = |value: String| async {
        let mut is_second = false;
        let once = move |context: &mut Context<'_>| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut is_second, true) { Poll::Ready(()) } else { Poll::Pending }
        };
        poll_fn(once).await;
        Ok::<_, String>(value)
    };
    let lines_of_call = lines.clone().map(|record| record.value.to_owned());
    lines_of_call.async_map("ask", CallOptions::unordered(10), ask).to("out", Utf8, Utf8);
    lines.filter(|record| record.value != "bad" || panic!("a record that fails")).to("other", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    write(&mut driver, &[("a", "good"), ("b", "bad"), ("c", "better")]);
    driver.settle();
    let mut values: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    values.sort_unstable();
    assert_eq!(
        (driver.failure().map(ToString::to_string), values),
        (None, vec!["better".to_owned(), "good".to_owned()])
    );
}

#[test]
fn an_error_behind_a_result_is_not_that_of_the_result_before() {
    let outside = Outside::default();
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let of_job = outside.clone();
    job.keyed_stream("in", Utf8, Utf8)
        .map(|record| record.value.to_owned())
        .async_map("ask", CallOptions::unordered(10), move |value| of_job.clone().call(value))
        .map(|record| assert_ne!(record.value, "bad"))
        .count("counts", Emit::EveryUpdate)
        .map(|count| count.value)
        .to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&outside.clock);
    // Both results come out at once, and a count is put out before the error.
    write(&mut driver, &[("a", "1:10"), ("b", "bad:10")]);
    driver.advance_wall(millis(50));
    assert!(matches!(driver.failure(), Some(ProcessError::Panicked { .. })), "{:?}", driver.failure());
}
