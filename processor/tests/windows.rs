//! Kinds of windows, aggregations in them, and the times at which results come out, under the test driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::operator::Windowing;
use processor::{
    Count, Emit, F64, I64, ProcessingTime, SessionWindow, Sliding, SlidingByRecord, Topology, Tumbling, U64, Utf8,
    Watermark,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Makes the driver of a job that counts in windows. A result has the key, the start and the end of the window,
/// and the count.
fn counting<W: Windowing>(windows: W, emit: Emit) -> TestDriver {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .window(windows)
        .count("counts", emit)
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
fn sliding_windows_overlap_and_come_out_in_the_order_of_their_ends() {
    let mut driver = counting(Sliding::of(millis(10)).every(millis(5)), Emit::OnClose);
    pipe(&mut driver, &[("a", 1), ("b", 6), ("a", 7)]);
    driver.settle();
    assert_eq!(out(&driver), ["a -5..5: 1"]);
    driver.crash();
    pipe(&mut driver, &[("a", 3), ("a", 21)]);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.settle();
    // The record at 3 is late for the window that was closed, but not for the other one.
    assert_eq!(out(&driver)[1..], ["a 0..10: 3", "b 0..10: 1", "a 5..15: 1", "b 5..15: 1"]);
    driver.end_of_input();
    assert_eq!(out(&driver)[5..], ["a 15..25: 1", "a 20..30: 1"]);
    assert_eq!(driver.store("counts"), []);
    pipe(&mut driver, &[("a", 2)]);
    assert_eq!(driver.status()[0].1.counters.late, 1);
}

#[test]
fn windows_are_ended_and_begun_by_records() {
    let mut driver = counting(SlidingByRecord::within(millis(10)), Emit::OnClose);
    pipe(&mut driver, &[("a", 100), ("a", 105), ("b", 105), ("a", 110), ("a", 116)]);
    driver.settle();
    // The window of the record at 116, and those behind the records at 105 and 110, may still get records.
    assert_eq!(
        out(&driver),
        ["a 90..101: 1", "a 95..106: 2", "b 95..106: 1", "a 100..111: 3", "a 101..112: 2"],
        "the ends of a window are its first and its last record"
    );
    driver.crash();
    // It is in windows that are closed and in those that are open, and a window begins behind it.
    pipe(&mut driver, &[("a", 107), ("a", 107)]);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.end_of_input();
    assert_eq!(out(&driver)[5..], ["a 106..117: 4", "a 108..119: 2", "a 111..122: 1"]);
    pipe(&mut driver, &[("a", 101)]);
    assert_eq!(driver.status()[0].1.counters.late, 1);

    let mut early = counting(SlidingByRecord::within(millis(10)), Emit::OnClose);
    pipe(&mut early, &[("a", 3), ("a", 4), ("a", 12)]);
    early.end_of_input();
    assert_eq!(out(&early), ["a 0..11: 2", "a 2..13: 3", "a 4..15: 2", "a 5..16: 1"], "none begins before 1970");
    early.crash();
    pipe(&mut early, &[("a", 1_000), ("a", 2_000)]);
    early.settle();
    assert_eq!(out(&early)[4..], ["a 990..1001: 1"]);
}

#[test]
fn windows_around_a_record_come_out_with_it() {
    let mut driver = counting(SlidingByRecord::within(millis(10)), Emit::EveryUpdate);
    pipe(&mut driver, &[("a", 100)]);
    driver.commit();
    assert_eq!(out(&driver), ["a 90..101: 1"]);
    pipe(&mut driver, &[("a", 108)]);
    driver.commit();
    assert_eq!(out(&driver)[1..], ["a 98..109: 2", "a 101..112: 1"]);
    // It is late for the window that it would end, but not for others, and one begins behind it.
    pipe(&mut driver, &[("a", 104)]);
    driver.commit();
    assert_eq!(out(&driver)[3..], ["a 98..109: 3", "a 101..112: 2", "a 105..116: 1"]);
}

#[test]
fn sessions_end_after_the_gap_and_merge() {
    let mut driver = counting(SessionWindow::gap(millis(10)), Emit::OnClose);
    let bound = Watermark::bounded(millis(100));
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(bound)
        .window(SessionWindow::gap(millis(10)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{}..{}: {}", count.window.start, count.window.end, count.value))
        .to("out", Utf8, Utf8);
    let mut disordered = TestDriver::new(job.build().expect("a valid job"));

    pipe(&mut driver, &[("a", 1), ("b", 3), ("a", 10), ("a", 20), ("b", 29), ("a", 31)]);
    driver.settle();
    assert_eq!(
        out(&driver),
        ["b 3..13: 1", "a 1..30: 3"],
        "a record just the gap later is in the session, one behind not"
    );
    driver.crash();
    driver.end_of_input();
    assert_eq!(out(&driver)[2..], ["b 29..39: 1", "a 31..41: 1"]);

    // A record between two sessions joins them, and a record before one makes it begin earlier.
    pipe(&mut disordered, &[("a", 20), ("a", 35), ("a", 50)]);
    disordered.commit();
    pipe(&mut disordered, &[("a", 28), ("a", 12), ("a", 43)]);
    disordered.crash_at(CommitPoint::BeforeFlush);
    disordered.end_of_input();
    assert_eq!(out(&disordered), ["a 12..60: 6"]);
    assert_eq!(disordered.store("counts"), []);
}

#[test]
fn windows_of_processing_time_close_by_the_clock() {
    let mut driver = counting(ProcessingTime(Tumbling::of(millis(1_000))), Emit::OnClose);
    driver.advance_wall(millis(300));
    // The times of the records do not matter.
    pipe(&mut driver, &[("a", 99_000), ("a", 1), ("b", -1)]);
    driver.advance_wall(millis(600));
    assert_eq!(out(&driver), Vec::<String>::new());
    driver.advance_wall(millis(600));
    driver.settle();
    assert_eq!(out(&driver), ["a 0..1000: 2", "b 0..1000: 1"], "no record came to close them");
    pipe(&mut driver, &[("a", 1)]);
    driver.commit();
    driver.crash();
    driver.advance_wall(millis(600));
    driver.settle();
    assert_eq!(out(&driver)[2..], ["a 1000..2000: 1"], "from the changelog");

    let mut sessions = counting(ProcessingTime(SessionWindow::gap(millis(500))), Emit::OnClose);
    pipe(&mut sessions, &[("a", 1)]);
    sessions.advance_wall(millis(400));
    pipe(&mut sessions, &[("a", 1)]);
    sessions.advance_wall(millis(600));
    sessions.settle();
    assert_eq!(out(&sessions), ["a 0..900: 2"]);
}

#[test]
fn lateness_holds_windows_open_and_late_records_are_a_stream() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .window(Tumbling::of(millis(10)))
        .lateness(millis(5))
        .on_late(|late| late.map(|record| record.timestamp.0).to("late", Utf8, I64))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{}..{}: {}", count.window.start, count.window.end, count.value))
        .to("out", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    assert!(topology.describe().contains("windows: tumbling 10 ms, lateness 5 ms"), "{}", topology.describe());
    let mut driver = TestDriver::new(topology);
    pipe(&mut driver, &[("a", 1), ("a", 14), ("a", 2)]);
    driver.settle();
    assert_eq!(out(&driver), Vec::<String>::new());
    pipe(&mut driver, &[("a", 15)]);
    driver.commit();
    pipe(&mut driver, &[("a", 3)]);
    driver.crash_at(CommitPoint::AfterFlush);
    driver.settle();
    assert_eq!((out(&driver), driver.read("late").len()), (vec!["a 0..10: 2".to_owned()], 1));
    assert_eq!(driver.status()[0].1.counters.late, 1);
    driver.end_of_input();
    assert_eq!(out(&driver)[1..], ["a 10..20: 2"]);
}

#[test]
fn results_come_out_when_they_are_told_to() {
    let mut every = counting(Tumbling::of(millis(10)), Emit::EveryUpdate);
    pipe(&mut every, &[("a", 1), ("a", 2), ("b", 3), ("a", 11)]);
    every.end_of_input();
    assert_eq!(out(&every), ["a 0..10: 1", "a 0..10: 2", "b 0..10: 1", "a 10..20: 1"]);

    let mut interval = counting(Tumbling::of(millis(10)), Emit::Every(millis(100)));
    pipe(&mut interval, &[("a", 1), ("a", 2), ("b", 3)]);
    interval.advance_wall(millis(50));
    interval.settle();
    assert_eq!(out(&interval), Vec::<String>::new());
    interval.crash();
    interval.advance_wall(millis(600));
    interval.settle();
    assert_eq!(out(&interval), ["a 0..10: 2", "b 0..10: 1"]);
    interval.advance_wall(millis(500));
    interval.settle();
    assert_eq!(out(&interval).len(), 2, "nothing has changed");
}

#[test]
fn results_have_a_time_before_every_input_has_a_record() {
    let mut job = Topology::builder("app");
    let both = job.keyed_stream("in", Utf8, Utf8).merge(job.keyed_stream("silent", Utf8, Utf8));
    let every = Emit::Every(millis(100));
    both.clone().count("counts", every).to("counts-out", Utf8, U64);
    let windows = both.window(Tumbling::of(millis(10)));
    windows.count("windows", every).map(|count| *count.value).to("windows-out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "", 1_000);
    driver.commit();
    driver.crash();
    driver.advance_wall(millis(200));
    driver.settle();
    for out in ["counts-out", "windows-out"] {
        let times: Vec<_> = driver.read(out).iter().map(|record| record.timestamp.0).collect();
        assert_eq!(times, [1_000], "{out}");
    }
}

#[test]
fn nan_is_the_least_and_the_greatest_only_of_itself() {
    let mut job = Topology::builder("app");
    let numbers = job.keyed_stream("in", Utf8, Utf8).filter_map(|record| record.value.parse::<f64>().ok());
    let one = || numbers.clone().window(Sliding::of(millis(10)).every(millis(5)));
    one().min("min", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to("min-out", Utf8, Utf8);
    one().max("max", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to("max-out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (number, at) in [("NaN", 1), ("1", 2), ("NaN", 6), ("2", 8), ("NaN", 11)] {
        driver.pipe("in", Some("a"), number, at);
    }
    driver.end_of_input();
    // Windows -5..5, 0..10, 5..15, 10..20.
    let read = |topic: &str| -> Vec<_> { driver.read(topic).iter().map(|r| r.value_str().to_owned()).collect() };
    assert_eq!(read("min-out"), ["1", "1", "2", "NaN"]);
    assert_eq!(read("max-out"), ["1", "2", "2", "NaN"]);
}

#[test]
fn every_aggregation_gathers_what_it_says() {
    let mut job = Topology::builder("app");
    let numbers = job.keyed_stream("in", Utf8, Utf8).filter_map(|record| record.value.parse::<i64>().ok());
    let windows = || Sliding::of(millis(10)).every(millis(5));
    let one = || numbers.clone().window(windows());
    one().sum("sum", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to("sum-out", Utf8, Utf8);
    one().min("min", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to("min-out", Utf8, Utf8);
    one().max("max", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to("max-out", Utf8, Utf8);
    one().avg("avg", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to("avg-out", Utf8, Utf8);
    one().top_n("top", Emit::OnClose, 2, |n| n.value).map(|r| format!("{:?}", r.value)).to("top-out", Utf8, Utf8);
    one().count_distinct("distinct", Emit::OnClose, |n| n.value).map(|r| r.value.to_string()).to(
        "distinct-out",
        Utf8,
        Utf8,
    );
    one().reduce("product", I64, Emit::OnClose, |kept, later| *kept *= later).map(|r| r.value.to_string()).to(
        "product-out",
        Utf8,
        Utf8,
    );
    one()
        .aggregate_merged(
            "squares",
            I64,
            Emit::OnClose,
            || 0,
            |sum, n| *sum += n.value * n.value,
            |sum, later| *sum += later,
        )
        .map(|r| r.value.to_string())
        .to("squares-out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (number, at) in [("3", 1), ("5", 2), ("x", 3), ("5", 6), ("-2", 8)] {
        driver.pipe("in", Some("a"), number, at);
        driver.commit();
    }
    driver.crash();
    driver.end_of_input();
    // Windows -5..5, 0..10, 5..15.
    let read = |topic: &str| -> Vec<_> { driver.read(topic).iter().map(|r| r.value_str().to_owned()).collect() };
    assert_eq!(read("sum-out"), ["8", "11", "3"]);
    assert_eq!(read("min-out"), ["3", "-2", "-2"]);
    assert_eq!(read("max-out"), ["5", "5", "5"]);
    assert_eq!(read("avg-out"), ["4", "2.75", "1.5"]);
    assert_eq!(read("top-out"), ["[5, 3]", "[5, 5]", "[5, -2]"]);
    assert_eq!(read("distinct-out"), ["2", "3", "2"]);
    assert_eq!(read("product-out"), ["15", "-150", "-10"]);
    assert_eq!(read("squares-out"), ["34", "63", "29"]);
}

#[test]
fn without_windows_the_latest_value_of_a_key_comes_out() {
    let mut job = Topology::builder("app");
    let numbers = job.keyed_stream("in", Utf8, Utf8).filter_map(|record| record.value.parse::<f64>().ok());
    numbers.clone().count("counts", Emit::EveryUpdate).to("counts-out", Utf8, U64);
    numbers.clone().avg("avg", Emit::OnUpdate, |n| n.value).to("avg-out", Utf8, F64);
    numbers.clone().max("max", Emit::Every(millis(100)), |n| n.value).to("max-out", Utf8, F64);
    numbers.reduce("sum", F64, Emit::OnUpdate, |sum, n| *sum += n).map(|n| n.value).to("sum-out", Utf8, F64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (key, number) in [("a", "1"), ("a", "4"), ("b", "2")] {
        driver.pipe("in", Some(key), number, 1);
    }
    driver.commit();
    driver.crash();
    // Late records count: nothing closes.
    driver.pipe("in", Some("a"), "4", 0);
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.commit();
    driver.settle();
    driver.advance_wall(millis(200));
    driver.settle();
    let read = |topic: &str| -> Vec<_> {
        let float = |bytes: [u8; 8]| {
            if topic == "counts-out" { u64::from_be_bytes(bytes) as f64 } else { f64::from_be_bytes(bytes) }
        };
        let records = driver.read(topic).into_iter();
        records.map(|r| format!("{}{}", r.key_str(), float(r.value.clone().unwrap().try_into().unwrap()))).collect()
    };
    assert_eq!(read("counts-out"), ["a1", "a2", "b1", "a3"]);
    assert_eq!(read("avg-out"), ["a2.5", "b2", "a3"]);
    assert_eq!(read("max-out"), ["a4", "b2"]);
    assert_eq!(read("sum-out"), ["a5", "b2", "a9"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |declare: &dyn Fn(&mut processor::topology::Builder)| {
        let mut job = Topology::builder("app");
        declare(&mut job);
        job.build().expect_err("refused").to_string()
    };
    let text = refused(&|job| job.keyed_stream("in", Utf8, Utf8).count("c", Emit::OnClose).to("out", Utf8, U64));
    assert_eq!(text, "step `c`: without a window nothing closes; let results come out with updates");
    let text = refused(&|job| {
        let windows = Sliding::of(millis(5)).every(millis(6));
        let counts = job.keyed_stream("in", Utf8, Utf8).window(windows).count("c", Emit::OnClose);
        counts.map(|count| *count.value).to("out", Utf8, U64);
    });
    assert!(text.contains("windows `sliding 5 ms every 6 ms`"), "{text}");
    let text = refused(&|job| {
        let counts = job.keyed_stream("in", Utf8, Utf8).window(SessionWindow::gap(millis(0))).count("c", Emit::OnClose);
        counts.map(|count| *count.value).to("out", Utf8, U64);
    });
    assert!(text.contains("windows `sessions with a gap of 0 ms`"), "{text}");
}

/// The records of the topic `out`: key, text, timestamp.
fn texts(driver: &TestDriver) -> Vec<(String, String)> {
    let out = driver.read("out").into_iter();
    out.map(|record| (record.key_str().to_owned(), record.value_str().to_owned())).collect()
}

fn text(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn windows_of_records_end_when_they_are_full() {
    let job = |windows: Count, emit| {
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .window(windows)
            .count("counts", emit)
            .map(|key| format!("{} {}..{}", key.value, key.window.start, key.window.end))
            .to("out", Utf8, Utf8);
        TestDriver::new(job.build().expect("a valid job"))
    };
    let feed = |driver: &mut TestDriver| {
        for (index, (key, at)) in [("a", 5), ("b", 1), ("a", 3), ("a", 9), ("b", -1), ("a", 7)].into_iter().enumerate()
        {
            driver.pipe("in", Some(key), "", at);
            driver.crash_at(CommitPoint::ALL[index % CommitPoint::ALL.len()]);
            driver.commit();
        }
        driver.settle();
    };
    let mut driver = job(Count::of(2), Emit::OnClose);
    feed(&mut driver);
    assert_eq!(texts(&driver), [text("a", "2 3..6"), text("b", "2 -1..2"), text("a", "2 7..10")]);
    assert_eq!(driver.store("counts").len(), 0);
    let mut driver = job(Count::of(2).accumulating(), Emit::OnClose);
    feed(&mut driver);
    assert_eq!(texts(&driver), [text("a", "2 3..6"), text("b", "2 -1..2"), text("a", "4 3..10")]);
    let mut driver = job(Count::of(2), Emit::EveryUpdate);
    feed(&mut driver);
    let counts: Vec<_> = texts(&driver).into_iter().filter(|(key, _)| key == "a").map(|(_, text)| text).collect();
    assert_eq!(counts, ["1 5..6", "2 3..6", "1 9..10", "2 7..10"]);
}

#[test]
fn windows_of_records_take_no_lateness_and_no_size_of_zero() {
    let mut job = Topology::builder("app");
    let keyed = job.keyed_stream("in", Utf8, Utf8);
    keyed.clone().window(Count::of(0)).count("none", Emit::OnClose).map(|_| String::new()).to("out", Utf8, Utf8);
    keyed
        .clone()
        .window(Count::of(2))
        .lateness(Duration::from_secs(1))
        .count("late", Emit::OnClose)
        .map(|_| String::new())
        .to("out", Utf8, Utf8);
    keyed
        .clone()
        .window(ProcessingTime(Count::of(2)))
        .count("wall", Emit::OnClose)
        .map(|_| String::new())
        .to("out", Utf8, Utf8);
    keyed.window(Count::of(2)).count("end", Emit::AtEnd).map(|_| String::new()).to("out", Utf8, Utf8);
    let errors = job.build().expect_err("four errors");
    assert_eq!(errors.0.len(), 4, "{errors}");
}

#[test]
fn a_window_comes_out_at_its_end_and_again_with_each_late_record() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .window(Tumbling::of(Duration::from_millis(10)))
        .lateness(Duration::from_millis(20))
        .count("counts", Emit::AtEnd)
        .map(|key| format!("{} {}", key.window.start, key.value))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    let mut point = CommitPoint::ALL.iter().cycle();
    let mut out = |driver: &mut TestDriver, key: &str, at| {
        let before = texts(driver).len();
        driver.pipe("in", Some(key), "", at);
        driver.crash_at(*point.next().expect("a cycle"));
        driver.commit();
        driver.settle();
        texts(driver)[before..].to_vec()
    };
    assert_eq!(out(&mut driver, "a", 1), []);
    assert_eq!(out(&mut driver, "b", 2), []);
    assert_eq!(out(&mut driver, "a", 12), [text("a", "0 1"), text("b", "0 1")]);
    assert_eq!(out(&mut driver, "a", 3), [text("a", "0 2")]);
    assert_eq!(out(&mut driver, "a", 13), []);
    assert_eq!(out(&mut driver, "c", 4), [text("c", "0 1")]);
    assert_eq!(out(&mut driver, "a", 30), [text("a", "10 2")]);
    assert_eq!(out(&mut driver, "a", 5), [], "the window is closed");
    assert_eq!(driver.status()[0].1.counters.late, 1);
    driver.end_of_input();
    assert_eq!(texts(&driver).last(), Some(&text("a", "30 1")));
    assert_eq!(driver.store("counts-due").len(), 0);
}

#[test]
fn a_session_that_grows_comes_out_at_its_last_end() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::default().never_idle())
        .window(SessionWindow::gap(Duration::from_millis(10)))
        .count("counts", Emit::AtEnd)
        .map(|key| format!("{}..{} {}", key.window.start, key.window.end, key.value))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for at in [1, 8, 15, 60] {
        driver.pipe("in", Some("a"), "", at);
        driver.commit();
    }
    driver.end_of_input();
    assert_eq!(texts(&driver), [text("a", "1..25 3"), text("a", "60..70 1")]);
}

#[test]
fn late_records_of_unknown_keys_leave_nothing_in_memory() {
    let mut driver = counting(SessionWindow::gap(millis(10)), Emit::OnClose);
    pipe(&mut driver, &[("a", 1_000_000), ("b", 1_000_005)]);
    driver.settle();
    let bytes = |driver: &mut TestDriver| driver.status()[0].1.store_bytes;
    let before = bytes(&mut driver);
    for number in 0..1_000 {
        driver.pipe("in", Some(&format!("late {number}")), "", 1);
    }
    driver.settle();
    assert_eq!(driver.status()[0].1.counters.late, 1_000);
    assert_eq!(bytes(&mut driver), before);
    // It would end behind the watermark as well, but an open session takes it in.
    pipe(&mut driver, &[("a", 999_992)]);
    driver.end_of_input();
    assert_eq!(out(&driver), ["a 999992..1000010: 2", "b 1000005..1000015: 1"]);
}

#[test]
fn a_late_record_puts_together_only_the_windows_that_come_out() {
    const SIZE: u64 = 100;
    const RECORDS: u64 = 300;
    let merges = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&merges);
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .window(Sliding::of(millis(SIZE)).every(millis(1)))
        .lateness(millis(1))
        .aggregate_merged(
            "counts",
            U64,
            Emit::AtEnd,
            || 0,
            |count, _| *count += 1,
            move |count, later| {
                counted.fetch_add(1, Ordering::Relaxed);
                *count += later;
            },
        )
        .map(|count| *count.value)
        .to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    (0..RECORDS).for_each(|number| driver.pipe("in", Some("a"), "", 1_000 + number as i64));
    driver.end_of_input();
    let windows = RECORDS + SIZE - 1;
    assert_eq!(driver.read("out").len() as u64, windows);
    let merges = merges.load(Ordering::Relaxed);
    assert!(merges < 2 * windows * SIZE, "{merges} for {windows} windows");
}

#[test]
fn a_window_at_the_end_of_time_comes_out() {
    let mut driver = counting(Count::of(1), Emit::OnClose);
    pipe(&mut driver, &[("a", i64::MAX)]);
    driver.settle();
    assert_eq!(driver.failure(), None);
    assert_eq!(out(&driver), [format!("a {max}..{max}: 1", max = i64::MAX)]);
}
