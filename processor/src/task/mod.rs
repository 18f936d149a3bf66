//! A task: a sub-topology on one partition number of its source topics.
//!
//! It holds a stage, the stores of its operators, and the state that belongs to neither: the event time of each input,
//! the marks of the upstream tasks, the end of a bounded run's input. Records and time come in by method calls,
//! and all output goes to an [`Output`]; nothing here waits.
//!
//! # Order
//! The records of an input are processed in their order. Between inputs, the owner decides by the order in which it
//! calls [`Task::process`]; [`Task::orders_inputs`] says whether a step cares for it.
//!
//! # Transactions
//! Everything between two calls of [`Task::committed`] or [`Task::rolled_back`] is one transaction:
//! any number of `process` and `tick`, then `before_commit` once, then one of the two. After `rolled_back` the task is
//! as it was at the last commit, and goes on from the offsets of that commit. An error of `process` leaves the task in
//! an undefined state: roll back, or drop it. After an error for which [`Task::take_retry`] is true, the next attempt
//! leaves out what has failed.

mod calls;
mod changelogs;
mod clocks;
mod ends;
mod failures;
mod marks;
mod progress_log;
mod restore;
mod sources;
mod status;
mod waiting;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::record::{Record, Records};
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, TimestampMs};

use self::changelogs::Changelogs;
use self::failures::Warnings;
pub use self::marks::write_marks;
pub use self::sources::SourcePartitions;
use self::sources::Sources;
pub use self::status::{HeldBack, Holder, TaskId, TaskStatus};
use crate::error::{Origin, ProcessError};
use crate::operator::{Calls, Context, Counters, Failures, Joints, Place, Stage, catch};
use crate::output::{Output, SinkId, StoreId};
use crate::state::{AT_ONCE, Clock, Globals, Stores, Visit};
use crate::topology::{SinkKind, SourceKind, SourceSpec, Topology};
use crate::watermark::{InputKind, Mark, NO_WATERMARK, TaskTime, decode_marks};

/// A sub-topology on one partition number. The module describes how it is driven.
pub struct Task {
    id: TaskId,
    stage: Stage,
    stores: Stores,
    changelogs: Changelogs,
    inputs: Vec<TopicPartition>,
    sources: Sources,
    /// Specifications of the inputs, by index.
    specs: Vec<InputSpec>,
    /// Number of tasks of the sub-topology, which marks state as the count of upstream tasks.
    task_count: i32,
    failures: Failures,
    warnings: Warnings,
    /// Whether the transaction has to be done again without what has failed.
    is_retrying: bool,
    /// The names of the steps, by their numbers.
    names: Arc<Vec<String>>,
    dead_letters: Option<SinkId>,
    shuffles: Vec<Shuffle>,
    /// The time of day at the start of the owner's clock.
    wall_at_zero: TimestampMs,
    /// The time that the owner last told.
    now: Moment,
    is_resumed: bool,
    is_touched: bool,
    /// The calls to the outside of the open transaction.
    calls: Calls,
    /// Whether steps behind calls to the outside have not been told the last watermark.
    is_told_in_part: bool,
    /// Whether all inputs have ended, and windows are closed when no call is outstanding.
    ends_later: bool,
    state: RollbackState,
    /// The state at the last commit.
    committed: RollbackState,
}

/// The facts about an input, besides its event time.
struct InputSpec {
    is_internal: bool,
    /// The heads of the stage that read it.
    heads: Vec<usize>,
    expected_ends: Option<Vec<Offset>>,
    /// Whether the open transaction has taken records.
    has_processed: bool,
    /// The end of the input, if it was told in a transaction that was rolled back and no record lies before it:
    /// it has to be told again.
    end_again: Option<Offset>,
}

/// The part of a task's state, besides the stores, that a rollback restores.
#[derive(Clone)]
struct RollbackState {
    time: TaskTime,
    /// The watermark that the operators know. It stays behind that of `time` while results of calls to the outside are
    /// awaited, and is the same at a commit.
    told: TimestampMs,
    /// The greatest timestamp seen. Marks and changelog records get it, because their timestamps must
    /// not lie in the future.
    seen: TimestampMs,
    /// The end offset of each input that has ended, which marks pass on.
    ended: Vec<Option<Offset>>,
    /// Whether the results of a commit at the end of the input have opened something, which is to be closed as well.
    ends_again: bool,
    /// Whether the timers that timers have set at the end of the input have had their turn.
    has_echoed: bool,
    /// The last mark written.
    sent: Option<Mark>,
    counters: Counters,
}

impl RollbackState {
    /// The sum of the end offsets, if every input has ended.
    fn ended(&self) -> Option<Offset> {
        let sum = self.ended.iter().try_fold(0_i64, |sum, ended| Some(sum.saturating_add((*ended)?.0)));
        sum.filter(|_| !self.ended.is_empty()).map(Offset)
    }
}

/// The repartition topic that marks go to.
#[derive(Clone, Copy)]
struct Shuffle {
    sink: SinkId,
    partitions: i32,
}

impl Task {
    /// Makes a task without state. `partition_counts` are those of
    /// [`SubTopology::sources`](crate::topology::SubTopology::sources), in that order: the task reads each source
    /// that has its partition.
    ///
    /// # Panics
    /// If the topology has no such sub-topology.
    #[must_use]
    pub fn new(topology: &Topology, id: TaskId, partition_counts: &[i32]) -> Self {
        let sub_topology = &topology.sub_topologies()[id.sub_topology.0];
        let sources = sub_topology.sources().iter().zip(partition_counts).enumerate();
        let (mut inputs, mut specs, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (source, _)) in sources.filter(|(_, (_, count))| id.partition.0 < **count) {
            let heads = sub_topology.heads().iter().enumerate().filter(|(_, head)| head.inputs.contains(&index));
            let is_internal = source.kind != SourceKind::External;
            let heads = heads.map(|(head, _)| head).collect();
            inputs.push(TopicPartition::new(source.topic.as_str(), id.partition));
            specs.push(InputSpec { is_internal, heads, expected_ends: None, has_processed: false, end_again: None });
            read.push(source);
        }
        let mut stores = Stores::default();
        for store in sub_topology.stores() {
            if let Some(made) = topology.stores()[store.0].make() {
                stores.insert(*store, made);
            }
        }
        let kind = |source: &&SourceSpec| match source.kind {
            SourceKind::External => InputKind::Source(source.watermark),
            SourceKind::Repartition { .. } => InputKind::Repartition,
        };
        let state = RollbackState {
            time: TaskTime::new(read.iter().map(kind)),
            told: NO_WATERMARK,
            seen: TimestampMs(0),
            ended: vec![None; inputs.len()],
            ends_again: false,
            has_echoed: false,
            sent: None,
            counters: Counters::default(),
        };
        Self {
            id,
            stage: sub_topology.stage(),
            stores,
            changelogs: Changelogs::new(topology, sub_topology),
            sources: Sources::new(topology, &read, &inputs),
            inputs,
            specs,
            task_count: partition_counts.iter().copied().max().unwrap_or(0),
            failures: Failures::new(topology.policies(), topology.dead_letters().is_some()),
            warnings: Warnings::default(),
            is_retrying: false,
            names: sub_topology.names(),
            dead_letters: topology.dead_letters(),
            shuffles: sub_topology.shuffles().iter().filter_map(|sink| shuffle(topology, *sink)).collect(),
            wall_at_zero: TimestampMs(0),
            now: Moment::ZERO,
            is_resumed: false,
            is_touched: false,
            calls: Calls::new(Arc::default()),
            is_told_in_part: false,
            ends_later: false,
            committed: state.clone(),
            state,
        }
    }

    /// Whether the task has several inputs and a step that cares for the order between them.
    #[must_use]
    pub fn orders_inputs(&self) -> bool {
        self.inputs.len() > 1 && self.stage.orders_inputs()
    }

    /// The event time of a record that waits for its turn: the least one that the streams of its input see.
    pub fn event_time(&mut self, input: usize, record: &Record<'_>) -> TimestampMs {
        let written = TimestampMs(record.timestamp);
        let Self { stage, specs, .. } = self;
        // A panic comes again, and is told then, when the record is processed.
        let of_head = |head: &usize| catch(|| stage.event_time(*head, record)).unwrap_or(written);
        specs[input].heads.iter().map(of_head).min().unwrap_or(written)
    }

    /// Sets the time of day at the start of the owner's clock; by default the two are the same. Call it again when
    /// the time of day has jumped.
    pub const fn set_wall_clock(&mut self, at_zero: TimestampMs) {
        self.wall_at_zero = at_zero;
    }

    /// Gives the task the global tables of its worker. Call it before the first record.
    pub fn set_globals(&mut self, globals: &Globals) {
        self.stores.set_globals(globals);
    }

    /// Processes the records of one batch of an input, from `position` on, which is the next offset to be processed.
    /// `input` is an index of [`Task::inputs`].
    ///
    /// # Errors
    /// If the job has to stop. Nothing of the open transaction may then be committed.
    pub fn process(
        &mut self,
        input: usize,
        mut records: Records<'_>,
        position: Offset,
        now: Moment,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        self.now = now;
        self.resume(output)?;
        self.is_touched = true;
        let spec = &mut self.specs[input];
        spec.has_processed = true;
        spec.end_again = None;
        self.state.has_echoed = false;
        if !spec.is_internal {
            return self.process_external(input, &records, position, output);
        }
        let mut position = position;
        while let Some(record) = self.run((input, 0), &mut records, position, output)?.0 {
            position = Offset(record.offset + 1);
            self.take_marks(input, &record)?;
        }
        self.advance(output)?;
        self.check_end(input, output)
    }

    /// Tells that everything of an input before `next` has been processed, markers and gaps included.
    /// Call it before the first record, and each time that the position has moved.
    pub fn set_position(&mut self, input: usize, next: Offset) {
        self.state.time.set_position(input, next);
    }

    /// The watermark of an input that is a source partition; `None` for any other input, and while it is not known.
    #[must_use]
    pub fn source_watermark(&self, input: usize) -> Option<TimestampMs> {
        self.state.time.source_watermark(input)
    }

    /// Restores the watermark of a source from an earlier run. Call it before the first record.
    pub fn restore_source_watermark(&mut self, input: usize, watermark: TimestampMs) {
        debug_assert!(!self.is_resumed, "restored before the first record");
        self.state.time.restore_source(input, watermark);
        self.state.time.advance();
        self.committed.clone_from(&self.state);
    }

    /// The sources whose ends have to be looked up before event time can advance, see [`Task::settle`].
    /// Empty while a look-up would change nothing.
    #[must_use]
    pub fn doubts(&self) -> Vec<SourcePartitions> {
        let mut sources = BTreeSet::new();
        for contributor in self.state.time.doubts() {
            let (own, above) = self.sources.of(contributor);
            sources.extend(own.into_iter().chain(above));
        }
        sources.into_iter().collect()
    }

    /// Whether event time waits for a look-up of the sources' ends, see [`Task::doubts`].
    #[must_use]
    pub fn has_doubts(&self) -> bool {
        self.state.time.has_doubts()
    }

    /// Takes the ends of the sources, looked up after everything that the task has been given so far. `end` is the sum
    /// of the end offsets of all requested partitions, uncommitted records included, limited to the end of a bounded
    /// run; `None` if they could not be looked up.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn settle(
        &mut self,
        now: Moment,
        end: &dyn Fn(&SourcePartitions) -> Option<Offset>,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        self.now = now;
        self.resume(output)?;
        let sum = |sources: Vec<SourcePartitions>| {
            sources.iter().try_fold(0_i64, |sum, source| Some(sum.saturating_add(end(source)?.0)))
        };
        let mut time = self.state.time.clone();
        time.settle(now, |contributor, idle| {
            let (own, above) = self.sources.of(contributor);
            sum(own) == Some(idle.own) && sum(above) == Some(idle.above)
        });
        self.state.time = time;
        self.tell_watermark(output)
    }

    /// Lets time pass: a source without records becomes idle, a timer is due, and a task whose input ended
    /// earlier finds that out.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn tick(&mut self, now: Moment, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.now = now;
        self.resume(output)?;
        self.state.time.tick(now);
        // A rollback does not start these clocks anew: else a partition without records might never become idle.
        self.committed.time.start(now);
        self.advance(output)?;
        for input in 0..self.inputs.len() {
            if self.specs[input].is_internal {
                self.check_end(input, output)?;
            } else if let Some(end) = self.specs[input].end_again.take() {
                self.end_of_input(input, end, output)?;
            }
        }
        if std::mem::take(&mut self.state.ends_again) && self.state.ended().is_some() {
            self.end(output)?;
        }
        if self.is_wall_timer_due(now) {
            self.is_touched = true;
            self.forget(Clock::Wall);
            self.signal(|stage, context| stage.tick(context), output)?;
            self.tell_watermark(output)?;
        }
        Ok(())
    }

    /// The time at which [`Task::tick`] may next change something; a past moment means at once.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let has_end = |input: usize| self.specs[input].end_again.is_some() || self.is_end_due(input);
        if (0..self.inputs.len()).any(has_end) || self.has_left_over() {
            return Some(Moment::ZERO);
        }
        let timer = self.stores.iter().filter_map(|(_, store)| store.next_wall_due()).min();
        self.state.time.next_timeout().into_iter().chain(timer.map(|at| self.moment_of(at))).min()
    }

    /// Writes everything that is due at a commit: changed results and changelogs. Only marks come after that,
    /// see [`write_marks`].
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn before_commit(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.resume(output)?;
        self.signal(|stage, context| stage.before_commit(context), output)?;
        // Not now: what closes may put out results that are due at a commit, too.
        self.state.ends_again = self.state.ended().is_some() && self.last_due() > Some(self.state.time.watermark());
        // By event time only here: a timer that was due earlier finds what was there then, and a change comes out
        // though its entry goes in the same transaction.
        [Clock::Event, Clock::Wall].into_iter().for_each(|clock| self.forget(clock));
        // A commit that is due for other reasons may be the one at which an output's state changes.
        self.is_touched |= self.stores.iter().any(|(_, store)| store.is_dirty());
        if self.is_touched {
            let place = (self.id.partition, self.state.seen);
            self.changelogs.write(&self.stores, (&self.state.time, &self.inputs), place, output)?;
        }
        Ok(())
    }

    /// Notes that the transaction is committed.
    pub fn committed(&mut self) {
        debug_assert_eq!(self.calls.outstanding, 0, "a commit waits for calls");
        self.stores.iter_mut().filter(|store| store.is_dirty()).for_each(|store| store.commit());
        self.changelogs.committed();
        self.failures.committed();
        self.stage.committed(&mut self.stores);
        self.committed.clone_from(&self.state);
        self.is_touched = false;
        self.specs.iter_mut().for_each(|spec| spec.has_processed = false);
    }

    /// Rolls the task back to the last commit, because the transaction is aborted.
    pub fn rolled_back(&mut self) {
        for (input, spec) in self.specs.iter_mut().enumerate() {
            let is_at_end = !spec.is_internal && !spec.has_processed && self.committed.ended[input].is_none();
            spec.end_again = spec.end_again.or(self.state.ended[input].filter(|_| is_at_end));
            spec.has_processed = false;
        }
        self.stores.iter_mut().filter(|store| store.is_dirty()).for_each(|store| store.roll_back());
        self.changelogs.rolled_back();
        self.failures.rolled_back();
        self.stage.forget_calls();
        self.calls.clear();
        (self.is_told_in_part, self.ends_later) = (false, false);
        self.state.clone_from(&self.committed);
        self.state.told = self.state.time.watermark();
        // The stores may know less than at the take-over, when they were told the restored watermark.
        self.is_resumed = false;
        self.is_touched = false;
    }

    /// Whether the input of a bounded run has ended, and all its results are committed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.ended().is_some() && !self.has_left_over() && !self.has_uncommitted() && !self.has_work()
    }

    /// Whether the results of a commit have left something to do at once, in the next transaction: they have opened a
    /// window though the input has ended, or have set a timer whose time has come.
    #[must_use]
    pub fn has_left_over(&self) -> bool {
        self.state.ends_again || (self.calls.outstanding == 0 && self.is_event_timer_due())
    }

    /// Tells the outputs outside of Kafka that the next commit is the last. Returns whether one has something to make
    /// final with it.
    ///
    /// # Errors
    /// As [`Task::before_commit`].
    pub fn end_outputs(&mut self, output: &mut dyn Output) -> Result<bool, ProcessError> {
        self.signal(|stage, context| stage.run_ended(context), output)?;
        let has_work = self.has_work();
        self.is_touched |= has_work;
        Ok(has_work)
    }

    /// Whether an output outside of Kafka has something to do at once.
    fn has_work(&self) -> bool {
        self.stores.iter().any(|(_, store)| store.next_wall_due() == Some(AT_ONCE))
    }

    /// Whether there is anything to commit: processed records, results or marks to write.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.is_touched || self.has_mark()
    }

    /// Whether the open transaction has changed anything.
    #[must_use]
    pub const fn is_touched(&self) -> bool {
        self.is_touched
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> TaskId {
        self.id
    }

    /// Its inputs: each source topic of its sub-topology that has the task's partition.
    #[must_use]
    pub fn inputs(&self) -> &[TopicPartition] {
        &self.inputs
    }

    /// Numbers of processed, late, left out and written records, as in [`Task::status`].
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.state.counters
    }

    /// Its present status. It costs a call for each store, whatever their size.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        let mut status = TaskStatus {
            watermark: self.state.time.watermark(),
            is_idle: self.idle_at().is_some(),
            counters: self.state.counters,
            open_windows: 0,
            store_entries: 0,
            store_bytes: 0,
        };
        for (_, store) in self.stores.iter() {
            let sizes = store.sizes();
            status.open_windows += sizes.windows;
            status.store_entries += sizes.entries;
            status.store_bytes += sizes.bytes;
        }
        status
    }

    /// Passes each entry of a store to `visit`, or only those of one key: window (all of time if the store has none),
    /// key, and value encoded by the store's serde. Uncommitted changes are included.
    ///
    /// # Errors
    /// [`ProcessError::Encode`] if a value cannot be encoded.
    pub fn entries(&self, store: StoreId, key: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), ProcessError> {
        let Some(found) = self.stores.get(store) else { return Ok(()) };
        let visited = match key {
            Some(key) => found.visit_key(key, visit),
            None => found.visit(visit),
        };
        visited.map_err(|cause| ProcessError::Encode { to: self.changelogs.name(store), cause })
    }

    /// Whether the open transaction has changed nothing in a store.
    #[must_use]
    pub fn is_committed(&self, store: StoreId) -> bool {
        // The restored watermark makes a store dirty, and is nothing to commit.
        !self.is_touched || self.stores.get(store).is_none_or(|store| !store.is_dirty())
    }
}

impl Task {
    /// Passes the batch to each stream that reads the input, one after the other.
    fn process_external(
        &mut self,
        input: usize,
        records: &Records<'_>,
        position: Offset,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        // There is more input than the end that was told: it was not the end.
        self.state.ended[input] = None;
        self.state.time.set_ended(input, false);
        // Streams may extract event time in different ways: the least advanced one counts.
        let mut reached: Option<TimestampMs> = None;
        for head in 0..self.specs[input].heads.len() {
            let (_, of_head) = self.run((input, head), &mut records.clone(), position, output)?;
            reached = reached.into_iter().chain(of_head).min();
        }
        if let Some(reached) = reached {
            self.state.time.observe(input, reached, self.now);
        }
        self.advance(output)
    }

    fn take_marks(&mut self, input: usize, record: &Record<'_>) -> Result<(), ProcessError> {
        let marks = record.value.and_then(decode_marks).filter(|marks| self.state.time.hear(input, marks));
        let TopicPartition { topic, partition } = &self.inputs[input];
        let marks = marks.ok_or_else(|| ProcessError::BadMark {
            origin: Origin { topic: topic.to_string(), partition: *partition, offset: Offset(record.offset) },
        })?;
        self.changelogs.heard(input, &marks);
        Ok(())
    }
}

fn context<'a>(
    place: Place<'a>,
    (now, wall): (Moment, TimestampMs),
    state: &RollbackState,
    (stores, failures, calls): (&'a mut Stores, &'a mut Failures, &'a mut Calls),
    output: &'a mut dyn Output,
) -> Context<'a> {
    let (watermark, counters, joints) = (state.told, state.counters, Joints::default());
    Context {
        output,
        stores,
        calls,
        place,
        watermark,
        reached: watermark.max(state.time.greatest()),
        is_ending: state.ended().is_some(),
        now,
        wall,
        max_timestamp: None,
        counters,
        failures,
        resume_at: place.offset,
        joints,
    }
}

fn shuffle(topology: &Topology, sink: SinkId) -> Option<Shuffle> {
    match topology.sinks()[sink.0].kind {
        SinkKind::Repartition { partitions } => Some(Shuffle { sink, partitions: partitions.0 }),
        SinkKind::External | SinkKind::Changelog { .. } => None,
    }
}
