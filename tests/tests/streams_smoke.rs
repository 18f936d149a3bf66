//! Kafka Streams' smoke test, with an application of this library: Kafka's own driver writes the input while processes
//! of the application are killed with SIGKILL and started again, and Kafka's own verifier judges what they put out.
//!
//! The driver and the verifier are `SmokeTestDriver` of Kafka's jars, started by `tests/java/StreamsOracle.java`; the
//! application is [`conformance::streams_smoke`]. The names of its topics are fixed, so each test has a broker of its
//! own. A run prints its seed; `WATERWHEEL_SEED` repeats it, as far as the machine's timing allows.

#[path = "streams_smoke/sliding.rs"]
mod sliding;

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance::streams_smoke::{Mistake, TOPICS, application};
use conformance::wordcount::WordCount;
use conformance::{connect, eventually, kafka_version, skip};
use kafka_wire::admin::NewTopic;
use kafka_wire::rng::Rng;
use kafka_wire::types::PartitionId;
use processor::{App, Config, Serde, SessionWindowed, TimeWindowed, Utf8, Window};
use testkit::broker::{Broker, BrokerConfig};
use testkit::real::{RealConfig, RealKafka, java_source};
use tokio::time::{Instant, sleep};

/// The application.
const PROGRAM: &str = env!("CARGO_BIN_EXE_streams-smoke");
const PROCESSES: usize = 3;
const PARTITIONS: i32 = 2;
/// Longest wait for the driver's next step, in particular for its verdict.
const VERDICT_WAIT_MAX: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_accepts_the_application_on_kafka() {
    let config = RealConfig { version: kafka_version(), ..RealConfig::default() };
    match RealKafka::start(config).await {
        Ok(kafka) => accepts(kafka.bootstrap()).await,
        Err(unavailable) => skip("the smoke test of Kafka Streams", &unavailable.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_accepts_the_application_on_the_embedded_broker() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port of the loopback is free");
    accepts(&broker.address()).await;
}

/// The suite can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_refuses_sums_that_are_off_by_one() {
    let broker = Broker::start(BrokerConfig::default()).await.expect("a port of the loopback is free");
    let brokers = broker.address();
    create_topics(&brokers).await;
    let temporary = temporary("streams-smoke-mistake");
    let mut config = Config::new(&brokers);
    config.state_dir.clone_from(&temporary.join("state"));
    let running = App::new(application("smoke", Mistake::SumOffByOne), config).start().await.expect("the job starts");
    let Some(oracle) = oracle() else { return };
    let mut driver = Driver::start(oracle, &brokers, 4, 100, 1);
    // The verifier looks every five seconds, and gives up after half an hour of that.
    driver.wait_for("the second refusal", "Retrying...2").await;
    driver.kill();
    let said = driver.said();
    assert!(!said.contains("SUCCESS"), "{said}");
    running.stop().await.expect("the job stops");
    let _ = std::fs::remove_dir_all(&temporary);
}

/// Runs the smoke test with three processes, of which one dies every second or two.
async fn accepts(brokers: &str) {
    create_topics(brokers).await;
    // Jars that have to be loaded come before the look at the clock.
    let Some(oracle) = oracle() else { return };
    until_the_day_is_long_enough().await;
    let seed = seed();
    let (mut rng, temporary) =
        (Rng::from_seed(seed), temporary(&format!("streams-smoke-{}", brokers.replace(':', "-"))));
    let start = |_| WordCount::start_program(PROGRAM, &[brokers, "smoke"], &temporary);
    let mut processes: Vec<_> = (0..PROCESSES).map(start).collect();
    let mut driver = Driver::start(oracle, brokers, 10, 1_000, 22);
    let (mut kills, started) = (0, Instant::now());
    while !driver.has_said("GENERATED") {
        driver.check_alive();
        assert!(started.elapsed() < VERDICT_WAIT_MAX, "no end of the input in time\n{}", driver.said());
        sleep(Duration::from_millis(500 + rng.below(1_000))).await;
        let victim = usize::try_from(rng.below(PROCESSES as u64)).expect("a few");
        processes[victim].kill();
        kills += 1;
        sleep(Duration::from_millis(rng.below(800))).await;
        processes[victim].restart();
    }
    let logs = || processes.iter().map(WordCount::log).collect::<Vec<_>>().join("---\n");
    let status = driver.end(&logs).await;
    let said = driver.said();
    let is_exact = said.contains("recordGenerated=10000") && said.contains("recordProcessed=10000");
    let is_success = said.lines().any(|line| line == "SUCCESS") && said.contains("ALL-RECORDS-DELIVERED");
    assert!(status.success() && is_success && is_exact, "{status}, seed {seed}\n{said}\n{}", logs());
    assert!(kills >= 5, "only {kills} kills");
    for process in processes {
        let log = process.log();
        let (status, _) = process.stop().await;
        assert!(status.success(), "SIGTERM: {status}\n{log}");
    }
    // Written past the test harness, which hides the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "Kafka says SUCCESS after {kills} kills, seed {seed}");
    let _ = std::fs::remove_dir_all(&temporary);
}

/// Kafka's driver of the smoke test, at work.
struct Driver {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Driver {
    /// Starts it, to write `records` numbers for each of `keys` keys in about `seconds`.
    fn start(mut oracle: Command, brokers: &str, keys: u32, records: u32, seconds: u32) -> Self {
        oracle.args(["drive", brokers]).args([keys, records, seconds].map(|number| number.to_string()));
        let mut child = oracle.stdout(Stdio::piped()).spawn().expect("`java` was found");
        let out = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"));
        let said = Arc::<Mutex<String>>::default();
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, said }
    }

    /// Everything that it has said, without its reports of progress.
    fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_progress = |line: &&str| {
            ["records produced", "records processed", "Get some more", "{"].iter().any(|part| line.contains(part))
        };
        said.lines().filter(|line| !is_progress(line)).map(|line| format!("{line}\n")).collect()
    }

    fn has_said(&self, text: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).contains(text)
    }

    fn check_alive(&mut self) {
        let ended = self.child.try_wait().expect("the driver is ours");
        assert!(ended.is_none(), "the driver ended: {ended:?}\n{}", self.said());
    }

    async fn wait_for(&mut self, what: &str, text: &str) {
        let has_said = || {
            self.check_alive();
            std::future::ready(self.has_said(text).then_some(()))
        };
        eventually(what, VERDICT_WAIT_MAX, has_said).await;
    }

    /// Waits for its end.
    async fn end(&mut self, logs: &impl Fn() -> String) -> ExitStatus {
        let by = Instant::now() + VERDICT_WAIT_MAX;
        loop {
            if let Some(status) = self.child.try_wait().expect("the driver is ours") {
                return status;
            }
            let has_time = Instant::now() < by;
            assert!(has_time, "no verdict in time\n{}\n{}", self.said(), logs());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn kill(&mut self) {
        self.child.kill().expect("the driver is ours");
        self.child.wait().expect("the driver is ours");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Kafka Streams as an oracle; `None` where it cannot run.
fn oracle() -> Option<Command> {
    let java = Path::new(env!("CARGO_MANIFEST_DIR")).join("java");
    let pom = std::fs::read_to_string(java.join("streams.xml")).expect("the project is there");
    match java_source("kafka-streams-oracle-4.3.1", &pom, &java.join("StreamsOracle.java")) {
        Ok(command) => Some(command),
        Err(unavailable) => {
            skip("the oracle of Kafka Streams", &unavailable.to_string());
            None
        }
    }
}

/// Creates the topics of the smoke test. Its last records are two days ahead, which brokers refuse by default.
async fn create_topics(brokers: &str) {
    let client = connect(brokers).await;
    let configs = vec![("message.timestamp.after.max.ms".into(), i64::MAX.to_string().into())];
    let topic = |name: &&str| NewTopic { configs: configs.clone(), ..NewTopic::new(*name, PARTITIONS) };
    let topics: Vec<_> = TOPICS.iter().map(topic).collect();
    for (topic, outcome) in client.create_topics(&topics).await.expect("the cluster answers") {
        outcome.unwrap_or_else(|error| panic!("cannot create {topic:?}: {error}"));
    }
    for topic in TOPICS {
        for partition in 0..PARTITIONS {
            client.leader(topic, PartitionId(partition)).await.expect("a new topic gets leaders");
        }
    }
}

/// Waits for midnight if it is near: Kafka's verifier takes for granted that all records are of one day (UTC).
async fn until_the_day_is_long_enough() {
    #[expect(clippy::disallowed_methods, reason = "Kafka's driver takes the time of day as event time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let left = 86_400 - now.as_secs() % 86_400;
    if left < 120 {
        sleep(Duration::from_secs(left)).await;
    }
}

fn temporary(name: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the directory for temporary files can be written");
    directory
}

fn seed() -> u64 {
    let given = std::env::var("WATERWHEEL_SEED").ok().map(|seed| seed.parse().expect("a number"));
    given.unwrap_or_else(|| RandomState::new().hash_one(0))
}

/// Keys with windows are written and read as Kafka Streams does.
#[test]
fn keys_with_windows_have_the_bytes_of_kafka() {
    const SIZE: i64 = 5_000;
    const GAP: i64 = 700;
    let Some(mut command) = oracle() else { return };
    let mut rng = Rng::from_seed(seed());
    let mut cases = Vec::new();
    for number in 0..500 {
        let key: String =
            (0..1 + rng.below(9)).map(|_| char::from(b'a' + u8::try_from(rng.below(26)).expect("small"))).collect();
        let start = i64::try_from(rng.below(1 << 43)).expect("43 bits");
        let length = if number % 2 == 0 { SIZE } else { i64::try_from(rng.below(100_000)).expect("small") };
        cases.push((number % 2 == 0, key, start, start + length));
    }
    command.args(["keys", &SIZE.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`java` was found");
    let mut pipe = child.stdin.take().expect("stdin was asked to be a pipe");
    for (is_time, key, start, end) in &cases {
        let kind = if *is_time { "time" } else { "session" };
        writeln!(pipe, "{kind} {key} {start} {end}").expect("Java listens");
    }
    drop(pipe);
    let output = child.wait_with_output().expect("Java is ours");
    let answers = String::from_utf8(output.stdout).expect("Java speaks UTF-8");
    assert_eq!(answers.lines().count(), cases.len(), "{}\n{answers}", output.status);
    let (times, sessions) = (
        TimeWindowed::new(Utf8, Duration::from_millis(SIZE.unsigned_abs())),
        SessionWindowed::new(Utf8, Duration::from_millis(GAP.unsigned_abs())),
    );
    for ((is_time, key, start, end), answer) in cases.iter().zip(answers.lines()) {
        // Kafka's session ends with its last record, ours the gap later.
        let window = Window { start: *start, end: if *is_time { *end } else { end + GAP } };
        let mut bytes = Vec::new();
        let encoded = match is_time {
            true => times.encode(&(key.as_str(), window), &mut bytes),
            false => sessions.encode(&(key.as_str(), window), &mut bytes),
        };
        encoded.expect("text");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("{hex} {key} {start} {end}"), answer);
        let decoded = if *is_time { times.decode(&bytes) } else { sessions.decode(&bytes) };
        assert_eq!(decoded, Ok((key.as_str(), window)));
    }
}
