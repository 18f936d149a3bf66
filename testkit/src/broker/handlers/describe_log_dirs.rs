//! DescribeLogDirs: shows one directory, which stands for the memory, with every partition in it.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};
use kafka_wire::wire::Str;

use super::{Client, Handled, Handler};
use crate::broker::state::State;
use crate::broker::topics::Topic;

impl Handler for DescribeLogDirsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DescribeLogDirsResponse> {
        let wanted: Option<BTreeSet<(&str, i32)>> = self.topics.as_ref().map(|topics| {
            let pairs =
                topics.iter().flat_map(|topic| topic.partitions.iter().map(|&index| (topic.topic.as_str(), index)));
            pairs.collect()
        });
        let topics = state.topics.iter().map(|topic| describe(topic, wanted.as_ref()));
        let directory = DescribeLogDirsResult {
            log_dir: Str::from_static(DIRECTORY),
            topics: topics.filter(|topic| !topic.partitions.is_empty()).collect(),
            ..DescribeLogDirsResult::default()
        };
        Handled::Now(DescribeLogDirsResponse { results: vec![directory], ..DescribeLogDirsResponse::default() })
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DescribeLogDirsResponse {
        DescribeLogDirsResponse { error_code: error.0, ..DescribeLogDirsResponse::default() }
    }
}

/// The partitions of a topic that the request asks for; all of them by default.
fn describe(topic: &Topic, wanted: Option<&BTreeSet<(&str, i32)>>) -> DescribeLogDirsTopic {
    let is_wanted = |index| wanted.is_none_or(|wanted| wanted.contains(&(topic.name.as_str(), index)));
    let partitions = (0..).zip(&topic.partitions).filter(|&(index, _)| is_wanted(index));
    let partitions = partitions.map(|(partition_index, partition)| DescribeLogDirsPartition {
        partition_index,
        partition_size: i64::try_from(partition.log.size_bytes()).unwrap_or(i64::MAX),
        ..Default::default()
    });
    DescribeLogDirsTopic { name: topic.name.clone(), partitions: partitions.collect(), ..Default::default() }
}

/// Name of the directory. Kafka's are absolute paths, so this is one too; it does not exist.
pub(super) const DIRECTORY: &str = "/memory";
