//! Joins of tables by a foreign key, under the test driver.

use processor::driver::{CommitPoint, TestDriver};
use processor::output::Route;
use processor::{Nullable, Partitions, Text, Topology, U64, Utf8};

fn out(driver: &TestDriver, topic: &str) -> Vec<String> {
    let value =
        |value: Option<&[u8]>| value.map_or("-".to_owned(), |value| String::from_utf8_lossy(value).into_owned());
    let records = driver.read(topic);
    records.iter().map(|record| format!("{} {}", record.key_str(), value(record.value.as_deref()))).collect()
}

/// The customer of an order such as `ann:7`.
#[expect(clippy::ptr_arg, reason = "it is called with the rows of a table, which are strings")]
fn customer(order: &String) -> Option<&str> {
    order.split_once(':').map(|(customer, _)| customer)
}

/// Makes the driver of a job that joins orders with the customers that they name, in both ways.
fn joined() -> TestDriver {
    let mut job = Topology::builder("app");
    let customers = job.table("customers", "customers", Utf8, Text);
    let orders = job.table("orders", "orders", Utf8, Text);
    let across = (Partitions(3), Text, Text);
    orders.join_foreign("inner", &customers, across, customer, |order, name| format!("{order}@{name}")).to(
        "inner-out",
        Utf8,
        Nullable(Text),
    );
    orders
        .left_join_foreign("left", &customers, across, customer, |order, name| {
            format!("{order}@{}", name.map_or("?", String::as_str))
        })
        .to("left-out", Utf8, Nullable(Text));
    TestDriver::with_partitions(job.build().expect("a valid job"), &[("customers", 3), ("orders", 2)])
}

fn set(driver: &mut TestDriver, topic: &str, key: &str, value: Option<&str>, at: i64) {
    driver.pipe_to(topic, Route::ByKey, Some(key.as_bytes()), value.map(str::as_bytes), at);
    driver.settle();
}

#[test]
fn a_change_of_either_side_brings_out_its_results() {
    let mut driver = joined();
    set(&mut driver, "orders", "o1", Some("ann:7"), 1);
    set(&mut driver, "customers", "ann", Some("Ann"), 2);
    set(&mut driver, "orders", "o2", Some("bob:8"), 3);
    set(&mut driver, "orders", "o3", Some("ann:9"), 4);
    driver.crash();
    // Each order of the customer comes out again.
    set(&mut driver, "customers", "ann", Some("Anna"), 5);
    set(&mut driver, "customers", "ann", None, 6);
    set(&mut driver, "customers", "cid", Some("Cid"), 7);
    let inner = ["o1 ann:7@Ann", "o3 ann:9@Ann", "o1 ann:7@Anna", "o3 ann:9@Anna", "o1 -", "o3 -"];
    assert_eq!(out(&driver, "inner-out"), inner);
    let left = [
        "o1 ann:7@?",
        "o1 ann:7@Ann",
        "o2 bob:8@?",
        "o3 ann:9@Ann",
        "o1 ann:7@Anna",
        "o3 ann:9@Anna",
        "o1 ann:7@?",
        "o3 ann:9@?",
    ];
    assert_eq!(out(&driver, "left-out"), left);
}

#[test]
fn a_row_that_points_elsewhere_takes_its_result_along() {
    let mut driver = joined();
    set(&mut driver, "customers", "ann", Some("Ann"), 1);
    set(&mut driver, "orders", "o1", Some("ann:7"), 2);
    driver.crash_at(CommitPoint::AfterFlush);
    set(&mut driver, "orders", "o1", Some("bob:7"), 3);
    set(&mut driver, "customers", "ann", Some("Anna"), 4);
    set(&mut driver, "customers", "bob", Some("Bob"), 5);
    // To no customer, back to one, and gone.
    set(&mut driver, "orders", "o1", Some("nobody"), 6);
    driver.crash();
    set(&mut driver, "orders", "o1", Some("ann:7"), 7);
    set(&mut driver, "orders", "o1", None, 8);
    set(&mut driver, "customers", "ann", Some("Ann"), 9);
    set(&mut driver, "orders", "o1", None, 10);
    assert_eq!(out(&driver, "inner-out"), ["o1 ann:7@Ann", "o1 -", "o1 bob:7@Bob", "o1 -", "o1 ann:7@Anna", "o1 -"]);
    let left = ["o1 ann:7@Ann", "o1 bob:7@?", "o1 bob:7@Bob", "o1 nobody@?", "o1 ann:7@Anna", "o1 -"];
    assert_eq!(out(&driver, "left-out"), left);
    assert_eq!(driver.store("inner-subscribers"), []);
    assert_eq!(driver.store("left-subscribers"), []);
}

#[test]
fn the_number_of_a_row_that_is_gone_is_forgotten_with_the_watermark() {
    let mut driver = joined();
    set(&mut driver, "orders", "o1", Some("ann:7"), 1_000);
    set(&mut driver, "orders", "o1", None, 1_001);
    assert_eq!(driver.store("inner").len(), 1);
    driver.end_of_input();
    assert_eq!((driver.store("inner"), driver.store("inner-ends")), (vec![], vec![]));
}

#[test]
fn a_row_may_point_to_another_row_of_its_table() {
    let mut job = Topology::builder("app");
    let people = job.table("people", "people", Utf8, Text);
    let managers = people
        .changes()
        .key_by("managers", Partitions(2), (Utf8, Nullable(Text)), |person| (person.key, person.value.new));
    people
        .join_foreign(
            "managed",
            &managers.to_table("manager-rows", Text),
            (Partitions(2), Text, Text),
            |person| person.split_once(':').map(|(_, manager)| manager),
            |person, manager| format!("{person} {manager}"),
        )
        .to("out", Utf8, Nullable(Text));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    set(&mut driver, "people", "a", Some("Ann:b"), 1);
    set(&mut driver, "people", "b", Some("Bob:c"), 2);
    set(&mut driver, "people", "b", Some("Bert"), 3);
    assert_eq!(out(&driver, "out"), ["a Ann:b Bob:c", "a Ann:b Bert"]);
}

#[test]
fn tables_of_the_same_tasks_are_refused() {
    let mut job = Topology::builder("app");
    let people = job.table("people", "people", Utf8, Text);
    people
        .join_foreign("managed", &people, (Partitions(2), Text, Text), customer, |one, other| format!("{one}{other}"))
        .to("out", Utf8, Nullable(Text));
    let errors = job.build().expect_err("a circle").to_string();
    assert!(errors.contains("through topic `app-managed-subscription-repartition` records come back"), "{errors}");
}

#[test]
fn the_shuffle_has_as_many_partitions_as_the_other_table() {
    let mut job = Topology::builder("app");
    let rows = job.stream("rows", Utf8).key_by("by-row", Partitions(2), (Utf8, Utf8), |row| (row.value, row.value));
    let rows = rows.map(|row| row.value.to_owned()).to_table("rows", Text);
    let orders = job.table("orders", "orders", Utf8, Text);
    orders.join_foreign("both", &rows, (Partitions(3), Text, Text), customer, |one, other| format!("{one}{other}")).to(
        "out",
        Utf8,
        Nullable(Text),
    );
    let errors = job.build().expect_err("three and two").to_string();
    assert!(errors.contains("`app-both-subscription-repartition` has 3"), "{errors}");
}

#[test]
fn a_row_that_points_nowhere_may_have_a_key_of_another_format() {
    let mut job = Topology::builder("app");
    let customers = job.table("customers", "customers", U64, Text);
    let orders = job.table("orders", "orders", Utf8, Text);
    orders
        .left_join_foreign(
            "left",
            &customers,
            (Partitions(2), Text, Text),
            |order| order.parse().ok(),
            |order, name| format!("{order}@{}", name.map_or("?", String::as_str)),
        )
        .to("out", Utf8, Nullable(Text));
    let topology = job.build().expect("a valid job");
    let mut driver = TestDriver::with_partitions(topology, &[("customers", 2), ("orders", 1)]);
    driver.pipe_to("customers", Route::ByKey, Some(&7_u64.to_be_bytes()), Some(b"Cid"), 1);
    set(&mut driver, "orders", "o1", Some("nobody"), 2);
    set(&mut driver, "orders", "o1", Some("7"), 3);
    set(&mut driver, "orders", "o1", Some("nobody"), 4);
    set(&mut driver, "orders", "o1", None, 5);
    assert_eq!(driver.failure(), None);
    assert_eq!(out(&driver, "out"), ["o1 nobody@?", "o1 7@Cid", "o1 nobody@?", "o1 -"]);
}
