//! The command line.

use crate::input::Job;
use crate::jobs::Place;
use crate::latency::Load;
use crate::nexmark::{Alone, Query};
use crate::systems::System;

/// The parameters of a measurement.
pub(crate) struct Arguments {
    /// Input records of a job; job C takes a tenth, because each of its records is ten words.
    pub(crate) records: u64,
    pub(crate) jobs: Vec<Job>,
    pub(crate) systems: Vec<System>,
}

/// The role of this process.
pub(crate) enum Command {
    /// Start every system, and measure.
    Measure(Arguments),
    /// Run one job, as one of the processes that are measured.
    Job(Place),
    /// Measure restarts after a kill, with a changelog of this many records.
    Restart(u64),
    /// Measure jobs whose windows stay open, with this many records, and the same jobs when idle.
    Windows(u64),
    /// Measure simple jobs without brokers, with this many records: those whose titles have the text.
    Alone(u64, Option<String>),
    /// Measure calls to the outside without brokers, with this many records.
    Calls(u64),
    /// Measure queries of Nexmark without brokers.
    Nexmark(Alone),
    /// Measure the stores alone: all cases, or one case as the process of it.
    State(Option<String>),
    /// Measure latency.
    Latency(Load),
    /// Run as the process whose latency is measured.
    LatencyJob(Vec<String>),
}

impl Arguments {
    /// # Errors
    /// Reads the arguments. An error is the text to print if they cannot be used.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut arguments = Self { records: RECORDS, jobs: Job::ALL.to_vec(), systems: System::ALL.to_vec() };
        while let Some(name) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{name} takes a value\n{USAGE}"));
            match name.as_str() {
                "--records" => arguments.records = count(&value()?)?,
                "--jobs" => arguments.jobs = jobs(&value()?)?,
                "--systems" => arguments.systems = list(&value()?, System::from_name)?,
                "restart" => return Ok(Command::Restart(arguments.records)),
                "windows" => return Ok(Command::Windows(arguments.records)),
                "alone" => return Ok(Command::Alone(arguments.records, given.next())),
                "calls" => return Ok(Command::Calls(arguments.records)),
                "nexmark" => return nexmark(given).map(Command::Nexmark),
                "state" => return Ok(Command::State(given.next())),
                "latency" => return Load::parse(given).map(Command::Latency).ok_or_else(|| USAGE.to_owned()),
                "latency-job" => return Ok(Command::LatencyJob(given.collect())),
                "job" => return Place::parse(given).map(Command::Job).ok_or_else(|| USAGE.to_owned()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(Command::Measure(arguments))
    }
}

fn count(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'M']) {
        Some(digits) if text.ends_with('k') => (digits, 1_000),
        Some(digits) => (digits, 1_000_000),
        None => (text, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number
        .filter(|number| *number >= RECORDS_MIN)
        .ok_or_else(|| format!("--records takes a number from {RECORDS_MIN}, such as 500k or 2M"))
}

/// Jobs by name; `operators` and `nexmark` name several.
fn jobs(text: &str) -> Result<Vec<Job>, String> {
    let of_name = |name: &str| match name {
        "nexmark" => Ok(Job::nexmark().collect()),
        "operators" => Ok(std::iter::once(Job::CountEach).chain(Job::operators()).collect()),
        name => list(name, Job::from_name),
    };
    text.split(',').map(of_name).collect::<Result<Vec<_>, _>>().map(|jobs| jobs.concat())
}

fn nexmark(mut given: impl Iterator<Item = String>) -> Result<Alone, String> {
    let mut alone = Alone { events: EVENTS, queries: Query::ALL.to_vec() };
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} takes a value\n{USAGE}"))?;
        match name.as_str() {
            "--events" => alone.events = count(&value)?,
            "--queries" => alone.queries = list(&value, Query::from_name)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(alone)
}

fn list<T>(text: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    text.split(',').map(|name| from_name(name).ok_or_else(|| format!("unknown: {name}\n{USAGE}"))).collect()
}

/// Enough for rates that mean something; a run of all jobs then takes some minutes.
const RECORDS: u64 = 1_000_000;
/// Half a minute of event time, in which windows close and state grows.
const EVENTS: u64 = 3_000_000;
/// Enough for each partition to get some records in every job.
const RECORDS_MIN: u64 = 1_000;
const USAGE: &str =
    "usage: bench-processor [--records 1M] [--jobs a,b1,b2,c,d,operators,nexmark]
                       [--systems waterwheel,streams,streams-cached,flink]
       bench-processor [--records 10M] restart
       bench-processor [--records 10M] windows
       bench-processor state
       bench-processor [--records 5M] alone [PART OF A TITLE]
       bench-processor [--records 1M] calls
       bench-processor nexmark [--events 3M] [--queries q0,q1,q2,q3,..]
       bench-processor latency [--rate 5000] [--partitions 6] [--stages 1|2] [--seconds 10] [--transaction-version 2] [KEY=VALUE ..]";
