//! The name of the step whose code panics, at no cost while none does.
//!
//! Each step of a chain is built behind a [`Step`], which knows the step. A panic unwinds through the steps
//! from the innermost one outwards, and the first [`Step`] that it passes is that of the code that panicked.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Context, Operator, Signals};
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// A step of a job: all steps are numbered in the order of their declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// An operator, with the step that it belongs to.
pub(super) struct Step<N> {
    pub(super) node: NodeId,
    pub(super) next: N,
}

/// Notes the step if it is dropped by a panic.
struct Watch(NodeId);

impl Watch {
    /// Ends the watch, because the step has returned.
    #[inline(always)]
    fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Watch {
    #[cold]
    fn drop(&mut self) {
        PANICKED.with(|panicked| panicked.set(panicked.get().or(Some(self.0))));
    }
}

/// Returns the step that panicked last on this thread, once.
pub(crate) fn take_panicked() -> Option<NodeId> {
    PANICKED.with(Cell::take)
}

thread_local! {
    static PANICKED: Cell<Option<NodeId>> = const { Cell::new(None) };
}

/// Catches a panic of the user's code, and returns its message.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
    })
}

/// The error for a panic that was caught inside of a step, which is that of the panic if no later one has panicked.
#[cold]
pub(super) fn panicked_in(step: &str, message: String) -> ProcessError {
    let step = if PANICKED.with(Cell::get).is_none() { step.to_owned() } else { String::new() };
    ProcessError::Panicked { origin: None, step, message }
}

impl<N: Signals> Step<N> {
    fn signal(&mut self, signal: impl FnOnce(&mut N) -> Result<(), ProcessError>) -> Result<(), ProcessError> {
        let watch = Watch(self.node);
        let result = signal(&mut self.next);
        watch.end();
        result
    }
}

impl<N: Signals> Signals for Step<N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }

    fn watermark(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|next| next.watermark(context))
    }

    fn tick(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|next| next.tick(context))
    }

    fn resume(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|next| next.resume(context))
    }

    fn before_commit(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|next| next.before_commit(context))
    }

    fn run_ended(&mut self, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.signal(|next| next.run_ended(context))
    }
}

impl<K: View, V: View, N: Operator<K, V>> Operator<K, V> for Step<N> {
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        context.stores.set_time(record.timestamp, context.wall);
        let watch = Watch(self.node);
        let result = self.next.push(record, context);
        watch.end();
        result
    }
}
