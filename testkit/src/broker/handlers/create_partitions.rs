//! CreatePartitions: topics grow, on this one broker.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::{Answer, Client, Handler, code_and_words, is_legal_assignment, repeated};
use crate::broker::state::State;

impl Handler for CreatePartitionsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Answer<CreatePartitionsResponse> {
        let repeated = repeated(self.topics.iter().map(|topic| &topic.name));
        let grow = |topic: &CreatePartitionsTopic| {
            if repeated.contains(&topic.name) {
                return Err(ErrorCode::INVALID_REQUEST);
            }
            grow(state, topic, self.validate_only)
        };
        Answer::Now(respond(&self, grow))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> CreatePartitionsResponse {
        respond(self, |_| Err(error))
    }
}

fn grow(state: &mut State, topic: &CreatePartitionsTopic, is_trial: bool) -> Result<(), ErrorCode> {
    let added = state.topics.check_growth(&topic.name, topic.count)?;
    if let Some(assignments) = &topic.assignments
        && !(assignments.len() == added && assignments.iter().all(|one| is_legal_assignment(&one.broker_ids)))
    {
        return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    }
    if is_trial { Ok(()) } else { state.topics.grow(&topic.name, topic.count) }
}

/// One result for each name, also for one that the request has twice.
fn respond(
    request: &CreatePartitionsRequest,
    mut grow: impl FnMut(&CreatePartitionsTopic) -> Result<(), ErrorCode>,
) -> CreatePartitionsResponse {
    let mut answered = BTreeSet::new();
    let topics = request.topics.iter().filter(|topic| answered.insert(&topic.name));
    let results = topics.map(|topic| {
        let (error_code, error_message) = code_and_words(grow(topic));
        CreatePartitionsTopicResult { name: topic.name.clone(), error_code, error_message, ..Default::default() }
    });
    CreatePartitionsResponse { results: results.collect(), ..CreatePartitionsResponse::default() }
}
