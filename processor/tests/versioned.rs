//! Versioned tables, under the test driver.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::output::Route;
use processor::{Text, TimestampMs, Topology, Utf8, Watermark};

fn out(driver: &TestDriver) -> Vec<String> {
    driver.read("out").iter().map(|record| record.value_str().to_owned()).collect()
}

/// Makes the driver of a job that converts payments by the rate of their time, of the last second.
fn converted() -> TestDriver {
    let mut job = Topology::builder("app");
    let rates = job.versioned_table("rates", "rates", (Utf8, Text), Duration::from_secs(1));
    job.keyed_stream("payments", Utf8, Utf8)
        .watermark(Watermark::bounded(Duration::ZERO))
        .left_join_versioned(&rates, |payment, rate| format!("{}@{}", payment.value, rate.map_or("?", String::as_str)))
        .to("out", Utf8, Utf8);
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn a_record_finds_the_row_of_its_time_however_late_it_comes() {
    let mut driver = converted();
    for (rate, at) in [("1.2", 300), ("1.1", 100)] {
        driver.pipe("rates", Some("usd"), rate, at);
        driver.crash_at(CommitPoint::AfterFlush);
        driver.settle();
    }
    driver.pipe_to("rates", Route::ByKey, Some(b"usd"), None, 400);
    driver.settle();
    driver.crash();
    for (payment, at) in [("f", 500), ("e", 400), ("d", 399), ("c", 300), ("b", 299), ("a", 99)] {
        driver.pipe("payments", Some("usd"), payment, at);
        driver.settle();
    }
    assert_eq!(out(&driver), ["f@?", "e@?", "d@1.2", "c@1.2", "b@1.1", "a@?"]);
}

#[test]
fn versions_go_when_a_later_one_is_old_enough() {
    let mut driver = converted();
    for (rate, at) in [("1.1", 100), ("1.2", 300), ("1.3", 2_000)] {
        driver.pipe("rates", Some("usd"), rate, at);
    }
    driver.pipe("rates", Some("eur"), "1", 100);
    driver.pipe_to("rates", Route::ByKey, Some(b"eur"), None, 200);
    driver.pipe("payments", Some("usd"), "a", 250);
    driver.settle();
    assert_eq!(driver.store("rates").len(), 5);
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.pipe("payments", Some("usd"), "b", 1_400);
    driver.pipe("rates", Some("gbp"), "1", 2_000);
    driver.settle();
    driver.crash();
    driver.settle();
    // At 400 the rate of 300 is valid; the deleted row is not known any more.
    assert_eq!(driver.store("rates").len(), 3);
    driver.pipe("payments", Some("usd"), "c", 450);
    driver.pipe("payments", Some("usd"), "d", 2_500);
    driver.settle();
    assert_eq!(out(&driver), ["a@1.1", "b@1.2", "c@1.2", "d@1.3"]);
}

#[test]
fn a_run_to_the_end_keeps_event_time_and_the_versions() {
    let mut driver = converted();
    for (rate, at) in [("1.1", 100), ("1.2", 300)] {
        driver.pipe("rates", Some("usd"), rate, at);
    }
    driver.pipe("payments", Some("usd"), "a", 300);
    driver.end_of_input();
    assert_eq!(driver.status()[0].1.watermark, TimestampMs(300), "nothing comes out when a version goes");
    driver.pipe("payments", Some("usd"), "b", 250);
    driver.settle();
    assert_eq!(out(&driver), ["a@1.2", "b@1.1"]);
}
