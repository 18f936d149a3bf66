//! From a pattern to its automaton.
//!
//! The automaton is built from the end of the pattern on: each stage is made of states that lead to a state that is
//! there already, its *sink*. A stage that repeats is as many states as its least and most numbers say, and a stage
//! without a limit ends in a state that leads to itself. A stage that may be left out has an edge that proceeds to its
//! sink. A forbidden stage has no states: those around it proceed to its stop state.
//!
//! When a run that passes events by may also proceed, it would do so again with each event, and the same match would
//! come out many times. Therefore passing by leads to a second state without the edge that proceeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::describe::describe;
use super::expr::{ALWAYS, ExprId, Exprs};
use super::pattern::{Condition, Inner, Link, Pattern, PatternError, Skip, Stage, What};
use super::program::{Action, AfterMatch, Edge, Kind, Program, State};

const STATES_MAX: usize = 10_000;

impl<E> Pattern<E> {
    /// Makes the automaton.
    ///
    /// # Errors
    /// Everything that has no meaning in it.
    pub fn compile(self) -> Result<Program<E>, Vec<PatternError>> {
        compile(self)
    }
}

fn compile<E>(pattern: Pattern<E>) -> Result<Program<E>, Vec<PatternError>> {
    let text = describe(&pattern);
    let Pattern { stages, within, skip, faults } = pattern;
    let mut faults = faults;
    if within.is_some_and(|within| within < Duration::from_millis(1)) {
        faults.push(PatternError::WithinNothing);
    }
    let mut lowering = Lowering { exprs: Exprs::new(), names: Vec::new(), faults: Vec::new() };
    let parts = lowering.parts(stages);
    faults.append(&mut lowering.faults);
    if let Some(last) = parts.last().filter(|part| part.link == Link::NotFollowedBy && within.is_none()) {
        faults.push(PatternError::EndsWithNot(lowering.names[usize::from(last.name)].clone()));
    }
    if let Skip::ToFirst(name) | Skip::ToLast(name) = &skip {
        let is_it = |part: &Part| part.group.is_none() && lowering.names[usize::from(part.name)] == *name;
        if !parts.iter().any(is_it) {
            faults.push(PatternError::UnknownStage(name.clone()));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let Lowering { exprs, names, .. } = lowering;
    let (states, stops, originals) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut builder = Builder { exprs, states, stops, originals, is_too_large: false };
    let start = builder.pattern(&parts);
    if builder.proceeds_in_a_circle() {
        return Err(vec![PatternError::RepeatsNothing]);
    }
    if builder.is_too_large || builder.exprs.len() >= usize::from(u16::MAX) {
        return Err(vec![PatternError::TooLarge]);
    }
    let Builder { exprs, states, .. } = builder;
    let within_ms = within.map(|within| i64::try_from(within.as_millis()).unwrap_or(i64::MAX));
    let skip = after_match(&skip, &names).unwrap_or(AfterMatch::NoSkip);
    Ok(Program { states, start, exprs, stages: names, within_ms, skip, text })
}

/// The skip strategy, with the index of the stage that it names.
fn after_match(skip: &Skip, stages: &[String]) -> Option<AfterMatch> {
    let place = |name: &String| u16::try_from(stages.iter().position(|stage| stage == name)?).ok();
    Some(match skip {
        Skip::NoSkip => AfterMatch::NoSkip,
        Skip::ToNext => AfterMatch::ToNext,
        Skip::PastLastEvent => AfterMatch::PastLast,
        Skip::ToFirst(name) => AfterMatch::ToFirst(place(name)?),
        Skip::ToLast(name) => AfterMatch::ToLast(place(name)?),
    })
}

/// A stage with its conditions as expressions.
struct Part {
    name: u16,
    link: Link,
    condition: ExprId,
    until: Option<ExprId>,
    /// The stages of a group.
    group: Option<Vec<Self>>,
    /// The least and the most number of times; `None` for a stage that does not repeat.
    times: Option<(u32, Option<u32>)>,
    is_optional: bool,
    is_greedy: bool,
    inner: Inner,
}

impl Part {
    fn is_endless(&self) -> bool {
        matches!(self.times, Some((_, None)))
    }
}

/// Takes the closures out of the stages.
struct Lowering<E> {
    exprs: Exprs<E>,
    names: Vec<String>,
    faults: Vec<PatternError>,
}

impl<E> Lowering<E> {
    fn parts(&mut self, stages: Vec<Stage<E>>) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for stage in stages {
            let after_greedy = parts.last().is_some_and(|before| before.is_greedy);
            if stage.is_optional && after_greedy {
                self.faults.push(PatternError::OptionalAfterGreedy(stage.name().to_owned()));
            }
            let Stage { what, link, until, times, is_optional, is_greedy, inner } = stage;
            let (name, condition, group) = match what {
                What::Event(name, condition) => (self.name(name), self.expr(condition), None),
                What::Group(group) => (u16::MAX, ALWAYS, Some(self.parts(group))),
            };
            let until = until.map(|until| self.expr(until));
            let times = times.map(|times| (times.least, times.most));
            parts.push(Part { name, link, condition, until, group, times, is_optional, is_greedy, inner });
        }
        parts
    }

    fn name(&mut self, name: String) -> u16 {
        if name.is_empty() {
            self.faults.push(PatternError::NoName);
        } else if self.names.contains(&name) {
            self.faults.push(PatternError::DuplicateName(name.clone()));
        }
        self.names.push(name);
        u16::try_from(self.names.len() - 1).unwrap_or(u16::MAX)
    }

    fn expr(&mut self, condition: Condition<E>) -> ExprId {
        match condition {
            Condition::Test(test) => self.exprs.test(test),
            Condition::And(left, right) => {
                let (left, right) = (self.expr(*left), self.expr(*right));
                self.exprs.and(left, right)
            }
            Condition::Or(left, right) => {
                let (left, right) = (self.expr(*left), self.expr(*right));
                self.exprs.or(left, right)
            }
        }
    }
}

/// The place of a stage in the pattern.
#[derive(Clone, Copy)]
struct At<'p> {
    parts: &'p [Part],
    index: usize,
    /// The group that the stages are in, and whether this is its first repetition.
    group: Option<(&'p Part, bool)>,
    /// The stage behind the group.
    behind: Option<&'p Part>,
}

impl<'p> At<'p> {
    fn part(&self) -> &'p Part {
        &self.parts[self.index]
    }

    fn following(&self) -> Option<&'p Part> {
        self.parts.get(self.index + 1).or(self.behind)
    }

    /// The group whose first stage this is, and whether this is its first repetition.
    fn head_of(&self) -> Option<(&'p Part, bool)> {
        self.group.filter(|_| self.index == 0)
    }

    fn group_until(&self) -> Option<ExprId> {
        self.group.and_then(|(group, _)| group.until)
    }
}

/// Guards and further properties of the state of one repetition of a stage.
#[derive(Clone, Copy)]
struct Repetition {
    take: ExprId,
    ignore: Option<ExprId>,
    is_optional: bool,
    is_first: bool,
}

struct Builder<E> {
    exprs: Exprs<E>,
    states: Vec<State>,
    /// Stop states by the stage that is forbidden.
    stops: BTreeMap<u16, u16>,
    /// For sinks whose guards a greedy stage before them has narrowed, copies with the guards as they were.
    originals: BTreeMap<u16, u16>,
    is_too_large: bool,
}

impl<E> Builder<E> {
    /// Builds all states; returns the first.
    fn pattern(&mut self, parts: &[Part]) -> u16 {
        let end = self.state(u16::MAX, Kind::Final);
        let at = At { parts, index: 0, group: None, behind: None };
        let second = self.all_but_first(at, end);
        self.stage(at, second)
    }

    fn all_but_first(&mut self, at: At<'_>, sink: u16) -> u16 {
        let mut sink = sink;
        for index in (1..at.parts.len()).rev() {
            let at = At { index, ..at };
            sink = match at.part().link {
                Link::NotFollowedBy if self.kind(sink) == Kind::Final => self.not_to_the_end(at),
                // The stages before it get edges to its stop state.
                Link::NotFollowedBy => sink,
                Link::NotNext => self.not_next(at, sink),
                Link::Next | Link::FollowedBy | Link::FollowedByAny => self.stage(at, sink),
            };
        }
        sink
    }

    /// The state of a run that is a match unless a forbidden event comes before its time is over.
    fn not_to_the_end(&mut self, at: At<'_>) -> u16 {
        let state = self.state(at.part().name, Kind::Pending);
        let forbidden = self.take(at, at.part());
        let stop = self.stop(at.part().name, forbidden);
        self.edge(state, Action::Proceed, stop, forbidden);
        let otherwise = self.exprs.not(forbidden);
        self.edge(state, Action::Ignore, state, otherwise);
        state
    }

    fn not_next(&mut self, at: At<'_>, sink: u16) -> u16 {
        let state = self.state(at.part().name, Kind::Normal);
        let forbidden = self.take(at, at.part());
        let stop = self.stop(at.part().name, forbidden);
        let otherwise = self.exprs.not(forbidden);
        // At the end, another event has to come before this is a match.
        let action = if self.kind(sink) == Kind::Final { Action::Ignore } else { Action::Proceed };
        self.edge(state, action, sink, otherwise);
        self.edge(state, Action::Proceed, stop, forbidden);
        state
    }

    /// Builds the states of a stage before `sink`.
    fn stage(&mut self, at: At<'_>, sink: u16) -> u16 {
        let part = at.part();
        let first = match part.times {
            Some(_) if part.is_endless() => {
                let behind = self.without_nots(at, sink);
                let looping = self.looping(at, behind);
                self.repeated(at, looping, sink)
            }
            Some(_) => self.repeated(at, sink, sink),
            None => {
                let (take, ignore) = (self.take(at, part), self.ignore(at));
                let repetition = Repetition { take, ignore, is_optional: part.is_optional, is_first: true };
                self.single(at, sink, sink, repetition)
            }
        };
        self.stop_at_nots(at, first);
        first
    }

    /// Builds the repetitions of a stage that are counted. After the least number of them, a run may go on to
    /// `proceed`.
    fn repeated(&mut self, at: At<'_>, sink: u16, proceed: u16) -> u16 {
        let part = at.part();
        let (least, most) = part.times.map_or((1, 1), |(least, most)| (least, most.unwrap_or(least)));
        let inner = self.inner_ignore(at);
        let ignore = inner.map(|inner| self.unless(part.until, inner));
        let plain = self.take(at, part);
        let take = self.unless(part.until, plain);
        if part.is_greedy && least != most {
            if part.until.is_some() {
                let original = self.copy(sink);
                self.originals.insert(sink, original);
            }
            self.not_while(sink, take);
        }
        let mut sink = sink;
        for count in (1..most).rev() {
            let is_optional = count >= least;
            sink = self.single(at, sink, proceed, Repetition { take, ignore, is_optional, is_first: false });
            self.stop_at_following(at, sink);
        }
        let ignore = self.ignore(at);
        self.single(at, sink, proceed, Repetition { take, ignore, is_optional: part.is_optional, is_first: true })
    }

    /// Builds the state that takes events of a stage without end.
    fn looping(&mut self, at: At<'_>, sink: u16) -> u16 {
        let part = at.part();
        if part.group.is_some() {
            return self.looping_group(at, sink);
        }
        let inner = self.inner_ignore(at);
        let ignore = inner.map(|inner| self.unless(part.until, inner));
        let plain = self.take(at, part);
        let take = self.unless(part.until, plain);
        let proceed = self.always(at);
        let state = self.state(part.name, Kind::Normal);
        if part.is_greedy {
            if let Some(until) = part.until {
                let original = self.copy(sink);
                let guard = self.exprs.and(proceed, until);
                self.edge(state, Action::Proceed, original, guard);
                self.originals.insert(sink, original);
            }
            let guard = self.unless(part.until, proceed);
            self.edge(state, Action::Proceed, sink, guard);
            self.not_while(sink, plain);
        } else {
            self.edge(state, Action::Proceed, sink, proceed);
        }
        self.edge(state, Action::Take, state, take);
        self.stop_at_following(at, state);
        if let Some(ignore) = ignore {
            let passing = self.state(part.name, Kind::Normal);
            self.edge(passing, Action::Take, state, take);
            self.edge(passing, Action::Ignore, passing, ignore);
            self.edge(state, Action::Ignore, passing, ignore);
            self.stop_at_following(at, passing);
        }
        state
    }

    fn looping_group(&mut self, at: At<'_>, sink: u16) -> u16 {
        let proceed = self.always(at);
        let again = self.state(u16::MAX, Kind::Normal);
        let first = self.group(at, again, false);
        self.edge(first, Action::Proceed, sink, proceed);
        self.edge(again, Action::Proceed, first, proceed);
        first
    }

    /// Builds the stages of a group before `sink`.
    fn group(&mut self, at: At<'_>, sink: u16, is_first: bool) -> u16 {
        let part = at.part();
        let Some(parts) = &part.group else { unreachable!("called for groups") };
        let inner = At { parts, index: 0, group: Some((part, is_first)), behind: at.following() };
        let second = self.all_but_first(inner, sink);
        self.stage(inner, second)
    }

    /// Builds the state that takes one event of a stage, or the group once.
    fn single(&mut self, at: At<'_>, sink: u16, proceed: u16, repetition: Repetition) -> u16 {
        let part = at.part();
        let Repetition { take, ignore, is_optional, is_first } = repetition;
        let on = self.always(at);
        if part.group.is_some() {
            let first = self.group(at, sink, is_first);
            if is_optional {
                self.edge(first, Action::Proceed, proceed, on);
            }
            return first;
        }
        let state = self.state(part.name, Kind::Normal);
        // Events that are forbidden before an optional stage are allowed once that has taken an event.
        let sink = self.without_nots(at, sink);
        self.edge(state, Action::Take, sink, take);
        if is_optional {
            let until = part.until.filter(|_| part.is_greedy);
            if let Some(until) = until {
                // A sink that has no original was not narrowed.
                let original = self.originals.get(&proceed).copied().unwrap_or(proceed);
                let guard = self.exprs.and(on, until);
                self.edge(state, Action::Proceed, original, guard);
            }
            let guard = self.unless(until, on);
            self.edge(state, Action::Proceed, proceed, guard);
        }
        if let Some(ignore) = ignore {
            let begins_optional_group = at.head_of().is_some_and(|(group, is_first)| is_first && group.is_optional);
            let mut passing = state;
            if is_optional || begins_optional_group {
                passing = self.state(part.name, Kind::Normal);
                self.edge(passing, Action::Take, sink, take);
                self.edge(passing, Action::Ignore, passing, ignore);
                self.stop_at_nots(at, passing);
            }
            self.edge(state, Action::Ignore, passing, ignore);
        }
        state
    }

    /// The forbidden stages before a stage, up to the first that every match goes through, with their conditions.
    fn nots(&mut self, at: At<'_>) -> Vec<(u16, ExprId)> {
        let mut nots = Vec::new();
        for part in at.parts[..at.index].iter().rev() {
            match part.link {
                Link::NotFollowedBy => nots.push((part.name, self.take(at, part))),
                _ if part.is_optional => {}
                _ => break,
            }
        }
        nots
    }

    fn stop_at_nots(&mut self, at: At<'_>, state: u16) {
        for (name, forbidden) in self.nots(at) {
            let stop = self.stop(name, forbidden);
            self.edge(state, Action::Proceed, stop, forbidden);
        }
    }

    fn stop_at_following(&mut self, at: At<'_>, state: u16) {
        if let Some(following) = at.following().filter(|following| following.link == Link::NotFollowedBy) {
            let forbidden = self.take(at, following);
            let stop = self.stop(following.name, forbidden);
            self.edge(state, Action::Proceed, stop, forbidden);
        }
    }

    /// The sink of an optional stage that has taken an event: without the edges to the stop states of what is
    /// forbidden before the stage.
    fn without_nots(&mut self, at: At<'_>, sink: u16) -> u16 {
        if !at.part().is_optional {
            return sink;
        }
        let nots: BTreeSet<u16> = self.nots(at).into_iter().map(|(name, _)| name).collect();
        if nots.is_empty() { sink } else { self.copy_without(&nots, sink) }
    }

    /// Copies a state and those that a run proceeds to from there, each once: they may proceed in a circle.
    fn copy_without(&mut self, nots: &BTreeSet<u16>, sink: u16) -> u16 {
        let first = self.copy_bare(sink);
        let (mut copies, mut left) = (BTreeMap::from([(sink, first)]), vec![(sink, first)]);
        while let Some((original, copy)) = left.pop() {
            for edge in self.states[usize::from(original)].edges.clone() {
                let target = match edge.action {
                    Action::Proceed if self.kind(edge.target) == Kind::Stop => {
                        if nots.contains(&self.states[usize::from(edge.target)].stage) {
                            continue;
                        }
                        edge.target
                    }
                    Action::Proceed => match copies.get(&edge.target) {
                        Some(known) => *known,
                        None => {
                            let target = self.copy_bare(edge.target);
                            copies.insert(edge.target, target);
                            left.push((edge.target, target));
                            target
                        }
                    },
                    Action::Take | Action::Ignore if edge.target == original => copy,
                    Action::Take | Action::Ignore => edge.target,
                };
                self.edge(copy, edge.action, target, edge.guard);
            }
        }
        first
    }

    /// A state like another one, without its edges.
    fn copy_bare(&mut self, state: u16) -> u16 {
        self.state(self.states[usize::from(state)].stage, self.kind(state))
    }

    fn copy(&mut self, state: u16) -> u16 {
        let copy = self.copy_bare(state);
        for edge in self.states[usize::from(state)].edges.clone() {
            let target = if edge.target == state { copy } else { edge.target };
            self.edge(copy, edge.action, target, edge.guard);
        }
        copy
    }

    /// Lets nothing out of a state while `take` holds.
    fn not_while(&mut self, state: u16, take: ExprId) {
        let otherwise = self.exprs.not(take);
        for place in 0..self.states[usize::from(state)].edges.len() {
            let guard = self.states[usize::from(state)].edges[place].guard;
            self.states[usize::from(state)].edges[place].guard = self.exprs.and(guard, otherwise);
        }
    }

    /// The guard under which a stage takes an event.
    fn take(&mut self, at: At<'_>, part: &Part) -> ExprId {
        self.unless(at.group_until(), part.condition)
    }

    /// The guard under which nothing stands against going on with the same event.
    fn always(&mut self, at: At<'_>) -> ExprId {
        self.unless(at.group_until(), ALWAYS)
    }

    /// The guard under which a run passes an event by before the stage has taken one; `None` for never.
    fn ignore(&mut self, at: At<'_>) -> Option<ExprId> {
        let of_link = |link| match link {
            Link::FollowedBy => Inner::Relaxed,
            Link::FollowedByAny => Inner::Combinations,
            Link::Next | Link::NotNext | Link::NotFollowedBy => Inner::Consecutive,
        };
        let between = match at.head_of() {
            Some((group, true)) => of_link(group.link),
            Some((group, false)) => group.inner,
            None => of_link(at.part().link),
        };
        self.pass_by(at, between)
    }

    /// The same between two events of the stage.
    fn inner_ignore(&mut self, at: At<'_>) -> Option<ExprId> {
        let between = at.head_of().map_or(at.part().inner, |(group, _)| group.inner);
        self.pass_by(at, between)
    }

    fn pass_by(&mut self, at: At<'_>, between: Inner) -> Option<ExprId> {
        let guard = match between {
            Inner::Consecutive => return None,
            Inner::Relaxed => self.exprs.not(at.part().condition),
            Inner::Combinations => ALWAYS,
        };
        Some(self.unless(at.group_until(), guard))
    }

    fn unless(&mut self, until: Option<ExprId>, guard: ExprId) -> ExprId {
        let Some(until) = until else { return guard };
        let otherwise = self.exprs.not(until);
        self.exprs.and(otherwise, guard)
    }

    fn stop(&mut self, name: u16, forbidden: ExprId) -> u16 {
        if let Some(known) = self.stops.get(&name) {
            return *known;
        }
        let stop = self.state(name, Kind::Stop);
        self.edge(stop, Action::Take, stop, forbidden);
        self.stops.insert(name, stop);
        stop
    }

    fn state(&mut self, stage: u16, kind: Kind) -> u16 {
        if self.states.len() >= STATES_MAX {
            // The result is thrown away.
            self.is_too_large = true;
            return 0;
        }
        self.states.push(State { stage, kind, edges: Vec::new() });
        u16::try_from(self.states.len() - 1).expect("below the limit")
    }

    fn edge(&mut self, from: u16, action: Action, target: u16, guard: ExprId) {
        if !self.is_too_large {
            self.states[usize::from(from)].edges.push(Edge { action, target, guard });
        }
    }

    fn kind(&self, state: u16) -> Kind {
        self.states[usize::from(state)].kind
    }

    /// Whether a run might proceed without end with the same event.
    fn proceeds_in_a_circle(&self) -> bool {
        let mut is_left = vec![false; self.states.len()];
        let mut is_entered = is_left.clone();
        for start in 0..self.states.len() {
            // Each entry is a state, and the number of its edges that have been followed.
            let mut way = vec![(start, 0)];
            while let Some((state, place)) = way.last_mut() {
                is_entered[*state] = true;
                let edge = self.states[*state].edges.get(*place);
                *place += 1;
                match edge {
                    Some(edge) if edge.action == Action::Proceed && !is_left[usize::from(edge.target)] => {
                        if is_entered[usize::from(edge.target)] {
                            return true;
                        }
                        way.push((usize::from(edge.target), 0));
                    }
                    Some(_) => {}
                    None => {
                        is_left[*state] = true;
                        way.pop();
                    }
                }
            }
        }
        false
    }
}
