//! The meaning of a response to Produce for the batches of its request.

use super::super::error::DeliveryCause;
use super::super::pauses::Pauses;
use super::super::sequence::Attempt;
use super::Produced;
use crate::cluster::TopicPartition;
use crate::protocol::ErrorCode;
use crate::protocol::produce::{PartitionProduceResponse, ProduceResponse};
use crate::time::Moment;
use crate::types::Offset;
use crate::wire::Str;

/// Sorts a response, so that the part for each of many partitions is found at once: brokers answer in any order.
pub(super) fn sort(produced: &mut Produced) {
    let Produced::Answered(response) = produced else { return };
    response.responses.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    for topic in &mut response.responses {
        topic.partition_responses.sort_unstable_by_key(|answer| answer.index);
    }
}

/// The part of a sorted response for a partition.
pub(super) fn answer_for<'a>(
    produced: &'a Produced,
    partition: &TopicPartition,
) -> Option<&'a PartitionProduceResponse> {
    let Produced::Answered(ProduceResponse { responses, .. }) = produced else { return None };
    let topic = responses.binary_search_by(|topic| topic.name.cmp(&partition.topic)).ok()?;
    let answers = &responses.get(topic)?.partition_responses;
    answers.get(answers.binary_search_by_key(&partition.partition.0, |answer| answer.index).ok()?)
}

/// The records of a batch at fault, as the broker reported them.
pub(super) fn blamed(found: Option<&PartitionProduceResponse>) -> Vec<(i32, Option<Str>)> {
    let errors = found.into_iter().flat_map(|found| &found.record_errors);
    errors.map(|error| (error.batch_index, error.batch_index_error_message.clone())).collect()
}

/// The outcome for the batch of one partition, and whether its leader has to be looked up again.
pub(super) fn read_attempt(
    now: Moment,
    produced: &Produced,
    found: Option<&PartitionProduceResponse>,
    failures: u32,
    pauses: Pauses,
) -> (Attempt, bool) {
    let again = |code| now + pauses.after(code, failures);
    match produced {
        Produced::Answered(_) => {}
        Produced::Written => return (Attempt::Acknowledged(Offset(-1)), false),
        Produced::NotSent => return (Attempt::Retry(again(None), None), true),
        Produced::Unanswered => return (Attempt::Unknown(again(None), None), true),
        Produced::Unsendable => return (Attempt::Refused(DeliveryCause::Unsendable), false),
    }
    // A partition that the response leaves out counts as unanswered.
    let Some(found) = found else { return (Attempt::Unknown(again(None), None), true) };
    let code = ErrorCode(found.error_code);
    let pause = again(Some(code));
    match code {
        ErrorCode::NONE => (Attempt::Acknowledged(Offset(found.base_offset)), false),
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => (Attempt::Acknowledged(Offset(-1)), false),
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER | ErrorCode::UNKNOWN_PRODUCER_ID => {
            (Attempt::OutOfOrder(pause, code), false)
        }
        // The leader has the batch, the other replicas may not: a repeat is recognised, whichever broker gets it.
        ErrorCode::REQUEST_TIMED_OUT | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND => {
            (Attempt::Unknown(pause, Some(code)), false)
        }
        ErrorCode::MESSAGE_TOO_LARGE => (Attempt::TooLarge(code), false),
        // The leader is known already, so the first retry goes there at once.
        code if names_leader(found) && failures == 0 => (Attempt::Deposed(now, Some(code)), false),
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::KAFKA_STORAGE_ERROR => {
            (Attempt::Deposed(pause, Some(code)), true)
        }
        code if code.is_retriable() => (Attempt::Retry(pause, Some(code)), is_about_leadership(code)),
        code => (Attempt::Refused(DeliveryCause::Refused(code)), false),
    }
}

/// Whether the broker refuses because another one, which it names, leads the partition.
pub(super) fn names_leader(answer: &PartitionProduceResponse) -> bool {
    let code = ErrorCode(answer.error_code);
    let has_moved = matches!(code, ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH);
    has_moved && answer.current_leader.leader_id >= 0
}

/// Whether the code means that this broker does not lead the partition, or not any more.
fn is_about_leadership(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::REPLICA_NOT_AVAILABLE
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::NETWORK_EXCEPTION
    )
}
