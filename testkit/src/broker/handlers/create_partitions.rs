//! CreatePartitions: adds partitions to topics, all of them on this one broker.

use std::collections::BTreeSet;

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

use super::config_resource::{Refusal, code_and_words};
use super::{Client, Handled, Handler, is_legal_assignment, repeated};
use crate::broker::state::State;

impl Handler for CreatePartitionsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<CreatePartitionsResponse> {
        let repeated = repeated(self.topics.iter().map(|topic| &topic.name));
        let grow = |topic: &CreatePartitionsTopic| {
            if repeated.contains(&topic.name) {
                return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "a topic is named twice"));
            }
            grow(state, topic, self.validate_only)
        };
        Handled::Now(respond(&self, grow))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> CreatePartitionsResponse {
        respond(self, |_| Err(error.into()))
    }
}

fn grow(state: &mut State, topic: &CreatePartitionsTopic, is_trial: bool) -> Result<(), Refusal> {
    let added = state.topics.check_growth(&topic.name, topic.count).map_err(|error| explain(state, topic, error))?;
    if let Some(assignments) = &topic.assignments {
        if assignments.len() != added {
            let words = format!("{added} partitions are new, and {} are assigned", assignments.len());
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, words));
        }
        if !assignments.iter().all(|one| is_legal_assignment(&one.broker_ids)) {
            return Err(ErrorCode::INVALID_REPLICA_ASSIGNMENT.into());
        }
    }
    if !is_trial {
        state.topics.grow(&topic.name, topic.count)?;
    }
    Ok(())
}

fn explain(state: &State, topic: &CreatePartitionsTopic, error: ErrorCode) -> Refusal {
    match state.topics.by_name(&topic.name).map(|found| found.partitions.len()) {
        Some(present) => {
            Refusal::new(error, format!("{} has {present} partitions, and cannot get {}", topic.name, topic.count))
        }
        None => error.into(),
    }
}

/// Responds with one result for each name, also for a name that the request has twice.
fn respond(
    request: &CreatePartitionsRequest,
    mut grow: impl FnMut(&CreatePartitionsTopic) -> Result<(), Refusal>,
) -> CreatePartitionsResponse {
    let mut answered = BTreeSet::new();
    let topics = request.topics.iter().filter(|topic| answered.insert(&topic.name));
    let results = topics.map(|topic| {
        let (error_code, error_message) = code_and_words(grow(topic));
        CreatePartitionsTopicResult { name: topic.name.clone(), error_code, error_message, ..Default::default() }
    });
    CreatePartitionsResponse { results: results.collect(), ..CreatePartitionsResponse::default() }
}
