//! Steps without state, under the test driver.

use kafka_wire::record::HeadersBuf;
use kafka_wire::types::TimestampMs;
use processor::driver::{CommitPoint, TestDriver};
use processor::output::{OutRecord, Route, SinkId};
use processor::{Emit, I64, Partitions, Raw, Text, Topology, Tumbling, U64, Utf8};

/// The records that a reader of `topic` gets, in order: key (`-` for null), value.
fn read(driver: &TestDriver, topic: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pair = |record: processor::driver::TestRecord| {
        let key = record.key.as_deref().map_or_else(|| "-".to_owned(), text);
        (key, text(record.value.as_deref().unwrap_or_default()))
    };
    driver.read(topic).into_iter().map(pair).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn upper_case_goes_from_topic_to_topic_whatever_the_key() {
    let mut job = Topology::builder("upper-case");
    job.stream("lines", Utf8).map(|line| line.value.to_uppercase()).to("upper", Raw, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("lines", None, "a", 1);
    driver.pipe("lines", Some("k"), "b", 2);
    driver.settle();
    assert_eq!(read(&driver, "upper"), pairs(&[("-", "A"), ("k", "B")]));
}

#[test]
fn values_are_mapped_filtered_and_multiplied_under_their_key() {
    let mut job = Topology::builder("app");
    let lines = job.keyed_stream("in", Utf8, Utf8);
    lines.clone().map_values(|line| line.len() as i64).map_values(|length| length * 2).to("lengths", Utf8, I64);
    lines.clone().filter_map(|line| line.value.parse::<i64>().ok()).to("numbers", Utf8, I64);
    lines.flat_map_values(|line| line.value.split(' ').map(str::to_owned).collect::<Vec<_>>()).to("words", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "x yy", 1);
    driver.pipe("in", Some("b"), "7", 2);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.settle();
    let number = |topic: &str| -> Vec<_> {
        let records = driver.read(topic);
        records.iter().map(|record| i64::from_be_bytes(record.value.clone().unwrap().try_into().unwrap())).collect()
    };
    assert_eq!((number("lengths"), number("numbers")), (vec![8, 2], vec![7]));
    assert_eq!(read(&driver, "words"), pairs(&[("a", "x"), ("a", "yy"), ("b", "7")]));
}

#[test]
fn errors_are_a_stream_of_their_own() {
    let mut job = Topology::builder("app");
    let parse = |line: &processor::Rec<'_, Utf8, Utf8>| line.value.parse::<i64>().map_err(|error| error.to_string());
    let (numbers, errors) = job.keyed_stream("in", Utf8, Utf8).try_map(parse);
    // After the step, each output goes its own way: state on one, another step on the other.
    numbers
        .window(Tumbling::of(std::time::Duration::from_secs(10)))
        .aggregate("sums", I64, Emit::OnClose, || 0, |sum, number| *sum += number.value)
        .map(|sum| sum.value.to_string())
        .to("sums-out", Utf8, Text);
    errors.clone().filter(|error| error.value.contains("empty")).to("empty", Utf8, Utf8);
    errors.to("errors", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    assert!(topology.describe().contains("Processor: try_map-1-errors (stores: [])"), "{}", topology.describe());

    let mut driver = TestDriver::new(topology);
    for (value, at) in [("1", 1), ("x", 2), ("", 3), ("2", 4)] {
        driver.pipe("in", Some("a"), value, at);
    }
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.end_of_input();
    assert_eq!(read(&driver, "sums-out"), pairs(&[("a", "3")]));
    let (invalid, empty) = ("invalid digit found in string", "cannot parse integer from empty string");
    assert_eq!(read(&driver, "errors"), pairs(&[("a", invalid), ("a", empty)]));
    assert_eq!(read(&driver, "empty"), pairs(&[("a", empty)]));
}

#[test]
fn errors_that_nothing_follows_are_dropped() {
    let mut job = Topology::builder("app");
    let (numbers, _) = job.keyed_stream("in", Utf8, Utf8).try_map(|line| line.value.parse::<i64>());
    numbers.to("out", Utf8, I64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", Some("a"), "x", 1);
    driver.pipe("in", Some("a"), "1", 2);
    driver.settle();
    assert_eq!(driver.read("out").len(), 1);
}

#[test]
fn a_side_output_gets_event_time_behind_the_step_that_it_is_of() {
    // Results of the window are written when its errors are: at the watermark. The window after the errors
    // must not close first.
    let mut job = Topology::builder("app");
    let tumbling = || Tumbling::of(std::time::Duration::from_millis(10));
    let counted = job.keyed_stream("in", Utf8, Utf8).window(tumbling()).count("first", Emit::OnClose);
    let (ones, others) = counted.map(|count| *count.value).try_map(|c| if c.value == 1 { Ok(1) } else { Err(c.value) });
    ones.map(|one| i64::from(one.value)).to("ones", Utf8, I64);
    others.window(tumbling()).count("second", Emit::OnClose).map(|count| *count.value as i64).to("others", Utf8, I64);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (key, at) in [("a", 1), ("a", 2), ("b", 3), ("b", 14), ("b", 15), ("a", 21)] {
        driver.pipe("in", Some(key), "", at);
        driver.commit();
    }
    driver.end_of_input();
    assert_eq!((driver.read("ones").len(), driver.read("others").len()), (2, 2));
    assert_eq!(driver.status().iter().map(|(_, status)| status.counters.late).sum::<u64>(), 0);
}

#[test]
fn a_key_may_change_without_a_shuffle_on_the_way_out_only() {
    let mut job = Topology::builder("app");
    let renamed = job.stream("in", Utf8).select_key(Text, |line| format!("k{}", line.value.len()));
    renamed.clone().to("out", Utf8, Utf8);
    let sorted = renamed.key_by("by-key", Partitions(2), (Text, Utf8), |line| (line.key, line.value));
    sorted
        .window(Tumbling::of(std::time::Duration::from_millis(10)))
        .count("counts", Emit::OnClose)
        .map(|count| count.value.to_string())
        .to("counts-out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", None, "ab", 1);
    driver.pipe("in", Some("x"), "cd", 2);
    driver.end_of_input();
    assert_eq!(read(&driver, "out"), pairs(&[("k2", "ab"), ("k2", "cd")]));
    assert_eq!(read(&driver, "counts-out"), pairs(&[("k2", "2")]));

    let mut job = Topology::builder("app");
    let renamed = job.keyed_stream("in", Utf8, Utf8).select_key(Utf8, |line| line.value);
    renamed
        .window(Tumbling::of(std::time::Duration::from_millis(10)))
        .count("counts", Emit::OnClose)
        .map(|count| count.value.to_string())
        .to("out", Utf8, Utf8);
    let errors = job.build().expect_err("records of one key are in several tasks").to_string();
    let why = "select_key before it gave the records another key, but left them where they were; use key_by";
    assert_eq!(errors, format!("step `counts`: {why}"));
}

#[test]
fn each_record_goes_to_the_topic_that_is_chosen_for_it() {
    let mut job = Topology::builder("app");
    let topics = ["small", "large"];
    job.stream("in", Utf8).to_chosen(&topics, Raw, Utf8, |line| usize::from(line.value.len() > 2));
    let topology = job.build().expect("a valid job");
    let mut driver = TestDriver::new(topology);
    for value in ["a", "abc", "b"] {
        driver.pipe("in", None, value, 1);
    }
    driver.settle();
    assert_eq!(read(&driver, "small"), pairs(&[("-", "a"), ("-", "b")]));
    assert_eq!(read(&driver, "large"), pairs(&[("-", "abc")]));
}

/// A job whose lines name their topics, as `topic text`.
fn naming(declare: impl FnOnce(&mut processor::topology::Builder)) -> TestDriver {
    let mut job = Topology::builder("app");
    declare(&mut job);
    let lines = job.keyed_stream("in", Utf8, Utf8);
    lines.clone().count("counts", Emit::EveryUpdate).to("counts-out", Utf8, U64);
    lines.to_named(Utf8, Utf8, |line| line.value.split(' ').next().unwrap_or_default().into());
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn each_record_goes_to_the_topic_that_it_names() {
    let mut driver = naming(|_| {});
    driver.create_topic("one", 2);
    driver.create_topic("two", 1);
    for (number, point) in CommitPoint::ALL.into_iter().enumerate() {
        driver.pipe("in", Some("k"), &format!("one {number}"), 1);
        driver.pipe("in", Some("k"), &format!("two {number}"), 1);
        driver.crash_at(point);
        driver.settle();
    }
    let lines =
        |topic| (0..CommitPoint::ALL.len()).map(|number| ("k".to_owned(), format!("{topic} {number}"))).collect();
    let [one, two]: [Vec<_>; 2] = ["one", "two"].map(lines);
    assert_eq!([read(&driver, "one"), read(&driver, "two")], [one, two]);
    // A topic that comes while the job runs.
    driver.create_topic("three", 1);
    driver.pipe("in", Some("k"), "three", 1);
    driver.settle();
    assert_eq!(read(&driver, "three"), pairs(&[("k", "three")]));
}

#[test]
fn a_named_topic_that_is_missing_stops_the_job_or_leaves_the_record_out() {
    let mut driver = naming(|_| {});
    driver.pipe("in", Some("k"), "missing", 1);
    driver.settle();
    let failure = driver.failure().expect("the job has stopped").to_string();
    let expected = "topic in, partition 0, offset 0: a record for topic missing cannot be written: it does not exist";
    assert_eq!(failure, expected);
    assert_eq!(read(&driver, "counts-out"), pairs(&[]), "nothing of the transaction is committed");

    let mut driver = naming(|job| _ = job.dead_letters("dead"));
    driver.create_topic("one", 1);
    for line in ["one 1", "missing 2", "app-counts-changelog 3", "one 4"] {
        driver.pipe("in", Some("k"), line, 1);
    }
    driver.crash_at(CommitPoint::AfterFlush);
    driver.settle();
    assert_eq!(read(&driver, "one"), pairs(&[("k", "one 1"), ("k", "one 4")]));
    assert_eq!(read(&driver, "dead"), pairs(&[("k", "missing 2"), ("k", "app-counts-changelog 3")]));
    assert_eq!(read(&driver, "counts-out").len(), 4, "the other effects of such a record stay");
    assert_eq!(driver.status()[0].1.counters.unproducible, 2);
}

#[test]
fn timestamps_and_headers_are_read_and_set() {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8)
        .set_timestamp(|line| TimestampMs(line.timestamp.0 + 5))
        .set_headers(|line, headers| headers.push(b"length", Some(line.value.len().to_string().as_bytes())))
        .key_by("shuffle", Partitions(1), (Utf8, Utf8), |line| (line.value, line.value))
        .peek(|line| assert!(line.headers.last(b"length").is_some() && line.headers.count() == 2))
        .set_headers(|line, headers| {
            if line.value == "clear" {
                headers.clear();
            }
        })
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    let mut headers = HeadersBuf::new();
    headers.push(b"trace", Some(b"7"));
    for value in ["abc", "clear"] {
        let (sink, route, timestamp) = (SinkId(0), Route::ByKey, TimestampMs(10));
        let value = Some(value.as_bytes());
        driver.pipe_record("in", &OutRecord { sink, route, timestamp, key: None, value, headers: headers.as_raw() });
    }
    driver.settle();
    let out = driver.read("out");
    let trace = (b"trace".to_vec(), Some(b"7".to_vec()));
    assert_eq!(out[0].headers, [trace, (b"length".to_vec(), Some(b"3".to_vec()))]);
    assert_eq!((out[1].headers.len(), out[0].timestamp), (0, TimestampMs(15)));
}

#[test]
fn a_record_goes_to_the_partition_of_its_number() {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8).to_partition("out", Raw, Utf8, |line| line.value.len() as u32);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("out", 3)]);
    ["", "a", "four", "fives"].iter().for_each(|line| driver.pipe("in", None, line, 1));
    driver.settle();
    let mut found: Vec<_> =
        driver.read("out").iter().map(|record| (record.value_str().to_owned(), record.partition.0)).collect();
    found.sort();
    assert_eq!(found, [("", 0), ("a", 1), ("fives", 2), ("four", 1)].map(|(line, at)| (line.to_owned(), at)));
}

#[test]
fn repartition_keeps_the_key() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8)
        .map(|line| line.value.len() as u64)
        .repartition("again", Partitions(2), U64)
        .sum("sums", Emit::EveryUpdate, |line| line.value)
        .to("out", Utf8, U64);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("in", 3)]);
    // Records of one key are in two partitions of the source.
    for (partition, line) in [(0, "one"), (1, "three"), (2, "x")] {
        driver.write_partition("in", partition, Some("k"), line, 1);
    }
    driver.settle();
    let last = driver.read("out").last().and_then(|record| record.value.clone());
    assert_eq!(last, Some(9_u64.to_be_bytes().to_vec()));
}
