//! The ends of sources that are believed to be idle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::Client;
use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{IsolationLevel, Offset};
use tracing::debug;

use crate::task::SourcePartitions;
use crate::worker::{Ends, UNBOUNDED, end_of};

/// The present ends of these sources, uncommitted records included: the sum over their partitions, each limited to the
/// end of a bounded run. Sources without an answer within a second are left out, because a commit waits for the result.
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
    let mut of_source = BTreeMap::new();
    for source in sources {
        let Ok(topic) = client.topic(&source.topic).await else { continue };
        // Of topics that are merged, one may have fewer partitions: it has no part in the tasks with higher numbers.
        let ids = topic.partitions.iter().map(|partition| partition.id);
        let ids = ids.filter(|id| source.partition.is_none_or(|only| only == *id));
        let all: Vec<_> = ids.map(|id| TopicPartition::new(source.topic.as_str(), id)).collect();
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
        let run_end = run_ends.and_then(|ends| end_of(ends, partition)).unwrap_or(UNBOUNDED);
        ends.get(partition).map(|end| end.0.min(run_end.0))
    };
    let sum =
        |all: Vec<TopicPartition>| all.iter().try_fold(0, |sum, partition| Some(sum + end(partition)?)).map(Offset);
    of_source.into_iter().filter_map(|(source, all)| Some((source, sum(all)?))).collect()
}
