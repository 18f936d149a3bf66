//! The byte strings that members of a group send each other through the coordinator, which does not interpret them.
//!
//! A blob is a version and a message of Kafka's consumer protocol. It is written in the newest version that this crate
//! knows; a reader that knows only earlier versions reads the fields of those, because later versions only append.

use bytes::Bytes;

use crate::cluster::TopicPartition;
use crate::protocol::Message;
use crate::protocol::consumer_protocol::TopicPartition as AssignedTopic;
use crate::protocol::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use crate::types::PartitionId;
use crate::wire::{DecodeCause, DecodeError, Reader, Writer};

/// Newest version of both messages. Source: ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json.
const NEWEST_VERSION: i16 = 3;

/// The bytes of a subscription, for JoinGroup.
#[must_use]
pub fn encode_subscription(subscription: &ConsumerProtocolSubscription) -> Bytes {
    encode(subscription)
}

/// The bytes of an assignment, for SyncGroup.
#[must_use]
pub fn encode_assignment(assignment: &ConsumerProtocolAssignment) -> Bytes {
    encode(assignment)
}

/// Decodes a member's subscription, of any version.
///
/// # Errors
/// If the bytes end too early or are not a subscription.
pub fn decode_subscription(blob: Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    decode(blob)
}

/// Decodes an assignment, of any version. An empty blob is an empty assignment, which the coordinator sends to a member
/// that the leader left out.
///
/// # Errors
/// If the bytes end too early or are not an assignment.
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
    let mut reader = Reader::new(&blob);
    let version = reader.i16("version").map_err(|malformed| reader.explain(malformed))?;
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
            _ => topics.push(AssignedTopic { topic, partitions: vec![partition.0], ..Default::default() }),
        }
    }
    topics
}

/// The partitions of an assignment message, sorted, without repetition.
#[must_use]
pub fn from_topics(topics: Vec<AssignedTopic>) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = topics
        .into_iter()
        .flat_map(|AssignedTopic { topic, partitions, .. }| {
            partitions
                .into_iter()
                .map(move |partition| TopicPartition { topic: topic.clone(), partition: PartitionId(partition) })
        })
        .collect();
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Str;

    /// Made by `tests/java/AssignorVectors.java` with Kafka 4.3.1.
    const JAVA: &str = include_str!("../../tests/vectors/assignor/blobs.txt");

    fn java(name: &str) -> Bytes {
        let line = JAVA.lines().find_map(|line| line.strip_prefix(name)).expect("there is such a vector");
        let hex = line.trim();
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn owned() -> Vec<TopicPartition> {
        [("a", 0), ("a", 2), ("b", 1)].map(|(topic, index)| TopicPartition::new(topic, PartitionId(index))).to_vec()
    }

    #[test]
    fn what_we_write_equals_what_the_java_client_writes() {
        let mut subscription = ConsumerProtocolSubscription {
            topics: vec![Str::from("a"), Str::from("b")],
            ..ConsumerProtocolSubscription::default()
        };
        assert_eq!(encode_subscription(&subscription), java("subscription plain v3"));
        subscription.user_data = Some(Bytes::from_static(&[1, 2, 3]));
        subscription.owned_partitions = by_topic(owned());
        subscription.generation_id = 7;
        subscription.rack_id = Some(Str::from("rack"));
        assert_eq!(encode_subscription(&subscription), java("subscription full v3"));
        let mut assignment = ConsumerProtocolAssignment {
            assigned_partitions: by_topic(owned()),
            ..ConsumerProtocolAssignment::default()
        };
        assert_eq!(encode_assignment(&assignment), java("assignment plain v3"));
        assignment.user_data = Some(Bytes::from_static(&[1, 2, 3]));
        assert_eq!(encode_assignment(&assignment), java("assignment full v3"));
    }

    #[test]
    fn every_version_of_the_java_client_is_read_and_every_prefix_refused() {
        for version in 0..=3 {
            let blob = java(&format!("subscription full v{version}"));
            let subscription = decode_subscription(blob.clone()).unwrap();
            assert_eq!(subscription.topics, ["a", "b"]);
            assert_eq!(subscription.user_data.as_deref(), Some(&[1, 2, 3][..]));
            let assigned = java(&format!("assignment full v{version}"));
            let assignment = decode_assignment(assigned.clone()).unwrap();
            assert_eq!(from_topics(assignment.assigned_partitions), owned());
            assert!((0..blob.len()).all(|end| decode_subscription(blob.slice(..end)).is_err()));
            assert!((1..assigned.len()).all(|end| decode_assignment(assigned.slice(..end)).is_err()));
        }
    }

    #[test]
    fn a_later_version_is_read_as_the_newest_known_and_a_negative_one_refused() {
        let mut blob = java("assignment full v3").to_vec();
        blob[1] = 9;
        blob.extend_from_slice(b"fields of version 9");
        let assignment = decode_assignment(Bytes::from(blob)).unwrap();
        assert_eq!(from_topics(assignment.assigned_partitions), owned());
        assert!(decode_subscription(Bytes::from_static(&[0xff, 0xff, 0, 0, 0, 0])).is_err());
    }
}
