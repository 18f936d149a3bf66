//! Assignments of the group: which tasks go, which stay, which are taken over and restored.

use std::sync::Arc;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::group::Reassignment;
use kafka_wire::record::Records;
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;
use tracing::info;

use super::Worker;
use crate::task::{Task, TaskId};
use crate::topology::{SourceKind, SourceSpec, SubTopologyId};
use crate::worker::action::{Action, Completion};
use crate::worker::bounds::{Ends, end_of};
use crate::worker::end::End;
use crate::worker::held::Held;
use crate::worker::membership::{Assignment, Phase};
use crate::worker::place::FoundPlace;
use crate::worker::takeover::{Found, Takeover};
use crate::worker::tasks::{Claim, claims};

impl Worker {
    /// Makes exactly these partitions the worker's. Tasks that stay keep their state and go on at once, because in
    /// an eager rebalance nobody else can have touched their partitions.
    pub fn handle_assigned(&mut self, now: Moment, assignment: Assignment) {
        let Assignment { generation, partitions, live_ids } = assignment;
        self.learn_topics(&partitions);
        let claims = match claims(&self.topology, &partitions) {
            Ok(claims) => claims,
            Err(failure) => return self.fail(failure),
        };
        let has = self.tasks.iter().flat_map(|held| held.task.inputs());
        let has = has.chain(self.takeovers.iter().flat_map(Takeover::claims).flat_map(|claim| &claim.inputs));
        let Reassignment { added, .. } = self.membership.enter((generation, &partitions), has);
        // A task is one with all of its inputs: it stays if it has just the same ones as before.
        let is_added = |input: &TopicPartition| added.binary_search(input).is_ok();
        let kept: Vec<_> = claims.iter().filter(|claim| !claim.inputs.iter().any(is_added)).cloned().collect();
        self.drop_tasks(&kept);
        // The marks of tasks that stay may have been rolled back while the worker gave everything back.
        self.wake_marks(now);
        let is_new = |id: TaskId| !self.tasks.contains(id) && !self.is_taken_over(id);
        let new: Vec<_> = claims.into_iter().filter(|claim| is_new(claim.id)).collect();
        let gone = self.membership.replace_members(live_ids);
        // Others may have more partitions to work on, which the tasks that stay have to know of.
        self.inspection.hurry();
        self.inspection.crowded.clear();
        if !new.is_empty() || !gone.is_empty() {
            self.takeovers.push(Takeover::new(new, gone, self.settings.foreign_offsets));
            self.go_on_with_takeover(now, self.takeovers.len() - 1);
        }
    }

    /// Handles the start of a rebalance: the open transaction is committed, then the partitions are given back.
    pub fn handle_rebalancing(&mut self) {
        self.membership.phase = Phase::Returning;
        // Whoever watches a bounded run must not take it for finished by what was so before.
        self.watch.is_due = true;
        if !self.commit.is_idle() {
            self.commit.request_commit();
        }
    }

    /// Handles the loss of the partitions: the open transaction is void, and a new worker joins.
    pub fn handle_lost(&mut self, cause: &str) {
        self.over(End::Restart(format!("partitions lost: {cause}")));
    }

    /// Sets the ends of a bounded run; `None` for a run without ends.
    pub fn set_ends(&mut self, ends: Option<Arc<Ends>>) {
        self.ends = ends;
        for id in self.tasks.ids() {
            self.bound(id);
            let Some(held) = self.tasks.get(id).filter(|held| held.is_restored()) else { continue };
            let seek = |(input, position): (&TopicPartition, _)| Action::Seek { input: input.clone(), position };
            self.actions.extend(held.places().map(seek));
        }
        self.tasks.recount_lags();
    }

    /// Restores records of a changelog, those from `from` on.
    pub fn restore(&mut self, changelog: &TopicPartition, records: Records<'_>, from: Offset) {
        if self.globals.has(changelog) {
            if let Err(failure) = self.globals.take(changelog, records, from) {
                self.give_up(failure.into());
            }
            return;
        }
        let Some(held) = self.tasks.restoring_mut(changelog) else { return };
        match held.restore(changelog, records, from) {
            Ok(count) => self.watch.restored += count,
            Err(failure) => self.fail(failure),
        }
    }

    /// Notes that a changelog has been read up to this offset, over markers and aborted records too.
    pub fn restored_to(&mut self, now: Moment, changelog: &TopicPartition, next: Offset) {
        if self.globals.has(changelog) {
            if self.globals.read_to(changelog, next) {
                self.release(now);
            }
            return;
        }
        let Some(held) = self.tasks.restoring_mut(changelog) else { return };
        if !held.restored_to(changelog, next) {
            return;
        }
        let (id, has_state, is_restored) = (held.id, held.has_state(), held.is_restored());
        self.actions.push_back(Action::CloseChangelog { changelog: changelog.clone() });
        if is_restored {
            self.run(now, id);
        }
        if has_state {
            self.open_changelogs();
        }
    }

    pub(super) fn handle_takeover(&mut self, now: Moment, index: usize, completion: Completion) {
        let Self { takeovers, topology, membership, .. } = self;
        match takeovers[index].handle(completion, topology, membership) {
            Ok(()) => self.go_on_with_takeover(now, index),
            Err(end) => self.give_up(end),
        }
    }

    fn go_on_with_takeover(&mut self, now: Moment, index: usize) {
        if let Some(operation) = self.takeovers[index].next(&self.topology, &self.membership) {
            let id = self.start(operation);
            self.takeovers[index].started(id);
            return;
        }
        let found = self.takeovers.remove(index).finish(&self.topology);
        if !found.is_empty() {
            let (new, tasks) = (found.len(), self.tasks.len() + found.len());
            info!(worker = %self.settings.transactional_id, tasks, new, "takes partitions over");
        }
        for found in found {
            self.hold(now, found);
        }
        self.open_changelogs();
    }

    /// Begins to restore the next tasks. Tasks that are restored one after the other are ready sooner than all side by
    /// side; two at a time, so that records of one are fetched while those of the other are processed.
    fn open_changelogs(&mut self) {
        let unrestored = self.tasks.iter_mut().filter(|held| !held.has_state());
        for held in unrestored.take(RESTORED_TOGETHER).filter_map(Held::begin_restore) {
            let open = |(changelog, offset): (&TopicPartition, Offset)| Action::OpenChangelog {
                changelog: changelog.clone(),
                offset,
            };
            self.actions.extend(held.unrestored().map(open));
        }
    }

    /// Builds a task whose take-over is complete, and begins to restore it.
    fn hold(&mut self, now: Moment, found: Found) {
        let Found { claim, partition_counts, positions, changelogs } = found;
        let mut task = Task::new(&self.topology, claim.id, &partition_counts);
        let task_count = partition_counts.iter().copied().max().unwrap_or(0);
        task.set_wall_clock(self.settings.wall_at_zero);
        task.set_call_hub(&self.call_hub);
        task.set_globals(self.globals.rows());
        debug_assert_eq!(task.inputs(), claim.inputs, "a task reads what the group gave for it");
        let had_offset = positions.iter().any(|found| found.is_of_worker);
        let is_internal = |input: &TopicPartition| self.topology.source(&input.topic).is_some_and(is_internal);
        // Nobody deletes records of the job's own topics that are not committed.
        let is_unplaced = |(input, found): &(&TopicPartition, &FoundPlace)| found.is_first && !is_internal(input);
        let unplaced = claim.inputs.iter().zip(&positions).filter(is_unplaced);
        // A take-over has just looked for those without an offset, so they may change only if the task has to wait.
        let old: Vec<_> =
            unplaced.clone().filter(|(_, found)| found.is_committed).map(|(input, _)| input.clone()).collect();
        let unplaced: Vec<_> = unplaced.map(|(input, _)| input.clone()).collect();
        let place = |(input, found): (TopicPartition, FoundPlace)| {
            let is_internal = is_internal(&input);
            (input, found.place, is_internal)
        };
        let inputs = claim.inputs.into_iter().zip(positions).map(place);
        let mut held = Held::new(claim.id, task, inputs, changelogs, had_offset);
        if self.globals.are_ready() {
            held.release();
        }
        let is_restored = held.is_restored();
        held.set_unplaced(if is_restored { old } else { unplaced });
        self.unread.retain(|input| !held.task.inputs().contains(input));
        self.tasks.insert(held);
        self.note_task_count(now, claim.id.sub_topology, task_count);
        if is_restored {
            self.run(now, claim.id);
        }
    }

    /// Starts a task whose state is restored: it reads its inputs.
    pub(super) fn run(&mut self, now: Moment, id: TaskId) {
        self.bound(id);
        let Some(held) = self.tasks.get(id) else { return };
        if held.lacks_offset().is_some() {
            return self.look_again(id);
        }
        let unplaced = self.tasks.get_mut(id).map(Held::take_unplaced).unwrap_or_default();
        if !unplaced.is_empty() {
            return self.look_for_firsts(id, unplaced);
        }
        let Some(held) = self.tasks.get(id) else { return };
        let assign = |(input, position): (&TopicPartition, _)| Action::Assign { input: input.clone(), position };
        self.actions.extend(held.places().map(assign));
        if held.restored_records() > 0 {
            let (records, task) = (held.restored_records(), id);
            info!(worker = %self.settings.transactional_id, %task, records, "restored");
        }
        if held.task.has_mark() {
            self.marks.wake(now);
        }
        // The task's clock starts at once.
        self.next_tick = now;
    }

    /// Sets the ends of the bounded run of a task.
    fn bound(&mut self, id: TaskId) {
        let Some(held) = self.tasks.get_mut(id) else { return };
        let Some(ends) = &self.ends else { return held.set_ends(|_| None) };
        self.may_be_at_end = true;
        let topology = &self.topology;
        held.set_ends(|input| {
            let is_internal = topology.source(&input.topic).is_some_and(is_internal);
            if is_internal { None } else { end_of(ends, input) }
        });
        for (index, input) in held.task.inputs().to_vec().iter().enumerate() {
            let expected = topology.source(&input.topic).and_then(|source| topology.expected_ends(source, ends));
            if let Some(expected) = expected {
                held.task.expect_ends(index, expected);
            }
        }
    }

    /// Drops the tasks that are not among the claims with the same inputs, and stops everything that is in progress for
    /// them.
    fn drop_tasks(&mut self, kept: &[Claim]) {
        for takeover in &mut self.takeovers {
            takeover.retain(kept);
        }
        let keeps = |held: &Held| kept.iter().any(|claim| claim.id == held.id && claim.inputs == held.task.inputs());
        let dropped: Vec<_> = self.tasks.iter().filter(|held| !keeps(held)).map(|held| held.id).collect();
        for id in dropped {
            let Some(held) = self.tasks.remove(id) else { continue };
            self.first_looks.retain(|look| look.task != id);
            let unread: Vec<_> = self.unread_by(&held).cloned().collect();
            self.unread.extend(unread);
            // A worker that stops may commit between two assignments. The changelogs in that transaction come behind
            // those of the next owner, and with the new generation nobody would refuse it.
            let is_in_later_stage = self.stages.is_open() && held.has_changed();
            self.has_lost_committing |= self.committing.contains(&id) || is_in_later_stage;
            if held.is_restored() {
                let unassign = |(input, _): (&TopicPartition, _)| Action::Unassign { input: input.clone() };
                self.actions.extend(held.positions().map(unassign));
            }
            if held.is_restoring() {
                let close =
                    |(changelog, _): (&TopicPartition, _)| Action::CloseChangelog { changelog: changelog.clone() };
                self.actions.extend(held.unrestored().map(close));
            }
            self.watch.forget(id);
        }
        self.open_changelogs();
    }

    /// Tells the tasks of a sub-topology that it has so many of them now. Their marks say so from then on, and event
    /// time downstream waits for the new ones.
    pub(super) fn note_task_count(&mut self, now: Moment, id: SubTopologyId, count: i32) {
        let tasks = self.tasks.iter_mut().filter(|held| held.id.sub_topology == id);
        let grown = tasks.filter_map(|held| held.task.grow_task_count(count).then_some(())).count();
        if grown > 0 {
            self.marks.wake(now);
        }
    }

    fn is_taken_over(&self, id: TaskId) -> bool {
        self.takeovers.iter().any(|takeover| takeover.claims().iter().any(|claim| claim.id == id))
    }
}

/// Number of tasks that are restored at the same time.
const RESTORED_TOGETHER: usize = 2;

fn is_internal(source: &SourceSpec) -> bool {
    source.kind != SourceKind::External
}
