//! Commits that take the stages of a job one after the other, so that a shuffle costs no commit of its own.
//!
//! A shuffled record waits for the commit of the transaction that wrote it before it can be fetched, and its result
//! waits for the next commit. But a worker that has all tasks of the job knows what it has written, and its producer
//! knows at which offsets. So while such a worker keeps up with its input, a commit prepares the tasks before the first
//! shuffle, flushes what they have shuffled, lets the tasks behind it process these records, and so on. Then everything
//! is committed together, the positions behind these records included.
//!
//! The brokers have the same records, offsets and positions as without this, so an abort, a restart and another worker
//! go on from the last commit as always. Records are only taken here that come right after everything that their task
//! has processed; others are fetched after the commit.
//!
//! An attempt after an abort writes its shuffled records again, at other offsets. A record that the next attempt is to
//! leave out is known by its offset, so for some time after an abort, shuffled records are fetched as committed.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::compression::Decompressed;
use kafka_wire::record::Batch;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::Worker;
use super::commit::Preparation;
use crate::task::TaskId;
use crate::topology::{SourceKind, SubTopologyId, Topology};
use crate::worker::action::Action;
use crate::worker::membership::Phase;
use crate::worker::outbox::Outbox;
use crate::worker::place::{Position, Span};

/// The stages of the job, and the one that the commit in progress has come to.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// For each sub-topology, the greatest number of shuffles before it.
    of: Vec<usize>,
    /// The stage that is prepared; `None` while a commit takes all stages at once, and without one.
    current: Option<usize>,
    /// Until then, commits take all stages at once.
    rests_until: Moment,
    buffer: Decompressed,
}

impl Stages {
    pub(super) fn new(topology: &Topology) -> Self {
        let count = topology.sub_topologies().len();
        let mut of = vec![0; count];
        // No record comes back to a sub-topology, so that no way is longer than their number.
        for _ in 0..count {
            for sub_topology in topology.sub_topologies() {
                let before = sub_topology.sources().iter().filter_map(|source| match source.kind {
                    SourceKind::Repartition { upstream, .. } => Some(of[upstream.0] + 1),
                    SourceKind::External => None,
                });
                of[sub_topology.id().0] = before.max().unwrap_or(0);
            }
        }
        Self { of, ..Self::default() }
    }

    /// Whether a commit takes one stage after the other now.
    pub(super) const fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the stage that is prepared is followed by another one.
    pub(super) fn has_next(&self) -> bool {
        self.current.is_some_and(|current| current < self.last())
    }

    /// Whether a sub-topology is in the stage that is prepared.
    pub(super) fn has(&self, id: SubTopologyId) -> bool {
        self.current.is_none_or(|current| self.of[id.0] == current)
    }

    /// Ends the commit.
    pub(super) const fn end(&mut self) {
        self.current = None;
    }

    /// Takes all stages at once for some time.
    pub(super) fn rest(&mut self, now: Moment) {
        self.end();
        self.rests_until = now + REST;
    }

    fn last(&self) -> usize {
        self.of.iter().copied().max().unwrap_or(0)
    }
}

impl Worker {
    /// Begins to prepare the tasks of a commit: those of the first stage, or all.
    pub(super) fn begin_stages(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        self.committing.clear();
        self.marks.begin_commit();
        self.stages.current = self.takes_stages(now).then_some(0);
        self.begin_stage(now, outbox);
    }

    fn begin_stage(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        loop {
            let chosen = self.choose_committing(now);
            self.preparation = Some(Preparation::Tasks { next: self.committing.len() });
            // Tasks that have nothing to commit have shuffled nothing.
            if !chosen.is_empty() || !self.stages.has_next() {
                self.committing.extend(chosen);
                return self.prepare(outbox);
            }
            self.stages.current = self.stages.current.map(|current| current + 1);
        }
    }

    /// Lets the tasks of the next stage process what the stage before has shuffled, with pauses while the outbox is
    /// full; then prepares them.
    pub(super) fn read_written(&mut self, now: Moment, outbox: &mut dyn Outbox) {
        while self.needs_outbox() {
            let Some(Preparation::Shuffled(written)) = &mut self.preparation else { return };
            match written.pop_front() {
                Some((input, batch)) => self.process_written(now, input, &batch, outbox),
                None => {
                    self.stages.current = self.stages.current.map(|current| current + 1);
                    return self.begin_stage(now, outbox);
                }
            }
        }
    }

    fn process_written(&mut self, now: Moment, input: TopicPartition, batch: &Batch, outbox: &mut dyn Outbox) {
        let Self { tasks, stages, .. } = self;
        let Some((held, index)) = tasks.reader_mut(&input) else { return };
        let (start, end) = (Offset(batch.header.base_offset), Offset(batch.header.next_offset()));
        if held.orders_inputs() || !held.goes_on_at(index, start) {
            return;
        }
        // One that cannot be read is fetched, and then told as any other.
        let Ok(records) = batch.open(&mut stages.buffer) else { return };
        let span = Span { start, end: Position::unchecked(end) };
        let processed = held.process_own(index, records, span, now, outbox);
        match processed.map_err(Into::into).and_then(|()| outbox.check()) {
            Ok(()) => {
                self.actions.push_back(Action::SkipTo { input, offset: end });
                self.note_work(outbox);
            }
            Err(failure) => self.stumble(failure),
        }
    }

    /// Whether a commit may take one stage after the other: for a worker that has all tasks and keeps up.
    fn takes_stages(&self, now: Moment) -> bool {
        let is_calm = self.commit.is_drained() && !self.commit.is_requested() && !self.is_stopping;
        let keeps_tasks = self.membership.phase == Phase::Assigned && now >= self.stages.rests_until;
        is_calm && keeps_tasks && self.stages.last() > 0 && !self.tasks.makes_calls() && self.has_all_tasks()
    }

    fn has_all_tasks(&self) -> bool {
        let mut missing: BTreeMap<SubTopologyId, i32> = BTreeMap::new();
        for held in self.tasks.iter().filter(|held| held.is_restored()) {
            let TaskId { sub_topology, .. } = held.id;
            *missing.entry(sub_topology).or_insert_with(|| held.task.fan_out().0) -= 1;
        }
        missing.len() == self.topology.sub_topologies().len() && missing.values().all(|missing| *missing == 0)
    }
}

/// Time after an abort in which commits take all stages at once: far longer than it takes to fetch again what was
/// shuffled, and to leave out what has failed.
const REST: Duration = Duration::from_secs(5);
