//! The client's CPU time per record, beside franz-go and librdkafka, against a broker in another process.
//!
//! ```text
//! cargo run --release --manifest-path bench/client/Cargo.toml -- [FILTER] [--kafka | --servers HOST:PORT]
//!     [--rounds N] [--systems kafka-wire,franz-go,librdkafka]
//! cargo run --release --manifest-path bench/client/Cargo.toml -- assignors
//! ```
//! Rows whose name contains FILTER are measured. Each system does the work of a row in a process of its own, one after
//! the other, and the round with the least CPU time counts: other programs on the machine only add to it. The rate is
//! that of the fastest round, since the first ones may find a broker that has not compiled its code. The broker is
//! an Apache Kafka that is started (`--kafka`, which takes a JDK and Maven), one that runs, or the embedded broker.
//! 6 partitions unless a row says otherwise, `acks=all`, idempotent, linger of 5 ms (none end to end), all checksums.
//!
//! CPU is user and system time of the process. Allocations are counted for our client alone. Where there are
//! percentiles, they are those of a commit, from the call to its end, or of the time from a record's making to its
//! reading. "others" is the number of cores that programs outside of the benchmark kept busy meanwhile.
//!
//! A peer that cannot be built here (Go, or a C compiler and `make`, is missing) is left out, which the last lines say.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod assignors;
mod broker;
mod consume;
#[path = "../../src/counted.rs"]
mod counted;
mod cpu;
mod measured;
mod paced;
mod produce;
mod rows;
mod systems;

use std::error::Error;
use std::process::ExitCode;

use kafka_wire::client::{Client, ClientConfig};
use kafka_wire::compression::Compression;

use crate::broker::Place;
use crate::measured::Measured;
use crate::rows::{ROWS, Row, Task, Way};
use crate::systems::{Program, System};

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let done = match given.first().map(String::as_str) {
        Some(broker::SERVE) => broker::serve(),
        Some(systems::ROW) => run_row(given.get(1..).unwrap_or_default()),
        Some("assignors") => {
            assignors::measure();
            Ok(())
        }
        _ => Arguments::parse(given).and_then(|arguments| measure(&arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A way of a system to do a row.
struct Contestant<'a> {
    program: &'a Program,
    way: Option<Way>,
    /// The round with the least CPU time so far, and the cores that others took meanwhile.
    best: Option<(Measured, f64)>,
    /// The most records a second of any round.
    records_a_second: f64,
}

fn measure(arguments: &Arguments) -> Fallible<()> {
    let built: Vec<_> = arguments.systems.iter().map(|&system| (system, Program::build(system))).collect();
    let programs: Vec<&Program> = built.iter().filter_map(|(_, program)| program.as_ref().ok()).collect();
    let place = match &arguments.place {
        Where::Given(servers) => Place::Given(servers.clone()),
        Where::Embedded => Place::embedded()?,
        Where::Kafka => Place::kafka()?,
    };
    let width = ["system", "CPU ns", "records/s", "allocations", "p50 us", "p99 us", "others"];
    for row in ROWS.iter().filter(|row| row.name.contains(&arguments.filter)) {
        let mut contestants: Vec<Contestant<'_>> =
            programs.iter().flat_map(|program| contestants(row, program)).collect();
        measure_row(row, arguments.rounds, place.servers(), &mut contestants)?;
        println!("\n{}", row.name);
        println!(
            "    {:<34}{:>10}{:>12}{:>13}{:>9}{:>9}{:>8}",
            width[0], width[1], width[2], width[3], width[4], width[5], width[6]
        );
        for contestant in &contestants {
            println!("    {}", contestant.line());
        }
    }
    for (system, program) in &built {
        if let Err(reason) = program {
            println!("\n{system} is left out: {reason}");
        }
    }
    Ok(())
}

fn contestants<'a>(row: &Row, program: &'a Program) -> Vec<Contestant<'a>> {
    let ours = row.task.ways().iter().copied().map(Some);
    let ways: Vec<Option<Way>> = if program.system == System::Ours { ours.collect() } else { vec![None] };
    ways.into_iter().map(|way| Contestant { program, way, best: None, records_a_second: 0.0 }).collect()
}

/// Measures one row, the contestants in turn. What is read is written once; what is written goes to a new topic each
/// time.
fn measure_row(row: &Row, rounds: usize, servers: &str, contestants: &mut [Contestant<'_>]) -> Fallible<()> {
    let name =
        |number: usize| format!("bench-{}-{}-{number}", std::process::id(), row.name.replace([' ', ',', '/'], "-"));
    let is_read = row.task == Task::Consume;
    if is_read {
        broker::prepare(row, servers, &name(0))?;
    }
    for round in 0..rounds {
        for (place, contestant) in contestants.iter_mut().enumerate() {
            let topic = name(if is_read { 0 } else { round * 100 + place });
            if !is_read {
                broker::prepare(row, servers, &topic)?;
            }
            let others = cpu::Others::watch();
            let measured = contestant.program.run(row, contestant.way, servers, &topic)?;
            contestant.take(measured, others.cores());
            if !is_read {
                broker::remove(servers, &topic)?;
            }
        }
    }
    if is_read {
        broker::remove(servers, &name(0))?;
    }
    Ok(())
}

impl Contestant<'_> {
    fn take(&mut self, measured: Measured, others: f64) {
        self.records_a_second = self.records_a_second.max(measured.records_a_second());
        let is_better = self.best.as_ref().is_none_or(|(best, _)| measured.cpu_ns_a_record() < best.cpu_ns_a_record());
        if is_better {
            self.best = Some((measured, others));
        }
    }

    fn line(&self) -> String {
        let Some((best, others)) = &self.best else { return String::new() };
        let name = match (self.way, &best.version) {
            (Some(way), _) => format!("{}: {}", self.program.system, way.name),
            (None, Some(version)) => format!("{} {version}", self.program.system),
            (None, None) => self.program.system.to_string(),
        };
        let allocations = best.allocations.map(|(count, _)| format!("{:.4}", count as f64 / best.records as f64));
        let [p50, p99] = match best.percentiles_us {
            Some((p50, p99)) => [p50.to_string(), p99.to_string()],
            None => [String::new(), String::new()],
        };
        format!(
            "{name:<34}{:>10.0}{:>12.0}{:>13}{p50:>9}{p99:>9}{others:>8.1}",
            best.cpu_ns_a_record(),
            self.records_a_second,
            allocations.unwrap_or_default(),
        )
    }
}

/// Does the work of a row with our client, in this process, and prints what it cost.
fn run_row(given: &[String]) -> Fallible<()> {
    let [way, task, servers, topic, partitions, records, value_bytes, codec] = given else {
        return Err("row takes WAY TASK SERVERS TOPIC PARTITIONS RECORDS VALUE_BYTES CODEC".into());
    };
    let row = Row {
        name: "",
        task: ROWS.iter().map(|row| row.task).find(|known| known.name() == task).ok_or("no such task")?,
        partitions: partitions.parse()?,
        records: records.parse()?,
        value_bytes: value_bytes.parse()?,
        codec: Compression::from_name(codec).ok_or("no such codec")?,
    };
    let way = *row.task.ways().iter().find(|known| known.name == way).ok_or("no such way")?;
    let mut builder = if way.threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let measured = builder.worker_threads(way.threads).enable_all().build()?.block_on(async {
        let client = Client::connect(ClientConfig::new(servers.as_str())).await?;
        match row.task {
            Task::Produce | Task::Spread | Task::Awaited => produce::measure(&row, way, &client, topic).await,
            Task::Transact => produce::transact(&row, way, &client, topic).await,
            Task::Consume => consume::measure(&row, way, &client, topic).await,
            Task::Paced => paced::measure(&row, way, &client, topic).await,
        }
    })?;
    println!("{}", measured.line());
    Ok(())
}

enum Where {
    Embedded,
    Kafka,
    Given(String),
}

struct Arguments {
    filter: String,
    rounds: usize,
    place: Where,
    systems: Vec<System>,
}

impl Arguments {
    fn parse(given: Vec<String>) -> Fallible<Self> {
        let mut read = Self { filter: String::new(), rounds: 3, place: Where::Embedded, systems: System::ALL.to_vec() };
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or(format!("{argument} takes a value"));
            match argument.as_str() {
                "--rounds" => read.rounds = value()?.parse()?,
                "--servers" => read.place = Where::Given(value()?),
                "--kafka" => read.place = Where::Kafka,
                "--systems" => {
                    let system = |name: &str| System::from_name(name).ok_or(format!("no system {name}"));
                    read.systems = value()?.split(',').map(system).collect::<Result<_, _>>()?;
                }
                option if option.starts_with("--") => return Err(format!("no option {option}").into()),
                _ => read.filter = argument,
            }
        }
        Ok(read)
    }
}
