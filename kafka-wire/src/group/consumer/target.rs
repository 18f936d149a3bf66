//! The assignment of a member, by topic id as the coordinator sends it, and by topic name as the owner gets it.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::TopicPartition;
use crate::protocol::consumer_group_heartbeat::{Assignment, TopicPartitions};
use crate::types::PartitionId;
use crate::wire::{Str, Uuid};

/// The last assignment, and how much of it the owner was told.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// Partitions by topic id.
    by_id: BTreeMap<Uuid, BTreeSet<i32>>,
    names: BTreeMap<Uuid, Str>,
    /// Ids whose names were asked for, for this assignment.
    asked: BTreeSet<Uuid>,
    /// The assignment that the owner was told last; `None` before the first.
    announced: Option<BTreeMap<TopicPartition, Uuid>>,
    /// The id under which the owner has a topic.
    ids: BTreeMap<Str, Uuid>,
}

impl Target {
    /// Takes the assignment of a response.
    pub(super) fn set(&mut self, assignment: Assignment) {
        self.by_id.clear();
        self.asked.clear();
        for topic in assignment.topic_partitions {
            self.by_id.entry(topic.topic_id).or_default().extend(topic.partitions);
        }
        let by_id = &self.by_id;
        let ids: BTreeSet<Uuid> = self.ids.values().copied().collect();
        self.names.retain(|id, _| by_id.contains_key(id) || ids.contains(id));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets what the owner was told, because it has given everything back.
    pub(super) fn forget_announced(&mut self) {
        self.announced = None;
    }

    pub(super) fn has_unknown(&self) -> bool {
        self.by_id.keys().any(|id| !self.names.contains_key(id))
    }

    /// Whether all names that are not known were asked for already.
    pub(super) fn is_asked(&self) -> bool {
        self.by_id.keys().all(|id| self.names.contains_key(id) || self.asked.contains(id))
    }

    /// Returns the ids without a name, and notes that they are asked for.
    pub(super) fn ask(&mut self) -> Vec<Uuid> {
        let unknown: Vec<Uuid> = self.by_id.keys().filter(|id| !self.names.contains_key(*id)).copied().collect();
        self.asked.extend(&unknown);
        unknown
    }

    pub(super) fn learn(&mut self, names: BTreeMap<Uuid, Str>) {
        self.names.extend(names);
    }

    /// Returns the assignments that the owner has to be told of, each sorted; none if nothing has changed.
    ///
    /// There are two if a topic was deleted and made anew under its name: the owner has to give up the partitions of
    /// the former topic before it gets those of the new one, whose offsets begin anew.
    pub(super) fn announce(&mut self) -> Vec<Vec<TopicPartition>> {
        let mut resolved = BTreeMap::new();
        for (id, partitions) in &self.by_id {
            let Some(name) = self.names.get(id) else { continue };
            for partition in partitions {
                resolved.insert(TopicPartition::new(name.clone(), PartitionId(*partition)), *id);
            }
        }
        let former = self.announced.replace(resolved.clone());
        if former.as_ref() == Some(&resolved) {
            return Vec::new();
        }
        let mut former_ids: BTreeMap<&Str, BTreeSet<&Uuid>> = BTreeMap::new();
        for (own, id) in former.iter().flatten() {
            former_ids.entry(&own.topic).or_default().insert(id);
        }
        let is_same = |own: &TopicPartition, id: &Uuid| {
            former_ids.get(&own.topic).is_none_or(|former| former.iter().all(|former| *former == id))
        };
        let same: Vec<_> = resolved.iter().filter(|(own, id)| is_same(own, id)).map(|(own, _)| own.clone()).collect();
        self.ids.extend(resolved.iter().map(|(own, id)| (own.topic.clone(), *id)));
        let all: Vec<_> = resolved.into_keys().collect();
        if same.len() == all.len() { vec![all] } else { vec![same, all] }
    }

    /// Partitions of the owner as a request has them, by topic id.
    pub(super) fn with_ids(&self, owned: &[TopicPartition]) -> Vec<TopicPartitions> {
        let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for TopicPartition { topic, partition } in owned {
            if let Some(id) = self.ids.get(topic) {
                topics.entry(*id).or_default().push(partition.0);
            }
        }
        let topics = topics.into_iter();
        topics.map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions, ..Default::default() }).collect()
    }
}
