//! Records that cannot be processed, under the test driver.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::output::{Route, TopicLimits};
use processor::{
    Emit, ErrorKind, ErrorPolicy, I64, Json, Partitions, Raw, Text, Topology, Tumbling, U64, Utf8, Watermark,
};

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
    job.dead_letters("dead").on_error(ErrorKind::Decode, ErrorPolicy::Fail);
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
        failure.starts_with(
            "topic in, partition 0, offset 1: the job's code panicked in step `map-1`: a number: ParseInt"
        ),
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
        failure.starts_with(
            "while windows closed, timers fired or results came out: the job's code panicked in step `map-1`"
        ) && failure.ends_with("at 1000"),
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

/// Counts the records of each second that come from two topics, none of which moves time by more than a minute.
fn counted_from_two(is_one_stream: bool) -> TestDriver {
    let mut job = Topology::builder("app");
    let watermark = Watermark::bounded(Duration::from_millis(100)).never_idle();
    let jump_max = Duration::from_secs(60);
    let windows = Tumbling::of(Duration::from_secs(1));
    if is_one_stream {
        let both = job.keyed_stream(["a", "b"], Utf8, Utf8).watermark(watermark).jump_max(jump_max);
        let counts = both.window(windows).count("counts", Emit::OnClose);
        counts.map(|count| format!("{} {}", count.window.start, count.value)).to("out", Utf8, Utf8);
    } else {
        let a = job.keyed_stream("a", Utf8, Utf8).watermark(watermark).jump_max(jump_max);
        let b = job.keyed_stream("b", Utf8, Utf8).watermark(watermark).jump_max(jump_max);
        let counts = a.merge(b).window(windows).count("counts", Emit::OnClose);
        counts.map(|count| format!("{} {}", count.window.start, count.value)).to("out", Utf8, Utf8);
    }
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn after_a_restart_a_record_far_ahead_is_measured_by_its_own_partition() {
    let mut driver = counted_from_two(false);
    driver.pipe("a", Some("k"), "", 500);
    driver.commit();
    // The other topic has no record yet, so that the watermark of the task is not known.
    driver.crash();
    driver.pipe("a", Some("k"), "", 58 * 60_000);
    driver.pipe("b", Some("k"), "", 5_000);
    driver.pipe("a", Some("k"), "", 700);
    driver.pipe("a", Some("k"), "", 1_200);
    driver.settle();
    let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    assert_eq!(out, ["0 2"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}

#[test]
fn a_record_far_ahead_is_followed_by_one_of_its_own_topic() {
    let mut driver = counted_from_two(true);
    for (topic, at) in [("a", 500), ("b", 500), ("b", 600), ("a", 58 * 60_000), ("b", 58 * 60_000), ("a", 1_200)] {
        driver.pipe(topic, Some("k"), "", at);
        driver.commit();
    }
    driver.pipe("b", Some("k"), "", 700);
    driver.pipe("b", Some("k"), "", 1_300);
    driver.settle();
    let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    assert_eq!(out, ["0 4"]);
    assert_eq!(driver.status()[0].1.counters.late, 0);
}

/// Counts words, and fails for the third one of a key after it has been counted.
fn failing(setup: impl FnOnce(&mut processor::topology::Builder)) -> TestDriver {
    let mut job = Topology::builder("app");
    setup(&mut job);
    job.keyed_stream("in", Utf8, Utf8)
        .filter(|record| if record.value == "panic" { panic!("told to") } else { true })
        .count("counts", Emit::EveryUpdate)
        .map_or_fail(|count| if count.value == 3 { Err("the third") } else { Ok(count.value) })
        .to("out", Utf8, U64);
    TestDriver::new(job.build().expect("a valid job"))
}

fn counts(driver: &TestDriver) -> Vec<(String, u64)> {
    let number = |value: &[u8]| u64::from_be_bytes(value.try_into().expect("8 bytes"));
    let out = driver.read("out").into_iter();
    out.map(|record| (record.key_str().to_owned(), number(record.value.as_deref().unwrap_or_default()))).collect()
}

fn dead(driver: &TestDriver) -> Vec<(String, String, String)> {
    let header = |record: &processor::driver::TestRecord, name: &str| {
        let value = record.headers.iter().find(|(key, _)| key == name.as_bytes()).and_then(|(_, value)| value.clone());
        String::from_utf8(value.unwrap_or_default()).expect("UTF-8")
    };
    let dead = driver.read("dead").into_iter();
    dead.map(|record| {
        let [offset, message] = ["offset", "message"].map(|name| header(&record, &format!("__streams.errors.{name}")));
        (record.key_str().to_owned(), offset, message)
    })
    .collect()
}

#[test]
fn code_that_fails_leaves_no_trace_of_its_record() {
    let mut driver = failing(|job| _ = job.dead_letters("dead"));
    for (key, value) in [("a", ""), ("a", "panic"), ("b", ""), ("a", ""), ("a", ""), ("b", ""), ("a", "")] {
        driver.pipe("in", Some(key), value, 1);
    }
    driver.settle();
    assert_eq!(driver.failure(), None);
    let expected = [("a", 1), ("b", 1), ("a", 2), ("b", 2)].map(|(key, count)| (key.to_owned(), count));
    assert_eq!(counts(&driver), expected);
    let told = |key: &str, offset: &str, message: &str| (key.to_owned(), offset.to_owned(), message.to_owned());
    let expected = [told("a", "1", "told to"), told("a", "4", "the third"), told("a", "6", "the third")];
    assert_eq!(dead(&driver), expected);
    assert_eq!(driver.status()[0].1.counters.failed, 3);
    assert_eq!(driver.status()[0].1.counters.records_in, 7);
    // The state is that without the records, and a restart does not know them any more.
    driver.crash();
    driver.pipe("in", Some("b"), "", 1);
    driver.pipe("in", Some("c"), "", 1);
    driver.settle();
    assert_eq!(counts(&driver).len(), 5);
    assert_eq!(dead(&driver).len(), 4);
}

#[test]
fn a_record_that_has_touched_nothing_is_left_out_without_an_abort() {
    let mut driver = failing(|job| _ = job.on_error(ErrorKind::Process, ErrorPolicy::Skip));
    for index in 0..1_000 {
        driver.pipe("in", Some(&format!("k{index}")), if index % 3 == 0 { "panic" } else { "" }, 1);
    }
    driver.settle();
    assert_eq!((driver.failure(), counts(&driver).len()), (None, 666));
    // An aborted transaction would leave the offsets of its records behind, and one for a marker.
    let last = driver.read("out").last().map(|record| record.offset.0);
    assert!(last.is_some_and(|last| last < 666 + 20), "{last:?}");
}

#[test]
fn a_result_that_fails_is_left_out_and_the_others_come_out() {
    let mut job = Topology::builder("app");
    job.dead_letters("dead");
    job.keyed_stream("in", Utf8, Utf8)
        .window(Tumbling::of(Duration::from_secs(1)))
        .count("counts", Emit::OnClose)
        .map(|count| if count.key == "b" && count.window.start == 0 { panic!("not b") } else { *count.value })
        .to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (key, at) in [("a", 1), ("b", 2), ("c", 3), ("b", 1_004)] {
        driver.pipe("in", Some(key), "", at);
    }
    driver.end_of_input();
    assert_eq!(driver.failure(), None);
    let expected = [("a", 1), ("c", 1), ("b", 1)].map(|(key, count)| (key.to_owned(), count));
    assert_eq!(counts(&driver), expected);
    assert_eq!(dead(&driver), [("b".to_owned(), String::new(), "not b".to_owned())]);
}

/// A run to the end of its input that begins there: what was open before is closed in a transaction without records.
#[test]
fn a_result_that_fails_at_the_end_of_the_input_is_left_out_as_any_other() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    job.keyed_stream("in", Utf8, Utf8)
        .window(Tumbling::of(Duration::from_secs(10)))
        .count("counts", Emit::OnClose)
        .map(|count| if count.key == "bad" { panic!("told to") } else { *count.value })
        .to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("bad"), "", 1);
    driver.pipe("in", Some("good"), "", 2);
    driver.settle();
    driver.kill_worker(0);
    driver.end_of_input();
    driver.start_worker(0);
    driver.settle();
    assert!(driver.is_finished(), "{:?}", driver.reports());
    assert_eq!(counts(&driver), [("good".to_owned(), 1)]);
    assert_eq!(driver.failure(), None);
    assert_eq!(driver.status()[0].1.counters.failed, 1);
}

#[test]
fn each_kind_of_failure_stops_a_job_that_says_nothing() {
    let mut driver = failing(|_| ());
    driver.pipe("in", Some("a"), "panic", 1);
    driver.settle();
    let failure = driver.failure().expect("it stops").to_string();
    assert_eq!(failure, "topic in, partition 0, offset 0: the job's code panicked in step `filter-1`: told to");
    let mut driver = failing(|_| ());
    (0..3).for_each(|_| driver.pipe("in", Some("a"), "", 1));
    driver.settle();
    let failure = driver.failure().expect("it stops").to_string();
    assert_eq!(failure, "topic in, partition 0, offset 2: the job's code failed in step `map_or_fail-2`: the third");
}

#[test]
fn output_that_its_topic_does_not_take_is_left_out_by_itself() {
    let run = |policy: Option<ErrorPolicy>| {
        let mut job = Topology::builder("app");
        if let Some(policy) = policy {
            job.dead_letters("dead").on_error(ErrorKind::Produce, policy);
        }
        let lines = job.keyed_stream("in", Utf8, Utf8);
        lines.clone().map(|line| line.value.repeat(10)).to("out", Utf8, Text);
        lines.count("counts", Emit::EveryUpdate).to("counted", Utf8, U64);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.limit_topic("out", TopicLimits { batch_bytes_max: 100, ..TopicLimits::default() });
        driver.pipe("in", Some("a"), "x", 1);
        driver.pipe("in", Some("a"), "xxxxx", 1);
        driver.settle();
        driver
    };
    let mut driver = run(Some(ErrorPolicy::Skip));
    assert_eq!(driver.failure(), None);
    assert_eq!((driver.read("out").len(), driver.read("counted").len()), (1, 2));
    let message = "topic out: 119 bytes, and max.message.bytes is 100";
    assert_eq!(dead(&driver), [("a".to_owned(), "1".to_owned(), message.to_owned())]);
    assert_eq!(driver.status()[0].1.counters.unproducible, 1);
    let failure = run(None).failure().expect("it stops").to_string();
    let expected = "topic in, partition 0, offset 1: a record for topic out cannot be written: 119 bytes, and max.message.bytes is 100";
    assert_eq!(failure, expected);
}

/// A value in a repartition topic must be readable again, and JSON has no NaN.
#[test]
fn a_number_that_json_has_not_is_left_out_before_the_shuffle() {
    let run = |policy: ErrorPolicy| {
        let mut job = Topology::builder("app");
        job.on_error(ErrorKind::Produce, policy);
        job.stream("in", Utf8)
            .map(|line| line.value.parse::<f64>().unwrap_or(f64::NAN))
            .key_by("by", Partitions(1), (U64, Json::<Option<f64>>::new()), |number| (0, Some(number.value)))
            .to("out", U64, Json::new());
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        ["0.5", "none", "1.5"].iter().for_each(|line| driver.pipe("in", None, line, 1));
        driver.settle();
        driver
    };
    let driver = run(ErrorPolicy::Skip);
    assert_eq!(driver.failure(), None);
    let out = driver.read("out");
    assert_eq!(out.iter().map(|record| record.value_str()).collect::<Vec<_>>(), ["0.5", "1.5"]);
    let failure = run(ErrorPolicy::Fail).failure().expect("it stops").to_string();
    assert!(failure.contains("offset 1") && failure.ends_with("NaN is no number of JSON"), "{failure}");
}

/// Sums by key at commits, without windows and in those of a day. A record with another value than a number fails.
fn summed() -> TestDriver {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let records = job.keyed_stream("in", Utf8, Utf8).jump_max(Duration::from_secs(3_600));
    let number = |text: &str| text.parse::<i64>().expect("a number");
    let sums = records.clone().sum("sums", Emit::OnUpdate, move |record| number(record.value));
    sums.map(|sum| sum.value).to("sums-out", Utf8, I64);
    let days = records.window(Tumbling::of(Duration::from_secs(86_400)));
    let days = days.sum("days", Emit::OnUpdate, move |record| number(record.value));
    days.map(|sum| *sum.value).to("days-out", Utf8, I64);
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn a_record_that_does_not_count_gives_no_later_result_its_time() {
    // A clock that is wrong by many years: of a record that fails, and of one that event time does not follow.
    for value in ["bad", "1"] {
        let mut driver = summed();
        driver.pipe("in", Some("b"), "1", 1_000);
        driver.pipe("in", Some("x"), value, 4_102_444_800_000);
        driver.settle();
        driver.pipe("in", Some("c"), "1", 2_000);
        driver.settle();
        for topic in ["sums-out", "days-out"] {
            let time = |key| driver.read(topic).iter().find(|record| record.key_str() == key).map(|r| r.timestamp.0);
            assert_eq!(time("c"), Some(2_000), "{topic}, {value}");
            if value == "bad" {
                assert_eq!(time("b"), Some(1_000), "{topic}");
            }
        }
    }
}

#[test]
fn records_far_ahead_are_judged_the_same_after_a_rollback() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .jump_max(Duration::from_secs(3_600))
        .window(Tumbling::of(Duration::from_secs(60)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    // The batch up to the stray record, two records behind it, and a gap of hours.
    for at in [0, 0, 0, 0, 0, 0, 0, 28_800_000, 30_000, 70_000, 28_800_000, 28_805_000] {
        driver.pipe("in", Some("k"), "", at);
    }
    driver.lose_answer(false);
    driver.settle();
    assert_eq!(driver.status()[0].1.counters.late, 0);
    let out: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    assert_eq!(out, ["0 8", "60000 1"]);
}

#[test]
fn a_dead_letter_of_a_result_is_not_of_1970() {
    let mut job = Topology::builder("app");
    job.dead_letters("dead");
    let counts = job.keyed_stream("in", Utf8, Utf8).count("counts", Emit::Every(Duration::from_millis(100)));
    counts.map(|_| -> u64 { panic!("told to") }).to("out", Utf8, U64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.advance_wall(Duration::from_secs(1));
    // A record without a timestamp.
    driver.pipe("in", Some("a"), "", -1);
    driver.advance_wall(Duration::from_secs(1));
    driver.settle();
    let times: Vec<_> = driver.read("dead").iter().map(|record| record.timestamp.0).collect();
    assert!(times.len() == 1 && times[0] >= 1_000, "{times:?}");
}
