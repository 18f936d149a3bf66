//! A group whose coordinator assigns the partitions (KIP-848).
//!
//! The group epoch grows whenever a member, a subscription or a topic changes; each time, an assignor makes the target
//! assignment. Every member goes from its own assignment to its target by its heartbeats (`member`): it first gives up
//! what the target does not have, and acknowledges that; then it gets the group's epoch, and of the new partitions
//! those that nobody else has any more.
//!
//! Members of the classic protocol are refused while the group has members, as by a broker with
//! `group.consumer.migration.policy=disabled`.

mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::group::assignor::{Assignor, PartitionCounts, Previous, Subscriber};
use kafka_wire::protocol::ErrorCode;
use kafka_wire::time::Moment;
use kafka_wire::types::PartitionId;
use kafka_wire::wire::{Str, Uuid};
use regex_lite::Regex;

pub use self::member::ConsumerMember;
pub(super) use self::member::LEFT_TO_RETURN;
use crate::broker::partition::PartitionName;
use crate::broker::patterns;

/// Partitions by topic id.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// The topics of the broker, by name, with ids and numbers of partitions.
pub type Catalog = BTreeMap<Str, (Uuid, u32)>;

/// A ConsumerGroupHeartbeat, without the group's id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// Member id.
    pub member_id: Str,
    /// Epoch of the member; 0 to join, -1 to leave, -2 to leave as a static member that returns.
    pub member_epoch: i32,
    /// Static name of the member, if it has one.
    pub instance_id: Option<Str>,
    /// Its rack, if it has one and tells it.
    pub rack_id: Option<Str>,
    /// Client id.
    pub client_id: Str,
    /// The host that it connected from.
    pub client_host: Str,
    /// Time that it may take to give up partitions, if it tells that.
    pub rebalance_timeout: Option<Duration>,
    /// Topics by name, if they are told.
    pub topics: Option<Vec<Str>>,
    /// Pattern of topics, if it is told; empty for none.
    pub pattern: Option<Str>,
    /// Assignor that it asks for, if it is told.
    pub assignor: Option<Str>,
    /// The partitions that it has, if they are told.
    pub owned: Option<Partitions>,
}

/// The response to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeartbeatResult {
    /// Member id.
    pub member_id: Str,
    /// Epoch of the member from now on.
    pub member_epoch: i32,
    /// Its whole assignment, if it has changed or the member does not know it.
    pub assignment: Option<Partitions>,
}

/// The members of a group, and what each of them has.
#[derive(Clone, Debug, Default)]
pub struct ConsumerGroup {
    /// Grows with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// Members by member id.
    pub members: BTreeMap<Str, ConsumerMember>,
    /// Member id of each static member, by its static name.
    instances: BTreeMap<Str, Str>,
    /// The topics that the target was made for.
    topics: Catalog,
    /// All topics of the broker, when the target was made.
    catalog: Catalog,
}

impl ConsumerGroup {
    /// Kafka's name of the state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.members.values().all(|member| member.is_settled(self.epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Kafka's name of the assignor that most members ask for; `uniform` if none asks for one.
    #[must_use]
    pub fn assignor(&self) -> &'static str {
        let wants =
            |name: &str| self.members.values().filter(|member| member.assignor.as_deref() == Some(name)).count();
        if wants(RANGE) > wants(UNIFORM) { RANGE } else { UNIFORM }
    }

    /// Whether a member reads the topic.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &Str) -> bool {
        self.members.values().any(|member| member.reads(topic))
    }

    /// Handles the heartbeat of a member.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_MEMBER_EPOCH`, `FENCED_INSTANCE_ID`, `UNRELEASED_INSTANCE_ID`,
    /// `INVALID_REGULAR_EXPRESSION`.
    pub(super) fn heartbeat(
        &mut self,
        now: Moment,
        session_timeout: Duration,
        request: &ConsumerHeartbeat,
        catalog: &Catalog,
    ) -> Result<HeartbeatResult, ErrorCode> {
        if request.member_epoch < 0 {
            self.leave(request)?;
            let (member_id, member_epoch) = (request.member_id.clone(), request.member_epoch);
            return Ok(HeartbeatResult { member_id, member_epoch, assignment: None });
        }
        let pattern = request.pattern.as_ref().map(read_pattern).transpose()?;
        let is_join = request.member_epoch == 0;
        if is_join {
            self.join(request)?
        } else {
            self.check(request)?
        }
        let id = &request.member_id;
        let member = self.members.get_mut(id).expect("it has joined");
        member.session_deadline = now + session_timeout;
        if member.update(request, pattern) {
            self.epoch += 1;
        }
        if !self.is_up_to_date(catalog) {
            self.refresh(catalog);
        }
        let free = self.free_partitions(id);
        let epoch = self.epoch;
        let member = self.members.get_mut(id).expect("it has joined");
        let has_changed = member.reconcile(now, epoch, request.owned.as_ref(), &free);
        let is_told = is_join || request.is_full() || has_changed;
        Ok(HeartbeatResult {
            member_id: id.clone(),
            member_epoch: member.epoch,
            assignment: is_told.then(|| member.assigned.clone()),
        })
    }

    fn join(&mut self, request: &ConsumerHeartbeat) -> Result<(), ErrorCode> {
        let id = request.member_id.detached();
        let mut member = ConsumerMember::default();
        let former = request.instance_id.as_ref().and_then(|instance| self.instances.get(instance)).cloned();
        if let Some(former) = former.filter(|former| *former != id) {
            if self.members.get(&former).is_some_and(|former| former.epoch != LEFT_TO_RETURN) {
                return Err(ErrorCode::UNRELEASED_INSTANCE_ID);
            }
            // The process has come back: it takes over what its predecessor had.
            member = self.members.remove(&former).unwrap_or_default();
        } else if let Some(known) = self.members.get_mut(&id) {
            // Everything that it had is free again; its target stays.
            known.restart();
            return Ok(());
        }
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.detached(), id.clone());
        }
        member.restart();
        self.members.insert(id, member);
        Ok(())
    }

    /// Checks that the member is one, at this epoch.
    fn check(&self, request: &ConsumerHeartbeat) -> Result<(), ErrorCode> {
        self.check_instance(request)?;
        let member = self.members.get(&request.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        // The response that raised the epoch may have been lost.
        let is_behind = request.member_epoch == member.previous_epoch
            && request.owned.as_ref().is_some_and(|owned| is_subset(owned, &member.assigned));
        if request.member_epoch == member.epoch || is_behind { Ok(()) } else { Err(ErrorCode::FENCED_MEMBER_EPOCH) }
    }

    fn check_instance(&self, request: &ConsumerHeartbeat) -> Result<(), ErrorCode> {
        match &request.instance_id {
            None => Ok(()),
            Some(instance) => match self.instances.get(instance) {
                None => Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(id) if *id != request.member_id => Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => Ok(()),
            },
        }
    }

    fn leave(&mut self, request: &ConsumerHeartbeat) -> Result<(), ErrorCode> {
        self.check_instance(request)?;
        let member = self.members.get_mut(&request.member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if request.member_epoch == LEFT_TO_RETURN {
            // Its partitions wait for it until the session ends.
            member.epoch = LEFT_TO_RETURN;
        } else {
            self.remove(&request.member_id.clone());
        }
        Ok(())
    }

    /// Removes a member that an administrator names by its id or its static name.
    pub(super) fn remove_named(&mut self, member_id: &Str, instance_id: Option<&Str>) -> Result<(), ErrorCode> {
        let id = match instance_id {
            Some(instance) => self.instances.get(instance).cloned().ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?,
            None => member_id.clone(),
        };
        if !member_id.is_empty() && id != *member_id {
            return Err(ErrorCode::FENCED_INSTANCE_ID);
        }
        if self.remove(&id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    fn remove(&mut self, id: &Str) -> bool {
        let is_member = self.members.remove(id).is_some();
        if is_member {
            self.instances.retain(|_, owner| owner != id);
            // The next heartbeat makes the new target, one for all members that have gone by then.
            self.epoch += 1;
        }
        is_member
    }

    /// Checks that the caller of a commit is a member at its present epoch, or at an earlier one at which it had all of
    /// the partitions already (KIP-1251).
    pub(super) fn check_commit<'a>(
        &self,
        member_id: &str,
        epoch: i32,
        mut partitions: impl Iterator<Item = &'a PartitionName>,
    ) -> Result<(), ErrorCode> {
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let has_had = |place: &PartitionName| {
            self.topics.get(&place.topic).is_some_and(|(id, _)| member.has_since(*id, place.partition.0, epoch))
        };
        match epoch == member.epoch || (epoch < member.epoch && partitions.all(has_had)) {
            true => Ok(()),
            false => Err(ErrorCode::STALE_MEMBER_EPOCH),
        }
    }

    /// Checks that a caller of a look-up is a member at its present epoch.
    pub(super) fn check_epoch(&self, member_id: &str, epoch: i32) -> Result<(), ErrorCode> {
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if member.epoch == epoch { Ok(()) } else { Err(ErrorCode::STALE_MEMBER_EPOCH) }
    }

    /// Removes members whose session or whose time for giving up partitions has ended.
    pub(super) fn handle_timeout(&mut self, now: Moment) {
        let late = self.members.iter().filter(|(_, member)| member.deadline() <= now);
        let late: Vec<Str> = late.map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove(&id);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Moment> {
        self.members.values().map(ConsumerMember::deadline).min()
    }

    /// Whether neither the members, their subscriptions nor the topics of the broker have changed since the target was
    /// made. It spares matching patterns with the names of all topics in each heartbeat.
    fn is_up_to_date(&self, catalog: &Catalog) -> bool {
        self.catalog == *catalog && self.members.values().all(|member| member.target_epoch == self.epoch)
    }

    /// Makes a new target if the members, their subscriptions or their topics have changed since the last one.
    fn refresh(&mut self, catalog: &Catalog) {
        self.catalog.clone_from(catalog);
        let is_read = |topic: &Str| self.members.values().any(|member| member.reads(topic));
        let read: Catalog =
            catalog.iter().filter(|(topic, _)| is_read(topic)).map(|(topic, found)| (topic.clone(), *found)).collect();
        if read != self.topics {
            self.epoch += 1;
        }
        if read != self.topics || self.members.values().any(|member| member.target_epoch != self.epoch) {
            self.assign(catalog);
            self.topics = read;
        }
    }

    /// Makes the target of every member. `uniform` spreads evenly, and members keep what they have as far as possible.
    fn assign(&mut self, catalog: &Catalog) {
        let names: BTreeMap<Uuid, &Str> = catalog.iter().map(|(topic, (id, _))| (*id, topic)).collect();
        let subscribers: Vec<Subscriber> = self
            .members
            .iter()
            .map(|(id, member)| {
                let topics: Vec<Str> = catalog.keys().filter(|topic| member.reads(topic)).cloned().collect();
                let owned = member.target.iter().filter_map(|(id, partitions)| Some((*names.get(id)?, partitions)));
                let owned = owned.flat_map(|(topic, partitions)| {
                    partitions.iter().map(|index| TopicPartition::new(topic.clone(), PartitionId(*index)))
                });
                let mut owned: Vec<TopicPartition> = owned.collect();
                owned.sort_unstable();
                let user_data = Assignor::Sticky.user_data(&topics, Previous { partitions: &owned, generation: 0 });
                Subscriber { user_data, ..Subscriber::new(id.clone(), member.instance_id.clone(), topics) }
            })
            .collect();
        let counts: PartitionCounts = catalog.iter().map(|(topic, (_, count))| (topic.clone(), *count)).collect();
        let assignor = if self.assignor() == RANGE { Assignor::Range } else { Assignor::Sticky };
        let shares = assignor.assign(&subscribers, &counts);
        for (member, share) in self.members.values_mut().zip(shares) {
            member.target = Partitions::new();
            member.target_epoch = self.epoch;
            for TopicPartition { topic, partition } in share {
                member.target.entry(catalog[&topic].0).or_default().insert(partition.0);
            }
        }
    }

    /// The partitions of a member's target that no other member has.
    fn free_partitions(&self, id: &Str) -> Partitions {
        let others = || self.members.iter().filter(|(other, _)| *other != id).map(|(_, member)| member);
        let mut free = self.members.get(id).map(|member| member.target.clone()).unwrap_or_default();
        for (topic, partitions) in &mut free {
            partitions.retain(|index| !others().any(|other| other.has(*topic, *index)));
        }
        free.retain(|_, partitions| !partitions.is_empty());
        free
    }
}

impl ConsumerHeartbeat {
    /// Whether the request tells everything, as after an error: then the member may not know its assignment.
    fn is_full(&self) -> bool {
        self.rebalance_timeout.is_some() && (self.topics.is_some() || self.pattern.is_some()) && self.owned.is_some()
    }
}

fn is_subset(partitions: &Partitions, of: &Partitions) -> bool {
    partitions.iter().all(|(topic, own)| of.get(topic).is_some_and(|all| own.is_subset(all)) || own.is_empty())
}

/// A pattern has to match a whole name. An empty one is none.
fn read_pattern(pattern: &Str) -> Result<Option<Regex>, ErrorCode> {
    if pattern.is_empty() {
        return Ok(None);
    }
    patterns::whole(pattern).map(Some).map_err(|_| ErrorCode::INVALID_REGULAR_EXPRESSION)
}

/// Names of the assignors.
pub(super) const ASSIGNORS: [&str; 2] = [UNIFORM, RANGE];
const UNIFORM: &str = "uniform";
const RANGE: &str = "range";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_matched_anew_only_when_something_has_changed() {
        let (mut group, id) = (ConsumerGroup::default(), Str::from("m"));
        let mut catalog = Catalog::from([(Str::from("t-1"), (Uuid([1; 16]), 1))]);
        let beat = |group: &mut ConsumerGroup, catalog: &Catalog, request: ConsumerHeartbeat| {
            let request = ConsumerHeartbeat { member_id: id.clone(), ..request };
            group.heartbeat(Moment::ZERO, Duration::from_secs(45), &request, catalog).unwrap()
        };
        let pattern = |text: &str| ConsumerHeartbeat { pattern: Some(Str::from(text)), ..ConsumerHeartbeat::default() };
        let joined = beat(&mut group, &catalog, pattern("t-.*"));
        assert!(group.is_up_to_date(&catalog));
        catalog.insert(Str::from("t-2"), (Uuid([2; 16]), 1));
        assert!(!group.is_up_to_date(&catalog), "a topic has come");
        let at = |member_epoch, request| ConsumerHeartbeat { member_epoch, ..request };
        let more = beat(&mut group, &catalog, at(joined.member_epoch, ConsumerHeartbeat::default()));
        assert_eq!(more.assignment.map(|assigned| assigned.len()), Some(2));
        assert!(group.is_up_to_date(&catalog));
        let fewer = beat(&mut group, &catalog, at(more.member_epoch, pattern("t-2")));
        assert_eq!(fewer.assignment.map(|assigned| assigned.len()), Some(1));
        group.remove(&id);
        beat(&mut group, &catalog, pattern("t-.*"));
        assert!(group.is_up_to_date(&catalog));
    }
}
