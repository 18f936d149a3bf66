//! The records that the topics of a job take, looked up at the start of a worker.
//!
//! A broker that refuses one record refuses the whole transaction, and does not say which record it was. So a job
//! that leaves such records out checks them itself. The settings of a topic that change while a worker runs are known
//! to the next one.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use kafka_wire::admin::{ConfigEntry, ConfigResource};
use kafka_wire::client::Client;
use kafka_wire::types::TimestampMs;
use kafka_wire::wire::Str;
use tracing::warn;

use super::remedy::Failure;
use crate::output::TopicLimits;
use crate::topology::{SinkKind, Topology};
use crate::worker::End;

/// Looks up the limits of the topics of the user's and of shuffles.
pub(super) async fn look_up(client: &Client, topology: &Topology) -> Result<BTreeMap<String, TopicLimits>, End> {
    let sinks = topology.sinks().iter().filter(|sink| !matches!(sink.kind, SinkKind::Changelog { .. }));
    look_up_topics(client, sinks.map(|sink| sink.topic.as_str())).await
}

/// Looks up the limits of these topics.
pub(super) async fn look_up_topics(
    client: &Client,
    topics: impl Iterator<Item = &str>,
) -> Result<BTreeMap<String, TopicLimits>, End> {
    let resources: Vec<_> = topics.map(|topic| ConfigResource::Topic(Str::from(topic))).collect();
    let mut limits = BTreeMap::new();
    for (topic, entries) in client.describe_configs(&resources).await.map_err(|error| error.end())? {
        match (topic, entries) {
            (ConfigResource::Topic(topic), Ok(entries)) => _ = limits.insert(topic.to_string(), read(&entries)),
            (topic, Ok(_)) => unreachable!("{topic} was not asked for"),
            (topic, Err(error)) => {
                warn!(%topic, %error, "its settings are not known: a record that it does not take ends the job");
            }
        }
    }
    Ok(limits)
}

fn read(entries: &[ConfigEntry]) -> TopicLimits {
    let value = |name: &str| entries.iter().find(|entry| *entry.name == *name).and_then(|entry| entry.value.as_deref());
    let number = |name: &str| value(name).and_then(|value| value.parse::<i64>().ok());
    // The clock of the broker is another one, and judges later.
    let time = |name: &str| number(name).unwrap_or(i64::MAX).saturating_sub(CLOCK_SKEW_MS).max(0);
    let is_create_time = value("message.timestamp.type").is_none_or(|kind| kind == "CreateTime");
    TopicLimits {
        batch_bytes_max: number("max.message.bytes").and_then(|bytes| bytes.try_into().ok()).unwrap_or(usize::MAX),
        before_max_ms: if is_create_time { time("message.timestamp.before.max.ms") } else { i64::MAX },
        after_max_ms: if is_create_time { time("message.timestamp.after.max.ms") } else { i64::MAX },
        needs_key: value("cleanup.policy").is_some_and(|policy| policy.contains("compact")),
    }
}

#[expect(clippy::disallowed_methods, reason = "the runtime is where real time enters the processor")]
pub(super) fn time_of_day() -> TimestampMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// The difference of clocks, and the time until the broker judges, for which a timestamp counts as out of bounds.
const CLOCK_SKEW_MS: i64 = 1_000;
