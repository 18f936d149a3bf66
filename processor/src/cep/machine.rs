//! The machine: events of one key in, matches out.

use std::sync::Arc;

use super::expr::Memo;
use super::matched::{Match, SoFar};
use super::partial::{Node, Partial};
use super::program::{Action, AfterMatch, Kind, Program};
use super::queue::Queue;
use super::run::{Begin, NO_NODE, Run};

/// Finds the matches of a pattern, for any number of keys: the partial matches of a key are passed in.
pub struct Matcher<E> {
    program: Arc<Program<E>>,
    memo: Memo,
    /// The runs of the key before the event.
    before: Vec<Run>,
    /// States that are left to look at for a run.
    states: Vec<u16>,
    /// Edges that a run can go: the state that they leave, the use of the event, and their target.
    ways: Vec<(u16, Action, u16)>,
    /// The runs that come of one run.
    after: Vec<Run>,
    found: Vec<Found<E>>,
}

/// A match or a partial match that timed out.
#[derive(Debug)]
pub struct Found<E> {
    /// Which of the two.
    pub outcome: Outcome,
    events: Vec<(u16, i64, Arc<E>)>,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The events are a match.
    Match,
    /// The time of the pattern was over before they were one.
    TimedOut {
        /// The end of that time, in ms since 1970-01-01 UTC.
        at: i64,
    },
}

impl<E> Found<E> {
    /// The events, by stage.
    #[must_use]
    pub fn events<'m>(&'m self, program: &'m Program<E>) -> Match<'m, E> {
        Match { stages: &program.stages, events: &self.events }
    }
}

/// An event under way.
struct Event<E> {
    event: Arc<E>,
    time: i64,
    /// Its number, once a run has taken it.
    number: Option<u32>,
}

impl<E> Matcher<E> {
    /// Makes a matcher for a pattern.
    #[must_use]
    pub fn new(program: Arc<Program<E>>) -> Self {
        let memo = Memo::default();
        let (before, states, ways, after, found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { program, memo, before, states, ways, after, found }
    }

    /// The pattern.
    #[must_use]
    pub fn program(&self) -> &Arc<Program<E>> {
        &self.program
    }

    /// Takes the results of the calls so far, in the order in which they come out.
    pub fn found(&mut self) -> impl Iterator<Item = Found<E>> + use<'_, E> {
        self.found.drain(..)
    }

    /// Ends the runs whose time is over when the next event comes at `time` or later, and puts out matches that waited
    /// for one of them.
    pub fn advance(&mut self, partial: &mut Partial<E>, time: i64) {
        let Some(within) = self.program.within_ms else { return };
        let is_over = |begin: i64| time.saturating_sub(begin) >= within;
        if !partial.first_begin().is_some_and(is_over) {
            return;
        }
        let mut pending = Queue::default();
        self.take_runs(partial);
        for run in &self.before {
            if run.node == NO_NODE || !is_over(run.begin.time) {
                partial.runs.push(*run);
            } else if self.program.states[usize::from(run.state)].kind == Kind::Pending {
                pending.push(*run);
            } else {
                let outcome = Outcome::TimedOut { at: run.begin.time.saturating_add(within) };
                self.found.push(Found { outcome, events: events(partial, run.node) });
                partial.release(run.node);
            }
        }
        self.put_out(partial, &pending);
    }

    /// Shows the next event of a key, after [`Matcher::advance`] to its time. Times must not go back.
    pub fn process(&mut self, partial: &mut Partial<E>, event: Arc<E>, time: i64) {
        let mut event = Event { event, time, number: None };
        let mut matches = Queue::default();
        self.memo.clear(self.program.exprs.len());
        self.take_runs(partial);
        for place in 0..self.before.len() {
            let run = self.before[place];
            self.find_ways(partial, run, &event);
            self.go(partial, run, &mut event);
            self.sort(partial, &mut matches);
        }
        self.put_out(partial, &matches);
    }

    /// Takes the runs out of their queue, to be put back as they go on. They are copied, so that the memory of a key
    /// with many runs does not wander to keys with few.
    fn take_runs(&mut self, partial: &mut Partial<E>) {
        self.before.clear();
        self.before.append(&mut partial.runs.runs);
    }

    /// Finds the edges that a run can go with an event.
    fn find_ways(&mut self, partial: &Partial<E>, run: Run, event: &Event<E>) {
        let Self { program, memo, states, ways, .. } = self;
        let so_far = SoFar { stages: &program.stages, partial, last: run.node, time: event.time };
        ways.clear();
        // A condition that panicked may have left some there.
        states.clear();
        states.push(run.state);
        while let Some(state) = states.pop() {
            for edge in &program.states[usize::from(state)].edges {
                if program.exprs.holds(edge.guard, &event.event, &so_far, memo) {
                    match edge.action {
                        Action::Proceed => states.push(edge.target),
                        Action::Take | Action::Ignore => ways.push((state, edge.action, edge.target)),
                    }
                }
            }
        }
    }

    /// Goes all ways of a run.
    fn go(&mut self, partial: &mut Partial<E>, run: Run, event: &mut Event<E>) {
        self.after.clear();
        for place in 0..self.ways.len() {
            let (from, action, target) = self.ways[place];
            match action {
                // The run that has taken nothing stays as it is.
                Action::Ignore if run.node == NO_NODE => {}
                Action::Ignore => {
                    partial.lock(run.node);
                    self.after.push(Run { state: target, ..run });
                }
                Action::Take => {
                    let end = self.end_behind(partial, run, target, event);
                    let number = *event.number.get_or_insert_with(|| partial.take_number());
                    let begin = if run.node == NO_NODE { Begin { time: event.time, number } } else { run.begin };
                    let stage = self.program.states[usize::from(from)].stage;
                    let node = partial.add((stage, number, event.time), Arc::clone(&event.event), run.node);
                    for state in std::iter::once(target).chain(end) {
                        partial.lock(node);
                        self.after.push(Run { state, node, begin });
                    }
                }
                Action::Proceed => unreachable!("only edges that use the event are ways"),
            }
        }
        if run.node == NO_NODE {
            self.after.push(run);
        } else {
            partial.release(run.node);
        }
    }

    /// The final state that is reached from `state` without another event, when only optional stages are left.
    fn end_behind(&mut self, partial: &Partial<E>, run: Run, state: u16, event: &Event<E>) -> Option<u16> {
        let Self { program, memo, states, .. } = self;
        let so_far = SoFar { stages: &program.stages, partial, last: run.node, time: event.time };
        states.clear();
        states.push(state);
        while let Some(state) = states.pop() {
            for edge in &program.states[usize::from(state)].edges {
                if edge.action == Action::Proceed && program.exprs.holds(edge.guard, &event.event, &so_far, memo) {
                    if program.states[usize::from(edge.target)].kind == Kind::Final {
                        states.clear();
                        return Some(edge.target);
                    }
                    states.push(edge.target);
                }
            }
        }
        None
    }

    /// Sorts the runs that came of one: those that go on, matches, and those that end because one of them was stopped.
    fn sort(&mut self, partial: &mut Partial<E>, matches: &mut Queue) {
        let kind = |run: &Run| self.program.states[usize::from(run.state)].kind;
        let is_stopped = self.after.iter().any(|run| kind(run) == Kind::Stop);
        for run in &self.after {
            match kind(run) {
                Kind::Final => matches.push(*run),
                Kind::Stop => partial.release(run.node),
                Kind::Normal | Kind::Pending if is_stopped && run.node != NO_NODE => partial.release(run.node),
                Kind::Normal | Kind::Pending => partial.runs.push(*run),
            }
        }
    }

    /// Puts out the matches that no unfinished run stands before, in order, and discards what they skip.
    fn put_out(&mut self, partial: &mut Partial<E>, matches: &Queue) {
        matches.runs.iter().for_each(|run| partial.complete.push(*run));
        let skip = self.program.skip;
        while let Some(first) = partial.complete.first() {
            let is_before = |other: &Run| first.begin <= other.begin;
            if skip != AfterMatch::NoSkip && !partial.runs.first().is_none_or(is_before) {
                break;
            }
            let Some(run) = partial.complete.pop() else { break };
            let matched = events(partial, run.node);
            if let Some(bound) = bound(skip, partial, run.node) {
                let mut removed = Vec::new();
                let is_out = |run: &Run| run.node != NO_NODE && run.begin.number < bound;
                partial.runs.remove(is_out, |run| removed.push(run.node));
                partial.complete.remove(is_out, |run| removed.push(run.node));
                removed.into_iter().for_each(|node| partial.release(node));
            }
            self.found.push(Found { outcome: Outcome::Match, events: matched });
            partial.release(run.node);
        }
    }
}

/// The number before which a run must have begun to be discarded after a match; `None` to discard nothing.
fn bound<E>(skip: AfterMatch, partial: &Partial<E>, last: u32) -> Option<u32> {
    let mut path = partial.path(last);
    match skip {
        AfterMatch::NoSkip => None,
        AfterMatch::ToNext => path.last().map(|node| node.number + 1),
        AfterMatch::PastLast => path.next().map(|node| node.number + 1),
        AfterMatch::ToFirst(stage) => path.filter(|node| node.stage == stage).last().map(|node| node.number),
        AfterMatch::ToLast(stage) => path.find(|node| node.stage == stage).map(|node| node.number),
    }
}

/// The events of a run, in order.
fn events<E>(partial: &Partial<E>, last: u32) -> Vec<(u16, i64, Arc<E>)> {
    let node = |node: &Node<E>| Some((node.stage, node.time, node.event.clone()?));
    let mut events: Vec<_> = partial.path(last).filter_map(node).collect();
    events.reverse();
    events
}
