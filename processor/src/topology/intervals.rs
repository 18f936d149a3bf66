//! The second store of an aggregation that puts out its results at intervals, or at the ends of windows that stay open.

use std::time::Duration;

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

pub(super) fn of(emit: Emit, stores: &[StoreId]) -> Option<Intervals> {
    match (emit, stores) {
        (Emit::Every(interval), [_, due, ..]) => Some(Intervals::new(Handle::new(*due), interval)),
        (Emit::AtEnd, [_, due, ..]) => Some(Intervals::new(Handle::new(*due), Duration::ZERO)),
        _ => None,
    }
}
