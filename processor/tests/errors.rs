//! Records that cannot be processed, under the test driver.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::output::Route;
use processor::{Emit, I64, Raw, Text, Topology, Tumbling, U64, Undecodable, Utf8, Watermark};

#[test]
fn what_cannot_be_decoded_goes_where_dead_letters_go() {
    let mut job = Topology::builder("app");
    job.dead_letters("dead");
    let numbers = job.stream("in", I64);
    numbers.clone().map(|number| number.value * 2).to("doubled", Raw, I64);
    numbers.map(|number| number.value).to("copied", Raw, I64);
    // Another stream of the same topic.
    job.stream("in", I64).map(|number| number.value + 1).to("next", Raw, I64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe_to("in", Route::ByKey, Some(b"k"), Some(&7_i64.to_be_bytes()), 5);
    driver.pipe_to("in", Route::ByKey, Some(b"k"), Some(b"seven"), 6);
    driver.crash_at(CommitPoint::AfterFlush);
    driver.commit();
    driver.pipe_to("in", Route::ByKey, None, Some(&8_i64.to_be_bytes()), 7);
    driver.settle();
    assert_eq!(["doubled", "copied", "next"].map(|topic| driver.read(topic).len()), [2, 2, 2]);
    let dead = driver.read("dead");
    assert_eq!(dead.len(), 2, "one for each stream of the topic");
    assert_eq!((dead[0].key_str(), dead[0].value_str(), dead[0].timestamp.0), ("k", "seven", 6));
    let headers: Vec<_> = dead[0]
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect();
    let expected = [
        ("exception", "processor::SerdeError"),
        ("message", "5 bytes, not 8"),
        ("topic", "in"),
        ("partition", "0"),
        ("offset", "1"),
    ];
    let expected = expected.map(|(name, value)| (format!("__streams.errors.{name}"), value.to_owned()));
    assert_eq!(headers, expected);
}

#[test]
fn a_job_that_must_fail_does_so_although_there_are_dead_letters() {
    let mut job = Topology::builder("app");
    job.dead_letters("dead").on_undecodable(Undecodable::Fail);
    job.stream("in", I64).to("out", Raw, I64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", None, "x", 1);
    driver.settle();
    assert!(driver.failure().is_some());
    assert_eq!(driver.read("dead"), []);
}

#[test]
fn a_panic_is_caught_and_named() {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8).map(|line| line.value.parse::<u64>().expect("a number")).to("out", Raw, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", None, "1", 1);
    driver.pipe("in", None, "x", 2);
    driver.settle();
    let failure = driver.failure().expect("the job has stopped").to_string();
    assert!(
        failure.starts_with("topic in, partition 0, offset 1: the job's code panicked: a number: ParseInt"),
        "{failure}"
    );
    assert_eq!(driver.read("out"), [], "nothing of the transaction is committed");

    let mut job = Topology::builder("app");
    let counts = job.keyed_stream("in", Utf8, Utf8).window(Tumbling::of(Duration::from_secs(1)));
    let counts = counts.count("counts", Emit::OnClose);
    counts.map(|count| -> String { panic!("at {}", count.window.end) }).to("out", Utf8, Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "", 1);
    driver.end_of_input();
    let failure = driver.failure().expect("the job has stopped").to_string();
    assert!(
        failure.starts_with("the job's code panicked while windows closed") && failure.ends_with("at 1000"),
        "{failure}"
    );
}

#[test]
fn a_record_far_ahead_moves_time_only_when_another_one_follows() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .watermark(Watermark::bounded(Duration::from_millis(100)))
        .jump_max(Duration::from_secs(60))
        .window(Tumbling::of(Duration::from_secs(1)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    let out = |driver: &TestDriver| -> Vec<String> {
        driver.read("out").iter().map(|record| record.value_str().to_owned()).collect()
    };
    let ahead = 58 * 60_000;
    for at in [500, ahead, 600, 700] {
        driver.pipe("in", Some("a"), "", at);
        driver.commit();
    }
    assert_eq!(out(&driver), Vec::<String>::new());
    driver.pipe("in", Some("a"), "", 1_200);
    driver.settle();
    assert_eq!(out(&driver), ["0 3"], "no record was late");
    driver.crash();
    // With a gap in the data, the second record after it moves time.
    driver.pipe("in", Some("a"), "", ahead + 1_000);
    driver.settle();
    assert_eq!(out(&driver).len(), 1);
    driver.pipe("in", Some("a"), "", ahead + 1_100);
    driver.settle();
    assert_eq!(out(&driver)[1..], ["1000 1", "3480000 1"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}
