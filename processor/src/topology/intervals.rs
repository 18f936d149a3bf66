//! The further stores of an aggregation that puts out its results at intervals, at the ends of windows that stay open,
//! or by a trigger.

use std::time::Duration;

use super::StoreMaker;
use super::graph::WantedStore;
use crate::operator::{Emit, Intervals};
use crate::output::StoreId;
use crate::state::{Handle, TimerStore};

pub(super) fn wanted(emit: Emit) -> Option<WantedStore<'static>> {
    match emit {
        Emit::OnClose | Emit::OnUpdate | Emit::EveryUpdate => None,
        Emit::AtEnd => Some(("-due", "ends".to_owned(), Box::new(|| Box::new(TimerStore::default())))),
        Emit::Every(_) => Some(("-due", "due".to_owned(), Box::new(|| Box::new(TimerStore::default())))),
    }
}

/// The stores of a trigger: its timers, and its states.
pub(super) fn wanted_by_trigger(trigger: &str, states: StoreMaker) -> [WantedStore<'static>; 2] {
    let timers: StoreMaker = Box::new(|| Box::new(TimerStore::default()));
    [("-due", "timers of a trigger".to_owned(), timers), ("-trigger", format!("states {trigger}"), states)]
}

pub(super) fn of(emit: Emit, stores: &[StoreId]) -> Option<Intervals> {
    match (emit, stores) {
        (Emit::Every(interval), [_, due, ..]) => Some(Intervals::new(Handle::new(*due), interval)),
        (Emit::AtEnd, [_, due, ..]) => Some(Intervals::new(Handle::new(*due), Duration::ZERO)),
        _ => None,
    }
}
