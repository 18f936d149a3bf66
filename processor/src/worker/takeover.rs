//! The take-over of partitions: everything that a worker has to find out before it may work on them, in order.
//!
//! 1. Count the partitions of the inputs and of the changelogs: inputs of a task belong together, and state that
//!    depends on their number must still fit it.
//! 2. Find the worker that committed last, and fence it if it is gone, so that its open transaction aborts now and
//!    not at its timeout.
//! 3. Read the committed offsets, waiting for transactions that are being ended (`require_stable`, KIP-447).
//! 4. List the ends of the changelogs *after* step 3, because the former owner may have committed a moment ago.
//!    The end is that of all records, committed or not; aborted records before it are skipped.
//!
//! The tasks that the worker keeps, and those of other take-overs, go on meanwhile.

use std::collections::BTreeMap;

use kafka_wire::admin::OffsetSpec;
use kafka_wire::cluster::{CommittedOffset, TopicPartition};
use kafka_wire::consumer::ReadToEnd;
use kafka_wire::types::{IsolationLevel, Offset};

use super::action::{Completion, Operation, OperationId};
use super::end::{End, Fatal};
use super::membership::Membership;
use super::place::{FoundChangelog, FoundPlace, Place, Position};
use super::starts::{self, ForeignOffsets};
use super::tasks::Claim;
use crate::commit::OffsetMetadata;
use crate::output::StoreId;
use crate::topology::{ResetPolicy, SourceSpec, StartingOffsets, SubTopology, Topology};

/// Tasks that are taken over together, and the progress of that.
pub(super) struct Takeover {
    claims: Vec<Claim>,
    foreign_offsets: ForeignOffsets,
    /// Workers to fence.
    gone: Vec<String>,
    step: Step,
    /// The operation in progress.
    operation: Option<OperationId>,
    counts: BTreeMap<String, i32>,
    committed: BTreeMap<TopicPartition, Option<CommittedOffset>>,
    /// The request for offsets in progress: a task that is dropped meanwhile still has its place in the answer.
    asked: Vec<(TopicPartition, OffsetSpec)>,
    listed: BTreeMap<TopicPartition, Vec<Option<Offset>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Count,
    Committers,
    Fence,
    Offsets,
    Ends,
    Done,
}

/// The result of a take-over for one task.
pub(super) struct Found {
    pub(super) claim: Claim,
    /// Number of partitions of each source of the sub-topology.
    pub(super) partition_counts: Vec<i32>,
    /// The place of each input.
    pub(super) positions: Vec<FoundPlace>,
    /// The changelogs.
    pub(super) changelogs: Vec<FoundChangelog>,
}

impl Takeover {
    pub(super) fn new(claims: Vec<Claim>, gone: Vec<String>, foreign_offsets: ForeignOffsets) -> Self {
        let step = if claims.is_empty() { Step::Fence } else { Step::Count };
        let (counts, committed, listed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { claims, foreign_offsets, gone, step, operation: None, counts, committed, asked: Vec::new(), listed }
    }

    pub(super) fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Gives up the tasks that are not among these claims.
    pub(super) fn retain(&mut self, kept: &[Claim]) {
        self.claims.retain(|claim| kept.contains(claim));
    }

    pub(super) fn waits_for(&self, id: OperationId) -> bool {
        self.operation == Some(id)
    }

    pub(super) const fn started(&mut self, id: OperationId) {
        self.operation = Some(id);
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// The next operation; steps without anything to ask are skipped. `None` if everything is known.
    pub(super) fn next(&mut self, topology: &Topology, membership: &Membership) -> Option<Operation> {
        loop {
            let operation = match self.step {
                Step::Done => return None,
                _ if self.claims.is_empty() && (self.step != Step::Fence || self.gone.is_empty()) => {
                    self.step = Step::Done;
                    return None;
                }
                Step::Count => Some(Operation::CountPartitions { topics: self.topics(topology) }),
                Step::Committers if !membership.knows_members() => None,
                Step::Committers => Some(Operation::ReadOffsets { partitions: self.inputs(), is_stable: false }),
                Step::Fence => {
                    // One that was gone may have joined meanwhile.
                    let gone = std::mem::take(&mut self.gone).into_iter().filter(|id| membership.is_gone(id));
                    let transactional_ids: Vec<_> = gone.collect();
                    (!transactional_ids.is_empty()).then_some(Operation::Fence { transactional_ids })
                }
                Step::Offsets => Some(Operation::ReadOffsets { partitions: self.inputs(), is_stable: true }),
                Step::Ends => {
                    let wanted = self.wanted(topology);
                    self.asked.clone_from(&wanted);
                    let isolation = IsolationLevel::ReadUncommitted;
                    (!wanted.is_empty()).then_some(Operation::ListOffsets { wanted, isolation })
                }
            };
            if operation.is_some() {
                return operation;
            }
            self.advance();
        }
    }

    /// Handles the completion of the operation that was started last.
    ///
    /// # Errors
    /// The result does not let the worker go on.
    pub(super) fn handle(
        &mut self,
        completion: Completion,
        topology: &Topology,
        membership: &Membership,
    ) -> Result<(), End> {
        self.operation = None;
        match (self.step, completion) {
            (_, Completion::Failed(end)) => return Err(end),
            (Step::Count, Completion::Counts(counts)) => {
                self.counts = counts;
                self.check_counts(topology)?;
            }
            (Step::Committers, Completion::Offsets(offsets)) => self.find_the_gone(&offsets, topology, membership),
            (Step::Offsets, Completion::Offsets(offsets)) => {
                if self.foreign_offsets == ForeignOffsets::Refuse {
                    check_offsets(&offsets, topology)?;
                }
                check_fixed_counts(&offsets, topology, &self.counts)?;
                self.committed = offsets.into_iter().collect();
            }
            (Step::Ends, Completion::Listed(offsets)) => {
                for ((partition, _), offset) in std::mem::take(&mut self.asked).into_iter().zip(offsets) {
                    self.listed.entry(partition).or_default().push(offset);
                }
            }
            (Step::Fence | Step::Done, _) => {}
            (step, completion) => unreachable!("{completion:?} answers no question of step {step:?}"),
        }
        self.advance();
        Ok(())
    }

    /// The results for each task. An input for which the group has no offset is read from its first record: see
    /// [`Starting`](super::Starting).
    pub(super) fn finish(self, topology: &Topology) -> Vec<Found> {
        debug_assert!(self.is_done(), "all is known");
        let Self { claims, counts, committed, listed, .. } = self;
        let starter = starts::transactional_id(topology.application_id());
        let listed = |partition: &TopicPartition| listed.get(partition).map_or(&[][..], Vec::as_slice);
        let found = |claim: Claim| {
            // Whoever leads the group may not have found a topic yet: then the task does not read it for now.
            let is_given = |source: &SourceSpec| {
                !source.is_found() || claim.inputs.iter().any(|input| *input.topic == *source.topic)
            };
            let count = |source: &SourceSpec| {
                counts.get(&source.topic).copied().filter(|_| is_given(source)).unwrap_or_default()
            };
            let position = |input: &TopicPartition| match committed.get(input) {
                Some(Some(committed)) => {
                    let metadata = OffsetMetadata::parse(&committed.metadata);
                    let is_start = metadata.as_ref().is_some_and(|metadata| metadata.transactional_id == starter);
                    // With an end, that choice has a place also for an input that is read from its first record.
                    let has_end = metadata.as_ref().is_some_and(|metadata| metadata.end.is_some());
                    let is_first = is_start && has_end && begins_first(topology, input);
                    let watermark = metadata.and_then(|metadata| metadata.watermark);
                    let position = Position { offset: committed.offset, leader_epoch: committed.leader_epoch };
                    let place = Place { position, watermark, partitions: fixed_count(topology, &counts, input) };
                    FoundPlace { place, is_committed: true, is_of_worker: !is_start, is_first }
                }
                Some(None) | None => {
                    let first = listed(input).first().copied().flatten().unwrap_or_default();
                    let (position, partitions) = (Position::unchecked(first), fixed_count(topology, &counts, input));
                    let place = Place { position, watermark: None, partitions };
                    FoundPlace { place, is_committed: false, is_of_worker: false, is_first: true }
                }
            };
            let bounds = |(store, partition): (StoreId, TopicPartition)| {
                let is_input = topology.stores()[store.0].source_changelog().is_some();
                let reading = ReadToEnd::between(listed(&partition));
                let reading = match committed.get(&partition).filter(|_| is_input) {
                    // A log that was cut ends before that, and the input tells so when it is assigned.
                    Some(Some(committed)) => reading.up_to(committed.offset),
                    // The group has processed none of its records.
                    Some(None) => reading.up_to(reading.position()),
                    None => reading,
                };
                FoundChangelog { store, partition, reading, is_input }
            };
            Found {
                partition_counts: sub_topology(topology, &claim).sources().iter().map(count).collect(),
                positions: claim.inputs.iter().map(position).collect(),
                changelogs: changelogs(topology, &claim).map(bounds).collect(),
                claim,
            }
        };
        claims.into_iter().map(found).collect()
    }

    const fn advance(&mut self) {
        self.step = match self.step {
            Step::Count => Step::Committers,
            Step::Committers => Step::Fence,
            Step::Fence => Step::Offsets,
            Step::Offsets => Step::Ends,
            Step::Ends | Step::Done => Step::Done,
        };
    }

    fn inputs(&self) -> Vec<TopicPartition> {
        self.claims.iter().flat_map(|claim| claim.inputs.iter().cloned()).collect()
    }

    fn topics(&self, topology: &Topology) -> Vec<String> {
        let sub_topologies = || self.claims.iter().map(|claim| sub_topology(topology, claim));
        let inputs = sub_topologies().flat_map(|found| found.sources().iter().map(|source| source.topic.clone()));
        let changelogs = self.claims.iter().flat_map(|claim| changelogs(topology, claim));
        let mut topics: Vec<String> =
            inputs.chain(changelogs.map(|(_, changelog)| changelog.topic.to_string())).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    /// The queries for the first offset and the end of each changelog, and for the first offset of the inputs that the
    /// group has not read.
    fn wanted(&self, topology: &Topology) -> Vec<(TopicPartition, OffsetSpec)> {
        let mut wanted = Vec::new();
        for claim in &self.claims {
            for (_, changelog) in changelogs(topology, claim) {
                wanted.extend(ReadToEnd::queries(&changelog));
            }
            for input in &claim.inputs {
                if !self.committed.get(input).is_some_and(Option::is_some) {
                    wanted.push((input.clone(), OffsetSpec::Earliest));
                }
            }
        }
        wanted
    }

    /// Finds the workers that committed last for an input and are no members any more; they have to be fenced.
    /// The id under which places are chosen belongs to no worker, and whoever starts takes it up.
    fn find_the_gone(
        &mut self,
        offsets: &[(TopicPartition, Option<CommittedOffset>)],
        topology: &Topology,
        membership: &Membership,
    ) {
        let starter = starts::transactional_id(topology.application_id());
        let committed = offsets.iter().filter_map(|(_, committed)| committed.as_ref());
        let last = committed.filter_map(|committed| OffsetMetadata::parse(&committed.metadata));
        let ids = last.map(|last| last.transactional_id).filter(|id| *id != starter);
        self.gone.extend(ids.filter(|id| membership.is_gone(id)));
        self.gone.sort_unstable();
        self.gone.dedup();
    }

    fn check_counts(&self, topology: &Topology) -> Result<(), End> {
        for claim in &self.claims {
            let count = |topic: &str| self.counts.get(topic).copied().unwrap_or_default();
            if let Some(input) = claim.inputs.iter().find(|input| count(&input.topic) <= input.partition.0) {
                return Err(End::Restart(format!("{input} does not exist")));
            }
            for source in sub_topology(topology, claim).sources() {
                let input = TopicPartition::new(source.topic.as_str(), claim.id.partition);
                let is_missing = count(&source.topic) > claim.id.partition.0 && !claim.inputs.contains(&input);
                if is_missing && !source.is_found() {
                    return Err(Fatal::SplitTask { assigned: claim.inputs[0].clone(), missing: input }.into());
                }
            }
            for (_, changelog) in changelogs(topology, claim) {
                let (old, new) = (count(&changelog.topic), count(&claim.inputs[0].topic));
                if old > 0 && old < new {
                    let (topic, changelog) = (claim.inputs[0].topic.to_string(), changelog.topic.to_string());
                    return Err(Fatal::PartitionsGrew { topic, changelog, old, new }.into());
                }
            }
            if sub_topology(topology, claim).sources().iter().any(SourceSpec::is_found) {
                let checked = topology.check_partitions_of(claim.id.sub_topology, &self.counts);
                checked.map_err(Fatal::NotCopartitioned)?;
            }
        }
        Ok(())
    }
}

/// The changelogs of a task, by store.
fn changelogs<'t>(topology: &'t Topology, claim: &Claim) -> impl Iterator<Item = (StoreId, TopicPartition)> + use<'t> {
    let partition = claim.id.partition;
    sub_topology(topology, claim)
        .stores()
        .iter()
        .map(move |&store| (store, TopicPartition::new(topology.changelog_topic(store), partition)))
}

fn sub_topology<'t>(topology: &'t Topology, claim: &Claim) -> &'t SubTopology {
    &topology.sub_topologies()[claim.id.sub_topology.0]
}

/// Whether an input may be read from its first record. If the job says nothing, that is up to `auto.offset.reset`; with
/// another policy, records from the chosen place on that are gone are passed over, as the policy would have it.
fn begins_first(topology: &Topology, input: &TopicPartition) -> bool {
    let start = topology.source(&input.topic).and_then(|source| source.extent.start.as_ref());
    matches!(start, None | Some(StartingOffsets::Earliest | StartingOffsets::Committed(ResetPolicy::Earliest)))
}

/// The number of partitions of a topic that is its own changelog: its rows lie by partition.
fn fixed_count(topology: &Topology, counts: &BTreeMap<String, i32>, input: &TopicPartition) -> Option<i32> {
    let is_table = topology.stores().iter().any(|store| store.source_changelog() == Some(&*input.topic));
    counts.get(&*input.topic).copied().filter(|_| is_table)
}

/// Checks that no topic that is its own changelog has more partitions than when the job began to read it.
fn check_fixed_counts(
    offsets: &[(TopicPartition, Option<CommittedOffset>)],
    topology: &Topology,
    counts: &BTreeMap<String, i32>,
) -> Result<(), Fatal> {
    for (input, committed) in offsets {
        let metadata = committed.as_ref().and_then(|committed| OffsetMetadata::parse(&committed.metadata));
        let old = metadata.and_then(|metadata| metadata.partitions);
        if let (Some(old), Some(new)) = (old, fixed_count(topology, counts, input))
            && old < new
        {
            return Err(Fatal::TableGrew { topic: input.topic.to_string(), old, new });
        }
    }
    Ok(())
}

/// Checks that every offset has our metadata; one without it was committed by another program. An input that starts at
/// the group's offset takes it.
fn check_offsets(offsets: &[(TopicPartition, Option<CommittedOffset>)], topology: &Topology) -> Result<(), Fatal> {
    for (partition, committed) in offsets {
        let Some(committed) = committed else { continue };
        let start = topology.source(&partition.topic).and_then(|source| source.extent.start.as_ref());
        let is_taken = matches!(start, Some(StartingOffsets::Committed(_)));
        if !is_taken && OffsetMetadata::parse(&committed.metadata).is_none() {
            return Err(Fatal::ForeignOffset {
                group: topology.application_id().to_owned(),
                partition: partition.clone(),
                offset: committed.offset,
                metadata: committed.metadata.to_string(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serde::{Raw, Text, Utf8};

    #[test]
    fn a_worker_that_has_come_back_meanwhile_is_not_fenced() {
        let mut job = Topology::builder("job");
        job.stream("in", Utf8).map(|line| line.value.to_owned()).to("out", Raw, Text);
        let topology = job.build().expect("a valid job");
        let fenced = |live: &str| {
            let mut membership = Membership::new();
            membership.replace_members(vec![live.to_owned()]);
            let mut takeover = Takeover::new(Vec::new(), vec!["job-1".to_owned()], ForeignOffsets::Refuse);
            takeover.next(&topology, &membership)
        };
        assert_eq!(fenced("job-2"), Some(Operation::Fence { transactional_ids: vec!["job-1".to_owned()] }));
        assert_eq!(fenced("job-1"), None);
    }
}
