//! A step with the same record out, or none.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Rec, View};

/// `filter`, declared.
#[derive(Clone)]
pub struct Filter<C, F> {
    pub(crate) previous: C,
    pub(crate) keep: F,
}

impl<C, F> Chain for Filter<C, F>
where
    C: Chain,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> bool + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = C::Value;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(FilterOperator { keep: self.keep.clone(), next }, stage);
    }
}

/// `filter`, built.
pub struct FilterOperator<F, N> {
    keep: F,
    next: N,
}

impl<F: Send, N: Signals> Signals for FilterOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, F, N> Operator<K, V> for FilterOperator<F, N>
where
    K: View,
    V: View,
    F: FnMut(&Rec<'_, K, V>) -> bool + Send + 'static,
    N: Operator<K, V>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        if (self.keep)(&record) { self.next.push(record, context) } else { Ok(()) }
    }
}
