//! Outputs outside of Kafka under the test driver: ids, batches, order, failures, commits, crashes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kafka_wire::rng::Rng;
use processor::driver::{CommitPoint, Faults, TestClock, TestDriver};
use processor::error::ProcessError;
use processor::output::Route;
use processor::topology::Builder;
use processor::window::JoinWindow;
use processor::{BatchOptions, CallOptions, Emit, Outgoing, Raw, SinkError, Text, Topology, Tumbling, Utf8, Watermark};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A database that knows which ids it has.
#[derive(Clone, Default)]
struct Database {
    clock: TestClock,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// The rows by their ids, in the order in which they were inserted.
    rows: Vec<(String, String)>,
    /// The ids of each batch, those of batches that were offered again too.
    batches: Vec<Vec<String>>,
    /// The time that each batch takes.
    takes: u64,
    /// The error of the next batches.
    error: Option<SinkError>,
}

impl Database {
    async fn insert(self, batch: Arc<[Outgoing<String>]>) -> Result<(), SinkError> {
        let id = |row: &Outgoing<String>| row.id.as_ref().map_or_else(String::new, ToString::to_string);
        let takes = {
            let mut inner = self.inner();
            inner.batches.push(batch.iter().map(id).collect());
            inner.takes
        };
        if takes > 0 {
            self.clock.sleep(millis(takes)).await;
        }
        let mut inner = self.inner();
        if let Some(error) = inner.error.clone() {
            return Err(error);
        }
        for row in &*batch {
            let id = id(row);
            // As INSERT .. ON CONFLICT (id) DO NOTHING does it; rows without an id are all new.
            if id.is_empty() || !inner.rows.iter().any(|(known, _)| *known == id) {
                inner.rows.push((id, row.value.clone()));
            }
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic")
    }

    fn values(&self) -> Vec<String> {
        self.inner().rows.iter().map(|(_, value)| value.clone()).collect()
    }
}

/// A job that writes each word of its lines to a database.
fn driver(options: BatchOptions) -> (TestDriver, Database) {
    let database = Database::default();
    let of_job = database.clone();
    let mut job = Topology::builder("app");
    let words = job
        .stream("lines", Utf8)
        .flat_map_values(|line| line.value.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.to_outside("rows", options, move |batch| of_job.clone().insert(batch));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&database.clock);
    (driver, database)
}

fn write(driver: &mut TestDriver, lines: &[&str]) {
    lines.iter().for_each(|line| driver.write_partition("lines", 0, None, line, 0));
    driver.run();
}

#[test]
fn a_result_is_named_after_its_record_and_batches_are_full_or_end_with_a_commit() {
    let (mut driver, database) = driver(BatchOptions::of(3));
    write(&mut driver, &["a b", "", "c d"]);
    assert_eq!(database.inner().batches, [["lines-0-0-0", "lines-0-0-1", "lines-0-2-0"]]);
    driver.commit();
    assert_eq!(database.inner().batches[1..], [["lines-0-2-1"]], "the rest, before the commit");
    driver.commit();
    assert_eq!(database.inner().batches.len(), 2, "nothing is nothing to pass on");
    assert_eq!(database.values(), ["a", "b", "c", "d"]);
    assert_eq!(driver.status()[0].1.counters.records_out, 4);
}

#[test]
fn what_a_crash_repeats_has_the_same_ids() {
    let points = [
        CommitPoint::BeforeFlush,
        CommitPoint::AfterFlush,
        CommitPoint::AfterOffsets,
        CommitPoint::AfterEndTxnSent,
        CommitPoint::AfterCommit,
    ];
    let (mut driver, database) = driver(BatchOptions::of(2));
    let mut expected = Vec::new();
    let faults = points.map(Some).into_iter().chain([None; 3]);
    for (round, point) in faults.enumerate() {
        let line = format!("{round}a {round}b {round}c");
        expected.extend(line.split(' ').map(str::to_owned));
        write(&mut driver, &[&line]);
        match point {
            Some(point) => driver.crash_at(point),
            None if round == 5 => driver.lose_answer(false),
            None if round == 6 => driver.lose_answer(true),
            None => driver.crash(),
        }
        driver.commit();
        driver.settle();
    }
    assert_eq!(driver.crash_count(), 6);
    assert_eq!(database.values(), expected);
    assert!(database.inner().batches.len() > 12, "some came twice: {:?}", database.inner().batches);
}

#[test]
fn a_commit_waits_until_the_output_has_taken_its_records() {
    let (mut driver, database) = driver(BatchOptions::of(100));
    database.inner().takes = 500;
    write(&mut driver, &["a"]);
    driver.commit();
    driver.advance_wall(millis(400));
    assert_eq!((database.inner().batches.len(), driver.commit_count()), (1, 0));
    driver.advance_wall(millis(200));
    assert_eq!((database.values().len(), driver.commit_count()), (1, 1));
}

#[test]
fn batches_come_one_after_the_other_and_hold_the_input_back() {
    let (mut driver, database) = driver(BatchOptions::of(1));
    database.inner().takes = 50;
    write(&mut driver, &["a b", "c"]);
    assert_eq!(database.inner().batches.len(), 1);
    write(&mut driver, &["d"]);
    driver.advance_wall(millis(60));
    assert_eq!(database.inner().batches.len(), 2, "the next one has begun");
    driver.advance_wall(millis(1_000));
    assert_eq!(database.values(), ["a", "b", "c", "d"]);
}

#[test]
fn an_output_that_is_not_available_is_tried_until_it_is() {
    let (mut driver, database) = driver(BatchOptions::of(10).timeout(millis(100)).attempts(2, millis(10)));
    database.inner().error = Some(SinkError::Unavailable("starting up".to_owned()));
    write(&mut driver, &["a"]);
    driver.advance_wall(millis(1_000));
    assert!(driver.fatal().is_none(), "{:?}", driver.fatal());
    assert!(database.inner().batches.len() >= 4, "again, also by new workers: {:?}", database.inner().batches);
    database.inner().error = None;
    driver.advance_wall(millis(200));
    assert_eq!((database.values(), driver.commit_count()), (vec!["a".to_owned()], 1));
    // One that does not answer counts as one that is not available.
    database.inner().takes = 10_000;
    write(&mut driver, &["b"]);
    driver.advance_wall(millis(1_000));
    assert!(driver.fatal().is_none() && database.values().len() == 1);
    database.inner().takes = 0;
    driver.advance_wall(millis(1_000));
    assert_eq!(database.values(), ["a", "b"]);
}

#[test]
fn an_output_that_refuses_a_record_ends_the_job() {
    let (mut driver, database) = driver(BatchOptions::of(10));
    let cause = SinkError::Refused("value too long".to_owned());
    database.inner().error = Some(cause.clone());
    write(&mut driver, &["a"]);
    driver.commit();
    let failure = driver.failure().expect("nobody can mend that").clone();
    assert_eq!(failure, ProcessError::NotTaken { step: "rows".to_owned(), attempts: 1, cause });
    assert_eq!(failure.to_string(), "step `rows`: its output, tried once, refuses the records: value too long");
    assert_eq!(driver.commit_count(), 0);
}

#[test]
fn results_of_windows_and_of_commits_have_no_id() {
    for emit in [Emit::OnClose, Emit::OnUpdate] {
        let database = Database::default();
        let of_job = database.clone();
        let mut job = Topology::builder("app");
        job.keyed_stream("in", Utf8, Utf8)
            .watermark(Watermark::default())
            .window(Tumbling::of(millis(10)))
            .count("counts", emit)
            .map(|count| format!("{} {} {}", count.key, count.window.start, count.value))
            .to_outside("rows", BatchOptions::of(10), move |batch| of_job.clone().insert(batch));
        let mut driver = TestDriver::new(job.build().expect("a valid job"));
        driver.pipe_to("in", Route::ByKey, Some(b"k"), Some(b"v"), 1);
        driver.pipe_to("in", Route::ByKey, Some(b"k"), Some(b"v"), 2);
        driver.end_of_input();
        assert!(driver.is_finished());
        let last = database.inner().rows.last().cloned();
        assert_eq!(last, Some((String::new(), "k 0 2".to_owned())), "{emit:?}");
    }
}

/// Several workers, which die, pause, lose their tasks without knowing it, and come back.
#[test]
fn under_random_schedules_each_record_has_a_row() {
    for seed in 0..300 {
        let (mut driver, database) = driver(BatchOptions::of(3).timeout(millis(80)).attempts(5, millis(5)));
        driver.add_worker();
        let mut rng = Rng::from_seed(seed);
        let mut expected = BTreeMap::new();
        for _ in 0..600 {
            if rng.below(10) == 0 {
                let (number, value) = (expected.len() as u64, format!("v{}", expected.len()));
                driver.write_partition("lines", 0, None, &value, 0);
                expected.insert(format!("lines-0-{number}-0"), value);
            }
            let mut inner = database.inner();
            inner.takes = rng.below(20);
            let error = SinkError::Unavailable("no connection".to_owned());
            inner.error = Some(error).filter(|_| rng.below(20) == 0);
            drop(inner);
            driver.step(&mut rng, Faults::All);
        }
        database.inner().error = None;
        driver.finish();
        // The group notices only now that a worker has died.
        driver.advance_wall(Duration::from_secs(90));
        driver.settle();
        assert!(driver.fatal().is_none(), "seed {seed}: {:?}", driver.fatal());
        assert_eq!(database.inner().rows.iter().cloned().collect::<BTreeMap<_, _>>(), expected, "seed {seed}");
    }
}

#[test]
fn a_topic_that_is_read_twice_gives_no_unique_ids() {
    let mut job = Topology::builder("app");
    let [left, right] = [job.stream("in", Utf8), job.stream("in", Utf8)];
    let done = |_| async { Ok(()) };
    let merged = left.map(|line| line.value.to_owned()).map(|line| line.value.clone());
    let other = right.map(|line| line.value.to_owned()).map(|line| line.value.clone());
    merged.merge(other).to_outside("rows", BatchOptions::of(0), done);
    let errors = job.build().expect_err("two errors").to_string();
    assert!(errors.contains("step `rows`: topic `in` reaches it by two streams"), "{errors}");
    assert!(errors.contains("step `rows`: at least one call must be allowed"), "{errors}");
}

/// The rows of a job that ends in a database, for records `a` of a topic `l` and `b` of a topic `r`.
fn rows(declare: impl FnOnce(&mut Builder, Database)) -> Vec<(String, String)> {
    let database = Database::default();
    let mut job = Topology::builder("app");
    declare(&mut job, database.clone());
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.use_clock(&database.clock);
    driver.pipe("l", Some("k"), "a", 10);
    driver.settle();
    driver.pipe("r", Some("k"), "b", 11);
    driver.settle();
    let inner = database.inner();
    inner.rows.clone()
}

#[test]
fn results_that_come_out_at_this_or_that_record_of_several_topics_have_no_id() {
    let pairs = rows(|job, database| {
        let [l, r] = ["l", "r"].map(|topic| job.keyed_stream(topic, Utf8, Utf8).map(|record| record.value.to_owned()));
        l.join("pairs", r, JoinWindow::within(millis(100)), (Text, Text), |one, other| format!("{one}{other}"))
            .to_outside("rows", BatchOptions::of(1), move |batch| database.clone().insert(batch));
    });
    assert_eq!(pairs, [(String::new(), "ab".to_owned())]);
    let joined = rows(|job, database| {
        let [l, r] = ["l", "r"].map(|topic| job.table(topic, topic, Utf8, Text));
        l.join(&r, |one, other| format!("{one}{other}")).filter_map(|row| row.value.clone()).to_outside(
            "rows",
            BatchOptions::of(1),
            move |batch| database.clone().insert(batch),
        );
    });
    assert_eq!(joined, [(String::new(), "ab".to_owned())]);
    let first_of_two = rows(|job, database| {
        let [l, r] = ["l", "r"].map(|topic| job.keyed_stream(topic, Utf8, Utf8).map(|record| record.value.to_owned()));
        l.merge(r)
            .dedup("first", millis(100))
            .to_outside("rows", BatchOptions::of(1), move |batch| database.clone().insert(batch));
    });
    assert_eq!(first_of_two, [(String::new(), "a".to_owned())]);
    let first_of_each = rows(|job, database| {
        let [l, r] = ["l", "r"].map(|topic| {
            let values = job.keyed_stream(topic, Utf8, Utf8).map(|record| record.value.to_owned());
            values.dedup(&format!("first-{topic}"), millis(100))
        });
        l.merge(r).to_outside("rows", BatchOptions::of(1), move |batch| database.clone().insert(batch));
    });
    let row = |topic: &str, value: &str| (format!("{topic}-0-0-0"), value.to_owned());
    assert_eq!(first_of_each, [row("l", "a"), row("r", "b")], "the records of one topic come in one order");
}

#[test]
fn a_record_that_looks_rows_up_keeps_its_id() {
    let found = rows(|job, database| {
        let users = job
            .keyed_stream("l", Utf8, Text)
            .async_map("enrich", CallOptions::unordered(1), |name| async move { Ok::<_, String>(name) })
            .to_table("users", Text);
        job.keyed_stream("r", Utf8, Utf8)
            .join_table(&users, |order, user| format!("{} of {user}", order.value))
            .to_outside("rows", BatchOptions::of(1), move |batch| database.clone().insert(batch));
    });
    assert_eq!(found, [("r-0-0-0".to_owned(), "b of a".to_owned())]);
    // Rows of the topic of the records itself: one of the two ways is a look-up.
    let own = rows(|job, database| {
        let rows = job.keyed_stream("r", Utf8, Text).to_table("last", Text);
        job.keyed_stream("r", Utf8, Utf8)
            .join_table(&rows, |record, row| format!("{} {row}", record.value))
            .to_outside("rows", BatchOptions::of(1), move |batch| database.clone().insert(batch));
        job.stream("l", Utf8).to("other", Raw, Utf8);
    });
    assert_eq!(own, [("r-0-0-0".to_owned(), "b b".to_owned())]);
}
