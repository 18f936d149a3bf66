//! As `stateful.rs`, on three nodes of Apache Kafka that pause or are killed in turns, beside the processes.
//!
//! A run prints its seed; `WATERWHEEL_SEED` repeats it, as far as the machine's timing allows.

#[path = "stateful/run.rs"]
mod run;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conformance::{skip, three_nodes};
use kafka_wire::rng::Rng;
use run::{Run, seed};
use testkit::real::RealCluster;
use tokio::time::sleep;

/// Time between two failures of nodes. Replicas need not have caught up by then.
const PAUSE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operator_with_state_survives_processes_and_nodes_that_fail() {
    let cluster = match three_nodes().await {
        Ok(cluster) => cluster,
        Err(unavailable) => return skip("a cluster of three nodes", &unavailable.to_string()),
    };
    let seed = seed();
    let mut run = Run::start(&cluster.bootstrap(), str::to_owned, seed).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let failures = tokio::spawn(fail_in_turns(cluster, seed, Arc::clone(&is_over)));
    run.work().await;
    is_over.store(true, Ordering::Relaxed);
    let (_cluster, failures) = failures.await.expect("nodes that fail come back");
    let summary = run.check().await;
    // Written past the test harness, which hides the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "three nodes, {failures} failures of nodes: {summary}");
}

/// Lets one node fail after the other, until told to stop. All run in the end.
async fn fail_in_turns(mut cluster: RealCluster, seed: u64, is_over: Arc<AtomicBool>) -> (RealCluster, usize) {
    let mut rng = Rng::from_seed(seed + 2);
    let mut failures = 0;
    while !is_over.load(Ordering::Relaxed) {
        let node = usize::try_from(rng.below(3)).expect("a few") + 1;
        let away = Duration::from_millis(500 + rng.below(5_000));
        if rng.below(2) == 0 {
            cluster.pause(node).expect("it runs");
            sleep(away).await;
            cluster.resume(node).expect("it runs");
        } else {
            cluster.kill(node).expect("it runs");
            sleep(away).await;
            tokio::task::block_in_place(|| cluster.start_again_blocking(node)).expect("two of three are there");
        }
        failures += 1;
        sleep(PAUSE).await;
    }
    (cluster, failures)
}
