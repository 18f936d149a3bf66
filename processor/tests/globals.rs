//! Global tables, under the test driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use processor::driver::{CommitPoint, TestDriver};
use processor::operator::{GlobalState, MapState, Process, Scope, ValueState};
use processor::output::Route;
use processor::{ErrorKind, ErrorPolicy, Rec, Serde, SerdeError, Text, Topology, U64, Utf8};

fn out(driver: &TestDriver, topic: &str) -> Vec<String> {
    driver.read(topic).iter().map(|record| record.value_str().to_owned()).collect()
}

/// Makes a job that joins lines such as `DE 7` with the countries that they begin with, in both ways.
fn job() -> Topology {
    let mut job = Topology::builder("app");
    let countries = job.global_table("countries", Utf8, Text);
    let orders = job.stream("orders", Utf8);
    orders
        .clone()
        .join_global(&countries, |order| order.value.get(..2), |order, name| format!("{} {name}", order.value))
        .to("inner", processor::Raw, Utf8);
    orders
        .left_join_global(
            &countries,
            |order| order.value.get(..2),
            |order, name| format!("{} {}", order.value, name.map_or("?", String::as_str)),
        )
        .to("left", processor::Raw, Utf8);
    job.build().expect("a valid job")
}

fn joined() -> TestDriver {
    TestDriver::with_partitions(job(), &[("countries", 3), ("orders", 2)])
}

#[test]
fn a_stream_finds_rows_by_any_key_in_every_task() {
    let mut driver = joined();
    driver.pipe("countries", Some("DE"), "Germany", 1);
    driver.pipe("countries", Some("FR"), "France", 1);
    driver.pipe_partition("orders", 0, None, "DE 1", 2);
    driver.pipe_partition("orders", 1, None, "DE 2", 2);
    driver.pipe_partition("orders", 1, None, "IT 3", 2);
    driver.pipe_partition("orders", 1, None, "X", 2);
    driver.settle();
    // Each partition of the orders has its own task.
    assert_eq!(out(&driver, "inner"), ["DE 1 Germany", "DE 2 Germany"]);
    assert_eq!(out(&driver, "left"), ["DE 1 Germany", "DE 2 Germany", "IT 3 ?", "X ?"]);
    // A change brings nothing out, and null deletes a row.
    driver.pipe("countries", Some("FR"), "Gaul", 3);
    driver.pipe_to("countries", Route::ByKey, Some(b"DE"), None, 3);
    driver.pipe_partition("orders", 0, None, "DE 4", 1);
    driver.pipe_partition("orders", 0, None, "FR 5", 1);
    driver.settle();
    assert_eq!(out(&driver, "inner"), ["DE 1 Germany", "DE 2 Germany", "FR 5 Gaul"]);
}

#[test]
fn a_task_begins_when_the_table_has_been_read() {
    let mut driver = joined();
    (0..100).for_each(|number| driver.pipe("countries", Some(&format!("{number:02}")), "first", number));
    driver.pipe("countries", Some("DE"), "Germany", 1);
    driver.pipe_partition("orders", 0, None, "DE 1", 2);
    driver.crash_at(CommitPoint::AfterFlush);
    driver.settle();
    driver.crash();
    assert_eq!(out(&driver, "left"), ["DE 1 Germany"]);
    // The table is read slowly, and the orders wait for it.
    driver.set_restore_pace(Some(10));
    driver.crash();
    driver.pipe_partition("orders", 0, None, "DE 2", 3);
    driver.advance_wall(std::time::Duration::from_secs(3));
    driver.settle();
    assert_eq!(out(&driver, "left").len(), 1);
    driver.advance_wall(std::time::Duration::from_secs(10));
    driver.settle();
    assert_eq!(out(&driver, "left"), ["DE 1 Germany", "DE 2 Germany"]);
}

#[test]
fn a_program_reads_the_table_once_a_worker_has() {
    let mut driver = joined();
    assert_eq!(driver.read_global("countries"), Some(Vec::new()));
    driver.pipe("countries", Some("DE"), "Germany", 1);
    driver.pipe("countries", Some("FR"), "France", 1);
    driver.pipe_to("countries", Route::ByKey, Some(b"FR"), None, 2);
    assert_eq!(driver.read_global("countries"), Some(vec![(b"DE".to_vec(), b"Germany".to_vec())]));
    driver.set_restore_pace(Some(1));
    driver.crash();
    assert_eq!(driver.read_global("countries"), None, "it is read anew");
    driver.advance_wall(std::time::Duration::from_secs(60));
    driver.settle();
    assert_eq!(driver.read_global("countries").map(|rows| rows.len()), Some(1));
}

#[test]
fn a_row_that_cannot_be_decoded_stops_the_job_or_is_left_out() {
    for policy in [ErrorPolicy::Fail, ErrorPolicy::Skip] {
        let mut job = Topology::builder("app");
        job.on_error(ErrorKind::Decode, policy);
        let numbers = job.global_table("numbers", Utf8, U64);
        job.stream("in", Utf8)
            .left_join_global(&numbers, |line| Some(line.value), |_, number| format!("{number:?}"))
            .to("out", processor::Raw, Utf8);
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.pipe_to("numbers", Route::ByKey, Some(b"a"), Some(&7_u64.to_be_bytes()), 1);
        driver.pipe("numbers", Some("a"), "eight", 2);
        driver.pipe("in", None, "a", 3);
        driver.settle();
        match policy {
            ErrorPolicy::Fail => {
                let failure = driver.fatal().expect("the job stops").to_string();
                assert!(failure.contains("topic numbers, partition 0, offset 1"), "{failure}");
            }
            ErrorPolicy::Skip => assert_eq!(out(&driver, "out"), ["Some(7)"]),
        }
    }
}

/// Counts the lines of a key, and puts out those rules that the count has reached.
#[derive(Clone)]
struct Alarm {
    rules: GlobalState<Utf8, u64>,
    lines: ValueState<u64>,
}

impl Process<Utf8, Utf8> for Alarm {
    type Out = String;

    fn record(&mut self, line: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        let count = self.lines.update(
            scope,
            || 0,
            |count| {
                *count += 1;
                *count
            },
        );
        let mut reached = Vec::new();
        self.rules.each(scope, |name, limit| {
            if *limit == count {
                reached.push(format!("{} {name}", line.key));
            }
        });
        let all = self.rules.get(scope, &"all").is_some();
        reached.into_iter().filter(|_| !all).for_each(|alarm| scope.emit(alarm));
    }
}

/// Rules that every task knows, beside state of a key: broadcast state, as Flink calls it.
#[test]
fn a_step_reads_rules_beside_its_own_state() {
    let mut job = Topology::builder("app");
    let rules = job.global_table("rules", Utf8, U64);
    job.keyed_stream("lines", Utf8, Utf8)
        .process("alarms", |uses| Alarm { rules: uses.global(&rules), lines: uses.value("lines", U64) })
        .to("out", Utf8, Utf8);
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("lines", 2)]);
    driver.pipe_to("rules", Route::ByKey, Some(b"two"), Some(&2_u64.to_be_bytes()), 0);
    driver.pipe_to("rules", Route::ByKey, Some(b"three"), Some(&3_u64.to_be_bytes()), 0);
    for line in 0..4 {
        driver.pipe("lines", Some("a"), "", line);
        driver.crash();
        driver.settle();
    }
    driver.pipe("lines", Some("b"), "", 9);
    driver.pipe_to("rules", Route::ByKey, Some(b"two"), None, 9);
    driver.pipe("lines", Some("b"), "", 9);
    driver.settle();
    assert_eq!(out(&driver, "out"), ["a two", "a three"]);
}

/// Text whose format can be had only for every fourth question.
#[derive(Clone, Default)]
struct Slow(Arc<AtomicU32>);

impl Slow {
    fn ask(&self) -> Result<(), SerdeError> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        if asked % 4 == 3 { Ok(()) } else { Err(SerdeError::Unavailable("nobody answers".to_owned())) }
    }
}

impl Serde for Slow {
    type View = Utf8;

    fn decode<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, SerdeError> {
        self.ask().and_then(|()| Utf8.decode(bytes))
    }

    fn encode(&self, value: &&str, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.ask().and_then(|()| Utf8.encode(value, out))
    }
}

/// Looks up a row, and how often it has done so with this word.
#[derive(Clone)]
struct LookUp {
    rows: GlobalState<Slow, String>,
    counts: MapState<Slow, u64>,
    is_of_rows: bool,
}

impl Process<Utf8, Utf8> for LookUp {
    type Out = String;

    fn record(&mut self, line: &Rec<'_, Utf8, Utf8>, scope: &mut Scope<'_, Utf8, String>) {
        if self.is_of_rows {
            let row = self.rows.get(scope, &line.value);
            scope.emit(row.unwrap_or_default());
        } else {
            self.counts.put(scope, &line.value, 7);
            scope.emit("put".to_owned());
        }
    }
}

/// A key that cannot be encoded for now may well be that of a row.
#[test]
fn a_row_whose_key_cannot_be_had_for_now_is_found_later() {
    let mut job = Topology::builder("app");
    // Not even a job that leaves out what fails leaves such a record out.
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip).on_error(ErrorKind::Produce, ErrorPolicy::Skip);
    let rows = job.global_table("rows", Slow::default(), Text);
    job.stream("in", Utf8).join_global(&rows, |line| Some(line.value), |_, row| row.clone()).to(
        "joined",
        processor::Raw,
        Text,
    );
    for is_of_rows in [true, false] {
        let name = if is_of_rows { "got" } else { "put" };
        job.keyed_stream(format!("{name}-in"), Utf8, Utf8)
            .process(name, |uses| LookUp {
                rows: uses.global(&rows),
                counts: uses.map(&format!("{name}-counts"), Slow::default(), U64),
                is_of_rows,
            })
            .to(&format!("{name}-out"), Utf8, Text);
    }
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("rows", Some("a"), "Ann", 1);
    driver.settle();
    for (topic, key) in [("in", None), ("got-in", Some("k")), ("put-in", Some("k"))] {
        driver.pipe(topic, key, "a", 2);
        (0..20).for_each(|_| driver.settle());
    }
    assert_eq!((driver.failure(), driver.fatal().map(ToString::to_string)), (None, None));
    assert_eq!(
        (out(&driver, "joined"), out(&driver, "got-out"), out(&driver, "put-out")),
        (vec!["Ann".to_owned()], vec!["Ann".to_owned()], vec!["put".to_owned()])
    );
}
