//! Exactly-once, shown by processes that die: two processes of the example `wordcount` that share a group, or one, are
//! killed with SIGKILL at random moments and started again, or hardly get any time, or lose their connections, while
//! lines keep coming. The committed output must equal a plain count of the lines, as read by our reader and by Java's.
//!
//! Every run prints its seed; `WATERWHEEL_SEED` repeats it, as far as the machine's timing allows.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::foreign::{Isolation, java_records};
use conformance::reader::{Arrival, KeptRecord, Tail, create_topic, read_to_end, until_stable};
use conformance::relay::Relay;
use conformance::wordcount::WordCount;
use conformance::{TestBroker, connect, eventually, on_both_brokers, on_every_broker};
use kafka_wire::client::{Client, ExclusiveProducer};
use kafka_wire::consumer::IsolationLevel;
use kafka_wire::producer::{NewRecord, ProducerConfig, TopicHandle};
use kafka_wire::rng::Rng;
use kafka_wire::types::{PartitionId, TimestampMs};
use testkit::check::word_count::{CheckReport, Counted, Emit, Expected};
use testkit::generate::{Line, Lines, LinesConfig};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

on_every_broker!(updates_survive_twenty_kills);
on_both_brokers!(
    closed_windows_survive_twenty_kills,
    updates_survive_twenty_kills_of_the_only_process,
    updates_survive_processes_that_hardly_get_time,
    updates_survive_a_process_that_was_taken_for_dead,
    updates_survive_connections_that_are_cut,
);

async fn updates_survive_twenty_kills(broker: TestBroker) {
    Run::start(&broker, Emit::Update).await.kill_and_audit().await;
}

async fn closed_windows_survive_twenty_kills(broker: TestBroker) {
    Run::start(&broker, Emit::Close).await.kill_and_audit().await;
}

/// A process that has the whole job commits what it has shuffled together with the results of that.
async fn updates_survive_twenty_kills_of_the_only_process(broker: TestBroker) {
    Run::start_with(&broker, Emit::Update, 1).await.kill_and_audit().await;
}

/// Each process gets a tenth of the time, in turns shorter than a session, for longer than one. Nothing of that is a
/// death.
async fn updates_survive_processes_that_hardly_get_time(broker: TestBroker) {
    Run::start(&broker, Emit::Update).await.starve_and_audit().await;
}

/// A process stands still until the other one has its work, in the middle of a transaction as likely as not, and then
/// goes on where it stood: a zombie.
async fn updates_survive_a_process_that_was_taken_for_dead(broker: TestBroker) {
    Run::start(&broker, Emit::Update).await.raise_and_audit().await;
}

async fn updates_survive_connections_that_are_cut(broker: TestBroker) {
    let relay = Relay::listen().await;
    let Some(broker) = TestBroker::behind(&relay, broker.kind()).await else { return };
    Run::start(&broker, Emit::Update).await.cut_and_audit(&relay).await;
}

const KILLS: u32 = 20;
const CUTS: u32 = 20;
/// Turns of a starved process: it is stopped, and then goes on for a moment.
const STARVED_TURNS: u32 = 8;
const STOPPED: Duration = Duration::from_millis(900);
const GOES_ON: Duration = Duration::from_millis(100);
/// A process that goes on only after this long may lose its session of 6 s.
const STALLED: Duration = Duration::from_secs(4);
const PROCESSES: usize = 2;
const PARTITIONS: u32 = 4;
const WINDOW_MS: i64 = 2_000;
/// Lines come in bursts: this many, at this interval. Event time advances with the clock.
const LINES_PER_BURST: usize = 20;
const BURST_INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait for output after a kill: a rebalance takes a session timeout at worst, and processes start slowly
/// beside other suites.
const STALL_MAX: Duration = Duration::from_secs(90);

/// Longest time from SIGTERM to the end of a process: nobody waits until a session (6 s) or a transaction times out.
const STOP_MAX: Duration = Duration::from_secs(5);

/// One run: a job in several processes, its input and its output.
struct Run<'a> {
    broker: &'a TestBroker,
    client: Client,
    emit: Emit,
    rng: Rng,
    seed: u64,
    application: String,
    output: String,
    processes: Vec<WordCount>,
    feeder: Feeder,
    tail: Tail,
    /// Removed at the end of the run.
    temporary: PathBuf,
}

impl<'a> Run<'a> {
    async fn start(broker: &'a TestBroker, emit: Emit) -> Self {
        Self::start_with(broker, emit, PROCESSES).await
    }

    async fn start_with(broker: &'a TestBroker, emit: Emit, processes: usize) -> Self {
        let seed = seed();
        let client = connect(broker.bootstrap()).await;
        let (input, output) = (broker.unique("lines"), broker.unique("counts"));
        for topic in [&input, &output] {
            create_topic(&client, topic, i32::try_from(PARTITIONS).expect("a few")).await;
        }
        let application = broker.unique("wordcount");
        let temporary = std::env::temp_dir().join(&application);
        std::fs::create_dir_all(&temporary).expect("the directory for temporary files can be written");
        let start = || start_process(broker, [&input, &output, &application], emit, &temporary);
        let processes = (0..processes).map(|_| start()).collect();
        let feeder = Feeder::start(&client, &input, seed).await;
        let tail = Tail::start(&client, &output, IsolationLevel::ReadCommitted).await;
        let rng = Rng::from_seed(seed);
        Self { broker, client, emit, rng, seed, application, output, processes, feeder, tail, temporary }
    }

    async fn kill_and_audit(mut self) {
        self.wait_for_output_since(Instant::now(), "first output").await;
        let mut longest_stall = Duration::ZERO;
        for kill in 1..=KILLS {
            longest_stall = longest_stall.max(self.kill_one(kill).await);
        }
        self.finish(&format!("{KILLS} kills, longest stall {longest_stall:.1?}")).await;
    }

    async fn starve_and_audit(self) {
        self.wait_for_output_since(Instant::now(), "first output").await;
        let starves = async || {
            let members = self.all_members().await;
            let (mut since, mut longest) = (Instant::now(), Duration::ZERO);
            for _ in 0..STARVED_TURNS {
                self.processes.iter().for_each(WordCount::pause);
                sleep(STOPPED).await;
                self.processes.iter().for_each(WordCount::resume);
                longest = longest.max(since.elapsed());
                since = Instant::now();
                sleep(GOES_ON).await;
            }
            longest = longest.max(since.elapsed());
            (self.members().await == members, longest)
        };
        let (mut are_same, mut longest) = starves().await;
        // The machine itself has stood still for about a session: that shows nothing.
        for _ in 0..2 {
            if are_same || longest < STALLED {
                break;
            }
            self.wait_for_output_since(Instant::now(), "output after a stall").await;
            (are_same, longest) = starves().await;
        }
        assert!(are_same, "seed {}: members were replaced, turns of {longest:?}\n{}", self.seed, self.logs());
        self.finish(&format!("{STARVED_TURNS} turns without time")).await;
    }

    async fn raise_and_audit(self) {
        self.wait_for_output_since(Instant::now(), "first output").await;
        let members = self.all_members().await;
        self.processes[0].pause();
        let stopped = Instant::now();
        let is_replaced = async || (!members.is_subset(&self.members().await)).then_some(());
        eventually("the group without the process", STALL_MAX, is_replaced).await;
        self.wait_for_output_since(Instant::now(), "output of the other process").await;
        let taken_over = stopped.elapsed();
        self.processes[0].resume();
        self.wait_for_output_since(Instant::now(), "output after the zombie woke").await;
        self.finish(&format!("a process stood still for {taken_over:.1?}")).await;
    }

    async fn cut_and_audit(mut self, relay: &Relay) {
        self.wait_for_output_since(Instant::now(), "first output").await;
        for _ in 0..CUTS {
            sleep(Duration::from_millis(self.rng.below(600))).await;
            relay.cut();
        }
        self.wait_for_output_since(Instant::now(), "output after the last cut").await;
        self.finish(&format!("{CUTS} cuts of all connections")).await;
    }

    /// The members of the job's group.
    async fn members(&self) -> BTreeSet<String> {
        let groups = self.client.describe_groups(&[self.application.as_str().into()]).await;
        let groups = groups.expect("the coordinator answers");
        let group = groups[0].1.as_ref().expect("the group is there");
        group.members.iter().map(|member| member.member_id.to_string()).collect()
    }

    /// The members of the job's group, once there is one for each process: output comes when the first one has joined.
    async fn all_members(&self) -> BTreeSet<String> {
        let all = async || {
            let members = self.members().await;
            (members.len() == PROCESSES).then_some(members)
        };
        eventually("a member for each process", STALL_MAX, all).await
    }

    /// Ends the input, waits for the output, and audits it.
    async fn finish(mut self, what: &str) {
        let (expected, end_ms) = self.feeder.finish().await;
        self.wait_for_right_counts(&expected, end_ms).await;
        for process in std::mem::take(&mut self.processes) {
            let log = process.log();
            let (status, took) = process.stop().await;
            assert!(status.success() && took < STOP_MAX, "SIGTERM: {status} after {took:.1?}\n{log}");
        }
        self.audit(&expected, end_ms).await;
        self.say(&format!("{} words in {} windows of words right after {what}", expected.words(), expected.pairs(),));
        // The directory stays if the run fails, like any directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.temporary);
    }

    /// Kills a process and starts it again after a moment. Two times out of three it waits for the job to recover
    /// before the next kill, so that both a working job and one in the middle of a rebalance are hit.
    async fn kill_one(&mut self, kill: u32) -> Duration {
        sleep(Duration::from_millis(self.rng.below(1_500))).await;
        let victim = usize::try_from(self.rng.below(self.processes.len() as u64)).expect("a few");
        self.processes[victim].kill();
        let killed = Instant::now();
        sleep(Duration::from_millis(self.rng.below(1_000))).await;
        self.processes[victim].restart();
        match self.rng.below(3) {
            0 if kill < KILLS => Duration::ZERO,
            _ => self.wait_for_output_since(killed, &format!("output after kill {kill}")).await,
        }
    }

    /// Waits until every partition of the output has a record that came after `since`; returns the time since then.
    async fn wait_for_output_since(&self, since: Instant, what: &str) -> Duration {
        let last_first_arrival = |arrivals: &[Arrival]| {
            let first = |partition| {
                let mut later = arrivals.iter().rev().take_while(|arrival| arrival.at > since);
                let of_partition = later.by_ref().filter(|arrival| arrival.record.partition == PartitionId(partition));
                of_partition.map(|arrival| arrival.at).last()
            };
            (0..PARTITIONS.cast_signed()).map(first).try_fold(since, |latest, first| Some(latest.max(first?)))
        };
        let recovered = || std::future::ready(self.tail.look(last_first_arrival));
        let wait = timeout(STALL_MAX, eventually(what, STALL_MAX * 2, recovered)).await;
        let recovered = wait.unwrap_or_else(|_| panic!("seed {}: no {what} in time\n{}", self.seed, self.logs()));
        recovered - since
    }

    async fn wait_for_right_counts(&self, expected: &Expected, end_ms: i64) {
        let report = || {
            let records = |arrivals: &[Arrival]| {
                check(expected, end_ms, self.emit, arrivals.iter().map(|arrival| &arrival.record))
            };
            self.tail.look(records)
        };
        let is_right = || std::future::ready(report().is_clean().then_some(()));
        if timeout(STALL_MAX, eventually("the right counts", STALL_MAX * 2, is_right)).await.is_err() {
            panic!("seed {}: {}\n{}", self.seed, report(), self.logs());
        }
    }

    /// Reads the whole output once more, with new readers, and checks it.
    async fn audit(&self, expected: &Expected, end_ms: i64) {
        // The markers of the last transactions are written some moments after their processes have ended.
        until_stable(&self.client, &self.output).await;
        let records = read_to_end(&self.client, &self.output, IsolationLevel::ReadCommitted).await;
        let report = check(expected, end_ms, self.emit, &records);
        assert!(report.is_clean(), "seed {}: our reader: {report}", self.seed);

        // Every record that was seen during the run is still there at the end.
        let place = |record: &KeptRecord| (record.partition, record.offset);
        let is_there = |seen: &KeptRecord| {
            records.binary_search_by_key(&place(seen), place).is_ok_and(|index| records[index] == *seen)
        };
        let gone = self.tail.look(|arrivals| arrivals.iter().find(|arrival| !is_there(&arrival.record)).cloned());
        assert!(gone.is_none(), "seed {}: a reader saw what is not there at the end: {gone:?}", self.seed);

        let java = java_records(self.broker, &self.output, Isolation::ReadCommitted, records.len());
        let Some(lines) = java.await else { return };
        let in_java = lines.iter().map(|line| {
            let (word, value) =
                line.split_once('\t').and_then(|(_, rest)| rest.split_once('\t')).expect("three columns");
            counted(word, value)
        });
        let report = expected.check_before(end_ms, self.emit, in_java);
        assert!(report.is_clean(), "seed {}: Java's reader: {report}", self.seed);
        assert_eq!(lines.len(), records.len(), "seed {}: Java reads as many records as we do", self.seed);
    }

    fn say(&self, what: &str) {
        // Written past the test harness, which hides the output of a test that passes.
        let _ =
            writeln!(std::io::stderr(), "{}, {:?}: {what} (seed {})", self.broker.kind().label(), self.emit, self.seed);
    }

    fn logs(&self) -> String {
        self.processes.iter().map(|process| format!("--- a process of wordcount\n{}", process.log())).collect()
    }
}

fn start_process(broker: &TestBroker, names: [&str; 3], emit: Emit, temporary: &Path) -> WordCount {
    let [input, output, application] = names;
    let window_ms = WINDOW_MS.to_string();
    let arguments = [
        ["--brokers", broker.bootstrap()],
        ["--input-topic", input],
        ["--output-topic", output],
        ["--application-id", application],
        ["--emit", if emit == Emit::Close { "close" } else { "update" }],
        ["--window-ms", &window_ms],
        // Far more often than by default.
        ["-X", "repartition.purge.interval.ms=500"],
    ];
    WordCount::start(&arguments.concat(), temporary)
}

/// Writes lines until it is told to finish, and counts them in the plainest way.
struct Feeder {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<(Expected, i64)>,
}

impl Feeder {
    async fn start(client: &Client, topic: &str, seed: u64) -> Self {
        let mut input = Input::open(client, topic).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let finish = Arc::clone(&is_over);
        let burst_ms = i64::try_from(BURST_INTERVAL.as_millis()).expect("a short time");
        let step_ms = burst_ms / i64::try_from(LINES_PER_BURST).expect("a few");
        let mut lines = Lines::new(LinesConfig { seed, partitions: PARTITIONS, step_ms, ..LinesConfig::default() });
        let task = tokio::spawn(async move {
            while !finish.load(Ordering::Relaxed) {
                input.write(lines.by_ref().take(LINES_PER_BURST)).await;
                sleep(BURST_INTERVAL).await;
            }
            input.close_windows().await
        });
        Self { is_over, task }
    }

    /// Ends the input; returns the expected counts, and the start of the first window that may stay open.
    async fn finish(&mut self) -> (Expected, i64) {
        self.is_over.store(true, Ordering::Relaxed);
        (&mut self.task).await.expect("the feeder does not fail")
    }
}

/// The input topic, and the count of what was written to it.
struct Input {
    producer: ExclusiveProducer,
    topic: TopicHandle,
    expected: Expected,
    latest: TimestampMs,
}

impl Input {
    async fn open(client: &Client, topic: &str) -> Self {
        let mut producer = ExclusiveProducer::open(client, ProducerConfig::default()).await.expect("a producer opens");
        let topic = producer.topic(topic).await.expect("the topic is there");
        Self { producer, topic, expected: Expected::new(WINDOW_MS), latest: TimestampMs(0) }
    }

    async fn write(&mut self, lines: impl Iterator<Item = Line>) {
        for Line { partition, timestamp, text } in lines {
            self.expected.add_line(timestamp, &text);
            self.latest = self.latest.max(timestamp);
            let value = Some(text.as_bytes());
            let appended =
                self.producer.append(self.topic, partition, NewRecord { timestamp, value, ..NewRecord::default() });
            appended.expect("the buffer has room");
        }
        self.producer.flush().await.expect("every line is acknowledged");
    }

    /// Writes a line far in the future to every partition, which closes the windows before it.
    async fn close_windows(mut self) -> (Expected, i64) {
        let end_ms = self.latest.0 - self.latest.0 % WINDOW_MS + WINDOW_MS;
        let line = |partition| Line {
            partition: PartitionId(partition),
            timestamp: TimestampMs(end_ms + 3_600_000),
            text: "end".to_owned(),
        };
        self.write((0..PARTITIONS.cast_signed()).map(line)).await;
        self.expected.forget_from(end_ms);
        (self.expected, end_ms)
    }
}

fn check<'a>(
    expected: &Expected,
    end_ms: i64,
    emit: Emit,
    records: impl IntoIterator<Item = &'a KeptRecord>,
) -> CheckReport {
    let output = records.into_iter().map(|record| {
        let (word, value) = record.text();
        counted(word, value)
    });
    expected.check_before(end_ms, emit, output)
}

/// An output record: the word is the key, the value is JSON.
fn counted(word: &str, value: &str) -> Counted {
    let json: serde_json::Value = serde_json::from_str(value).expect("the value is JSON");
    let window_start_ms = json["window_start"].as_i64().expect("a window has a start");
    let count = json["count"].as_u64().expect("a count is a number");
    Counted { word: word.to_owned(), window_start_ms, count }
}

fn seed() -> u64 {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("WATERWHEEL_SEED is a number"));
    given.unwrap_or_else(|| RandomState::new().hash_one("exactly once") % 1_000_000)
}
