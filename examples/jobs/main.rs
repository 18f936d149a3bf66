//! Jobs that people bring from other stream processors, each in a file of its own with a test.
//!
//! ```text
//! cargo run --release -p examples --bin jobs -- sessions 127.0.0.1:9092 my-sessions clicks sessions-out
//! ```
//! The arguments are the job, the brokers, the application id, and the topics that the job names:
//! first its input topics (a regular expression for `follow`), then its output topic. They must exist. SIGTERM or
//! Ctrl-C commits and leaves the group.

mod average;
mod bills;
mod enrich;
mod follow;
mod guarded;
mod probes;
mod sessions;
mod spend;
mod split;
mod sum;
mod tally;
mod top;

use std::process::ExitCode;

use processor::{App, Config, Topology, terminated};

/// A function that declares a job from its application id and its topics.
type Declare = fn(&str, &[String]) -> Topology;

/// Name, topics and declaration of each job.
const JOBS: &[(&str, &[&str], Declare)] = &[
    ("average", &["READINGS", "AVERAGES"], average::job),
    ("bills", &["ORDERS", "CUSTOMERS", "BILLS"], bills::job),
    ("enrich", &["ORDERS", "CUSTOMERS", "ENRICHED"], enrich::job),
    ("follow", &["PATTERN", "COPIES"], follow::job),
    ("guarded", &["PAYMENTS", "BALANCES", "DEAD"], guarded::job),
    ("probes", &["PAYMENTS", "ALERTS"], probes::job),
    ("sessions", &["CLICKS", "SESSIONS"], sessions::job),
    ("spend", &["ORDERS", "SPENT"], spend::job),
    ("split", &["LINES", "COUNTS"], split::job),
    ("sum", &["PAYMENTS", "SUMS"], sum::job),
    ("tally", &["CLICKS", "TALLIES"], tally::job),
    ("top", &["SALES", "BEST"], top::job),
];

async fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [name, brokers, application_id, topics @ ..] = arguments else { return Err(usage().into()) };
    let job = JOBS.iter().find(|(known, wanted, _)| known == name && wanted.len() == topics.len());
    let (.., declare) = job.ok_or_else(usage)?;
    App::new(declare(application_id, topics), Config::new(brokers)).run_until(terminated()).await?;
    Ok(())
}

fn usage() -> String {
    let jobs: Vec<_> = JOBS
        .iter()
        .map(|(name, topics, _)| format!("  jobs {name} BROKERS APPLICATION_ID {}\n", topics.join(" ")))
        .collect();
    format!("one of\n{}", jobs.concat())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
