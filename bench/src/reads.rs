//! Reads of every field of a response, in each of the forms that it is decoded to.
//!
//! The code is the same for all three forms: fields have the same names everywhere, and the accessors of numbers,
//! string lengths and list elements differ only in what iterating needs.

use kafka_wire::protocol::{fetch, metadata};

/// Adds up numbers.
macro_rules! sum {
    ($($number:expr),+ $(,)?) => { 0_u64$(.wrapping_add($number as u64))+ };
}

/// Adds up the values of `$of` for each element of `$list`.
macro_rules! each {
    ($list:expr, |$item:ident| $of:expr) => {
        $list.iter().fold(0_u64, |sum, $item| sum.wrapping_add($of))
    };
}

macro_rules! read_metadata {
    ($name:ident, $message:ty, $id:expr, $broker:expr) => {
        pub(crate) fn $name(message: &$message) -> u64 {
            let brokers = each!(message.brokers, |broker| sum!(
                $broker(broker.node_id.clone()),
                broker.host.len(),
                broker.port,
                broker.rack.as_ref().map_or(0, |rack| rack.len()),
            ));
            let partitions = |partition: u64, lists: u64| sum!(partition, lists);
            let topics = each!(message.topics, |topic| sum!(
                topic.error_code,
                topic.name.as_ref().map_or(0, |name| name.len()),
                $id(&topic.topic_id),
                topic.is_internal,
                topic.topic_authorized_operations,
                each!(topic.partitions, |partition| partitions(
                    sum!(
                        partition.error_code,
                        partition.partition_index,
                        $broker(partition.leader_id.clone()),
                        partition.leader_epoch,
                    ),
                    sum!(
                        each!(partition.replica_nodes, |node| $broker(node.clone()) as u64),
                        each!(partition.isr_nodes, |node| $broker(node.clone()) as u64),
                        each!(partition.offline_replicas, |node| $broker(node.clone()) as u64),
                    ),
                )),
            ));
            let cluster_id = message.cluster_id.as_ref().map_or(0, |id| id.len());
            let own = sum!(message.throttle_time_ms, cluster_id, $broker(message.controller_id.clone()));
            sum!(own, brokers, topics, message.cluster_authorized_operations, message.error_code)
        }
    };
}

macro_rules! read_fetch {
    ($name:ident, $message:ty, $id:expr, $broker:expr, $records:expr) => {
        pub(crate) fn $name(message: &$message) -> u64 {
            let topics = each!(message.responses, |topic| sum!(
                topic.topic.len(),
                $id(&topic.topic_id),
                each!(topic.partitions, |partition| sum!(
                    partition.partition_index,
                    partition.error_code,
                    partition.high_watermark,
                    partition.last_stable_offset,
                    partition.log_start_offset,
                    partition.diverging_epoch.epoch,
                    partition.diverging_epoch.end_offset,
                    $broker(partition.current_leader.leader_id.clone()),
                    partition.current_leader.leader_epoch,
                    partition.snapshot_id.end_offset,
                    partition.snapshot_id.epoch,
                    partition
                        .aborted_transactions
                        .as_ref()
                        .map_or(0, |aborted| each!(aborted, |it| sum!(it.first_offset))),
                    $broker(partition.preferred_read_replica.clone()),
                    partition.records.as_ref().map_or(0, $records),
                )),
            ));
            sum!(message.throttle_time_ms, message.error_code, message.session_id, topics, message.node_endpoints.len())
        }
    };
}

fn own_id(id: &kafka_wire::wire::Uuid) -> u64 {
    u128::from_be_bytes(id.0) as u64
}

read_metadata!(metadata_view, metadata::MetadataResponseView<'_>, own_id, i64::from);
read_metadata!(metadata_owned, metadata::MetadataResponse, own_id, i64::from);
read_metadata!(
    metadata_theirs,
    kafka_protocol::messages::MetadataResponse,
    |id: &uuid::Uuid| id.as_u128() as u64,
    |id: kafka_protocol::messages::BrokerId| i64::from(id.0)
);

read_fetch!(fetch_view, fetch::FetchResponseView<'_>, own_id, i64::from, |records: &&[u8]| records.len());
read_fetch!(fetch_owned, fetch::FetchResponse, own_id, i64::from, |records: &bytes::Bytes| records.len());
read_fetch!(
    fetch_theirs,
    kafka_protocol::messages::FetchResponse,
    |id: &uuid::Uuid| id.as_u128() as u64,
    |id: kafka_protocol::messages::BrokerId| i64::from(id.0),
    |records: &bytes::Bytes| records.len()
);
