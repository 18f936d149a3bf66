//! `waterwheel demo`: the word count with exactly-once, with workers that are killed on the way, and an audit that
//! decides the exit code.
//!
//! The steps: write the input and count it independently, run the job to its end while workers are killed,
//! read the output as any consumer would, and compare. The count shares no code with the job.

mod audit;
mod counts_file;
mod cpu;
mod input;
mod job;
mod load;
mod options;
mod progress;
mod raw_log;
mod read_back;
mod report;
mod topics;

use std::collections::VecDeque;
use std::error::Error;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka_wire::client::Client;
use kafka_wire::rng::Rng;
use processor::runtime::Deaths;
use processor::{App, CompressionType, Config, Running, Topology, check_brokers};
use testkit::broker::{Broker, BrokerConfig};

use self::audit::{Expected, Extent, Totals};
use self::counts_file::CountsFile;
use self::input::Input;
pub(crate) use self::options::Options;
use self::progress::Progress;
use self::report::{Place, Read, Report, Work};
use self::topics::Names;
use crate::output::{self, note};
use crate::signal::{Signal, Stop};

/// Runs the demo; the exit code is 0 only when the audit is clean.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(misuse) = options.misuse() {
        note!("error: {misuse}");
        return Ok(ExitCode::from(2));
    }
    let stop = Stop::listen()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(demo(options, stop))
}

async fn demo(options: &Options, mut stop: Stop) -> Result<ExitCode, Box<dyn Error>> {
    let started_ms = i64::try_from(wall_clock().as_millis())?;
    let first_ms = started_ms - LEAD_MS;
    let input = match options.input.as_slice() {
        [] => Input::made(options.records.unwrap_or(RECORDS), options.seed, first_ms),
        paths => Input::texts(paths, options.records, options.seed, first_ms)?,
    };
    // The file is opened before the work, so that a mistyped path does not cost an hour of it.
    let counts_file = options.counts.as_deref().map(CountsFile::open).transpose()?;
    let (embedded, bootstrap_servers) = broker(options)?;

    let names = Names::new(started_ms);
    let topology = job::topology(&names, options.partitions, options.words)?;
    let place = Place {
        bootstrap_servers,
        is_embedded: embedded.is_some(),
        topics: names.topics(&topology),
        group: names.application_id.clone(),
    };
    let config = config(options, &place)?;
    let client = tokio::select! {
        connected = Client::connect(config.client_config()?) => connected?,
        signal = stop.wait() => return Ok(interrupted_early(signal)),
    };
    let run = Run { options, names: &names, place: &place, client: &client, config };
    let outcome = run.to_the_end(input, topology, counts_file, &mut stop).await;
    if options.hold && outcome.is_ok() {
        hold(&place, &names, &mut stop).await;
    }
    leave(options, &client, &place).await;
    outcome
}

/// One run, from the creation of the topics to the audit.
struct Run<'a> {
    options: &'a Options,
    names: &'a Names,
    place: &'a Place,
    client: &'a Client,
    config: Config,
}

impl Run<'_> {
    async fn to_the_end(
        &self,
        input: Input,
        topology: Topology,
        counts_file: Option<CountsFile>,
        stop: &mut Stop,
    ) -> Result<ExitCode, Box<dyn Error>> {
        let Self { options, names, place, client, config } = self;
        note!("input      {}", input.describe());
        if input.is_standard_input() && std::io::stdin().is_terminal() {
            note!("           type lines; Ctrl-D ends them");
        }
        check_brokers(client).await?;
        topics::create(client, names, options.partitions).await?;
        let expected = Expected::new(job::WINDOW_MS, options.words.test());
        let (loaded, expected) = match load::load(client, &names.lines, input, expected, stop).await? {
            load::Outcome::Whole(loaded, expected) => (loaded, expected),
            load::Outcome::Interrupted(loaded, signal) => {
                note!("loaded     {loaded}, and the input went on");
                return Ok(interrupted_early(signal));
            }
        };
        note!("loaded     {loaded}");

        note!("{}", indent(&topology.describe()).trim_end());
        let deaths = Deaths::default();
        let app = App::new(topology, config.clone()).bounded().with_deaths(&deaths);
        let work = work((app.start().await?, deaths), options, loaded.lines, stop).await?;

        let read = Read { lines: loaded.lines, lines_not_utf8: expected.undecodable };
        let extent = match work.interrupted {
            Some(_) => Extent::Stopped { partitions: options.partitions },
            None => Extent::Whole,
        };
        let mut audit = expected.audit();
        let aborted = read_back::read(client, &names.counts, |result| audit.take(result)).await?;
        let (outcome, totals) = audit.end(extent);
        let report = Report::new(read, &work, (&outcome, &totals), &aborted, place);
        tell(options, &report, &totals, counts_file)?;
        Ok(match work.interrupted {
            _ if !report.is_clean() => ExitCode::from(1),
            Some(signal) => signal.into(),
            None => ExitCode::SUCCESS,
        })
    }
}

/// The settings of the job, and of the demo's own client.
fn config(options: &Options, place: &Place) -> Result<Config, Box<dyn Error>> {
    let mut config = Config::new(&place.bootstrap_servers);
    config.workers = usize::from(options.workers);
    // The embedded broker holds its logs in memory: keep them small.
    config.compression = CompressionType::Lz4;
    config.purge_interval = Duration::from_millis(500);
    // A word may be as long as a line, so the job's own topics have to take the same batch sizes as those
    // of input and output.
    config.set("topic.max.message.bytes", topics::BATCH_BYTES_MAX)?;
    // Every run has an application id of its own, so there is nothing to keep for a restart.
    config.instance_id = Some("demo".to_owned());
    options.cluster.apply(&mut config)?;
    Ok(config)
}

/// Prints the result and then writes the file of counts: an error of the file must not lose the audit.
fn tell(options: &Options, report: &Report, totals: &Totals, counts: Option<CountsFile>) -> Result<(), String> {
    if options.json {
        output::print(&report.json())?;
    } else if counts.as_ref().is_some_and(CountsFile::is_stdout) {
        note!("{}", report.to_string().trim_end());
    } else {
        output::print(&report.to_string())?;
    }
    counts.map_or(Ok(()), |counts| counts.write(totals))
}

/// Waits for a signal, so that clients can look at the topics.
async fn hold(place: &Place, names: &Names, stop: &mut Stop) {
    note!("holding    {} until Ctrl-C", place.bootstrap_servers);
    show_how_to_read(place, names.counts.as_str());
    stop.wait().await;
}

/// Deletes the topics and the group of the run from a cluster, or lists the ones that stay. The embedded
/// broker needs no clean-up.
async fn leave(options: &Options, client: &Client, place: &Place) {
    if place.is_embedded {
        return;
    }
    let (servers, group) = (&place.bootstrap_servers, &place.group);
    let how = format!(
        "kafka-topics.sh --bootstrap-server {servers} --delete --topic '{group}-.*', and \
         kafka-consumer-groups.sh --bootstrap-server {servers} --delete --group {group}"
    );
    if options.keep {
        note!("kept       topics {}; group {group}", place.topics.join(", "));
        note!("           delete them: {how}");
        return;
    }
    let left = topics::delete(client, &place.topics, group).await;
    if left.is_empty() {
        note!("deleted    {} topics and the group {group} (--keep keeps them)", place.topics.len());
        return;
    }
    for what in left {
        note!("left       {what}");
    }
    note!("           delete what is left: {how}");
}

fn show_how_to_read(place: &Place, topic: &str) {
    let servers = &place.bootstrap_servers;
    note!("           read it yourself: kafka-console-consumer.sh --bootstrap-server {servers} --topic {topic} \\");
    note!("             --from-beginning --isolation-level read_committed --formatter-property print.key=true");
}

fn interrupted_early(signal: Signal) -> ExitCode {
    note!("stopped    {} came before the job began: nothing was counted", signal.name());
    signal.into()
}

/// The embedded broker if no cluster is given; dropping it stops it.
fn broker(options: &Options) -> Result<(Option<Broker>, String), Box<dyn Error>> {
    if let Some(servers) = options.cluster() {
        note!("broker     {servers}{}", options.cluster.origin());
        return Ok((None, servers));
    }
    let port = options.port.unwrap_or_default();
    let config = BrokerConfig { port, ..BrokerConfig::default() };
    let broker = Broker::start_on_thread(config)
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}; choose another --port"))?;
    let address = broker.address();
    note!("broker     {address}  (embedded, in memory; attach any Kafka client: kcat -b {address} -L)");
    Ok((Some(broker), address))
}

/// Runs the job to its end, and kills workers at the moments that the seed gives.
async fn work(
    (mut running, deaths): (Running, Deaths),
    options: &Options,
    lines: u64,
    stop: &mut Stop,
) -> Result<Work, Box<dyn Error>> {
    let mut rng = Rng::from_seed(options.seed);
    let mut victims = rng.clone();
    // Kill k falls into the k-th of equal parts of the first two thirds: a kill takes a moment, and the rest is short.
    let part = lines * 2 / 3 / u64::from(options.kills.max(1));
    let mut kills = (0..u64::from(options.kills)).map(|kill| kill * part + rng.below(part)).collect::<VecDeque<_>>();
    let mut kills_wished = 0;
    let started = now();
    let cpu_before = cpu::seconds();
    let mut progress = Progress::new(started);
    let mut interrupted = None;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            biased;
            finished = running.finished() => {
                finished?;
                break;
            }
            signal = stop.wait() => {
                note!("stopping   after {}; once more exits at once, and leaves topics on a cluster", signal.name());
                interrupted = Some(signal);
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
                    deaths.kill(busy[usize::try_from(victims.below(busy.len() as u64))?]);
                }
            }
        }
    }
    let status = running.stop().await?;
    if interrupted.is_none() && status.kills < u64::from(options.kills) {
        note!("           kills {} of {}: the input ended before the next", status.kills, options.kills);
    }
    Ok(Work {
        status,
        seconds: (now() - started).as_secs_f64(),
        cpu_seconds: cpu::seconds().zip(cpu_before).map(|(after, before)| after - before),
        interrupted,
    })
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

/// Event times begin 30 days ago and advance by a millisecond per line, so that those of the first 2,592 million lines
/// lie in the past. Brokers refuse timestamps ahead of their clock.
const LEAD_MS: i64 = 30 * 86_400_000;
const RECORDS: u64 = 500_000;

pub(crate) const EXIT_CODES: &str = "Exit codes: 0 every word was counted exactly once; 1 the audit is not clean, or the run \
    failed; 2 wrong usage; 130 stopped by Ctrl-C, 143 by SIGTERM, and what was out until then is clean. The result goes to \
    standard output, everything else to stderr. A second Ctrl-C or SIGTERM ends the run at once, without an audit.";
