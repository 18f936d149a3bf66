//! Committed offsets that an administrator deletes from a group (KIP-496).

use kafka_wire::group::blob::decode_subscription;
use kafka_wire::protocol::ErrorCode;
use kafka_wire::wire::Str;

use super::{Group, Groups};
use crate::broker::partition::PartitionName;

impl Groups {
    /// Checks whether offsets of a group may be deleted at all.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID`; `GROUP_ID_NOT_FOUND`; `NON_EMPTY_GROUP` if the group has members that are not consumers,
    /// because the broker cannot know which topics they read.
    pub fn may_forget_offsets(&self, group_id: &str) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let group = self.by_id.get(group_id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        if !group.is_empty() && !group.is_of_consumers() {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        Ok(())
    }

    /// Deletes the offset of a partition from the group, and also the one that a transaction has yet to commit.
    ///
    /// # Errors
    /// `GROUP_SUBSCRIBED_TO_TOPIC` while a member reads the topic.
    pub fn forget_offset(&mut self, group_id: &str, partition: &PartitionName) -> Result<(), ErrorCode> {
        let Some(group) = self.by_id.get_mut(group_id) else { return Ok(()) };
        if group.is_subscribed_to(&partition.topic) {
            return Err(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
        }
        group.offsets.forget(partition);
        Ok(())
    }
}

impl Group {
    fn is_of_consumers(&self) -> bool {
        self.consumer.is_some() || self.protocol_type.as_ref().is_some_and(|kind| kind == CONSUMERS)
    }

    /// Whether a member subscribes to the topic. Consumers state their topics in their metadata for the agreed
    /// assignor. Before they agree on one, and when the metadata cannot be read, they may subscribe to any topic.
    fn is_subscribed_to(&self, topic: &Str) -> bool {
        if let Some(consumer) = &self.consumer {
            return consumer.is_subscribed_to(topic);
        }
        if self.members.is_empty() || !self.is_of_consumers() {
            return false;
        }
        let Some(protocol) = &self.protocol else { return true };
        let mut subscriptions = self.members.values().map(|member| {
            let metadata = member.protocols.iter().find(|(name, _)| name == protocol);
            decode_subscription(metadata.map(|(_, metadata)| metadata.clone()).unwrap_or_default())
        });
        subscriptions.any(|read| read.map_or(true, |read| read.topics.iter().any(|name| name == topic)))
    }
}

/// The protocol type of consumer groups.
const CONSUMERS: &str = "consumer";
