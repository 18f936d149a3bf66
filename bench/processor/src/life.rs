//! Measurements of Waterwheel's processes over their life: killed and started again, or idle.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kafka_wire::client::{Client, ClientConfig, ExclusiveProducer};
use kafka_wire::producer::ProducerConfig;
use kafka_wire::types::{IsolationLevel, PartitionId};
use testkit::real::{RealConfig, RealKafka};

use crate::input::{self, Job, Open};
use crate::kafka::{self, PARTITIONS, Record};
use crate::measure::{Process, QUIET};
use crate::systems::System;

/// Job B1 is killed with SIGKILL when it has counted its input, gets one more record in each partition, and is started
/// again. Measures the time until the first of their results, and until all of them.
pub(crate) async fn restart(records: u64) -> Result<(), Box<dyn Error>> {
    let stage = Stage::set(Job::Count, records).await?;
    let mut process = stage.start()?;
    stage.until_done(&mut process).await?;
    tokio::time::sleep(COMPACTION).await;
    let changelog = format!("{}-counts-changelog", stage.application);
    let timestamp_ms = stage.newest_ms;
    for _ in 0..RESTARTS {
        let offsets = kafka::ends(&stage.client, &changelog, IsolationLevel::ReadUncommitted).await?;
        // Dropping it kills the process.
        drop(process);
        let before = kafka::ends(&stage.client, &stage.output, IsolationLevel::ReadCommitted).await?;
        stage.append_to_each(timestamp_ms).await?;
        let input_end = kafka::ends(&stage.client, &stage.input, IsolationLevel::ReadUncommitted).await?;
        let started = Instant::now();
        process = stage.start()?;
        let mut first = None;
        loop {
            process.look();
            let output = kafka::ends(&stage.client, &stage.output, IsolationLevel::ReadCommitted).await?;
            first = first.or_else(|| (output > before).then(|| (started.elapsed(), process.cpu_seconds)));
            if kafka::committed(&stage.client, &stage.application, &stage.input).await? == input_end {
                break;
            }
            if let Some(end) = process.ended()? {
                return Err(format!("the process ended, {end}").into());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let (first, first_cpu) = first.ok_or("a commit without a result")?;
        let (all, all_cpu) = (started.elapsed(), process.cpu_seconds);
        println!(
            "changelog of {offsets} offsets: first new result after {:.2} s (CPU {first_cpu:.2} s), all after {:.2} s (CPU {all_cpu:.2} s)",
            first.as_secs_f64(),
            all.as_secs_f64(),
        );
    }
    process.stop().await;
    Ok(())
}

/// Measures jobs whose windows stay open: CPU for a record, CPU of the process while no record comes, and memory.
pub(crate) async fn windows(records: u64) -> Result<(), Box<dyn Error>> {
    for open in [Open::Many, Open::VeryMany] {
        let stage = Stage::set(Job::OpenWindows(open), records.max(open.count())).await?;
        let mut process = stage.start()?;
        let cpu_seconds = stage.until_done(&mut process).await?;
        process.look();
        let (before, from) = (process.cpu_seconds, Instant::now());
        tokio::time::sleep(IDLE).await;
        process.look();
        let idle = (process.cpu_seconds - before) / from.elapsed().as_secs_f64();
        println!(
            "{} open windows: {:.3} CPU s per million records; idle {:.1} % of a core; {:.0} MiB resident at the most",
            open.count(),
            cpu_seconds / (records.max(open.count()) as f64 / 1e6),
            idle * 100.0,
            process.rss_kib / 1024.0,
        );
        process.stop().await;
    }
    Ok(())
}

/// A cluster with the input of a job.
struct Stage {
    /// Must live as long as the cluster is used.
    _kafka: RealKafka,
    client: Client,
    job: Job,
    bootstrap: String,
    application: String,
    input: String,
    output: String,
    newest_ms: i64,
    directory: PathBuf,
}

impl Stage {
    async fn set(job: Job, records: u64) -> Result<Self, Box<dyn Error>> {
        let kafka = RealKafka::start(RealConfig::for_measuring()).await?;
        let bootstrap = kafka.bootstrap().to_owned();
        let client = Client::connect(ClientConfig::new(&bootstrap)).await?;
        let application = format!("{}-life", job.name());
        let (input, output) = (format!("{application}-input"), format!("{application}-output"));
        kafka::create_topic(&client, &input).await?;
        kafka::create_topic(&client, &output).await?;
        input::load(&client, &input, job, records).await?;
        let directory = std::env::temp_dir().join(format!("bench-processor-{}-{application}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let newest_ms = kafka::now_ms()?;
        Ok(Self { _kafka: kafka, client, job, bootstrap, application, input, output, newest_ms, directory })
    }

    fn start(&self) -> Result<Process, Box<dyn Error>> {
        let state = self.directory.join("state").display().to_string();
        let place = [self.job.name(), &self.bootstrap, &self.application, &self.input, &self.output, &state];
        Process::start(System::Waterwheel.command(&place, None)?, &self.directory)
    }

    /// Waits until the input is committed and the process has been quiet for a while. Returns its CPU seconds until
    /// the commit.
    async fn until_done(&self, process: &mut Process) -> Result<f64, Box<dyn Error>> {
        let input_end = kafka::ends(&self.client, &self.input, IsolationLevel::ReadUncommitted).await?;
        while kafka::committed(&self.client, &self.application, &self.input).await? != input_end {
            if let Some(end) = process.ended()? {
                return Err(format!("the process ended, {end}").into());
            }
            tokio::time::sleep(10 * LOOK_INTERVAL).await;
        }
        process.look();
        let cpu_seconds = process.cpu_seconds;
        tokio::time::sleep(QUIET).await;
        Ok(cpu_seconds)
    }

    async fn append_to_each(&self, timestamp_ms: i64) -> Result<(), Box<dyn Error>> {
        let mut producer = ExclusiveProducer::open(&self.client, ProducerConfig::default()).await?;
        let topic = producer.topic(&self.input).await?;
        for partition in 0..PARTITIONS {
            let record = Record { key: vec![1], value: 1_u64.to_be_bytes().to_vec(), timestamp_ms };
            kafka::append(&mut producer, topic, PartitionId(partition), &record).await?;
        }
        Ok(producer.flush().await?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A directory that is left over lies with the other temporary files.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

const RESTARTS: usize = 4;
/// A broker checks every 15 s whether a log has to be compacted.
const COMPACTION: Duration = Duration::from_secs(35);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const IDLE: Duration = Duration::from_secs(10);
