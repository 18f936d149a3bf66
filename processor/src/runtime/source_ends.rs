//! The ends of sources that are believed to be idle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::Client;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use tracing::debug;

use crate::task::SourcePartitions;
use crate::worker::{Ends, UNBOUNDED, end_of};

/// The present ends of these sources, uncommitted records included: the sum over their partitions, each limited to the
/// end of a bounded run. Sources that are gone or have no leader are left out, and all if there is no answer within a
/// second, because a commit waits for the result.
pub(super) async fn source_ends(
    client: &Client,
    sources: &[SourcePartitions],
    run_ends: Option<&Ends>,
) -> BTreeMap<SourcePartitions, Offset> {
    let ends = tokio::time::timeout(LOOK_TIMEOUT, look_up(client, sources, run_ends)).await;
    ends.unwrap_or_default()
}

const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

async fn look_up(
    client: &Client,
    sources: &[SourcePartitions],
    run_ends: Option<&Ends>,
) -> BTreeMap<SourcePartitions, Offset> {
    let mut partitions = BTreeSet::new();
    let mut all_of = BTreeMap::new();
    for source in sources {
        // The inspection of the topics has described them lately.
        let topic = match client.cluster().shared_topic(&source.topic) {
            Some(topic) => topic,
            None => match client.topic(&source.topic).await {
                Ok(topic) => topic,
                Err(_) => continue,
            },
        };
        // Of topics that are merged, one may have fewer partitions: it has no part in the tasks with higher numbers.
        let is_of_source = |id: PartitionId| source.partition.is_none_or(|only| only == id);
        let of_source = || topic.partitions.iter().filter(|partition| is_of_source(partition.id));
        // The request would wait for a topic that is gone, and for a leader, and all other sources with it.
        if !topic.error.is_none() || of_source().any(|partition| partition.leader.is_none()) {
            continue;
        }
        let all: Vec<_> =
            of_source().map(|partition| TopicPartition::new(source.topic.as_str(), partition.id)).collect();
        partitions.extend(all.iter().cloned());
        all_of.insert(source.clone(), all);
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
        let run_end = run_ends.and_then(|ends| end_of(ends, partition)).unwrap_or(UNBOUNDED);
        ends.get(partition).map(|end| end.0.min(run_end.0))
    };
    let sum =
        |all: Vec<TopicPartition>| all.iter().try_fold(0, |sum, partition| Some(sum + end(partition)?)).map(Offset);
    all_of.into_iter().filter_map(|(source, all)| Some((source, sum(all)?))).collect()
}
