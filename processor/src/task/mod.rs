//! A task: a sub-topology on one partition number of its source topics.
//!
//! It holds a stage with its state, and what the stage does not know: how far event time has come, what the upstream tasks
//! have said, whether the input of a bounded run is over. Records and clock come in by method calls, all output goes to an
//! [`Output`]; nothing here waits.
//!
//! # Transactions
//! Everything between two calls of [`Task::committed`] or [`Task::rolled_back`] is one transaction: `process` and `tick` in
//! any number, then `before_commit` once, then one of the two. After `rolled_back` the task is as it was at the last commit,
//! and goes on from the offsets of that commit. An error from `process` leaves the task in the middle: roll back, or drop it.
//!
//! # The end of a bounded run
//! A source task is told its end by [`Task::end_of_input`]; its marks carry that on. A task behind a shuffle is told by
//! [`Task::expect_ends`] what to wait for, and ends when each upstream partition has ended there or later. Then it closes
//! every open window: its watermark advances to the end of the last one, no further, so that a later run with newer data
//! goes on from there.

mod progress_log;
mod sources;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use kafka_wire::cluster::TopicPartition;
use kafka_wire::record::{RawHeaders, Record, Records};
use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use self::progress_log::ProgressLog;
pub use self::sources::SourcePartitions;
use self::sources::Sources;
use crate::error::{Origin, ProcessError};
use crate::operator::{Context, Control, Counters, Input, Stage, StateSizes, Undecodable, Visit};
use crate::output::{OutRecord, Output, Route, SinkId, StoreId};
use crate::state::ChangelogKey;
use crate::topology::{SinkKind, SourceKind, SourceSpec, SubTopologyId, Topology};
use crate::watermark::{IdleAt, InputKind, Mark, NO_WATERMARK, TaskTime};

/// Names a task: all workers of a job agree on it, over restarts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// What the task runs.
    pub sub_topology: SubTopologyId,
    /// The partition that it reads of each of its source topics, and that it has of each of its changelogs.
    pub partition: PartitionId,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.sub_topology.0, self.partition)
    }
}

/// A sub-topology on one partition number. See the module for how it is driven.
pub struct Task {
    id: TaskId,
    stage: Box<dyn Stage>,
    inputs: Vec<TopicPartition>,
    sources: Sources,
    /// Tasks of the sub-topology: what marks say as the count of upstream tasks.
    task_count: i32,
    is_internal: bool,
    undecodable: Undecodable,
    shuffle: Option<Shuffle>,
    progress_log: Option<ProgressLog>,
    stores: Vec<(StoreId, String)>,
    expected_ends: Option<Vec<Offset>>,
    is_resumed: bool,
    is_touched: bool,
    /// Whether the open transaction has taken records.
    has_processed: bool,
    /// The end of the input, told in a transaction that was rolled back, if no record lies before it: to be told again.
    end_again: Option<Offset>,
    /// Of the batch that is being processed.
    max_timestamp: Option<TimestampMs>,
    state: EventTime,
    /// `state` at the last commit.
    committed: EventTime,
}

/// Where marks go.
#[derive(Clone, Copy)]
struct Shuffle {
    sink: SinkId,
    partitions: i32,
}

/// What a rollback takes back, besides the stage.
#[derive(Clone)]
struct EventTime {
    time: TaskTime,
    /// The greatest timestamp seen: that of marks and of progress, which must not lie in the future.
    seen: TimestampMs,
    /// The input is over; the end offset that marks carry on.
    ended: Option<Offset>,
    /// The last mark written.
    sent: Option<Mark>,
    counters: Counters,
}

/// How a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// How far event time has come; [`NO_WATERMARK`] while that is not known.
    pub watermark: TimestampMs,
    /// Whether the task holds nobody back: no record for a while, or the end of its input.
    pub is_idle: bool,
    /// Records taken, late and left out, written: since the start of the task, without what was rolled back.
    pub counters: Counters,
    /// Windows that are open.
    pub open_windows: usize,
    /// Entries in all stores.
    pub store_entries: usize,
}

impl Task {
    /// A task without state. `partition_counts` are those of [`SubTopology::sources`], in that order: the task reads each
    /// source that has its partition.
    ///
    /// # Panics
    /// When the topology has no such sub-topology.
    #[must_use]
    pub fn new(topology: &Topology, id: TaskId, partition_counts: &[i32]) -> Self {
        let sub_topology = &topology.sub_topologies()[id.sub_topology.0];
        let [source] = sub_topology.sources() else { panic!("a sub-topology has one source") };
        let inputs = vec![TopicPartition::new(source.topic.as_str(), id.partition)];
        let kind = |source: &SourceSpec| match source.kind {
            SourceKind::External => InputKind::Source(source.watermark),
            SourceKind::Repartition { .. } => InputKind::Repartition,
        };
        let state = EventTime {
            time: TaskTime::new(sub_topology.sources().iter().map(kind)),
            seen: TimestampMs(0),
            ended: None,
            sent: None,
            counters: Counters::default(),
        };
        let store = |id: &StoreId| (*id, topology.stores()[id.0].name.clone());
        let changelog = sub_topology.stores().first().map(|store| topology.stores()[store.0].changelog);
        Self {
            stage: sub_topology.stage(),
            id,
            sources: Sources::new(topology, id.sub_topology, &inputs),
            inputs,
            task_count: partition_counts.iter().copied().max().unwrap_or(0),
            is_internal: source.kind != SourceKind::External,
            undecodable: topology.undecodable(),
            shuffle: sub_topology.shuffles().first().and_then(|sink| shuffle(topology, *sink)),
            progress_log: changelog.map(ProgressLog::new),
            stores: sub_topology.stores().iter().map(store).collect(),
            expected_ends: None,
            is_resumed: false,
            is_touched: false,
            has_processed: false,
            end_again: None,
            max_timestamp: None,
            committed: state.clone(),
            state,
        }
    }

    /// Takes the records of one batch of an input, from `position` on: the next offset to be processed. `input` is an index
    /// of [`Task::inputs`].
    ///
    /// # Errors
    /// When the job has to stop. Nothing of the open transaction may then be committed.
    pub fn process(
        &mut self,
        input: usize,
        mut records: Records<'_>,
        position: Offset,
        now: Moment,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        self.resume(output)?;
        self.is_touched = true;
        self.has_processed = true;
        self.end_again = None;
        let mut position = position;
        while let Some(record) = self.run(input, &mut records, position, output)? {
            position = Offset(record.offset + 1);
            self.take_mark(input, &record)?;
        }
        if !self.is_internal {
            // More input than the end that was given: it was not the end.
            self.state.ended = None;
            if let Some(max_timestamp) = self.max_timestamp.take() {
                self.state.time.observe(input, max_timestamp, now);
            }
        }
        self.advance(output)?;
        if self.is_internal { self.check_end(output) } else { Ok(()) }
    }

    /// Everything of an input before `next` has been processed: also where no record lies, at markers and at gaps. To be told
    /// before the first record, and each time that the position has moved.
    pub fn set_position(&mut self, input: usize, next: Offset) {
        self.state.time.set_position(input, next);
    }

    /// The sources whose ends have to be looked up before event time can go on, see [`Task::settle`]. Empty while a look
    /// would change nothing.
    #[must_use]
    pub fn doubts(&self) -> Vec<SourcePartitions> {
        let mut sources = BTreeSet::new();
        for contributor in self.state.time.doubts() {
            let (own, above) = self.sources.of(contributor);
            sources.extend(own.into_iter().chain(above));
        }
        sources.into_iter().collect()
    }

    /// The ends of the sources have been looked up, after everything that the task has been given so far. `end` is the sum of
    /// the end offsets of all partitions meant, uncommitted records included, and no further than a bounded run reads; none
    /// when they could not be looked up.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn settle(
        &mut self,
        now: Moment,
        end: &dyn Fn(&SourcePartitions) -> Option<Offset>,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        self.resume(output)?;
        let sum = |sources: Vec<SourcePartitions>| {
            sources.iter().try_fold(0_i64, |sum, source| Some(sum.saturating_add(end(source)?.0)))
        };
        let mut time = self.state.time.clone();
        let has_moved = time.settle(now, |contributor, idle| {
            let (own, above) = self.sources.of(contributor);
            sum(own) == Some(idle.own) && sum(above) == Some(idle.above)
        });
        self.state.time = time;
        if has_moved { self.watermark_moved(output) } else { Ok(()) }
    }

    /// Takes the time: a source without records falls idle, and a task whose input ended earlier finds that out.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn tick(&mut self, now: Moment, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.resume(output)?;
        if self.is_internal {
            self.state.time.tick(now);
            return self.check_end(output);
        }
        self.state.time.tick(now);
        self.end_again.take().map_or(Ok(()), |end| self.end_of_input(0, end, output))
    }

    /// When [`Task::tick`] may next change something; a moment that has passed means now.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        if self.end_again.is_some() || self.is_end_due() {
            return Some(Moment::ZERO);
        }
        self.state.time.next_timeout()
    }

    /// Everything below `end_offset` of an input has been processed, and this run reads no further of it. Said twice, it
    /// counts once.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn end_of_input(
        &mut self,
        input: usize,
        end_offset: Offset,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        debug_assert!(input == 0 && !self.is_internal, "the end of a repartition topic is known by its marks");
        self.resume(output)?;
        if self.state.ended.replace(end_offset) == Some(end_offset) {
            return Ok(());
        }
        self.is_touched = true;
        self.close_all(output)
    }

    /// In a bounded run, what the task waits for on an input behind a shuffle: the end of each upstream task, by partition,
    /// see [`Topology::expected_ends`]. Have it followed by a [`Task::tick`]: the marks may have come before.
    pub fn expect_ends(&mut self, input: usize, ends: Vec<Offset>) {
        debug_assert!(input == 0 && self.is_internal, "an input of the user's is told its end");
        self.expected_ends = Some(ends);
        // The end of an earlier run is not that of this one; if it is, the next tick finds out.
        self.state.ended = None;
        self.committed.ended = None;
    }

    /// Puts out what is due at a commit: changed results, changelogs, marks. The last output of the transaction.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub fn before_commit(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.resume(output)?;
        self.control(&mut Control::BeforeCommit, output)?;
        self.write_marks(output);
        if let Some(log) = &mut self.progress_log {
            let place = (self.id.partition, self.state.seen);
            log.write(self.state.time.watermark(), place, output);
        }
        Ok(())
    }

    /// The transaction is committed.
    ///
    /// # Panics
    /// Never: no operator fails here.
    pub fn committed(&mut self) {
        self.tell(&mut Control::Committed);
        self.committed.clone_from(&self.state);
        if let Some(log) = &mut self.progress_log {
            log.committed();
        }
        self.is_touched = false;
        self.has_processed = false;
    }

    /// The transaction is aborted: everything is as it was at the last commit.
    pub fn rolled_back(&mut self) {
        let is_at_end = !self.is_internal && !self.has_processed;
        self.end_again = self.end_again.or(self.state.ended.filter(|_| is_at_end && self.committed.ended.is_none()));
        self.state.clone_from(&self.committed);
        self.tell(&mut Control::RolledBack);
        if let Some(log) = &mut self.progress_log {
            log.rolled_back();
        }
        self.is_touched = false;
        self.has_processed = false;
    }

    /// Takes one record of the changelog of `store`, in the order of the log. Before everything else.
    ///
    /// # Errors
    /// [`ProcessError::BadChangelog`]: the changelog is not of this job, or of a later version.
    pub fn restore(&mut self, store: StoreId, key: &[u8], value: Option<&[u8]>) -> Result<(), ProcessError> {
        debug_assert!(!self.is_resumed, "restored before the first record");
        match ChangelogKey::decode(key).ok_or_else(|| self.bad_changelog(store))? {
            ChangelogKey::Entry { start, key } => {
                self.control(&mut Control::Restore { store, start, key, value }, &mut NoOutput)
            }
            ChangelogKey::Progress { upstream } => {
                let Some(value) = value else { return Ok(()) };
                let mark = Mark::decode(value).ok_or_else(|| self.bad_changelog(store))?;
                self.restore_progress(upstream, mark);
                Ok(())
            }
        }
    }

    /// Whether the input of a bounded run is over, and all that follows from it is committed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.ended.is_some() && !self.has_uncommitted()
    }

    /// Whether a commit has anything to make durable: records taken, results or marks to write.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.is_touched || self.shuffle.is_some() && self.due_mark().is_some()
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> TaskId {
        self.id
    }

    /// What it reads: each source topic of its sub-topology that has the task's partition.
    #[must_use]
    pub fn inputs(&self) -> &[TopicPartition] {
        &self.inputs
    }

    /// Records taken, late and left out, written: as in [`Task::status`].
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.state.counters
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&mut self) -> TaskStatus {
        let mut sizes = StateSizes::default();
        self.tell(&mut Control::Sizes(&mut sizes));
        TaskStatus {
            watermark: self.state.time.watermark(),
            is_idle: self.idle_at().is_some(),
            counters: self.state.counters,
            open_windows: sizes.open_windows,
            store_entries: sizes.store_entries,
        }
    }

    /// Shows each entry of a store: window, key, and value by the store's serde. Uncommitted changes are in it.
    ///
    /// # Errors
    /// [`ProcessError::Encode`] when a value cannot be written.
    pub fn entries(&mut self, store: StoreId, visit: &mut Visit<'_>) -> Result<(), ProcessError> {
        self.control(&mut Control::Entries { store, visit }, &mut NoOutput)
    }
}

impl Task {
    /// Runs the stage to the end of the records, or to the next mark.
    fn run<'r>(
        &mut self,
        input: usize,
        records: &mut Records<'r>,
        position: Offset,
        output: &mut dyn Output,
    ) -> Result<Option<Record<'r>>, ProcessError> {
        let input = Input {
            topic: &self.inputs[input].topic,
            partition: self.id.partition,
            position,
            is_internal: self.is_internal,
            undecodable: self.undecodable,
        };
        let mut context = context(self.id.partition, &self.state, output);
        let result = self.stage.run(records, &input, &mut context);
        let (counters, max_timestamp) = (context.counters, context.max_timestamp);
        self.state.counters = counters;
        self.max_timestamp = self.max_timestamp.max(max_timestamp);
        self.state.seen = self.state.seen.max(max_timestamp.unwrap_or(self.state.seen));
        result
    }

    fn take_mark(&mut self, input: usize, record: &Record<'_>) -> Result<(), ProcessError> {
        let kept = record.value.and_then(Mark::decode).and_then(|mark| self.state.time.hear(input, mark));
        let kept = kept.ok_or_else(|| ProcessError::BadMark { origin: self.origin(input, Offset(record.offset)) })?;
        if let Some(log) = &mut self.progress_log {
            log.heard(kept);
        }
        Ok(())
    }

    /// Behind a shuffle: has every upstream partition ended?
    fn check_end(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        if self.is_end_due() {
            self.is_touched = true;
            let ends = self.expected_ends.iter().flatten();
            self.state.ended = Some(Offset(ends.fold(0, |sum, end| end.0.saturating_add(sum))));
            return self.close_all(output);
        }
        if !self.has_heard_all_ends() {
            self.state.ended = None;
        }
        Ok(())
    }

    /// Every upstream partition has ended, and nothing has been made of it: the marks came before a restart or a rollback.
    fn is_end_due(&self) -> bool {
        self.state.ended.is_none() && self.has_heard_all_ends()
    }

    fn has_heard_all_ends(&self) -> bool {
        let progress = self.state.time.progress(0);
        self.expected_ends.as_ref().zip(progress).is_some_and(|(expected, progress)| progress.has_ended(expected))
    }

    /// Advances to the end of the last open window, as often as closing one opens another further down the stage.
    fn close_all(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        loop {
            let mut last = None;
            self.control(&mut Control::LastWindowEnd(&mut last), output)?;
            match last {
                Some(end) if self.state.time.advance_to(TimestampMs(end)) => self.watermark_moved(output)?,
                _ => return Ok(()),
            }
        }
    }

    fn advance(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        if self.state.time.advance() { self.watermark_moved(output) } else { Ok(()) }
    }

    fn watermark_moved(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        self.is_touched = true;
        self.control(&mut Control::Watermark, output)
    }

    /// Tells the operators the watermark that was restored, before the first record: what is late stays late.
    fn resume(&mut self, output: &mut dyn Output) -> Result<(), ProcessError> {
        if self.is_resumed {
            return Ok(());
        }
        self.is_resumed = true;
        self.control(&mut Control::Watermark, output)
    }

    fn restore_progress(&mut self, upstream: PartitionId, mark: Mark) {
        if upstream == ChangelogKey::OWN {
            self.state.time.restore(mark.watermark);
        } else {
            self.state.time.hear(0, mark);
            self.state.time.advance();
        }
        self.committed.clone_from(&self.state);
    }

    fn write_marks(&mut self, output: &mut dyn Output) {
        let Some(Shuffle { sink, partitions }) = self.shuffle else { return };
        let Some(mark) = self.due_mark() else { return };
        let value = mark.encode();
        for partition in 0..partitions {
            output.emit(OutRecord {
                sink,
                route: Route::Partition(PartitionId(partition)),
                timestamp: self.state.seen,
                key: None,
                value: Some(&value),
                headers: RawHeaders::EMPTY,
            });
        }
        self.state.sent = Some(mark);
        self.is_touched = true;
    }

    /// The mark to write now, if it says anything that the last one did not.
    fn due_mark(&self) -> Option<Mark> {
        let mark = Mark {
            upstream: self.id.partition,
            upstream_count: self.task_count,
            watermark: self.state.time.watermark(),
            idle: self.idle_at(),
            ended: self.state.ended,
        };
        let says_something = mark.watermark > NO_WATERMARK || mark.idle.is_some() || mark.ended.is_some();
        (says_something && self.state.sent != Some(mark)).then_some(mark)
    }

    /// Where the sources ended, when the task holds nobody back: no record for a while, or the end of its input.
    fn idle_at(&self) -> Option<IdleAt> {
        let time = &self.state.time;
        time.idle_at().or_else(|| self.state.ended.is_some().then(|| time.position()))
    }

    fn control(&mut self, control: &mut Control<'_>, output: &mut dyn Output) -> Result<(), ProcessError> {
        let mut context = context(self.id.partition, &self.state, output);
        let result = self.stage.control(control, &mut context);
        self.state.counters = context.counters;
        result
    }

    /// A control in response to which no operator puts anything out, or fails.
    fn tell(&mut self, control: &mut Control<'_>) {
        self.control(control, &mut NoOutput).expect("only what decodes or encodes can fail");
    }

    fn origin(&self, input: usize, offset: Offset) -> Origin {
        let TopicPartition { topic, partition } = &self.inputs[input];
        Origin { topic: topic.to_string(), partition: *partition, offset }
    }

    fn bad_changelog(&self, store: StoreId) -> ProcessError {
        let name = self.stores.iter().find(|(id, _)| *id == store).map_or_else(String::new, |(_, name)| name.clone());
        ProcessError::BadChangelog { store: name, cause: None }
    }
}

fn context<'a>(partition: PartitionId, state: &EventTime, output: &'a mut dyn Output) -> Context<'a> {
    Context { output, partition, watermark: state.time.watermark(), max_timestamp: None, counters: state.counters }
}

fn shuffle(topology: &Topology, sink: SinkId) -> Option<Shuffle> {
    match topology.sinks()[sink.0].kind {
        SinkKind::Repartition { partitions } => Some(Shuffle { sink, partitions: partitions.0 }),
        SinkKind::External | SinkKind::Changelog { .. } => None,
    }
}

/// For moments at which there is nothing to put out.
struct NoOutput;

impl Output for NoOutput {
    fn emit(&mut self, record: OutRecord<'_>) {
        debug_assert!(false, "put out at the wrong time: {record:?}");
    }
}
