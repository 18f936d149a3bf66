//! Adding partitions to topics.

use super::{ItemError, NewPartitions, Outcomes, outcomes_by};
use crate::protocol::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use crate::types::BrokerId;
use crate::wire::Str;

/// Makes a request that raises the number of partitions of each topic to its total.
#[must_use]
pub fn request(topics: &[NewPartitions], timeout_ms: i32) -> CreatePartitionsRequest {
    let assignment = |brokers: &Vec<BrokerId>| CreatePartitionsAssignment {
        broker_ids: brokers.iter().map(|broker| broker.0).collect(),
        ..Default::default()
    };
    let topics = topics.iter().map(|new| CreatePartitionsTopic {
        name: new.topic.clone(),
        count: new.total,
        assignments: (!new.assignments.is_empty()).then(|| new.assignments.iter().map(assignment).collect()),
        ..Default::default()
    });
    CreatePartitionsRequest { topics: topics.collect(), timeout_ms, ..Default::default() }
}

/// The outcome of each topic, in the order of `names`.
#[must_use]
pub fn read(names: &[Str], response: CreatePartitionsResponse) -> Outcomes<Str> {
    let answers = response.results.into_iter();
    let answers = answers.map(|result| (result.name, ItemError::check(result.error_code, result.error_message)));
    outcomes_by(names, Str::clone, answers)
}
