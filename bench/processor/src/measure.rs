//! One run of one job on one system: start it, watch it until its output is complete, check, end it.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use kafka_wire::client::Client;
use kafka_wire::types::IsolationLevel;

use crate::check::{Expected, Seen};
use crate::input::Job;
use crate::jobs;
use crate::kafka;
use crate::systems::{Java, System};

/// The run to make.
pub(crate) struct Run<'a> {
    pub(crate) job: Job,
    pub(crate) records: u64,
    pub(crate) system: System,
    pub(crate) input: &'a str,
    pub(crate) expected: &'a Expected,
}

/// The result of a run.
pub(crate) enum Outcome {
    Right(Cost),
    /// The output is wrong, and in which way.
    Wrong(String),
}

pub(crate) struct Cost {
    /// CPU seconds per million input records.
    pub(crate) cpu: f64,
    /// The same without the first 40 % of the input; `None` if the run was too short to tell.
    pub(crate) warm_cpu: Option<f64>,
    pub(crate) records_per_second: f64,
    pub(crate) rss_mib: f64,
}

impl Outcome {
    pub(crate) const fn is_right(&self) -> bool {
        matches!(self, Self::Right(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right(cost) => write!(f, "output right; {:.2} CPU s per million records", cost.cpu),
            Self::Wrong(how) => write!(f, "WRONG: {how}"),
        }
    }
}

impl Run<'_> {
    pub(crate) async fn measure(
        &self,
        client: &Client,
        bootstrap: &str,
        java: Option<&Java>,
    ) -> Result<Outcome, Box<dyn Error>> {
        let application = format!("{}-{}", self.job.name(), self.system.name());
        let output = format!("{application}-output");
        kafka::create_topic(client, &output).await?;
        let directory = std::env::temp_dir().join(format!("bench-processor-{}-{application}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let state = directory.join("state").display().to_string();
        let place = [self.job.name(), bootstrap, &application, self.input, &output, &state];
        let mut process = Process::start(self.system.command(&place, java)?, &directory)?;

        let watch = Watch { client, run: self, application: &application, output: &output };
        let outcome = watch.until_complete(&mut process).await;
        process.stop().await;
        let mut topics = jobs::internal_topics(self.job, &application)?;
        topics.push(output);
        kafka::delete_topics(client, &topics).await?;
        let outcome = outcome?;
        if outcome.is_right() {
            fs::remove_dir_all(&directory)?;
        }
        Ok(outcome)
    }
}

/// The state of a run at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    cpu_seconds: f64,
    committed: i64,
    output_end: i64,
}

struct Watch<'a> {
    client: &'a Client,
    run: &'a Run<'a>,
    application: &'a str,
    output: &'a str,
}

impl Watch<'_> {
    /// Samples the process until its input is committed, its output has stopped changing and the output is right.
    async fn until_complete(&self, process: &mut Process) -> Result<Outcome, Box<dyn Error>> {
        let mut input_end = 0;
        for topic in self.run.job.topics(self.run.input) {
            input_end += kafka::ends(self.client, &topic, IsolationLevel::ReadUncommitted).await?;
        }
        let started = Instant::now();
        let mut warm_from = None;
        let mut last_change = self.sample(process).await?;
        let mut checked_end = -1;
        let mut wrong = String::new();
        loop {
            if let Some(end) = process.ended()? {
                return Ok(Outcome::Wrong(format!("the process ended, {end}")));
            }
            let sample = self.sample(process).await?;
            if warm_from.is_none() && sample.committed * 10 >= input_end * 4 {
                warm_from = Some(sample);
            }
            if sample.output_end != last_change.output_end || sample.committed != last_change.committed {
                last_change = sample;
            }
            let quiet = sample.at - last_change.at;
            let is_quiet = quiet >= if self.run.system.is_java() { QUIET } else { QUIET / 6 };
            if sample.committed == input_end && is_quiet && checked_end != sample.output_end {
                checked_end = sample.output_end;
                match self.check().await? {
                    Ok(()) => return Ok(Outcome::Right(self.cost(process, started, warm_from, last_change))),
                    Err(how) => wrong = how,
                }
            }
            if quiet >= QUIET_MAX {
                return Ok(Outcome::Wrong(format!(
                    "{wrong}; committed {} of {input_end}; see {}",
                    sample.committed,
                    process.log.display()
                )));
            }
            tokio::time::sleep(SAMPLE_INTERVAL).await;
        }
    }

    async fn sample(&self, process: &mut Process) -> Result<Sample, Box<dyn Error>> {
        let mut committed = 0;
        for topic in self.run.job.topics(self.run.input) {
            committed += kafka::committed(self.client, self.application, &topic).await?;
        }
        let output_end = kafka::ends(self.client, self.output, IsolationLevel::ReadCommitted).await?;
        // The sample is taken after the output is complete, so that all work for it is counted.
        process.look();
        Ok(Sample { at: Instant::now(), cpu_seconds: process.cpu_seconds, committed, output_end })
    }

    async fn check(&self) -> Result<Result<(), String>, Box<dyn Error>> {
        let mut seen = Seen::nothing(self.run.expected);
        kafka::read(self.client, self.output, |key, value| seen.take(key, value)).await?;
        Ok(seen.verdict())
    }

    fn cost(&self, process: &Process, started: Instant, warm_from: Option<Sample>, end: Sample) -> Cost {
        let millions = self.run.records as f64 / 1e6;
        let warm = warm_from.filter(|from| end.at - from.at >= WARM_MIN);
        let warm_cpu = warm.and_then(|from| {
            let left = self.run.records as f64 - from.committed as f64;
            (left > 0.0).then(|| (end.cpu_seconds - from.cpu_seconds) / (left / 1e6))
        });
        Cost {
            cpu: end.cpu_seconds / millions,
            warm_cpu,
            records_per_second: self.run.records as f64 / (end.at - started).as_secs_f64(),
            rss_mib: process.rss_kib / 1024.0,
        }
    }
}

/// The process of a system. It is killed when this is dropped, and stops by itself when this process ends,
/// because its stdin closes.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    pub(crate) cpu_seconds: f64,
    pub(crate) rss_kib: f64,
}

impl Process {
    pub(crate) fn start(mut command: std::process::Command, directory: &Path) -> Result<Self, Box<dyn Error>> {
        let log = directory.join("log");
        let file = File::create(&log)?;
        let child = command.stdin(Stdio::piped()).stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Self { child, log, cpu_seconds: 0.0, rss_kib: 0.0 })
    }

    /// Reads the CPU time and the peak of the resident memory so far; after the process has ended it
    /// keeps the last values.
    pub(crate) fn look(&mut self) {
        let process = Path::new("/proc").join(self.child.id().to_string());
        if let Some(seconds) = fs::read_to_string(process.join("stat")).ok().and_then(|stat| cpu_seconds(&stat)) {
            self.cpu_seconds = seconds;
        }
        if let Some(kib) = fs::read_to_string(process.join("status")).ok().and_then(|status| peak_kib(&status)) {
            self.rss_kib = kib;
        }
    }

    /// The exit status of the process and the end of its output, if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<String>, Box<dyn Error>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let log = fs::read_to_string(&self.log)?;
        let said: Vec<&str> = log.lines().rev().take(20).collect();
        Ok(Some(format!("{status}:\n{}", said.into_iter().rev().collect::<Vec<_>>().join("\n"))))
    }

    /// Closes its stdin and gives it some seconds to end.
    pub(crate) async fn stop(&mut self) {
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fields 14 and 15 of /proc/PID/stat, in ticks of 1/100 s (proc(5)); the second field, a name in parentheses,
/// may contain anything.
pub(crate) fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}

fn peak_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);
/// The output is read when nothing has changed for this long, which is longer than a checkpoint of Flink.
pub(crate) const QUIET: Duration = Duration::from_secs(3);
/// After this long without a change, the output counts as final.
const QUIET_MAX: Duration = Duration::from_secs(60);
/// Shortest warm part that is reported: the kernel counts in hundredths of a second.
const WARM_MIN: Duration = Duration::from_millis(500);
