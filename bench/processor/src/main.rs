//! The cost of the same jobs on Waterwheel, Kafka Streams and Flink, exactly-once, on one Apache Kafka.
//!
//! ```text
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- [--records N] [--jobs a,b1,..] [--systems NAME,..]
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- --records 13M restart
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- --records 5M windows
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- state
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- nexmark [--events N] [--queries q0,q1,..]
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- --records 5M alone
//! cargo run --release --manifest-path bench/processor/Cargo.toml -- --records 1M calls
//! ```
//! The last six measure Waterwheel alone: the time from a kill to the first new result, jobs with many open windows,
//! the stores by themselves, and without brokers the queries of [`nexmark`], simple jobs and calls to the outside.
//! `--jobs nexmark` runs the queries from Kafka to Kafka, and `--jobs operators` jobs of one operator each. `latency`
//! in place of the options measures latency at a steady rate, see [`latency`].
//!
//! Needs a JDK (17 or newer) and Maven. For each job the input is written once. Then each system runs it in a process
//! of its own, one system after the other, with one thread and 6 partitions. The output is read as a `read_committed`
//! consumer reads it and compared with a count made from the input alone. A run whose output is wrong is shown as such,
//! and the exit code is 1.
//!
//! CPU is user and system time of the system's process, from its start to the last change of its output; "warm" is
//! the same without the first 40 % of the input, so without the start and most of the JIT. RSS is the peak.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "its report is its output")]

mod alone;
mod arguments;
mod calls;
mod check;
mod input;
mod jobs;
mod kafka;
mod latency;
mod life;
mod machine;
mod measure;
mod nexmark;
mod operators;
mod report;
mod rows;
mod state;
mod systems;
mod timers;

use std::error::Error;
use std::process::ExitCode;

use kafka_wire::client::{Client, ClientConfig};
use testkit::real::{RealConfig, RealKafka};

use arguments::{Arguments, Command};
use measure::Run;
use systems::Java;

fn main() -> ExitCode {
    let command = match Arguments::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let done = runtime.block_on(async {
        match command {
            Command::Measure(arguments) => measure_all(&arguments).await,
            Command::Job(place) => jobs::run(&place).await.map(|()| true),
            Command::Restart(records) => life::restart(records).await.map(|()| true),
            Command::Windows(records) => life::windows(records).await.map(|()| true),
            Command::Alone(records, part) => {
                alone::run(records, part.as_deref().unwrap_or_default());
                Ok(true)
            }
            Command::Calls(records) => {
                calls::run(records).await;
                Ok(true)
            }
            Command::Nexmark(alone) => alone.measure().map(|()| true),
            Command::State(case) => state::run(case.as_deref()).map(|()| true),
            Command::Latency(load) => load.measure().await,
            Command::LatencyJob(given) => latency::run_job(given.into_iter()).await,
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every job on every system. Returns whether all outputs were right.
async fn measure_all(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let java = if arguments.systems.iter().any(|system| system.is_java()) { Some(Java::build()?) } else { None };
    let kafka = RealKafka::start(RealConfig::for_measuring()).await?;
    let client = Client::connect(ClientConfig::new(kafka.bootstrap())).await?;
    let mut all_right = true;
    let mut runs = Vec::new();
    for &job in &arguments.jobs {
        let records = job.records(arguments.records);
        let input = format!("input-{}", job.name());
        let topics = job.topics(&input);
        for topic in &topics {
            kafka::create_topic(&client, topic).await?;
        }
        let expected = input::load(&client, &input, job, records).await?;
        eprintln!("job {}: {records} records", job.title());
        for &system in arguments.systems.iter().filter(|system| system.runs(job)) {
            let run = Run { job, records, system, input: &input, expected: &expected };
            let outcome = run.measure(&client, kafka.bootstrap(), java.as_ref()).await?;
            eprintln!("    {system}: {outcome}");
            all_right &= outcome.is_right();
            runs.push((job, system, outcome));
        }
        kafka::delete_topics(&client, &topics).await?;
    }
    report::print(&runs);
    Ok(all_right)
}
