//! Topics that come to match a pattern while the job runs.
//!
//! Every worker looks by itself, at the interval of the settings. The worker that leads the group shares its own topics
//! out to all members, so a worker may get a partition of a topic that it has not found yet: then the topic is known by
//! that. A task whose inputs have changed is taken over anew; all others go on.

use std::sync::Arc;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::time::Moment;
use tracing::info;

use super::Worker;
use crate::topology::{SourceSpec, Topology};
use crate::worker::action::{Action, Completion, Operation, OperationId};
use crate::worker::end::Fatal;

/// The state of the regular looks for topics.
#[derive(Debug)]
pub(super) struct Discovery {
    operation: Option<OperationId>,
    next: Moment,
    /// Whether a look has succeeded since the last call of [`Discovery::takes_look`].
    has_looked: bool,
}

impl Discovery {
    pub(super) const fn new(now: Moment) -> Self {
        Self { operation: None, next: now, has_looked: false }
    }

    pub(super) fn waits_for(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }

    /// Whether a look has succeeded since the last call.
    pub(super) const fn takes_look(&mut self) -> bool {
        std::mem::replace(&mut self.has_looked, false)
    }
}

impl Worker {
    /// Whether topics may come to match a pattern while it runs.
    pub(super) fn discovers(&self) -> bool {
        self.settings.discovery_interval.is_some() && self.topology.has_patterns()
    }

    /// Looks for topics, if that is due.
    pub(super) fn discover(&mut self, now: Moment) {
        let Some(interval) = self.settings.discovery_interval.filter(|_| self.discovers()) else { return };
        if self.discovery.operation.is_some() || now < self.discovery.next {
            return;
        }
        self.discovery.next = now + interval;
        self.discovery.operation = Some(self.start(Operation::ListTopics));
    }

    pub(super) fn handle_discovered(&mut self, completion: Completion) {
        self.discovery.operation = None;
        // A failed look tells nothing.
        let Completion::Topics(names) = completion else { return };
        self.discovery.has_looked = true;
        let found = self.topology.with_later_topics(names.iter().map(String::as_str));
        match found {
            Ok(Some(topology)) => self.adopt(topology),
            Ok(None) => {}
            Err(error) => self.fail(Fatal::ReadTwice(error)),
        }
    }

    /// Takes up the topics of assigned partitions that match a pattern and are not known yet.
    pub(super) fn learn_topics(&mut self, partitions: &[TopicPartition]) {
        match self.topology.with_topics(partitions.iter().map(|partition| &*partition.topic)) {
            Ok(Some(topology)) => self.adopt(topology),
            Ok(None) => {}
            Err(error) => self.fail(Fatal::ReadTwice(error)),
        }
    }

    /// Goes on with a topology that has more topics.
    fn adopt(&mut self, topology: Topology) {
        let topology = Arc::new(topology);
        let topics = |topology: &Topology| topology.external_sources().map(|source| source.topic.clone()).collect();
        let (before, now): (Vec<_>, Vec<_>) = (topics(&self.topology), topics(&topology));
        let new: Vec<_> = now.iter().filter(|topic| !before.contains(topic)).collect();
        info!(worker = %self.settings.transactional_id, ?new, "topics have come to match");
        self.topology = topology;
        for held in self.tasks.iter_mut() {
            held.task.adopt(&self.topology);
        }
        let sources = self.topology.sub_topologies().iter().flat_map(|sub_topology| sub_topology.sources());
        let topics = sources.map(|source: &SourceSpec| source.topic.clone()).collect();
        let together = self.topology.together();
        let together = together.into_iter().map(|group| group.into_iter().map(str::to_owned).collect()).collect();
        self.actions.push_back(Action::Subscribe { topics, together });
    }
}
