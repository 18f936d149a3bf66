//! The topics of a job: those it finds, and those it makes.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::admin::{NewTopic, OffsetSpec, TopicError, TopicOutcomes};
use kafka_wire::client::{Client, MetadataError};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::types::{IsolationLevel, Offset};
use kafka_wire::wire::Str;
use tracing::debug;

use super::config::Config;
use super::error::RunError;
use crate::task::SourcePartitions;
use crate::topology::{SinkKind, Topology};

/// Where a bounded run ends: the offset after the last record of each source partition, by topic.
pub(crate) type Ends = BTreeMap<String, Vec<Offset>>;

/// Checks that source and sink topics exist, and creates the repartition and changelog topics that do not.
pub(crate) async fn prepare(client: &Client, topology: &Topology, config: &Config) -> Result<(), RunError> {
    let mut partitions = BTreeMap::new();
    for source in topology.external_sources() {
        let count = existing(client, &source.topic, config).await?;
        partitions.insert(source.topic.clone(), i32::try_from(count).unwrap_or(i32::MAX));
    }
    topology.check_partitions(&partitions)?;
    for sink in topology.sinks().iter().filter(|sink| sink.kind == SinkKind::External) {
        existing(client, &sink.topic, config).await?;
    }
    let own = own_topics(topology, &partitions, config);
    for (topic, outcome) in create(client, &own).await? {
        match outcome {
            Ok(()) => {}
            Err(error) if error.code == ErrorCode::TOPIC_ALREADY_EXISTS => {}
            Err(error) => return Err(RunError::CreateTopic { topic: topic.to_string(), cause: error.to_string() }),
        }
    }
    for topic in &own {
        let found = existing(client, &topic.name, config).await?;
        let expected = usize::try_from(topic.partitions).unwrap_or_default();
        if found != expected {
            return Err(RunError::PartitionsDiffer { topic: topic.name.to_string(), found, expected });
        }
    }
    Ok(())
}

/// Creates the topics of the job's own. Kafka before 3.6 does not know the bound on event times by its name (KIP-937), and
/// refuses it: then the same is asked for in the former words. Kafka 4 does not know those any more.
async fn create(client: &Client, topics: &[NewTopic]) -> Result<TopicOutcomes, RunError> {
    let ask = async |topics: &[NewTopic]| {
        client.create_topics(topics).await.map_err(|error| RunError::Connect(error.to_string()))
    };
    let is_refused =
        |outcome: &Result<(), TopicError>| outcome.as_ref().is_err_and(|error| error.code == ErrorCode::INVALID_CONFIG);
    let mut outcomes = ask(topics).await?;
    let refused = topics.iter().zip(&outcomes).filter(|(_, (_, outcome))| is_refused(outcome));
    let mut again = refused.map(|(topic, _)| topic.clone()).collect::<Vec<_>>();
    if again.is_empty() {
        return Ok(outcomes);
    }
    for (key, _) in again.iter_mut().flat_map(|topic| &mut topic.configs).filter(|(key, _)| *key == LATEST_EVENT_TIME) {
        *key = Str::from(LATEST_EVENT_TIME_BEFORE_3_6);
    }
    for (topic, outcome) in ask(&again).await?.into_iter().filter(|(_, outcome)| !is_refused(outcome)) {
        outcomes.retain(|(name, _)| *name != topic);
        outcomes.push((topic, outcome));
    }
    Ok(outcomes)
}

/// The ends that the source topics have now, for readers of committed records.
pub(crate) async fn ends(client: &Client, topology: &Topology) -> Result<Ends, RunError> {
    let mut ends = Ends::new();
    for source in topology.external_sources() {
        let topic = source.topic.as_str();
        let found = client.topic(topic).await.map_err(|error| RunError::Connect(error.to_string()))?;
        let wanted: Vec<_> = found
            .partitions
            .iter()
            .map(|partition| (TopicPartition::new(topic, partition.id), OffsetSpec::Latest))
            .collect();
        let listed = client
            .list_offsets(&wanted, IsolationLevel::ReadCommitted)
            .await
            .map_err(|error| RunError::Connect(error.to_string()))?;
        ends.insert(topic.to_owned(), listed.iter().map(|listed| listed.offset.unwrap_or_default()).collect());
    }
    Ok(ends)
}

/// Where these sources end now, uncommitted records included: the sum of their partitions, none of them further than a
/// bounded run reads. Those that do not tell are left out.
pub(crate) async fn source_ends(
    client: &Client,
    sources: &BTreeSet<SourcePartitions>,
    run_ends: Option<&Ends>,
) -> BTreeMap<SourcePartitions, Offset> {
    let mut partitions = BTreeSet::new();
    let mut of_source = BTreeMap::new();
    for source in sources {
        let ids = match (source.partition, client.topic(&source.topic).await) {
            (Some(partition), _) => vec![partition],
            (None, Ok(topic)) => topic.partitions.iter().map(|partition| partition.id).collect(),
            (None, Err(_)) => continue,
        };
        let all: Vec<_> = ids.into_iter().map(|id| TopicPartition::new(source.topic.as_str(), id)).collect();
        partitions.extend(all.iter().cloned());
        of_source.insert(source.clone(), all);
    }
    let wanted: Vec<_> = partitions.into_iter().map(|partition| (partition, OffsetSpec::Latest)).collect();
    let listed = match client.list_offsets(&wanted, IsolationLevel::ReadUncommitted).await {
        Ok(listed) => listed,
        Err(error) => {
            debug!(%error, "the ends of idle sources could not be looked up: they count as not idle");
            return BTreeMap::new();
        }
    };
    let ends: BTreeMap<_, _> =
        listed.into_iter().filter_map(|listed| Some((listed.partition, listed.offset?))).collect();
    let end = |partition: &TopicPartition| {
        let run_end = run_ends.and_then(|ends| end_of(ends, partition)).unwrap_or(Offset(i64::MAX));
        ends.get(partition).map(|end| end.0.min(run_end.0))
    };
    let sum =
        |all: Vec<TopicPartition>| all.iter().try_fold(0, |sum, partition| Some(sum + end(partition)?)).map(Offset);
    of_source.into_iter().filter_map(|(source, all)| Some((source, sum(all)?))).collect()
}

/// Where a bounded run ends in a source partition.
pub(crate) fn end_of(ends: &Ends, partition: &TopicPartition) -> Option<Offset> {
    ends.get(&*partition.topic)?.get(usize::try_from(partition.partition.0).ok()?).copied()
}

/// The number of partitions of a topic that has to be there.
async fn existing(client: &Client, topic: &str, config: &Config) -> Result<usize, RunError> {
    match client.topic(topic).await {
        Ok(topic) => Ok(topic.partitions.len()),
        Err(MetadataError::UnknownTopic(_)) => Err(RunError::TopicMissing {
            topic: topic.to_owned(),
            bootstrap_servers: config.bootstrap_servers.join(","),
        }),
        Err(error) => Err(RunError::Connect(error.to_string())),
    }
}

/// What to create: the topics of the job's own, changelogs with a partition for each task.
///
/// Records of a repartition topic carry event times, which may be old: retention by time would delete them unread, so
/// there is none, and workers delete what is committed. A changelog is compacted to the last value of each key.
fn own_topics(topology: &Topology, partitions: &BTreeMap<String, i32>, config: &Config) -> Vec<NewTopic> {
    // Event times may also lie ahead of the broker's clock, which refuses more than an hour by default.
    let latest = i64::MAX.to_string();
    let topic = |name: &str, count: i32, policy: &str| {
        let mut topic = NewTopic::new(name, count);
        topic.replication_factor = config.replication_factor;
        topic.configs = [("cleanup.policy", policy), ("retention.ms", "-1"), (LATEST_EVENT_TIME, &latest)]
            .map(|(key, value)| (Str::from(key), Str::from(value)))
            .to_vec();
        for (key, value) in &config.topic_configs {
            topic.configs.retain(|(ours, _)| **ours != **key);
            topic.configs.push((Str::from(key.as_str()), Str::from(value.as_str())));
        }
        topic
    };
    let mut topics = Vec::new();
    for sink in topology.sinks() {
        if let SinkKind::Repartition { partitions } = sink.kind {
            topics.push(topic(&sink.topic, partitions.0, "delete"));
        }
    }
    for store in topology.stores() {
        let sink = &topology.sinks()[store.changelog.0];
        topics.push(topic(&sink.topic, topology.task_count(store.sub_topology, partitions), "compact"));
    }
    topics
}

/// How far event times may lie ahead of the broker's clock.
const LATEST_EVENT_TIME: &str = "message.timestamp.after.max.ms";
/// How far they may lie from it, either way.
const LATEST_EVENT_TIME_BEFORE_3_6: &str = "message.timestamp.difference.max.ms";
