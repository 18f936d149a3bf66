//! `waterwheel demo`: the word count with exactly-once, workers killed on the way, and an audit that decides the exit
//! code.
//!
//! The way through: write the input, run the job to the end of it while workers die, read the output back as anybody
//! would, and compare it with a count that shares no code with the job.

mod audit;
mod cpu;
mod input;
mod job;
mod load;
mod progress;
mod raw_log;
mod read_back;

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ClientConfig};
use kafka_wire::rng::Rng;
use processor::{App, CompressionType, Config, Running};
use testkit::broker::{Broker, BrokerConfig};

use self::audit::{Expected, Verdict};
use self::input::Input;
use self::job::Words;
use self::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Text files, or folders of them, to count. Without it the demo makes lines of its own.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    input: Vec<PathBuf>,
    /// An Apache Kafka to run on, in place of the embedded broker.
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    /// Lines to count: 500,000 made-up ones, or at most so many of --input.
    #[arg(long, value_name = "N")]
    records: Option<u64>,
    /// Worker threads, each with its share of the partitions and a transaction of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How often a worker is killed in the middle of a transaction.
    #[arg(long, default_value_t = 3)]
    kills: u32,
    /// Decides the made-up lines, the event times and, as far as timing goes, which worker dies when.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Partitions of the input, repartition and output topics.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// What a word is: maximal runs of `ascii` letters and digits, as `tr` has it, or of `unicode` ones.
    #[arg(long, value_enum, default_value_t = Words::Ascii)]
    words: Words,
    /// Writes how often each word came, as `sort | uniq -c` prints it.
    #[arg(long, value_name = "FILE")]
    counts: Option<PathBuf>,
    /// Port of the embedded broker on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Keeps the broker up after the audit, until Ctrl-C, so that clients can look at the topics.
    #[arg(long)]
    hold: bool,
}

/// Runs the demo; the exit code is 0 only when the audit is clean.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(demo(options))
}

async fn demo(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let started_ms = i64::try_from(wall_clock().as_millis())?;
    let input = match options.input.as_slice() {
        [] => Input::made(options.records.unwrap_or(RECORDS), options.seed, started_ms - DAY_MS),
        paths => Input::files(paths, options.records, options.seed, started_ms - DAY_MS)?,
    };
    let (embedded, brokers) = broker(options)?;
    eprintln!("input      {}", input.describe());

    let names = Names::new(started_ms);
    let client = Client::connect(ClientConfig::new(&brokers)).await?;
    create_topics(&client, &names, options.partitions).await?;
    let loaded = load::load(&client, &names.lines, &input).await?;
    eprintln!("loaded     {loaded}");

    let mut config = Config::new(&brokers);
    config.workers = usize::from(options.workers);
    // The embedded broker holds its logs in memory: keep them small.
    config.compression = CompressionType::Lz4;
    config.purge_interval = Duration::from_millis(500);
    let topology = job::topology(&names, options.partitions, options.words)?;
    eprint!("{}", indent(&topology.describe()));
    let running = App::new(topology, config).bounded().start().await?;
    let status = work(running, options, loaded.lines).await?;

    let expected = Expected::count(&input, job::WINDOW_MS, options.words.test())?;
    let undecodable = (expected.undecodable, status.undecodable);
    let mut audit = expected.audit();
    let output = read_back::read(&client, &names.counts, |result| audit.take(result)).await?;
    let (verdict, totals) = audit.end();
    eprintln!("top words  {}", top(&totals));
    if let Some(path) = &options.counts {
        totals.write(BufWriter::new(File::create(path).map_err(|error| format!("{}: {error}", path.display()))?))?;
    }
    let is_clean = report(&verdict, undecodable, output.aborted_in_log, output.aborted_seen);
    eprintln!(
        "           read it yourself: kafka-console-consumer.sh --bootstrap-server {brokers} --topic {} \\",
        names.counts
    );
    eprintln!("             --from-beginning --isolation-level read_committed --formatter-property print.key=true");
    if options.hold && embedded.is_some() {
        eprintln!("holding    {brokers} stays up until Ctrl-C");
        tokio::signal::ctrl_c().await?;
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The embedded broker when no cluster is given; dropping it stops it.
fn broker(options: &Options) -> Result<(Option<Broker>, String), Box<dyn Error>> {
    if let Some(brokers) = &options.brokers {
        eprintln!("broker     {brokers}");
        return Ok((None, brokers.clone()));
    }
    let config = BrokerConfig { port: options.port, ..BrokerConfig::default() };
    let broker = Broker::start_on_thread(config)
        .map_err(|error| format!("cannot listen on 127.0.0.1:{}: {error}; choose another --port", options.port))?;
    let address = broker.address();
    eprintln!("broker     {address}  (embedded, in memory; attach any Kafka client: kcat -b {address} -L)");
    Ok((Some(broker), address))
}

/// Names of this run's topics; each run has its own, so that runs on one cluster do not meet.
#[derive(Debug)]
struct Names {
    application_id: String,
    lines: String,
    counts: String,
}

impl Names {
    fn new(started_ms: i64) -> Self {
        let application_id = format!("waterwheel-demo-{started_ms}");
        Self { lines: format!("{application_id}-lines"), counts: format!("{application_id}-counts"), application_id }
    }
}

async fn create_topics(client: &Client, names: &Names, partitions: i32) -> Result<(), Box<dyn Error>> {
    let topics = [&names.lines, &names.counts].map(|name| {
        let mut topic = NewTopic::new(name.as_str(), partitions);
        // Event times lie in the past, where retention would find them; a file may have long lines.
        topic.configs = vec![("retention.ms".into(), "-1".into()), ("max.message.bytes".into(), LINE_BYTES_MAX.into())];
        topic
    });
    for (topic, outcome) in client.create_topics(&topics).await? {
        outcome.map_err(|error| format!("topic {topic}: {error}"))?;
    }
    Ok(())
}

/// Runs the job to its end, killing workers at the moments that the seed gives.
async fn work(mut running: Running, options: &Options, lines: u64) -> Result<processor::Status, Box<dyn Error>> {
    let mut rng = Rng::from_seed(options.seed);
    let mut victims = rng.clone();
    // Kill k falls into the k-th of equal parts of the first two thirds: a kill takes a moment, and the rest is short.
    let part = lines * 2 / 3 / u64::from(options.kills.max(1));
    let mut kills = (0..u64::from(options.kills)).map(|kill| kill * part + rng.below(part)).collect::<VecDeque<_>>();
    let mut kills_wished = 0;
    let started = now();
    let cpu_before = cpu::seconds();
    let mut progress = Progress::new(started);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            biased;
            finished = running.finished() => {
                finished?;
                break;
            }
            _ = tick.tick() => {
                let status = running.status();
                progress.show(now(), &status);
                let busy = running.busy_workers();
                let is_time = status.kills == kills_wished && kills.front().is_some_and(|&at| status.records_in > at);
                if is_time && !busy.is_empty() {
                    kills.pop_front();
                    kills_wished += 1;
                    running.kill_worker(busy[usize::try_from(victims.below(busy.len() as u64))?]);
                }
            }
        }
    }
    let status = running.stop().await?;
    if status.kills < u64::from(options.kills) {
        eprintln!("           kills {} of {}: the input ended before the next", status.kills, options.kills);
    }
    progress.end(now(), &status, lines, cpu::seconds().zip(cpu_before).map(|(after, before)| after - before));
    Ok(status)
}

fn top(totals: &audit::Totals) -> String {
    let words: Vec<String> = totals.top(5).iter().map(|(word, count)| format!("{word} {count}")).collect();
    format!("{}  ({} different)", words.join(", "), totals.len())
}

fn report(verdict: &Verdict, undecodable: (u64, u64), aborted_in_log: u64, aborted_seen: u64) -> bool {
    let (refused_expected, refused) = undecodable;
    let is_clean = verdict.is_clean() && aborted_seen == 0;
    eprintln!(
        "audit      expected {}  got {}  lost {}  duplicated {}  windows twice {}  aborted records seen {aborted_seen} (of {aborted_in_log} in the log)",
        verdict.expected, verdict.got, verdict.lost, verdict.duplicated, verdict.repeated_windows
    );
    if refused_expected > 0 {
        eprintln!(
            "           {refused_expected} lines are not UTF-8 and were left out; the job reported {refused}, rereads after kills included"
        );
    }
    eprintln!("           {}", if is_clean { "clean: every word counted exactly once" } else { "NOT CLEAN" });
    is_clean
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("           {line}\n")).collect()
}

#[expect(clippy::disallowed_methods, reason = "the demo is an entrance of real time: it prints rates")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "event times of the input start now, so that retention keeps the topics")]
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Event times begin a day ago, so that none lies ahead of a broker's clock, which brokers refuse.
const DAY_MS: i64 = 86_400_000;
const LINE_BYTES_MAX: &str = "33554432";
const RECORDS: u64 = 500_000;
