//! Deleting topics.

use super::{TopicError, TopicOutcomes, outcomes};
use crate::protocol::ErrorCode;
use crate::protocol::delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::Str;

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

/// The outcome of each topic, in the order of `names`.
#[must_use]
pub fn read(names: &[Str], response: DeleteTopicsResponse) -> TopicOutcomes {
    let answers = response.responses.into_iter().filter_map(|topic| {
        let error = TopicError { code: ErrorCode(topic.error_code), message: topic.error_message };
        Some((topic.name?, error))
    });
    outcomes(names, answers.collect())
}
