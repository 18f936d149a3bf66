//! Tables of compacted topics, which are their own changelogs, under the test driver.

use std::time::Duration;

use processor::driver::{CommitPoint, TestDriver};
use processor::output::Route;
use processor::worker::Fatal;
use processor::{Emit, ErrorKind, ErrorPolicy, Text, Topology, Ttl, U64, Utf8};

fn out(driver: &TestDriver) -> Vec<String> {
    driver.read("out").iter().map(|record| record.value_str().to_owned()).collect()
}

fn job() -> processor::topology::Builder {
    let mut job = Topology::builder("app");
    let users = job.compacted_table("users", "users", Utf8, Text);
    job.keyed_stream("clicks", Utf8, Utf8)
        .left_join_table(&users, |click, user| format!("{} {}", click.value, user.map_or("?", String::as_str)))
        .to("out", Utf8, Utf8);
    job
}

#[test]
fn the_rows_come_from_the_topic_and_nothing_is_written_twice() {
    let topology = job().build().expect("a valid job");
    let written: Vec<_> = topology.sinks().iter().map(|sink| sink.topic.as_str()).collect();
    assert_eq!(written, ["out"]);
    let mut driver = TestDriver::with_partitions(topology, &[("users", 2), ("clicks", 2)]);
    driver.pipe("users", Some("a"), "Ann", 1);
    driver.pipe("users", Some("b"), "Bob", 2);
    driver.pipe("clicks", Some("a"), "1", 3);
    driver.commit();
    driver.crash();
    driver.pipe("clicks", Some("b"), "2", 4);
    driver.pipe("users", Some("a"), "Anna", 5);
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.commit();
    driver.pipe("clicks", Some("a"), "3", 6);
    driver.pipe_to("users", Route::ByKey, Some(b"a"), None, 7);
    driver.settle();
    driver.crash();
    driver.pipe("clicks", Some("a"), "4", 8);
    driver.settle();
    assert_eq!(driver.store("users").len(), 1);
    let mut found = out(&driver);
    found.sort();
    assert_eq!(found, ["1 Ann", "2 Bob", "3 Anna", "4 ?"]);
}

#[test]
fn a_restart_finds_the_rows_of_the_committed_offset_and_no_later_ones() {
    let mut job = Topology::builder("app");
    let users = job.compacted_table("users", "users", Utf8, Text);
    users.changes().map(|user| format!("{:?} {:?}", user.value.old, user.value.new)).to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("users", Some("a"), "Ann", 1);
    driver.commit();
    driver.pipe("users", Some("a"), "Anna", 2);
    // Both records lie in the topic, and the second one is processed again.
    driver.crash();
    driver.settle();
    driver.crash();
    driver.pipe("users", Some("a"), "Annie", 3);
    driver.settle();
    let changes = ["None Some(\"Ann\")", "Some(\"Ann\") Some(\"Anna\")", "Some(\"Anna\") Some(\"Annie\")"];
    assert_eq!(out(&driver), changes);
}

/// The results of a job that was stopped while a later row for `a` came, and a click before it and one behind it.
fn after_a_stop(job: processor::topology::Builder, compacts: bool) -> Vec<String> {
    let topology = job.build().expect("a valid job");
    let mut driver = TestDriver::with_partitions(topology, &[("users", 1), ("clicks", 1)]);
    driver.pipe("users", Some("a"), "Ann", 1);
    driver.settle();
    driver.kill_worker(0);
    driver.write_partition("clicks", 0, Some("a"), "1", 5);
    driver.write_partition("users", 0, Some("a"), "Anna", 10);
    driver.write_partition("clicks", 0, Some("a"), "2", 15);
    if compacts {
        driver.compact_topic("users");
    }
    driver.start_worker(0);
    driver.settle();
    out(&driver)
}

#[test]
fn a_row_that_compaction_took_while_the_job_stood_still_is_missing_until_the_later_one() {
    assert_eq!(after_a_stop(job(), false), ["1 Ann", "2 Anna"]);
    assert_eq!(after_a_stop(job(), true), ["1 ?", "2 Anna"]);
    // A changelog of its own has the row, whatever happens to the topic.
    let mut kept = Topology::builder("app");
    let users = kept.table("users", "users", Utf8, Text);
    kept.keyed_stream("clicks", Utf8, Utf8)
        .left_join_table(&users, |click, user| format!("{} {}", click.value, user.map_or("?", String::as_str)))
        .to("out", Utf8, Utf8);
    assert_eq!(after_a_stop(kept, true), ["1 Ann", "2 Anna"]);
}

#[test]
fn a_deletion_of_a_row_that_compaction_took_goes_through_joins_of_tables() {
    let mut job = Topology::builder("app");
    let users = job.compacted_table("users", "users", Utf8, Text);
    let towns = job.table("towns", "towns", Utf8, Text);
    let told = |change: Option<String>| change.unwrap_or_else(|| "gone".to_owned());
    let joined = users.join(&towns, |user, town| format!("{user} of {town}"));
    joined.map(move |change| told(change.value.clone())).to("out", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    let mut driver = TestDriver::with_partitions(topology, &[("users", 1), ("towns", 1)]);
    driver.pipe("towns", Some("a"), "Bern", 1);
    driver.pipe("users", Some("a"), "Ann", 2);
    driver.settle();
    driver.kill_worker(0);
    driver.pipe_to("users", Route::ByKey, Some(b"a"), None, 10);
    driver.compact_topic("users");
    driver.start_worker(0);
    driver.settle();
    assert_eq!(out(&driver), ["Ann of Bern", "gone"]);
    assert!(driver.store("users").is_empty());
}

#[test]
fn a_row_that_was_left_out_is_left_out_by_a_restart() {
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Decode, ErrorPolicy::Skip);
    let numbers = job.compacted_table("numbers", "numbers", Utf8, U64);
    numbers.changes().map(|number| format!("{:?}", number.value.new)).to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe_to("numbers", Route::ByKey, Some(b"a"), Some(&7_u64.to_be_bytes()), 1);
    driver.pipe("numbers", Some("a"), "eight", 2);
    driver.pipe("numbers", None, "12345678", 2);
    driver.settle();
    driver.crash();
    driver.settle();
    assert_eq!(driver.store("numbers")[0].value, 7_u64.to_be_bytes());
}

#[test]
fn a_step_beside_the_table_has_its_own_changelog() {
    let mut job = Topology::builder("app");
    let users = job.compacted_table("users", "users", Utf8, Text);
    users.changes().count("changes", Emit::EveryUpdate).map(|count| count.value.to_string()).to("out", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    let written: Vec<_> = topology.sinks().iter().map(|sink| sink.topic.as_str()).collect();
    assert_eq!(written, ["app-changes-changelog", "out"]);
    let mut driver = TestDriver::new(topology);
    for user in ["Ann", "Anna"] {
        driver.pipe("users", Some("a"), user, 1);
        driver.settle();
        driver.crash();
    }
    assert_eq!(out(&driver), ["1", "2"]);
    assert_eq!((driver.store("users").len(), driver.store("changes").len()), (1, 1));
}

#[test]
fn a_topic_is_the_changelog_of_one_table() {
    let mut twice = job();
    twice.compacted_table("users", "again", Utf8, Text);
    let mut global = job();
    global.global_table("users", Utf8, Text);
    for job in [twice, global] {
        let errors = job.build().expect_err("two tables").to_string();
        assert!(
            errors.contains("topic `users` is the changelog of a compacted_table, and of another table"),
            "{errors}"
        );
    }
    let mut forgetful = job();
    forgetful.ttl("users", Ttl::event(Duration::from_secs(1)));
    let errors = forgetful.build().expect_err("no time to live").to_string();
    assert!(errors.contains("store `users`"), "{errors}");
}

#[test]
fn a_topic_that_gets_partitions_ends_the_job_and_says_what_to_do() {
    let changes = || {
        let mut job = Topology::builder("app");
        let users = job.compacted_table("users", "users", Utf8, Text);
        users.changes().map(|user| format!("{:?}", user.value.new)).to("out", Utf8, Utf8);
        let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("users", 2)]);
        driver.pipe("users", Some("a"), "Ann", 1);
        driver.settle();
        driver
    };
    let grew = Fatal::TableGrew { topic: "users".to_owned(), old: 2, new: 3 };
    let mut at_work = changes();
    at_work.grow_topic("users", 3);
    at_work.advance_wall(Duration::from_secs(10));
    assert_eq!(at_work.fatal(), Some(&grew));
    let told = grew.to_string();
    assert!(told.contains("compacted_table") && told.contains("another application id"), "{told}");
    // The offsets tell the number to those that come later.
    let mut later = changes();
    later.kill_worker(0);
    later.grow_topic("users", 3);
    later.start_worker(0);
    later.settle();
    assert_eq!(later.fatal(), Some(&grew));
}
