//! A run of the automaton.

/// The event at which a run began. Events are numbered in the order in which they are first taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Begin {
    pub(super) time: i64,
    pub(super) number: u32,
}

/// The beginning of the run that has taken nothing: behind all others.
pub(super) const NOT_BEGUN: Begin = Begin { time: i64::MAX, number: u32::MAX };

/// One way in which the events so far may become a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) state: u16,
    /// The node of the event that it took last, or [`NO_NODE`].
    pub(super) node: u32,
    pub(super) begin: Begin,
}

pub(super) const NO_NODE: u32 = u32::MAX;
