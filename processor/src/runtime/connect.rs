//! A worker's connections to a cluster: a client, a producer with its transactional id, a membership, a consumer.

use std::sync::Arc;
use std::time::Duration;

use kafka_wire::client::{Client, ClientConfig, Consumer, ExclusiveProducer, GroupMember};
use kafka_wire::consumer::{ConsumerConfig, ResetPolicy};
use kafka_wire::group::{Assignor, GroupConfig};
use kafka_wire::producer::{ProducerConfig, RunsOn};
use kafka_wire::types::IsolationLevel;
use kafka_wire::wire::Str;

use super::config::{AssignmentStrategy, Config};
use super::membership;
use super::operations::list_topics;
use super::remedy::Failure;
use super::spec::Spec;
use super::transaction::Transaction;
use crate::topology::Topology;
use crate::worker::{End, Fatal};

/// The connections that a worker uses.
pub(super) struct Parts {
    pub(super) client: Client,
    /// The job with the topics that match its patterns now.
    pub(super) topology: Arc<Topology>,
    pub(super) member: GroupMember,
    pub(super) transaction: Transaction,
}

/// Connects, takes up the transactional id (which aborts the open transaction of its last holder), and
/// begins to join the group.
pub(super) async fn connect(spec: &Spec) -> Result<Parts, End> {
    let client = Client::connect(client_config(&spec.config)).await.map_err(|error| error.end())?;
    let producer = ExclusiveProducer::open(&client, producer_config(spec)).await.map_err(|error| error.end())?;
    let transaction = Transaction::open(producer, &spec.topology, &client, &spec.config).await?;
    let topology = topology(spec, &client).await?;
    let member = GroupMember::join(client.clone(), group_config(spec, &topology));
    Ok(Parts { client, topology, member, transaction })
}

/// The job with the topics that match its patterns now: a worker that leads the group shares out those that it knows.
async fn topology(spec: &Spec, client: &Client) -> Result<Arc<Topology>, End> {
    if !spec.topology.has_patterns() || !spec.is_discovering {
        return Ok(Arc::clone(&spec.topology));
    }
    let names = list_topics(client).await.map_err(|error| error.end())?;
    let found = spec.topology.with_later_topics(names.iter().map(String::as_str)).map_err(Fatal::ReadTwice)?;
    Ok(found.map_or_else(|| Arc::clone(&spec.topology), Arc::new))
}

pub(super) fn client_config(config: &Config) -> ClientConfig {
    config.client_config().expect("a job validates its configuration before it starts")
}

fn producer_config(spec: &Spec) -> ProducerConfig {
    let config = &spec.config;
    ProducerConfig {
        transaction_timeout: config.transaction_timeout,
        compression: config.compression,
        // The worker checks the buffer between two batches of input. The output of one batch, such as all results
        // of a window that closes, cannot wait and must not be refused: a second attempt would put out as much.
        buffer_limit_bytes: usize::MAX,
        room_limit_bytes: config.buffer_memory,
        // A worker has a thread of its own already, and awaits between two batches of input.
        runs_on: RunsOn::CallersRuntime,
        ..ProducerConfig::transactional(spec.transactional_id.clone())
    }
}

/// A consumer of inputs or changelogs.
pub(super) fn consumer(client: &Client, config: &Config) -> Consumer {
    let mut consumer = Consumer::new(client.clone(), consumer_config(config));
    if let Some(rack) = &config.rack {
        consumer.set_rack(rack.as_str());
    }
    consumer
}

fn consumer_config(config: &Config) -> ConsumerConfig {
    // Java accepts 0, for which a broker answers with one batch.
    let fetch_max_bytes = config.fetch_max_bytes.max(1);
    let bytes = u32::try_from(fetch_max_bytes).unwrap_or(u32::MAX);
    ConsumerConfig {
        isolation: IsolationLevel::ReadCommitted,
        max_bytes: bytes,
        buffer_limit_bytes: fetch_max_bytes,
        // A partition that is taken over waits for the fetch in flight, so this bounds that wait.
        max_wait: Duration::from_millis(100),
        pause_per_partition: PAUSE_PER_PARTITION,
        // A position that does not exist any more means lost input: a person has to decide.
        reset: ResetPolicy::None,
        ..ConsumerConfig::default()
    }
}

/// With hundreds of input partitions, commits take much longer than this pause; with few it is nothing.
const PAUSE_PER_PARTITION: Duration = Duration::from_micros(10);

fn group_config(spec: &Spec, topology: &Topology) -> GroupConfig {
    let config = &spec.config;
    let sources = topology.sub_topologies().iter().flat_map(|sub_topology| sub_topology.sources());
    let topics: Vec<Str> = sources.map(|source| Str::from(source.topic.as_str())).collect();
    GroupConfig {
        instance_id: spec.group_instance_id.clone(),
        session_timeout: config.session_timeout,
        rebalance_timeout: config.rebalance_timeout,
        heartbeat_interval: config.heartbeat_interval,
        assignors: vec![match config.assignment {
            AssignmentStrategy::Range => Assignor::Range,
            AssignmentStrategy::RoundRobin => Assignor::RoundRobin,
        }],
        together: topology.together().iter().map(|group| group.iter().copied().map(Str::from).collect()).collect(),
        rebalances_on_return: topology.has_patterns(),
        protocol_prefix: PROTOCOL_PREFIX,
        metadata_interval: config.inspection_interval(),
        user_data: membership::joining(&spec.transactional_id),
        leader_user_data: Some(membership::leader_user_data),
        ..GroupConfig::new(spec.topology.application_id(), topics)
    }
}

/// Prefix of the protocol names of a job's group. No ordinary consumer offers such a name, so one that uses the
/// application id as its group is refused, instead of getting partitions whose records are then in no result.
/// The protocol type stays `consumer`: the coordinator keeps offsets of transactions for groups of every type,
/// but Kafka's tools show assignments and lags only for that type.
const PROTOCOL_PREFIX: &str = "waterwheel-";
