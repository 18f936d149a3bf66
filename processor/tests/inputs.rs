//! Where inputs start and end, which topics and partitions they read, and how they grow.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::worker::Fatal;
use processor::{
    Emit, Partitions, Raw, ResetPolicy, StartingOffsets, StoppingOffsets, TimestampMs, TopicPattern, Topology,
    Tumbling, U64, Utf8, Watermark,
};

const SECOND: Duration = Duration::from_secs(1);

/// Copies a topic, from a place on.
fn copy(start: Option<StartingOffsets>) -> Topology {
    let mut job = Topology::builder("copy");
    let lines = job.stream("lines", Utf8);
    let lines = match start {
        Some(start) => lines.starting_offsets(start),
        None => lines,
    };
    lines.to("out", Raw, Utf8);
    job.build().expect("a valid job")
}

/// The values in the output, sorted.
fn out(driver: &TestDriver) -> Vec<String> {
    let mut values: Vec<_> = driver.read("out").iter().map(|record| record.value_str().to_owned()).collect();
    values.sort();
    values
}

/// A driver before the start of its job, with the records `a` to `e` at 1 to 5 s of event time.
fn written(topology: Topology) -> TestDriver {
    let mut driver = TestDriver::unstarted(topology, &[("lines", 1)]);
    for (value, time) in ["a", "b", "c", "d", "e"].into_iter().zip((1_000..).step_by(1_000)) {
        driver.write_partition("lines", 0, None, value, time);
    }
    driver
}

#[track_caller]
fn check_start(start: StartingOffsets, expected: &[&str]) {
    let mut driver = written(copy(Some(start)));
    driver.add_worker();
    driver.settle();
    assert_eq!(out(&driver), expected);
}

fn offset(offset: i64, otherwise: ResetPolicy) -> StartingOffsets {
    StartingOffsets::offsets([("lines", 0, offset)], otherwise)
}

#[test]
fn an_input_starts_where_it_says() {
    check_start(StartingOffsets::Earliest, &["a", "b", "c", "d", "e"]);
    check_start(StartingOffsets::Latest, &[]);
    check_start(StartingOffsets::Committed(ResetPolicy::Earliest), &["a", "b", "c", "d", "e"]);
    check_start(StartingOffsets::Committed(ResetPolicy::Latest), &[]);
    check_start(StartingOffsets::Timestamp(TimestampMs(3_500)), &["d", "e"]);
    check_start(StartingOffsets::Timestamp(TimestampMs(9_000)), &[]);
    check_start(offset(2, ResetPolicy::None), &["c", "d", "e"]);
    check_start(offset(5, ResetPolicy::None), &[]);
    check_start(offset(6, ResetPolicy::Earliest), &["a", "b", "c", "d", "e"]);
    check_start(StartingOffsets::offsets([("others", 0, 2)], ResetPolicy::Latest), &[]);
}

#[test]
fn the_configuration_tells_where_other_inputs_start() {
    for (policy, expected) in [
        (ResetPolicy::Earliest, &["a", "b", "c", "d", "e"][..]),
        (ResetPolicy::Latest, &[]),
        // The clock of the driver begins at 0.
        (ResetPolicy::ByDuration(Duration::from_secs(60)), &["a", "b", "c", "d", "e"]),
    ] {
        let mut driver = written(copy(None));
        driver.set_auto_offset_reset(policy);
        driver.add_worker();
        driver.settle();
        assert_eq!(out(&driver), expected, "{policy:?}");
    }
}

#[test]
fn without_a_place_the_job_ends_and_names_the_partition() {
    for start in [StartingOffsets::Committed(ResetPolicy::None), offset(9, ResetPolicy::None)] {
        let mut driver = written(copy(Some(start)));
        driver.add_worker();
        driver.settle();
        let fatal = driver.fatal().expect("it cannot start").to_string();
        assert!(fatal.contains("topic lines, partition 0"), "{fatal}");
        assert!(fatal.contains("auto.offset.reset") || fatal.contains("from 0 to 5"), "{fatal}");
    }
}

#[test]
fn an_offset_of_another_program_is_taken_where_the_input_says_so() {
    let mut driver = written(copy(Some(StartingOffsets::Committed(ResetPolicy::None))));
    driver.commit_foreign_offset("lines", 0, 3);
    driver.add_worker();
    driver.settle();
    assert_eq!((out(&driver), driver.fatal()), (vec!["d".to_owned(), "e".to_owned()], None));

    let mut driver = written(copy(Some(StartingOffsets::Latest)));
    driver.commit_foreign_offset("lines", 0, 3);
    driver.add_worker();
    driver.settle();
    assert!(matches!(driver.fatal(), Some(Fatal::ForeignOffset { .. })));
}

#[test]
fn the_end_of_a_log_is_a_place_once_and_for_all() {
    let mut driver = written(copy(Some(StartingOffsets::Latest)));
    driver.add_worker();
    driver.settle();
    assert_eq!(driver.commit_count(), 0, "the place is committed before any worker works");
    driver.kill_worker(0);
    driver.write_partition("lines", 0, None, "f", 6_000);
    driver.start_worker(0);
    driver.settle();
    assert_eq!(out(&driver), ["f"], "it came after the start of the job");
}

#[test]
fn a_process_that_dies_before_its_first_commit_leaves_the_place_to_others() {
    for start in [StartingOffsets::Latest, StartingOffsets::Timestamp(TimestampMs(9_000))] {
        let mut driver = TestDriver::unstarted(copy(Some(start.clone())), &[("lines", 2)]);
        (0..2).for_each(|partition| driver.write_partition("lines", partition, None, "old", 1_000));
        let workers = [driver.add_worker(), driver.add_worker()];
        driver.run();
        // One process works, the other one has got its partition and done nothing with it.
        driver.pause_worker(workers[1]);
        driver.write_partition("lines", 0, None, "a", 2_000);
        driver.settle();
        assert_eq!(out(&driver), ["a"], "{start:?}");
        driver.write_partition("lines", 1, None, "b", 2_000);
        driver.kill_worker(workers[1]);
        driver.start_worker(workers[1]);
        driver.advance_wall(10 * SECOND);
        driver.settle();
        assert_eq!(out(&driver), ["a", "b"], "{start:?}: neither the old record nor a gap");
    }
}

#[test]
fn a_process_that_dies_while_it_chooses_a_place_leaves_the_choice_to_others() {
    let mut driver = written(copy(Some(StartingOffsets::Latest)));
    driver.add_worker();
    driver.kill_worker(0);
    driver.write_partition("lines", 0, None, "f", 6_000);
    driver.add_worker();
    driver.settle();
    driver.pipe("lines", None, "g", 7_000);
    driver.settle();
    assert_eq!(out(&driver), ["g"], "the first one had not come to choose");
}

#[test]
fn partitions_that_are_not_read_need_no_place() {
    let mut job = Topology::builder("some");
    let offsets = StartingOffsets::offsets([("lines", 0, 1)], ResetPolicy::None);
    job.stream("lines", Utf8).partitions([0]).starting_offsets(offsets).to("out", Raw, Utf8);
    let mut driver = TestDriver::unstarted(job.build().expect("a valid job"), &[("lines", 2)]);
    for (partition, value) in [(0, "a"), (0, "b"), (1, "c")] {
        driver.write_partition("lines", partition, None, value, 1_000);
    }
    driver.add_worker();
    driver.settle();
    assert_eq!((out(&driver), driver.fatal()), (vec!["b".to_owned()], None));
}

#[test]
fn a_replay_goes_over_into_live_records() {
    let mut driver = written(copy(Some(StartingOffsets::Timestamp(TimestampMs(2_000)))));
    driver.add_worker();
    driver.settle();
    driver.pipe("lines", None, "live", 500);
    driver.settle();
    driver.crash();
    driver.pipe("lines", None, "more", 7_000);
    driver.settle();
    assert_eq!(out(&driver), ["b", "c", "d", "e", "live", "more"], "each once, and a place is no filter");
}

/// Counts the keys of two inputs in windows of ten seconds. The first one is bounded.
fn counts(stop: StoppingOffsets) -> Topology {
    let mut job = Topology::builder("counts");
    let watermark = Watermark::bounded(Duration::ZERO).never_idle();
    let bounded = job.keyed_stream("old", Utf8, Utf8).watermark(watermark).bounded(stop);
    let live = job.keyed_stream("live", Utf8, Utf8).watermark(watermark);
    bounded
        .merge(live)
        .window(Tumbling::of(10 * SECOND))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {} {}", count.key, count.window.start, count.value))
        .to("out", Utf8, processor::Text);
    job.build().expect("a valid job")
}

/// A driver with records at 1, 2 and 12 s of event time in the bounded input.
fn with_old(stop: StoppingOffsets) -> TestDriver {
    let mut driver = TestDriver::unstarted(counts(stop), &[]);
    for time in [1_000, 2_000, 12_000] {
        driver.write_partition("old", 0, Some("k"), "", time);
    }
    driver.add_worker();
    driver
}

#[test]
fn an_input_that_has_ended_holds_event_time_back_no_longer() {
    for (stop, expected) in [
        (StoppingOffsets::Latest, ["k 0 3", "k 10000 2"]),
        // The place lies in the middle of a batch.
        (StoppingOffsets::Timestamp(TimestampMs(2_000)), ["k 0 2", "k 10000 1"]),
        (StoppingOffsets::offsets([("old", 0, 2)]), ["k 0 3", "k 10000 1"]),
    ] {
        let mut driver = with_old(stop);
        driver.pipe("old", Some("k"), "", 3_000);
        driver.pipe("live", Some("k"), "", 4_000);
        driver.pipe("live", Some("k"), "", 15_000);
        driver.settle();
        driver.pipe("live", Some("k"), "", 25_000);
        driver.settle();
        assert_eq!(out(&driver), expected);
        assert!(!driver.is_finished(), "the other input goes on");
        driver.end_of_input();
        assert!(driver.is_finished());
        assert_eq!(driver.read("out").len(), 3);
    }
}

/// Copies a bounded input through a shuffle, and counts windows behind it.
fn bounded(stop: StoppingOffsets) -> Topology {
    let mut job = Topology::builder("bounded");
    job.stream("lines", Utf8)
        .bounded(stop)
        .key_by("by-value", Partitions(2), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(2 * SECOND))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.key, count.value))
        .to("out", Utf8, processor::Text);
    job.build().expect("a valid job")
}

#[test]
fn a_job_whose_inputs_have_all_ended_is_finished_with_everything_committed() {
    for (stop, expected) in [
        (StoppingOffsets::Latest, &["a 1", "b 1", "c 1", "d 1", "e 1"][..]),
        (StoppingOffsets::Timestamp(TimestampMs(2_500)), &["a 1", "b 1"]),
        (StoppingOffsets::offsets([("lines", 0, 4)]), &["a 1", "b 1", "c 1", "d 1"]),
        (StoppingOffsets::offsets([("lines", 0, 0)]), &[]),
    ] {
        for point in CommitPoint::ALL {
            let mut driver = written(bounded(stop.clone()));
            driver.crash_at(point);
            driver.add_worker();
            driver.settle();
            driver.crash();
            driver.write_partition("lines", 0, None, "later", 9_000);
            driver.settle();
            assert!(driver.is_finished(), "{stop:?}, {point:?}: {:?}", driver.reports());
            assert_eq!(out(&driver), expected, "{stop:?}, {point:?}");
        }
    }
}

#[test]
fn an_input_reads_all_topics_of_a_list() {
    let mut job = Topology::builder("list");
    job.stream(["one", "two"], Utf8).map(|line| line.value.to_uppercase()).to("out", Raw, Utf8);
    let topology = job.build().expect("a valid job");
    assert!(topology.describe().contains("topics: one, two"), "{}", topology.describe());
    let mut driver = TestDriver::with_partitions(topology, &[("one", 3), ("two", 1)]);
    driver.pipe_partition("one", 2, None, "a", 1);
    driver.pipe_partition("two", 0, None, "b", 2);
    driver.crash();
    driver.end_of_input();
    assert!(driver.is_finished());
    assert_eq!(out(&driver), ["A", "B"]);

    let mut job = Topology::builder("none");
    job.stream(Vec::<String>::new(), Utf8).to("out", Raw, Utf8);
    assert!(job.build().expect_err("no topic").to_string().contains("empty list"));
}

#[test]
fn an_input_reads_some_partitions() {
    let mut job = Topology::builder("some");
    job.stream("lines", Utf8)
        .partitions([0, 2, 9])
        .key_by("by", Partitions(2), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(10 * SECOND))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.key, count.value))
        .to("out", Utf8, processor::Text);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("lines", 4)]);
    for partition in 0..4 {
        driver.pipe_partition("lines", partition, None, &format!("p{partition}"), 1_000);
    }
    for partition in [0, 2] {
        driver.pipe_partition("lines", partition, None, "next", 11_000);
    }
    driver.settle();
    assert_eq!(out(&driver), ["p0 1", "p2 1"], "partitions that are not read hold nothing back");
    driver.grow_topic("lines", 5);
    driver.pipe_partition("lines", 4, None, "p4", 2_000);
    driver.crash();
    driver.end_of_input();
    assert!(driver.is_finished(), "{:?}", driver.reports());
    assert_eq!(out(&driver), ["next 2", "p0 1", "p2 1"]);

    let mut job = Topology::builder("state");
    job.keyed_stream("lines", Utf8, Utf8)
        .partitions([0])
        .count("counts", Emit::OnUpdate)
        .map(|n| n.value)
        .to("out", Utf8, U64);
    let error = job.build().expect_err("state").to_string();
    assert!(error.contains("step `counts` has state") && error.contains("topic `lines`"), "{error}");
}

#[test]
fn streams_of_one_topic_agree_on_its_extent() {
    let mut job = Topology::builder("app");
    job.stream("lines", Utf8).starting_offsets(StartingOffsets::Latest).to("one", Raw, Utf8);
    job.stream("lines", Utf8).to("two", Raw, Utf8);
    job.build().expect("one of them says it");
    let mut job = Topology::builder("app");
    job.stream("lines", Utf8).starting_offsets(StartingOffsets::Latest).to("one", Raw, Utf8);
    job.stream("lines", Utf8).starting_offsets(StartingOffsets::Earliest).to("two", Raw, Utf8);
    let error = job.build().expect_err("they differ").to_string();
    assert!(error.contains("several streams read topic `lines`"), "{error}");
    let mut job = Topology::builder("app");
    job.stream("lines", Utf8).starting_offsets(StartingOffsets::Timestamp(TimestampMs(-1))).to("one", Raw, Utf8);
    assert!(job.build().expect_err("1969").to_string().contains("before 1970"));
}

/// Counts the values of all topics that match, in windows of ten seconds.
fn found(start: StartingOffsets) -> Topology {
    let mut job = Topology::builder("found");
    job.stream(TopicPattern::regex("lines-.*").expect("a regular expression"), Utf8)
        .starting_offsets(start)
        .watermark(Watermark::bounded(Duration::ZERO).idle_after(20 * SECOND))
        .key_by("by", Partitions(2), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(10 * SECOND))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {} {}", count.key, count.window.start, count.value))
        .to("out", Utf8, processor::Text);
    job.build().expect("a valid job")
}

#[test]
fn topics_that_come_to_match_are_read_from_their_first_records() {
    let mut driver = TestDriver::unstarted(found(StartingOffsets::Latest), &[("lines-a", 1), ("other", 1)]);
    driver.write_partition("lines-a", 0, None, "old", 1_000);
    driver.add_worker();
    driver.settle();
    driver.pipe("lines-a", None, "a", 1_000);
    driver.create_topic("lines-b", 2);
    driver.write_partition("lines-b", 1, None, "b", 2_000);
    driver.settle();
    assert_eq!(driver.status().len(), 3, "nobody has looked yet");
    driver.advance_wall(31 * SECOND);
    assert_eq!(driver.status().len(), 4, "a task more");
    // The topic is known: event time waits for its records, and none is late.
    driver.write_partition("lines-b", 0, None, "c", 3_000);
    driver.write_partition("lines-a", 0, None, "next", 12_000);
    driver.settle();
    assert_eq!(out(&driver), [""; 0]);
    for partition in 0..2 {
        driver.pipe_partition("lines-b", partition, None, "next", 12_000);
    }
    driver.settle();
    driver.advance_wall(SECOND);
    driver.settle();
    assert_eq!(out(&driver), ["a 0 1", "b 0 1", "c 0 1"]);
    driver.crash();
    driver.end_of_input();
    assert!(driver.is_finished(), "{:?}", driver.reports());
    assert_eq!(out(&driver), ["a 0 1", "b 0 1", "c 0 1", "next 10000 3"]);
}

#[test]
fn a_new_partition_holds_event_time_back_until_it_is_idle_and_no_longer() {
    let topology = found(StartingOffsets::Earliest);
    let mut driver = TestDriver::with_partitions(topology, &[("lines-a", 1)]);
    driver.pipe("lines-a", None, "a", 1_000);
    driver.settle();
    driver.grow_topic("lines-a", 2);
    driver.advance_wall(SECOND);
    driver.pipe_partition("lines-a", 0, None, "next", 12_000);
    driver.settle();
    driver.advance_wall(SECOND);
    assert_eq!(out(&driver), [""; 0], "the new partition may have records of that window");
    for second in 0..25 {
        driver.advance_wall(SECOND);
        driver.pipe_partition("lines-a", 0, None, "next", 12_000 + second);
    }
    driver.settle();
    assert_eq!(out(&driver), ["a 0 1"]);
}

#[test]
fn a_pattern_without_a_topic_waits_for_one() {
    let mut driver = TestDriver::with_partitions(found(StartingOffsets::Latest), &[]);
    driver.advance_wall(SECOND);
    driver.create_topic("lines-a", 2);
    driver.write_partition("lines-a", 1, None, "a", 1_000);
    driver.advance_wall(31 * SECOND);
    driver.end_of_input();
    assert!(driver.is_finished(), "{:?}", driver.reports());
    assert_eq!(out(&driver), ["a 0 1"]);
}

/// Counts keys of all topics that match, with the state in the tasks that read them.
fn keyed() -> Topology {
    let mut job = Topology::builder("keyed");
    job.keyed_stream(TopicPattern::regex("keys-.*").expect("a regular expression"), Utf8, Utf8)
        .count("counts", Emit::EveryUpdate)
        .map(|count| format!("{} {}", count.key, count.value))
        .to("out", Utf8, processor::Text);
    job.build().expect("a valid job")
}

#[test]
fn state_goes_on_when_a_topic_with_as_many_partitions_comes() {
    let mut driver = TestDriver::with_partitions(keyed(), &[("keys-a", 2)]);
    driver.pipe("keys-a", Some("k"), "", 1);
    driver.settle();
    driver.create_topic("keys-b", 2);
    driver.advance_wall(31 * SECOND);
    driver.pipe("keys-b", Some("k"), "", 1);
    driver.settle();
    assert_eq!((out(&driver), driver.fatal()), (vec!["k 1".to_owned(), "k 2".to_owned()], None));
}

#[test]
fn a_topic_with_other_partitions_than_the_state_ends_the_job_by_name() {
    let mut driver = TestDriver::with_partitions(keyed(), &[("keys-a", 2)]);
    driver.pipe("keys-a", Some("k"), "", 1);
    driver.settle();
    driver.create_topic("keys-b", 1);
    driver.advance_wall(31 * SECOND);
    let fatal = driver.fatal().expect("keys of one lie in other tasks than those of the other").to_string();
    for part in ["step `counts`", "`keys-a` has 2", "`keys-b` has 1", "key_by"] {
        assert!(fatal.contains(part), "{part} is missing in: {fatal}");
    }
}

#[test]
fn a_task_whose_input_has_ended_is_passed_by_when_the_rest_is_idle() {
    let mut job = Topology::builder("counts");
    let watermark = Watermark::bounded(Duration::ZERO).idle_after(5 * SECOND);
    let old = job.stream("old", Utf8).watermark(watermark).bounded(StoppingOffsets::Latest);
    old.merge(job.stream("live", Utf8).watermark(watermark))
        .key_by("by", Partitions(1), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(10 * SECOND))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {} {}", count.key, count.window.start, count.value))
        .to("out", Utf8, processor::Text);
    let mut driver = TestDriver::unstarted(job.build().expect("a valid job"), &[("old", 1), ("live", 2)]);
    driver.write_partition("old", 0, None, "old", 15_000);
    driver.add_worker();
    (0..2).for_each(|partition| driver.pipe_partition("live", partition, None, "live", 1_000));
    driver.settle();
    assert_eq!(out(&driver), [""; 0]);
    // The second partition goes on, and the task of the first one has nothing left that could.
    for second in 0..8 {
        driver.advance_wall(SECOND);
        driver.pipe_partition("live", 1, None, "live", 11_000 + second);
        driver.settle();
    }
    assert_eq!(out(&driver), ["live 0 2"]);
    driver.pipe_partition("live", 1, None, "next", 25_000);
    driver.settle();
    assert_eq!(out(&driver), ["live 0 2", "live 10000 8", "old 10000 1"]);
    assert!(driver.status().iter().all(|(_, status)| status.counters.late == 0));
}

#[test]
fn a_partition_without_records_becomes_idle_though_others_are_rolled_back() {
    let mut job = Topology::builder("counts");
    job.stream("in", Utf8)
        .watermark(Watermark::default().idle_after(SECOND))
        .key_by("by", Partitions(1), (Utf8, ()), |line| (line.value, ()))
        .window(Tumbling::of(Duration::from_millis(100)))
        .count("counts", Emit::OnClose)
        .map(|count| format!("{} {}", count.window.start, count.value))
        .to("out", Utf8, processor::Text);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("in", 2)]);
    for time in [0, 100, 200, 300, 400] {
        driver.advance_wall(SECOND / 2);
        driver.pipe_partition("in", 0, None, "a", time);
        driver.lose_answer(false);
        driver.settle();
    }
    let out = out(&driver);
    assert!(out.starts_with(&["0 1".to_owned(), "100 1".to_owned()]), "the empty partition holds time back: {out:?}");
}
