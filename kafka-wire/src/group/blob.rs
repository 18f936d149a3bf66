//! What members of a group tell each other through the coordinator, which does not look into it.
//!
//! A blob is a version and a message of Kafka's consumer protocol. We write the newest version that we know; a reader
//! that knows less reads the fields of its own version, because later versions only append.

use bytes::Bytes;

use crate::cluster::TopicPartition;
use crate::protocol::Message;
use crate::protocol::consumer_protocol::TopicPartition as AssignedTopic;
use crate::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::types::PartitionId;
use crate::wire::{DecodeCause, DecodeError, Reader, Writer};

/// Newest version of both messages. Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json.
const NEWEST_VERSION: i16 = 3;

/// The bytes of a subscription, as they go into JoinGroup.
#[must_use]
pub fn encode_subscription(subscription: &ConsumerProtocolSubscription) -> Bytes {
    encode(subscription)
}

/// The bytes of an assignment, as they go into SyncGroup.
#[must_use]
pub fn encode_assignment(assignment: &ConsumerProtocolAssignment) -> Bytes {
    encode(assignment)
}

/// Reads a member's subscription, of any version.
///
/// # Errors
/// When the bytes end too early or are no subscription.
pub fn decode_subscription(blob: Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    decode(blob)
}

/// Reads an assignment, of any version; no bytes at all is an assignment of nothing, as the coordinator sends it to a
/// member that the leader left out.
///
/// # Errors
/// When the bytes end too early or are no assignment.
pub fn decode_assignment(blob: Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    if blob.is_empty() {
        return Ok(ConsumerProtocolAssignment::default());
    }
    decode(blob)
}

fn encode<M: Message>(message: &M) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(NEWEST_VERSION);
    // Topic names come from the config or from the cluster, both far below the 32 KiB of a classic string.
    message.encode(&mut writer, NEWEST_VERSION).expect("every field exists in the newest version");
    writer.into_bytes()
}

fn decode<M: Message>(blob: Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(blob);
    let version = reader.i16("version")?;
    if version < 0 {
        return Err(DecodeError { at: 0, what: "version", cause: DecodeCause::UnknownVersion(version) });
    }
    M::decode(&mut reader, version.min(NEWEST_VERSION))
}

/// Groups sorted partitions by their topic, as the assignment message has them.
#[must_use]
pub fn by_topic(partitions: Vec<TopicPartition>) -> Vec<AssignedTopic> {
    let mut topics: Vec<AssignedTopic> = Vec::new();
    for TopicPartition { topic, partition } in partitions {
        match topics.last_mut() {
            Some(last) if last.topic == topic => last.partitions.push(partition.0),
            _ => topics.push(AssignedTopic { topic, partitions: vec![partition.0] }),
        }
    }
    topics
}

/// The partitions of an assignment message, sorted, without repetition.
#[must_use]
pub fn from_topics(topics: Vec<AssignedTopic>) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = topics
        .into_iter()
        .flat_map(|AssignedTopic { topic, partitions }| {
            partitions
                .into_iter()
                .map(move |partition| TopicPartition { topic: topic.clone(), partition: PartitionId(partition) })
        })
        .collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}
