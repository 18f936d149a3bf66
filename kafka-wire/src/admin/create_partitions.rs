//! Adding partitions to topics.

use super::{ItemError, Outcomes, outcomes_by};
use crate::protocol::create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic};
use crate::wire::Str;

/// Makes a request that raises the number of partitions of each topic to this total; the cluster chooses their brokers.
#[must_use]
pub fn request(topics: &[(Str, i32)], timeout_ms: i32) -> CreatePartitionsRequest {
    let topics = topics.iter().map(|(name, count)| CreatePartitionsTopic {
        name: name.clone(),
        count: *count,
        assignments: None,
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
