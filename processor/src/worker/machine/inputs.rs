//! The check that the topics of the tasks exist, and have as many partitions as the state that depends on their number.
//!
//! To a consumer, a deleted topic looks like one without a leader for a while, and only the group notices that a topic
//! has grown. So the worker asks by itself from time to time: one request for all of its topics.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::cluster::TopicPartition;
use kafka_wire::time::Moment;
use kafka_wire::wire::Str;
use tracing::warn;

use super::Worker;
use crate::output::StoreId;
use crate::task::TaskId;
use crate::topology::{SourceKind, SourceSpec};
use crate::worker::action::{Completion, Operation};
use crate::worker::bounds::{UNBOUNDED, end_of};
use crate::worker::end::Fatal;
use crate::worker::held::Held;
use crate::worker::inspection::MissingTopic;

impl Worker {
    pub(super) fn inspect(&mut self, now: Moment) {
        let has_topics = self.tasks.len() > 0 || self.untasked().next().is_some();
        if !has_topics || !self.inspection.begin_if_due(now, self.settings.inspection_interval) {
            return;
        }
        let of_tasks = self.tasks.ids().into_iter().flat_map(|id| self.topics_of(id));
        let topics: BTreeSet<String> = of_tasks.chain(self.untasked().map(str::to_owned)).collect();
        let id = self.start(Operation::CountPartitions { topics: topics.iter().cloned().collect() });
        self.inspection.operation = Some(id);
        self.inspection.asked = topics;
    }

    pub(super) fn handle_inspected(&mut self, now: Moment, completion: Completion) {
        self.inspection.operation = None;
        // A failed inspection tells nothing.
        let Completion::Counts(counts) = completion else { return };
        let ids = self.tasks.ids();
        if let Some(failure) = ids.iter().find_map(|id| self.outgrown(*id, &counts)) {
            return self.fail(failure);
        }
        let sub_topologies: BTreeSet<_> = ids.iter().map(|id| id.sub_topology).collect();
        for id in sub_topologies {
            let count = self.topology.task_count(id, &counts);
            self.note_task_count(now, id, count);
        }
        if self.inspection.is_hurried {
            return;
        }
        // A task that was taken over since the request has topics that were not requested.
        let asked = std::mem::take(&mut self.inspection.asked);
        let inputs = ids.iter().flat_map(|id| self.sources_of(*id)).chain(self.untasked().map(str::to_owned));
        let inputs = inputs.filter(|topic| asked.contains(topic));
        let missing: Vec<_> = inputs.filter(|topic| !counts.contains_key(topic)).map(Str::from).collect();
        self.inspection.missing.handle_looked(now, missing);
        self.pass_by_the_gone(&asked, &counts);
        for topic in self.inspection.missing.gone() {
            warn!(worker = %self.settings.transactional_id, %topic, "a topic that the job reads does not exist; its other inputs go on");
        }
        let unread = self.inspection.missing.gone().find(|topic| self.is_bounded() && self.is_unread(topic)).cloned();
        let gone = self.inspection.missing.gone().next().cloned();
        match (unread, gone, self.settings.missing_topic) {
            // The run would never end.
            (Some(topic), _, _) => self.fail(Fatal::UnreadDeleted { topic: topic.to_string() }),
            (None, Some(topic), MissingTopic::Fail) => self.fail(Fatal::TopicDeleted { topic: topic.to_string() }),
            (None, _, _) => {}
        }
    }

    /// The inputs that are looked for although no task here may read them: those that a bounded run has not read to
    /// their ends, and all if the job ends without one. The group shares out partitions of topics that are gone to
    /// nobody, perhaps before the tasks have missed them.
    fn untasked(&self) -> impl Iterator<Item = &str> {
        let is_needed = self.settings.missing_topic == MissingTopic::Fail;
        let needed = self.topology.external_sources().filter(move |_| is_needed).map(|source| &*source.topic);
        self.unread.iter().map(|input| &*input.topic).chain(needed)
    }

    /// Whether every input of the job has an end.
    fn is_bounded(&self) -> bool {
        let ends = |topic: &str| self.ends.as_ref().and_then(|ends| ends.get(topic));
        let has_end = |source: &SourceSpec| ends(&source.topic).is_some_and(|ends| !ends.contains(&UNBOUNDED));
        self.topology.external_sources().all(has_end)
    }

    /// Whether a task has not come to the end of this topic, be it one that the worker holds no more: the group shares
    /// out partitions of topics that are gone to nobody.
    fn is_unread(&self, topic: &str) -> bool {
        let held = self.tasks.iter().flat_map(|held| self.unread_by(held));
        self.unread.iter().chain(held).any(|unread| &*unread.topic == topic)
    }

    /// The inputs of a task that it has not read up to their ends.
    pub(super) fn unread_by<'h>(&self, held: &'h Held) -> impl Iterator<Item = &'h TopicPartition> {
        let end = |input: &TopicPartition| self.ends.as_ref().and_then(|ends| end_of(ends, input));
        let is_before_end =
            move |(input, position): &(&TopicPartition, _)| end(input).is_some_and(|end| *position < end);
        held.positions().filter(is_before_end).map(|(input, _)| input)
    }

    /// Lets event time wait no longer for inputs that are gone, and for upstream tasks that were there for their sake.
    ///
    /// More upstream tasks than there can be were there at the last inspection already, and, if topics come to match a
    /// pattern, at the last look for these: marks of a new task may come before the news of its topic.
    fn pass_by_the_gone(&mut self, asked: &BTreeSet<String>, counts: &BTreeMap<String, i32>) {
        let knows_topics = self.discovery.takes_look() || !self.discovers();
        let Self { tasks, topology, inspection, .. } = self;
        let mut crowded = BTreeSet::new();
        for held in tasks.iter_mut() {
            for (index, input) in held.task.inputs().to_vec().iter().enumerate() {
                let Some(source) = topology.source(&input.topic) else { continue };
                let SourceKind::Repartition { upstream, .. } = source.kind else {
                    held.task.set_gone(index, inspection.missing.is_gone(&input.topic));
                    continue;
                };
                let is_known = knows_topics && topology.own_sources(upstream).all(|topic| asked.contains(topic));
                let count = topology.task_count(upstream, counts);
                if !is_known || held.task.upstream_count(index).is_none_or(|heard| heard <= count) {
                    continue;
                }
                if inspection.crowded.contains(&(held.id, index)) {
                    held.task.cut_upstreams(index, count);
                } else {
                    crowded.insert((held.id, index));
                }
            }
        }
        if knows_topics {
            inspection.crowded = crowded;
        }
    }

    /// The state that depends on the number of partitions of an input that now has more of them.
    fn outgrown(&self, id: TaskId, counts: &BTreeMap<String, i32>) -> Option<Fatal> {
        let changelog = |store: &StoreId| self.topology.changelog_topic(*store);
        let sub_topology = &self.topology.sub_topologies()[id.sub_topology.0];
        let new = self.external_inputs(id).filter_map(|topic| Some((*counts.get(&topic)?, topic))).max();
        let held = self.tasks.get(id).into_iter().flat_map(Held::fixed_counts);
        let mut fixed = held.map(|(input, old)| (&*input.topic, old, counts.get(&*input.topic).copied()));
        if let Some((topic, old, Some(new))) = fixed.find(|(_, old, new)| new.is_some_and(|new| new > *old)) {
            return Some(Fatal::TableGrew { topic: topic.to_owned(), old, new });
        }
        let (new, topic) = new?;
        let old = sub_topology.stores().iter().filter_map(|store| Some((*counts.get(changelog(store))?, store))).min();
        let (old, store) = old.filter(|(old, _)| *old < new)?;
        Some(Fatal::PartitionsGrew { topic, changelog: changelog(store).to_owned(), old, new })
    }

    fn external_inputs(&self, id: TaskId) -> impl Iterator<Item = String> {
        let sources = self.topology.sub_topologies()[id.sub_topology.0].sources().iter();
        sources.filter(|source| source.kind == SourceKind::External).map(|source| source.topic.clone())
    }

    /// The topics of the user's that a task reads, and those that the tasks upstream of it read.
    fn sources_of(&self, id: TaskId) -> impl Iterator<Item = String> {
        let above = self.topology.sources_above(id.sub_topology);
        self.topology.own_sources(id.sub_topology).chain(above).map(str::to_owned)
    }

    fn topics_of(&self, id: TaskId) -> Vec<String> {
        let sub_topology = &self.topology.sub_topologies()[id.sub_topology.0];
        let changelog = |store: &StoreId| self.topology.changelog_topic(*store).to_owned();
        self.sources_of(id).chain(sub_topology.stores().iter().map(changelog)).collect()
    }
}
