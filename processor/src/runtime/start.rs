//! The start of a job: everything that has to be there before its workers begin.
//!
//! Temporary obstacles, such as a broker that is down or a partition that moves, are waited for, up to
//! `start.timeout.ms`; the log names them.

use std::sync::Arc;
use std::time::Duration;

use kafka_wire::client::Client;
use kafka_wire::cluster::CoordinatorKind;
use kafka_wire::wire::Str;
use tracing::warn;

use super::config::Config;
use super::connect::client_config;
use super::error::RunError;
use super::inputs;
use super::obstacle::Obstacle;
use super::requirements::check_brokers;
use super::topics;
use crate::topology::Topology;
use crate::worker::Ends;

/// The facts about the inputs at the start of a job.
pub(super) struct Prepared {
    /// The job with the topics that match its patterns; `None` if there are none.
    pub(super) topology: Option<Topology>,
    /// The ends of a bounded run; `None` if no input has an end.
    pub(super) ends: Option<Arc<Ends>>,
}

/// Finds the topics of a job, creates its own, and chooses the places at which inputs start if nobody has done it.
///
/// # Errors
/// A failure that needs a person at once, or a temporary one that has not passed within `start.timeout.ms`.
pub(super) async fn prepare(
    topology: &Topology,
    config: &Config,
    transactional_ids: &[Str],
    is_bounded: bool,
) -> Result<Prepared, RunError> {
    let started = tokio::time::Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        let error = match attempt(topology, config, transactional_ids, is_bounded).await {
            Ok(prepared) => return Ok(prepared),
            Err(Obstacle::Stays(error)) => return Err(error),
            Err(Obstacle::Passes(error)) => error,
        };
        let left = config.start_timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        warn!(waits_for = %error, ?left, "cannot start yet; trying again until start.timeout.ms is over");
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn attempt(
    topology: &Topology,
    config: &Config,
    transactional_ids: &[Str],
    is_bounded: bool,
) -> Result<Prepared, Obstacle> {
    let client = reach(config).await?;
    let found = topics::matching(&client, topology).await?;
    let topology = found.as_ref().unwrap_or(topology);
    let coordinators = await_coordinators(&client, topology.application_id(), transactional_ids);
    let (counts, ()) = tokio::join!(topics::check(&client, topology, config), coordinators);
    let counts = counts?;
    topics::create_own(&client, topology, &counts, config).await?;
    inputs::choose_starts(&client, topology, &counts, config).await?;
    let ends = inputs::ends(&client, topology, &counts, is_bounded).await?;
    Ok(Prepared { topology: found, ends: ends.map(Arc::new) })
}

/// Lets a new cluster create the topics of its coordinators, which it does when they are first asked for, before those
/// of the job: brokers make the logs of new partitions one after the other, and workers need the coordinators first.
///
/// Workers meet the same obstacles later, and know what to do about them.
async fn await_coordinators(client: &Client, group: &str, transactional_ids: &[Str]) {
    let transactions = async {
        match transactional_ids.first() {
            Some(id) => client.coordinator(CoordinatorKind::Transaction, id).await.is_ok(),
            None => false,
        }
    };
    let both = async { tokio::join!(client.coordinator(CoordinatorKind::Group, group), transactions) };
    let _ = tokio::time::timeout(COORDINATORS_WAIT, both).await;
}

/// Connects to the cluster, whose brokers must have what exactly-once needs.
pub(super) async fn reach(config: &Config) -> Result<Client, Obstacle> {
    let client = Client::connect(client_config(config)).await;
    let client = client.map_err(|error| Obstacle::of(&error, RunError::Connect))?;
    check_brokers(&client).await.map_err(|error| match error {
        RunError::Connect(_) => Obstacle::Passes(error),
        error => Obstacle::Stays(error),
    })?;
    Ok(client)
}

/// Far longer than a cluster takes to create the topics of its coordinators while it makes no other logs.
const COORDINATORS_WAIT: Duration = Duration::from_secs(1);

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);
