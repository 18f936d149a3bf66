//! DeleteTopics: deletes topics by name or by id.

use kafka_wire::protocol::ErrorCode;
use kafka_wire::protocol::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use kafka_wire::wire::{Str, Uuid};

use super::{Client, Handled, Handler};
use crate::broker::state::State;

impl Handler for DeleteTopicsRequest {
    fn handle(self, state: &mut State, _client: &Client) -> Handled<DeleteTopicsResponse> {
        Handled::Now(respond(&self, |wanted| delete(state, wanted)))
    }

    fn refuse(&self, error: ErrorCode, _version: i16) -> DeleteTopicsResponse {
        respond(self, |wanted| result(wanted.name.clone(), wanted.topic_id, error))
    }
}

fn delete(state: &mut State, wanted: &DeleteTopicState) -> DeletableTopicResult {
    let (name, missing) = match &wanted.name {
        Some(name) => (Some(name.clone()), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        None => (state.topics.name_of(wanted.topic_id).cloned(), ErrorCode::UNKNOWN_TOPIC_ID),
    };
    match name.as_ref().and_then(|name| state.topics.delete(name)) {
        Some(topic) => {
            let deleted = result(Some(topic.name.clone()), topic.id, ErrorCode::NONE);
            state.forget_topic(topic);
            deleted
        }
        None => result(name, wanted.topic_id, missing),
    }
}

/// Version 6 and later list topics with a name or an id, earlier ones only names.
fn respond(
    request: &DeleteTopicsRequest,
    delete: impl FnMut(&DeleteTopicState) -> DeletableTopicResult,
) -> DeleteTopicsResponse {
    let by_name =
        |name: &Str| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO, ..Default::default() };
    let named: Vec<_> = request.topic_names.iter().map(by_name).collect();
    let responses = request.topics.iter().chain(&named).map(delete).collect();
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn result(name: Option<Str>, topic_id: Uuid, error: ErrorCode) -> DeletableTopicResult {
    DeletableTopicResult { name, topic_id, error_code: error.0, ..DeletableTopicResult::default() }
}
