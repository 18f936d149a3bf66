//! Two processes that run all jobs of [`conformance::stateful`] and are killed or paused in turns, with their input and
//! their output.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use conformance::reader::{KeptRecord, Tail, create_topic, read_to_end, try_read_to_end, until_stable};
use conformance::stateful::{
    DISORDER_MS, END, Expected, FORGOTTEN, FORGOTTEN_AFTER, Input, JOBS, JUMP_MS, KEYS, NAMES, Number, PARTITIONS,
    REMAINDERS, Results, Row, Topics,
};
use conformance::wordcount::WordCount;
use conformance::{connect_with, eventually, outage_config};
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig, TopicHandle, partition_for_key};
use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};
use processor::state::ChangelogKey;
use tokio::time::{Instant, sleep};

/// The program with the jobs.
const PROGRAM: &str = env!("CARGO_BIN_EXE_stateful");
const FAILURES: usize = 8;
/// Longer than the session of a member.
const PAUSED: Duration = Duration::from_secs(8);
const ROUNDS: usize = 12;
/// Event time of the first record: the start of a day.
const START_MS: i64 = 1_700_006_400_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longest wait for the results: a rebalance takes a session timeout at worst, and processes start slowly beside other
/// suites.
const RESULTS_WAIT_MAX: Duration = Duration::from_secs(120);

/// Longest time for the last commits of six jobs in one thread.
const STOP_MAX: Duration = Duration::from_secs(30);

/// The keys whose results are not those expected, with both.
pub(crate) fn wrong<'r>(expected: &Expected, records: impl Iterator<Item = &'r KeptRecord>) -> Vec<String> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for record in records {
        let (key, value) = record.text();
        found.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    let nothing = Vec::new();
    let is_wrong = |(key, expected): (&String, &_)| {
        let found = found.get(key).unwrap_or(&nothing);
        (!Results::are(expected, found)).then(|| format!("{key}: {found:?} is not {expected:?}"))
    };
    let mut wrong: Vec<String> = expected.iter().filter_map(is_wrong).collect();
    let is_end = |key: &str| key.split(' ').nth(1).is_some_and(|key| key.starts_with(END));
    let more = found.keys().filter(|key| !expected.contains_key(*key) && !is_end(key));
    wrong.extend(more.map(|key| format!("{key}: {:?} is not expected", found[key])));
    wrong
}

/// The processes, their input and their output.
pub(crate) struct Run {
    seed: u64,
    client: Client,
    topics: Topics,
    processes: Vec<WordCount>,
    writer: Writer,
    tail: Tail,
    victim: usize,
    rng: Rng,
    application_id: String,
    /// Temporary directory, removed at the end.
    temporary: PathBuf,
}

impl Run {
    /// Creates the topics under these names and starts the processes.
    pub(crate) async fn start(bootstrap: &str, unique: impl Fn(&str) -> String, seed: u64) -> Self {
        let client = connect_with(outage_config(bootstrap)).await;
        let [numbers, disordered, rows, compacted, names, output] =
            ["numbers", "disordered", "rows", "compacted", "names", "output"].map(&unique);
        let topics = Topics { numbers, disordered, rows, compacted, names, output };
        for topic in [&topics.numbers, &topics.disordered, &topics.rows, &topics.names, &topics.output] {
            create_topic(&client, topic, PARTITIONS).await;
        }
        let configs = vec![("cleanup.policy".into(), "compact".into())];
        let compacted = NewTopic { configs, ..NewTopic::new(&topics.compacted, PARTITIONS) };
        let outcomes = client.create_topics(&[compacted]).await.expect("the cluster answers");
        outcomes.into_iter().for_each(|(_, outcome)| outcome.expect("the topic is new"));
        for partition in (0..PARTITIONS).map(PartitionId) {
            client.leader(&topics.compacted, partition).await.expect("a new topic gets leaders");
        }
        let writer = Writer::open(&client, &topics, seed + 1).await;

        let application_id = unique("stateful");
        let temporary = std::env::temp_dir().join(&application_id);
        std::fs::create_dir_all(&temporary).expect("the directory for temporary files can be written");
        let Topics { numbers, disordered, rows, compacted, names, output } = &topics;
        let arguments = [bootstrap, &application_id, numbers, disordered, rows, compacted, names, output];
        let processes = (0..2).map(|_| WordCount::start_program(PROGRAM, &arguments, &temporary)).collect();
        let tail = Tail::start(&client, &topics.output, IsolationLevel::ReadCommitted).await;
        let rng = Rng::from_seed(seed);
        Self { seed, client, topics, processes, writer, tail, victim: 0, rng, application_id, temporary }
    }

    /// Writes, and lets a process fail after each while. Event time takes a step in the middle, and a great one at the
    /// end.
    pub(crate) async fn work(&mut self) {
        for failure in 0..FAILURES {
            self.write().await;
            self.fail_one().await;
            if failure == FAILURES / 2 {
                self.writer.step(JUMP_MS).await;
                self.wait_until_forgotten().await;
            }
        }
        self.writer.step(3 * DAY_MS).await;
    }

    /// Waits for the results and compares them with those expected. Returns a line about them.
    pub(crate) async fn check(&mut self) -> String {
        let (seed, since) = (self.seed, Instant::now());
        let mut expected = Expected::new();
        for (key, results) in JOBS.iter().flat_map(|job| (job.expected)(&self.writer.input)) {
            assert!(expected.insert(key.clone(), results).is_none(), "two jobs have a row with results under {key}");
        }
        let all = || {
            let wrong = self.tail.look(|arrivals| wrong(&expected, arrivals.iter().map(|arrival| &arrival.record)));
            std::future::ready(wrong.is_empty().then_some(()))
        };
        let arrived =
            tokio::time::timeout(RESULTS_WAIT_MAX, eventually("the results", 2 * RESULTS_WAIT_MAX, all)).await;
        let waited = since.elapsed();
        self.wait_until_forgotten().await;
        let logs = self.stop().await;
        let records = read_to_end(&self.client, &self.topics.output, IsolationLevel::ReadCommitted).await;
        let wrong = wrong(&expected, records.iter());
        let ones =
            records.iter().map(KeptRecord::text).filter(|(key, value)| key.starts_with(FORGOTTEN.0) && *value == "1");
        // Each key begins with 1, that of the end of each partition too.
        let begun = KEYS.len() + usize::try_from(PARTITIONS).expect("a few");
        assert!(ones.count() > begun, "seed {seed}: no count has begun again\n{logs}");
        assert!(wrong.is_empty() && arrived.is_ok(), "seed {seed}: {}\n{logs}", wrong.join("\n"));
        let rows: BTreeSet<_> = expected.keys().filter_map(|key| key.split(' ').next()).collect();
        format!(
            "{} results under {} keys of {} rows right after {FAILURES} failures, {waited:.1?} after the last, seed {seed}",
            records.len(),
            expected.len(),
            rows.len(),
        )
    }

    /// Writes for about half a second.
    async fn write(&mut self) {
        for _ in 0..ROUNDS {
            self.writer.write(10).await;
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// After a moment, kills the process whose turn it is and starts it again after another one; or pauses it until the
    /// other one has its tasks.
    async fn fail_one(&mut self) {
        sleep(Duration::from_millis(self.rng.below(600))).await;
        if self.rng.below(4) == 0 {
            self.processes[self.victim].pause();
            let end = Instant::now() + PAUSED;
            while Instant::now() < end {
                self.writer.write(5).await;
                sleep(Duration::from_millis(500)).await;
            }
            self.processes[self.victim].resume();
        } else {
            self.processes[self.victim].kill();
            self.writer.write(5).await;
            sleep(Duration::from_millis(self.rng.below(500))).await;
            self.processes[self.victim].restart();
        }
        self.victim = 1 - self.victim;
    }

    /// Waits until no entry is left in the store that forgets by the time of day, as its changelog says.
    async fn wait_until_forgotten(&self) {
        sleep(FORGOTTEN_AFTER).await;
        let changelog = format!("{}-{}-{}-changelog", self.application_id, FORGOTTEN.1, FORGOTTEN.0);
        let is_empty = async || {
            let mut entries = BTreeMap::new();
            for record in try_read_to_end(&self.client, &changelog, IsolationLevel::ReadCommitted).await.ok()? {
                let key = record.key.unwrap_or_default();
                if key.first() == Some(&ChangelogKey::ENTRY) {
                    entries.insert(key, record.value.is_some());
                }
            }
            (!entries.is_empty() && !entries.into_values().any(|is_there| is_there)).then_some(())
        };
        eventually("an empty store", RESULTS_WAIT_MAX, is_empty).await;
    }

    /// Stops the processes; returns their logs.
    async fn stop(&mut self) -> String {
        let mut logs = String::new();
        for process in std::mem::take(&mut self.processes) {
            logs += &process.log();
            let (status, _) = process.stop_within(STOP_MAX).await;
            assert!(status.success(), "SIGTERM: {status}\n{logs}");
        }
        let _ = std::fs::remove_dir_all(&self.temporary);
        until_stable(&self.client, &self.topics.output).await;
        logs
    }
}

/// Writes the input, and keeps it.
struct Writer {
    producer: ExclusiveProducer,
    numbers: TopicHandle,
    disordered: TopicHandle,
    rows: [TopicHandle; 2],
    rng: Rng,
    now: i64,
    input: Input,
}

impl Writer {
    async fn open(client: &Client, topics: &Topics, seed: u64) -> Self {
        let mut producer = ExclusiveProducer::open(client, ProducerConfig::default()).await.expect("a producer opens");
        let mut handles = Vec::new();
        for topic in [&topics.numbers, &topics.disordered, &topics.rows, &topics.compacted, &topics.names] {
            handles.push(producer.topic(topic).await.expect("the topic is there"));
        }
        let (numbers, disordered, rows) = (handles[0], handles[1], [handles[2], handles[3]]);
        let (rng, now, input) = (Rng::from_seed(seed), START_MS, Input::default());
        let mut writer = Self { producer, numbers, disordered, rows, rng, now, input };
        for (key, name) in REMAINDERS.into_iter().zip(NAMES) {
            writer.append(handles[4], key, Some(name.as_bytes()), START_MS);
        }
        writer.flush().await;
        writer
    }

    /// Writes so many numbers and rows. A row is in its topics after all numbers before it and before all numbers after
    /// it, however long the leader of one of the partitions is away: a join waits for numbers that are in their topic,
    /// and not longer than `max.task.idle.ms` for those that are not.
    async fn write(&mut self, count: usize) {
        let mut key = self.key();
        for _ in 0..count {
            // Every other record has the key of the one before it.
            if self.rng.below(2) == 0 {
                key = self.key();
            }
            // Even, and the disordered times odd.
            self.now += 100 + 2 * self.below(450);
            let (at, number) = (self.now, self.input.numbers.len() + self.input.rows.len());
            if self.rng.below(4) == 0 {
                let value = (self.rng.below(4) > 0).then(|| format!("row{number}"));
                self.flush().await;
                for topic in self.rows {
                    self.append(topic, key, value.as_deref().map(str::as_bytes), at);
                }
                self.flush().await;
                self.input.rows.push(Row { key: key.to_owned(), value, at });
            } else {
                let value = i64::try_from(number).expect("few");
                let disordered_at = at - 1 - 2 * self.below(DISORDER_MS / 2);
                self.append(self.numbers, key, Some(&value.to_be_bytes()), at);
                self.append(self.disordered, key, Some(&value.to_be_bytes()), disordered_at);
                self.input.numbers.push(Number { key: key.to_owned(), value, at, disordered_at });
            }
        }
        self.flush().await;
    }

    /// Lets event time advance by so much: writes a record of then into every partition of every topic, the numbers
    /// first as in [`Writer::write`].
    async fn step(&mut self, by: i64) {
        self.now += by;
        let at = self.now;
        let numbers = [self.numbers, self.disordered].map(|topic| (topic, 0_i64.to_be_bytes().to_vec()));
        let rows = self.rows.map(|topic| (topic, b"end".to_vec()));
        for records in [numbers, rows] {
            for partition in (0..PARTITIONS).map(PartitionId) {
                let mut keys = (0..).map(|number| format!("{END}{number}"));
                let key = keys.find(|key| partition_for_key(key.as_bytes(), PARTITIONS) == partition);
                let key = key.expect("keys are spread over all partitions");
                for (topic, value) in &records {
                    self.append(*topic, &key, Some(value), at);
                }
            }
            self.flush().await;
        }
    }

    fn below(&mut self, bound: i64) -> i64 {
        self.rng.below(bound.unsigned_abs()).cast_signed()
    }

    fn key(&mut self) -> &'static str {
        KEYS[usize::try_from(self.rng.below(KEYS.len() as u64)).expect("a few")]
    }

    fn append(&mut self, topic: TopicHandle, key: &str, value: Option<&[u8]>, at: i64) {
        let partition = partition_for_key(key.as_bytes(), PARTITIONS);
        let record = NewRecord { timestamp: TimestampMs(at), key: Some(key.as_bytes()), value, ..NewRecord::default() };
        self.producer.append(topic, partition, record).expect("the buffer has room");
    }

    async fn flush(&mut self) {
        self.producer.flush().await.expect("every record is acknowledged");
    }
}

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("WATERWHEEL_SEED is a number"));
    given.unwrap_or_else(|| RandomState::new().hash_one("stateful") % 1_000_000)
}
