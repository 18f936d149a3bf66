//! Event time of one task: the minimum over everything that contributes to it.
//!
//! # The algorithm
//! A *contributor* is a source partition that the task reads, or an upstream task that writes marks into a repartition
//! topic that it reads. Each has a watermark, and is active or idle.
//!
//! - The minimum of all is *certain*: no look at anything else can make it wrong.
//! - An input that has ended, because its part of the job is bounded, holds nothing back any more, and neither does one
//!   whose topic is gone.
//! - An idle contributor must not hold the others back for ever. Without the idle ones, the minimum of the active ones
//!   counts; if all are idle, the maximum of all, because the order in which they became idle or ended must not matter.
//! - But "idle" may be outdated: the logs of its sources may have records that no task has read yet, and the first
//!   contributor that becomes active would make them late. An idle contributor states the offsets at which its sources
//!   ended ([`IdleAt`]). It is passed by only after a look-up in the logs has found that they still end there.
//!
//! The look-up is one ListOffsets for all tasks of a worker, once per commit, and only while the watermark would
//! advance by it: when all are idle and the watermark is at the maximum, there is nothing left to look up.
//!
//! # Why this is enough
//! Proof: let a record lie in a source partition at the moment of the look-up, not yet read by this task or the tasks
//! upstream of it. Either its partition was active: then its watermark holds the task back. Or it was idle:
//! then the partition now ends after the record, so it is not passed by. Only the sources have to be looked up,
//! however many shuffles lie between: the output that an idle upstream task made of its input lies in the repartition
//! topic before the mark that says so.

use std::time::Duration;

use kafka_wire::time::Moment;
use kafka_wire::types::{Offset, PartitionId, TimestampMs};

use super::{Generator, IdleAt, Mark, NO_WATERMARK, Progress, Watermark};

/// The kinds of inputs, by the origin of their event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A partition of a topic of the user's.
    Source(Watermark),
    /// A partition of a repartition topic, with the marks of the upstream tasks.
    Repartition,
}

/// A contributor to the watermark, as the module defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contributor {
    /// An input that is a source partition, by its index.
    Input(usize),
    /// A task upstream of an input that is a repartition topic.
    Upstream {
        /// Index of the input.
        input: usize,
        /// Partition of the upstream task.
        upstream: PartitionId,
    },
}

/// Event time of one task. It is sans-IO: all information comes by method calls, and [`TaskTime::doubts`]
/// tells what to look up.
#[derive(Clone, Debug)]
pub struct TaskTime {
    inputs: Vec<Input>,
    /// For each input, whether it has ended.
    ended: Vec<bool>,
    /// For each input, whether its topic is gone.
    gone: Vec<bool>,
    watermark: TimestampMs,
    /// Whether anything has changed since the last look-up in the logs.
    is_changed: bool,
    /// Time of another look-up even if nothing has changed; set while a look-up has left doubts.
    look_again: Option<Moment>,
}

#[derive(Clone, Debug)]
enum Input {
    Source { generator: Generator, position: Offset },
    Repartition(Progress),
}

/// The state of one contributor.
struct Said {
    watermark: TimestampMs,
    idle: Option<IdleAt>,
}

impl TaskTime {
    /// Makes the event time of a task without any information, from its inputs in order.
    #[must_use]
    pub fn new(inputs: impl IntoIterator<Item = InputKind>) -> Self {
        let input = |kind| match kind {
            InputKind::Source(policy) => Input::Source { generator: Generator::new(policy), position: Offset(0) },
            InputKind::Repartition => Input::Repartition(Progress::default()),
        };
        let inputs: Vec<_> = inputs.into_iter().map(input).collect();
        let (ended, gone) = (vec![false; inputs.len()], vec![false; inputs.len()]);
        Self { inputs, ended, gone, watermark: NO_WATERMARK, is_changed: true, look_again: None }
    }

    /// The watermark. It never goes back.
    #[must_use]
    pub const fn watermark(&self) -> TimestampMs {
        self.watermark
    }

    /// Goes on from the watermark of an earlier run.
    pub fn restore(&mut self, watermark: TimestampMs) {
        self.watermark = self.watermark.max(watermark);
        for input in &mut self.inputs {
            if let Input::Source { generator, .. } = input {
                generator.restore(watermark);
            }
        }
    }

    /// The own watermark of an input that is a source; `None` for any other input, and while it is not known.
    #[must_use]
    pub fn source_watermark(&self, input: usize) -> Option<TimestampMs> {
        let Input::Source { generator, .. } = self.inputs.get(input)? else { return None };
        Some(generator.watermark()).filter(|watermark| *watermark > NO_WATERMARK)
    }

    /// Restores the watermark of a source from an earlier run.
    pub fn restore_source(&mut self, input: usize, watermark: TimestampMs) {
        if let Some(Input::Source { generator, .. }) = self.inputs.get_mut(input) {
            generator.restore(watermark);
            self.is_changed = true;
        }
    }

    /// Notes that records of a source input came, of which the greatest event time is `max_timestamp`.
    pub fn observe(&mut self, input: usize, max_timestamp: TimestampMs, now: Moment) {
        if let Input::Source { generator, .. } = &mut self.inputs[input] {
            generator.observe(max_timestamp, now);
            self.is_changed = true;
        }
    }

    /// Sets the next offset to be read of an input; everything before it is processed, markers and gaps included.
    pub fn set_position(&mut self, input: usize, next: Offset) {
        if let Input::Source { position, .. } = &mut self.inputs[input] {
            self.is_changed |= *position != next;
            *position = next;
        }
    }

    /// Sets whether an input has ended: no record of it will come.
    pub fn set_ended(&mut self, input: usize, has_ended: bool) {
        self.is_changed |= self.ended[input] != has_ended;
        self.ended[input] = has_ended;
    }

    /// Sets whether the topic of a source input is gone: no record of it will come, unless it is made again.
    pub fn set_gone(&mut self, input: usize, is_gone: bool) {
        if self.gone[input] != is_gone {
            self.gone[input] = is_gone;
            self.find_out();
        }
    }

    /// Forgets the upstream tasks from this number on, which are no more, see [`Progress::cut`].
    pub fn cut_upstreams(&mut self, input: usize, count: i32) {
        if let Some(Input::Repartition(progress)) = self.inputs.get_mut(input)
            && progress.cut(count)
        {
            self.find_out();
        }
    }

    /// Takes the marks of one record from an input that is a repartition topic. `false` if they are invalid,
    /// see [`Progress::apply`].
    #[must_use]
    pub fn hear(&mut self, input: usize, marks: &[Mark]) -> bool {
        let Input::Repartition(progress) = &mut self.inputs[input] else { return false };
        self.is_changed = true;
        progress.apply(marks)
    }

    /// The marks received from an input; `None` for a source.
    #[must_use]
    pub fn progress(&self, input: usize) -> Option<&Progress> {
        match self.inputs.get(input)? {
            Input::Source { .. } => None,
            Input::Repartition(progress) => Some(progress),
        }
    }

    /// Starts the idle clocks of sources that have had no record, see [`Generator::start`].
    pub fn start(&mut self, now: Moment) {
        for input in &mut self.inputs {
            if let Input::Source { generator, .. } = input {
                generator.start(now);
            }
        }
    }

    /// Lets time pass: sources without records become idle, and doubts justify another look-up.
    pub fn tick(&mut self, now: Moment) {
        for input in &mut self.inputs {
            if let Input::Source { generator, .. } = input {
                let was_idle = generator.is_idle();
                generator.tick(now);
                self.is_changed |= generator.is_idle() != was_idle;
            }
        }
        if self.look_again.is_some_and(|again| again <= now) {
            self.look_again = None;
            self.is_changed = true;
        }
    }

    /// The time at which [`TaskTime::tick`] may next change something.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Moment> {
        let generators = self.inputs.iter().filter_map(|input| match input {
            Input::Source { generator, .. } => generator.next_timeout(),
            Input::Repartition(_) => None,
        });
        generators.chain(self.look_again).min()
    }

    /// Advances as far as is certain without a look-up in the logs. Returns whether the watermark has moved.
    pub fn advance(&mut self) -> bool {
        self.advance_to(self.certain())
    }

    /// Advances to `watermark`, if the caller knows that no earlier record will come. Returns whether it has moved.
    pub fn advance_to(&mut self, watermark: TimestampMs) -> bool {
        let has_moved = watermark > self.watermark;
        self.watermark = self.watermark.max(watermark);
        has_moved
    }

    /// Whether event time waits for a look-up in the logs of idle contributors, see [`TaskTime::doubts`].
    #[must_use]
    pub fn has_doubts(&self) -> bool {
        if !self.is_changed {
            return false;
        }
        let reachable = self.reachable();
        reachable > self.watermark && self.certain() < reachable
    }

    /// The idle contributors that hold the watermark back until the logs of their sources have been looked up.
    /// Empty if a look-up would change nothing, and after [`TaskTime::settle`] until something has changed or
    /// a second has passed.
    #[must_use]
    pub fn doubts(&self) -> Vec<Contributor> {
        if !self.has_doubts() {
            return Vec::new();
        }
        let reachable = self.reachable();
        let holds = |said: &Said| said.idle.is_some() && said.watermark < reachable;
        let contributors = self.contributors().filter(|(_, said)| said.as_ref().is_some_and(holds));
        contributors.map(|(contributor, _)| contributor).collect()
    }

    /// Takes the result of a look-up in the logs: passes by the contributors for which `ends_there` returns that their
    /// sources still end at the same offsets. Returns whether the watermark has moved.
    ///
    /// The look-up must have been made after everything that this task has received so far.
    pub fn settle(&mut self, now: Moment, mut ends_there: impl FnMut(Contributor, IdleAt) -> bool) -> bool {
        let (reached, reachable) = (self.reach(&mut ends_there), self.reachable());
        let has_moved = self.advance_to(reached);
        self.is_changed = false;
        self.look_again = (reachable > self.watermark).then(|| now + LOOK_AGAIN_AFTER);
        has_moved
    }

    /// The end offsets of the task's sources, if it holds no other task back: every contributor is idle,
    /// and the watermark is as far as it can get by that.
    #[must_use]
    pub fn idle_at(&self) -> Option<IdleAt> {
        let is_idle = |input: &Input| match input {
            Input::Source { generator, .. } => generator.is_idle(),
            Input::Repartition(progress) => progress.idle_at().is_some(),
        };
        let is_idle = self.waited_for().all(|(_, input)| is_idle(input)) && self.reachable() <= self.watermark;
        is_idle.then(|| self.position())
    }

    /// The positions of the task's own sources, in the form of a mark: for a task that has ended, and so
    /// holds no other back.
    #[must_use]
    pub fn position(&self) -> IdleAt {
        let mut sum = IdleAt { own: 0, above: 0 };
        // A task that does not know yet that a topic is gone states more: it is not passed by until it does.
        for (input, _) in self.inputs.iter().zip(&self.gone).filter(|(_, is_gone)| !**is_gone) {
            match input {
                Input::Source { position, .. } => sum.own = sum.own.saturating_add(position.0),
                Input::Repartition(progress) => {
                    let IdleAt { own, above } = progress.idle_at().unwrap_or(IdleAt { own: 0, above: 0 });
                    sum.above = sum.above.saturating_add(own).saturating_add(above);
                }
            }
        }
        sum
    }

    /// The contributor that holds the watermark back most, and its own watermark: `None` for one that has not sent any.
    /// No contributor, if all have the same watermark or there is only one.
    #[must_use]
    pub fn held_by(&self) -> Option<(Contributor, Option<TimestampMs>)> {
        if self.has_heard_all() && self.certain() == self.greatest() {
            return None;
        }
        let watermark = |said: &Option<Said>| said.as_ref().map(|said| said.watermark);
        let (least, said) = self.contributors().min_by_key(|(_, said)| watermark(said))?;
        let greatest = self.contributors().map(|(_, said)| watermark(&said)).max()?;
        (watermark(&said) < greatest).then(|| (least, watermark(&said)))
    }

    /// The minimum of all contributors, which is certain without a look-up.
    fn certain(&self) -> TimestampMs {
        if !self.has_heard_all() {
            return NO_WATERMARK;
        }
        let least = |input: &Input| match input {
            Input::Source { generator, .. } => generator.watermark(),
            Input::Repartition(progress) => progress.least(),
        };
        self.waited_for().map(|(_, input)| least(input)).min().unwrap_or(NO_WATERMARK)
    }

    /// The watermark that results if every idle contributor is passed by.
    fn reachable(&self) -> TimestampMs {
        if !self.has_heard_all() {
            return NO_WATERMARK;
        }
        let least_active = |input: &Input| match input {
            Input::Source { generator, .. } => Some(generator.watermark()).filter(|_| !generator.is_idle()),
            Input::Repartition(progress) => progress.least_active(),
        };
        self.waited_for().filter_map(|(_, input)| least_active(input)).min().unwrap_or_else(|| self.greatest())
    }

    /// Returns the greatest time of all contributors, those of inputs that have ended included.
    pub fn greatest(&self) -> TimestampMs {
        let greatest = |input: &Input| match input {
            Input::Source { generator, .. } => generator.watermark(),
            Input::Repartition(progress) => progress.greatest(),
        };
        self.inputs.iter().map(greatest).max().unwrap_or(NO_WATERMARK)
    }

    /// The inputs that have not ended and are not gone, or all if there is no such input.
    fn waited_for(&self) -> impl Iterator<Item = (usize, &Input)> {
        let is_over = |index: usize| self.ended[index] || self.gone[index];
        let all_are_over = (0..self.inputs.len()).all(is_over);
        self.inputs.iter().enumerate().filter(move |(index, _)| all_are_over || !is_over(*index))
    }

    /// Lets the next tick find out how far event time gets without what holds it back no longer.
    const fn find_out(&mut self) {
        self.is_changed = true;
        self.look_again = Some(Moment::ZERO);
    }

    fn has_heard_all(&self) -> bool {
        self.waited_for().all(|(_, input)| match input {
            Input::Source { .. } => true,
            Input::Repartition(progress) => progress.has_heard_all(),
        })
    }

    /// The watermark that results if those idle contributors are left out for which `is_passed_by` is true.
    fn reach(&self, mut is_passed_by: impl FnMut(Contributor, IdleAt) -> bool) -> TimestampMs {
        if !self.has_heard_all() {
            return NO_WATERMARK;
        }
        let mut least: Option<TimestampMs> = None;
        for (contributor, said) in self.contributors() {
            let Some(Said { watermark, idle }) = said else { return NO_WATERMARK };
            if !idle.is_some_and(|idle| is_passed_by(contributor, idle)) {
                least = Some(least.map_or(watermark, |least| least.min(watermark)));
            }
        }
        least.unwrap_or_else(|| self.greatest())
    }

    /// All contributors with their states; `None` for an upstream task without a mark so far.
    fn contributors(&self) -> impl Iterator<Item = (Contributor, Option<Said>)> {
        self.waited_for().flat_map(|(index, input)| {
            let (source, progress) = match input {
                Input::Source { generator, position } => {
                    let idle = generator.is_idle().then_some(IdleAt { own: position.0, above: 0 });
                    let said = Said { watermark: generator.watermark(), idle };
                    (Some((Contributor::Input(index), Some(said))), None)
                }
                Input::Repartition(progress) => (None, Some(progress)),
            };
            let of_mark = |mark: &Mark| Said { watermark: mark.watermark, idle: mark.idle };
            let upstreams = progress
                .into_iter()
                .flat_map(Progress::marks)
                .map(move |(upstream, mark)| (Contributor::Upstream { input: index, upstream }, mark.map(of_mark)));
            source.into_iter().chain(upstreams)
        })
    }
}

/// Time between two look-ups while the first has left doubts and neither a mark nor a record comes.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
