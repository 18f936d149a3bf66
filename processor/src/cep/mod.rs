//! Patterns of events, and the machine that finds them in the events of one key.
//!
//! # The algorithm
//! - A [`Pattern`] is compiled into a nondeterministic automaton ([`Program`]). A state has edges that take the event,
//!   ignore it, or go on to another state with the same event; each edge has a guard.
//! - A run is one way in which the events so far may become a match: a state, and the events that it has taken. The run
//!   that has taken nothing is always there, so a match may begin at each event.
//! - Runs share what they have taken. The taken events of a run are a path in a tree of nodes ([`Partial`]), of which a
//!   node is kept for as long as a run or a later node needs it; an event is kept once, however many runs have it.
//! - An event is shown to each run; for a guard that looks at the event alone, it is computed once for all of them.
//! - Runs are kept in the order of the events at which they began. A match is put out when no unfinished run began
//!   before it, because that run could end as a match that skips this one; without a skip strategy, at once.
//!
//! The matches and their order are those of Flink's library for complex event processing, which the rules for states
//! and edges, and for the order of runs that began at the same event, are measured by.
//!
//! Nothing here does I/O or knows of stores: a [`Matcher`] is fed with events in the order of their times, and the
//! partial matches of a key are a value that can be written and read.

mod compile;
mod describe;
mod expr;
mod machine;
mod matched;
mod partial;
mod pattern;
mod program;
mod queue;
mod run;
mod saved;

pub use machine::{Found, Matcher, Outcome};
pub use matched::{Match, SoFar};
pub use partial::Partial;
pub use pattern::{Pattern, PatternError, Skip, Times};
pub use program::Program;
pub use saved::{Events, Malformed};

#[cfg(test)]
mod tests;
