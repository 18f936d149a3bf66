//! The places at which the inputs of a job start and end, looked up at the start of a process.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::{Client, fetch_unstable_offsets};
use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};

use super::error::RunError;
use super::obstacle::Obstacle;
use crate::topology::{SourceSpec, StoppingOffsets, Topology};
use crate::worker::{Ends, UNBOUNDED};

/// The partitions that start where their inputs say. An input of which the group has offsets has been read before: then
/// its partitions without an offset were added while no process was there, and start at their first records.
pub(super) async fn known(
    client: &Client,
    topology: &Topology,
    counts: &BTreeMap<String, i32>,
) -> Result<BTreeSet<TopicPartition>, Obstacle> {
    let mut known = BTreeSet::new();
    let mut by_input: BTreeMap<&str, Vec<TopicPartition>> = BTreeMap::new();
    for source in topology.external_sources() {
        by_input.entry(&source.declared).or_default().extend(partitions(source, counts));
    }
    let all: Vec<TopicPartition> = by_input.values().flatten().cloned().collect();
    let committed = fetch_unstable_offsets(client, topology.application_id(), &all).await;
    let committed = committed.map_err(|error| Obstacle::of(&error, RunError::Connect))?;
    let has_offset: BTreeSet<_> =
        committed.into_iter().filter_map(|(partition, offset)| offset.map(|_| partition)).collect();
    for partitions in by_input.into_values() {
        let was_read = partitions.iter().any(|partition| has_offset.contains(partition));
        known.extend(partitions.into_iter().filter(|partition| !was_read || has_offset.contains(partition)));
    }
    Ok(known)
}

/// The ends of the inputs: of those that have one, and of all if the run is bounded. `None` if there is none.
pub(super) async fn ends(
    client: &Client,
    topology: &Topology,
    counts: &BTreeMap<String, i32>,
    is_bounded: bool,
) -> Result<Option<Ends>, Obstacle> {
    let mut ends = Ends::new();
    for source in topology.external_sources() {
        let of_run = is_bounded.then_some(&StoppingOffsets::Latest);
        let stop = source.extent.stop.as_ref().or(of_run);
        if stop.is_none() && source.extent.partitions.is_none() {
            continue;
        }
        let partitions: Vec<_> = partitions(source, counts).collect();
        let mut found = vec![UNBOUNDED; partitions.len()];
        if let Some(stop) = stop {
            found = stops(client, stop, &partitions).await?;
        }
        let is_read = |partition: &TopicPartition| source.extent.has(partition.partition);
        let end = |(partition, end): (&TopicPartition, Offset)| if is_read(partition) { end } else { Offset(0) };
        ends.insert(source.topic.clone(), partitions.iter().zip(found).map(end).collect());
    }
    Ok((!ends.is_empty()).then_some(ends))
}

/// The offsets at which partitions end.
async fn stops(
    client: &Client,
    stop: &StoppingOffsets,
    partitions: &[TopicPartition],
) -> Result<Vec<Offset>, Obstacle> {
    let list = async |spec: OffsetSpec| {
        let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        let listed = client.list_offsets(&wanted, IsolationLevel::ReadCommitted).await;
        let listed = listed.map_err(|error| Obstacle::of(&error, RunError::Connect))?;
        Ok::<_, Obstacle>(listed.into_iter().map(|listed| listed.offset).collect::<Vec<_>>())
    };
    // The end is looked up first: a record that comes in between may not be the one with the time.
    let ends = list(OffsetSpec::Latest).await?;
    let at = match stop {
        StoppingOffsets::Latest => vec![None; partitions.len()],
        StoppingOffsets::Timestamp(timestamp) => list(OffsetSpec::Timestamp(*timestamp)).await?,
        StoppingOffsets::Offsets(offsets) => partitions.iter().map(|named| offsets.get(named).copied()).collect(),
    };
    Ok(at.into_iter().zip(ends).map(|(at, end)| at.or(end).unwrap_or_default()).collect())
}

fn partitions(source: &SourceSpec, counts: &BTreeMap<String, i32>) -> impl Iterator<Item = TopicPartition> {
    let count = counts.get(&source.topic).copied().unwrap_or_default();
    (0..count).map(|partition| TopicPartition::new(source.topic.as_str(), PartitionId(partition)))
}
