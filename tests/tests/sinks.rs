//! Outputs outside of Kafka while processes die: the table and the files have each record of the topic once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conformance::postgres::Postgres;
use conformance::reader::{create_topic, read_to_end};
use conformance::wordcount::WordCount;
use conformance::{TestBroker, connect, eventually, on_both_brokers};
use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig, TopicHandle};
use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Row, RowAccessor as _};
use tokio::time::sleep;

on_both_brokers!(a_table_has_each_record_once, files_have_each_record_once, parquet_files_have_each_record_once,);

/// Kills the job and the database in turn, while records come; the rows are then the records of the topic.
async fn a_table_has_each_record_once(broker: TestBroker) {
    let Some(mut database) = Postgres::start("a job that writes to PostgreSQL").await else { return };
    let mut run = Run::start(&broker).await;
    let address = database.address();
    let mut job = run.job("to-postgres", &[&address, "rows"]);
    for kill in 0..KILLS {
        run.write(LINES).await;
        run.pause().await;
        if kill % 3 == 2 {
            database.kill();
            run.write(LINES).await;
            run.pause().await;
            database.restart().await;
        } else {
            job.kill();
            job.restart();
        }
        if kill % 2 == 0 {
            let written = usize::try_from(run.written).expect("a few");
            run.wait("the rows so far", &job, || std::future::ready((count(&database) >= written).then_some(()))).await;
        }
    }
    let expected = run.records().await;
    run.wait("all rows", &job, || std::future::ready((count(&database) >= expected.len()).then_some(()))).await;
    let columns = "\"partition\", \"offset\", number, timestamp_ms, line";
    let query = format!("SELECT {columns} FROM rows WHERE topic = '{}' ORDER BY 1, 2, 3", run.topic);
    let rows = database.query(&query).expect("the table is there");
    let of_records =
        expected.iter().map(|((partition, offset), (at, line))| format!("{partition}|{offset}|0|{at}|{line}"));
    assert_eq!(rows, of_records.collect::<Vec<_>>(), "seed {}", run.seed);
    let (status, _) = job.stop().await;
    assert!(status.success(), "{status}");
    run.finish(&format!("{} rows of as many records after {KILLS} kills", rows.len()));
}

fn count(database: &Postgres) -> usize {
    // The table, or the server, may not be there.
    let counted = database.query("SELECT count(*) FROM rows").ok();
    counted.and_then(|lines| lines.first()?.parse().ok()).unwrap_or(0)
}

async fn files_have_each_record_once(broker: TestBroker) {
    let text = Files { program: "to-files", line: |_, line| line.to_owned(), read: read_text };
    text.have_each_record_once(&broker).await;
}

async fn parquet_files_have_each_record_once(broker: TestBroker) {
    let line = |at, line: &str| format!("{at} {line}");
    let rows = Files { program: env!("CARGO_BIN_EXE_to-parquet"), line, read: read_rows };
    rows.have_each_record_once(&broker).await;
}

/// A job that writes files.
struct Files {
    program: &'static str,
    /// The line of the files that is expected for a record, of its time and text.
    line: fn(i64, &str) -> String,
    /// Reads the lines of a complete file.
    read: fn(&Path) -> Vec<String>,
}

impl Files {
    /// Kills the job while records come; the complete files then have the records of each partition in their order.
    async fn have_each_record_once(&self, broker: &TestBroker) {
        let mut run = Run::start(broker).await;
        let folder = run.temporary.join("files");
        let mut job = run.job(self.program, &[folder.to_str().expect("text")]);
        for kill in 0..KILLS {
            run.write(LINES).await;
            run.pause().await;
            job.kill();
            job.restart();
            if kill % 2 == 0 {
                self.wait("the lines so far", &run, &job, &folder).await;
            }
        }
        self.wait("the lines before the stop", &run, &job, &folder).await;
        // Files that are young when the job is stopped are complete after it.
        run.write(LINES).await;
        run.pause().await;
        let log = job.log_reader();
        let (status, _) = job.stop().await;
        assert!(status.success(), "{status}");
        let hidden = || names(&folder).into_iter().filter(|name| name.ends_with(".part")).count();
        assert_eq!(hidden(), 0, "seed {}: a job that is stopped hides nothing\n{}", run.seed, log());
        let job = run.job(self.program, &[folder.to_str().expect("text")]);
        let records = run.records().await;
        let mut expected: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for ((partition, _), (at, line)) in &records {
            expected.entry(*partition).or_default().push((self.line)(*at, line));
        }
        self.wait("all lines", &run, &job, &folder).await;
        let lines = self.lines(&folder);
        assert!(lines == expected, "seed {}: the lines of the files are not those of the topic", run.seed);
        let (status, _) = job.stop().await;
        assert!(status.success(), "{status}");
        assert_eq!(hidden(), 0, "seed {}: nothing is left behind", run.seed);
        run.finish(&format!("{} lines of as many records after {KILLS} kills", records.len()));
    }

    /// Waits until the complete files have as many lines as were written.
    async fn wait(&self, what: &str, run: &Run, job: &WordCount, folder: &Path) {
        let written = usize::try_from(run.written).expect("a few");
        let so_far = || {
            let now = self.lines(folder).values().map(Vec::len).sum::<usize>();
            std::future::ready((now >= written).then_some(()))
        };
        run.wait(what, job, so_far).await;
    }

    /// The lines of the complete files by partition, in the order of the files.
    fn lines(&self, folder: &Path) -> BTreeMap<i32, Vec<String>> {
        let mut lines: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for name in names(folder).into_iter().filter(|name| !name.starts_with('.')) {
            let partition = name.rsplit('-').nth(1).and_then(|part| part.parse().ok()).expect("it is in the name");
            lines.entry(partition).or_default().extend((self.read)(&folder.join(&name)));
        }
        lines
    }
}

fn read_text(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("text");
    assert!(text.ends_with('\n'), "{} ends with half a line", path.display());
    text.lines().map(str::to_owned).collect()
}

/// The rows of a Parquet file, as time and text.
fn read_rows(path: &Path) -> Vec<String> {
    let file = SerializedFileReader::try_from(path).expect("a whole Parquet file");
    let rows = file.get_row_iter(None).expect("it has rows").map(|row| row.expect("a row"));
    let row = |row: Row| {
        let at = row.get_timestamp_millis(0).expect("the time");
        format!("{at} {}", row.get_string(1).expect("the text"))
    };
    rows.map(row).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// One run: a topic, and a job that reads it.
struct Run {
    client: Client,
    brokers: String,
    label: &'static str,
    application_id: String,
    topic: String,
    producer: ExclusiveProducer,
    handle: TopicHandle,
    /// Number of lines written.
    written: u64,
    seed: u64,
    rng: Rng,
    temporary: PathBuf,
}

impl Run {
    async fn start(broker: &TestBroker) -> Self {
        let seed = seed();
        let client = connect(broker.bootstrap()).await;
        let (topic, application_id) = (broker.unique("lines"), broker.unique("archive"));
        create_topic(&client, &topic, PARTITIONS).await;
        let mut producer = ExclusiveProducer::open(&client, ProducerConfig::default()).await.expect("a producer opens");
        let handle = producer.topic(&topic).await.expect("the topic is there");
        let temporary = std::env::temp_dir().join(&application_id);
        std::fs::create_dir_all(&temporary).expect("the directory for temporary files can be written");
        let (brokers, label) = (broker.bootstrap().to_owned(), broker.kind().label());
        let rng = Rng::from_seed(seed);
        Self { client, brokers, label, application_id, topic, producer, handle, written: 0, seed, rng, temporary }
    }

    fn job(&self, program: &'static str, arguments: &[&str]) -> WordCount {
        let common = [self.brokers.as_str(), &self.application_id, &self.topic];
        WordCount::start_program(program, &[&common[..], arguments].concat(), &self.temporary)
    }

    async fn write(&mut self, count: u64) {
        for number in self.written..self.written + count {
            let line = format!("line {number}, {}", self.rng.below(1_000_000));
            let partition = PartitionId(i32::try_from(number % PARTITIONS.cast_unsigned() as u64).expect("a few"));
            let timestamp = TimestampMs(1_700_000_000_000 + number.cast_signed());
            let record = NewRecord { timestamp, value: Some(line.as_bytes()), ..NewRecord::default() };
            self.producer.append(self.handle, partition, record).expect("the buffer has room");
        }
        self.producer.flush().await.expect("every line is acknowledged");
        self.written += count;
    }

    /// A moment, so that the next fault hits anything.
    async fn pause(&mut self) {
        sleep(Duration::from_millis(self.rng.below(800))).await;
    }

    /// Timestamp and value of each record of the topic, by partition and offset.
    async fn records(&self) -> BTreeMap<(i32, i64), (i64, String)> {
        let read = read_to_end(&self.client, &self.topic, IsolationLevel::ReadCommitted).await;
        assert_eq!(read.len() as u64, self.written);
        let record = |record: &conformance::reader::KeptRecord| {
            let line = String::from_utf8(record.value.clone().unwrap_or_default()).expect("text");
            ((record.partition.0, record.offset.0), (record.timestamp.0, line))
        };
        read.iter().map(record).collect()
    }

    async fn wait<F: Future<Output = Option<()>>>(&self, what: &str, job: &WordCount, look: impl Fn() -> F) {
        let wait = tokio::time::timeout(PATIENCE, eventually(what, PATIENCE * 2, look)).await;
        wait.unwrap_or_else(|_| panic!("seed {}: no {what} in time\n{}", self.seed, job.log()));
    }

    fn finish(self, what: &str) {
        // Written past the test harness, which hides the output of a test that passes.
        let _ = writeln!(std::io::stderr(), "{}: {what} (seed {})", self.label, self.seed);
        let _ = std::fs::remove_dir_all(&self.temporary);
    }
}

fn seed() -> u64 {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("WATERWHEEL_SEED is a number"));
    given.unwrap_or_else(|| RandomState::new().hash_one("sinks") % 1_000_000)
}

const PARTITIONS: i32 = 3;
const KILLS: u32 = 12;
/// Lines of each round.
const LINES: u64 = 2_000;
const PATIENCE: Duration = Duration::from_secs(90);
