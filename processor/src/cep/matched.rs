//! Events that were matched, as user code sees them.

use std::sync::Arc;

use super::partial::Partial;

/// The events of a match, or of a partial match that has timed out.
#[derive(Debug)]
pub struct Match<'m, E> {
    pub(super) stages: &'m [String],
    pub(super) events: &'m [(u16, i64, Arc<E>)],
}

impl<E> Match<'_, E> {
    /// The events that a stage took, in order of time; none for a stage that took none, or that the pattern does
    /// not have.
    pub fn events(&self, stage: &str) -> impl DoubleEndedIterator<Item = &E> {
        let stage = self.stages.iter().position(|name| name == stage);
        self.events.iter().filter(move |(of, ..)| Some(usize::from(*of)) == stage).map(|(.., event)| &**event)
    }

    /// The first event that a stage took.
    #[must_use]
    pub fn first(&self, stage: &str) -> Option<&E> {
        self.events(stage).next()
    }

    /// The last event that a stage took.
    #[must_use]
    pub fn last(&self, stage: &str) -> Option<&E> {
        self.events(stage).next_back()
    }

    /// All events in order of time, each with its stage.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &E)> {
        self.events.iter().map(|(stage, _, event)| (self.stages[usize::from(*stage)].as_str(), &**event))
    }

    /// The event time of the first event, in ms since 1970-01-01 UTC.
    #[must_use]
    pub fn start_time(&self) -> i64 {
        self.events.first().map_or(0, |(_, time, _)| *time)
    }

    /// The event time of the last event, in ms since 1970-01-01 UTC.
    #[must_use]
    pub fn end_time(&self) -> i64 {
        self.events.last().map_or(0, |(_, time, _)| *time)
    }
}

/// The events that a run has taken so far, for a condition that looks at them.
#[derive(Debug)]
pub struct SoFar<'p, E> {
    pub(super) stages: &'p [String],
    pub(super) partial: &'p Partial<E>,
    pub(super) last: u32,
    pub(super) time: i64,
}

impl<'p, E> SoFar<'p, E> {
    /// The events that a stage has taken, in order of time. They are collected anew by each call.
    pub fn events(&self, stage: &str) -> impl DoubleEndedIterator<Item = &'p E> + use<'p, E> {
        let stage = self.stages.iter().position(|name| name == stage);
        let of_stage = self.partial.path(self.last).filter(|node| Some(usize::from(node.stage)) == stage);
        let mut events: Vec<&E> = of_stage.filter_map(|node| node.event.as_deref()).collect();
        events.reverse();
        events.into_iter()
    }

    /// The event time of the event that the condition is asked about, in ms since 1970-01-01 UTC.
    #[must_use]
    pub const fn time(&self) -> i64 {
        self.time
    }
}
