//! The automaton of a pattern.

use super::expr::{ExprId, Exprs};
use super::partial::Partial;

/// A compiled pattern, shared by all tasks.
pub struct Program<E> {
    pub(super) states: Vec<State>,
    pub(super) start: u16,
    pub(super) exprs: Exprs<E>,
    /// Names of the stages.
    pub(super) stages: Vec<String>,
    /// The time within which a match must end, after its first event.
    pub(super) within_ms: Option<i64>,
    pub(super) skip: AfterMatch,
    pub(super) text: String,
}

/// A state of the automaton.
pub(super) struct State {
    /// The stage at which events are taken here.
    pub(super) stage: u16,
    pub(super) kind: Kind,
    pub(super) edges: Vec<Edge>,
}

/// The effect of a run that reaches a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The run goes on.
    Normal,
    /// The run is a match.
    Final,
    /// The run, and all that came of it with the same event, ends without a match.
    Stop,
    /// The run is a match if it times out here.
    Pending,
}

/// A way out of a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) action: Action,
    pub(super) target: u16,
    pub(super) guard: ExprId,
}

/// The use that an edge makes of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Takes it.
    Take,
    /// Passes it by.
    Ignore,
    /// Goes on to the target with the same event.
    Proceed,
}

/// A skip strategy, with the stage that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterMatch {
    NoSkip,
    ToNext,
    PastLast,
    ToFirst(u16),
    ToLast(u16),
}

impl<E> Program<E> {
    /// A pattern that no event matches.
    #[must_use]
    pub fn nothing() -> Self {
        let state = State { stage: 0, kind: Kind::Normal, edges: Vec::new() };
        let (states, exprs) = (vec![state], Exprs::new());
        let (stages, skip, text) = (Vec::new(), AfterMatch::NoSkip, String::new());
        Self { states, start: 0, exprs, stages, within_ms: None, skip, text }
    }

    /// Whether a match may come out only when the time of a run is over: after a prohibition at the end, and when it
    /// has to wait for a partial match that began before it.
    #[must_use]
    pub fn waits_for_time(&self) -> bool {
        let may_wait = self.skip != AfterMatch::NoSkip || self.states.iter().any(|state| state.kind == Kind::Pending);
        may_wait && self.within_ms.is_some()
    }

    /// The partial matches of a key before its first event.
    #[must_use]
    pub fn begin(&self) -> Partial<E> {
        Partial::begin(self.start)
    }

    /// The names of the stages, in the order of their declaration.
    #[must_use]
    pub fn stages(&self) -> &[String] {
        &self.stages
    }

    /// The time within which a match must end, after its first event, in ms.
    #[must_use]
    pub const fn within_ms(&self) -> Option<i64> {
        self.within_ms
    }

    /// The pattern as text. State that was written under another text does not fit.
    #[must_use]
    pub fn describe(&self) -> &str {
        &self.text
    }
}
