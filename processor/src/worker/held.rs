//! A task that a worker holds: its life, and the positions of its inputs.

use std::time::Duration;

use kafka_wire::cluster::{Progress, TopicPartition};
use kafka_wire::consumer::ReadToEnd;
use kafka_wire::record::{OwnedRecords, Records};
use kafka_wire::time::Moment;
use kafka_wire::types::Offset;

use super::commit_times::CommitTimes;
use super::end::Fatal;
use super::input::{Input, is_mark};
use super::place::{FoundChangelog, Place, Position, Span};
use super::queue::{Head, Queue, QueuedBatch, Turn, UpTo, turn};
use crate::error::ProcessError;
use crate::output::{Output, StoreId};
use crate::state::AHEAD;
use crate::task::{Task, TaskId};

/// The stages in the life of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is assigned, and its take-over is in progress.
    Created,
    /// Its state is being restored from the changelogs.
    Restoring {
        /// Number of changelog offsets that have been read.
        done: u64,
        /// Number of changelog offsets at the start of the restore.
        end: u64,
    },
    /// It processes records.
    Running,
    /// The group rebalances; the task takes no records until it is known whether it stays.
    Suspended,
    /// The worker is stopping, and commits what it can.
    Closing,
}

/// A task that a worker holds.
pub(super) struct Held {
    pub(super) id: TaskId,
    pub(super) task: Task,
    inputs: Vec<Input>,
    /// For each input, the records that wait for their turn; empty if no step cares for the order between inputs.
    queues: Vec<Queue>,
    restores: Vec<Restore>,
    restored_records: u64,
    pub(super) commits: CommitTimes,
    /// Whether its changelogs are being read, or have been.
    is_restoring: bool,
    /// Whether a worker has committed an offset for any input.
    had_offset: bool,
    /// Whether the task waits until the global tables have been read.
    is_waiting: bool,
    /// The inputs without a committed offset, whose first records may be deleted before the task begins.
    unplaced: Vec<TopicPartition>,
}

/// A changelog that is being read.
struct Restore {
    store: StoreId,
    changelog: TopicPartition,
    reading: ReadToEnd,
    /// Whether it is an input of the task, whose records are rows as they stand.
    is_input: bool,
}

/// The progress of an input.
pub(super) struct InputProgress<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) position: Offset,
    pub(super) lag: Option<i64>,
}

impl Held {
    /// `inputs` are the partitions with their start positions, and whether their topics are the job's own.
    pub(super) fn new(
        id: TaskId,
        mut task: Task,
        inputs: impl Iterator<Item = (TopicPartition, Place, bool)>,
        changelogs: Vec<FoundChangelog>,
        had_offset: bool,
    ) -> Self {
        let mut watermarks = Vec::new();
        let input = |(partition, place, is_internal): (TopicPartition, Place, bool)| {
            let Place { position, watermark, partitions } = place;
            watermarks.push(watermark);
            let (progress, end, has_ended, lag) = (Progress::new(position), None, false, None);
            let (own_end, marked_end) = (None, None);
            Input { partition, progress, partitions, is_internal, end, has_ended, lag, own_end, marked_end }
        };
        let is_to_read = |found: &FoundChangelog| !found.reading.is_done();
        let restore = |found: FoundChangelog| {
            let FoundChangelog { store, partition: changelog, reading, is_input } = found;
            Restore { store, changelog, reading, is_input }
        };
        let inputs: Vec<Input> = inputs.map(input).collect();
        for (index, input) in inputs.iter().enumerate() {
            task.set_position(index, input.position());
            if let Some(watermark) = watermarks[index] {
                task.restore_source_watermark(index, watermark);
            }
        }
        let queued_inputs = if task.orders_inputs() { inputs.len() } else { 0 };
        let queues = (0..queued_inputs).map(|_| Queue::default()).collect();
        let restores = changelogs.into_iter().filter(is_to_read).map(restore).collect();
        let (commits, restored_records, is_restoring, is_waiting) = (CommitTimes::default(), 0, false, true);
        let unplaced = Vec::new();
        Self {
            id,
            task,
            inputs,
            queues,
            restores,
            restored_records,
            commits,
            is_restoring,
            had_offset,
            is_waiting,
            unplaced,
        }
    }

    /// The inputs with their positions.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        self.inputs.iter().map(|input| (&input.partition, input.position()))
    }

    /// The inputs with the places at which they go on.
    pub(super) fn places(&self) -> impl Iterator<Item = (&TopicPartition, Position)> {
        self.inputs.iter().map(|input| (&input.partition, input.place()))
    }

    /// The inputs whose numbers of partitions must not change, with these.
    pub(super) fn fixed_counts(&self) -> impl Iterator<Item = (&TopicPartition, i32)> {
        self.inputs.iter().filter_map(|input| Some((&input.partition, input.partitions?)))
    }

    /// The inputs as a commit tells of them, without those in `gone` of which nothing is uncommitted. The watermark is
    /// that at the position, if it is known for a source partition.
    pub(super) fn places_but(
        &self,
        is_gone: &impl Fn(&TopicPartition) -> bool,
    ) -> impl Iterator<Item = (&TopicPartition, Place)> {
        let is_wanted = |input: &Input| input.has_moved() || !is_gone(&input.partition);
        let inputs = self.inputs.iter().enumerate().filter(move |(_, input)| is_wanted(input));
        inputs.map(|(index, input)| {
            let (position, partitions) = (input.place(), input.partitions);
            (&input.partition, Place { position, watermark: self.task.source_watermark(index), partitions })
        })
    }

    /// The changelogs that are not read to their ends, with their positions.
    pub(super) fn unrestored(&self) -> impl Iterator<Item = (&TopicPartition, Offset)> {
        let is_open = |restore: &&Restore| !restore.reading.is_done();
        self.restores.iter().filter(is_open).map(|restore| (&restore.changelog, restore.reading.position()))
    }

    /// Whether its changelogs have been read to their ends.
    pub(super) fn has_state(&self) -> bool {
        self.restores.iter().all(|restore| restore.reading.is_done())
    }

    /// Whether the task may begin: it has its state, and the global tables have been read.
    pub(super) fn is_restored(&self) -> bool {
        !self.is_waiting && self.has_state()
    }

    /// Notes that the global tables have been read.
    pub(super) const fn release(&mut self) {
        self.is_waiting = false;
    }

    /// Does not let the task begin, though it may have its state.
    pub(super) const fn hold_back(&mut self) {
        self.is_waiting = true;
    }

    /// Sets the inputs without a committed offset, in a task that does not begin at once.
    pub(super) fn set_unplaced(&mut self, inputs: Vec<TopicPartition>) {
        self.unplaced = inputs;
    }

    /// Takes the inputs whose first records have to be looked up again.
    pub(super) fn take_unplaced(&mut self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.unplaced)
    }

    /// Lets a task that has not begun read an input from its present first record on.
    pub(super) fn begin_at(&mut self, input: &TopicPartition, first: Offset) {
        let found = self.inputs.iter_mut().enumerate().find(|(_, known)| known.partition == *input);
        let Some((index, input)) = found.filter(|(_, known)| known.position() < first) else { return };
        input.progress = Progress::new(Position::unchecked(first));
        self.task.set_position(index, first);
    }

    /// Begins to read the changelogs of the task. Returns the task, if they were not being read before.
    pub(super) fn begin_restore(&mut self) -> Option<&Self> {
        let is_new = !std::mem::replace(&mut self.is_restoring, true);
        is_new.then_some(self)
    }

    pub(super) const fn is_restoring(&self) -> bool {
        self.is_restoring
    }

    /// Restores records of a changelog, those from `from` on; returns their number.
    pub(super) fn restore(
        &mut self,
        changelog: &TopicPartition,
        records: Records<'_>,
        from: Offset,
    ) -> Result<u64, Fatal> {
        let Some(restore) = self.restores.iter_mut().find(|restore| restore.changelog == *changelog) else {
            return Ok(0);
        };
        let (mut records, mut ahead, mut count) = (records, Vec::with_capacity(AHEAD), 0);
        loop {
            let mut corrupt = None;
            while ahead.len() < AHEAD && corrupt.is_none() {
                match records.next() {
                    Some(Ok(record)) if record.offset < from.0 => {}
                    Some(Ok(record)) => ahead.push(record),
                    Some(Err(cause)) => corrupt = Some(cause),
                    None => break,
                }
            }
            let is_last = ahead.len() < AHEAD;
            if restore.is_input {
                // The records behind the committed offset are processed as input.
                ahead.retain(|record| restore.reading.has(Offset(record.offset)));
            } else {
                self.task.expect_restored(restore.store, ahead.iter().filter_map(|record| record.key));
            }
            for record in ahead.drain(..) {
                match restore.is_input {
                    true => self.task.restore_row(restore.store, &restore.changelog, &record)?,
                    false => self.task.restore(restore.store, record.key.unwrap_or_default(), record.value)?,
                }
                restore.reading.advance(Offset(record.offset + 1));
                count += 1;
            }
            if let Some(cause) = corrupt {
                let (partition, offset) = (changelog.clone(), restore.reading.position().max(from));
                return Err(Fatal::Corrupt { partition, offset, cause: cause.to_string() });
            }
            if is_last {
                break;
            }
        }
        self.restored_records += count;
        Ok(count)
    }

    /// Notes that the changelog has been read up to this offset. Returns whether that is its end.
    pub(super) fn restored_to(&mut self, changelog: &TopicPartition, next: Offset) -> bool {
        let Some(restore) = self.restores.iter_mut().find(|restore| restore.changelog == *changelog) else {
            return false;
        };
        restore.reading.advance(next);
        restore.reading.is_done()
    }

    /// Numbers of changelog offsets: those that have been read, and all.
    pub(super) fn restore_progress(&self) -> (u64, u64) {
        let progress = self.restores.iter().map(|restore| restore.reading.progress());
        progress.fold((0, 0), |(done, all), (of_one, all_of_one)| (done + of_one, all + all_of_one))
    }

    pub(super) const fn restored_records(&self) -> u64 {
        self.restored_records
    }

    /// An input without a committed offset, if the task has state: its records would be counted again.
    pub(super) fn lacks_offset(&self) -> Option<&TopicPartition> {
        (!self.had_offset && self.restored_records > 0).then(|| &self.inputs[0].partition)
    }

    /// Sets the end of each input, or none. Records that wait are discarded: their inputs are sought.
    pub(super) fn set_ends(&mut self, end_of: impl Fn(&TopicPartition) -> Option<Offset>) {
        self.queues.iter_mut().for_each(Queue::clear);
        for (index, input) in self.inputs.iter_mut().enumerate() {
            input.end = end_of(&input.partition);
            input.has_ended = false;
            self.task.reopen(index);
            self.task.set_position(index, input.reached());
        }
    }

    /// Processes the records of a batch.
    pub(super) fn process(
        &mut self,
        index: usize,
        records: Records<'_>,
        Span { start, end }: Span,
        now: Moment,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        let input = &mut self.inputs[index];
        debug_assert!(start >= input.position(), "each offset is delivered once");
        let (records, next) = input.up_to_end(records, end.offset);
        self.task.process(index, records, start, now, output)?;
        input.move_to(Position { offset: next, ..end });
        self.task.set_position(index, input.position());
        Ok(())
    }

    /// As [`Held::process`], of a batch that the open transaction has written.
    pub(super) fn process_own(
        &mut self,
        index: usize,
        records: Records<'_>,
        span: Span,
        now: Moment,
        output: &mut dyn Output,
    ) -> Result<(), ProcessError> {
        self.process(index, records, span, now, output)?;
        self.inputs[index].own_end = Some(span.end.offset);
        Ok(())
    }

    /// Whether a batch of the open transaction that begins at `start` comes next. One offset before it is the marker of
    /// the last transaction, if that wrote the records before it: the marker lies between these and all that the same
    /// producer writes later.
    pub(super) fn goes_on_at(&self, index: usize, start: Offset) -> bool {
        let input = &self.inputs[index];
        let position = input.position();
        start == position || (input.marked_end == Some(position) && start.0 == position.0 + 1)
    }

    /// Whether a batch that begins at `position` lies behind the end of the input.
    pub(super) fn is_past_end(&self, index: usize, position: Offset) -> bool {
        self.inputs[index].is_past_end(position)
    }

    /// Advances to the end of a fetch, over markers and gaps, but not beyond the end of a bounded run;
    /// if records of the input wait, not before these are processed. Returns whether the end of the run is reached.
    pub(super) fn advance(&mut self, index: usize, next: Position, log_end: Offset) -> bool {
        let input = &mut self.inputs[index];
        match self.queues.get_mut(index) {
            // It will be read again. A queue that a turn has emptied goes on from here.
            Some(queue) if queue.is_stopped() && !queue.is_empty() => return false,
            Some(queue) if !queue.is_empty() => queue.reached = Some((next, log_end)),
            Some(_) | None => {
                let offset = input.end.map_or(next.offset, |end| next.offset.min(end));
                input.move_to(Position { offset, ..next });
                self.task.set_position(index, input.position());
            }
        }
        input.lag = Some((input.end.unwrap_or(log_end).0 - input.position().0).max(0));
        input.is_at_end()
    }

    pub(super) fn lag(&self, index: usize) -> Option<i64> {
        self.inputs[index].lag
    }

    /// Whether an input is at the end of a bounded run and the task has not been told.
    pub(super) fn is_at_end(&self) -> bool {
        self.inputs.iter().any(Input::is_at_end)
    }

    /// Tells the task of each input that has ended; needs an open transaction. Returns those inputs and their ends.
    pub(super) fn end_of_input(
        &mut self,
        output: &mut dyn Output,
    ) -> Result<Vec<(TopicPartition, Offset)>, ProcessError> {
        let mut ended = Vec::new();
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if let Some(end) = input.end.filter(|_| input.is_at_end()) {
                input.has_ended = true;
                self.task.end_of_input(index, end, output)?;
                ended.push((input.partition.clone(), input.position()));
            }
        }
        Ok(ended)
    }

    /// Whether the task has anything to commit, or a look-up of its sources could bring something.
    pub(super) fn has_uncommitted(&self) -> bool {
        self.has_changed() || self.task.has_mark() || self.has_doubts()
    }

    /// Whether the open transaction has changed the task.
    pub(super) fn has_changed(&self) -> bool {
        self.task.is_touched() || self.inputs.iter().any(Input::has_moved)
    }

    /// Whether event time waits for a look-up of the sources' ends.
    pub(super) fn has_doubts(&self) -> bool {
        self.task.has_doubts()
    }

    /// Notes that the transaction is committed, and that this took `took`.
    pub(super) fn committed(&mut self, took: Duration) {
        self.commits.note(took);
        self.task.committed();
        for input in &mut self.inputs {
            input.progress.settle();
            input.marked_end = input.own_end.take();
        }
    }

    /// Goes back to the committed state. Records that wait are discarded: their inputs are sought.
    pub(super) fn roll_back(&mut self) {
        self.queues.iter_mut().for_each(Queue::clear);
        self.task.rolled_back();
        for (index, input) in self.inputs.iter_mut().enumerate() {
            let before = input.position();
            let now = input.progress.rewind().offset;
            (input.own_end, input.marked_end) = (None, None);
            input.lag = input.lag.map(|lag| lag + before.0 - now.0);
            input.has_ended = false;
            self.task.set_position(index, input.reached());
        }
    }

    /// The committed offsets in the job's own topics, up to which records can be deleted.
    pub(super) fn purgeable(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        let is_done = |input: &&Input| input.is_internal && input.progress.settled.offset.0 > 0;
        self.inputs.iter().filter(is_done).map(|input| (input.partition.clone(), input.progress.settled.offset))
    }

    pub(super) fn is_external(&self) -> bool {
        self.inputs.iter().all(|input| !input.is_internal)
    }

    pub(super) fn progress(&self) -> impl Iterator<Item = InputProgress<'_>> {
        self.inputs.iter().map(|input| InputProgress {
            partition: &input.partition,
            position: input.position(),
            lag: input.lag,
        })
    }
}

/// The order between inputs.
impl Held {
    /// Whether records wait in queues for their turn.
    pub(super) const fn orders_inputs(&self) -> bool {
        !self.queues.is_empty()
    }

    /// Queues the records of a batch.
    pub(super) fn enqueue(&mut self, index: usize, records: &Records<'_>, Span { start, end }: Span) {
        let queue = &mut self.queues[index];
        if queue.is_stopped() {
            // It will be read again.
            return;
        }
        let is_first = queue.is_empty();
        let (records, next) = self.inputs[index].up_to_end(records.clone(), end.offset);
        let mut records = OwnedRecords::new(&records);
        records.take_while(|record| record.offset < start.0);
        queue.push(QueuedBatch { records, end: Position { offset: next, ..end } });
        if is_first {
            self.find_head(index);
        }
    }

    /// Stops an input whose queue is full. Returns the offset at which reading stops.
    pub(super) fn stop_if_full(&mut self, index: usize, bytes_max: usize) -> Option<Offset> {
        self.queues.get_mut(index)?.stop_if_full(bytes_max)
    }

    /// Resumes an input whose queue has room again. Returns it and the place at which reading goes on.
    pub(super) fn resume_if_room(&mut self, index: usize, bytes_max: usize) -> Option<(TopicPartition, Position)> {
        let (queue, input) = (&mut self.queues[index], &self.inputs[index]);
        let place = queue.reached.map_or(input.place(), |(next, _)| next);
        let resumes = queue.resume_if_room(bytes_max) && !(queue.is_empty() && input.is_past_end(place.offset));
        resumes.then(|| (input.partition.clone(), place))
    }

    /// The next turn. `log_end` is the end of an input's log, if it is known; an input at the end of its log is waited
    /// for up to `idle_max`, or no input at all if that is `None`.
    pub(super) fn next_turn(
        &mut self,
        now: Moment,
        idle_max: Option<Duration>,
        log_end: &dyn Fn(&TopicPartition) -> Option<Offset>,
    ) -> Turn {
        let heads = self.queues.iter().enumerate().filter_map(|(index, queue)| Some((index, queue.head?)));
        let turn = turn(heads);
        if !matches!(turn, Turn::Run { up_to: UpTo::Record(..) | UpTo::End, .. }) {
            return turn;
        }
        let dry = self.queues.iter_mut().zip(&self.inputs).filter(|(queue, _)| queue.is_empty());
        let awaited = dry.filter(|(_, input)| !input.is_past_end(input.position()));
        let waits = awaited.filter_map(|(queue, input)| {
            let lag = log_end(&input.partition).map(|end| end.0 - input.position().0);
            queue.wait(now, lag, idle_max)
        });
        waits.min().map_or(turn, Turn::Wait)
    }

    /// Processes the first records of an input, those that belong to the turn. Returns whether the input has reached
    /// the end of a bounded run.
    pub(super) fn take_turn(
        &mut self,
        (index, up_to): (usize, UpTo),
        now: Moment,
        output: &mut dyn Output,
    ) -> Result<bool, ProcessError> {
        let Self { task, inputs, queues, .. } = self;
        let (input, queue) = (&mut inputs[index], &mut queues[index]);
        let Some(batch) = queue.front_mut() else { return Ok(false) };
        let mut last = None;
        let taken = batch.records.take_while(|record| {
            let is_mark = is_mark(input, record);
            let belongs = is_mark || up_to.includes(index, || task.event_time(index, record));
            last = if belongs { Some(record.offset) } else { last };
            belongs
        });
        task.process(index, taken, input.position(), now, output)?;
        let is_done = batch.records.iter().next().is_none();
        let offset = if is_done { batch.end.offset } else { last.map_or(input.position(), |last| Offset(last + 1)) };
        input.move_to(Position { offset, ..batch.end });
        task.set_position(index, input.position());
        if is_done {
            queue.pop(now);
        }
        let reached = if queue.is_empty() { queue.reached.take() } else { None };
        self.find_head(index);
        Ok(reached.is_some_and(|(next, log_end)| self.advance(index, next, log_end)))
    }

    fn find_head(&mut self, index: usize) {
        let Self { task, inputs, queues, .. } = self;
        let head = queues[index].first().map(|first| match first {
            Some(record) if !is_mark(&inputs[index], &record) => Head::At(task.event_time(index, &record)),
            Some(_) | None => Head::AtOnce,
        });
        self.queues[index].head = head;
    }
}
