//! The tables at the end.

use crate::input::Job;
use crate::measure::{Cost, Outcome};
use crate::systems::System;

/// Prints one table for each job: the cost on each system, and its ratio to Waterwheel's.
pub(crate) fn print(runs: &[(Job, System, Outcome)]) {
    for of_job in runs.chunk_by(|one, next| one.0 == next.0) {
        let job = of_job[0].0;
        let ours = of_job.iter().find(|run| run.1 == System::Waterwheel).and_then(|run| cost(&run.2));
        println!("\n{}", job.title());
        println!(
            "  {:34} {:>9} {:>9} {:>11} {:>9} {:>8} {:>10}",
            "", "CPU s/M", "warm", "records/s", "RSS MiB", "CPU, x", "warm, x"
        );
        for (_, system, outcome) in of_job {
            match cost(outcome) {
                Some(theirs) => println!("  {system:34} {}", row(theirs, ours)),
                None => println!("  {system:34} {outcome}"),
            }
        }
    }
}

fn cost(outcome: &Outcome) -> Option<&Cost> {
    match outcome {
        Outcome::Right(cost) => Some(cost),
        Outcome::Wrong(_) => None,
    }
}

fn row(cost: &Cost, ours: Option<&Cost>) -> String {
    let warm = cost.warm_cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.2}"));
    let beside = |cpu: Option<f64>| match (cpu, ours) {
        // Waterwheel's run is too short to have a warm part; the others' warm parts are compared with its whole run.
        (Some(cpu), Some(ours)) if ours.cpu > 0.0 => format!("{:.1}", cpu / ours.cpu),
        _ => "-".to_owned(),
    };
    format!(
        "{:>9.2} {warm:>9} {:>11.0} {:>9.0} {:>8} {:>10}",
        cost.cpu,
        cost.records_per_second,
        cost.rss_mib,
        beside(Some(cost.cpu)),
        beside(cost.warm_cpu),
    )
}
