//! The tasks that a worker holds, by their inputs.

use std::collections::BTreeMap;

use kafka_wire::cluster::TopicPartition;

use super::end::Fatal;
use super::held::Held;
use crate::operator::Calls;
use crate::task::TaskId;
use crate::topology::Topology;

/// A task that the group assigned to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) id: TaskId,
    /// Its input partitions, in the order of its sub-topology's sources.
    pub(super) inputs: Vec<TopicPartition>,
}

/// The tasks that partitions belong to.
///
/// # Errors
/// [`Fatal::ForeignTopic`]: the job reads no such topic.
pub(super) fn claims(topology: &Topology, partitions: &[TopicPartition]) -> Result<Vec<Claim>, Fatal> {
    let mut inputs: BTreeMap<TaskId, Vec<(usize, TopicPartition)>> = BTreeMap::new();
    for input in partitions {
        let Some(reader) = topology.reader_of(&input.topic) else {
            let (group, topic) = (topology.application_id().to_owned(), input.topic.to_string());
            return Err(Fatal::ForeignTopic { group, topic });
        };
        let id = TaskId { sub_topology: reader.id(), partition: input.partition };
        let source = reader.sources().iter().position(|source| *source.topic == *input.topic).unwrap_or_default();
        inputs.entry(id).or_default().push((source, input.clone()));
    }
    let claim = |(id, mut inputs): (TaskId, Vec<(usize, TopicPartition)>)| {
        inputs.sort_unstable_by_key(|(source, _)| *source);
        Claim { id, inputs: inputs.into_iter().map(|(_, input)| input).collect() }
    };
    Ok(inputs.into_iter().map(claim).collect())
}

/// The tasks that a worker holds.
#[derive(Default)]
pub(super) struct Tasks {
    held: BTreeMap<TaskId, Held>,
    /// For each input, its task and the index of the input in it.
    by_input: BTreeMap<TopicPartition, (TaskId, usize)>,
    by_changelog: BTreeMap<TopicPartition, TaskId>,
    /// Number of inputs whose position is known to be before the end of the log.
    lagging: usize,
    /// Number of tasks whose steps care for the order between inputs.
    ordered: usize,
    /// Number of tasks that make calls to the outside.
    calling: usize,
}

impl Tasks {
    pub(super) fn insert(&mut self, held: Held) {
        for (index, (input, _)) in held.positions().enumerate() {
            self.by_input.insert(input.clone(), (held.id, index));
        }
        for (changelog, _) in held.unrestored() {
            self.by_changelog.insert(changelog.clone(), held.id);
        }
        self.ordered += usize::from(held.orders_inputs());
        self.calling += usize::from(held.task.makes_calls());
        self.held.insert(held.id, held);
    }

    pub(super) fn remove(&mut self, id: TaskId) -> Option<Held> {
        self.by_input.retain(|_, (task, _)| *task != id);
        self.by_changelog.retain(|_, task| *task != id);
        let held = self.held.remove(&id)?;
        self.ordered -= usize::from(held.orders_inputs());
        self.calling -= usize::from(held.task.makes_calls());
        self.lagging -= held.progress().filter(|input| input.lag.is_some_and(|lag| lag > 0)).count();
        Some(held)
    }

    pub(super) fn ids(&self) -> Vec<TaskId> {
        self.held.keys().copied().collect()
    }

    pub(super) fn contains(&self, id: TaskId) -> bool {
        self.held.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TaskId) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.values_mut()
    }

    /// Tasks whose state is restored.
    pub(super) fn restored_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.held.values_mut().filter(|held| held.is_restored())
    }

    /// Whether there are tasks whose steps care for the order between inputs.
    pub(super) const fn orders_inputs(&self) -> bool {
        self.ordered > 0
    }

    /// Whether there are tasks that make calls to the outside.
    pub(super) const fn makes_calls(&self) -> bool {
        self.calling > 0
    }

    /// The calls to the outside of each task that has any outstanding.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Calls> {
        // The worker asks at each turn: most have no such task among hundreds.
        let calling = self.makes_calls().then(|| self.held.values()).into_iter().flatten();
        calling.map(|held| held.task.calls()).filter(|calls| calls.outstanding > 0)
    }

    /// The restored tasks whose steps care for the order between inputs.
    pub(super) fn with_queues(&self) -> Vec<TaskId> {
        let restored = self.held.values().filter(|held| held.orders_inputs() && held.is_restored());
        restored.map(|held| held.id).collect()
    }

    /// The task that reads an input, if its state is restored, and the index of the input.
    pub(super) fn reader_mut(&mut self, input: &TopicPartition) -> Option<(&mut Held, usize)> {
        let (id, index) = *self.by_input.get(input)?;
        self.held.get_mut(&id).filter(|held| held.is_restored()).map(|held| (held, index))
    }

    /// The task that is restored from a changelog.
    pub(super) fn restoring_mut(&mut self, changelog: &TopicPartition) -> Option<&mut Held> {
        self.held.get_mut(self.by_changelog.get(changelog)?)
    }

    /// Notes a change of an input's lag.
    pub(super) const fn note_lag(&mut self, before: Option<i64>, now: Option<i64>) {
        self.lagging += is_lagging(now) as usize;
        self.lagging -= is_lagging(before) as usize;
    }

    /// Counts the lagging inputs again, after positions went back.
    pub(super) fn recount_lags(&mut self) {
        let lags = self.held.values().flat_map(|held| held.progress().map(|input| input.lag));
        self.lagging = lags.filter(|lag| is_lagging(*lag)).count();
    }

    /// Whether any input is known to lag behind the end of its log.
    pub(super) const fn is_lagging(&self) -> bool {
        self.lagging > 0
    }
}

const fn is_lagging(lag: Option<i64>) -> bool {
    matches!(lag, Some(1..))
}
