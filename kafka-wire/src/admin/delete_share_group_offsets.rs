//! Forgetting what a share group without members has read of topics (KIP-932).

use super::{ItemError, Outcomes, outcomes_by};
use crate::protocol::delete_share_group_offsets::{
    DeleteShareGroupOffsetsRequest, DeleteShareGroupOffsetsRequestTopic, DeleteShareGroupOffsetsResponse,
};
use crate::wire::Str;

/// Makes a request to forget these topics.
#[must_use]
pub fn request(group_id: &Str, topics: &[Str]) -> DeleteShareGroupOffsetsRequest {
    let topics = topics.iter();
    let topics =
        topics.map(|name| DeleteShareGroupOffsetsRequestTopic { topic_name: name.clone(), ..Default::default() });
    DeleteShareGroupOffsetsRequest { group_id: group_id.clone(), topics: topics.collect(), ..Default::default() }
}

/// Returns the outcome of each topic, in the order of `topics`.
///
/// # Errors
/// The coordinator's error for the whole group: `NON_EMPTY_GROUP` while it has members.
pub fn read(topics: &[Str], response: DeleteShareGroupOffsetsResponse) -> Result<Outcomes<Str>, ItemError> {
    ItemError::check(response.error_code, response.error_message)?;
    let answers = response.responses.into_iter();
    let answers = answers.map(|topic| (topic.topic_name, ItemError::check(topic.error_code, topic.error_message)));
    Ok(outcomes_by(topics, Str::clone, answers))
}
