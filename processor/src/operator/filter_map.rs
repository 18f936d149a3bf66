//! A step with one record in, and another value out or none.
//!
//! Key, timestamp and headers stay, and so does the order. It has no state: a crash repeats the call for the records
//! of the open transaction.

use super::{Chain, Context, Operator, Signals, StageBuilder};
use crate::error::ProcessError;
use crate::types::{Owned, Rec, View};

/// `filter_map`, declared.
#[derive(Clone)]
pub struct FilterMap<C, F> {
    pub(crate) previous: C,
    pub(crate) filter_map: F,
}

impl<C, F, B> Chain for FilterMap<C, F>
where
    C: Chain,
    B: 'static,
    F: FnMut(&Rec<'_, C::Key, C::Value>) -> Option<B> + Clone + Send + Sync + 'static,
{
    type Key = C::Key;
    type Value = Owned<B>;

    fn build<N: Operator<C::Key, Owned<B>>>(&self, next: N, stage: &mut StageBuilder<'_>) {
        self.previous.build(FilterMapOperator { filter_map: self.filter_map.clone(), next }, stage);
    }
}

/// `filter_map`, built.
struct FilterMapOperator<F, N> {
    filter_map: F,
    next: N,
}

impl<F: Send, N: Signals> Signals for FilterMapOperator<F, N> {
    fn next(&mut self) -> Option<&mut dyn Signals> {
        Some(&mut self.next)
    }
}

impl<K, V, B, F, N> Operator<K, V> for FilterMapOperator<F, N>
where
    K: View,
    V: View,
    B: 'static,
    F: FnMut(&Rec<'_, K, V>) -> Option<B> + Send + 'static,
    N: Operator<K, Owned<B>>,
{
    #[inline]
    fn push(&mut self, record: Rec<'_, K, V>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        match (self.filter_map)(&record) {
            Some(value) => self.next.push(record.with_value(value), context),
            None => Ok(()),
        }
    }
}
