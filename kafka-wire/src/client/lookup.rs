//! The look-ups of a consumer's reset policy, each at one leader.

use std::collections::BTreeMap;

use super::clock::now_ms;
use super::{CallOptions, Client, Lane, Node};
use crate::admin::list_offsets;
use crate::cluster::{OffsetSpec, TopicPartition};
use crate::consumer::{Looked, Lookup};
use crate::protocol::ErrorCode;
use crate::types::{BrokerId, IsolationLevel, LeaderEpoch, TimestampMs};

/// The results of a look-up, in the order of its partitions. Nothing is retried: that is up to the fetcher.
pub(super) async fn look_up(client: &Client, isolation: IsolationLevel, lookup: &Lookup) -> Vec<Looked> {
    let Some(leader) = lookup.leader else { return find_leaders(client, &lookup.partitions).await };
    let mut found: BTreeMap<TopicPartition, Looked> = BTreeMap::new();
    for spec in lookup.policy.queries(TimestampMs(now_ms())) {
        let open = lookup.partitions.iter().filter(|(partition, _)| !found.contains_key(partition));
        let open: Vec<_> = open.map(|(partition, epoch)| (partition.clone(), spec, *epoch)).collect();
        if open.is_empty() {
            break;
        }
        found.extend(ask(client, leader, &open, isolation).await);
    }
    let of = |(partition, _): &(TopicPartition, LeaderEpoch)| found.get(partition).copied();
    // No query found an offset, which a log has while it has a leader.
    let none = Looked::Refused(ErrorCode::LEADER_NOT_AVAILABLE);
    lookup.partitions.iter().map(|partition| of(partition).unwrap_or(none)).collect()
}

/// One query. A partition that has no such offset is missing in the result.
async fn ask(
    client: &Client,
    leader: BrokerId,
    asked: &[(TopicPartition, OffsetSpec, LeaderEpoch)],
    isolation: IsolationLevel,
) -> Vec<(TopicPartition, Looked)> {
    let refused = |code| asked.iter().map(|(partition, ..)| (partition.clone(), Looked::Refused(code))).collect();
    let request = list_offsets::request(asked, isolation);
    let answer = client.request_versioned(Node::Broker(leader), Lane::General, request, CallOptions::default()).await;
    let response = match answer {
        // The leader has taken the query for a timestamp.
        Ok((_, version)) if asked.iter().any(|(_, spec, _)| spec.first_version() > version) => {
            return refused(ErrorCode::UNSUPPORTED_VERSION);
        }
        Ok((response, _)) => response,
        Err(error) => {
            tracing::debug!(broker = %leader, %error, "offsets to reset positions to");
            return refused(ErrorCode::LEADER_NOT_AVAILABLE);
        }
    };
    let listed: BTreeMap<_, _> = list_offsets::read(response).collect();
    let result = |(partition, ..): &(TopicPartition, OffsetSpec, LeaderEpoch)| {
        let result = match listed.get(partition) {
            Some(Ok(listed)) => Looked::Found(listed.offset?),
            Some(Err(code)) => Looked::Refused(*code),
            // An answer that leaves out a partition would be the same the next time.
            None => Looked::Refused(ErrorCode::UNKNOWN_SERVER_ERROR),
        };
        Some((partition.clone(), result))
    };
    asked.iter().filter_map(result).collect()
}

/// Finds out the leaders of partitions of one topic, with one request. One that has no leader holds up no other.
async fn find_leaders(client: &Client, partitions: &[(TopicPartition, LeaderEpoch)]) -> Vec<Looked> {
    let Some((TopicPartition { topic, .. }, _)) = partitions.first() else { return Vec::new() };
    let described = client.metadata(std::slice::from_ref(topic)).await;
    let code = described.as_ref().ok().and_then(|cluster| cluster.topic(topic)).map(|topic| topic.error);
    let hopeless = code.filter(|code| !code.is_none() && !code.is_retriable());
    let looked = |(partition, _): &(TopicPartition, LeaderEpoch)| match &described {
        Ok(cluster) if cluster.leader(topic, partition.partition).is_some() => Looked::Led,
        // A missing topic or partition may come later.
        Ok(_) | Err(_) => Looked::Refused(hopeless.unwrap_or(ErrorCode::LEADER_NOT_AVAILABLE)),
    };
    partitions.iter().map(looked).collect()
}
