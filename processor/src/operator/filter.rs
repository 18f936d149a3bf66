//! One record in, that record out or none.

use super::{Chain, Context, Control, Operator};
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
    type Built<N: Operator<C::Key, C::Value>> = C::Built<FilterOperator<F, N>>;

    fn build<N: Operator<C::Key, C::Value>>(&self, next: N) -> Self::Built<N> {
        self.previous.build(FilterOperator { keep: self.keep.clone(), next })
    }
}

/// `filter` in its place.
pub struct FilterOperator<F, N> {
    keep: F,
    next: N,
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

    fn control(&mut self, control: &mut Control<'_>, context: &mut Context<'_>) -> Result<(), ProcessError> {
        self.next.control(control, context)
    }
}
