//! Deleting topics.

use super::{ItemError, Outcomes, TopicError, TopicOutcomes, outcomes, outcomes_by};
use crate::protocol::ErrorCode;
use crate::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::{Str, Uuid};

/// A request to delete topics by name, in the form of `version`; the broker answers when they are gone,
/// or after `timeout_ms`.
#[must_use]
pub fn request(names: &[Str], timeout_ms: i32, version: i16) -> DeleteTopicsRequest {
    if version >= 6 {
        let topics = names.iter().map(|name| DeleteTopicState { name: Some(name.clone()), ..Default::default() });
        return DeleteTopicsRequest { topics: topics.collect(), timeout_ms, ..Default::default() };
    }
    DeleteTopicsRequest { topic_names: names.to_vec(), timeout_ms, ..Default::default() }
}

/// Makes a request to delete topics by their ids.
#[must_use]
pub fn request_by_id(ids: &[Uuid], timeout_ms: i32) -> DeleteTopicsRequest {
    let topics = ids.iter().map(|id| DeleteTopicState { name: None, topic_id: *id, ..Default::default() });
    DeleteTopicsRequest { topics: topics.collect(), timeout_ms, ..Default::default() }
}

/// The outcome of each topic, in the order of `ids`.
#[must_use]
pub fn read_by_id(ids: &[Uuid], response: DeleteTopicsResponse) -> Outcomes<Uuid> {
    let answers = response.responses.into_iter();
    let answers = answers.map(|topic| (topic.topic_id, ItemError::check(topic.error_code, topic.error_message)));
    outcomes_by(ids, |id| *id, answers)
}

/// The outcome of each topic, in the order of `names`.
#[must_use]
pub fn read(names: &[Str], response: DeleteTopicsResponse) -> TopicOutcomes {
    let answers = response.responses.into_iter().filter_map(|topic| {
        let error = TopicError { code: ErrorCode(topic.error_code), message: topic.error_message };
        Some((topic.name?, error))
    });
    outcomes(names, answers.collect())
}
