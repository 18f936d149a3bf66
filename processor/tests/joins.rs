//! Joins of streams and tables, and deduplication, under the test driver.

use std::time::Duration;

use kafka_wire::types::TimestampMs;
use processor::driver::{CommitPoint, TestDriver};
use processor::output::Route;
use processor::topology::BuildError;
use processor::window::JoinWindow;
use processor::{Emit, Nullable, Partitions, Text, Topology, Ttl, U64, Utf8, Watermark};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn out(driver: &TestDriver, topic: &str) -> Vec<String> {
    let value =
        |value: Option<&[u8]>| value.map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned());
    let records = driver.read(topic);
    records.iter().map(|record| format!("{} {}", record.key_str(), value(record.value.as_deref()))).collect()
}

#[test]
fn a_stream_finds_the_rows_of_a_table() {
    let mut job = Topology::builder("app");
    let users = job.table("users", "users", Utf8, Text);
    let clicks = job.keyed_stream("clicks", Utf8, Utf8);
    clicks.clone().join_table(&users, |click, user| format!("{}@{user}", click.value)).to("inner", Utf8, Utf8);
    clicks
        .left_join_table(&users, |click, user| format!("{}@{}", click.value, user.map_or("?", String::as_str)))
        .to("left", Utf8, Utf8);
    let topology = job.build().expect("a valid job");
    assert_eq!(topology.sub_topologies().len(), 1);
    let mut driver = TestDriver::new(topology);
    driver.pipe("clicks", Some("a"), "1", 1);
    driver.pipe("users", Some("a"), "Ann", 2);
    driver.pipe("clicks", Some("a"), "2", 3);
    driver.commit();
    driver.crash();
    driver.pipe("users", Some("b"), "Bob", 4);
    driver.pipe("clicks", Some("a"), "3", 5);
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.commit();
    // Null deletes a row.
    driver.pipe_to("users", Route::ByKey, Some(b"a"), None, 6);
    driver.pipe("clicks", Some("a"), "4", 7);
    driver.pipe("clicks", Some("b"), "5", 8);
    driver.settle();
    assert_eq!(out(&driver, "inner"), ["a 2@Ann", "a 3@Ann", "b 5@Bob"]);
    assert_eq!(out(&driver, "left"), ["a 1@?", "a 2@Ann", "a 3@Ann", "a 4@?", "b 5@Bob"]);
    assert_eq!(driver.store("users").len(), 1);
}

#[test]
fn a_table_may_be_made_of_a_stream_and_looked_up_behind_a_shuffle() {
    let mut job = Topology::builder("app");
    let visits = job.stream("visits", Utf8).key_by("by-user", Partitions(2), (Utf8, ()), |visit| (visit.value, ()));
    let counts = visits.count("counts", Emit::EveryUpdate).to_table("visits", U64);
    job.stream("orders", Utf8)
        .key_by("orders-by-user", Partitions(2), (Utf8, ()), |order| (order.value, ()))
        .left_join_table(&counts, |_, visits| visits.copied().unwrap_or(0).to_string())
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("visits", 3)]);
    for user in ["a", "b", "a"] {
        driver.pipe("visits", None, user, 1);
    }
    driver.commit();
    driver.crash();
    driver.settle();
    for user in ["a", "b", "c"] {
        driver.pipe("orders", None, user, 2);
    }
    driver.settle();
    let mut found = out(&driver, "out");
    found.sort();
    assert_eq!(found, ["a 2", "b 1", "c 0"]);
}

#[test]
fn what_is_joined_must_be_partitioned_alike() {
    let mut job = Topology::builder("app");
    let table = job
        .stream("rows", Utf8)
        .key_by("rows", Partitions(2), (Utf8, Utf8), |row| (row.value, row.value))
        .map(|row| row.value.to_owned())
        .to_table("table", Text);
    job.stream("in", Utf8)
        .key_by("by", Partitions(3), (Utf8, Utf8), |line| (line.value, line.value))
        .join_table(&table, |_, row| row.clone())
        .to("out", Utf8, Utf8);
    let errors = job.build().expect_err("three and two").to_string();
    assert!(errors.contains("step `table` is reached by topics with different numbers of partitions"), "{errors}");
    assert!(errors.contains("`app-by-repartition` has 3"), "{errors}");
}

#[test]
fn an_aggregation_is_a_table_in_its_own_store() {
    let table = |emit| {
        let mut job = Topology::builder("app");
        let visits = job.keyed_stream("visits", Utf8, Utf8).count("visits", emit).as_table();
        let changes = |change: &processor::operator::Change<u64>| format!("{:?} {:?}", change.old, change.new);
        visits.changes().map(move |change| changes(&change.value)).to("changes", Utf8, Utf8);
        let names = job.table("names", "names", Utf8, Text);
        let both = visits.join(&names, |visits, name| format!("{name} {visits}"));
        both.map(|row| row.value.clone().unwrap_or_default()).to("both", Utf8, Utf8);
        job.keyed_stream("orders", Utf8, Utf8)
            .left_join_table(&visits, |_, visits| visits.copied().unwrap_or(0).to_string())
            .to("orders-out", Utf8, Utf8);
        TestDriver::new(job.build().expect("a valid job"))
    };
    let mut driver = table(Emit::EveryUpdate);
    driver.pipe("visits", Some("a"), "", 1);
    driver.pipe("visits", Some("a"), "", 2);
    driver.crash_at(CommitPoint::BeforeFlush);
    driver.commit();
    driver.pipe("names", Some("a"), "Ann", 3);
    driver.pipe("visits", Some("a"), "", 4);
    driver.pipe("orders", Some("a"), "", 5);
    driver.pipe("orders", Some("b"), "", 5);
    driver.crash_at(CommitPoint::AfterEndTxnSent);
    driver.settle();
    assert_eq!(out(&driver, "changes"), ["a None Some(1)", "a Some(1) Some(2)", "a Some(2) Some(3)"]);
    assert_eq!(out(&driver, "both"), ["a Ann 2", "a Ann 3"]);
    assert_eq!(out(&driver, "orders-out"), ["a 3", "b 0"]);
    assert_eq!((driver.store("visits").len(), driver.store("names").len()), (1, 1));

    // One change a commit, from the value before the transaction.
    let mut driver = table(Emit::OnUpdate);
    driver.pipe("visits", Some("a"), "", 1);
    driver.pipe("visits", Some("a"), "", 2);
    driver.pipe("orders", Some("a"), "", 3);
    driver.commit();
    driver.crash();
    driver.pipe("visits", Some("a"), "", 4);
    driver.pipe("visits", Some("a"), "", 5);
    driver.commit();
    driver.settle();
    assert_eq!(out(&driver, "changes"), ["a None Some(2)", "a Some(2) Some(4)"]);
    assert_eq!(out(&driver, "orders-out"), ["a 2"], "a look-up finds the present value");
}

#[test]
fn a_table_for_look_ups_alone_is_built_and_one_that_cannot_be_is_refused() {
    let mut job = Topology::builder("app");
    let sums = job.keyed_stream("numbers", Utf8, U64).sum("sums", Emit::OnUpdate, |number| number.value).as_table();
    job.keyed_stream("in", Utf8, Utf8).join_table(&sums, |_, sum| sum.to_string()).to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe_to("numbers", Route::ByKey, Some(b"a"), Some(&7_u64.to_be_bytes()), 1);
    driver.pipe("in", Some("a"), "", 2);
    driver.settle();
    assert_eq!(out(&driver, "out"), ["a 7"]);

    let mut job = Topology::builder("app");
    let lines = job.keyed_stream("in", Utf8, Utf8);
    let table = lines.clone().count("slow", Emit::Every(millis(100))).as_table();
    table.changes().map(|_| 0).to("out", Utf8, U64);
    let counts = lines.count("counts", Emit::OnUpdate);
    counts.clone().to("out", Utf8, U64);
    let _ = counts.as_table();
    let errors = job.build().expect_err("refused").0;
    let of = |name: &str| BuildError::NoTable { name: name.to_owned() };
    assert_eq!(errors, [of("slow"), of("counts")]);
}

#[test]
fn tables_are_joined_and_their_changes_are_rows() {
    let mut job = Topology::builder("app");
    let names = job.table("names", "names", Utf8, Text);
    let towns = job.table("towns", "towns", Utf8, Text);
    let both = |name: &String, town: &String| format!("{name} of {town}");
    names.join(&towns, both).to("inner", Utf8, Nullable(Text));
    let of = |name: &String, town: Option<&String>| format!("{name} of {}", town.map_or("?", String::as_str));
    names.left_join(&towns, of).to("left", Utf8, Nullable(Text));
    let any = |name: Option<&String>, town: Option<&String>| {
        format!("{} of {}", name.map_or("?", String::as_str), town.map_or("?", String::as_str))
    };
    names.outer_join(&towns, any).to_table("people", Text).changes().map(|c| c.value.new.clone()).to(
        "outer",
        Utf8,
        Nullable(Text),
    );
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("towns", Some("a"), "Rome", 1);
    driver.commit();
    driver.pipe("names", Some("a"), "Ann", 2);
    driver.crash_at(CommitPoint::AfterFlush);
    driver.commit();
    driver.pipe("names", Some("b"), "Bob", 3);
    driver.pipe("towns", Some("a"), "Oslo", 4);
    driver.commit();
    driver.crash();
    driver.pipe_to("towns", Route::ByKey, Some(b"a"), None, 5);
    driver.pipe_to("names", Route::ByKey, Some(b"a"), None, 6);
    driver.settle();
    assert_eq!(out(&driver, "inner"), ["a Ann of Rome", "a Ann of Oslo", "a -"]);
    assert_eq!(out(&driver, "left"), ["a Ann of Rome", "b Bob of ?", "a Ann of Oslo", "a Ann of ?", "a -"]);
    let outer = ["a ? of Rome", "a Ann of Rome", "b Bob of ?", "a Ann of Oslo", "a Ann of ?", "a -"];
    assert_eq!(out(&driver, "outer"), outer);
}

/// Makes the driver of a job that joins two streams in each of the three ways; a partner may be 5 ms earlier or 10
/// ms later.
fn joined() -> TestDriver {
    let mut job = Topology::builder("app");
    let bound = Watermark::bounded(millis(20)).never_idle();
    let left = job.keyed_stream("left", Utf8, Utf8).watermark(bound).map(|record| record.value.to_owned());
    let right = job.keyed_stream("right", Utf8, Utf8).watermark(bound).map(|record| record.value.to_owned());
    let window = JoinWindow::between(millis(5), millis(10));
    let text = |left: Option<&String>, right: Option<&String>| {
        format!("{}{}", left.map_or("-", String::as_str), right.map_or("-", String::as_str))
    };
    left.clone().join("inner", right.clone(), window, (Text, Text), move |l, r| text(Some(l), Some(r))).to(
        "inner-out",
        Utf8,
        Utf8,
    );
    left.clone()
        .left_join("leftish", right.clone(), window, (Text, Text), move |l, r| text(Some(l), r))
        .to("left-out", Utf8, Utf8);
    left.outer_join("outer", right, window, (Text, Text), text).to("outer-out", Utf8, Utf8);
    TestDriver::new(job.build().expect("a valid job"))
}

#[test]
fn streams_are_joined_within_a_span_and_those_without_partner_come_out_alone() {
    let mut driver = joined();
    for (topic, key, value, at) in [
        ("left", "a", "A", 100),
        ("right", "a", "x", 94),
        ("right", "a", "u", 95),
        ("right", "a", "v", 110),
        ("right", "a", "y", 111),
        ("right", "b", "z", 100),
        ("left", "a", "B", 111),
    ] {
        driver.pipe(topic, Some(key), value, at);
        driver.commit();
    }
    driver.crash();
    driver.pipe("left", Some("b"), "C", 130);
    driver.crash_at(CommitPoint::AfterOffsets);
    driver.commit();
    // The left side is at 110 now and the right one at 91: nothing expires before the right side advances.
    assert_eq!(out(&driver, "inner-out"), ["a Au", "a Av", "a Bv", "a By"]);
    assert_eq!(out(&driver, "left-out"), ["a Au", "a Av", "a Bv", "a By"]);
    driver.end_of_input();
    assert_eq!(out(&driver, "inner-out").len(), 4);
    assert_eq!(out(&driver, "left-out")[4..], ["b C-"]);
    let mut outer = out(&driver, "outer-out");
    outer.sort();
    assert_eq!(outer, ["a -x", "a Au", "a Av", "a Bv", "a By", "b -z", "b C-"]);
    assert_eq!(driver.store("outer-left"), []);
    assert_eq!(driver.store("outer-right"), []);
}

#[test]
fn a_record_behind_the_watermark_is_late_for_a_join() {
    let mut driver = joined();
    driver.pipe("left", Some("a"), "A", 200);
    driver.pipe("right", Some("a"), "x", 200);
    driver.settle();
    driver.pipe("left", Some("a"), "B", 179);
    driver.pipe("left", Some("a"), "C", 180);
    driver.settle();
    // The late record counts once in each of the three joins.
    assert_eq!(driver.status()[0].1.counters.late, 3);
    assert_eq!(out(&driver, "inner-out"), ["a Ax"]);
}

#[test]
fn only_the_first_of_a_key_comes_out_for_a_while() {
    let mut job = Topology::builder("app");
    job.keyed_stream("in", Utf8, Utf8).dedup("seen", millis(100)).to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (key, value, at) in [("a", "1", 10), ("a", "2", 20), ("b", "3", 30)] {
        driver.pipe("in", Some(key), value, at);
    }
    driver.commit();
    driver.crash();
    for (key, value, at) in [("a", "4", 109), ("b", "5", 110), ("a", "6", 110), ("a", "7", 112)] {
        driver.pipe("in", Some(key), value, at);
        driver.crash_at(CommitPoint::BeforeFlush);
        driver.commit();
    }
    driver.settle();
    assert_eq!(out(&driver, "out"), ["a 1", "b 3", "a 6"]);
    driver.pipe("in", Some("c"), "8", 1_000);
    driver.settle();
    assert_eq!(driver.store("seen").len(), 1, "the others are forgotten");
}

/// Makes the driver of a job that enriches clicks, whose event time is in their values, from a table of users.
fn enriched() -> TestDriver {
    let mut job = Topology::builder("app");
    let users = job.table("users", "users", Utf8, Text);
    let time = |value: &str| value.split('@').next_back().and_then(|at| at.parse().ok()).unwrap_or(0);
    job.keyed_stream("clicks", Utf8, Utf8)
        .timestamp(move |click| TimestampMs(time(click.value)))
        .left_join_table(&users, |click, user| format!("{} {}", click.value, user.map_or("?", String::as_str)))
        .to("out", Utf8, Utf8);
    TestDriver::new(job.build().expect("a valid job"))
}

fn values(driver: &TestDriver) -> Vec<String> {
    driver.read("out").iter().map(|record| record.value_str().to_owned()).collect()
}

#[test]
fn a_row_with_an_earlier_time_is_found_though_it_is_read_later() {
    let mut driver = enriched();
    // The worker reads all clicks before it reads the first row.
    for click in ["a@10", "b@20", "c@30", "d@40"] {
        driver.write_partition("clicks", 0, Some("key"), click, 999);
    }
    for (user, at) in [("Ann", 15), ("Bob", 30), ("Cid", 41)] {
        driver.write_partition("users", 0, Some("key"), user, at);
    }
    driver.run();
    driver.settle();
    assert_eq!(values(&driver), ["a@10 ?", "b@20 Ann", "c@30 Bob", "d@40 Bob"]);
}

#[test]
fn nothing_is_waited_for_where_that_is_switched_off() {
    let mut driver = enriched();
    driver.set_max_task_idle(None);
    driver.write_partition("clicks", 0, Some("key"), "a@10", 999);
    driver.write_partition("users", 0, Some("key"), "Ann", 5);
    driver.settle();
    assert_eq!(values(&driver), ["a@10 ?"]);
}

#[test]
fn an_input_that_is_at_its_end_is_waited_for_as_long_as_configured() {
    let mut driver = enriched();
    driver.set_max_task_idle(Some(millis(200)));
    driver.pipe("clicks", Some("key"), "a@10", 0);
    driver.advance_wall(millis(150));
    assert_eq!(values(&driver), [""; 0]);
    driver.pipe("users", Some("key"), "Ann", 5);
    driver.pipe("users", Some("key"), "Bob", 15);
    driver.advance_wall(millis(100));
    assert_eq!(values(&driver), ["a@10 Ann"], "the next row is later");
    driver.pipe("clicks", Some("key"), "b@20", 0);
    driver.advance_wall(millis(150));
    assert_eq!(values(&driver), ["a@10 Ann"], "another row may come before it");
    driver.advance_wall(millis(100));
    assert_eq!(values(&driver), ["a@10 Ann", "b@20 Bob"]);
    driver.pipe("clicks", Some("key"), "c@30", 0);
    driver.advance_wall(millis(20));
    assert_eq!(values(&driver).len(), 3, "users have brought nothing for long enough");
}

#[test]
fn an_input_with_a_full_queue_is_read_again_later() {
    let mut driver = enriched();
    let clicks: Vec<_> = (0..60).map(|number| format!("{number:050}@{}", 1_000 + number)).collect();
    clicks.iter().for_each(|click| driver.write_partition("clicks", 0, Some("key"), click, 0));
    (0..40).for_each(|at| driver.write_partition("users", 0, Some("key"), &format!("user{at}"), at));
    for round in 0..40 {
        // One record of each input at a time: the clicks wait for all users, and more of them than there is room for.
        driver.trickle(1);
        if round == 20 {
            driver.lose_answer(false);
            driver.commit();
        }
    }
    driver.settle();
    let expected: Vec<_> = clicks.iter().map(|click| format!("{click} user39")).collect();
    assert_eq!(values(&driver), expected, "each click once and in order");
}

#[test]
fn a_run_ends_though_its_last_batch_has_filled_a_queue() {
    let mut driver = enriched();
    // Two batches of clicks, together more than a queue takes, and the last one more than half of that.
    let clicks: Vec<_> = (0..9).map(|number| format!("{number:0300}@10")).collect();
    clicks.iter().for_each(|click| driver.write_partition("clicks", 0, Some("key"), click, 0));
    driver.end_of_input();
    assert_eq!(values(&driver).len(), 9);
    assert!(driver.is_finished(), "{:?}", driver.reports());
}

#[test]
fn records_that_wait_survive_an_abort_and_a_crash() {
    let mut driver = enriched();
    driver.set_max_task_idle(Some(millis(500)));
    for at in 0..10 {
        driver.pipe("users", Some("key"), &format!("user{at}"), at * 10);
        driver.pipe("clicks", Some("key"), &format!("click@{}", at * 10 + 5), 0);
        match at {
            3 => driver.lose_answer(false),
            5 => driver.lose_answer(true),
            7 => driver.crash_at(CommitPoint::AfterFlush),
            _ => {}
        }
        driver.commit();
    }
    assert_eq!(values(&driver).len(), 9, "the last click waits for the next user");
    driver.crash();
    driver.advance_wall(millis(600));
    let expected: Vec<_> = (0..10).map(|at| format!("click@{} user{at}", at * 10 + 5)).collect();
    assert_eq!(values(&driver), expected);
}

/// Marks are not held up by records that wait, and so event time goes on.
#[test]
fn a_side_without_records_lets_a_join_behind_shuffles_go_on() {
    let mut job = Topology::builder("app");
    let bound = Watermark::bounded(millis(0)).never_idle();
    let [left, right] = ["left", "right"].map(|topic| {
        job.stream(topic, Utf8)
            .watermark(bound)
            .filter(|record| !record.value.is_empty())
            .key_by(&format!("by-{topic}"), Partitions(1), (Utf8, Utf8), |record| (record.value, record.value))
            .map(|record| record.value.to_owned())
    });
    left.left_join("pairs", right, JoinWindow::within(millis(10)), (Text, Text), |left, right| {
        format!("{left}{}", right.map_or("-", String::as_str))
    })
    .to("out", Utf8, Utf8);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for (topic, value, at) in [("left", "a", 100), ("right", "", 90), ("left", "b", 200), ("right", "", 150)] {
        driver.pipe(topic, None, value, at);
        driver.settle();
    }
    assert_eq!(values(&driver), ["a-"], "the right side is at 150");
}

#[test]
fn a_look_up_finds_what_its_own_record_has_made_whatever_else_takes_the_changes() {
    let found = |has_changes: bool| {
        let mut job = Topology::builder("app");
        let visits = job.keyed_stream("visits", Utf8, Utf8);
        let counts = visits.clone().count("counts", Emit::EveryUpdate).as_table();
        visits.join_table(&counts, |_, count| format!("visit {count}")).to("out", Utf8, Utf8);
        if has_changes {
            counts.changes().map(|change| change.value.new).to("counts", Utf8, Nullable(U64));
        }
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        for at in 1..=3 {
            driver.pipe("visits", Some("ann"), "", at);
        }
        driver.settle();
        out(&driver, "out")
    };
    assert_eq!(found(false), ["ann visit 1", "ann visit 2", "ann visit 3"]);
    assert_eq!(found(true), found(false));
}

#[test]
fn the_deletion_of_a_row_that_was_forgotten_reaches_the_joined_rows() {
    let mut job = Topology::builder("app");
    let names = job.table("names", "names", Utf8, Text);
    let towns = job.table("towns", "towns", Utf8, Text);
    names.join(&towns, |name, town| format!("{name} of {town}")).to("out", Utf8, Nullable(Text));
    job.ttl("names", Ttl::event(millis(50)));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("names", Some("a"), "Ann", 1);
    driver.pipe("towns", Some("a"), "Bath", 2);
    driver.settle();
    driver.pipe_to("names", Route::ByKey, Some(b"a"), None, 300);
    driver.settle();
    // A row that never was is no row that may have been forgotten, in a table that forgets none.
    driver.pipe_to("towns", Route::ByKey, Some(b"b"), None, 301);
    driver.settle();
    assert_eq!(out(&driver, "out"), ["a Ann of Bath", "a -"]);
}
