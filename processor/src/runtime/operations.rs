//! The operations that a worker asks for, carried out on a cluster.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use kafka_wire::client::{Client, GroupOffsets, RequestError, fence, fetch_offsets, fetch_unstable_offsets};
use kafka_wire::cluster::{GroupMetadata, TopicPartition};
use kafka_wire::wire::Str;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::remedy::{self, Failure};
use super::source_ends::source_ends;
use super::transaction::Transaction;
use crate::commit::Outcome;
use crate::worker::{Completion, End, Operation};

/// Carries out an operation that does not concern the transaction. One that takes long is reported, with what it waits
/// for: tasks may wait for it.
pub(super) async fn carry_out(client: Client, group_id: Str, operation: Operation) -> Completion {
    let waits_for = waits_for(&operation);
    let mut done = pin!(carry_out_unreported(client, group_id, operation));
    let started = Instant::now();
    loop {
        if let Ok(completion) = timeout(REPORT_INTERVAL, &mut done).await {
            return completion;
        }
        info!(seconds = started.elapsed().as_secs(), "still waits for {waits_for}");
    }
}

/// Time between two reports of an operation that takes long.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Text behind "waits for": the thing that an operation waits for.
fn waits_for(operation: &Operation) -> String {
    match operation {
        Operation::CountPartitions { topics } => format!("the partitions of {}", topics.join(", ")),
        Operation::ListTopics => "the list of topics".to_owned(),
        Operation::Fence { transactional_ids } => {
            format!("the coordinator to end the transactions of {}, which are gone", transactional_ids.join(", "))
        }
        Operation::ReadOffsets { partitions, is_stable } => {
            let until = if *is_stable { ", until open transactions that may change them have ended" } else { "" };
            format!("the committed offsets of {}{until}", listed(partitions.iter()))
        }
        Operation::ListOffsets { wanted, .. } => {
            format!("the ends of {}", listed(wanted.iter().map(|(partition, _)| partition)))
        }
        operation => format!("{operation:?}"),
    }
}

/// The first of these partitions, and the number of the others.
fn listed<'p>(mut partitions: impl ExactSizeIterator<Item = &'p TopicPartition>) -> String {
    let first = partitions.next().map(ToString::to_string).unwrap_or_default();
    match partitions.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

async fn carry_out_unreported(client: Client, group_id: Str, operation: Operation) -> Completion {
    let done = match operation {
        Operation::CountPartitions { topics } => count_partitions(&client, &topics).await,
        Operation::ListTopics => list_topics(&client).await.map(Completion::Topics).map_err(|error| error.end()),
        Operation::Fence { transactional_ids } => {
            fence_all(&client, transactional_ids).await;
            Ok(Completion::Done)
        }
        Operation::ReadOffsets { partitions, is_stable } => {
            let read = match is_stable {
                true => fetch_offsets(&client, &group_id, &partitions).await,
                false => fetch_unstable_offsets(&client, &group_id, &partitions).await,
            };
            read.map(Completion::Offsets).map_err(|error| error.end())
        }
        Operation::ListOffsets { wanted, isolation } => {
            let listed = client.list_offsets(&wanted, isolation).await;
            let offsets = listed.map(|listed| listed.into_iter().map(|listed| listed.offset).collect());
            offsets.map(Completion::Listed).map_err(|error| error.end())
        }
        operation => unreachable!("{operation:?} is one on the transaction"),
    };
    done.unwrap_or_else(Completion::Failed)
}

/// Carries out an operation on the transaction. Dropping the future leaves the outcome open, as a crash does;
/// only a worker that ends may do so.
pub(super) async fn carry_out_in(
    transaction: &mut Transaction,
    client: Client,
    group: GroupMetadata,
    operation: Operation,
) -> Completion {
    if matches!(operation, Operation::MakeRoom | Operation::Flush | Operation::FlushShuffles)
        && let Err(end) = transaction.look_up_named(&client).await
    {
        return Completion::Failed(end);
    }
    if matches!(operation, Operation::Flush) {
        transaction.take_up_partitions(&client).await;
    }
    let is_refused = transaction.is_refused_by_named();
    let producer = &mut transaction.producer;
    match operation {
        Operation::Flush | Operation::FlushShuffles if is_refused => Completion::Transaction(Outcome::MustAbort),
        Operation::SumSourceEnds { sources, run_ends } => {
            Completion::SourceEnds(source_ends(&client, &sources, run_ends.as_deref()).await)
        }
        Operation::MakeRoom => {
            producer.ready().await.map_or_else(|error| Completion::Failed(error.end()), |()| Completion::Done)
        }
        Operation::Flush | Operation::FlushShuffles => {
            let flushed = match operation {
                Operation::Flush => producer.flush().await.map(|()| Completion::Transaction(Outcome::Done)),
                _ => transaction.flush_shuffles().await.map(Completion::Written),
            };
            if let Err(error) = &flushed {
                warn!(%error, "output was not taken");
            }
            remedy::flushed(flushed)
        }
        Operation::Commit { offsets } => {
            let offsets = (!offsets.is_empty()).then_some(GroupOffsets { group: &group, offsets: &offsets });
            let committed = producer.commit(offsets).await;
            if let Err(error) = &committed {
                warn!(%error, "the commit did not succeed");
            }
            remedy::committed(committed)
        }
        Operation::Abort => remedy::aborted(producer.abort().await),
        Operation::Recover => match producer.recover().await {
            Ok(_) => Completion::Transaction(Outcome::Done),
            Err(error) => Completion::Failed(error.end()),
        },
        operation => unreachable!("{operation:?} is none on the transaction"),
    }
}

async fn count_partitions(client: &Client, topics: &[String]) -> Result<Completion, End> {
    let names: Vec<Str> = topics.iter().map(|topic| Str::from(topic.as_str())).collect();
    let cluster = client.metadata(&names).await.map_err(|error| error.end())?;
    let mut counts = BTreeMap::new();
    for name in names {
        let count = cluster.topic(&name).map_or(0, |topic| topic.partitions.len());
        if count > 0 {
            counts.insert(name.to_string(), i32::try_from(count).unwrap_or(i32::MAX));
        }
    }
    Ok(Completion::Counts(counts))
}

/// The names of all topics but Kafka's own, sorted.
pub(super) async fn list_topics(client: &Client) -> Result<Vec<String>, RequestError> {
    Ok(client.user_topics().await?.iter().map(ToString::to_string).collect())
}

/// Fences workers that are gone, side by side: each may have a coordinator of its own, and one of these may be away.
async fn fence_all(client: &Client, transactional_ids: Vec<String>) {
    let mut fences = JoinSet::new();
    for gone in transactional_ids {
        let client = client.clone();
        fences.spawn(async move {
            info!(gone, "fencing a worker that is gone");
            if let Err(error) = fence(&client, &gone).await {
                // Its transaction then ends at its timeout: slower, but just as correct.
                warn!(gone, %error, "a worker that is gone could not be fenced");
            }
        });
    }
    fences.join_all().await;
}
