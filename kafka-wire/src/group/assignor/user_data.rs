//! The bytes in which members tell the leader which partitions they had, in the format of Java's sticky assignors.
//!
//! `sticky` members give everything up before they join, so their former partitions are in the user data:
//! `StickyAssignorUserData` of version 1 without a version field, or of version 0, which lacks the generation.
//! `cooperative-sticky` members tell their partitions and the generation in the subscription itself; in subscriptions
//! before version 2 the generation is in four bytes of user data.

use bytes::{BufMut, Bytes, BytesMut};

use super::Subscriber;
use super::own::Previous;
use crate::cluster::TopicPartition;
use crate::protocol::Message;
use crate::protocol::consumer_protocol::{PreviousTopicAssignment, StickyAssignorUserData};
use crate::types::PartitionId;
use crate::wire::{Reader, Writer};

pub(super) fn sticky(previous: Previous<'_>) -> Bytes {
    let mut topics: Vec<PreviousTopicAssignment> = Vec::new();
    for TopicPartition { topic, partition } in previous.partitions {
        match topics.last_mut() {
            Some(last) if last.topic == *topic => last.partitions.push(partition.0),
            _ => topics.push(PreviousTopicAssignment { topic: topic.clone(), partitions: vec![partition.0] }),
        }
    }
    if previous.generation < 0 {
        // The Java client sends nothing before its first assignment.
        return Bytes::new();
    }
    let mut writer = Writer::new();
    let data = StickyAssignorUserData { previous_assignment: topics, generation: previous.generation };
    data.encode(&mut writer, WITH_GENERATION).expect("every field exists in the newest version");
    writer.into_bytes()
}

pub(super) fn cooperative_sticky(previous: Previous<'_>) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4);
    bytes.put_i32(previous.generation);
    bytes.freeze()
}

/// Returns the members as `sticky` needs them, with their former partitions by their user data. Bytes that cannot
/// be read count as none.
pub(super) fn with_sticky(members: &[Subscriber]) -> Vec<Subscriber> {
    let told = members.iter().map(|member| {
        let data = decode(&member.user_data).unwrap_or_default();
        let owned =
            data.previous_assignment.into_iter().flat_map(|PreviousTopicAssignment { topic, partitions, .. }| {
                partitions.into_iter().map(move |index| TopicPartition::new(topic.clone(), PartitionId(index)))
            });
        Subscriber { owned: owned.collect(), generation: data.generation, ..member.clone() }
    });
    told.collect()
}

/// Returns the members as `cooperative-sticky` needs them, with generations that may be in their user data.
pub(super) fn with_generations(members: &[Subscriber]) -> Vec<Subscriber> {
    let told = members.iter().map(|member| {
        let in_user_data = member.user_data.first_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes));
        let generation = if member.generation >= 0 { member.generation } else { in_user_data };
        Subscriber { generation, ..member.clone() }
    });
    told.collect()
}

fn decode(bytes: &Bytes) -> Option<StickyAssignorUserData> {
    let of_version = |version| {
        let mut reader = Reader::new(bytes);
        let data = StickyAssignorUserData::decode(&mut reader, version).ok()?;
        (reader.left() == 0).then_some(data)
    };
    of_version(WITH_GENERATION).or_else(|| of_version(WITHOUT_GENERATION))
}

const WITHOUT_GENERATION: i16 = 0;
const WITH_GENERATION: i16 = 1;
