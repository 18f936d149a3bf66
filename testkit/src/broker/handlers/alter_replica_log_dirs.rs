//! AlterReplicaLogDirs: with one directory, a replica can only move to where it is already (KIP-113).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use kafka_wire::wire::Str;

use super::describe_log_dirs::DIRECTORY;
use super::{Client, Handled, Handler, code};
use crate::broker::state::State;

impl Handler for AlterReplicaLogDirsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<AlterReplicaLogDirsResponse> {
        Handled::Now(respond(&self, |path, topic, index| {
            if path != DIRECTORY {
                return Err(ErrorCode::LOG_DIR_NOT_FOUND);
            }
            state.topics.partition(topic, index).map(|_| ()).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
        }))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> AlterReplicaLogDirsResponse {
        respond(self, |_, _, _| Err(error))
    }
}

fn respond(
    request: &AlterReplicaLogDirsRequest,
    alter: impl Fn(&str, &Str, i32) -> Result<(), ErrorCode>,
) -> AlterReplicaLogDirsResponse {
    let mut results = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let partitions = topic.partitions.iter().map(|&partition_index| AlterReplicaLogDirPartitionResult {
                partition_index,
                error_code: code(alter(&dir.path, &topic.name, partition_index)),
                ..Default::default()
            });
            let partitions = partitions.collect();
            results.push(AlterReplicaLogDirTopicResult {
                topic_name: topic.name.clone(),
                partitions,
                ..Default::default()
            });
        }
    }
    AlterReplicaLogDirsResponse { results, ..Default::default() }
}
