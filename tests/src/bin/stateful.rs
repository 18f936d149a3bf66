//! One process of the jobs of [`conformance::stateful`]:
//! `stateful BROKERS APPLICATION_ID NUMBERS DISORDERED ROWS COMPACTED NAMES OUTPUT`. `APPLICATION_ID` begins the names
//! of their applications.

use std::process::ExitCode;

use conformance::stateful::{JOBS, Topics};
use processor::{App, Config, terminated};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let (brokers, application_id) = (next(), next());
    let topics =
        Topics { numbers: next(), disordered: next(), rows: next(), compacted: next(), names: next(), output: next() };
    if topics.output.is_empty() {
        eprintln!("usage: stateful BROKERS APPLICATION_ID NUMBERS DISORDERED ROWS COMPACTED NAMES OUTPUT");
        return ExitCode::from(2);
    }
    let mut config = Config::new(&brokers);
    config.set("repartition.purge.interval.ms", "500").expect("a known key");
    // Joins wait so long for the other input at the end of its log: the writer may be about to write it.
    config.set("max.task.idle.ms", "1000").expect("a known key");
    let mut running = JoinSet::new();
    for job in JOBS {
        let topology = (job.declare)(&format!("{application_id}-{}", job.name), &topics);
        let config = config.clone();
        running.spawn(async move { (job.name, App::new(topology, config).run_until(terminated()).await) });
    }
    let mut exit = ExitCode::SUCCESS;
    while let Some(ended) = running.join_next().await {
        if let (name, Err(error)) = ended.expect("a job does not panic") {
            eprintln!("{name}: {error}");
            // The other jobs go on; the test notices that results are missing, and shows this line.
            exit = ExitCode::FAILURE;
        }
    }
    exit
}
