//! ConsumerGroupHeartbeat: from the request to the group of the member (KIP-848).

use kafka_wire::protocol::ErrorCode;
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;

use super::consumer::{ASSIGNORS, Catalog, ConsumerGroup, ConsumerHeartbeat, HeartbeatResult, LEFT_TO_RETURN};
use super::{Group, Groups, Phase, group_or_new, random_member_id};

/// The reason why a heartbeat is refused, with words for an invalid request.
pub(in crate::broker) type HeartbeatError = (ErrorCode, Option<&'static str>);

impl Groups {
    /// Handles the heartbeat of a member of the consumer protocol. `catalog` has the topics of the broker.
    ///
    /// # Errors
    /// `INVALID_REQUEST` with the reason, `UNSUPPORTED_ASSIGNOR`, `GROUP_MAX_SIZE_REACHED`; `GROUP_ID_NOT_FOUND` for a
    /// group that does not exist, and for one with members of the classic protocol; and those
    /// of `ConsumerGroup`: `UNKNOWN_MEMBER_ID`, `FENCED_MEMBER_EPOCH`, `FENCED_INSTANCE_ID`,
    /// `UNRELEASED_INSTANCE_ID`, `INVALID_REGULAR_EXPRESSION`.
    pub fn consumer_heartbeat(
        &mut self,
        now: Moment,
        group_id: &Str,
        mut request: ConsumerHeartbeat,
        catalog: &Catalog,
    ) -> Result<HeartbeatResult, HeartbeatError> {
        if group_id.is_empty() {
            return Err((ErrorCode::INVALID_REQUEST, Some("GroupId can't be empty.")));
        }
        check(&request).map_err(|why| (ErrorCode::INVALID_REQUEST, Some(why)))?;
        if request.assignor.as_deref().is_some_and(|name| !ASSIGNORS.contains(&name)) {
            return Err((ErrorCode::UNSUPPORTED_ASSIGNOR, None));
        }
        let is_join = request.member_epoch == 0;
        if request.member_id.is_empty() {
            request.member_id = random_member_id(&mut self.rng);
        }
        let (session_timeout, size_max) = (self.limits.consumer_session_timeout, self.limits.size_max);
        if is_join {
            group_or_new(&mut self.by_id, group_id, &self.limits);
        }
        let group = self.by_id.get_mut(group_id).ok_or((ErrorCode::GROUP_ID_NOT_FOUND, None))?;
        if group.phase != Phase::Empty || !group.pending.is_empty() {
            return Err((ErrorCode::GROUP_ID_NOT_FOUND, None));
        }
        let consumer = match &mut group.consumer {
            Some(consumer) => consumer,
            None if is_join => group.consumer.insert(ConsumerGroup::default()),
            None => return Err((ErrorCode::GROUP_ID_NOT_FOUND, None)),
        };
        if is_join && !consumer.members.contains_key(&request.member_id) && consumer.members.len() >= size_max {
            return Err((ErrorCode::GROUP_MAX_SIZE_REACHED, None));
        }
        consumer.heartbeat(now, session_timeout, &request, catalog).map_err(|error| (error, None))
    }
}

impl Group {
    /// The members of the consumer protocol; `None` for a group of the classic protocol.
    #[must_use]
    pub const fn consumer(&self) -> Option<&ConsumerGroup> {
        self.consumer.as_ref()
    }

    /// Whether the group has no members, of either protocol.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.phase == Phase::Empty && self.consumer.as_ref().is_none_or(|consumer| consumer.members.is_empty())
    }

    /// Kafka's name of the state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.consumer.as_ref().map_or(self.phase.name(), ConsumerGroup::state)
    }

    /// Checks that the caller of a look-up is a member at its present epoch, if it names one.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `STALE_MEMBER_EPOCH`.
    pub fn check_reader(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        match (&self.consumer, member_id) {
            (Some(consumer), Some(member_id)) => consumer.check_epoch(member_id, epoch),
            (Some(consumer), None) if epoch >= 0 => consumer.check_epoch("", epoch),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// Checks a request by itself, in the order and the words of Apache Kafka.
fn check(request: &ConsumerHeartbeat) -> Result<(), &'static str> {
    let is_empty = |text: &Option<Str>| text.as_ref().is_some_and(|text| text.is_empty());
    if request.member_epoch != 0 && request.member_id.is_empty() {
        return Err("MemberId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return Err("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return Err("RackId can't be empty.");
    }
    if request.member_epoch < LEFT_TO_RETURN {
        return Err("MemberEpoch is invalid.");
    }
    if request.member_epoch == LEFT_TO_RETURN && request.instance_id.is_none() {
        return Err("InstanceId can't be null.");
    }
    if request.member_epoch == 0 {
        if request.rebalance_timeout.is_none() {
            return Err("RebalanceTimeoutMs must be provided in first request.");
        }
        if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return Err("TopicPartitions must be empty when (re-)joining.");
        }
        if request.topics.is_none() && request.pattern.as_ref().is_none_or(|pattern| pattern.is_empty()) {
            return Err("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
    }
    Ok(())
}
