//! The topics of a job: those that it finds, and those that it creates.

use std::collections::BTreeMap;

use kafka_wire::admin::{ConfigResource, NewTopic, TopicError, TopicOutcomes};
use kafka_wire::client::{Client, MetadataError};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;
use tracing::warn;

use super::config::Config;
use super::error::RunError;
use super::obstacle::Obstacle;
use super::operations::list_topics;
use crate::topology::{SinkKind, StoreSpec, Topology};
use crate::worker::Fatal;

/// The job with the topics that match its patterns at present; `None` if there are none.
pub(super) async fn matching(client: &Client, topology: &Topology) -> Result<Option<Topology>, Obstacle> {
    if !topology.has_patterns() {
        return Ok(None);
    }
    let names = list_topics(client).await.map_err(|error| Obstacle::of(&error, RunError::Connect))?;
    let found = topology.with_topics(names.iter().map(String::as_str)).map_err(Fatal::ReadTwice);
    let found = found.map_err(RunError::from)?;
    for (pattern, has_state) in found.as_ref().unwrap_or(topology).unmatched() {
        if has_state {
            return Err(Obstacle::Passes(RunError::NoTopicMatches { pattern: pattern.to_owned() }));
        }
        warn!(pattern, "no topic matches yet");
    }
    Ok(found)
}

/// Checks that source and sink topics exist. Returns the numbers of the sources' partitions.
pub(super) async fn check(
    client: &Client,
    topology: &Topology,
    config: &Config,
) -> Result<BTreeMap<String, i32>, Obstacle> {
    let mut partitions = BTreeMap::new();
    for source in topology.external_sources() {
        let count = existing(client, &source.topic, config).await?;
        partitions.insert(source.topic.clone(), i32::try_from(count).unwrap_or(i32::MAX));
    }
    for global in topology.globals() {
        existing(client, &global.topic, config).await?;
    }
    check_compacted(client, topology).await?;
    topology.check_partitions(&partitions).map_err(RunError::from)?;
    for sink in topology.sinks().iter().filter(|sink| sink.kind == SinkKind::External) {
        existing(client, &sink.topic, config).await?;
    }
    Ok(partitions)
}

/// Creates the missing repartition and changelog topics for sources with these numbers of partitions.
pub(super) async fn create_own(
    client: &Client,
    topology: &Topology,
    partitions: &BTreeMap<String, i32>,
    config: &Config,
) -> Result<(), Obstacle> {
    let own = own_topics(topology, partitions, config);
    for (topic, outcome) in create(client, &own).await? {
        match outcome {
            Ok(()) => {}
            Err(error) if error.code == ErrorCode::TOPIC_ALREADY_EXISTS => {}
            Err(error) => {
                let tell = |cause| RunError::CreateTopic { topic: topic.to_string(), cause };
                return Err(Obstacle::of(&error, tell));
            }
        }
    }
    for topic in &own {
        let found = existing(client, &topic.name, config).await?;
        let expected = usize::try_from(topic.partitions).unwrap_or_default();
        if found != expected {
            return Err(differs(topology, &topic.name, found, expected).into());
        }
    }
    Ok(())
}

/// Checks that the topics that are changelogs of tables are compacted.
async fn check_compacted(client: &Client, topology: &Topology) -> Result<(), Obstacle> {
    let topics = topology.stores().iter().filter_map(StoreSpec::source_changelog);
    let resources: Vec<_> = topics.map(|topic| ConfigResource::Topic(Str::from(topic))).collect();
    if resources.is_empty() {
        return Ok(());
    }
    let found = client.describe_configs(&resources).await;
    for (resource, entries) in found.map_err(|error| Obstacle::of(&error, RunError::Connect))? {
        let entries = entries.map_err(|error| Obstacle::of(&error, RunError::Connect))?;
        let policy = entries.iter().find(|entry| *entry.name == *"cleanup.policy");
        let policy = policy.and_then(|entry| entry.value.as_deref()).unwrap_or_default();
        if let ConfigResource::Topic(topic) = resource
            && !policy.contains("compact")
        {
            let (topic, policy) = (topic.to_string(), policy.to_owned());
            return Err(Obstacle::Stays(RunError::NotCompacted { topic, policy }));
        }
    }
    Ok(())
}

/// Creates the topics of the job's own. Kafka before 3.6 does not know the limit of event times by its present name
/// (KIP-937) and refuses it: then the topics are created with its former name. Kafka 4 does not know that one any more.
async fn create(client: &Client, topics: &[NewTopic]) -> Result<TopicOutcomes, Obstacle> {
    let ask = async |topics: &[NewTopic]| {
        client.create_topics(topics).await.map_err(|error| Obstacle::of(&error, RunError::Connect))
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

/// The error for a topic with an unexpected number of partitions. A changelog with fewer partitions than its input
/// means that the input has grown. Otherwise the program states another number than before.
fn differs(topology: &Topology, topic: &str, found: usize, expected: usize) -> RunError {
    let changelog = |store: &StoreSpec| store.own_changelog().map(|sink| &topology.sinks()[sink.0]);
    let store = topology.stores().iter().find(|store| changelog(store).is_some_and(|sink| sink.topic == topic));
    let follows_input = |store: &&StoreSpec| {
        changelog(store).is_some_and(|sink| matches!(sink.kind, SinkKind::Changelog { partitions: None }))
    };
    match store.filter(follows_input).filter(|_| found < expected) {
        Some(store) => {
            let sources = topology.sub_topologies()[store.sub_topology.0].sources();
            let grown = sources.iter().map(|source| source.topic.as_str()).collect::<Vec<_>>().join(", ");
            let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
            let (old, new) = (count(found), count(expected));
            Fatal::PartitionsGrew { topic: grown, changelog: topic.to_owned(), old, new }.into()
        }
        None => RunError::PartitionsDiffer { topic: topic.to_owned(), found, expected },
    }
}

/// The number of partitions of a topic that has to exist.
pub(super) async fn existing(client: &Client, topic: &str, config: &Config) -> Result<usize, Obstacle> {
    match client.topic(topic).await {
        Ok(topic) => Ok(topic.partitions.len()),
        Err(MetadataError::UnknownTopic(_)) => Err(Obstacle::Stays(RunError::TopicMissing {
            topic: topic.to_owned(),
            bootstrap_servers: config.bootstrap_servers.join(","),
        })),
        Err(error) => Err(Obstacle::of(&error, RunError::Connect)),
    }
}

/// The topics to create: the job's own, with a changelog partition for each task.
///
/// Records of a repartition topic have event times, which may be old: retention by time would delete them unread,
/// so there is none, nor by size, and workers delete committed records. A changelog is compacted to the last value of
/// each key. What a broker has as its defaults for these, and for the origin of timestamps, does not count.
fn own_topics(topology: &Topology, partitions: &BTreeMap<String, i32>, config: &Config) -> Vec<NewTopic> {
    // Event times may also lie ahead of the broker's clock, which by default refuses more than an hour.
    let latest = i64::MAX.to_string();
    let topic = |name: &str, count: i32, own: &[(&str, &str)]| {
        let mut topic = NewTopic::new(name, count);
        topic.replication_factor = config.replication_factor;
        let unlimited = [("retention.ms", "-1"), ("retention.bytes", "-1"), (LATEST_EVENT_TIME, &latest)];
        // With the time of the broker instead, event time would be lost at each shuffle.
        let of_all = unlimited.into_iter().chain([("message.timestamp.type", "CreateTime")]);
        let configs = own.iter().copied().chain(of_all);
        topic.configs = configs.map(|(key, value)| (Str::from(key), Str::from(value))).collect();
        for (key, value) in &config.topic_configs {
            topic.configs.retain(|(ours, _)| **ours != **key);
            topic.configs.push((Str::from(key.as_str()), Str::from(value.as_str())));
        }
        topic
    };
    let mut topics = Vec::new();
    for sink in topology.sinks() {
        if let SinkKind::Repartition { partitions } = sink.kind {
            let own = [("cleanup.policy", "delete"), REPARTITION_SEGMENT, REPARTITION_INDEX];
            topics.push(topic(&sink.topic, partitions.0, &own));
        }
    }
    for store in topology.stores() {
        let Some(sink) = store.own_changelog().map(|sink| &topology.sinks()[sink.0]) else { continue };
        let count = topology.task_count(store.sub_topology, partitions);
        let own = [("cleanup.policy", "compact"), CHANGELOG_SEGMENT, CHANGELOG_INDEX];
        topics.push(topic(&sink.topic, count, &own));
    }
    topics
}

/// Bytes of a segment of a changelog. A broker compacts all segments but the last: with its default of 1 GiB,
/// the restore of a smaller store would read every change ever made.
const CHANGELOG_SEGMENT: (&str, &str) = ("segment.bytes", "16777216");
/// Bytes of a segment of a repartition topic, as of Kafka Streams' (`InternalTopicConfig`): the broker frees the disk
/// of deleted records by whole segments.
const REPARTITION_SEGMENT: (&str, &str) = ("segment.bytes", "52428800");

/// Bytes of each index of a segment: room for an entry of 12 bytes every 4 KiB (`log.index.interval.bytes`) of the
/// segment. The broker's default is 10 MiB, which each partition's first records make it map and read ahead, twice:
/// with hundreds of partitions that is gigabytes, and seconds.
const CHANGELOG_INDEX: (&str, &str) = ("segment.index.bytes", "65536");
const REPARTITION_INDEX: (&str, &str) = ("segment.index.bytes", "196608");

/// The setting for the time by which event times may lie ahead of the broker's clock.
const LATEST_EVENT_TIME: &str = "message.timestamp.after.max.ms";
/// The setting for the time by which they may differ from it, either way.
const LATEST_EVENT_TIME_BEFORE_3_6: &str = "message.timestamp.difference.max.ms";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Emit;
    use crate::serde::{U64, Utf8};
    use crate::types::Partitions;

    #[test]
    fn own_topics_do_not_take_the_defaults_of_the_broker() {
        let mut job = Topology::builder("app");
        let lines = job.stream("in", Utf8).key_by("by-line", Partitions(2), (Utf8, Utf8), |line| (line.value, ""));
        lines.count("counts", Emit::OnUpdate).to("out", Utf8, U64);
        let topology = job.build().expect("a valid job");
        let own = own_topics(&topology, &BTreeMap::from([("in".to_owned(), 1)]), &Config::new("localhost:9092"));
        assert_eq!(own.len(), 2);
        for topic in own {
            let of =
                |name: &str| topic.configs.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.to_string());
            assert_eq!(of("message.timestamp.type").as_deref(), Some("CreateTime"), "{topic:?}");
            assert_eq!(of("retention.ms").as_deref(), Some("-1"), "{topic:?}");
            assert_eq!(of("retention.bytes").as_deref(), Some("-1"), "{topic:?}");
        }
    }
}
