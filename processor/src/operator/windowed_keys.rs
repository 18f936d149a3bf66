//! A step that gives each result of a window a key of two parts: its key, and its window.
//!
//! The record stays in its task and keeps its value, time and place in the order, as with `select_key`; no step with
//! state can follow before a `key_by`. It has no state.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::serde::WithWindow;
use crate::types::{InWindow, Owned, Rec, View};

/// `windowed_keys`, declared.
#[derive(Clone)]
pub struct WindowedKeys<C> {
    pub(crate) previous: C,
}

impl<C, A> Chain for WindowedKeys<C>
where
    C: Chain<Value = InWindow<A>>,
    A: Clone + 'static,
{
    type Key = WithWindow<C::Key>;
    type Value = Owned<A>;

    fn build<N: Operator<WithWindow<C::Key>, Owned<A>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(WindowedKeysOperator { next }, stage);
    }
}

/// `windowed_keys`, built.
struct WindowedKeysOperator<N> {
    next: N,
}

impl<N: Signals> Signals for WindowedKeysOperator<N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, A, N> Operator<K, InWindow<A>> for WindowedKeysOperator<N>
where
    K: View,
    A: Clone + 'static,
    N: Operator<WithWindow<K>, Owned<A>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, InWindow<A>>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        let Rec { key, value: (window, value), timestamp, headers, .. } = record;
        // `build()` refuses steps after this one that need the bytes of the key.
        let record = Rec { key: (key, window), value: value.clone(), timestamp, headers, raw_key: None };
        self.next.push(record, context)
    }
}
