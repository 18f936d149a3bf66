//! Files as the output of a job, under the test driver.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kafka_wire::rng::Rng;
use processor::commit::CommitPolicy;
use processor::driver::{CommitPoint, Faults, TestDriver};
use processor::error::ProcessError;
use processor::output::Route;
use processor::{ErrorKind, ErrorPolicy, FileSink, Json, Nullable, RowFormat, SinkError, Topology, Utf8};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A folder of a test, which is removed with it.
struct Room(PathBuf);

impl Room {
    fn new() -> Self {
        static ROOMS: AtomicU32 = AtomicU32::new(0);
        let number = ROOMS.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("waterwheel-files-{}-{number}", std::process::id())))
    }

    /// The complete files and their lines, in the order of their names.
    fn files(&self) -> BTreeMap<String, Vec<String>> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().map(|entry| entry.expect("it can be read"));
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let complete = entries.map(|entry| entry.path()).filter(|path| !name(path).starts_with('.'));
        let read = |path: PathBuf| {
            let text = fs::read_to_string(&path).expect("text");
            assert!(text.ends_with('\n'), "{path:?} ends with half a line");
            (name(&path), text.lines().map(str::to_owned).collect())
        };
        complete.map(read).collect()
    }

    fn lines(&self) -> Vec<String> {
        self.files().into_values().flatten().collect()
    }

    /// The lines of each partition, in the order of the files.
    fn by_partition(&self) -> BTreeMap<i32, Vec<String>> {
        let mut lines: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (name, of_file) in self.files() {
            let partition = name.rsplit('-').nth(1).and_then(|part| part.parse().ok()).expect("it is in the name");
            lines.entry(partition).or_default().extend(of_file);
        }
        lines
    }

    /// Number of hidden files of parts.
    fn hidden(&self) -> usize {
        let entries = fs::read_dir(&self.0).into_iter().flatten().map(|entry| entry.expect("it can be read"));
        entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).count()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // There may be none.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Lines, and at the end of a file how many it has: a file that is written as a whole.
#[derive(Debug)]
struct Counted;

impl RowFormat for Counted {
    fn check(&self, record: &[u8]) -> Result<(), String> {
        if record == b"bad" { Err("a bad line".to_owned()) } else { Ok(()) }
    }

    fn write(&self, records: &mut dyn Iterator<Item = io::Result<Vec<u8>>>, to: &mut File) -> io::Result<()> {
        let mut count = 0;
        for record in records {
            to.write_all(&record?)?;
            to.write_all(b"\n")?;
            count += 1;
        }
        writeln!(to, "{count} lines")
    }
}

impl Room {
    /// Checks that each file of [`Counted`] has the count of its lines at its end, and removes that.
    fn without_counts(&self) {
        for (name, mut lines) in self.files() {
            let count = lines.pop().expect("it has its count at least");
            assert_eq!(count, format!("{} lines", lines.len()), "{name}");
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(self.0.join(name), text).expect("it is ours");
        }
    }
}

fn topology(sink: FileSink) -> Topology {
    let mut job = Topology::builder("app");
    job.stream("in", Utf8).to_sink("lines", Utf8, sink);
    job.build().expect("a valid job")
}

fn driver(sink: FileSink) -> TestDriver {
    TestDriver::new(topology(sink))
}

#[test]
fn a_part_shows_when_it_has_ended_and_is_committed() {
    let room = Room::new();
    let mut driver = driver(FileSink::new(&room.0).extension("txt").roll_at(8).roll_after(millis(5_000)));
    driver.pipe("in", None, "one", 0);
    driver.commit();
    assert_eq!((room.lines().len(), room.hidden()), (0, 1), "the part is not large enough");
    driver.pipe("in", None, "two", 0);
    assert_eq!(room.lines().len(), 0, "not committed yet");
    driver.commit();
    let file = |name: &str, lines: &[&str]| (name.to_owned(), lines.iter().map(|line| (*line).to_owned()).collect());
    let first = file("app-lines-0-000000000000.txt", &["one", "two"]);
    assert_eq!(room.files(), BTreeMap::from([first.clone()]));
    driver.pipe("in", None, "three", 0);
    driver.commit();
    driver.advance_wall(millis(4_000));
    assert_eq!(room.files().len(), 1);
    driver.advance_wall(millis(2_000));
    assert_eq!(room.files(), BTreeMap::from([first, file("app-lines-0-000000000001.txt", &["three"])]), "by its age");
    assert_eq!(room.hidden(), 0);
}

#[test]
fn lines_are_written_once_wherever_a_commit_dies() {
    let points = [
        CommitPoint::BeforeFlush,
        CommitPoint::AfterFlush,
        CommitPoint::AfterOffsets,
        CommitPoint::AfterEndTxnSent,
        CommitPoint::AfterCommit,
    ];
    for kind in 0..6 {
        let room = Room::new();
        let is_whole = kind >= 3;
        let sink = FileSink::new(&room.0);
        let sink = if is_whole { sink.rows(Counted) } else { sink };
        let mut driver = driver(match kind % 3 {
            0 => sink,
            1 => sink.each_commit(),
            _ => sink.roll_at(6),
        });
        let mut expected = Vec::new();
        for round in 0..20 {
            for number in 0..3 {
                let line = format!("{round}.{number}");
                driver.pipe("in", None, &line, 0);
                expected.push(line);
            }
            match round % 8 {
                index @ 0..5 => driver.crash_at(points[index]),
                5 => driver.lose_answer(true),
                6 => driver.lose_answer(false),
                _ => driver.crash(),
            }
            driver.commit();
            driver.settle();
        }
        driver.end_of_input();
        if is_whole {
            room.without_counts();
        }
        assert_eq!(room.lines(), expected);
        assert!(driver.crash_count() > 10);
    }
}

#[test]
fn an_abort_takes_back_what_it_has_written_and_keeps_the_rest_of_the_part() {
    let room = Room::new();
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
    let lines = job.stream("in", Utf8);
    let failing = lines.clone().map(|line| assert!(line.value != "bad", "a bad line"));
    lines.to_sink("lines", Utf8, FileSink::new(&room.0).roll_at(12));
    failing.map_values(|()| String::new()).to("out", processor::Raw, processor::Text);
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", None, "one", 0);
    driver.commit();
    for line in ["two", "three", "bad", "four"] {
        driver.pipe("in", None, line, 0);
    }
    driver.settle();
    driver.end_of_input();
    assert_eq!(room.lines(), ["one", "two", "three", "four"], "the record is left out with all that it has done");
    assert_eq!((driver.read("out").len(), room.hidden()), (4, 0));
}

/// The task with the file has no records that are done again.
#[test]
fn a_file_that_is_due_shows_though_the_first_transaction_fails() {
    // The file is due by its age, and because another worker has begun it.
    for is_taken_over in [false, true] {
        let room = Room::new();
        let mut job = Topology::builder("app");
        job.on_error(ErrorKind::Process, ErrorPolicy::Skip);
        let lines = job.stream("in", Utf8);
        // The record has been written when it fails, so the transaction is rolled back.
        let failing = lines.clone().map(|line| assert!(line.value != "bad", "a bad line"));
        lines.to_sink("lines", Utf8, FileSink::new(&room.0).roll_after(millis(5_000)));
        failing.map_values(|()| String::new()).to("out", processor::Raw, processor::Text);
        let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("in", 2)]);
        driver.pipe_partition("in", 0, None, "one", 0);
        driver.commit();
        // From now on a transaction is open until the test commits it.
        driver.set_commit_policy(CommitPolicy::adaptive(Duration::from_secs(60), Duration::from_secs(60)));
        if is_taken_over {
            driver.crash();
        } else {
            driver.wait(millis(6_000));
        }
        driver.pipe_partition("in", 1, None, "bad", 0);
        assert_eq!(room.lines().len(), 0, "the file was due in a transaction that was rolled back");
        driver.commit();
        driver.wait(millis(200));
        driver.commit();
        assert_eq!((room.lines(), room.hidden()), (vec!["one".to_owned()], 0), "taken over: {is_taken_over}");
    }
}

/// Several workers, which die, pause, lose their tasks without knowing it, and come back.
#[test]
fn under_random_schedules_each_line_is_in_the_files_once() {
    for seed in 0..150 {
        let room = Room::new();
        let sink = FileSink::new(&room.0).without_fsync();
        let sink = match seed % 3 {
            0 => sink.each_commit(),
            1 => sink.roll_at(20),
            _ => sink.roll_after(millis(300)),
        };
        let is_whole = seed % 2 == 1;
        let sink = if is_whole { sink.rows(Counted) } else { sink };
        let mut driver = TestDriver::with_partitions(topology(sink), &[("in", 3)]);
        driver.add_worker();
        let mut rng = Rng::from_seed(seed);
        let mut expected: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for number in 0..600 {
            if rng.below(10) == 0 {
                let (partition, line) = (number % 3, format!("line {number}"));
                driver.write_partition("in", partition, None, &line, number.into());
                expected.entry(partition).or_default().push(line);
            }
            driver.step(&mut rng, Faults::All);
        }
        driver.finish();
        // The group notices only now that a worker has died.
        driver.advance_wall(Duration::from_secs(90));
        driver.settle();
        assert!(driver.fatal().is_none(), "seed {seed}: {:?}", driver.fatal());
        assert!(driver.is_finished(), "seed {seed}: {:?}", driver.reports());
        let hidden = room.hidden();
        if is_whole {
            room.without_counts();
        }
        assert_eq!(room.by_partition(), expected, "seed {seed}, {hidden} hidden: {:?}", driver.reports());
    }
}

#[test]
fn files_that_were_taken_away_do_not_come_again() {
    let room = Room::new();
    let mut driver = driver(FileSink::new(&room.0).each_commit());
    let mut taken = Vec::new();
    for round in 0..6 {
        driver.pipe("in", None, &format!("{round}"), 0);
        if round % 2 == 0 {
            driver.crash_at(CommitPoint::AfterCommit);
        }
        driver.commit();
        driver.settle();
        for (name, lines) in room.files() {
            taken.extend(lines);
            fs::remove_file(room.0.join(name)).expect("it is there");
        }
        driver.crash();
        driver.settle();
    }
    driver.end_of_input();
    taken.extend(room.lines());
    assert_eq!(taken, ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn a_writer_that_lost_its_task_spoils_nothing() {
    let room = Room::new();
    let mut driver = driver(FileSink::new(&room.0));
    driver.pipe("in", None, "one", 0);
    driver.commit();
    driver.pipe("in", None, "two", 0);
    // The first worker has written "two", and does not know that its session is over.
    driver.pause_worker(0);
    let second = driver.add_worker();
    driver.advance_wall(Duration::from_secs(60));
    driver.pipe("in", None, "three", 0);
    driver.settle();
    driver.resume_worker(0);
    driver.advance_wall(Duration::from_secs(10));
    driver.stop_worker(second);
    driver.advance_wall(Duration::from_secs(60));
    driver.pipe("in", None, "four", 0);
    driver.settle();
    driver.end_of_input();
    driver.advance_wall(Duration::from_secs(1));
    assert_eq!(room.lines(), ["one", "two", "three", "four"]);
    assert_eq!(room.hidden(), 0);
}

#[test]
fn a_worker_that_is_stopped_leaves_nothing_hidden() {
    let room = Room::new();
    let mut driver = driver(FileSink::new(&room.0));
    // With an open transaction, and without one.
    for (line, is_committed) in [("one", false), ("two", true)] {
        driver.pipe("in", None, line, 0);
        if is_committed {
            driver.commit();
        }
        assert_eq!(room.hidden(), 1);
        driver.stop_worker(0);
        assert_eq!((room.lines().last().map(String::as_str), room.hidden()), (Some(line), 0));
        driver.start_worker(0);
        driver.settle();
    }
    // The part of a worker that died is ended even if the next one is stopped at once.
    driver.pipe("in", None, "three", 0);
    driver.commit();
    driver.crash();
    driver.stop_worker(0);
    assert_eq!((room.lines(), room.hidden()), (vec!["one".to_owned(), "two".to_owned(), "three".to_owned()], 0));
    // Nothing to end, nothing to commit.
    driver.start_worker(0);
    driver.settle();
    driver.stop_worker(0);
    assert_eq!(room.files().len(), 3);
    // The last commit is repeated if it has failed.
    driver.start_worker(0);
    driver.pipe("in", None, "four", 0);
    driver.commit();
    driver.lose_answer(false);
    driver.stop_worker(0);
    assert_eq!((room.files().len(), room.hidden()), (4, 0));
}

#[test]
fn a_file_that_is_written_as_a_whole_has_the_records_of_many_commits() {
    let room = Room::new();
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Produce, ErrorPolicy::Skip);
    job.stream("in", Utf8).to_sink("lines", Utf8, FileSink::new(&room.0).rows(Counted).roll_at(26).header("none"));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    for line in ["one", "bad", "two", "with\nline end"] {
        driver.pipe("in", None, line, 0);
        driver.commit();
    }
    assert_eq!(room.lines(), ["one", "two", "with", "line end", "3 lines"]);
    assert_eq!((room.hidden(), driver.status()[0].1.counters.unproducible), (0, 1), "what was collected is gone");
    // An abort in the transaction that ends a part leaves it as it was.
    driver.pipe("in", None, "three", 0);
    driver.commit();
    driver.pipe("in", None, "a line that is long enough", 0);
    driver.lose_answer(false);
    driver.commit();
    driver.settle();
    assert_eq!(
        (room.files().len(), room.lines()[5..].join(" ")),
        (2, "three a line that is long enough 2 lines".into())
    );
    assert_eq!(room.hidden(), 0);
}

#[test]
fn lines_do_not_become_rows_under_the_same_names() {
    let room = Room::new();
    let mut driver = driver(FileSink::new(&room.0));
    driver.pipe("in", None, "one", 0);
    driver.commit();
    assert_ne!(
        topology(FileSink::new(&room.0)).stores()[0].version,
        topology(FileSink::new(&room.0).rows(Counted)).stores()[0].version
    );
}

#[test]
fn another_folder_is_refused() {
    let (room, other) = (Room::new(), Room::new());
    let mut driver = driver(FileSink::new(&room.0));
    driver.pipe("in", None, "one", 0);
    driver.commit();
    fs::rename(&room.0, &other.0).expect("both are in one folder");
    driver.crash();
    driver.advance_wall(millis(200));
    let Some(ProcessError::NotTaken { step, cause: SinkError::Refused(cause), .. }) = driver.failure() else {
        panic!("{:?}", driver.fatal());
    };
    assert!(step == "lines" && cause.contains("is not the folder that the last worker wrote to"), "{cause}");
}

#[test]
fn a_job_without_state_goes_on_behind_the_files_that_are_there() {
    let room = Room::new();
    for line in ["one", "two"] {
        let mut driver = driver(FileSink::new(&room.0));
        driver.pipe("in", None, line, 0);
        driver.end_of_input();
    }
    assert_eq!(room.files().into_keys().collect::<Vec<_>>(), ["app-lines-0-000000000000", "app-lines-0-000000000001"]);
    assert_eq!(room.lines(), ["one", "two"]);
}

#[test]
fn each_task_has_files_of_its_own_with_a_header() {
    let room = Room::new();
    let mut job = Topology::builder("app");
    let pairs = job.keyed_stream("in", Utf8, Utf8).map(|record| (record.key.to_owned(), record.value.len()));
    pairs.to_sink("pairs", Json::new(), FileSink::new(&room.0).extension("jsonl").header("# key, length"));
    let mut driver = TestDriver::with_partitions(job.build().expect("a valid job"), &[("in", 2)]);
    for (partition, value) in [(0, "a"), (1, "bb"), (0, "ccc")] {
        driver.pipe_partition("in", partition, Some("k"), value, 0);
    }
    driver.end_of_input();
    let expected = [
        ("app-pairs-0-000000000000.jsonl", vec!["# key, length", "[\"k\",1]", "[\"k\",3]"]),
        ("app-pairs-1-000000000000.jsonl", vec!["# key, length", "[\"k\",2]"]),
    ];
    let expected = expected.map(|(name, lines)| (name.to_owned(), lines.into_iter().map(str::to_owned).collect()));
    assert_eq!(room.files(), BTreeMap::from(expected));
}

#[test]
fn a_null_is_a_failure_of_the_output() {
    let room = Room::new();
    let mut job = Topology::builder("app");
    job.on_error(ErrorKind::Produce, ErrorPolicy::Skip);
    job.stream("in", Nullable(Utf8)).to_sink("lines", Nullable(Utf8), FileSink::new(&room.0));
    let mut driver = TestDriver::new(job.build().expect("a valid job"));
    driver.pipe("in", None, "one", 0);
    driver.pipe_to("in", Route::Partition(kafka_wire::types::PartitionId(0)), None, None, 0);
    driver.end_of_input();
    assert_eq!((room.lines(), driver.status()[0].1.counters.unproducible), (vec!["one".to_owned()], 1));
}
