//! The places at which the inputs of a job start and end, looked up at the start of a process.

use std::collections::BTreeMap;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::client::{
    Client, ExclusiveProducer, GroupOffsets, OffsetsError, fetch_offsets, fetch_unstable_offsets,
};
use kafka_wire::cluster::{CommittedOffset, GroupMetadata, TopicPartition};
use kafka_wire::producer::{ProducerConfig, RunsOn};
use kafka_wire::types::{IsolationLevel, Offset, PartitionId};
use tracing::warn;

use super::config::Config;
use super::error::RunError;
use super::limits::time_of_day;
use super::obstacle::Obstacle;
use super::operations::carry_out;
use super::remedy::{self, Failure};
use crate::commit::{OffsetMetadata, Outcome};
use crate::topology::{SourceSpec, StoppingOffsets, Topology};
use crate::worker::{Completion, End, Ends, Operation, Starting, UNBOUNDED};

/// Chooses the places at which inputs start, unless another process of the job has done it.
pub(super) async fn choose_starts(
    client: &Client,
    topology: &Topology,
    counts: &BTreeMap<String, i32>,
    config: &Config,
) -> Result<(), Obstacle> {
    let (policy, foreign) = (config.auto_offset_reset, config.foreign_offsets);
    let Some(mut starting) = Starting::new(topology, counts, policy, foreign, time_of_day()) else {
        return Ok(());
    };
    let group = GroupMetadata::without_membership(topology.application_id());
    let mut producer = None;
    while let Some(operation) = starting.next() {
        let completion = match (operation, &mut producer) {
            (Operation::Recover, _) => {
                let of_start = ProducerConfig {
                    transaction_timeout: config.transaction_timeout,
                    runs_on: RunsOn::CallersRuntime,
                    ..ProducerConfig::transactional(starting.transactional_id())
                };
                match ExclusiveProducer::open(client, of_start).await {
                    Ok(opened) => {
                        producer = Some(opened);
                        Completion::Transaction(Outcome::Done)
                    }
                    Err(error) => Completion::Failed(error.end()),
                }
            }
            (Operation::Commit { offsets }, Some(producer)) => commit(producer, &group, &offsets).await,
            (operation, _) => carry_out(client.clone(), group.group_id.clone(), operation).await,
        };
        starting.handle(completion).map_err(|end| match end {
            End::Restart(cause) => Obstacle::Passes(RunError::Connect(cause)),
            End::Fatal(failure) => Obstacle::Stays(failure.into()),
            End::Stopped => unreachable!("nobody stops a choice"),
        })?;
    }
    Ok(())
}

async fn commit(
    producer: &mut ExclusiveProducer,
    group: &GroupMetadata,
    offsets: &[(TopicPartition, CommittedOffset)],
) -> Completion {
    if let Err(error) = producer.begin() {
        return Completion::Failed(error.end());
    }
    let committed = producer.commit(Some(GroupOffsets { group, offsets })).await;
    if let Err(error) = &committed {
        warn!(%error, "the places at which inputs start are not committed yet");
    }
    remedy::committed(committed)
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
        if source.extent.stop == Some(StoppingOffsets::Latest) {
            let chosen = chosen_ends(client, topology.application_id(), &partitions).await?;
            let end = |(partition, end): (&TopicPartition, Offset)| {
                chosen.get(partition).map_or(end, |chosen| end.min(*chosen))
            };
            found = partitions.iter().zip(found).map(end).collect();
        }
        let is_read = |partition: &TopicPartition| source.extent.has(partition.partition);
        let end = |(partition, end): (&TopicPartition, Offset)| if is_read(partition) { end } else { Offset(0) };
        ends.insert(source.topic.clone(), partitions.iter().zip(found).map(end).collect());
    }
    Ok((!ends.is_empty()).then_some(ends))
}

/// The ends that were chosen when the job began, as its offsets tell them: other processes have the same, and had them
/// before a restart. A log that was cut may end before that.
async fn chosen_ends(
    client: &Client,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Offset>, Obstacle> {
    let obstacle = |error: OffsetsError| Obstacle::of(&error, RunError::Connect);
    let mut offsets = fetch_unstable_offsets(client, group, partitions).await.map_err(obstacle)?;
    if offsets.iter().any(|(_, committed)| committed.is_none()) {
        // The choice was committed a moment ago. Otherwise transactions of workers that are gone are not waited for.
        offsets = fetch_offsets(client, group, partitions).await.map_err(obstacle)?;
    }
    let end = |(partition, committed): (TopicPartition, Option<CommittedOffset>)| {
        Some((partition, OffsetMetadata::parse(&committed?.metadata)?.end?))
    };
    Ok(offsets.into_iter().filter_map(end).collect())
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
