//! Latency at a steady rate, from the creation of a record to its result at a `read_committed` reader, and its cost.
//!
//! ```text
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- latency [--rate 5000] [--partitions 6]
//!     [--stages 1] [--seconds 10] [--transaction-version 2] [--brokers 1] [KEY=VALUE ..]
//! ```
//! With several brokers each partition has a replica on three of them, and each record waits for all that are in sync.
//! The record's value is the moment of its creation. A job of one stage hands it on in upper case; a job of two stages
//! shuffles it and puts out the last value of a key after each commit. `KEY=VALUE` are settings of the job.
//!
//! The broker's CPU is printed with and without the job, since the load and the reader cause a good part of it.
//! The program that makes the load shares the machine with both.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka_wire::admin::NewTopic;
use kafka_wire::client::{Client, ClientConfig, Consumer, ExclusiveProducer};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::consumer::{ConsumerConfig, Fetched};
use kafka_wire::producer::{NewRecord, ProducerConfig};
use kafka_wire::record::RawHeaders;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId, TimestampMs};
use processor::{App, BuildErrors, Config, Emit, I64, Nullable, Partitions, Raw, Topology, Tumbling, Utf8};
use testkit::real::{RealCluster, RealConfig, RealKafka};
use tokio::sync::oneshot;

use crate::measure::cpu_seconds;

/// The load, and the job under it.
#[derive(Clone)]
pub(crate) struct Load {
    rate: u64,
    partitions: i32,
    stages: u32,
    seconds: u64,
    transaction_version: i16,
    brokers: usize,
    settings: Vec<String>,
}

impl Load {
    /// Reads the arguments behind `latency`; `None` if they cannot be used.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Option<Self> {
        let mut load = Self {
            rate: 5_000,
            partitions: 6,
            stages: 1,
            seconds: 10,
            transaction_version: 2,
            brokers: 1,
            settings: Vec::new(),
        };
        while let Some(name) = given.next() {
            match name.as_str() {
                "--rate" => load.rate = given.next()?.parse().ok().filter(|rate| *rate > 0)?,
                "--partitions" => load.partitions = given.next()?.parse().ok().filter(|count| *count > 0)?,
                "--stages" => load.stages = given.next()?.parse().ok().filter(|stages| [1, 2].contains(stages))?,
                "--seconds" => load.seconds = given.next()?.parse().ok().filter(|seconds| *seconds > 0)?,
                "--transaction-version" => load.transaction_version = given.next()?.parse().ok()?,
                "--brokers" => load.brokers = given.next()?.parse().ok().filter(|brokers| *brokers > 0)?,
                setting if setting.contains('=') => load.settings.push(name),
                _ => return None,
            }
        }
        Some(load)
    }

    /// Measures, and prints the results.
    pub(crate) async fn measure(&self) -> Result<bool, Box<dyn Error>> {
        let kafka = RealCluster::start(self.brokers, self.broker_config()).await?;
        let broker = Processes(kafka.nodes().iter().map(broker_id).collect::<Result<_, _>>()?);
        let client = Client::connect(ClientConfig::new(&kafka.bootstrap())).await?;
        for topic in [INPUT, OUTPUT] {
            let configs = vec![("retention.ms".into(), "-1".into())];
            let topic = NewTopic { configs, ..NewTopic::new(topic, self.partitions) };
            for (_, outcome) in client.create_topics(&[topic]).await? {
                outcome?;
            }
        }
        for topic in [INPUT, OUTPUT] {
            for partition in 0..self.partitions {
                client.leader(topic, PartitionId(partition)).await?;
            }
        }
        let started = Instant::now();
        let (stop, stopped) = oneshot::channel();
        let writing = tokio::spawn(write(client.clone(), self.clone(), started, stopped));
        let mut reader = self.reader(&client);
        let mut seen = Seen::default();
        seen.read_until(&mut reader, started, started + BASE_WARM_UP).await?;
        let base = broker.share_of(async || seen.read_until(&mut reader, started, Instant::now() + BASE).await).await?;

        let directory = std::env::temp_dir().join(format!("bench-latency-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let job_started = Instant::now();
        let job = self.start_job(&kafka.bootstrap(), &directory)?;
        seen = Seen { since: Some(job_started), ..Seen::default() };
        let by = job_started + FIRST_MAX;
        while seen.first.is_none() && Instant::now() < by {
            seen.read_until(&mut reader, started, Instant::now() + Duration::from_millis(10)).await?;
        }
        let first = seen.first.map(|first| first - job_started);
        seen.read_until(&mut reader, started, Instant::now() + WARM_UP).await?;
        seen = Seen { since: Some(Instant::now()), ..Seen::default() };
        let ours = Processes(vec![job.0.id()]);
        let ours_before = ours.cpu_seconds();
        let span = Duration::from_secs(self.seconds);
        let with = broker.share_of(async || seen.read_until(&mut reader, started, Instant::now() + span).await).await?;
        let job_share = (ours.cpu_seconds() - ours_before) / span.as_secs_f64();
        let _ = stop.send(());
        let lost = writing.await?;
        seen.print(self, first);
        println!(
            "broker {:.0} % of a core, {:.0} % without the job; job {:.0} %; {}; load: {lost:?}",
            with * 100.0,
            base * 100.0,
            job_share * 100.0,
            job.finish()?
        );
        fs::remove_dir_all(&directory)?;
        Ok(first.is_some())
    }

    fn broker_config(&self) -> RealConfig {
        let copies = self.brokers.min(3);
        let majority = copies / 2 + 1;
        let properties = [
            ("default.replication.factor", copies),
            ("min.insync.replicas", majority),
            ("offsets.topic.replication.factor", copies),
            ("transaction.state.log.replication.factor", copies),
            ("transaction.state.log.min.isr", majority),
        ];
        RealConfig {
            transaction_version: self.transaction_version,
            properties: properties.map(|(key, value)| (key.to_owned(), value.to_string())).into(),
            ..RealConfig::for_measuring()
        }
    }

    fn reader(&self, client: &Client) -> Consumer {
        let isolation = IsolationLevel::ReadCommitted;
        let mut reader = Consumer::new(client.clone(), ConsumerConfig { isolation, ..ConsumerConfig::default() });
        for partition in 0..self.partitions {
            reader.assign(TopicPartition::new(OUTPUT, PartitionId(partition)), Offset(0));
        }
        reader
    }

    fn start_job(&self, bootstrap: &str, directory: &Path) -> Result<Job, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        let (stages, partitions) = (self.stages.to_string(), self.partitions.to_string());
        command.args(["latency-job", bootstrap, &stages, &partitions]).arg(directory).args(&self.settings);
        Ok(Job(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?))
    }
}

/// The process that is measured: runs the job until stdin closes, and prints its status.
pub(crate) async fn run_job(mut given: impl Iterator<Item = String>) -> Result<bool, Box<dyn Error>> {
    let mut next = || given.next().ok_or("latency-job takes BOOTSTRAP STAGES PARTITIONS DIRECTORY [KEY=VALUE ..]");
    let (bootstrap, stages, partitions, directory) = (next()?, next()?, next()?.parse()?, next()?);
    let mut config = Config::new(&bootstrap);
    config.set("state.dir", &directory)?;
    for setting in given {
        let (key, value) = setting.split_once('=').ok_or("a setting is KEY=VALUE")?;
        config.set(key, value)?;
    }
    let (closed, stdin_closed) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = closed.send(());
    });
    let status = App::new(topology(&stages, partitions)?, config).run_until(stdin_closed).await?;
    println!("{} commits, {} aborts, {} restarts", status.commits, status.aborts, status.restarts);
    Ok(true)
}

fn topology(stages: &str, partitions: i32) -> Result<Topology, BuildErrors> {
    let mut builder = Topology::builder("latency");
    if stages == "1" {
        let lines = builder.stream(INPUT, Utf8);
        lines.map(|record| record.value.to_ascii_uppercase()).to(OUTPUT, Nullable(Raw), processor::serde::Text);
    } else {
        builder
            .keyed_stream(INPUT, Raw, Raw)
            .key_by("by-key", Partitions(partitions), (Raw, Raw), |record| (record.key, record.value))
            .window(Tumbling::of(Duration::from_secs(100 * 365 * 24 * 3_600)))
            .aggregate("last", I64, Emit::OnUpdate, || 0, |last, record| *last = created(record.value).unwrap_or(-1))
            .map(|last| format!("{:020}", last.value))
            .to(OUTPUT, Raw, processor::serde::Text);
    }
    builder.build()
}

/// Returns the moment that a value holds, in microseconds since the start.
fn created(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value.get(..20)?).ok()?.parse().ok()
}

/// Writes records at the rate, each with the moment of its creation. Returns how often it fell behind.
async fn write(
    client: Client,
    load: Load,
    started: Instant,
    mut stopped: oneshot::Receiver<()>,
) -> Result<u64, String> {
    let tell = |error: &dyn std::fmt::Display| error.to_string();
    let config = ProducerConfig { linger: Duration::ZERO, ..ProducerConfig::default() };
    let mut producer = ExclusiveProducer::open(&client, config).await.map_err(|error| tell(&error))?;
    let topic = producer.topic(INPUT).await.map_err(|error| tell(&error))?;
    let mut tick = tokio::time::interval(TICK);
    let (mut sent, mut behind) = (0_u64, 0);
    while stopped.try_recv().is_err() {
        tick.tick().await;
        let due = (started.elapsed().as_secs_f64() * load.rate as f64) as u64;
        behind += u64::from(due.saturating_sub(sent) > load.rate / 20);
        // Records of one moment go to one partition, as with a sticky partitioner.
        let partition = i32::try_from(sent % load.partitions.unsigned_abs() as u64).map_err(|error| tell(&error))?;
        while sent < due {
            let partition = if load.stages == 1 { partition } else { (sent % load.partitions as u64) as i32 };
            let value = format!("{:020} {:079}", started.elapsed().as_micros(), sent);
            let key = u64::to_be_bytes(sent % KEYS);
            let (timestamp, partition) =
                (TimestampMs(START + started.elapsed().as_millis() as i64), PartitionId(partition));
            let headers = RawHeaders::EMPTY;
            let record = NewRecord { timestamp, key: Some(&key), value: Some(value.as_bytes()), headers };
            let appended = producer.append(topic, partition, record);
            appended.map_err(|error| tell(&error))?;
            sent += 1;
        }
    }
    producer.close().await.map_err(|error| tell(&error))?;
    Ok(behind)
}

/// Results that the reader has seen.
#[derive(Default)]
struct Seen {
    since: Option<Instant>,
    first: Option<Instant>,
    /// Number of records by latency in tenths of a millisecond.
    latencies: BTreeMap<u64, u64>,
}

impl Seen {
    async fn read_until(
        &mut self,
        reader: &mut Consumer,
        started: Instant,
        until: Instant,
    ) -> Result<(), Box<dyn Error>> {
        let mut buffer = Decompressed::default();
        loop {
            match tokio::time::timeout_at(until.into(), reader.poll()).await {
                Ok(fetched) => self.take(fetched?, started, &mut buffer)?,
                Err(_) => return Ok(()),
            }
        }
    }

    fn take(
        &mut self,
        mut fetched: Fetched,
        started: Instant,
        buffer: &mut Decompressed,
    ) -> Result<(), Box<dyn Error>> {
        let now = Instant::now();
        while let Some(batch) = fetched.next_batch() {
            let batch = batch?;
            for record in batch.batch.open(buffer)? {
                let record = record?;
                let Some(micros) = record.value.and_then(created) else { continue };
                let created = started + Duration::from_micros(micros.unsigned_abs());
                if record.offset < batch.position.0 {
                    continue;
                }
                // Records from before the start of the job say nothing about its latency.
                if self.since.is_none_or(|since| created >= since) {
                    *self.latencies.entry((now - created).as_micros() as u64 / 100).or_default() += 1;
                }
                self.first.get_or_insert(now);
            }
        }
        Ok(())
    }

    fn quantile(&self, share: f64) -> f64 {
        let all: u64 = self.latencies.values().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut count = 0;
        let mut slower = self.latencies.iter().skip_while(|(_, records)| {
            count += **records;
            count < wanted
        });
        slower.next().map_or(f64::NAN, |(latency, _)| *latency as f64 / 10.0)
    }

    fn print(&self, load: &Load, first: Option<Duration>) {
        let Load { rate, partitions, stages, seconds, .. } = load;
        let records: u64 = self.latencies.values().sum();
        let first = first.map_or_else(|| "never".to_owned(), |first| format!("{:.2} s", first.as_secs_f64()));
        println!(
            "{stages} stage(s), {partitions} partitions, {rate}/s for {seconds} s: {records} results, p50 {:.1} ms, p99 {:.1} ms, \
             p99.9 {:.1} ms; first result after {first}",
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(0.999),
        );
    }
}

/// The job's process; it stops by itself when its stdin closes.
struct Job(Child);

impl Job {
    /// Ends the process. Returns the status that it printed.
    fn finish(mut self) -> Result<String, Box<dyn Error>> {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().ok_or("stdout is a pipe")?.read_to_string(&mut said)?;
        Ok(said.trim().to_owned())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processes by their ids.
struct Processes(Vec<u32>);

impl Processes {
    fn cpu_seconds(&self) -> f64 {
        let stats = self.0.iter().filter_map(|id| fs::read_to_string(format!("/proc/{id}/stat")).ok());
        stats.filter_map(|stat| cpu_seconds(&stat)).sum()
    }

    /// Returns the share of a core that the processes use during `work`.
    async fn share_of(&self, work: impl AsyncFnOnce() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
        let (before, began) = (self.cpu_seconds(), Instant::now());
        work().await?;
        Ok((self.cpu_seconds() - before) / began.elapsed().as_secs_f64())
    }
}

/// Returns the process whose command line names the broker's directory.
fn broker_id(kafka: &RealKafka) -> Result<u32, Box<dyn Error>> {
    let directory = kafka.data().parent().ok_or("the data lie in the node's directory")?.display().to_string();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(&directory) && line.contains("java") {
            return Ok(id);
        }
    }
    Err("the broker's process is not to be found".into())
}

const INPUT: &str = "latency-input";
const OUTPUT: &str = "latency-output";
const KEYS: u64 = 10_000;
const START: i64 = 1_700_000_000_000;
const TICK: Duration = Duration::from_millis(2);
const BASE_WARM_UP: Duration = Duration::from_secs(3);
const BASE: Duration = Duration::from_secs(4);
const WARM_UP: Duration = Duration::from_secs(5);
/// Longest wait for the first result.
const FIRST_MAX: Duration = Duration::from_secs(60);
