//! One member of a group whose coordinator assigns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_wire::time::Moment;
use kafka_wire::wire::{Str, Uuid};
use regex_lite::Regex;

use super::{ConsumerHeartbeat, Partitions};

/// A member as the coordinator knows it. Every field is a copy, so that no request's frame is kept.
#[derive(Clone, Debug, Default)]
pub struct ConsumerMember {
    /// Its static name, if it has one.
    pub instance_id: Option<Str>,
    /// Its rack, if it has one.
    pub rack_id: Option<Str>,
    /// Client id.
    pub client_id: Str,
    /// The host that it connected from.
    pub client_host: Str,
    /// Topics that it names, sorted.
    pub topics: Vec<Str>,
    /// The text of its pattern of topics, if it has one.
    pub pattern: Option<Str>,
    /// Its epoch: the group epoch up to which it has given up partitions; -2 while it is away, and comes back.
    pub epoch: i32,
    /// Partitions that it has.
    pub assigned: Partitions,
    /// Partitions that it is to have.
    pub target: Partitions,
    pub(super) assignor: Option<Str>,
    pub(super) previous_epoch: i32,
    /// Group epoch that the target was made for.
    pub(super) target_epoch: i32,
    pub(super) session_deadline: Moment,
    regex: Option<Regex>,
    /// Partitions that it has to give up.
    pending: Partitions,
    /// The group epoch at which it got each partition that it has, or has to give up.
    since: BTreeMap<(Uuid, i32), i32>,
    rebalance_timeout: Duration,
    revoke_deadline: Option<Moment>,
}

impl ConsumerMember {
    /// Whether it has everything that it is to have.
    pub(super) fn is_settled(&self, group_epoch: i32) -> bool {
        (self.epoch == group_epoch || self.epoch == LEFT_TO_RETURN) && self.assigned == self.target
    }

    /// Whether it reads the topic.
    pub(super) fn reads(&self, topic: &Str) -> bool {
        self.topics.binary_search(topic).is_ok() || self.regex.as_ref().is_some_and(|regex| regex.is_match(topic))
    }

    /// Whether it has the partition, or has not given it up yet.
    pub(super) fn has(&self, topic: Uuid, index: i32) -> bool {
        [&self.assigned, &self.pending]
            .iter()
            .any(|own| own.get(&topic).is_some_and(|partitions| partitions.contains(&index)))
    }

    /// Whether it has had the partition since this epoch, or longer.
    pub(super) fn has_since(&self, topic: Uuid, index: i32, epoch: i32) -> bool {
        self.since.get(&(topic, index)).is_some_and(|since| *since <= epoch)
    }

    /// The time at which it is removed unless something happens before.
    pub(super) fn deadline(&self) -> Moment {
        self.revoke_deadline.map_or(self.session_deadline, |revoke| revoke.min(self.session_deadline))
    }

    /// Begins anew, with nothing; the target stays.
    pub(super) fn restart(&mut self) {
        (self.epoch, self.previous_epoch) = (0, 0);
        self.assigned.clear();
        self.pending.clear();
        self.since.clear();
        self.revoke_deadline = None;
    }

    /// Takes over what a heartbeat tells. Returns whether the subscription is another one.
    pub(super) fn update(&mut self, request: &ConsumerHeartbeat, pattern: Option<Option<Regex>>) -> bool {
        self.client_id = request.client_id.detached();
        self.client_host.clone_from(&request.client_host);
        // Like the other fields, it is left out of a heartbeat that does not change it.
        if let Some(instance) = &request.instance_id {
            self.instance_id = Some(instance.detached());
        }
        if let Some(rack) = &request.rack_id {
            self.rack_id = Some(rack.detached());
        }
        if let Some(timeout) = request.rebalance_timeout {
            self.rebalance_timeout = timeout;
        }
        let before = (self.topics.clone(), self.pattern.clone(), self.assignor.clone());
        if let Some(topics) = &request.topics {
            let topics: BTreeSet<Str> = topics.iter().map(Str::detached).collect();
            self.topics = topics.into_iter().collect();
        }
        if let Some(pattern) = pattern {
            self.pattern = request.pattern.as_ref().filter(|text| !text.is_empty()).map(Str::detached);
            self.regex = pattern;
        }
        if let Some(assignor) = &request.assignor {
            self.assignor = Some(assignor.detached());
        }
        // A member that was not there before is a change by itself.
        self.target_epoch == 0 || before != (self.topics.clone(), self.pattern.clone(), self.assignor.clone())
    }

    /// Takes the next step towards the target: partitions that it does not have are given up and acknowledged before
    /// others are added, of which `free` are those that nobody else has. Returns whether the assignment has changed.
    pub(super) fn reconcile(
        &mut self,
        now: Moment,
        group_epoch: i32,
        owned: Option<&Partitions>,
        free: &Partitions,
    ) -> bool {
        if !self.pending.is_empty() {
            let is_given_up = |owned: &Partitions| {
                self.pending.iter().all(|(topic, pending)| owned.get(topic).is_none_or(|own| own.is_disjoint(pending)))
            };
            if !owned.is_some_and(is_given_up) {
                return false;
            }
            for (topic, given_up) in std::mem::take(&mut self.pending) {
                for index in given_up {
                    self.since.remove(&(topic, index));
                }
            }
            self.revoke_deadline = None;
        }
        let before = self.assigned.clone();
        for (topic, partitions) in &before {
            let target = self.target.get(topic);
            let (kept, given_up): (BTreeSet<i32>, BTreeSet<i32>) =
                partitions.iter().copied().partition(|index| target.is_some_and(|target| target.contains(index)));
            if !given_up.is_empty() {
                self.pending.insert(*topic, given_up);
            }
            self.assigned.insert(*topic, kept);
        }
        self.assigned.retain(|_, partitions| !partitions.is_empty());
        if !self.pending.is_empty() {
            self.revoke_deadline = Some(now + self.rebalance_timeout);
            return true;
        }
        for (topic, partitions) in free {
            self.assigned.entry(*topic).or_default().extend(partitions);
            for index in partitions {
                self.since.entry((*topic, *index)).or_insert(group_epoch);
            }
        }
        if self.epoch != group_epoch {
            self.previous_epoch = std::mem::replace(&mut self.epoch, group_epoch);
        }
        self.assigned != before
    }
}

/// The epoch of a static member that is away, and comes back.
pub(in crate::broker::groups) const LEFT_TO_RETURN: i32 = -2;
