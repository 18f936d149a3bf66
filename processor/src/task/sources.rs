//! The sources of a task's event time: the user's topics to look up before an idle contributor is passed by.

use std::fmt;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::types::PartitionId;

use super::Task;
use super::status::{Holder, TaskId};
use crate::topology::{SourceKind, SourceSpec, SubTopologyId, Topology};
use crate::watermark::{Contributor, Progress};

/// Partitions of a user's topic that the job reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourcePartitions {
    /// The topic.
    pub topic: String,
    /// The partition; `None` for all partitions of the topic.
    pub partition: Option<PartitionId>,
}

impl fmt::Display for SourcePartitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "{}-{partition}", self.topic),
            None => write!(f, "{}", self.topic),
        }
    }
}

/// The sources of all inputs of a task.
pub(super) struct Sources(Vec<Source>);

enum Source {
    /// The input is a topic of the user's.
    Input(SourcePartitions),
    /// The input is a repartition topic.
    Above {
        /// The tasks that write the topic.
        tasks: SubTopologyId,
        /// Topics read by the tasks that write it.
        own: Vec<String>,
        /// Topics read by tasks further upstream.
        further: Vec<String>,
    },
}

impl Sources {
    pub(super) fn new(topology: &Topology, sources: &[&SourceSpec], inputs: &[TopicPartition]) -> Self {
        let source = |(source, input): (&&SourceSpec, &TopicPartition)| match source.kind {
            SourceKind::External => {
                let (topic, partition) = (input.topic.to_string(), Some(input.partition));
                Source::Input(SourcePartitions { topic, partition })
            }
            SourceKind::Repartition { upstream, .. } => Source::Above {
                tasks: upstream,
                own: topology.own_sources(upstream).map(str::to_owned).collect(),
                further: topology.sources_above(upstream).into_iter().map(str::to_owned).collect(),
            },
        };
        Self(sources.iter().zip(inputs).map(source).collect())
    }

    /// The sources of a contributor: those that it reads itself, and those of all tasks upstream of it.
    pub(super) fn of(&self, contributor: Contributor) -> (Vec<SourcePartitions>, Vec<SourcePartitions>) {
        let all = |topics: &[String], partition| {
            let source = |topic: &String| SourcePartitions { topic: topic.clone(), partition };
            topics.iter().map(source).collect()
        };
        match contributor {
            Contributor::Input(input) => match &self.0[input] {
                Source::Input(partition) => (vec![partition.clone()], Vec::new()),
                Source::Above { .. } => (Vec::new(), Vec::new()),
            },
            Contributor::Upstream { input, upstream } => match &self.0[input] {
                Source::Input(_) => (Vec::new(), Vec::new()),
                Source::Above { own, further, .. } => (all(own, Some(upstream)), all(further, None)),
            },
        }
    }

    /// Returns the contributor by its name; `inputs` are those of the task.
    pub(super) fn name(&self, contributor: Contributor, inputs: &[TopicPartition]) -> Holder {
        match contributor {
            Contributor::Input(input) => Holder::Input(inputs[input].clone()),
            Contributor::Upstream { input, upstream } => match &self.0[input] {
                Source::Input(_) => Holder::Input(inputs[input].clone()),
                Source::Above { tasks, .. } => Holder::Task(TaskId { sub_topology: *tasks, partition: upstream }),
            },
        }
    }
}

impl Task {
    /// Takes up a topology with more topics, in which its own inputs are the same.
    pub fn adopt(&mut self, topology: &Topology) {
        let known = |input: &TopicPartition| topology.source(&input.topic);
        let read: Option<Vec<_>> = self.inputs.iter().map(known).collect();
        self.sources = Sources::new(topology, &read.expect("topics stay in a topology"), &self.inputs);
    }

    /// Sets whether the topic of an input of the user's is gone, so that event time waits for it no longer. Call
    /// [`Task::tick`] after it.
    pub fn set_gone(&mut self, input: usize, is_gone: bool) {
        self.state.time.set_gone(input, is_gone);
        self.committed.time.set_gone(input, is_gone);
    }

    /// Number of upstream tasks of an input, as far as their marks have told; `None` for an input of the user's.
    #[must_use]
    pub fn upstream_count(&self, input: usize) -> Option<i32> {
        self.state.time.progress(input).map(Progress::upstream_count)
    }

    /// Forgets the upstream tasks of an input from this number on, which are no more. Call [`Task::tick`] after it.
    pub fn cut_upstreams(&mut self, input: usize, count: i32) {
        self.state.time.cut_upstreams(input, count);
        self.committed.time.cut_upstreams(input, count);
    }

    /// Notes that its sub-topology has so many tasks now, which its marks state. Returns whether these are more than
    /// before, and it writes marks.
    pub fn grow_task_count(&mut self, count: i32) -> bool {
        let has_grown = count > self.task_count;
        self.task_count = self.task_count.max(count);
        has_grown && !self.shuffles.is_empty()
    }
}
