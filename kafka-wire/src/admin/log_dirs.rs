//! Log directories of brokers, and moves of replicas between those of one broker (KIP-113, KIP-827).

use std::collections::BTreeMap;

use super::ItemError;
use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
};
use crate::protocol::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
};
use crate::types::PartitionId;
use crate::wire::Str;

/// A directory in which a broker keeps logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDir {
    /// Absolute path on the broker.
    pub path: Str,
    /// The error for which the broker cannot use it; `None` if it can.
    pub error: Option<ItemError>,
    /// The replicas in it, sorted by partition.
    pub replicas: Vec<LogDirReplica>,
    /// Bytes of its volume; `None` before Kafka 3.3.
    pub total_bytes: Option<u64>,
    /// Free bytes of its volume; `None` before Kafka 3.3.
    pub usable_bytes: Option<u64>,
    /// Whether it takes no new replicas (KIP-1066).
    pub is_cordoned: bool,
}

/// A replica in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// Its partition.
    pub partition: TopicPartition,
    /// Bytes of its segments.
    pub size_bytes: i64,
    /// Offsets that it is behind: a current replica behind the high watermark, a future one behind the current.
    pub offset_lag: i64,
    /// Whether it is a copy that will replace the current replica in another directory.
    pub is_future: bool,
}

/// The directories of one replica on its broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaLogDirs {
    /// Path of the directory in which it is, and the offsets by which it is behind the high watermark.
    pub current: Option<(Str, i64)>,
    /// Path of the directory to which it is being moved, and the offsets by which the copy is behind.
    pub future: Option<(Str, i64)>,
}

/// Returns where a replica is among the directories of its broker.
#[must_use]
pub fn of_replica(partition: &TopicPartition, dirs: &[LogDir]) -> ReplicaLogDirs {
    let mut found = ReplicaLogDirs::default();
    for dir in dirs {
        for replica in dir.replicas.iter().filter(|replica| replica.partition == *partition) {
            let place = Some((dir.path.clone(), replica.offset_lag));
            match replica.is_future {
                true => found.future = place,
                false => found.current = place,
            }
        }
    }
    found
}

/// Makes a request for all log directories of a broker.
#[must_use]
pub fn describe_request() -> DescribeLogDirsRequest {
    DescribeLogDirsRequest { topics: None, ..Default::default() }
}

/// Returns the log directories of one broker, in the order of the response.
///
/// # Errors
/// The broker's code for the whole request.
pub fn read_described(response: DescribeLogDirsResponse) -> Result<Vec<LogDir>, ItemError> {
    ItemError::check(response.error_code, None)?;
    // A broker has a directory. Before Kafka 3.2 there was no code that says that it must not be told.
    if response.results.is_empty() {
        return Err(ItemError { code: ErrorCode::CLUSTER_AUTHORIZATION_FAILED, message: None });
    }
    Ok(response.results.into_iter().map(log_dir).collect())
}

fn log_dir(result: DescribeLogDirsResult) -> LogDir {
    let replicas = result.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |found| replica(&name, &found))
    });
    let mut replicas: Vec<_> = replicas.collect();
    replicas.sort_by(|one, other| one.partition.cmp(&other.partition));
    LogDir {
        path: result.log_dir,
        error: ItemError::check(result.error_code, None).err(),
        replicas,
        total_bytes: u64::try_from(result.total_bytes).ok(),
        usable_bytes: u64::try_from(result.usable_bytes).ok(),
        is_cordoned: result.is_cordoned,
    }
}

fn replica(topic: &Str, found: &DescribeLogDirsPartition) -> LogDirReplica {
    LogDirReplica {
        partition: TopicPartition::new(topic.clone(), PartitionId(found.partition_index)),
        size_bytes: found.partition_size,
        offset_lag: found.offset_lag,
        is_future: found.is_future_key,
    }
}

/// Makes a request to one broker to move its replicas of partitions, each to the directory of this path.
#[must_use]
pub fn alter_request(moves: &[(TopicPartition, Str)]) -> AlterReplicaLogDirsRequest {
    let mut dirs: BTreeMap<&Str, BTreeMap<&Str, Vec<i32>>> = BTreeMap::new();
    for (partition, path) in moves {
        dirs.entry(path).or_default().entry(&partition.topic).or_default().push(partition.partition.0);
    }
    let dirs = dirs.into_iter().map(|(path, topics)| {
        let topics = topics.into_iter().map(|(name, partitions)| AlterReplicaLogDirTopic {
            name: name.clone(),
            partitions,
            ..Default::default()
        });
        AlterReplicaLogDir { path: path.clone(), topics: topics.collect(), ..Default::default() }
    });
    AlterReplicaLogDirsRequest { dirs: dirs.collect(), ..Default::default() }
}

/// Returns the outcome of each partition. An accepted move goes on in the background.
#[must_use]
pub fn read_altered(response: AlterReplicaLogDirsResponse) -> BTreeMap<TopicPartition, Result<(), ItemError>> {
    let outcomes = response.results.into_iter().flat_map(|topic| {
        let name = topic.topic_name;
        topic.partitions.into_iter().map(move |found| {
            let partition = TopicPartition::new(name.clone(), PartitionId(found.partition_index));
            (partition, ItemError::check(found.error_code, None))
        })
    });
    outcomes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_without_directories_refuses() {
        let refused = read_described(DescribeLogDirsResponse::default()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        let dir = DescribeLogDirsResult { log_dir: Str::from("/var/kafka"), ..Default::default() };
        let dirs = read_described(DescribeLogDirsResponse { results: vec![dir], ..Default::default() }).unwrap();
        assert_eq!((dirs.len(), &*dirs[0].path), (1, "/var/kafka"));
    }
}
