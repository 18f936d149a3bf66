//! The places at which the inputs of a job start.
//!
//! They are chosen once: by the first process that starts, before it joins the group, for all partitions that the
//! inputs have then. Their offsets are committed in one transaction, so that the group has an offset for all partitions
//! of an input, or for none. From then on these offsets tell where the inputs are: a partition without one has been
//! added since, and starts at its first record.
//!
//! Several processes may start at the same time. They choose under one transactional id, so that one of them is heard:
//!
//! 1. Read the offsets. An input that has any has been started: if all have, nothing is left to do.
//! 2. Take up the transactional id. This fences a process that is about to choose, and aborts its transaction.
//! 3. Read the offsets again: whatever a process before this one has committed is there now, and no other one commits
//!    any more.
//! 4. List the offsets of the places, and commit them.
//!
//! A process that is fenced, or that gets no answer, begins again with the first step.
//!
//! An input that ends where its log ends ([`StoppingOffsets::Latest`]) gets that end in the same way: it is in the
//! metadata of the offsets, and every later commit of a partition repeats it.

use std::collections::BTreeMap;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::types::{IsolationLevel, LeaderEpoch, Offset, PartitionId, TimestampMs};
use kafka_wire::wire::Str;

use super::action::{Completion, Operation};
use super::end::{End, Fatal};
use crate::commit::{OffsetMetadata, Outcome};
use crate::topology::{ResetPolicy, SourceSpec, StartingOffsets, StoppingOffsets, Topology};

/// The reaction to offsets without our metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignOffsets {
    /// They end the job: another program has read records that are in no result.
    #[default]
    Refuse,
    /// They are accepted as set on purpose.
    Accept,
}

/// The choice of the places at which inputs start, without I/O: [`Starting::next`] tells the operations, one after the
/// other, and [`Starting::handle`] takes their completions.
#[derive(Debug)]
pub struct Starting {
    group: String,
    inputs: Vec<Input>,
    step: Step,
    /// The time of day, from which ages count.
    wall: TimestampMs,
}

/// An input whose place may have to be chosen.
#[derive(Debug)]
struct Input {
    place: StartingOffsets,
    /// Whether offsets that another program has committed are its places. Otherwise the take-over refuses them.
    takes_foreign: bool,
    /// Whether it ends at the end of its log.
    has_end: bool,
    /// Its partitions, and whether they are read.
    partitions: Vec<(TopicPartition, bool)>,
    /// The offsets that another program has committed.
    given: BTreeMap<TopicPartition, CommittedOffset>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Look,
    TakeUp,
    LookAgain,
    List,
    /// The end of logs; the offsets of the places are known.
    ListEnds(Vec<(TopicPartition, CommittedOffset)>),
    Commit(Vec<(TopicPartition, CommittedOffset)>),
    Done,
}

impl Starting {
    /// `None` if no input has a place or an end that has to be chosen. `counts` are the numbers of partitions of the
    /// topics, `policy` is `auto.offset.reset`, and `wall` the time of day. `foreign_offsets` is for the inputs that
    /// say nothing of a place.
    #[must_use]
    pub fn new(
        topology: &Topology,
        counts: &BTreeMap<String, i32>,
        policy: ResetPolicy,
        foreign_offsets: ForeignOffsets,
        wall: TimestampMs,
    ) -> Option<Self> {
        let mut inputs: BTreeMap<&str, Input> = BTreeMap::new();
        for source in topology.external_sources().filter(|source| !is_table(topology, source)) {
            let (place, takes_foreign) = match &source.extent.start {
                Some(place) => (place.clone(), matches!(place, StartingOffsets::Committed(_))),
                None => (StartingOffsets::Committed(policy), foreign_offsets == ForeignOffsets::Accept),
            };
            let is_first =
                matches!(place, StartingOffsets::Earliest | StartingOffsets::Committed(ResetPolicy::Earliest));
            let has_end = source.extent.stop == Some(StoppingOffsets::Latest);
            if is_first && !has_end {
                continue;
            }
            let new = || Input { place, takes_foreign, has_end, partitions: Vec::new(), given: BTreeMap::new() };
            let count = counts.get(&source.topic).copied().unwrap_or_default();
            let partition = |id| (TopicPartition::new(source.topic.as_str(), id), source.extent.has(id));
            let partitions = (0..count).map(PartitionId).map(partition);
            inputs.entry(&source.declared).or_insert_with(new).partitions.extend(partitions);
        }
        inputs.retain(|_, input| !input.partitions.is_empty());
        let (group, inputs) = (topology.application_id().to_owned(), inputs.into_values().collect::<Vec<_>>());
        (!inputs.is_empty()).then_some(Self { group, inputs, step: Step::Look, wall })
    }

    /// The transactional id under which processes choose.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        transactional_id(&self.group)
    }

    /// The next operation; `None` when the places are committed. [`Operation::Recover`] takes up the transactional id;
    /// it and [`Operation::Commit`] are those of [`Starting::transactional_id`].
    #[must_use]
    pub fn next(&self) -> Option<Operation> {
        let partitions = || self.inputs.iter().flat_map(Input::all).cloned().collect();
        Some(match &self.step {
            Step::Look => Operation::ReadOffsets { partitions: partitions(), is_stable: false },
            Step::TakeUp => Operation::Recover,
            Step::LookAgain => Operation::ReadOffsets { partitions: partitions(), is_stable: true },
            Step::List => Operation::ListOffsets { wanted: self.wanted(), isolation: IsolationLevel::ReadUncommitted },
            Step::ListEnds(_) => {
                let wanted = self.ending().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
                Operation::ListOffsets { wanted, isolation: IsolationLevel::ReadCommitted }
            }
            Step::Commit(offsets) => Operation::Commit { offsets: offsets.clone() },
            Step::Done => return None,
        })
    }

    /// Handles the completion of the operation that [`Starting::next`] told.
    ///
    /// # Errors
    /// [`End::Restart`]: begin again, with a new value. [`End::Fatal`]: a person has to say where an input starts.
    pub fn handle(&mut self, completion: Completion) -> Result<(), End> {
        let step = std::mem::replace(&mut self.step, Step::Done);
        self.step = match (step, completion) {
            (_, Completion::Failed(end)) => return Err(end),
            (Step::Look, Completion::Offsets(offsets)) => self.look(offsets, Step::TakeUp),
            (Step::TakeUp, Completion::Transaction(Outcome::Done)) => Step::LookAgain,
            (Step::LookAgain, Completion::Offsets(offsets)) => self.look(offsets, Step::List),
            (Step::List, Completion::Listed(listed)) => match self.offsets(&listed)? {
                offsets if self.ending().next().is_some() => Step::ListEnds(offsets),
                offsets => Step::Commit(offsets),
            },
            (Step::ListEnds(offsets), Completion::Listed(ends)) => Step::Commit(self.with_ends(offsets, &ends)),
            (Step::Commit(_), Completion::Transaction(Outcome::Done)) => Step::Done,
            (_, Completion::Transaction(_)) => {
                return Err(End::Restart("the places at which inputs start could not be committed".to_owned()));
            }
            (step, completion) => unreachable!("{completion:?} answers no question of step {step:?}"),
        };
        Ok(())
    }

    /// Leaves out the inputs that have been started. `next` is the step for the others.
    fn look(&mut self, offsets: Vec<(TopicPartition, Option<CommittedOffset>)>, next: Step) -> Step {
        let committed: BTreeMap<_, _> =
            offsets.into_iter().filter_map(|(partition, committed)| Some((partition, committed?))).collect();
        self.inputs.retain_mut(|input| {
            let found = input.all().filter_map(|partition| committed.get_key_value(partition));
            input.given = found.map(|(partition, committed)| (partition.clone(), committed.clone())).collect();
            !input.is_started()
        });
        if self.inputs.is_empty() { Step::Done } else { next }
    }

    /// The queries that tell the places: those of a partition follow each other.
    fn wanted(&self) -> Vec<(TopicPartition, OffsetSpec)> {
        let mut wanted = Vec::new();
        for input in &self.inputs {
            let queries = queries(&input.place, self.wall);
            let of = |(partition, _): &(TopicPartition, bool)| {
                queries.iter().map(|query| (partition.clone(), *query)).collect::<Vec<_>>()
            };
            wanted.extend(input.to_place().flat_map(of));
        }
        wanted
    }

    /// The offsets of the places, by the results of the queries in their order.
    fn offsets(&self, listed: &[Option<Offset>]) -> Result<Vec<(TopicPartition, CommittedOffset)>, Fatal> {
        let metadata = self.metadata(None);
        let (mut offsets, mut listed) = (Vec::new(), listed);
        for input in &self.inputs {
            let given = input.given.iter().map(|(partition, given)| {
                (partition.clone(), CommittedOffset { metadata: metadata.clone(), ..given.clone() })
            });
            offsets.extend(given);
            let count = queries(&input.place, self.wall).len();
            for (partition, is_read) in input.to_place() {
                let (found, rest) = listed.split_at_checked(count).unwrap_or((listed, &[]));
                listed = rest;
                match offset(&input.place, &self.group, partition, found) {
                    Ok(offset) => {
                        let leader_epoch = LeaderEpoch(-1);
                        let committed = CommittedOffset { offset, leader_epoch, metadata: metadata.clone() };
                        offsets.push((partition.clone(), committed));
                    }
                    Err(failure) if *is_read => return Err(failure),
                    Err(_) => {}
                }
            }
        }
        Ok(offsets)
    }
}

impl Starting {
    /// The partitions whose ends are chosen.
    fn ending(&self) -> impl Iterator<Item = &TopicPartition> {
        let of_inputs = self.inputs.iter().filter(|input| input.has_end).flat_map(|input| &input.partitions);
        of_inputs.filter(|(_, is_read)| *is_read).map(|(partition, _)| partition)
    }

    /// The offsets with the ends, by the results for [`Starting::ending`].
    fn with_ends(
        &self,
        mut offsets: Vec<(TopicPartition, CommittedOffset)>,
        listed: &[Option<Offset>],
    ) -> Vec<(TopicPartition, CommittedOffset)> {
        let ends: BTreeMap<_, _> = self.ending().cloned().zip(listed.iter().copied()).collect();
        for (partition, committed) in &mut offsets {
            if let Some(Some(end)) = ends.get(&*partition) {
                committed.metadata = self.metadata(Some(*end));
            }
        }
        offsets
    }

    fn metadata(&self, end: Option<Offset>) -> Str {
        let (transactional_id, sequence) = (self.transactional_id(), 0);
        let metadata = OffsetMetadata { transactional_id, sequence, watermark: None, partitions: None, end };
        Str::from(metadata.to_string())
    }
}

impl Input {
    fn all(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().map(|(partition, _)| partition)
    }

    /// The partitions without an offset.
    fn to_place(&self) -> impl Iterator<Item = &(TopicPartition, bool)> {
        self.partitions.iter().filter(|(partition, _)| !self.given.contains_key(partition))
    }

    /// Whether the job has read it, or has offsets for the take-over to judge.
    fn is_started(&self) -> bool {
        let is_ours = |given: &CommittedOffset| OffsetMetadata::parse(&given.metadata).is_some();
        if self.takes_foreign { self.given.values().any(is_ours) } else { !self.given.is_empty() }
    }
}

/// The transactional id under which the processes of a job choose where its inputs start. Those of workers end with
/// their numbers.
pub(super) fn transactional_id(application_id: &str) -> String {
    format!("{application_id}-start")
}

/// Whether a topic is the changelog of a table: it is read from its first record, for its rows are there.
fn is_table(topology: &Topology, source: &SourceSpec) -> bool {
    topology.stores().iter().any(|store| store.source_changelog() == Some(&*source.topic))
}

/// The queries that tell a place of a partition.
fn queries(place: &StartingOffsets, wall: TimestampMs) -> Vec<OffsetSpec> {
    match place {
        StartingOffsets::Timestamp(timestamp) => vec![OffsetSpec::Timestamp(*timestamp), OffsetSpec::Latest],
        StartingOffsets::Offsets(_, policy) => {
            [vec![OffsetSpec::Earliest, OffsetSpec::Latest], policy.queries(wall)].concat()
        }
        place => place.policy().map_or_else(Vec::new, |policy| policy.queries(wall)),
    }
}

/// The offset of a place, by the results of its queries in their order.
///
/// # Errors
/// A person has to say where to start.
fn offset(
    place: &StartingOffsets,
    group: &str,
    partition: &TopicPartition,
    listed: &[Option<Offset>],
) -> Result<Offset, Fatal> {
    let first_known = |listed: &[Option<Offset>]| listed.iter().copied().flatten().next();
    let no_start = || Fatal::NoStart { group: group.to_owned(), partition: partition.clone() };
    let StartingOffsets::Offsets(offsets, _) = place else { return first_known(listed).ok_or_else(no_start) };
    let (bounds, by_policy) = listed.split_at_checked(2).unwrap_or((listed, &[]));
    let [first, end] = [0, 1].map(|index| bounds.get(index).copied().flatten().unwrap_or_default());
    let wanted = offsets.get(partition).copied();
    let found = wanted.filter(|offset| (first..=end).contains(offset)).or_else(|| first_known(by_policy));
    found.ok_or_else(|| match wanted {
        Some(offset) => Fatal::StartOutsideLog { partition: partition.clone(), offset, first, end },
        None => no_start(),
    })
}

#[cfg(test)]
mod tests;
